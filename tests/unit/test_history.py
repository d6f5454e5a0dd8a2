"""What the model is shown."""

from __future__ import annotations

from server.backends.memory import MemoryStore
from server.model import Draft, Exchange, InboundMessage
from server.turns.history import TokenScale, recent_exchanges


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


def memory() -> MemoryStore:
    return MemoryStore(lease_seconds=30, most_waiting=1_000)


async def test_questions_asked_together_are_paired_with_their_own_replies() -> None:
    store = memory()
    conversation_id = await conversation(
        store, ("u1", Draft("a1", "stop")), ("u2", Draft("a2", "length")), ("u3", None)
    )
    assert await recent_exchanges(store, conversation_id, 100) == (Exchange("u1", "a1"), Exchange("u2", "a2"))


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


async def test_a_long_log_is_read_page_by_page() -> None:
    store = memory()
    conversation_id = await conversation(store, *((f"u{number}", Draft("r", "stop")) for number in range(200)))
    shown = await recent_exchanges(store, conversation_id, 10_000)
    assert [exchange.question for exchange in shown] == [f"u{number}" for number in range(200)]


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
