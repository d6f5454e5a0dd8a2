"""What was said in a conversation, as its answers tell it."""

from __future__ import annotations

from collections.abc import Sequence

from server.channels.http_chat import Told
from server.errors import Conflict, NotFound, ProviderFailed, Unavailable
from server.model import Accepted, Conversation, Draft, Question, Reply
from server.ports import Log

# Three exchanges have more than the five messages that are shown.
WANTED = 3
PAGE = 2 * WANTED
MOST_PAGES = 100
CANCELLED = "cancelled"


async def reply_to(log: Log, conversation: Conversation, accepted: Accepted) -> int | None:
    """The offset of the reply, once there is one."""
    edge = accepted.offset
    while conversation.answered >= accepted.offset:
        page = await log.after(conversation.id, edge, PAGE)
        for entry in page.entries:
            if isinstance(entry, Reply) and entry.answers(accepted.offset):
                return entry.offset
        if not page.entries:
            break
        edge = page.entries[-1].offset
    return None


async def story_until(log: Log, conversation_id: str, reply: int) -> Sequence[Told]:
    """The newest of it, oldest first, up to the reply of this offset.

    Told turn by turn, as the model was shown it; what came to nothing is left out. Raises what the last reply says if
    it is an error.
    """
    found: list[Told] = []
    replies: dict[int, Draft] = {}
    edge = reply + 1
    for _ in range(MOST_PAGES):
        page = await log.before(conversation_id, edge, PAGE)
        if edge > reply:
            check(page.entries[-1] if page.entries else None)
        for entry in reversed(page.entries):
            match entry:
                case Reply(_, question, _, draft) if draft.code is None and (draft.text or draft.images):
                    replies[question] = draft
                case Question() if entry.offset in replies:
                    found.append(Told(entry.text, replies.pop(entry.offset)))
        if len(found) >= WANTED or not page.more:
            break
        edge = page.entries[0].offset
    return found[WANTED - 1 :: -1]


def check(last: object) -> None:
    """Raises what became of the message, unless that is an answer."""
    match last:
        case Reply(draft=Draft(code=None, text="", images=(), finish_reason=reason)) if reason == CANCELLED:
            raise Conflict("The message was cancelled.", code=CANCELLED)
        case Reply(draft=Draft(code=None)):
            return
        case Reply(draft=Draft(code=str(code), text=text, retryable=True)):
            raise Unavailable(text, code=code, retry_after=5)
        case Reply(draft=Draft(code=str(code), text=text)):
            raise ProviderFailed(text, code=code)
        case _:
            raise NotFound("The conversation was deleted.", code="unknown_conversation")
