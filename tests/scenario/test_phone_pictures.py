"""Pictures by SMS and WhatsApp: from the webhook to the picture that the phone shows."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import httpx2
import pytest
from PIL import Image

from server.backends.folder import FolderFiles
from server.model.segments import segments_of
from tests.fakes.azure_server import FakeAzure
from tests.fakes.openai_server import FakeOpenAI, Picture
from tests.fakes.openai_server import Fault as ProviderFault
from tests.fakes.twilio_server import OURS, PERSON, FakeTwilio
from tests.ministack import Cloud
from tests.scenario.phones import PUBLIC, Phone, twilio_settings
from tests.scenario.process import ServerProcess, Start, run_command
from tests.scenario.test_images import paid, paint
from tests.scenario.texting import texting

WHATSAPP = {"From": f"whatsapp:{PERSON}", "To": f"whatsapp:{OURS}"}
PAINTED = (1, 1)

Content: TypeAlias = Callable[[str], Awaitable[bytes]]


@pytest.fixture
def content(request: pytest.FixtureRequest, kept: Mapping[str, object], tmp_path: Path) -> Content:
    """Of the file under a key, wherever the server keeps it."""

    async def in_folder(key: str) -> bytes:
        return (await FolderFiles(tmp_path / "files", lambda key, _seconds: key).get(key)).content

    async def in_bucket(key: str) -> bytes:
        cloud: Cloud = request.getfixturevalue("cloud")
        found: bytes = cloud.client("s3").get_object(Bucket=kept["BUCKET_NAME"], Key=key)["Body"].read()
        return found

    return in_bucket if kept else in_folder


async def open_link(server: ServerProcess, link: str) -> Image.Image:
    """What a phone, or Twilio, finds there."""
    assert link.startswith(f"{PUBLIC}/files/images/")
    async with httpx2.AsyncClient(trust_env=False) as http:
        shown = await http.get(link.replace(PUBLIC, server.http))
    assert shown.status_code == 200, shown.text
    assert (shown.headers["content-type"], shown.headers["x-content-type-options"]) == ("image/jpeg", "nosniff")
    return Image.open(io.BytesIO(shown.content))


def png() -> bytes:
    drawn = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(drawn, "PNG", pnginfo=None)
    return drawn.getvalue()


async def test_a_picture_that_came_is_kept_and_the_words_with_it(
    phone: Phone, provider: FakeOpenAI, content: Content
) -> None:
    url = phone.fake.picture("ME1", png())
    pictures = {"NumMedia": "4", "MediaUrl0": url, "MediaUrl1": "https://evil.example/x.png"}
    gone, script = phone.fake.url + "/store/ME9", phone.fake.picture("ME2", b"<script>")
    await phone.says("Look!", **WHATSAPP, **pictures, MediaUrl2=gone, MediaUrl3=script)
    await phone.hears(1)
    words, received, *lost = provider.questions[-1].body["input"][-1]["content"].split("\n")
    assert words == "Look!"
    assert lost == ["[a picture that could not be opened]"] * 3
    file = await content(received.removeprefix("[picture ").removesuffix("]"))
    assert Image.open(io.BytesIO(file)).size == (8, 8)


async def test_a_wish_on_whatsapp_becomes_a_picture_and_the_same_wish_the_same_one(
    kept: Mapping[str, object], start: Start, twilio: FakeTwilio, provider: FakeOpenAI
) -> None:
    provider.script(normal=paint)
    async with start(**kept, WHATSAPP_ASSISTANT_ID="images", **twilio_settings(twilio)) as server:
        phone = Phone(twilio, server)
        for count in (1, 2):
            await phone.says("Draw a canary.", **WHATSAPP)
            assert (await phone.hears(count))[-1].startswith("Tool: The picture is made.")
        links = [link for message in twilio.messages for link in message.asked["MediaUrl"]]
        assert [(await open_link(server, link)).size for link in links] == [PAINTED] * 2
    assert paid(provider) == 1


async def test_an_image_command_gets_a_picture_without_asking_the_model(phone: Phone, provider: FakeOpenAI) -> None:
    await phone.says("/image a red fox", **WHATSAPP)
    assert await phone.hears(1) == ["Here is your picture."]
    await phone.says("hello", **WHATSAPP)
    await phone.hears(2)
    assert [asked["content"] for asked in provider.questions[0].body["input"]] == ["hello"]
    [link] = phone.fake.messages[0].asked["MediaUrl"]
    assert (await open_link(phone.server, link)).size == PAINTED


async def test_by_sms_a_picture_is_a_link_that_costs_one_segment(phone: Phone, provider: FakeOpenAI) -> None:
    await phone.says("/image a red fox")
    words, link = await phone.hears(2)
    assert (words, segments_of(link)) == ("Here is your picture.", 1)
    assert (await open_link(phone.server, link)).size == PAINTED
    assert paid(provider) == 1


async def test_one_process_makes_the_link_and_another_takes_it(
    cloud: Cloud, start: Start, twilio: FakeTwilio, provider: FakeOpenAI, tmp_path: Path
) -> None:
    cloud.empty()
    settings = {**cloud.cluster_settings(), **twilio_settings(twilio)}
    (tmp_path / "other").mkdir()
    async with start(**settings) as one, start(**settings, DATA_DIR=tmp_path / "other") as other:
        await Phone(twilio, one).says("/image a red fox")
        _, link = await Phone(twilio, one).hears(2)
        for server in (one, other):
            assert (await open_link(server, link)).size == PAINTED


async def test_by_sms_through_azure_too_and_only_where_a_phone_can_open_the_link(
    kept: Mapping[str, object], start: Start, provider: FakeOpenAI, sms: FakeAzure
) -> None:
    async with texting(start, sms, **kept) as phone:
        assert (await phone.ask("/image a red fox")).text == "No pictures are made here."
        # One that is killed before it has noted the text keeps the next to the same phone waiting.
        assert await phone.server.stop() == 0
    assert paid(provider) == 0
    async with texting(start, sms, PUBLIC_URL=PUBLIC, **kept) as phone:
        await phone.text("/image a red fox")
        _, words, link = [sent.text for sent in await sms.until_sent(3)]
        assert (words, segments_of(link)) == ("Here is your picture.", 1)
        assert (await open_link(phone.server, link)).size == PAINTED
    assert paid(provider) == 1


async def test_where_no_pictures_are_made_the_command_says_so(start: Start, twilio: FakeTwilio) -> None:
    async with start(OPENAI_IMAGE_MODEL="none", **twilio_settings(twilio)) as server:
        phone = Phone(twilio, server)
        await phone.says("/image a red fox")
        assert await phone.hears(1) == ["No pictures are made here."]


async def test_a_picture_that_the_provider_refuses_is_a_sentence(
    start: Start, twilio: FakeTwilio, provider: FakeOpenAI
) -> None:
    provider.images.script(Picture(fault=ProviderFault.MODERATION_BLOCKED))
    async with start(**twilio_settings(twilio)) as server:
        phone = Phone(twilio, server)
        await phone.says("/image a red fox")
        [said] = await phone.hears(1)
    assert "rules for pictures do not allow" in said


@pytest.mark.parametrize(
    "trouble", [Picture(delay=30), Picture(fault=ProviderFault.SERVER_ERROR), Picture(fault=ProviderFault.RESET)]
)
async def test_a_picture_that_may_have_been_made_is_paid_for_once(
    start: Start, twilio: FakeTwilio, provider: FakeOpenAI, trouble: Picture
) -> None:
    provider.images.script(normal=trouble)
    async with start(IMAGE_TIMEOUT_IN_SECONDS=1, **twilio_settings(twilio)) as server:
        phone = Phone(twilio, server)
        await phone.says("/image a red fox")
        [said] = await phone.hears(1)
        await phone.says("hello")
        assert await phone.hears(2) == [said, "You said: hello"]
    assert "icture" in said
    assert paid(provider) == 1


async def test_a_day_has_so_many_pictures_and_then_a_sentence(
    start: Start, twilio: FakeTwilio, provider: FakeOpenAI
) -> None:
    async with start(IMAGES_PER_DAY=1, **twilio_settings(twilio)) as server:
        phone = Phone(twilio, server)
        await phone.says("/image a red fox")
        await phone.hears(2)
        await phone.says("/image a blue fox")
        assert (await phone.hears(3))[2].startswith("No more than 1 new pictures a day")
        code, printed, errors = await run_command("dead-letters", "list", data_dir=server.data_dir)
        assert (code, printed) == (0, "There are no dead letters.\n"), errors
    assert paid(provider) == 1
