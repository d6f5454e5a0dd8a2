"""What nobody foresaw goes wrong in one conversation: the process, and all others in it, go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from server.assistant.models import warn_of_models
from server.backends.memory import MemoryBell, MemoryStore
from server.delivery.hub import Hub
from server.delivery.router import Router
from server.delivery.tenure import Tenure
from server.metrics import Metrics
from server.model import Delta, Draft, Frame, InboundMessage, Lease, Outgoing, Question, RunStarted, Settled, SignOut
from server.turns.runner import MOST_TRIES
from tests.unit.phone_scene import NUMBER, Clock, PhoneScene, PhoneStore
from tests.unit.test_router import written
from tests.unit.turn_scene import Scene, hang, speak

WITHIN = 5.0


@asynccontextmanager
async def running(run: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(run())
        yield
        task.cancel()


class Poisoned(MemoryStore):
    """Every call of a name that has to do with anna fails, as nobody foresaw. `failed`: how often."""

    def __init__(self, *names: str, clock: Callable[[], float] = time.time, lease_seconds: float = 30) -> None:
        super().__init__(clock=clock, lease_seconds=lease_seconds, most_waiting=10)
        self._names = names
        self.annas = ""
        self.failed = 0

    def fail_if(self, name: str, conversation_id: str) -> None:
        if name in self._names and conversation_id == self.annas:
            self.failed += 1
            raise KeyError(name)

    async def take(self, conversation_id: str, owner: str) -> Lease | None:
        self.fail_if("take", conversation_id)
        return await super().take(conversation_id, owner)

    async def renew(self, lease: Lease) -> Lease:
        self.fail_if("renew", lease.conversation_id)
        return await super().renew(lease)

    async def answer(self, lease: Lease, draft: Draft, *, post: bool = False) -> Settled:
        if draft.code is None:
            self.fail_if("answer", lease.conversation_id)
        return await super().answer(lease, draft, post=post)

    async def waiting(self, limit: int) -> Sequence[str]:
        self.fail_if("waiting", self.annas)
        return await super().waiting(limit)


async def ask(scene: Scene, person: str) -> str:
    conversation = await scene.store.current(person, "websocket", "a")
    if person == "anna" and isinstance(scene.store, Poisoned):
        scene.store.annas = conversation.id
    await scene.store.accept(InboundMessage(person, conversation.id, f"m_{person}", "hi"))
    await scene.bell.ring(conversation.id)
    return conversation.id


@pytest.mark.parametrize("name", ["take", "answer", "waiting"])
async def test_a_store_that_crashes_over_one_conversation_keeps_no_other_waiting_and_is_not_asked_at_once(
    name: str,
) -> None:
    store = Poisoned(name)
    scene = Scene(speak, store=store)
    async with scene.working():
        await ask(scene, "anna")
        await scene.until(lambda: store.failed > 0)
        bens = await ask(scene, "ben")
        async with asyncio.timeout(WITHIN):
            while (await store.find("ben", bens)).answered == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0.5)
    # The ring, and the sweep.
    assert store.failed <= 2


async def test_a_lease_whose_renewal_crashes_runs_out_and_others_are_renewed() -> None:
    now = [0.0]
    store = Poisoned("renew", clock=lambda: now[0], lease_seconds=0.3)
    scene = Scene(hang, store=store, lease=0.3)
    async with scene.working():
        annas, bens = await ask(scene, "anna"), await ask(scene, "ben")
        await scene.until(lambda: len(scene.engine.prompts) == 2)
        now[0] += 0.29
        before = store.failed
        async with asyncio.timeout(WITHIN):
            while store.failed < before + 2:
                await asyncio.sleep(0.01)
        now[0] += 0.02
        assert await store.take(bens, "another") is None
        assert await store.take(annas, "another") is not None


async def test_a_reply_that_no_store_takes_ends_as_an_error_after_ten_tries() -> None:
    now = [0.0]
    store = Poisoned("answer", clock=lambda: now[0])
    scene = Scene(speak, store=store)
    async with scene.working():
        annas = await ask(scene, "anna")
        for tries in range(1, MOST_TRIES + 1):
            async with asyncio.timeout(WITHIN):
                while store.failed < tries or scene.worker._working:
                    await asyncio.sleep(0)
            now[0] += 31
            await scene.bell.ring(annas)
        assert (await scene.reply()).draft.code == "too_many_tries"


class CrashingBell(MemoryBell):
    async def ring(self, conversation_id: str, delay: float = 0) -> None:
        raise KeyError("ring")


async def test_a_bell_that_crashes_does_not_take_the_message_back() -> None:
    scene = Scene(speak, bell=CrashingBell())
    conversation = await scene.store.current("anna", "websocket", "a")
    accepted = await scene.inbox().accept(InboundMessage("anna", conversation.id, "m1", "hi"))
    assert list(await scene.store.waiting(10)) == [accepted.conversation_id]


class CrashingHub(Hub):
    """`lost`: of whom it does not know where they are, and says so in its own way."""

    lost = ""

    def __init__(self) -> None:
        super().__init__(Metrics())
        self.asked: list[str] = []

    async def of(self, person: str, *, fresh: bool = True) -> Sequence[str]:
        self.asked.append(person)
        if person == self.lost:
            raise KeyError(person)
        return await super().of(person, fresh=fresh)


async def test_words_that_cannot_be_sent_to_one_person_hold_up_nobody_elses() -> None:
    hub = CrashingHub()
    router = Router(hub, hub, written, window=0.01, clock=lambda: 0.0)
    for person in ("anna", "ben"):
        await router.send(person, RunStarted(person, Question(1, "m1", "hi", 0), "a@1"), 1)
        await router.send(person, Delta(person, 1, 0, "at once"), 1)
    hub.lost = "anna"
    async with running(router.run):
        for _ in range(2):
            hub.asked.clear()
            for person in ("anna", "ben"):
                await router.send(person, Delta(person, 1, 0, "later"), 1)
            async with asyncio.timeout(WITHIN):
                while hub.asked != ["anna", "ben"]:
                    await asyncio.sleep(0)


class Outbox(PhoneStore):
    """Cannot be asked the first time, and never takes word of what was sent to one conversation."""

    poisoned = ""
    asked = 0

    async def unsent(self, limit: int) -> Sequence[str]:
        self.asked += 1
        if self.asked == 1:
            raise KeyError("unsent")
        return await super().unsent(limit)

    async def sent(self, outgoing: Outgoing) -> Outgoing | None:
        if outgoing.conversation_id == self.poisoned:
            raise KeyError("sent")
        return await super().sent(outgoing)


async def test_an_outbox_that_crashes_over_one_reply_has_the_others_sent_and_none_twice() -> None:
    scene = PhoneScene()
    scene.store = store = Outbox(Clock())
    store.poisoned = await scene.begin(NUMBER)
    await scene.post(store.poisoned, "one")
    other = "+4915100000000"
    await scene.post(await scene.begin(other), "two")
    await scene.send_all()
    assert (scene.provider.texts(NUMBER), scene.provider.texts(other)) == (["one"], ["two"])


class Unsteady(MemoryStore):
    """Crashes the first time that it is asked. `asked`: how often it was."""

    asked = 0

    def crash_once(self) -> None:
        self.asked += 1
        if self.asked == 1:
            raise KeyError("crash")

    async def signed_out_since(self, since: int) -> Sequence[SignOut]:
        self.crash_once()
        return await super().signed_out_since(since)


async def test_sign_outs_are_looked_for_again_after_a_crash() -> None:
    store = Unsteady(lease_seconds=30, most_waiting=10)
    tenure = Tenure(Hub(Metrics()), store, lambda _: Frame(b""), lambda: 0.0)
    async with running(tenure.run), asyncio.timeout(WITHIN):
        while store.asked < 2:
            await asyncio.sleep(0.01)


class Provider:
    """Nothing can be done with it."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)


async def test_a_provider_that_cannot_be_asked_for_its_models_is_no_obstacle() -> None:
    provider: Any = Provider()
    await warn_of_models(provider, {"gpt"})
