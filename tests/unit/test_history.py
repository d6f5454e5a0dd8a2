"""What the model is shown."""

from __future__ import annotations

from server.backends.memory import MemoryStore
from server.model import Draft, Exchange, InboundMessage
from server.turns.history import PAGES, TokenScale, recent_exchanges


async def conversation(store: MemoryStore, *exchanges: tuple[str, Draft | None]) -> str:
    """All questions are asked first, then answered one by one; those without a draft still wait."""
    conversation_id = (await store.create("anna", "websocket", "a")).id
    for number, (question, _) in enumerate(exchanges):
        await store.accept(InboundMessage("anna", conversation_id, f"m{conversation_id}{number}", question))
    lease = await store.take(conversation_id, "worker")
    for _, draft in exchanges:
        if draft is None or lease is None:
            break
        lease = (await store.answer(lease, draft)).next
    return conversation_id


async def debate(store: MemoryStore, *replies: str) -> str:
    """Questions u00, u01 ..., each asked when the one before has its reply."""
    conversation_id = (await store.create("anna", "http_chat", "a")).id
    for number, reply in enumerate(replies):
        await store.accept(InboundMessage("anna", conversation_id, f"m{number}", f"u{number:02}"))
        lease = await store.take(conversation_id, "worker")
        assert lease is not None
        await store.answer(lease, Draft(reply, "stop"))
    return conversation_id


def memory() -> MemoryStore:
    return MemoryStore(lease_seconds=30, most_waiting=1_000)


async def test_questions_asked_together_are_paired_with_their_own_replies() -> None:
    store = memory()
    conversation_id = await conversation(
        store, ("u1", Draft("a1", "stop")), ("u2", Draft("a2", "length")), ("u3", None)
    )
    assert await recent_exchanges(store, conversation_id, 100) == (Exchange("u1", "a1"), Exchange("u2", "a2"))


async def test_questions_that_one_reply_answers_are_one_exchange() -> None:
    now = 0.0
    store = MemoryStore(clock=lambda: now, lease_seconds=30, most_waiting=100)
    conversation_id = (await store.create("anna", "sms", "a")).id

    async def text(*said: str) -> None:
        for one in said:
            await store.accept(InboundMessage("anna", conversation_id, one, one, quiet=3))

    await text("u1", "u2")
    now += 3
    first = await store.take(conversation_id, "worker")
    assert first is not None
    await text("u3", "u4")
    now += 3
    second = (await store.answer(first, Draft("a1", "stop"))).next
    assert second is not None
    await text("u5")
    await store.answer(second, Draft("sorry", "error", code="timeout"))
    now += 3
    third = await store.take(conversation_id, "worker")
    assert third is not None
    await text("u6")
    await store.answer(third, Draft("a3", "stop"))
    assert await recent_exchanges(store, conversation_id, 100) == (Exchange("u1\nu2", "a1"), Exchange("u5", "a3"))
    assert await recent_exchanges(store, conversation_id, 10) == (Exchange("u5", "a3"),)


async def test_errors_are_not_shown() -> None:
    store = memory()
    conversation_id = await conversation(
        store, ("u1", Draft("sorry", "error", code="timeout")), ("u2", Draft("a2", "stop"))
    )
    assert await recent_exchanges(store, conversation_id, 100) == (Exchange("u2", "a2"),)


async def test_the_newest_whole_exchanges_that_fit_are_shown() -> None:
    store = memory()
    conversation_id = await conversation(store, *((f"ü{number}", Draft("r", "stop")) for number in range(9)))
    assert await recent_exchanges(store, conversation_id, 8) == (Exchange("ü7", "r"), Exchange("ü8", "r"))
    assert await recent_exchanges(store, conversation_id, 7) == (Exchange("ü8", "r"),)
    assert await recent_exchanges(store, conversation_id, -1) == ()


async def test_where_the_opening_is_kept_the_middle_is_left_out() -> None:
    store = memory()
    conversation_id = await debate(store, *"r" * 80)

    async def shown(room: int) -> list[str]:
        exchanges = await recent_exchanges(store, conversation_id, room, keep_opening=True)
        assert sum(len(one.question + one.reply) for one in exchanges) <= max(0, room)
        return [one.question for one in exchanges]

    assert await shown(80 * 4) == [f"u{number:02}" for number in range(80)]
    assert await shown(80 * 4 - 1) == [f"u{number:02}" for number in (*range(19), *range(20, 80))]
    assert await shown(4 * 4) == ["u00", "u77", "u78", "u79"]
    assert await shown(4 * 4 - 1) == ["u77", "u78", "u79"]
    assert await shown(0) == await shown(-1) == []


async def test_an_opening_that_is_large_is_not_kept_at_the_cost_of_all_else() -> None:
    store = memory()
    conversation_id = await debate(store, "a" * 100, *"r" * 8)
    shown = await recent_exchanges(store, conversation_id, 60, keep_opening=True)
    assert [one.question for one in shown] == [f"u{number:02}" for number in range(1, 9)]


async def test_a_long_log_is_read_page_by_page() -> None:
    store = memory()
    conversation_id = await conversation(store, *((f"u{number}", Draft("r", "stop")) for number in range(200)))
    shown = await recent_exchanges(store, conversation_id, 10_000)
    assert [exchange.question for exchange in shown] == [f"u{number}" for number in range(200)]


async def test_what_is_older_than_a_few_pages_is_not_looked_for() -> None:
    store = memory()
    conversation_id = await conversation(store, *((f"u{number}", Draft("r", "stop")) for number in range(500)))
    shown = await recent_exchanges(store, conversation_id, 10_000)
    assert len(shown) == sum(PAGES) - 500
    assert shown[-1].question == "u499"


async def test_a_conversation_without_a_word_shows_nothing() -> None:
    store = memory()
    assert await recent_exchanges(store, (await store.create("anna", "websocket", "a")).id, 100) == ()


def test_the_scale_follows_what_the_provider_counts() -> None:
    scale = TokenScale(3.0)
    for _ in range(50):
        scale.learn(5_000, 1_000)
    assert abs(scale.bytes_in(1_000) - 5_000) < 10
    scale.learn(10, 99)
    assert abs(scale.bytes_in(1_000) - 5_000) < 10
    for _ in range(100):
        scale.learn(1_000_000, 100)
    assert scale.bytes_in(1_000) <= 6_000
