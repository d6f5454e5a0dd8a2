"""Pictures and moderations, as the real client sees them."""

from __future__ import annotations

import struct
import time
import zlib
from base64 import b64decode

import openai
import pytest
from openai import AsyncOpenAI
from openai.types import ModerationTextInputParam

from tests.fakes.openai_server import FakeOpenAI, Fault, Picture, Verdict
from tests.fakes.openai_server.client import whole


async def test_a_picture_is_a_real_png(client: AsyncOpenAI) -> None:
    answer = await client.images.generate(prompt="a cat", model="gpt-image-2", n=2)

    assert answer.data is not None
    pictures = [b64decode(one.b64_json or "") for one in answer.data]
    assert len(pictures) == 2
    assert pictures[0][:8] == b"\x89PNG\r\n\x1a\n"
    width, height, depth, colour = struct.unpack(">IIBB", pictures[0][16:26])
    assert (width, height, depth, colour) == (1, 1, 8, 0)
    length = struct.unpack(">I", pictures[0][33:37])[0]
    assert len(zlib.decompress(pictures[0][41 : 41 + length])) == 2
    assert answer.usage is not None


async def test_a_picture_may_be_blocked(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.images.script(Picture(fault=Fault.MODERATION_BLOCKED))

    with pytest.raises(openai.BadRequestError) as raised:
        await client.images.generate(prompt="a cat")
    assert raised.value.code == "moderation_blocked"
    assert (await client.images.generate(prompt="a cat")).data


async def test_a_picture_may_take_its_time(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.images.script(normal=lambda body: Picture(0.05 if "slow" in body["prompt"] else 0))
    begin = time.monotonic()

    await client.images.generate(prompt="a slow cat")

    assert time.monotonic() - begin >= 0.05


@pytest.mark.parametrize("field", ["output_format", "response_format"])
async def test_only_pngs_are_served(client: AsyncOpenAI, field: str) -> None:
    value = {"output_format": "webp", "response_format": "url"}[field]

    with pytest.raises(openai.BadRequestError) as raised:
        await client.images.generate(prompt="a cat", extra_body={field: value})
    assert raised.value.param == field


async def test_nothing_is_flagged_unless_the_script_says_so(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.moderations.script(Verdict(("violence", "hate")))

    [bad] = (await client.moderations.create(input="you!")).results
    [good] = (await client.moderations.create(input="you!")).results

    assert bad.flagged
    assert (bad.categories.violence, bad.categories.hate, bad.categories.sexual) == (True, True, False)
    assert bad.category_scores.violence > good.category_scores.violence
    assert not good.flagged


async def test_each_text_has_its_result(client: AsyncOpenAI) -> None:
    assert len((await client.moderations.create(input=["one", "two"])).results) == 2
    part: ModerationTextInputParam = {"type": "text", "text": "one"}
    assert len((await client.moderations.create(input=[part, part])).results) == 1


async def test_their_faults_leave_responses_alone(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.images.script(Picture(fault=Fault.OVERLOADED))
    fake.moderations.script(Verdict(fault=Fault.RATE_LIMITED))

    assert (await whole(client)).output_text == "You said: hi"
    with pytest.raises(openai.RateLimitError):
        await client.moderations.create(input="hi")
    with pytest.raises(openai.InternalServerError):
        await client.images.generate(prompt="a cat")


async def test_after_a_reset_of_the_fake_nothing_is_scripted(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.images.script(normal=Picture(fault=Fault.OVERLOADED))

    fake.reset()

    assert (await client.images.generate(prompt="a cat")).data
