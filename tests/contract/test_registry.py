"""The port Registry, and who holds a lease."""

from __future__ import annotations

from server.model import Draft, Place
from tests.contract.conftest import LEASE_SECONDS, Clock, Opener, Store
from tests.contract.test_leases import asked, take

A, B = "http://10.0.0.1:8000", "http://10.0.0.2:8000"
PHONE, LAPTOP = Place("anna", "k1", A), Place("anna", "k2", B)


async def alive(store: Store, *nodes: str) -> None:
    for node in nodes:
        await store.beat(node, 20)


async def register(store: Store, clock: Clock, *places: Place, seconds: float = 3_600) -> None:
    for place in places:
        await store.register(place, clock.now + seconds)


async def found(store: Store, person: str = "anna") -> set[Place]:
    return set(await store.places(person))


async def test_a_persons_sockets_are_found_whichever_process_holds_them(store: Store, clock: Clock) -> None:
    await alive(store, A, B)
    await register(store, clock, PHONE, LAPTOP, Place("ben", "k3", A))
    assert await found(store) == {PHONE, LAPTOP}
    assert await found(store, "nobody") == set()


async def test_a_socket_that_is_closed_is_not_found_and_closing_it_again_is_no_error(
    store: Store, clock: Clock
) -> None:
    await alive(store, A, B)
    await register(store, clock, PHONE, LAPTOP)
    for _ in range(2):
        await store.unregister(PHONE)
    assert await found(store) == {LAPTOP}


async def test_a_socket_is_not_found_once_its_token_is_over_unless_it_got_a_newer_one(
    store: Store, clock: Clock
) -> None:
    await store.beat(A, 1_000)
    await register(store, clock, PHONE, seconds=60)
    await register(store, clock, Place("anna", "k4", A), seconds=60)
    await register(store, clock, PHONE, seconds=600)
    clock.now += 60
    assert await found(store) == {PHONE}


async def test_the_sockets_of_a_process_that_beats_no_more_are_not_found_and_are_forgotten(
    store: Store, clock: Clock
) -> None:
    await alive(store, A, B)
    await register(store, clock, PHONE, LAPTOP)
    clock.now += 15
    await store.beat(A, 20)
    clock.now += 10
    assert await found(store) == {PHONE}
    await store.beat(A, 20)
    await store.beat(B, 20)
    assert await found(store) == {PHONE}


async def test_a_process_hears_whether_it_was_known_to_live(store: Store, clock: Clock) -> None:
    assert not await store.beat(A, 20)
    clock.now += 19
    assert await store.beat(A, 20)
    clock.now += 20
    assert not await store.beat(A, 20)


async def test_a_process_may_say_that_it_ends(store: Store, clock: Clock) -> None:
    await alive(store, A)
    await register(store, clock, PHONE)
    await store.beat(A, 0)
    assert await found(store) == set()
    assert not await store.beat(A, 20)


async def test_a_process_that_begins_anew_has_none_of_the_sockets_it_had(store: Store, clock: Clock) -> None:
    await alive(store, A, B)
    await register(store, clock, PHONE, LAPTOP)
    await store.beat(A, 0)
    clock.now += 1
    await store.beat(A, 20)
    assert await found(store) == {LAPTOP}
    anew = Place("anna", "k5", A)
    await register(store, clock, anew)
    clock.now += 1
    assert await store.beat(A, 20)
    assert await found(store) == {LAPTOP, anew}


async def test_one_that_was_given_up_and_is_back_has_none_either(store: Store, clock: Clock) -> None:
    await alive(store, A)
    await register(store, clock, PHONE)
    clock.now += 21
    assert not await store.beat(A, 20)
    assert await found(store) == set()


async def test_a_process_whose_clock_is_ahead_takes_nothing_from_the_others(open_store: Opener, clock: Clock) -> None:
    async with open_store() as store, open_store() as ahead:
        await alive(store, A)
        await register(store, clock, PHONE, seconds=60)
        for _ in range(3):
            clock.now += 61
            await ahead.beat(B, 20)
            await ahead.places("anna")
            clock.now -= 61
            assert await found(store) == {PHONE}
            assert await store.beat(A, 20)


async def test_a_process_that_others_gave_up_for_long_hears_of_it_or_has_its_sockets_still(
    open_store: Opener, clock: Clock
) -> None:
    async with open_store() as store, open_store() as far_ahead:
        await alive(store, A)
        await register(store, clock, PHONE)
        clock.now += 700
        await far_ahead.beat(B, 20)
        await far_ahead.places("anna")
        clock.now -= 700
        assert await store.beat(A, 20) == (await found(store) == {PHONE})
        assert await store.beat(A, 20)


async def test_a_socket_is_found_by_its_id_while_it_is_there(store: Store, clock: Clock) -> None:
    await alive(store, A, B)
    await register(store, clock, PHONE, seconds=10)
    await register(store, clock, LAPTOP)
    assert await store.place("k1") == PHONE
    assert await store.place("k2") == LAPTOP
    assert await store.place("k_unknown") is None
    await store.unregister(LAPTOP)
    clock.now += 10
    assert [await store.place(one) for one in ("k1", "k2")] == [None, None]


async def test_sockets_and_processes_outlive_the_process(open_store: Opener, clock: Clock) -> None:
    async with open_store() as before:
        await alive(before, A)
        await register(before, clock, PHONE)
    async with open_store() as after:
        assert await found(after) == {PHONE}
        assert await after.beat(A, 20)


async def test_who_works_on_a_conversation_is_known_for_as_long(store: Store, clock: Clock) -> None:
    conversation_id = await asked(store, "m1", "m2")
    assert await store.owner(conversation_id) is None
    lease = await store.take(conversation_id, A)
    assert lease is not None
    assert await store.owner(conversation_id) == A
    settled = await store.answer(lease, Draft("one", "stop"))
    assert settled.next is not None
    assert await store.owner(conversation_id) == A
    await store.hand_back(settled.next)
    assert await store.owner(conversation_id) is None
    assert await store.owner("c_unknown") is None


async def test_a_lease_that_ran_out_has_no_owner(store: Store, clock: Clock) -> None:
    conversation_id = await asked(store, "m1")
    await take(store, conversation_id)
    clock.now += LEASE_SECONDS
    assert await store.owner(conversation_id) is None
