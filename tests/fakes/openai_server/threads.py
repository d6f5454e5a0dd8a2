"""/v1/threads and their messages."""

from __future__ import annotations

import time
from uuid import uuid4

from starlette.routing import Route

from tests.fakes.openai_server.asking import wants
from tests.fakes.openai_server.assistants import BetaDesk
from tests.fakes.openai_server.fake import FakeOpenAI
from tests.fakes.openai_server.faults import Denial, Denied
from tests.fakes.openai_server.kept import keep
from tests.fakes.openai_server.paging import page
from tests.fakes.openai_server.serving import Asked, Told, whole
from tests.fakes.openai_server.thread import Thread
from tests.fakes.openai_server.thread_objects import deleted, thread_object


def threads_routes(fake: FakeOpenAI, desk: BetaDesk) -> list[Route]:
    threads = Threads(fake)
    one = "/threads/{thread_id}"
    return [
        desk.route("POST", "/threads", threads.create),
        desk.route("GET", one, threads.retrieve),
        desk.route("DELETE", one, threads.delete),
        desk.route("POST", f"{one}/messages", threads.add_message),
        desk.route("GET", f"{one}/messages", threads.list_messages),
    ]


class Threads:
    def __init__(self, fake: FakeOpenAI) -> None:
        self._fake = fake

    def create(self, asked: Asked) -> Told:
        thread = Thread(thread_object(asked.body, f"thread_{uuid4().hex}", int(time.time())))
        for body in asked.body.get("messages") or ():
            thread.add(body)
        keep(self._fake.kept.threads, thread.id, thread)
        return whole(thread.shown)

    def retrieve(self, asked: Asked) -> Told:
        return whole(thread_of(self._fake, asked).shown)

    def delete(self, asked: Asked) -> Told:
        thread = thread_of(self._fake, asked)
        del self._fake.kept.threads[thread.id]
        return whole(deleted("thread", thread.id))

    def add_message(self, asked: Asked) -> Told:
        thread = thread_of(self._fake, asked)
        for name in ("role", "content"):
            wants(asked.body, name)
        active = thread.busy_with()
        if active is not None:
            raise Denied(Denial(400, f"Can't add messages to {thread.id} while a run {active} is active."))
        return whole(thread.add(asked.body))

    def list_messages(self, asked: Asked) -> Told:
        thread = thread_of(self._fake, asked)
        by = asked.query.get("run_id")
        return whole(page([one for one in thread.messages if by is None or one["run_id"] == by], asked.query))


def thread_of(fake: FakeOpenAI, asked: Asked) -> Thread:
    """As it is by now."""
    thread = fake.kept.threads.get(asked.path["thread_id"])
    if thread is None:
        raise Denied(no_thread(asked.path["thread_id"]))
    thread.settle()
    return thread


def no_thread(thread_id: str) -> Denial:
    return Denial(404, f"No thread found with id '{thread_id}'.")
