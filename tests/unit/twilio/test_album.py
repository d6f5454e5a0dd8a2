"""Pictures that came with texts are kept, some at a time, and not for longer than a text can wait for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from server.backends.memory import MemoryFiles
from server.channels.twilio.media import Media
from server.errors import BadInput, ServerError, Unavailable
from server.model import File
from server.wiring.files import Shelf
from server.wiring.media import AT_ONCE, PAUSES, KeptAlbum
from tests.fakes.twilio_server import ACCOUNT, TOKEN, FakeTwilio, Fault, twilio_server


class Gallery:
    """Hands a picture out while it is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.asked = 0

    async def fetch(self, url: str) -> bytes:
        self.asked += 1
        await self.open.wait()
        return url.encode()


class Mood:
    """Fails at each try, while there is an error."""

    def __init__(self, error: ServerError) -> None:
        self.error: ServerError | None = error
        self.asked = 0

    async def fetch(self, url: str) -> bytes:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return url.encode()


async def as_it_is(content: bytes) -> File:
    return File(content, "image/png")


def album(gallery: Any, seconds: float = 5, pauses: Sequence[float] = PAUSES) -> KeptAlbum:
    shelf = Shelf(MemoryFiles(lambda key, _seconds: key), 60, redraw=as_it_is)
    return KeptAlbum(gallery, shelf, seconds=seconds, pauses=pauses)


@pytest.fixture
async def fake() -> AsyncIterator[FakeTwilio]:
    async with twilio_server() as running:
        yield running


async def test_few_are_in_memory_at_the_same_time_and_each_is_fetched_once() -> None:
    gallery = Gallery()
    kept = album(gallery)
    wanted = [asyncio.ensure_future(kept.keep("c_1", f"https://here/{number}")) for number in range(3 * AT_ONCE)]
    await asyncio.sleep(0.05)
    assert gallery.asked == AT_ONCE
    gallery.open.set()
    keys = await asyncio.gather(*wanted)
    assert len(set(keys)) == 3 * AT_ONCE
    assert await kept.keep("c_1", "https://here/0") == keys[0]
    assert gallery.asked == 3 * AT_ONCE


async def test_a_text_does_not_wait_for_them_for_ever() -> None:
    with pytest.raises(Unavailable):
        await album(Gallery(), seconds=0.05).keep("c_1", "https://here/1")


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.MISSING, Fault.RESET, Fault.CUT])
async def test_ten_pictures_of_one_text_that_fail_once_are_kept(fake: FakeTwilio, fault: Fault) -> None:
    fake.media_faults.extend([fault] * 10)
    kept = album(Media(ACCOUNT, TOKEN, fake.url))
    urls = [fake.picture(f"ME{number}", b"picture") for number in range(10)]
    keys = await asyncio.gather(*(kept.keep("c_1", url) for url in urls))
    assert len(set(keys)) == len(fake.given) == 10
    assert not fake.media_faults


async def test_those_of_one_text_do_not_wait_for_one_another() -> None:
    gallery = Gallery()
    kept = album(gallery)
    wanted = [asyncio.ensure_future(kept.keep("c_1", f"https://here/{number}")) for number in range(10)]
    await asyncio.sleep(0.05)
    assert gallery.asked == 10
    gallery.open.set()
    await asyncio.gather(*wanted)


async def test_what_does_not_pass_is_tried_so_often_and_no_more() -> None:
    mood = Mood(Unavailable("not now"))
    with pytest.raises(Unavailable, match="not now"):
        await album(mood, pauses=(0.01, 0.02)).keep("c_1", "https://here/1")
    assert mood.asked == 3


async def test_what_is_no_picture_is_not_tried_again() -> None:
    mood = Mood(BadInput("no picture"))
    with pytest.raises(BadInput):
        await album(mood).keep("c_1", "https://here/1")
    assert mood.asked == 1


async def test_the_time_of_a_text_is_that_of_all_tries() -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable, match="in time"):
        await album(Mood(Unavailable("not now")), seconds=0.3, pauses=(0.1, 60)).keep("c_1", "https://here/1")
    assert time.monotonic() - began < 5


async def test_who_waits_to_try_again_takes_no_place() -> None:
    mood = Mood(Unavailable("not now"))
    kept = album(mood, pauses=(0.5,))
    failing = [asyncio.ensure_future(kept.keep("c_1", f"https://here/{number}")) for number in range(AT_ONCE)]
    await asyncio.sleep(0.05)
    mood.error = None
    async with asyncio.timeout(0.3):
        await kept.keep("c_1", "https://here/other")
    await asyncio.gather(*failing)
