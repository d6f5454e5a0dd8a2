"""Messages to people through Twilio: SMS and WhatsApp."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twilio.rest import Client

from server.channels.twilio.client import asking, sending
from server.channels.twilio.webhook import WHATSAPP
from server.errors import ProviderFailed, Unavailable
from server.model import Doubt, Piece
from server.model.splitter import chat_parts, sms_parts, with_links

# Newer than what may be in doubt: a person gets few messages in that time.
MOST_LISTED = 50
# Twilio's times are of a clock that is not ours. To miss a message is to send it again.
CLOCKS_DIFFER_MS = 60_000
ONLY_A_LINK = re.compile(r"(.* )?https?://\S+")


@dataclass(frozen=True, slots=True)
class Terms:
    """How messages are sent. `budget`: segments of a reply at most, on WhatsApp messages. `validity_seconds`: how long
    one may wait at Twilio. `settle_seconds`: how long one that Twilio was silent about may still be on its way there.
    """

    status_url: str
    budget: int
    validity_seconds: int
    settle_seconds: float


class TwilioSms:
    """Implements the port Sender."""

    _prefix = ""

    def __init__(self, client: Client, ours: str, terms: Terms, clock: Callable[[], float]) -> None:
        self._messages = client.messages
        self._ours = ours
        self._terms = terms
        self._clock = clock

    def parts(self, text: str, links: Sequence[str]) -> Sequence[Piece]:
        return sms_parts(text, self._terms.budget, links)

    def stands_for_rest(self, *, began_at: int, asked_at: int) -> bool:  # noqa: ARG002
        return False

    async def send(
        self,
        number: str,
        text: str,
        media: Sequence[str],
        *,
        key: str,  # noqa: ARG002
        began_at: int,  # noqa: ARG002
        asked_at: int,  # noqa: ARG002
    ) -> str:
        """A picture comes as its link: SMS carries text."""
        return await self._create(to=number, from_=self._ours, body=with_links(text, media))

    async def settle(self, number: str, text: str, media: Sequence[str], doubt: Doubt) -> str | None:  # noqa: ARG002
        return await self._find(self._prefix + number, doubt, lambda body: is_it(body, text))

    async def _create(self, **message: Any) -> str:
        terms = self._terms
        with sending():
            made = await self._messages.create_async(
                **message, status_callback=terms.status_url, validity_period=terms.validity_seconds
            )
        return str(made.sid)

    async def _find(self, to: str, doubt: Doubt, is_it: Callable[[str], bool]) -> str | None:
        """Twilio knows no key of ours: it is the message with its words that is no other."""
        age = self._clock() - doubt.began_at / 1000
        if age < self._terms.settle_seconds:
            raise Unavailable(
                "It may still be on its way.", code="too_early", retry_after=self._terms.settle_seconds - age
            )
        with asking():
            listed = await self._messages.list_async(to=to, from_=self._ours, limit=MOST_LISTED)
        since = (doubt.began_at - CLOCKS_DIFFER_MS) / 1000
        mine = (one for one in listed if str(one.sid) not in doubt.others and since <= created(one))
        return next((str(one.sid) for one in mine if is_it(one.body or "")), None)


class TwilioWhatsApp(TwilioSms):
    """The same to `whatsapp:` addresses. Later than `window_seconds` after a person wrote, WhatsApp takes only a
    template that it knows: `template` is its ContentSid. It stands for all that could not be said any more.
    """

    _prefix = WHATSAPP

    def __init__(
        self,
        client: Client,
        ours: str,
        terms: Terms,
        clock: Callable[[], float],
        *,
        template: str,
        window_seconds: float,
    ) -> None:
        super().__init__(client, WHATSAPP + ours, terms, clock)
        self._template = template
        self._window_seconds = window_seconds

    def parts(self, text: str, links: Sequence[str]) -> Sequence[Piece]:
        return chat_parts(text, self._terms.budget, len(links))

    def stands_for_rest(self, *, began_at: int, asked_at: int) -> bool:
        return began_at - asked_at >= self._window_seconds * 1000

    async def send(
        self,
        number: str,
        text: str,
        media: Sequence[str],
        *,
        key: str,  # noqa: ARG002
        began_at: int,
        asked_at: int,
    ) -> str:
        to = WHATSAPP + number
        if not self.stands_for_rest(began_at=began_at, asked_at=asked_at):
            pictures = {"media_url": list(media)} if media else {}
            return await self._create(to=to, from_=self._ours, body=text, **pictures)
        if not self._template:
            raise ProviderFailed("WhatsApp takes no free words so late, and there is no template.", code="window_over")
        return await self._create(to=to, from_=self._ours, content_sid=self._template)

    async def settle(self, number: str, text: str, media: Sequence[str], doubt: Doubt) -> str | None:  # noqa: ARG002
        """What the template says, only Twilio knows: where it may have been sent, any message since then is it."""
        may_be_any = self.stands_for_rest(began_at=doubt.began_at, asked_at=doubt.asked_at)
        return await self._find(self._prefix + number, doubt, lambda body: may_be_any or is_it(body, text))


def is_it(body: str, text: str) -> bool:
    """Behind the words, links may follow; before them, a trial account says that it is one."""
    if not text:
        return not body or ONLY_A_LINK.fullmatch(body) is not None
    return body.endswith(text) or f"{text}\nhttp" in body


def created(message: Any) -> float:
    """Seconds since 1970."""
    return float(message.date_created.timestamp()) if message.date_created else 0.0
