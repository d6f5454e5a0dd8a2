"""From a description to the key of its picture.

The key is a hash of the description and of what else the picture depends on: so it is found again without a table, and
whoever asks for the same, in whatever process, is given the same file.
"""

from __future__ import annotations

import asyncio
import hashlib
import unicodedata
from dataclasses import astuple

import msgspec
import structlog

from server.assistant.pictures.allowance import Allowance
from server.assistant.pictures.claims import Claims
from server.assistant.pictures.flights import Flights
from server.assistant.pictures.painter import NOT_AGAIN, Painter, Style
from server.errors import BadInput, InDoubt, ProviderFailed, Refused, TooMany, Unavailable
from server.model import NO_PICTURES, PHONES, Caller, File, is_nobody
from server.ports import Files, Redraw

logger = structlog.get_logger()

MOST_CHARACTERS = 8_000
LOOK_SECONDS = 1.0
STORE_PAUSES = (0.2, 1.0, 3.0)


class Pictures:
    """`seconds`: how long a picture may take in all, `at_once` how many are painted at the same time here.
    `for_phones`: whether a link to one leads anywhere from a phone.
    """

    def __init__(
        self,
        files: Files,
        redraw: Redraw,
        painter: Painter,
        claims: Claims,
        flights: Flights,
        allowance: Allowance,
        *,
        seconds: float,
        at_once: int,
        for_phones: bool,
    ) -> None:
        self._files = files
        self._redraw = redraw
        self._painter = painter
        self._claims = claims
        self._flights = flights
        self._allowance = allowance
        self._seconds = seconds
        self._turns = asyncio.Semaphore(at_once)
        self._for_phones = for_phones

    async def picture(self, description: str, caller: Caller) -> str:
        """The key of the picture, which is kept. One that was painted before costs nothing.

        Raises `Refused`, `TooMany` above the person's allowance, `ProviderFailed`, `Unavailable` where it surely was
        not painted, and `InDoubt`; each message is one that may be shown to the person.
        """
        self._check(caller)
        wish = " ".join(description.split())
        if not wish or len(wish) > MOST_CHARACTERS:
            raise BadInput(f"A picture's description has 1 to {MOST_CHARACTERS} characters.")
        name = name_of(wish, self._painter.style)
        if not await self._files.holds(key_of(name)):
            await self._have_made(name, wish, caller)
        return key_of(name)

    def _check(self, caller: Caller) -> None:
        if caller.channel in PHONES and not self._for_phones:
            raise Refused(NO_PICTURES, code="no_pictures")
        if is_nobody(caller.person):
            # Who can be somebody else with every request has as many allowances.
            raise Refused("Pictures are made for people who are signed in, and for nobody else.", code="no_pictures")

    async def _have_made(self, name: str, wish: str, caller: Caller) -> None:
        """By whoever is at it. One that has no allowance left leaves those who joined it their own."""
        ours = False

        async def make() -> None:
            nonlocal ours
            ours = True
            await self._make(name, wish, caller)

        while True:
            try:
                return await self._flights.join(name, make)
            except TooMany:
                if ours:
                    raise

    async def _make(self, name: str, wish: str, caller: Caller) -> None:
        claim = self._claims.claim(name)
        try:
            async with asyncio.timeout(self._seconds), self._turns:
                while not await self._files.holds(key_of(name)):
                    if await claim.take():
                        async with claim.held():
                            await self._make_alone(name, wish, caller)
                    else:
                        await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            late = f"The picture was not made within {self._seconds:g} seconds. {NOT_AGAIN}"
            raise InDoubt(late, code="picture_timeout") from None

    async def _make_alone(self, name: str, wish: str, caller: Caller) -> None:
        """Looks once more: who had the claim before may have made it just now."""
        if not await self._files.holds(key_of(name)):
            await self._allowance.spend(caller)
            await self._keep(name, await self._painted(wish, caller.person))

    async def _painted(self, wish: str, person: str) -> File:
        content = await self._painter.paint(wish, person)
        try:
            return await self._redraw(content)
        except BadInput:
            logger.warning("picture_unreadable", bytes=len(content))
            raise ProviderFailed("The provider made no picture that can be shown.", code="picture_failed") from None

    async def _keep(self, name: str, file: File) -> None:
        """It is paid for: a store that fails for a moment is asked again."""
        for pause in STORE_PAUSES:
            try:
                await self._files.put(key_of(name), file)
            except Unavailable:
                logger.warning("picture_not_stored", retry_in=pause)
                await asyncio.sleep(pause)
            else:
                return
        try:
            await self._files.put(key_of(name), file)
        except Unavailable:
            raise InDoubt("The picture was made, but could not be kept.", code="picture_not_kept") from None


def name_of(wish: str, style: Style) -> str:
    """Letters that only look different are the same (NFKC); large and small are not, for they may be in the picture."""
    asked = (unicodedata.normalize("NFKC", wish), *astuple(style))
    return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()


def key_of(name: str) -> str:
    return f"images/{name}"
