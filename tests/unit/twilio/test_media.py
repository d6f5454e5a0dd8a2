"""Pictures are fetched from Twilio and from nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from server.channels.twilio.media import MOST_BYTES, Media
from server.errors import BadInput, Unavailable
from tests.fakes.twilio_server import ACCOUNT, TOKEN, FakeTwilio, Fault, twilio_server


@pytest.fixture
async def fake() -> AsyncIterator[FakeTwilio]:
    async with twilio_server() as running:
        yield running


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file:///etc/passwd",
        "http://api.twilio.com/1",
        "https://api.twilio.com.evil.example/1",
        "https://api.twilio.com@evil.example/1",
        "https://evil.example/api.twilio.com",
        "https://evil.example/?.twiliocdn.com",
        "https://eviltwiliocdn.com/1",
        "http://media.twiliocdn.com/1",
        "https://media.twiliocdn.com:8443/1",
        "https://media.twiliocdn.com.evil.example/1",
        "https://127.0.0.1/1",
        "http://169.254.169.254/latest/meta-data",
        "//api.twilio.com/1",
        "https:\\\\api.twilio.com\\1",
        "https://[",
        "https://[::1]evil.twiliocdn.com/1",
        "https://evil.example\\.twiliocdn.com/1",
        "https://evil.example;.twiliocdn.com/1",
        "https://evil.example@media.twiliocdn.com/1",
        "https://evil\u2100.example.twiliocdn.com/1",
    ],
)
async def test_no_other_place_is_asked(url: str) -> None:
    with pytest.raises(BadInput) as refused:
        await Media(ACCOUNT, TOKEN, "https://api.twilio.com").fetch(url)
    assert refused.value.code == "bad_media"


def test_only_twilios_api_is_told_who_asks() -> None:
    media = Media(ACCOUNT, TOKEN, "https://api.twilio.com")
    assert "Authorization" in media._headers("https://api.twilio.com/1")
    assert media._headers("https://media.twiliocdn.com/1") == {}


async def test_it_is_followed_to_where_it_is_kept(fake: FakeTwilio) -> None:
    assert await Media(ACCOUNT, TOKEN, fake.url).fetch(fake.picture("ME1", b"picture")) == b"picture"


async def test_the_token_must_be_right(fake: FakeTwilio) -> None:
    with pytest.raises(BadInput):
        await Media(ACCOUNT, "another", fake.url).fetch(fake.picture("ME1", b"picture"))


async def test_too_large_a_picture_is_left_where_it_is(fake: FakeTwilio) -> None:
    with pytest.raises(BadInput) as refused:
        await Media(ACCOUNT, TOKEN, fake.url).fetch(fake.picture("ME1", b"x" * (MOST_BYTES + 1)))
    assert refused.value.code == "media_too_large"


async def test_while_twilio_is_away_it_may_come_later() -> None:
    async with twilio_server() as gone:
        url = gone.picture("ME1", b"picture")
    with pytest.raises(Unavailable):
        await Media(ACCOUNT, TOKEN, gone.url).fetch(url)


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.INTERNAL, Fault.BUSY, Fault.MISSING, Fault.CUT])
async def test_what_may_pass_is_told_apart_from_what_will_not(fake: FakeTwilio, fault: Fault) -> None:
    media, url = Media(ACCOUNT, TOKEN, fake.url), fake.picture("ME1", b"picture")
    fake.media_faults.append(fault)
    with pytest.raises(Unavailable):
        await media.fetch(url)
    assert await media.fetch(url) == b"picture"


async def test_no_way_leads_to_another_place(fake: FakeTwilio) -> None:
    async with twilio_server() as elsewhere:
        elsewhere.picture("ME1", b"secret")
        fake.store = elsewhere.url
        with pytest.raises(BadInput) as refused:
            await Media(ACCOUNT, TOKEN, fake.url).fetch(fake.picture("ME1", b"picture"))
    assert refused.value.code == "bad_media"
    assert elsewhere.given == []


async def test_a_way_that_leads_in_a_circle_has_an_end(fake: FakeTwilio) -> None:
    url = fake.picture("circle", b"picture")
    fake.store = url.removesuffix("/circle") + "/circle?"
    with pytest.raises(BadInput):
        await Media(ACCOUNT, TOKEN, fake.url).fetch(url)
    assert fake.given == []
