"""The bell on SQS, beyond what every bell promises: its troubles, its bounds, and a worker that listens to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any

import pytest
import uvloop

from server.backends.sqs import SqsBell, open_sqs_bell
from server.backends.sqs.queue import open_queue
from server.errors import ConfigError, Unavailable
from tests.fakes.faulty_dynamodb import Fault, Proxy, faulty_dynamodb
from tests.ministack import Cloud
from tests.unit.turn_scene import Scene, hang, speak

HOLD_SECONDS = 2


@pytest.fixture
def cloud(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """With an empty queue, for a process with the rights of a server."""
    for name, value in cloud.emulator.environment().items():
        monkeypatch.setenv(name, value)
    cloud.client("sqs").purge_queue(QueueUrl=cloud.settings["QUEUE_URL"])
    return cloud


def opened(cloud: Cloud, **options: Any) -> AbstractAsyncContextManager[SqsBell]:
    return open_sqs_bell(cloud.settings["QUEUE_URL"], hold_seconds=HOLD_SECONDS, wait_seconds=1, **options)


@pytest.fixture
async def proxy(cloud: Cloud) -> AsyncIterator[Proxy]:
    async with faulty_dynamodb(cloud.emulator.url) as between:
        yield between


async def hear(rings: AsyncGenerator[Any]) -> str:
    """Who is rung for next; and that is looked after at once."""
    async with asyncio.timeout(15):
        ring = await anext(rings)
    await ring.done()
    return str(ring.conversation_id)


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.BROKEN, Fault.UNHEARD])
async def test_a_queue_in_trouble_is_listened_to_until_it_is_well(cloud: Cloud, proxy: Proxy, fault: Fault) -> None:
    proxy.spoil("ReceiveMessage", *[fault] * 6)
    async with opened(cloud, endpoint_url=proxy.url) as bell, aclosing(bell.rings()) as rings:
        await bell.ring("c_1")
        assert await hear(rings) == "c_1"
    assert proxy.calls["ReceiveMessage"] > 6


@pytest.mark.parametrize("operation", ["DeleteMessage", "ChangeMessageVisibility"])
async def test_a_ring_that_cannot_be_ended_or_held_is_at_worst_heard_again(
    cloud: Cloud, proxy: Proxy, operation: str
) -> None:
    proxy.spoil(operation, *[Fault.THROTTLED] * 4)
    async with opened(cloud, endpoint_url=proxy.url) as bell, aclosing(bell.rings()) as rings:
        await bell.ring("c_1")
        ring = await anext(rings)
        await asyncio.sleep(HOLD_SECONDS / 2)
        await ring.done()
        await bell.ring("c_2")
        heard = {await hear(rings)}
        while "c_2" not in heard:
            heard.add(await hear(rings))
    assert heard <= {"c_1", "c_2"}


async def test_a_ring_that_cannot_be_sent_is_an_error_that_may_pass(cloud: Cloud, proxy: Proxy) -> None:
    proxy.spoil("SendMessage", *[Fault.BROKEN] * 2)
    async with opened(cloud, endpoint_url=proxy.url) as bell:
        with pytest.raises(Unavailable):
            await bell.ring("c_1")
        await bell.ring("c_1")


async def test_a_ring_that_may_have_been_sent_is_sent_again(cloud: Cloud, proxy: Proxy) -> None:
    proxy.spoil("SendMessage", Fault.UNHEARD)
    async with opened(cloud, endpoint_url=proxy.url) as bell, aclosing(bell.rings()) as rings:
        await bell.ring("c_1")
        assert await hear(rings) == "c_1"


@asynccontextmanager
async def silence() -> AsyncIterator[str]:
    """A server that takes every connection, and says nothing."""

    taken: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(lambda _, writer: taken.append(writer), "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for writer in taken:
            writer.close()
            await writer.wait_closed()


async def test_a_queue_that_says_nothing_is_waited_for_no_longer_than_three_seconds(cloud: Cloud) -> None:
    async with silence() as url, open_queue(cloud.settings["QUEUE_URL"], "eu-west-1", url) as queue:
        began = time.monotonic()
        with pytest.raises(Unavailable, match="TimeoutError"):
            await queue.send("c_1")
        assert time.monotonic() - began < 8


async def refused(url: str, endpoint_url: str = "") -> str:
    with pytest.raises(ConfigError) as error:
        async with open_sqs_bell(url, endpoint_url=endpoint_url):
            pass
    return error.value.message


async def test_a_queue_that_is_not_there_is_a_wrong_setting(cloud: Cloud) -> None:
    assert "QUEUE_URL" in await refused(f"{cloud.settings['QUEUE_URL'].removesuffix('.fifo')}-not.fifo")


async def test_a_queue_that_is_no_fifo_is_a_wrong_setting(cloud: Cloud) -> None:
    made = cloud.client("sqs").create_queue(QueueName=f"{cloud.stack}-Queue-standard")
    with pytest.raises(ConfigError, match="QUEUE_URL"):
        async with open_sqs_bell(made["QueueUrl"]):
            pass


async def test_a_server_without_keys_is_told_so(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "credentials" in await refused(cloud.settings["QUEUE_URL"])


async def test_of_several_delayed_rings_for_one_conversation_the_first_and_the_last_count(cloud: Cloud) -> None:
    async with opened(cloud) as bell, aclosing(bell.rings()) as rings:
        began = time.monotonic()
        for delay in (3, 0.5, *[1.0] * 100):
            await bell.ring("c_1", delay)
        heard = [await hear(rings) for _ in range(2)]
        assert heard == ["c_1", "c_1"]
        assert time.monotonic() - began >= 3
        assert bell.delayed == 0


def test_the_first_rings_first_on_uvloop_too(cloud: Cloud) -> None:
    """Its timers are of another kind."""

    async def first() -> tuple[str, int]:
        async with opened(cloud) as bell, aclosing(bell.rings()) as rings:
            for delay in (60, 0.1):
                await bell.ring("c_1", delay)
            return await hear(rings), bell.delayed

    assert uvloop.run(first()) == ("c_1", 1)


async def test_what_nobody_hears_any_more_is_passed_on_once_and_later_rings_go_to_the_others(
    cloud: Cloud, proxy: Proxy
) -> None:
    async with opened(cloud, endpoint_url=proxy.url) as bell:
        async with aclosing(bell.rings()) as rings:
            await bell.ring("c_1")
            held = await anext(rings)
            for _ in range(50):
                await bell.ring("c_1")
        assert proxy.calls["SendMessage"] == 2
        await bell.ring("c_1")
        assert proxy.calls["SendMessage"] == 3
        await held.done()


async def test_delayed_rings_are_bounded(cloud: Cloud) -> None:
    async with opened(cloud) as bell:
        for number in range(10_100):
            await bell.ring(f"c_{number}", 60)
        assert bell.delayed == 10_000


async def test_every_ring_has_an_id_of_its_own(cloud: Cloud) -> None:
    async with opened(cloud) as bell:
        for _ in range(5):
            await bell.ring("c_1")
    counted = cloud.client("sqs").get_queue_attributes(
        QueueUrl=cloud.settings["QUEUE_URL"], AttributeNames=["ApproximateNumberOfMessages"]
    )
    assert counted["Attributes"]["ApproximateNumberOfMessages"] == "5"


async def test_a_message_is_answered_through_the_queue(cloud: Cloud) -> None:
    async with opened(cloud) as bell:
        scene = Scene(speak, bell=bell)
        async with scene.working():
            for _ in range(3):
                accepted = await scene.say()
                assert (await scene.reply()).question == accepted.offset


async def test_a_cancel_is_heard_during_the_turn_that_holds_the_conversation(cloud: Cloud) -> None:
    async with opened(cloud) as bell:
        scene = Scene(hang, bell=bell)
        async with scene.working():
            accepted = await scene.say()
            await scene.words()
            began = time.monotonic()
            await scene.store.cancel("anna", accepted.conversation_id, None)
            await bell.ring(accepted.conversation_id)
            assert (await scene.reply()).draft.finish_reason == "cancelled"
            assert time.monotonic() - began < 1


async def test_what_a_worker_hands_back_goes_on_at_once_in_another_process(cloud: Cloud) -> None:
    async with opened(cloud) as bell, opened(cloud) as another:
        first = Scene(hang, bell=bell)
        second = Scene(speak, bell=another, store=first.store)
        async with first.working():
            await first.say()
            await first.words()
            async with second.working():
                await first.worker.drain(0)
                await stop(first)
                async with asyncio.timeout(3):
                    assert (await second.reply()).draft.text == "hello"


async def stop(scene: Scene) -> None:
    """As at the end of a process: what is still under way is cancelled."""
    working = list(scene.worker._working.values())
    for task in working:
        task.cancel()
    await asyncio.wait(working)
