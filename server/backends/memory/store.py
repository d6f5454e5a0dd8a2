"""All of it in one object, and what an operator does to it."""

from __future__ import annotations

from collections.abc import Sequence

from server.backends.memory.assistants import MemoryAssistants
from server.backends.memory.connections import MemoryConnections
from server.backends.memory.log import MemoryLog, no_conversation
from server.backends.memory.notes import MemoryNotes
from server.errors import NotFound
from server.model import Accepted, Conversation, DeadLetter, InboundMessage, SignOut, requeued_id


class MemoryStore(MemoryLog, MemoryAssistants, MemoryConnections, MemoryNotes):
    """Implements the ports SignOuts, DeadLetters and Directory, beside those of the log, of assistants, of connections,
    of notes and of phones. Nothing outlives the process.
    """

    # --- Directory ---

    async def look_up(self, conversation_id: str) -> Conversation:
        kept = self._kept.get(conversation_id)
        if kept is None:
            raise no_conversation()
        return kept.conversation

    async def callers(self, channel: str, after: str, limit: int) -> Sequence[str]:
        here = {kept.conversation.person for kept in self._kept.values() if kept.conversation.channel == channel}
        return sorted(person for person in here if person > after)[:limit]

    # --- SignOuts ---

    async def sign_out(self, person: str) -> None:
        self._sign_outs[person] = self._now()

    async def signed_out_since(self, moment: int) -> Sequence[SignOut]:
        return [SignOut(person, at) for person, at in self._sign_outs.items() if at > moment]

    # --- DeadLetters ---

    async def dead_letters(self, limit: int) -> Sequence[DeadLetter]:
        return list(reversed(self._letters.values()))[:limit]

    async def dead_letter(self, conversation_id: str, offset: int) -> DeadLetter:
        try:
            return self._letters[conversation_id, offset]
        except KeyError:
            raise NotFound("There is no such dead letter.") from None

    async def requeue(self, letter: DeadLetter) -> Accepted:
        message = InboundMessage(letter.person, letter.conversation_id, requeued_id(letter), letter.question.text)
        accepted = await self.accept(message)
        self._letters.pop((letter.conversation_id, letter.question.offset), None)
        return accepted
