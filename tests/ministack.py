"""The cluster's resources on the emulator, made from their very template."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from infra.cluster.deploy import deploy
from infra.cluster.emulator import REGION, Emulator

QUICK = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30)


@dataclass(frozen=True)
class Cloud:
    """A stack. `owner` may do anything, `emulator` only what the role of the servers may."""

    stack: str
    settings: Mapping[str, str]
    owner: Emulator
    emulator: Emulator

    def environment(self) -> dict[str, str]:
        """Of a server that works on it."""
        return {**self.emulator.environment(), **self.settings}

    def table_settings(self) -> dict[str, str]:
        """Of a server that keeps everything in the table, and has its people at home."""
        return {**self.emulator.environment(), "BACKEND": "aws", "TABLE_NAME": self.settings["TABLE_NAME"]}

    def client(self, service: str) -> Any:
        """Of the owner's."""
        return connect(service, self.owner)

    def empty_table(self) -> None:
        table, client = self.settings["TABLE_NAME"], self.client("dynamodb")
        pages = client.get_paginator("scan").paginate(TableName=table, ProjectionExpression="pk, sk")
        gone = [{"DeleteRequest": {"Key": item}} for page in pages for item in page["Items"]]
        for start in range(0, len(gone), 25):
            client.batch_write_item(RequestItems={table: gone[start : start + 25]})


@cache
def connect(service: str, who: Emulator) -> Any:
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=who.url,
        aws_access_key_id=who.access_key_id,
        aws_secret_access_key=who.secret_access_key,
        config=QUICK,
    )


def deployed(owner: Emulator, **parameters: str) -> Cloud:
    """A stack of its own, with a user who may do what the role of the servers allows."""
    stack = f"s{uuid.uuid4().hex[:8]}"
    settings = deploy(connect("cloudformation", owner), stack, {"Keep": "Delete", **parameters}, lambda line: None)
    return Cloud(stack, settings, owner, server_of(owner, stack))


def server_of(owner: Emulator, stack: str) -> Emulator:
    """The emulator's ECS cannot hand out the role; a user with its policies stands in."""
    iam, user = connect("iam", owner), f"{stack}-server"
    iam.create_user(UserName=user)
    for name, policy in policies_of(owner, stack).items():
        iam.put_user_policy(UserName=user, PolicyName=name, PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return replace(owner, access_key_id=key["AccessKeyId"], secret_access_key=key["SecretAccessKey"])


def policies_of(owner: Emulator, stack: str) -> dict[str, Any]:
    iam = connect("iam", owner)
    found = connect("cloudformation", owner).describe_stack_resource(StackName=stack, LogicalResourceId="Role")
    role = found["StackResourceDetail"]["PhysicalResourceId"]
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    return {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}
