"""A small history in which nothing is wrong, made of what bugs can be planted into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from server.model import Draft, Entry, Question, Reply
from tests.scenario.checker import check
from tests.scenario.harms import Harm
from tests.scenario.history import Asked, Event, Got, Kept, Run, Sent, Settled, Socket

TEXTS = {"m1": "👋 one", "m2": "two", "m3": "three"}
OFFSETS = {"m1": 1, "m2": 2, "m3": 5}


@dataclass
class Story:
    """Anna talks on two devices; the server is killed while it answers m2. Her laptop's first socket dies by itself."""

    phone: list[Socket]
    laptop: list[Socket]
    entries: list[Entry]
    runs: list[Run]
    watched: bool = True

    def harms(self) -> list[Harm]:
        runs = self.runs if self.watched else None
        return check([*self.phone, *self.laptop], [Kept("anna", "c", "e", tuple(self.entries))], runs)

    def only_log(self) -> None:
        """Nobody looked."""
        self.watched = False
        for socket in (*self.phone, *self.laptop):
            socket.events = [event for event in socket.events if isinstance(event, Sent)]

    def finally_shown(self, *frames: Event) -> None:
        """To both devices, before they settle."""
        for socket in (self.phone[-1], self.laptop[-1]):
            socket.events[-2:-2] = frames


def said(message_id: str) -> str:
    return f"You said: {TEXTS[message_id]}"


def frame(kind: str, **fields: Any) -> Got:
    return Got({"messageType": kind, "conversationId": "c", **fields})


def connected(offset: int) -> Got:
    return frame("connected", offset=offset, epoch="e")


def resumed(offset: int) -> Got:
    return frame("resumed", epoch="e", recovered=True, offset=offset)


def accepted(message_id: str, *, duplicate: bool = False) -> Got:
    return frame(
        "messageAccepted",
        messageId=message_id,
        offset=OFFSETS[message_id],
        text=TEXTS[message_id],
        duplicate=duplicate,
    )


def response(message_id: str, offset: int) -> Got:
    return frame(
        "assistantResponse",
        messageId=message_id,
        replyId=reply_id(message_id),
        offset=offset,
        message=said(message_id),
        finishReason="stop",
        error=False,
    )


def reply_id(message_id: str) -> str:
    return f"c-{OFFSETS[message_id]}"


def started(message_id: str) -> Got:
    return frame("runStarted", messageId=message_id, replyId=reply_id(message_id))


def deltas(message_id: str) -> list[Got]:
    return [delta(message_id, 0, "You"), delta(message_id, 3, " said:"), delta(message_id, 9, f" {TEXTS[message_id]}")]


def delta(message_id: str, at: int, text: str) -> Got:
    return frame("assistantDelta", replyId=reply_id(message_id), at=at, text=text)


def sent(message_id: str) -> Sent:
    return Sent(message_id, "c", TEXTS[message_id])


def question(message_id: str, created_at: int) -> Question:
    return Question(OFFSETS[message_id], message_id, TEXTS[message_id], created_at)


def reply(message_id: str, offset: int, created_at: int) -> Reply:
    return Reply(offset, OFFSETS[message_id], message_id, Draft(said(message_id), "stop"), created_at)


def whole(message_id: str, offset: int) -> list[Got]:
    return [started(message_id), *deltas(message_id), response(message_id, offset)]


def good_story() -> Story:
    first, second = (TEXTS["m1"], said("m1")), (TEXTS["m2"], said("m2"))
    return Story(
        [Socket("anna/phone", events=events) for events in phone_events()],
        [Socket("anna/laptop", events=events) for events in laptop_events()],
        [
            *(question("m1", 1000), question("m2", 1010), reply("m1", 3, 1500)),
            *(reply("m2", 4, 2500), question("m3", 3000), reply("m3", 6, 3500)),
        ],
        [
            Run("c", 1, 1, 1, 1.1, 1.4, (TEXTS["m1"],)),
            Run("c", 2, 1, 1, 1.6, 1.9, (*first, TEXTS["m2"])),
            Run("c", 2, 2, 2, 2.1, 2.4, (*first, TEXTS["m2"])),
            Run("c", 5, 3, 2, 3.1, 3.4, (*first, *second, TEXTS["m3"])),
        ],
    )


def phone_events() -> list[list[Event]]:
    """There from the start; comes back after the kill, and has forgotten an offset."""
    asked = [Asked("c", 0, "e"), Asked("c", 2, "e")]
    said_both = [accepted("m1"), started("m1"), accepted("m2"), *deltas("m1"), response("m1", 3)]
    third = [accepted("m3"), *whole("m3", 6)]
    return [
        [connected(0), asked[0], resumed(0), sent("m1"), *said_both, started("m2"), deltas("m2")[0]],
        [connected(3), asked[1], resumed(3), response("m1", 3), *whole("m2", 4), sent("m3"), *third, pong(), Settled()],
    ]


def laptop_events() -> list[list[Event]]:
    """Joins each reply in its middle, by a snapshot; the end of the second comes by a replay."""
    asked = [Asked("c", 1, "e"), Asked("c", 3, "e")]
    late = [
        snapshot("m1", "You said:"),
        accepted("m2", duplicate=True),
        deltas("m1")[2],
        response("m1", 3),
        started("m2"),
    ]
    third = [accepted("m3"), *whole("m3", 6)]
    return [
        [connected(1), sent("m2")],
        [connected(2), asked[0], sent("m2"), resumed(2), accepted("m2"), *late],
        [
            connected(3),
            snapshot("m2", "You"),
            asked[1],
            deltas("m2")[1],
            resumed(4),
            response("m2", 4),
            *third,
            pong(),
            Settled(),
        ],
    ]


def pong() -> Got:
    return Got({"messageType": "pong"})


def snapshot(message_id: str, text: str) -> Got:
    return frame("assistantSnapshot", replyId=reply_id(message_id), text=text)


def alter(socket: Socket, old: Got, **fields: Any) -> None:
    socket.events[socket.events.index(old)] = Got({**old.frame, **fields})
