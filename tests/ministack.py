"""The cluster's resources on the emulator, made from their very template."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.cluster.deploy import deploy
from infra.cluster.emulator import ON_EMULATOR, Emulator
from infra.cluster.rights import connect, server_of

PASSWORD = "Correct-horse-1"
# What the emulator mails to everybody who signs up.
CODE = "123456"


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

    def cluster_settings(self) -> dict[str, str]:
        """The same, with files in the bucket and rings through the queue."""
        return {**self.table_settings(), **{name: self.settings[name] for name in ("BUCKET_NAME", "QUEUE_URL")}}

    def empty(self) -> None:
        self.empty_table()
        self.empty_bucket()
        self.client("sqs").purge_queue(QueueUrl=self.settings["QUEUE_URL"])

    def client(self, service: str) -> Any:
        """Of the owner's."""
        return connect(service, self.owner)

    def empty_table(self) -> None:
        table, client = self.settings["TABLE_NAME"], self.client("dynamodb")
        pages = client.get_paginator("scan").paginate(TableName=table, ProjectionExpression="pk, sk")
        gone = [{"DeleteRequest": {"Key": item}} for page in pages for item in page["Items"]]
        for start in range(0, len(gone), 25):
            client.batch_write_item(RequestItems={table: gone[start : start + 25]})

    def empty_bucket(self) -> None:
        bucket, client = self.settings["BUCKET_NAME"], self.client("s3")
        for found in client.list_objects_v2(Bucket=bucket).get("Contents", []):
            client.delete_object(Bucket=bucket, Key=found["Key"])


def deployed(owner: Emulator, **parameters: str) -> Cloud:
    """A stack of its own, with a user who may do what the role of the servers allows."""
    stack = f"s{uuid.uuid4().hex[:8]}"
    settings = deploy(
        connect("cloudformation", owner), stack, {**ON_EMULATOR, "SignUp": "Open", **parameters}, lambda line: None
    )
    return Cloud(stack, settings, owner, server_of(owner, stack))


def sign_up(cloud: Cloud, user: str, *groups: str) -> str:
    """The `sub` of a new person, who has confirmed and is in these groups, and whose password is `PASSWORD`."""
    cognito, pool = cloud.client("cognito-idp"), cloud.settings["COGNITO_USER_POOL_ID"]
    made = cognito.sign_up(ClientId=cloud.settings["COGNITO_CLIENT_IDS"], Username=user, Password=PASSWORD)
    confirm(cloud, user, CODE)
    for group in groups:
        cognito.admin_add_user_to_group(UserPoolId=pool, Username=user, GroupName=group)
    return str(made["UserSub"])


def confirm(cloud: Cloud, user: str, code: str) -> None:
    """By the person, with what was mailed to him."""
    cloud.client("cognito-idp").confirm_sign_up(
        ClientId=cloud.settings["COGNITO_CLIENT_IDS"], Username=user, ConfirmationCode=code
    )
