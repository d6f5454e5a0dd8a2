from __future__ import annotations

import string

import pytest
from jose.backends.base import Key
from structlog.testing import capture_logs

from server.auth.cognito import CognitoVerifier
from server.auth.signed import LARGEST_TOKEN
from server.errors import ConfigError, Unauthorized
from server.model import Principal
from tests.unit.auth.bad_tokens import BAD
from tests.unit.auth.forge import CLIENT, ISSUER, MISSING, NOW, SUBJECT, Bad, claims, id_claims, keys, token, verifier
from tests.unit.auth.good_tokens import GOOD

JUDGE = verifier()


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
async def test_a_bad_token_is_refused_for_its_fault_and_nothing_of_it_is_told(bad: Bad) -> None:
    with capture_logs() as logs, pytest.raises(Unauthorized) as refusal:
        await JUDGE.verify(bad.token)
    code = "expired_token" if bad.reason == "expired" else "bad_token"
    message = "the token has expired" if bad.reason == "expired" else "the token is not accepted"
    assert (refusal.value.code, refusal.value.message) == (code, message)
    assert refusal.value.__context__ is None, "a traceback would show pieces of the token"
    assert logs == [{"event": "token_refused", "reason": bad.reason, "log_level": "info"}]


def test_the_table_is_large_and_its_names_are_distinct() -> None:
    assert len(BAD) > 100
    assert len({bad.name for bad in BAD}) == len(BAD)


@pytest.mark.parametrize("good", GOOD.values(), ids=GOOD)
async def test_a_good_token_is_accepted(good: str) -> None:
    assert (await JUDGE.verify(good)).expires_at_seconds > NOW


async def test_a_principal_is_what_the_claims_say() -> None:
    made = token(claims(cognito__groups=["admins", "staff"], exp=NOW + 9))
    assert await JUDGE.verify(made) == Principal(SUBJECT, "demo", NOW + 9, NOW - 30, ("admins", "staff"))


async def test_a_person_without_a_user_name_goes_by_the_subject() -> None:
    assert (await JUDGE.verify(token(claims(username=MISSING)))).username == SUBJECT


def test_the_largest_good_token_is_at_the_limit() -> None:
    assert LARGEST_TOKEN - 4 < len(GOOD["the largest"]) <= LARGEST_TOKEN


async def test_only_who_holds_a_genuine_token_is_told_that_it_expired() -> None:
    for made in (token(claims(exp=NOW), sign=lambda _: b"\0" * 256), token(claims(exp=NOW, client_id="another"))):
        with pytest.raises(Unauthorized) as refusal:
            await JUDGE.verify(made)
        assert refusal.value.code == "bad_token"


async def test_no_letter_of_a_token_can_be_changed() -> None:
    good = token()
    letters = string.ascii_letters + string.digits + "-_"
    for place, letter in enumerate(good):
        neighbour = letters[(letters.find(letter) + 1) % len(letters)]
        for other in (neighbour, "=", ".", "+", "\n", ""):
            if other == letter:
                continue
            with pytest.raises(Unauthorized):
                await JUDGE.verify(good[:place] + other + good[place + 1 :])


async def test_id_tokens_are_accepted_where_they_are_let_in() -> None:
    both = verifier(None, "access", "id")
    assert (await both.verify(token(id_claims()))).username == "demo"
    assert (await both.verify(token())).username == "demo"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": MISSING}, "client"),
        ({"aud": "another"}, "client"),
        ({"aud": [CLIENT]}, "client"),
        ({"aud": MISSING, "client_id": CLIENT}, "client"),
        ({"aud": "another", "client_id": CLIENT}, "client"),
        ({"token_use": "access"}, "client"),
        ({"cognito__username": 1}, "username"),
    ],
)
async def test_an_id_token_needs_an_audience_that_is_us(changes: dict[str, object], reason: str) -> None:
    with capture_logs() as logs, pytest.raises(Unauthorized):
        await verifier(None, "access", "id").verify(token(id_claims(**changes)))
    assert logs[0]["reason"] == reason


async def test_an_access_token_is_refused_where_only_id_tokens_are_let_in() -> None:
    with pytest.raises(Unauthorized):
        await verifier(None, "id").verify(token(claims(aud=CLIENT)))


async def test_a_check_that_is_upset_is_a_check_not_passed() -> None:
    class Upset:
        async def find(self, kid: str) -> Key | None:
            raise OverflowError(kid)

    with capture_logs() as logs, pytest.raises(Unauthorized) as refusal:
        await verifier(Upset()).verify(token())
    assert refusal.value.code == "bad_token"
    assert logs[0]["reason"] == "upset:OverflowError"


@pytest.mark.parametrize(
    ("issuer", "clients", "uses"),
    [
        ("", {CLIENT}, {"access"}),
        (ISSUER, set(), {"access"}),
        (ISSUER, {""}, {"access"}),
        (ISSUER, {CLIENT}, set()),
        (ISSUER, {CLIENT}, {"access", "refresh"}),
    ],
)
def test_a_verifier_that_would_be_too_generous_is_not_made(issuer: str, clients: set[str], uses: set[str]) -> None:
    with pytest.raises(ConfigError):
        CognitoVerifier(issuer, frozenset(clients), keys(), token_uses=frozenset(uses))
