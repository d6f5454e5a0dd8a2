"""On the emulator, where no host hands out the role: a user who may do what the role allows, and nothing else."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from infra.cluster.emulator import REGION, Emulator

QUICK = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30)


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


def server_of(owner: Emulator, stack: str) -> Emulator:
    """The emulator as a server of the stack sees it."""
    iam, user = connect("iam", owner), f"{stack}-server-{uuid.uuid4().hex[:8]}"
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
