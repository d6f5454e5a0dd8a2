"""The cluster's template, expanded: what linters and the emulator pass over."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.cluster import deploy
from infra.cluster.emulator import PYTHON

ROOT = Path(__file__).resolve().parents[2]
POINTERS = {"Fn::GetAtt", "Fn::Sub", "Ref"}


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    if not PYTHON.exists():
        pytest.skip(f"there is no {PYTHON}; make {PYTHON.parents[1]}/.ready")
    expanded = subprocess.run(
        [PYTHON, ROOT / "infra" / "expand.py", deploy.TEMPLATE], check=True, capture_output=True, timeout=60
    )
    found: dict[str, Any] = json.loads(expanded.stdout)
    return found


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"]
    return found


def properties(resources: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = resources[name]["Properties"]
    return found


def keys(schema: list[dict[str, str]]) -> dict[str, str]:
    return {key["KeyType"]: key["AttributeName"] for key in schema}


def test_the_table_has_its_keys_and_its_indexes(resources: dict[str, Any]) -> None:
    table = properties(resources, "Table")
    assert keys(table["KeySchema"]) == {"HASH": "pk", "RANGE": "sk"}
    assert {index["IndexName"]: keys(index["KeySchema"]) for index in table["GlobalSecondaryIndexes"]} == {
        "connectionIdIndex": {"HASH": "connectionId"},
        "waitingIndex": {"HASH": "waitingShard", "RANGE": "dueAt"},
        "personIndex": {"HASH": "person", "RANGE": "updatedAt"},
    }
    types = {attribute["AttributeName"]: attribute["AttributeType"] for attribute in table["AttributeDefinitions"]}
    assert types == {
        **dict.fromkeys(("pk", "sk", "connectionId", "person"), "S"),
        **dict.fromkeys(("waitingShard", "dueAt", "updatedAt"), "N"),
    }


def test_the_table_forgets_in_time_and_can_be_restored(resources: dict[str, Any]) -> None:
    table = properties(resources, "Table")
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


@pytest.mark.parametrize("name", ["Table", "Bucket", "UserPool"])
def test_what_people_said_and_who_they_are_outlives_the_stack(template: dict[str, Any], name: str) -> None:
    assert template["Parameters"]["Keep"]["Default"] == "Retain"
    resource = template["Resources"][name]
    assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == {"Ref": "Keep"}


def test_the_bell_frees_a_dead_workers_conversation_in_45_seconds(resources: dict[str, Any]) -> None:
    assert properties(resources, "Queue")["VisibilityTimeout"] <= 45


def test_the_bell_is_never_deduplicated_but_by_the_id_of_a_ring(resources: dict[str, Any]) -> None:
    queue = properties(resources, "Queue")
    assert queue["FifoQueue"] is True
    assert queue["ContentBasedDeduplication"] is False


def test_conversations_do_not_share_the_throughput_of_one(resources: dict[str, Any]) -> None:
    queue = properties(resources, "Queue")
    assert (queue["FifoThroughputLimit"], queue["DeduplicationScope"]) == ("perMessageGroupId", "messageGroup")


def test_the_dead_letters_of_the_bell_are_a_distant_fifo_with_an_alarm(resources: dict[str, Any]) -> None:
    redrive = properties(resources, "Queue")["RedrivePolicy"]
    assert redrive == {"deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}, "maxReceiveCount": 100}
    letters = properties(resources, "DeadLetterQueue")
    assert (letters["FifoQueue"], letters["MessageRetentionPeriod"]) == (True, 14 * 24 * 3600)
    alarm = properties(resources, "DeadLetterAlarm")
    [dimension] = alarm["Dimensions"]
    assert dimension == {"Name": "QueueName", "Value": {"Fn::GetAtt": ["DeadLetterQueue", "QueueName"]}}
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/SQS", "ApproximateNumberOfMessagesVisible")
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)


def test_no_queue_has_a_name_that_could_lose_its_suffix(resources: dict[str, Any]) -> None:
    assert not any("QueueName" in properties(resources, name) for name in ("Queue", "DeadLetterQueue"))


def test_the_bucket_is_private_and_encrypted_and_forgets_claims(resources: dict[str, Any]) -> None:
    bucket = properties(resources, "Bucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    [encryption] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    *short, _ = bucket["LifecycleConfiguration"]["Rules"]
    assert [rule["Prefix"] for rule in short] == ["claims/"]
    assert all((rule["Status"], rule["ExpirationInDays"]) == ("Enabled", 1) for rule in short)


def test_nobody_signs_up_unless_a_parameter_says_so(template: dict[str, Any], resources: dict[str, Any]) -> None:
    assert template["Parameters"]["SignUp"]["Default"] == "Closed"
    closed = {"AllowAdminCreateUserOnly": {"Fn::If": ["IsClosed", True, False]}}
    assert properties(resources, "UserPool")["AdminCreateUserConfig"] == closed


def test_the_bucket_is_reached_over_encrypted_connections_only(
    template: dict[str, Any], resources: dict[str, Any]
) -> None:
    assert template["Parameters"]["Transport"]["Default"] == "Encrypted"
    [statement] = properties(resources, "BucketPolicy")["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_app_client_takes_passwords_keeps_no_secret_and_tells_nobody_who_exists(resources: dict[str, Any]) -> None:
    client = properties(resources, "Client")
    assert client["GenerateSecret"] is False
    assert "ALLOW_USER_PASSWORD_AUTH" in client["ExplicitAuthFlows"]
    assert client["PreventUserExistenceErrors"] == "ENABLED"
    assert client["TokenValidityUnits"]["AccessToken"] == "hours"
    assert client["AccessTokenValidity"] <= 1


def test_the_role_may_do_what_is_listed_to_what_is_ours(resources: dict[str, Any]) -> None:
    [policy] = properties(resources, "Role")["Policies"]
    for statement in policy["PolicyDocument"]["Statement"]:
        actions, targets = listed(statement["Action"]), listed(statement["Resource"])
        assert statement["Effect"] == "Allow"
        assert not [action for action in actions if "*" in action]
        assert all(isinstance(target, dict) and target.keys() <= POINTERS for target in targets)


def test_the_role_may_do_this_and_no_more(resources: dict[str, Any]) -> None:
    [policy] = properties(resources, "Role")["Policies"]
    allowed = {action for statement in policy["PolicyDocument"]["Statement"] for action in listed(statement["Action"])}
    table = ("BatchGet", "BatchWrite", "ConditionCheck", "Delete", "Get", "Put", "Update")
    messages = ("ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "ReceiveMessage", "SendMessage")
    assert allowed == {
        *(f"dynamodb:{verb}Item" for verb in table),
        "dynamodb:Query",
        *(f"sqs:{verb}" for verb in messages),
        *("s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:PutObject"),
    }


def test_an_instance_can_be_given_the_role(template: dict[str, Any]) -> None:
    profile, output = template["Resources"]["InstanceProfile"], template["Outputs"]["InstanceProfileArn"]
    assert profile["Properties"] == {"Roles": [{"Ref": "Role"}]}
    assert profile["Condition"] == output["Condition"] == "IsOnEc2"
    assert template["Conditions"]["IsOnEc2"] == {"Fn::Equals": [{"Ref": "AssumedBy"}, "ec2.amazonaws.com"]}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_outputs_are_what_the_server_must_be_told(template: dict[str, Any]) -> None:
    names = {deploy.name_of(key) for key in template["Outputs"] if key.startswith(deploy.SETTING)}
    assert names == {
        *(
            "ADMIN_GROUP",
            "AWS_REGION",
            "BUCKET_NAME",
            "COGNITO_CLIENT_IDS",
            "COGNITO_USER_POOL_ID",
            "QUEUE_URL",
            "TABLE_NAME",
        )
    }
