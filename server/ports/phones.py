"""What is sent to phones: once, in order, and not to those who do not want it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from server.model import Doubt, Outgoing, Part, Piece, Receipt, ReceiptStatus


class Outbox(Protocol):
    """Replies on their way to a phone. `Leases.answer` files one in the same durable step as the reply, unless too many
    of the conversation are there: then its first part is one that failed, `outbox_full`.

    Those of a conversation are sent one after another, in the order of its log. All methods that take an `Outgoing`
    raise `LeaseLost`, and change nothing, once a later attempt has taken it or it was let go.
    """

    async def unsent(self, limit: int) -> Sequence[str]:
        """Conversations with a reply to send that nobody is sending and whose time has come. No scan."""
        ...

    async def take_outgoing(self, conversation_id: str, owner: str) -> Outgoing | None:
        """Lend the oldest unsent reply for the lease time. None if there is none, it is lent, or not due yet."""
        ...

    async def note_part(self, outgoing: Outgoing, part: Part) -> Outgoing:
        """Keep what is known of a part, in place of what was; and hold the loan for the lease time again, from now."""
        ...

    async def postpone(self, outgoing: Outgoing, seconds: float) -> None:
        """Let go of it until then."""
        ...

    async def sent(self, outgoing: Outgoing) -> Outgoing | None:
        """It is over, sent or given up. The next of the conversation, lent to the same sender, or None."""
        ...

    async def parts_of(self, conversation_id: str, offset: int) -> Sequence[Part]:
        """What is known of the parts of a reply, in their order, also when it is over: receipts name them."""
        ...


class Receipts(Protocol):
    """What providers said became of messages to phones. Kept for 30 days."""

    async def keep_receipt(self, channel: str, provider_id: str, status: ReceiptStatus, code: str | None) -> bool:
        """Durable when it returns. False if it tells nothing new: they come doubled, late and out of order."""
        ...

    async def receipt(self, channel: str, provider_id: str) -> Receipt | None: ...


class Claims(Protocol):
    """Ids under which messages of people were accepted."""

    async def knows(self, person: str, message_ids: Sequence[str]) -> bool:
        """Whether one of these was the id, or an alias, of a message of the person within the last 7 days. What was
        deleted with its conversation counts if it came from a phone.
        """
        ...


class OptOuts(Protocol):
    """People who want nothing sent to them on a channel.

    The newest word of each person on each channel counts, by `at`: when it was said, in ms since 1970. One that was
    said before it changes nothing, whenever it comes; of two said at the same moment the last to come counts. A text
    that comes again, after no more than 20 others, changes nothing either: it was said when it first came.
    """

    async def opt_out(self, person: str, channel: str, at: int, message_id: str = "") -> bool:
        """Durable when it returns. Whether the opt-out that holds was begun by this text, now or when it came before.
        `message_id` is empty where no text said so; the first text that says it too counts as the one that began it.
        """
        ...

    async def opt_in(self, person: str, channel: str, at: int, message_id: str) -> bool:
        """Durable when it returns. Whether this text ended an opt-out, now or when it came before."""
        ...

    async def opted_out(self, person: str, channel: str) -> bool: ...


class Album(Protocol):
    """Pictures that people at a phone sent."""

    async def keep(self, conversation_id: str, url: str) -> str:
        """The key of the file that it is from now on; the same, and one file, whenever it is asked again there.

        Raises `BadInput` for what is no picture, or not where the provider keeps them; `Unavailable` where it may come
        later.
        """
        ...


class Accounts(Protocol):
    """Sums that must not grow beyond a bound, over all processes."""

    async def charge(self, account: str, amount: int, most: int, until: int) -> bool:
        """Add `amount` to it, in one durable step; False, and nothing is added, if it would be more than `most`. An
        amount below 0 is given back.

        It may be forgotten after `until`: put the day, or the hour, into the account's name.
        """
        ...

    async def charged(self, account: str) -> int: ...


class Sender(Protocol):
    """Messages out to phones, on one channel, through its provider."""

    def parts(self, text: str, links: Sequence[str]) -> Sequence[Piece]:
        """The reply in messages that the provider takes, at most as many as the settings allow for texts and pictures
        together. What has no room, of words and of pictures, is left out. `links` are as long as those that the
        pictures will be sent by.
        """
        ...

    def stands_for_rest(self, *, began_at: int, asked_at: int) -> bool:
        """Whether a message that went on its way then is the last of its reply, whatever words were left for it.

        `began_at` and `asked_at` are those of `send`.
        """
        ...

    async def send(
        self, number: str, text: str, media: Sequence[str], *, key: str, began_at: int, asked_at: int
    ) -> str:
        """Send one message, with the pictures at these URLs; the provider's id of it.

        `key` is the same whenever this message is tried again, `began_at` is when this try was noted, `asked_at` the
        time of what it answers. Raises `Unavailable` where it was surely not sent and may be later, `ProviderFailed`
        where it never will be (with the code `opted_out` if the person has told the provider so), and `InDoubt` where
        nobody knows.
        """
        ...

    async def settle(self, number: str, text: str, media: Sequence[str], doubt: Doubt) -> str | None:
        """Whether a message of which nobody knows was sent after all: its id. None: it is safe to send it again.

        All is what `send` was given, by whatever process: one that settles by asking for the same again says the very
        same. Raises `Unavailable` while the provider does not say.
        """
        ...
