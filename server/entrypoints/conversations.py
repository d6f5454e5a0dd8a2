"""Conversations over HTTP: one's own, and for administrators everybody's, by id or by phone number."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.entrypoints import shapes
from server.entrypoints.answers import answer, refusal
from server.entrypoints.gate import identify, query
from server.errors import BadInput, NotFound, ServerError, Unauthorized
from server.inbox.reports import Sent
from server.model import PHONES, Conversation, Entry, Part, Principal, Question, Receipt, number_of, person_of
from server.wiring.server import Server

Handler: TypeAlias = Callable[[Server, Request, Principal], Awaitable[Response]]

PATH = "/api/conversations"
USUAL, MOST = 100, 1000
# Sessions of one person that are read together.
MOST_SESSIONS = 1000
PAGE = 100
# Of what was said, in one answer.
PAGE_BYTES = 256 * 1024
# What else is no name of anything, and not every database can be asked for it.
NUMBER = re.compile(r"\+[0-9]{1,32}")
ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


def routes(server: Server) -> Sequence[Route]:
    def route(path: str, handler: Handler, method: str) -> Route:
        return Route(path, partial(asked, server, handler), methods=[method])

    one = f"{PATH}/{{name:path}}"
    return (route(PATH, list_all, "GET"), route(one, show, "GET"), route(one, delete, "DELETE"))


async def asked(server: Server, handler: Handler, request: Request) -> Response:
    try:
        return await handler(server, request, await identify(server, request.scope))
    except ServerError as error:
        return refusal(error)


# --- the list ---


async def list_all(server: Server, request: Request, who: Principal) -> Response:
    limit, after = limit_of(request), after_of(request)
    mine = await server.conversations.recent(who.person, MOST)
    numbers, more = await phone_numbers(server, after, limit) if is_admin(server, who) else ([], False)
    return answer(shapes.ConversationList(numbers, [summary(one) for one in mine], more))


async def phone_numbers(server: Server, after: str, limit: int) -> tuple[list[str], bool]:
    """Those behind `after`, sorted, and whether there are more."""
    behind = person_of(after) if after else ""
    found = await asyncio.gather(*(server.directory.callers(one, behind, limit + 1) for one in sorted(PHONES)))
    people = sorted({person for some in found for person in some})
    numbers = [number for person in people if (number := number_of(person)) is not None]
    return numbers[:limit], len(numbers) > limit


def summary(one: Conversation) -> shapes.ConversationSummary:
    return shapes.ConversationSummary(
        one.id, one.channel, one.assistant, one.created_at, one.updated_at, one.offset, number_of(one.person)
    )


# --- one of them ---


@dataclass(frozen=True, slots=True)
class Edge:
    """Where a page of messages ends: before the offset in the conversation; the newest message, where it is None."""

    conversation_id: str = ""
    offset: int | None = None

    def __str__(self) -> str:
        return f"{self.conversation_id}.{self.offset}"


async def show(server: Server, request: Request, who: Principal) -> Response:
    """The newest messages, oldest first; `before` asks for those before. The first is shown however long it is."""
    conversations = await named(server, request, who)
    limit, edge = limit_of(request), edge_of(request)
    found: list[shapes.Said] = []
    room, before = PAGE_BYTES, None
    async for said in backwards(server, conversations, edge):
        room -= len(said.content.encode())
        if len(found) == limit or (found and room < 0):
            before = str(Edge(found[-1].conversation_id, found[-1].offset))
            break
        found.append(said)
    return answer(shapes.ConversationShown(await with_deliveries(server, conversations, found[::-1]), before))


async def backwards(server: Server, conversations: Sequence[Conversation], edge: Edge) -> AsyncIterator[shapes.Said]:
    """What was said before the edge, the newest first. Of `conversations` the newest is the first."""
    names = [one.id for one in conversations]
    if edge.conversation_id:
        if edge.conversation_id not in names:
            raise BadInput("before names no place in this conversation; take it from an earlier answer.")
        names = names[names.index(edge.conversation_id) :]
    offset = edge.offset
    for name in names:
        more = True
        while more:
            page = await server.log.before(name, offset, PAGE)
            for entry in reversed(page.entries):
                yield said_in(name, entry)
            more, offset = page.more, page.entries[0].offset if page.entries else None
        offset = None


def said_in(conversation_id: str, entry: Entry) -> shapes.Said:
    role, text = ("user", entry.text) if isinstance(entry, Question) else ("assistant", entry.draft.text)
    return shapes.Said(role, text, entry.offset, entry.created_at, conversation_id)


async def with_deliveries(
    server: Server, conversations: Sequence[Conversation], page: Sequence[shapes.Said]
) -> list[shapes.Said]:
    """Replies to phones say what became of them."""
    channels = {one.id: one.channel for one in conversations if one.channel in PHONES}
    places = {
        said: Sent(channels[said.conversation_id], said.conversation_id, said.offset)
        for said in page
        if said.role == "assistant" and said.conversation_id in channels
    }
    known = await server.reports.deliveries(list(places.values()))
    return [
        replace(said, deliveries=list(map(delivery, known[places[said]]))) if said in places else said for said in page
    ]


def delivery(known: Receipt | Part) -> shapes.Delivery:
    return shapes.Delivery(known.status if isinstance(known, Receipt) else known.state, known.code)


async def delete(server: Server, request: Request, who: Principal) -> Response:
    """A conversation; or all of a phone, and what was noted about its person."""
    conversations = await named(server, request, who)
    number = number_asked(request)
    if number is not None:
        await server.erasure.forget_person(person_of(number))
        return answer(shapes.Deleted(f"Conversation for {number} deleted"))
    for one in conversations:
        await server.erasure.forget(one.person, one.id)
    return Response(status_code=204)


async def named(server: Server, request: Request, who: Principal) -> Sequence[Conversation]:
    """The newest first. Raises `NotFound` if there is none, or none for this person to see."""
    number = number_asked(request)
    if number is not None:
        return await sessions(server, number, who)
    name = request.path_params["name"]
    if is_admin(server, who):
        return [await server.directory.look_up(name)]
    return [await server.conversations.find(who.person, name)]


async def sessions(server: Server, number: str, who: Principal) -> Sequence[Conversation]:
    """All that a phone has, over all its channels."""
    person = person_of(number)
    if who.person != person and not is_admin(server, who):
        raise Unauthorized("Only administrators see what phones say.", code="not_yours")
    found = await server.conversations.recent(person, MOST_SESSIONS)
    if not found:
        raise NotFound("No conversation found for this phone number", code="unknown_conversation")
    return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)


def number_asked(request: Request) -> str | None:
    """None where a conversation is named by its id. Raises `NotFound` for what is neither."""
    name = str(request.path_params["name"])
    if not (NUMBER.fullmatch(name) or ID.fullmatch(name)):
        raise NotFound("No such conversation.", code="unknown_conversation")
    return name if name.startswith("+") else None


def is_admin(server: Server, who: Principal) -> bool:
    return server.settings.admin_group in who.groups


def limit_of(request: Request) -> int:
    given = query(request.scope).get("limit", str(USUAL))
    if not (given.isascii() and given.isdecimal() and len(given) < 10 and 1 <= int(given) <= MOST):
        raise BadInput(f"limit must be a whole number from 1 to {MOST}.")
    return int(given)


def after_of(request: Request) -> str:
    given = query(request.scope).get("after", "")
    if given and not NUMBER.fullmatch(given):
        raise BadInput("after must be a phone number, the last of an earlier answer.")
    return given


def edge_of(request: Request) -> Edge:
    given = query(request.scope).get("before")
    if given is None:
        return Edge()
    conversation_id, _, offset = given.rpartition(".")
    if not conversation_id or not (offset.isascii() and offset.isdecimal() and len(offset) < 10):
        raise BadInput("before names no place in a conversation; take it from an earlier answer.")
    return Edge(conversation_id, int(offset))
