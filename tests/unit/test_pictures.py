"""Pictures by their descriptions: paid for once, found again, refused in words."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from io import BytesIO
from pathlib import Path

import pytest
import structlog
from PIL import Image

from server.assistant.pictures import Allowance, Claims, Pictures, Style
from server.assistant.pictures.pictures import name_of
from server.assistant.tools.toolbox import Tools
from server.backends.folder import FolderFiles, prepare_folder
from server.backends.memory import MemoryFiles, MemoryStore
from server.errors import BadInput, InDoubt, ProviderFailed, Refused, ServerError, TooMany, Unavailable
from server.model import NO_PICTURES, Caller, File, ToolCall, ToolResult, nobodys
from server.ports import ServedFiles
from server.settings import read_settings
from server.wiring.files import Shelf
from server.wiring.pictures import open_pictures
from server.wiring.tools import open_tools
from tests.fakes.openai_server import FakeOpenAI, Fault, Picture, openai_server

CANARY = "a violet canary on a bicycle"
STYLE = Style("m", "1024x1024", "low")
USUAL = Style("gpt-image-2.5-flare", "1024x1024", "medium")


def caller(person: str = "anna", key: str = "c_1-1-call_1") -> Caller:
    return Caller(person, "c_1", "websocket", key)


@pytest.fixture
async def provider() -> AsyncIterator[FakeOpenAI]:
    async with openai_server() as fake:
        yield fake
        assert fake.violations == []


def asked(provider: FakeOpenAI) -> list[dict[str, object]]:
    return [one.body for one in provider.requests if one.path == "/v1/images/generations"]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(lease_seconds=30, most_waiting=5)


@pytest.fixture
def files() -> MemoryFiles:
    return MemoryFiles(lambda key, seconds: key)


@asynccontextmanager
async def process(
    provider: FakeOpenAI, files: ServedFiles, store: MemoryStore, **settings: object
) -> AsyncIterator[Pictures]:
    """One of those that share the files."""
    async with AsyncExitStack() as stack:
        read = read_settings(_env_file=None, openai_base_url=provider.base_url, **settings)
        pictures = await open_pictures(read, Shelf(files, 60), store, stack)
        assert pictures is not None
        yield pictures


@pytest.fixture
async def pictures(provider: FakeOpenAI, files: MemoryFiles, store: MemoryStore) -> AsyncIterator[Pictures]:
    async with process(provider, files, store) as opened:
        yield opened


async def test_a_picture_is_asked_for_as_the_settings_say_and_kept_drawn_anew(
    provider: FakeOpenAI, files: MemoryFiles, pictures: Pictures
) -> None:
    key = await pictures.picture(CANARY, caller())
    [body] = asked(provider)
    assert body["prompt"] == CANARY
    assert (body["model"], body["size"], body["quality"], body["n"]) == (
        "gpt-image-2.5-flare",
        "1024x1024",
        "medium",
        1,
    )
    assert "anna" not in json.dumps(body)
    kept = await files.get(key)
    assert (kept.content_type, Image.open(BytesIO(kept.content)).format) == ("image/jpeg", "JPEG")


@pytest.mark.parametrize("again", [CANARY, f"  {CANARY}\n", CANARY.replace(" ", "\t "), CANARY.replace("a", "\uff41")])
async def test_what_was_painted_once_is_found_again(provider: FakeOpenAI, pictures: Pictures, again: str) -> None:
    key = await pictures.picture(CANARY, caller())
    assert await pictures.picture(again, caller("ben")) == key
    assert len(asked(provider)) == 1


def test_what_a_picture_depends_on_is_in_its_name() -> None:
    others = [
        name_of(CANARY.upper(), STYLE),
        name_of(CANARY, Style("n", STYLE.size, STYLE.quality)),
        name_of(CANARY, Style("m", "1536x1024", STYLE.quality)),
        name_of(CANARY, Style("m", STYLE.size, "high")),
        name_of(f"{CANARY}m", Style("", STYLE.size, STYLE.quality)),
    ]
    assert len({name_of(CANARY, STYLE), *others}) == 6


async def test_many_at_once_are_one_request(provider: FakeOpenAI, pictures: Pictures) -> None:
    provider.images.script(Picture(delay=0.1))
    keys = await asyncio.gather(*(pictures.picture(CANARY, caller(f"p{number}")) for number in range(20)))
    assert len(set(keys)) == 1
    assert len(asked(provider)) == 1


@pytest.mark.parametrize("shared", ["memory", "folder"])
async def test_two_processes_at_once_pay_once(
    provider: FakeOpenAI, store: MemoryStore, files: MemoryFiles, tmp_path: Path, shared: str
) -> None:
    provider.images.script(Picture(delay=0.5))
    kept: ServedFiles = files
    if shared == "folder":
        prepare_folder(tmp_path)
        kept = FolderFiles(tmp_path, lambda key, seconds: key)
    async with process(provider, kept, store) as one, process(provider, kept, store) as other:
        first, second = await asyncio.gather(
            one.picture(CANARY, caller(key="1")), other.picture(CANARY, caller("ben", "2"))
        )
    assert first == second
    assert len(asked(provider)) == 1


async def test_two_processes_with_the_same_call_pay_once(
    provider: FakeOpenAI, files: MemoryFiles, store: MemoryStore
) -> None:
    """As when a turn goes on elsewhere while its old owner, which lost it, still waits for the picture."""
    provider.images.script(Picture(delay=0.5))
    async with process(provider, files, store) as one, process(provider, files, store) as other:
        first, second = await asyncio.gather(one.picture(CANARY, caller()), other.picture(CANARY, caller()))
    assert first == second
    assert len(asked(provider)) == 1


async def test_a_call_that_is_made_again_after_a_crash_finds_its_claim_free_in_time(
    provider: FakeOpenAI, files: MemoryFiles, store: MemoryStore
) -> None:
    assert await Claims(files, seconds=1).claim(name_of(CANARY, USUAL)).take()
    async with process(provider, files, store, image_timeout_in_seconds=3) as pictures:
        await pictures.picture(CANARY, caller())
    assert len(asked(provider)) == 1


async def test_who_has_no_allowance_left_takes_nobody_elses(
    provider: FakeOpenAI, files: MemoryFiles, store: MemoryStore
) -> None:
    async with process(provider, files, store, images_per_day=1) as pictures:
        await pictures.picture("another", caller(key="c_1-0"))
        told = await asyncio.gather(
            *(pictures.picture(CANARY, caller(one, f"c_1-{one}")) for one in ("anna", "ben", "cleo")),
            return_exceptions=True,
        )
        assert [isinstance(one, TooMany) for one in told] == [True, False, False]
        assert len(asked(provider)) == 2
        await pictures.picture("a third", caller("cleo", "c_3-1"))


async def test_who_leaves_does_not_end_what_is_paid_for(provider: FakeOpenAI, pictures: Pictures) -> None:
    provider.images.script(Picture(delay=0.3))
    leaving = asyncio.create_task(pictures.picture(CANARY, caller()))
    await provider.until(lambda: len(asked(provider)) == 1)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await pictures.picture(CANARY, caller())
    assert len(asked(provider)) == 1


async def test_a_refusal_is_a_sentence_and_nothing_of_it_is_kept(
    provider: FakeOpenAI, files: MemoryFiles, pictures: Pictures
) -> None:
    provider.images.script(Picture(fault=Fault.MODERATION_BLOCKED))
    with (
        structlog.testing.capture_logs() as lines,
        pytest.raises(ProviderFailed, match="rules for pictures") as refused,
    ):
        await pictures.picture(CANARY, caller())
    assert refused.value.code == "picture_refused"
    assert CANARY not in str(lines) + refused.value.message
    await pictures.picture(CANARY, caller())
    assert len(asked(provider)) == 2


@pytest.mark.parametrize(
    ("fault", "code", "requests"),
    [
        (Fault.RATE_LIMITED_MILLISECONDS, None, 2),
        (Fault.OVERLOADED_SECONDS, None, 2),
        (Fault.OVERLOADED, "picture_in_doubt", 1),
        (Fault.SERVER_ERROR, "picture_in_doubt", 1),
        (Fault.GATEWAY_TIMEOUT, "picture_in_doubt", 1),
        (Fault.INSUFFICIENT_QUOTA, "provider_quota", 1),
        (Fault.UNAUTHORIZED, "provider_key", 1),
        (Fault.MODEL_NOT_FOUND, "unknown_model", 1),
        (Fault.RESET_BEFORE_HEADERS, "picture_in_doubt", 1),
        (Fault.RESET, "picture_in_doubt", 1),
        (Fault.MALFORMED_JSON, "provider_garbled", 1),
    ],
)
async def test_only_what_was_surely_not_painted_is_asked_again(
    provider: FakeOpenAI, pictures: Pictures, fault: Fault, code: str | None, requests: int
) -> None:
    provider.images.script(Picture(fault=fault))
    if code is None:
        await pictures.picture(CANARY, caller())
    else:
        with pytest.raises(ServerError) as failed:
            await pictures.picture(CANARY, caller())
        assert failed.value.code == code
        assert not failed.value.retryable
    assert len(asked(provider)) == requests


async def test_a_provider_that_is_not_there_has_surely_not_painted(files: MemoryFiles, store: MemoryStore) -> None:
    async with openai_server() as gone:
        pass
    async with process(gone, files, store) as pictures:
        with pytest.raises(Unavailable) as failed:
            await pictures.picture(CANARY, caller())
    assert failed.value.code == "provider_unreachable"


async def test_what_is_tried_again_for_the_same_call_counts_once(
    provider: FakeOpenAI, files: MemoryFiles, store: MemoryStore
) -> None:
    provider.images.script(Picture(fault=Fault.RATE_LIMITED_SECONDS, retry_after=60, times=3))
    async with process(provider, files, store, images_per_day=1) as pictures:
        for _ in range(3):
            with pytest.raises(Unavailable):
                await pictures.picture(CANARY, caller())
        await pictures.picture(CANARY, caller())
        with pytest.raises(TooMany):
            await pictures.picture("another", caller(key="c_1-3"))


async def test_a_picture_that_takes_too_long_is_given_up(
    provider: FakeOpenAI, files: MemoryFiles, store: MemoryStore
) -> None:
    provider.images.script(Picture(delay=30))
    async with process(provider, files, store, image_timeout_in_seconds=2) as pictures:
        with pytest.raises(InDoubt, match="picture"):
            await pictures.picture(CANARY, caller())
        provider.images.script()
        await pictures.picture(CANARY, caller())


async def test_a_person_has_so_many_new_pictures_a_day(
    provider: FakeOpenAI, files: MemoryFiles, store: MemoryStore
) -> None:
    async with process(provider, files, store, images_per_day=2) as pictures:
        for number in range(2):
            await pictures.picture(f"{CANARY} {number}", caller(key=f"c_1-{number}"))
        for _ in range(2):
            with pytest.raises(TooMany, match="No more than 2 new pictures a day"):
                await pictures.picture(f"{CANARY} 2", caller(key="c_1-2"))
        await pictures.picture(f"{CANARY} 0", caller())
        await pictures.picture(f"{CANARY} 2", caller("ben", "c_2-1"))
    assert len(asked(provider)) == 3


async def test_a_new_day_has_new_pictures() -> None:
    now = [1_790_000_000.0]
    store = MemoryStore(clock=lambda: now[0], lease_seconds=30, most_waiting=5)
    allowance = Allowance(store, 1, lambda: now[0])
    await allowance.spend(caller(key="1"))
    with pytest.raises(TooMany):
        await allowance.spend(caller(key="2"))
    now[0] += 24 * 3600
    await allowance.spend(caller(key="3"))


@pytest.mark.parametrize("description", ["", "  \n", "x" * 8_001])
async def test_what_describes_nothing_costs_nothing(provider: FakeOpenAI, pictures: Pictures, description: str) -> None:
    with pytest.raises(BadInput):
        await pictures.picture(description, caller())
    assert asked(provider) == []


class FailingFiles(MemoryFiles):
    """Out of order for the next pictures that are put there."""

    failures = 0

    async def put(self, key: str, file: File) -> bool:
        if key.startswith("images/") and self.failures:
            self.failures -= 1
            raise Unavailable("no store")
        return await super().put(key, file)


async def test_a_store_that_fails_for_a_moment_costs_no_second_picture(
    provider: FakeOpenAI, store: MemoryStore
) -> None:
    files = FailingFiles(lambda key, seconds: key)
    files.failures = 2
    async with process(provider, files, store) as pictures:
        assert await files.holds(await pictures.picture(CANARY, caller()))
    assert len(asked(provider)) == 1


@pytest.mark.slow
async def test_a_picture_that_cannot_be_kept_was_paid_for_all_the_same(
    provider: FakeOpenAI, store: MemoryStore
) -> None:
    files = FailingFiles(lambda key, seconds: key)
    files.failures = 100
    async with process(provider, files, store) as pictures:
        with pytest.raises(InDoubt) as lost:
            await pictures.picture(CANARY, caller())
    assert lost.value.code == "picture_not_kept"
    assert len(asked(provider)) == 1


@pytest.mark.parametrize("channel", ["azure_sms", "sms", "whatsapp"])
async def test_for_a_phone_none_are_made_whose_links_lead_nowhere(
    provider: FakeOpenAI, files: MemoryFiles, store: MemoryStore, channel: str
) -> None:
    phone = Caller("tel:+15005550006", "c_2", channel, "c_2-1")
    # Those that S3 signs are no links for a phone: each is as long as ten texts.
    async with process(provider, files, store, bucket_name="pictures") as pictures:
        with pytest.raises(Refused) as refused:
            await pictures.picture(CANARY, phone)
        assert (refused.value.message, asked(provider)) == (NO_PICTURES, [])
        await pictures.picture(CANARY, caller())
        with pytest.raises(Refused):
            await pictures.picture(CANARY, phone)
    async with process(provider, files, store, public_url="https://chat.example.com") as pictures:
        await pictures.picture(CANARY, phone)


async def test_for_people_without_a_token_none_are_made(
    provider: FakeOpenAI, files: MemoryFiles, store: MemoryStore
) -> None:
    async with process(provider, files, store) as pictures:
        for name in ("one", "two"):
            with pytest.raises(Refused, match="signed in") as refused:
                await pictures.picture(CANARY, Caller(nobodys(name), "c_2", "http_chat", f"c_2-{name}"))
            assert refused.value.code == "no_pictures"
    assert asked(provider) == []


# --- claims


class Watch:
    now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def claims(files: MemoryFiles, watch: Watch) -> Claims:
    return Claims(files, seconds=15, clock=watch)


async def rows(files: MemoryFiles) -> int:
    return sum([await files.holds(f"claims/a/{number}") for number in range(20)])


async def test_a_claim_is_one_attempts_until_it_is_let_go(files: MemoryFiles, claims: Claims) -> None:
    one, two = claims.claim("a"), claims.claim("a")
    assert await one.take()
    async with one.held():
        assert not await two.take()
        assert await claims.claim("b").take()
    assert await rows(files) == 0
    assert await two.take()


async def test_a_claim_that_nobody_holds_is_another_attempts_after_a_while(claims: Claims, watch: Watch) -> None:
    assert await claims.claim("a").take()
    one, two = claims.claim("a"), claims.claim("a")
    assert not await one.take()
    watch.now += 14
    assert not await one.take()
    assert not await two.take()
    watch.now += 1
    assert await one.take()
    assert not await two.take()
    watch.now += 14
    assert not await two.take()


async def test_a_claim_is_held_for_as_long_as_its_work_lasts(files: MemoryFiles) -> None:
    claims = Claims(files, seconds=0.2)
    one, two = claims.claim("a"), claims.claim("a")
    assert await one.take()
    async with one.held():
        ends = time.monotonic() + 0.8
        while time.monotonic() < ends:
            assert not await two.take()
            await asyncio.sleep(0.02)
    assert await two.take()


async def test_who_lost_a_claim_leaves_it_to_who_has_it(files: MemoryFiles, claims: Claims, watch: Watch) -> None:
    frozen, other = claims.claim("a"), claims.claim("a")
    assert await frozen.take()
    async with frozen.held():
        assert not await other.take()
        watch.now += 15
        assert await other.take()
    assert await rows(files) == 2
    assert not await claims.claim("a").take()


async def test_of_many_one_takes_what_is_over(files: MemoryFiles, claims: Claims, watch: Watch) -> None:
    await claims.claim("a").take()
    many = [claims.claim("a") for _ in range(10)]
    assert not any(await asyncio.gather(*(one.take() for one in many)))
    watch.now += 15
    taken = await asyncio.gather(*(one.take() for one in many))
    assert taken.count(True) == 1
    async with many[taken.index(True)].held():
        pass
    assert await rows(files) == 0


# --- the tool


async def use(tools: Tools, description: str = CANARY) -> ToolResult:
    return await tools.call(ToolCall("call_1", "generate_image", json.dumps({"description": description})), caller())


async def test_the_tool_gives_the_person_the_picture_and_the_model_a_sentence(
    store: MemoryStore, pictures: Pictures
) -> None:
    async with AsyncExitStack() as stack:
        tools = await open_tools(read_settings(_env_file=None), store, stack, pictures)
        with structlog.testing.capture_logs() as lines:
            result = await use(tools)
    assert result.images == (f"images/{name_of(CANARY, USUAL)}",)
    assert not result.failed
    assert "sent with your answer" in result.output
    assert CANARY not in str(lines)


async def test_the_tool_tells_the_model_of_a_refusal(
    provider: FakeOpenAI, store: MemoryStore, pictures: Pictures
) -> None:
    provider.images.script(Picture(fault=Fault.MODERATION_BLOCKED))
    async with AsyncExitStack() as stack:
        tools = await open_tools(read_settings(_env_file=None), store, stack, pictures)
        result = await use(tools)
    assert (result.failed, result.images) == (True, ())
    assert "rules for pictures" in result.output


@pytest.mark.parametrize(
    ("fault", "sentence"), [(Fault.SERVER_ERROR, "not tried again"), (Fault.UNAUTHORIZED, "operator")]
)
async def test_the_tool_tells_the_model_of_a_picture_that_did_not_come(
    provider: FakeOpenAI, store: MemoryStore, pictures: Pictures, fault: Fault, sentence: str
) -> None:
    provider.images.script(Picture(fault=fault))
    async with AsyncExitStack() as stack:
        result = await use(await open_tools(read_settings(_env_file=None), store, stack, pictures))
    assert (result.failed, result.images) == (True, ())
    assert sentence in result.output
    assert len(asked(provider)) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"openai_api_key": "sk-1", "openai_image_model": "none"},
        {"azure_openai_endpoint": "https://a.example", "azure_openai_model": "m"},
    ],
)
async def test_where_nobody_makes_pictures_there_is_no_such_tool(
    store: MemoryStore, files: MemoryFiles, settings: dict[str, str]
) -> None:
    async with AsyncExitStack() as stack:
        read = read_settings(_env_file=None, **settings)
        pictures = await open_pictures(read, Shelf(files, 60), store, stack)
        assert pictures is None
        tools = await open_tools(read, store, stack, pictures)
        assert not tools.functions(["generate_image"])


def test_azure_makes_pictures_by_the_deployment_that_is_named() -> None:
    azure = {"azure_openai_endpoint": "https://a.example", "azure_openai_model": "m", "openai_image_model": "painter"}
    assert read_settings(_env_file=None, **azure).image_model == "painter"
