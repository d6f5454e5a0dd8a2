"""Everything replaceable, as small Protocols. A docstring here is a promise, and the contract suites hold every
backend to it.

Any method that reaches a backend may raise `Unavailable`: then nothing is known of its effect, and asking again is
safe.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol

from server.model import (
    Accepted,
    Assistant,
    Caller,
    Conversation,
    DeadLetter,
    Draft,
    Event,
    Frame,
    InboundMessage,
    Lease,
    Move,
    Note,
    Page,
    Principal,
    Prompt,
    RunEvent,
    Settled,
    SignOut,
    Step,
    ToolCall,
    ToolResult,
    Version,
    Window,
)


class Verifier(Protocol):
    """Who holds this token?"""

    async def verify(self, token: str) -> Principal:
        """Raises `Unauthorized` for every token that is not entirely in order, whatever is wrong with it."""
        ...


class Conversations(Protocol):
    """Who talks where. A person has one current conversation per channel."""

    async def current(self, person: str, channel: str, assistant: str) -> Conversation:
        """The person's current conversation; the first call of a person makes it. Called twice at once, one is made."""
        ...

    async def create(self, person: str, channel: str, assistant: str) -> Conversation:
        """A new one, now the current one."""
        ...

    async def find(self, person: str, conversation_id: str) -> Conversation:
        """Raises `NotFound`, for another person's too."""
        ...

    async def recent(self, person: str, limit: int) -> Sequence[Conversation]:
        """The person's conversations, the one last spoken in first."""
        ...

    async def delete(self, person: str, conversation_id: str) -> None:
        """Forget it and all that was said in it; a lease on it is lost. Raises `NotFound`, for another person's too."""
        ...


class Log(Protocol):
    """What was said, in which order. Offsets of a conversation begin at 1 and have no gaps."""

    async def accept(self, message: InboundMessage) -> Accepted:
        """Append the message as a question, once. Durable when it returns.

        A `message_id` that the person used within the last 7 days changes nothing: the first answer again, `duplicate`;
        with another text, `Conflict`. `NotFound` if the conversation is not the person's, `TooMany` if too many
        questions of it wait, or one does and the message is not to wait. One that interrupts cancels those that wait.
        Messages are accepted in the order of the calls.
        """
        ...

    async def cancel(self, person: str, conversation_id: str, message_id: str | None) -> None:
        """Cancel a question that waits, the oldest if none is named; it is due at once. Durable when it returns.

        `NotFound` if the conversation is not the person's, or no such question waits.
        """
        ...

    async def after(self, conversation_id: str, offset: int, limit: int) -> Page:
        """The entries that follow `offset`, oldest first; fewer than `limit` if they are large."""
        ...

    async def before(self, conversation_id: str, offset: int | None, limit: int) -> Page:
        """The entries just before `offset` (None: the newest), oldest first; fewer than `limit` if they are large."""
        ...

    async def waiting(self, limit: int) -> Sequence[str]:
        """Conversations with an unanswered question that nobody works on and whose time has come."""
        ...


class Leases(Protocol):
    """Who works on which conversation. At most one lease of a conversation holds at a time.

    Every method but `take` raises `LeaseLost`, and changes nothing, once a later attempt was leased or this one let go.
    """

    async def take(self, conversation_id: str, owner: str) -> Lease | None:
        """Lease the conversation for its oldest unanswered question.

        None if nothing waits, if another lease holds, or if a failed question is not due yet. It counts as a try.
        """
        ...

    async def renew(self, lease: Lease) -> Lease:
        """Hold it for the lease time again, from now. The lease as it is now: perhaps cancelled."""
        ...

    async def answer(self, lease: Lease, draft: Draft) -> Settled:
        """Append the reply and go on to the next question, or let go if none waits, in one durable step.

        A draft with a code is also filed under dead letters. Asked again with the same lease, it changes nothing and
        gives the stored reply.
        """
        ...

    async def fail(self, lease: Lease, retry_after: float) -> None:
        """Count a failure and let go; the question keeps its place and is due in `retry_after` seconds."""
        ...

    async def hand_back(self, lease: Lease) -> None:
        """Let go without a failure."""
        ...


class SignOuts(Protocol):
    """People whose tokens are refused, whatever these say, until they get new ones."""

    async def sign_out(self, person: str) -> None:
        """Refuse every token of the person that was issued until now."""
        ...

    async def signed_out_since(self, moment: int) -> Sequence[SignOut]:
        """Those after `moment`, each person once."""
        ...


class DeadLetters(Protocol):
    """Questions that ended in an error, for an operator to look at and ask again."""

    async def dead_letters(self, limit: int) -> Sequence[DeadLetter]:
        """The newest first."""
        ...

    async def dead_letter(self, conversation_id: str, offset: int) -> DeadLetter:
        """The one of this question. Raises `NotFound`."""
        ...

    async def requeue(self, letter: DeadLetter) -> Accepted:
        """Ask the question anew, at the end of its conversation, and take the letter away; in one durable step."""
        ...


class Bell(Protocol):
    """Says that a conversation has work, and nothing else. Rings may be lost, doubled, late or out of order."""

    async def ring(self, conversation_id: str, delay: float = 0) -> None:
        """`delay` is seconds."""
        ...

    def rings(self) -> AsyncIterator[str]:
        """Conversation ids, for ever."""
        ...


class Runs(Protocol):
    """What the turn under way has come to so far, for the next attempt at it. Forgotten once its reply is stored.

    Every method raises `LeaseLost`, and changes nothing, once the lease no longer holds.
    """

    async def note(self, lease: Lease, step: Step) -> None:
        """Durable when it returns."""
        ...

    async def steps(self, lease: Lease) -> Sequence[Step]:
        """In the order they were noted."""
        ...

    async def bind(self, lease: Lease, thread: str) -> None:
        """Keep the provider's thread with the conversation, in place of an earlier one. Durable when it returns."""
        ...


class Versions(Protocol):
    """Definitions of assistants as they were written, for good."""

    async def keep_version(self, name: str, version: str, body: str) -> Version:
        """Durable when it returns. One that is kept already stays as it is, and is given back."""
        ...

    async def version(self, name: str, prefix: str) -> Version:
        """The one whose id begins so. `NotFound` if there is none, `Conflict` if there are several."""
        ...

    async def versions(self, name: str | None = None) -> Sequence[Version]:
        """The newest first; without a name those of every assistant."""
        ...

    async def forget_assistant(self, name: str) -> None:
        """Let go of all its versions, and of its aliases in every stage, in one durable step."""
        ...


class Aliases(Protocol):
    """Which version of an assistant is used in which stage, and was before."""

    async def point_alias(self, name: str, stage: str, version: str, provider_id: str | None = None) -> Move:
        """Point it there. Durable when it returns. `NotFound` if no such version is kept.

        Where it points there already this is no move: only the `provider_id` is put in place of the earlier one.
        """
        ...

    async def roll_back(self, name: str, stage: str) -> Move:
        """Undo its newest move; the one before it, which holds again. `NotFound` without an alias, `Conflict` if
        nothing is before.
        """
        ...

    async def alias(self, name: str, stage: str) -> Move:
        """The move that holds. `NotFound` if there is no such alias."""
        ...

    async def moves(self, name: str | None = None) -> Sequence[Move]:
        """Of every stage, undone ones too, the newest first; without a name those of every assistant."""
        ...

    async def drop_alias(self, name: str, stage: str) -> None:
        """Let go of the alias and its moves; the versions stay. One that is not there is no error."""
        ...


class Notes(Protocol):
    """What the model wants to know about a person the next time. The newest 200 are kept."""

    async def add(self, person: str, key: str, text: str) -> None:
        """Durable when it returns. A key that the person has a note of changes nothing.

        `BadInput` for a text that is empty, holds a NUL character, or has more than 2,000 characters.
        """
        ...

    async def of(self, person: str, limit: int) -> Sequence[Note]:
        """The newest first."""
        ...


class Catalog(Protocol):
    """Which definition answers."""

    async def find(self, reference: str, channel: str) -> Assistant:
        """The version that a name, name@stage or name@version means now. Cheap enough for every turn.

        The configured assistant, where there is none of this name any more.
        """
        ...

    async def check(self, reference: str) -> None:
        """Raises `NotFound` if a conversation cannot be begun with it."""
        ...


class Toolbox(Protocol):
    """What the model may have done."""

    async def call(self, call: ToolCall, caller: Caller) -> ToolResult:
        """Whatever goes wrong is a failed result, for the model to read. Ends within the tool's own time."""
        ...


class Engine(Protocol):
    """The model behind the assistant."""

    def window(self, assistant: Assistant) -> Window:
        """How much a prompt may hold."""
        ...

    def respond(self, prompt: Prompt) -> AsyncGenerator[RunEvent]:
        """One run: words as they come, then exactly one `ToolsWanted` or `Finished`.

        A thread or a run that outlives us is told of as soon as it is there; nothing is done with it before the event
        has been taken. With a handle it goes on with that run, and begins another only if that one cannot give a reply.
        Raises `Unavailable` when another run may succeed (with `retry_after` if the provider said so) and
        `ProviderFailed` when it will not, also after words were given. Closing the iterator leaves a run that outlives
        us to itself, and ends any other.
        """
        ...

    async def cancel(self, handle: str) -> None:
        """End the run at the provider; one that is over, or unknown there, is no error."""
        ...

    async def forget(self, thread: str) -> None:
        """Let go of what the provider keeps for a conversation; a thread that is unknown there is no error."""
        ...


class Connections(Protocol):
    """Which sockets a person has open."""

    async def of(self, person: str) -> Sequence[str]:
        """Connection ids, the oldest first."""
        ...


class Pusher(Protocol):
    """Bytes to a socket: API Gateway's @connections contract."""

    async def push(self, connection_id: str, frame: Frame, attempt: int = 0) -> None:
        """Frames arrive in the order pushed. Never waits for a slow reader. Raises `ConnectionGone`.

        A turn's frame carries its attempt; one of a lower attempt than was seen before is dropped.
        """
        ...


class Delivery(Protocol):
    """Events to wherever the person listens."""

    async def send(self, person: str, event: Event, attempt: int = 0) -> None:
        """To every device of the person, in the order of the calls. A device that is gone is no error: what was said is
        in the log. `attempt`: the one of the turn that says it.
        """
        ...
