"""What was said before, and the conversations there are. Times are local."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from server.channels.websocket import frames
from server.entrypoints.chat.view import Kind, View


def show_past(view: View, page: frames.HistoryPage) -> None:
    edge = "what was said before that: /history with a larger number" if page.more else "the beginning"
    view.show(Kind.REMARK, edge)
    for entry in page.messages:
        reply = Kind.PAST_FAILURE if entry.code else Kind.PAST_REPLY
        view.show(Kind.PAST_QUESTION if entry.role == "user" else reply, entry.text)
        for link in entry.images:
            view.show(Kind.PICTURE, link)


def show_list(view: View, entries: Sequence[frames.ConversationEntry], current: str) -> None:
    """Numbered from 1; the current one has a star."""
    for number, entry in enumerate(entries, 1):
        star = "*" if entry.conversation_id == current else " "
        when = datetime.fromisoformat(entry.updated_at).astimezone()
        row = f"{number:2} {star} {when:%Y-%m-%d %H:%M}  {entry.offset:4} entries  {entry.conversation_id}"
        view.show(Kind.LISTING, row)
