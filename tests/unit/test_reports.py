"""What is known of the messages that replies were sent as."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from server.errors import Unavailable
from server.inbox.reports import AT_ONCE, Reports, Sent
from server.model import Part, Receipt
from tests.unit.phone_scene import Act, Clock, PhoneScene, PhoneStore


class Asked(PhoneStore):
    """Says how often it was asked for parts, and how often at once. `is_away`: it has no answer then."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.is_away = False
        self.asked = self.most = self.under_way = 0

    async def parts_of(self, conversation_id: str, offset: int) -> Sequence[Part]:
        self.asked += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if self.is_away:
            raise Unavailable("The database does not answer.")
        return await super().parts_of(conversation_id, offset)


def reports_of(store: PhoneStore) -> Reports:
    return Reports(store, store, store, time.time)


async def test_each_message_of_a_reply_is_told_of_by_its_receipt_or_else_by_what_we_know() -> None:
    scene = PhoneScene(Act.SENDS, Act.SENDS, Act.REFUSES)
    conversation_id = await scene.begin()
    first, second = await scene.post(conversation_id, "one|two|three", "four")
    await scene.send_all()
    one, two, three = await scene.parts(conversation_id, first)
    [four] = await scene.parts(conversation_id, second)
    assert (one.state, two.state, three.state) == ("sent", "sent", "failed")
    await scene.store.keep_receipt("sms", f"{two.provider_id}", "delivered", None)
    await scene.store.keep_receipt("whatsapp", f"{four.provider_id}", "read", None)
    places = [Sent("sms", conversation_id, offset) for offset in (first, second, second + 2)]
    told = await reports_of(scene.store).deliveries(places)
    receipt = Receipt("sms", f"{two.provider_id}", "delivered", None, int(scene.clock.now * 1000))
    assert [list(told[place]) for place in places] == [[one, receipt, three], [four], []]


async def test_of_a_long_page_few_replies_are_looked_up_at_once() -> None:
    store = Asked()
    places = [Sent("sms", "c_1", offset) for offset in range(3 * AT_ONCE + 1)]
    assert list(await reports_of(store).deliveries(places)) == places
    assert (store.asked, store.most) == (len(places), AT_ONCE)


async def test_a_store_that_does_not_answer_is_not_asked_for_the_rest() -> None:
    store = Asked()
    store.is_away = True
    with pytest.raises(Unavailable):
        await reports_of(store).deliveries([Sent("sms", "c_1", offset) for offset in range(3 * AT_ONCE)])
    assert store.asked == AT_ONCE
