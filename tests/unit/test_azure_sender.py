"""Texts out through Azure: sent once, whatever goes wrong, and said truly what became of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from server.channels.azure_sms.sender import AzureSender, open_sender
from server.errors import ConfigError, InDoubt, ProviderFailed, ServerError, Unavailable
from server.model import Doubt, Piece
from tests.fakes.azure_server import KEY, OURS, FakeAzure, Fault, azure_server

ANNA = "+15005550006"
NOW = 1_790_000_000_000
LINK = "https://here.example/a.png?expires=1&signature=a"


def opened(azure: FakeAzure, **changes: Any) -> AbstractAsyncContextManager[AzureSender]:
    how: dict[str, Any] = {
        "connection_string": azure.connection_string,
        "endpoint": "",
        "number": OURS,
        "split": lambda text, _links: [Piece(text)],
        "seconds": 1.0,
    }
    return open_sender(**{**how, **changes})


@pytest.fixture
async def azure() -> AsyncIterator[FakeAzure]:
    async with azure_server() as fake:
        yield fake


@pytest.fixture
async def sender(azure: FakeAzure) -> AsyncIterator[AzureSender]:
    async with opened(azure) as sender:
        yield sender


async def send(sender: AzureSender, key: str = "k1", began_at: int = 0, *media: str) -> str:
    return await sender.send(ANNA, "hello", media, key=key, began_at=began_at or now(), asked_at=NOW)


async def settle(sender: AzureSender, began_at: int, *media: str) -> str | None:
    return await sender.settle(ANNA, "hello", media, Doubt("k1", began_at, NOW))


def now() -> int:
    return int(time.time() * 1000)


async def test_a_text_goes_out_with_a_report_wanted(azure: FakeAzure, sender: AzureSender) -> None:
    message_id = await sender.send(ANNA, "hello €", [LINK], key="k1", began_at=now(), asked_at=NOW)
    [sent] = azure.sent
    assert (sent.to, sent.text, sent.message_id) == (ANNA, f"hello €\n{LINK}", message_id)
    [request] = azure.requests
    assert request["smsSendOptions"]["enableDeliveryReport"] is True
    assert request["smsSendOptions"]["tag"] == request["smsRecipients"][0]["repeatabilityRequestId"]


async def test_texts_of_different_keys_are_different_texts(azure: FakeAzure, sender: AzureSender) -> None:
    first, second = await send(sender, "k1"), await send(sender, "k2")
    assert first != second
    assert [sent.text for sent in azure.sent] == ["hello", "hello"]


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        (Fault.BUSY, Unavailable, "provider_busy"),
        (Fault.REFUSED, Unavailable, "provider_key"),
        (Fault.BROKEN, InDoubt, "provider_in_doubt"),
        (Fault.BROKEN_AFTER, InDoubt, "provider_in_doubt"),
        (Fault.RESET_BEFORE, InDoubt, "provider_in_doubt"),
        (Fault.RESET_AFTER, InDoubt, "provider_in_doubt"),
        (Fault.STALL, InDoubt, "provider_in_doubt"),
        (Fault.NO_JSON, InDoubt, "provider_in_doubt"),
        (Fault.OPTED_OUT, ProviderFailed, "opted_out"),
        (Fault.INVALID, ProviderFailed, "azure_400"),
        (Fault.RECIPIENT_BROKEN, InDoubt, "provider_in_doubt"),
    ],
)
async def test_a_fault_is_said_as_what_it_is_and_nothing_is_tried_again(
    azure: FakeAzure, sender: AzureSender, fault: Fault, kind: type[ServerError], code: str
) -> None:
    azure.script(fault)
    with pytest.raises(kind) as raised:
        await send(sender)
    assert raised.value.code == code
    assert len(azure.requests) <= 1
    assert "hello" not in str(raised.value)
    assert ANNA not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("fault", [Fault.BROKEN, Fault.RECIPIENT_BROKEN, Fault.RESET_BEFORE])
async def test_a_doubtful_text_that_was_not_sent_is_sent_when_it_is_settled(
    azure: FakeAzure, sender: AzureSender, fault: Fault
) -> None:
    azure.script(fault)
    began_at = now()
    with pytest.raises(InDoubt):
        await send(sender, "k1", began_at)
    assert azure.sent == []
    message_id = await settle(sender, began_at)
    assert [sent.message_id for sent in azure.sent] == [message_id]


@pytest.mark.parametrize("fault", [Fault.BROKEN_AFTER, Fault.RESET_AFTER, Fault.STALL, Fault.NO_JSON])
async def test_a_doubtful_text_that_was_sent_is_found_and_not_sent_again(
    azure: FakeAzure, sender: AzureSender, fault: Fault
) -> None:
    azure.script(fault)
    began_at = now()
    with pytest.raises(InDoubt):
        await send(sender, "k1", began_at, LINK)
    for _ in range(2):
        message_id = await settle(sender, began_at, LINK)
        assert [sent.message_id for sent in azure.sent] == [message_id]


@pytest.mark.parametrize("fault", [Fault.BROKEN_AFTER, Fault.RECIPIENT_BROKEN])
async def test_another_process_settles_a_doubt_with_the_very_same_request(azure: FakeAzure, fault: Fault) -> None:
    azure.script(fault)
    began_at = now() - 30_000
    async with opened(azure) as first:
        with pytest.raises(InDoubt):
            await send(first, "k1", began_at, LINK)
    async with opened(azure) as second:
        message_id = await settle(second, began_at, LINK)
    assert [(sent.message_id, sent.text) for sent in azure.sent] == [(message_id, f"hello\n{LINK}")]
    [request, repeated] = azure.requests
    assert repeated == request


async def test_while_azure_does_not_say_the_doubt_stays(azure: FakeAzure, sender: AzureSender) -> None:
    azure.script(Fault.RESET_AFTER, Fault.BROKEN, Fault.STALL)
    began_at = now()
    with pytest.raises(InDoubt):
        await send(sender, "k1", began_at)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await settle(sender, began_at)
    assert await settle(sender, began_at) == azure.sent[0].message_id


async def test_what_azure_has_forgotten_is_not_sent_again(azure: FakeAzure, sender: AzureSender) -> None:
    with pytest.raises(ProviderFailed) as raised:
        await settle(sender, now() - 4 * 60_000 - 1)
    assert raised.value.code == "provider_in_doubt"
    assert azure.requests == []


async def test_a_clock_that_is_far_behind_azures_sends_nothing_twice() -> None:
    async with azure_server(clock=lambda: time.time() + 600) as azure, opened(azure) as sender:
        with pytest.raises(ProviderFailed) as raised:
            await settle(sender, now())
        assert raised.value.code == "provider_in_doubt"
        assert azure.sent == []


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.REFUSED])
async def test_a_text_that_was_surely_not_sent_may_be_sent_later(
    azure: FakeAzure, sender: AzureSender, fault: Fault
) -> None:
    azure.script(fault, fault)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await send(sender, "k1", now() - 60_000)
    began_at = now()
    assert await send(sender, "k1", began_at, LINK) == azure.sent[0].message_id
    assert await settle(sender, began_at, LINK) == azure.sent[0].message_id
    assert len(azure.sent) == 1


async def test_nobody_there_is_surely_not_sent(azure: FakeAzure) -> None:
    async with azure_server() as gone:
        there = gone.connection_string
    async with opened(azure, connection_string=there) as sender:
        with pytest.raises(Unavailable) as raised:
            await send(sender)
    assert raised.value.code == "provider_unreachable"


async def test_a_wrong_key_is_refused_by_azure(azure: FakeAzure) -> None:
    wrong = azure.connection_string.replace(KEY, "d3Jvbmcta2V5")
    async with opened(azure, connection_string=wrong) as sender:
        with pytest.raises(Unavailable) as raised:
            await send(sender)
    assert raised.value.code == "provider_key"
    assert azure.sent == []


async def test_a_reply_is_split_as_it_is_told(azure: FakeAzure) -> None:
    async with opened(azure, split=lambda text, links: [Piece(text), Piece(*links)]) as sender:
        assert sender.parts("one", [LINK]) == [Piece("one"), Piece(LINK)]


WRONG = (
    "nonsense",
    "endpoint=https://a.example",
    "accesskey=x",
    "endpoint=a;accesskey=b",
    "endpoint=https://;accesskey=b",
    "endpoint=https://[;accesskey=b",
    "endpoint=ftp://127.0.0.1;accesskey=b",
    # In the clear.
    "endpoint=http://a.example;accesskey=b",
    "endpoint=http://127.0.0.1.a.example/;accesskey=b",
    "endpoint=http://127.0.0.1@a.example/;accesskey=b",
)


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_connection_string_that_is_none_is_refused_without_printing_it(azure: FakeAzure, wrong: str) -> None:
    with pytest.raises(ConfigError, match="AZURE_COMMUNICATION_SERVICE_CONNECTION_STRING") as raised:
        async with opened(azure, connection_string=f"{wrong};other=canary"):
            pass
    assert "canary" not in str(raised.value)


async def test_a_machine_without_an_identity_sends_nothing(azure: FakeAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing is asked over the network for an identity that cannot be there.
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    async with opened(azure, connection_string="", endpoint=azure.endpoint.replace("http:", "https:")) as sender:
        with pytest.raises(Unavailable) as raised:
            await send(sender)
    assert raised.value.code == "provider_key"
    assert azure.requests == []
