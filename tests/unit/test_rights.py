"""What AWS allows a server may end while it runs: people are told to come back, and nothing of AWS's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import pytest
import structlog

from infra.cluster.emulator import Emulator
from infra.cluster.rights import connect, server_of
from server.backends.dynamodb import DynamoBackend, open_dynamodb
from server.backends.s3 import S3Files, open_s3
from server.errors import ConfigError, Unavailable
from server.model import File
from tests.ministack import Cloud

Ask: TypeAlias = Callable[[DynamoBackend, S3Files], Awaitable[Any]]

PICTURE = File(b"\x89PNG\r\n\x1a\n", "image/png")
ASKED: dict[str, Ask] = {
    "TransactWriteItems": lambda store, _: store.create("anna", "websocket", "a"),
    "Query": lambda store, _: store.recent("anna", 5),
    "UpdateItem": lambda store, _: store.beat("http://a:1", 20),
    "GetObject": lambda _, files: files.get("images/a"),
    "HeadObject": lambda _, files: files.holds("images/a"),
    "PutObject": lambda _, files: files.put("images/a", PICTURE),
}


class Guest:
    """A server's own rights, in the test's hand."""

    def __init__(self, cloud: Cloud) -> None:
        self.rights: Emulator = server_of(cloud.owner, cloud.stack)
        self._iam = connect("iam", cloud.owner)

    def may_nothing(self) -> None:
        for name in self._iam.list_user_policies(UserName=self._user())["PolicyNames"]:
            self._iam.delete_user_policy(UserName=self._user(), PolicyName=name)

    def is_nobody(self) -> None:
        self._iam.delete_access_key(UserName=self._user(), AccessKeyId=self.rights.access_key_id)

    def _user(self) -> str:
        found = self._iam.get_access_key_last_used(AccessKeyId=self.rights.access_key_id)
        return str(found["UserName"])


@pytest.fixture
def guest(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Guest:
    one = Guest(cloud)
    for name, value in one.rights.environment().items():
        monkeypatch.setenv(name, value)
    return one


@pytest.fixture
async def opened(guest: Guest, cloud: Cloud) -> AsyncIterator[tuple[DynamoBackend, S3Files]]:
    async with AsyncExitStack() as stack:
        table = open_dynamodb(cloud.settings["TABLE_NAME"], lease_seconds=30, most_waiting=5)
        files = open_s3(cloud.settings["BUCKET_NAME"])
        yield await stack.enter_async_context(table), await stack.enter_async_context(files)


@pytest.mark.parametrize("ends", [Guest.may_nothing, Guest.is_nobody])
async def test_rights_that_end_are_named_in_the_log_and_to_nobody_else(
    guest: Guest, opened: tuple[DynamoBackend, S3Files], ends: Callable[[Guest], None]
) -> None:
    ends(guest)
    for operation, ask in ASKED.items():
        with structlog.testing.capture_logs() as said, pytest.raises(Unavailable) as refused:
            await ask(*opened)
        assert refused.value.retryable
        assert "let this server in" in refused.value.message
        assert [(one["operation"], one["log_level"], bool(one["code"])) for one in said] == [(operation, "error", True)]


@pytest.mark.parametrize("ends", [Guest.may_nothing, Guest.is_nobody])
async def test_rights_that_are_missing_when_it_starts_are_a_wrong_setting(
    guest: Guest, cloud: Cloud, ends: Callable[[Guest], None]
) -> None:
    ends(guest)
    doors: Sequence[Any] = (
        open_dynamodb(cloud.settings["TABLE_NAME"], lease_seconds=30, most_waiting=5),
        open_s3(cloud.settings["BUCKET_NAME"]),
    )
    for door in doors:
        with pytest.raises(ConfigError):
            await door.__aenter__()
