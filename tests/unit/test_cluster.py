"""The cluster's resources on the emulator, and the emulator itself."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from infra.cluster.deploy import find
from infra.cluster.emulator import ON_EMULATOR, Emulator, emulator
from infra.cluster.rights import connect
from tests.ministack import Cloud, deployed
from tests.ports import quiet_port

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys, time
from pathlib import Path
from infra.cluster.deploy import find
from infra.cluster.emulator import emulator
with emulator(Path(sys.argv[1]), int(sys.argv[2])) as running:
    print(running.url, flush=True)
    time.sleep(60)
"""


def deploy_again(cloud: Cloud, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.cluster.deploy", "--stack", cloud.stack, *arguments]
    environment = {**os.environ, **cloud.owner.environment()}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_deploying_again_prints_the_same_settings_and_changes_nothing(cloud: Cloud) -> None:
    parameters = [word for item in ON_EMULATOR.items() for word in ("--parameter", "=".join(item))]
    again = deploy_again(cloud, "--endpoint-url", cloud.owner.url, *parameters)
    expected = {"BACKEND": "aws", **cloud.settings, "AWS_ENDPOINT_URL": cloud.owner.url}
    assert dict(line.split("=", 1) for line in again.stdout.splitlines()) == expected
    assert (again.returncode, again.stderr) == (0, "")


def test_deploying_again_keeps_the_parameters_that_it_is_not_given(ministack: Emulator) -> None:
    cloud = deployed(ministack, AssumedBy="ec2.amazonaws.com")
    assert deploy_again(cloud, "--parameter", "AlarmTopicArn=arn:aws:sns:eu-west-1:000000000000:ops").returncode == 0
    assert deploy_again(cloud).returncode == 0
    found = find(connect("cloudformation", ministack), cloud.stack) or {}
    assert {one["ParameterKey"]: one["ParameterValue"] for one in found["Parameters"]} == {
        **ON_EMULATOR,
        "SignUp": "Open",
        "AssumedBy": "ec2.amazonaws.com",
        "AlarmTopicArn": "arn:aws:sns:eu-west-1:000000000000:ops",
    }
    assert trusted(cloud) == "ec2.amazonaws.com"


def test_an_instance_takes_the_role_by_a_profile(ministack: Emulator) -> None:
    cloud = deployed(ministack, AssumedBy="ec2.amazonaws.com")
    found = find(connect("cloudformation", ministack), cloud.stack) or {}
    [arn] = [one["OutputValue"] for one in found["Outputs"] if one["OutputKey"] == "InstanceProfileArn"]
    profile = connect("iam", ministack).get_instance_profile(InstanceProfileName=arn.rpartition("/")[2])
    assert [role["RoleName"] for role in profile["InstanceProfile"]["Roles"]] == [role_of(cloud)]


def trusted(cloud: Cloud) -> str:
    """By which service the role may be taken."""
    role = connect("iam", cloud.owner).get_role(RoleName=role_of(cloud))["Role"]
    return str(role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"])


def role_of(cloud: Cloud) -> str:
    found = connect("cloudformation", cloud.owner).describe_stack_resource(
        StackName=cloud.stack, LogicalResourceId="Role"
    )
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def test_a_stack_that_cannot_be_is_an_error_with_its_reason(cloud: Cloud) -> None:
    failed = deploy_again(cloud, "--parameter", "Keep=Maybe")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "Keep" in failed.stderr


def test_a_server_may_keep_files_but_not_open_the_bucket(cloud: Cloud) -> None:
    s3, bucket = connect("s3", cloud.emulator), cloud.settings["BUCKET_NAME"]
    s3.put_object(Bucket=bucket, Key="rights", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="rights")
    for change in (s3.delete_public_access_block, s3.delete_bucket_policy, s3.delete_bucket):
        with pytest.raises(ClientError, match="AccessDenied"):
            change(Bucket=bucket)


def test_a_server_may_use_the_bell_but_not_empty_it(cloud: Cloud) -> None:
    sqs, url = connect("sqs", cloud.emulator), cloud.settings["QUEUE_URL"]
    sqs.send_message(QueueUrl=url, MessageBody="c", MessageGroupId="c", MessageDeduplicationId="1")
    [message] = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=45)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    with pytest.raises(ClientError, match="AccessDenied"):
        sqs.purge_queue(QueueUrl=url)


def test_a_server_may_read_and_write_items_but_not_scan_them(cloud: Cloud) -> None:
    dynamodb, table = connect("dynamodb", cloud.emulator), cloud.settings["TABLE_NAME"]
    key = {"pk": {"S": "a"}, "sk": {"S": "b"}}
    dynamodb.put_item(TableName=table, Item={**key, "waitingShard": {"N": "1"}, "dueAt": {"N": "2"}})
    found = dynamodb.query(
        TableName=table,
        IndexName="waitingIndex",
        KeyConditionExpression="waitingShard = :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    assert [item["pk"] for item in found["Items"]] == [{"S": "a"}]
    dynamodb.delete_item(TableName=table, Key=key)
    with pytest.raises(ClientError, match="AccessDenied"):
        dynamodb.scan(TableName=table)


def test_a_signature_with_another_secret_is_refused(cloud: Cloud) -> None:
    forger = boto3.client(
        "sqs",
        region_name="eu-west-1",
        endpoint_url=cloud.owner.url,
        aws_access_key_id=cloud.emulator.access_key_id,
        aws_secret_access_key="a guess",
    )
    with pytest.raises(ClientError, match="Signature"):
        forger.get_queue_attributes(QueueUrl=cloud.settings["QUEUE_URL"])


def test_two_emulators_know_nothing_of_each_other(ministack: Emulator, cloud: Cloud, tmp_path: Path) -> None:
    with emulator(tmp_path) as other:
        assert connect("sqs", other).list_queues().get("QueueUrls", []) == []


def test_the_emulator_ends_with_who_started_it_even_when_that_is_killed(ministack: Emulator, tmp_path: Path) -> None:
    port = quiet_port()
    command = [sys.executable, "-c", HOLDER, str(tmp_path), str(port)]
    holder = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder.stdout:
        url = holder.stdout.readline().strip()
    assert connect("sqs", Emulator(url)).list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert gone(port)


def gone(port: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return True
        time.sleep(0.02)
    return False
