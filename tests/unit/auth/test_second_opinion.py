"""joserfc judges the same tokens. What we accept, it must accept: otherwise one of the two is wrong, and we may be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.errors import InvalidClaimError, JoseError
from joserfc.jwk import KeySet

from server.auth.signed import CLOCK_SKEW_SECONDS
from server.errors import Unauthorized
from tests.unit.auth.bad_tokens import BAD
from tests.unit.auth.forge import CLIENT, ISSUER, NOW, SUBJECT, Bad, claims, public_jwk, token, verifier
from tests.unit.auth.good_tokens import GOOD

KEYS = KeySet.import_key_set({"keys": [public_jwk()]})  # type: ignore[list-item]
JUDGE = verifier()


class Claims(jwt.JWTClaimsRegistry):
    """Ours in the words of joserfc, which has one leeway for all times, where we have one for iat alone."""

    def validate_iat(self, value: object) -> None:
        if not isinstance(value, int) or value > self.now + CLOCK_SKEW_SECONDS:
            raise InvalidClaimError("iat")


CLAIMS = Claims(
    now=NOW,
    leeway=0,
    exp={"essential": True},
    iss={"essential": True, "value": ISSUER},
    sub={"essential": True},
    token_use={"essential": True, "value": "access"},
    client_id={"essential": True, "value": CLIENT},
    aud={"value": CLIENT},
)


def second_opinion(made: Any) -> bool:
    try:
        CLAIMS.validate(jwt.decode(made, KEYS, algorithms=["RS256"]).claims)
    except (JoseError, ValueError, TypeError, OverflowError, RecursionError):
        return False
    return True


async def ours(made: Any) -> bool:
    try:
        await JUDGE.verify(made)
    except Unauthorized:
        return False
    return True


@pytest.mark.parametrize("made", GOOD.values(), ids=GOOD)
async def test_both_accept_a_good_token(made: str) -> None:
    assert await ours(made)
    assert second_opinion(made)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
async def test_what_we_accept_of_the_table_joserfc_accepts_too(bad: Bad) -> None:
    assert second_opinion(bad.token) or not await ours(bad.token)


@pytest.mark.parametrize("bad", [bad for bad in BAD if bad.signed], ids=lambda bad: bad.name)
def test_a_token_that_is_bad_by_its_claims_alone_is_well_signed(bad: Bad) -> None:
    assert jws.deserialize_compact(bad.token, KEYS, algorithms=["RS256"]).payload


def test_the_second_opinion_is_one_of_its_own() -> None:
    refused = [bad for bad in BAD if not second_opinion(bad.token)]
    assert len(refused) > len(BAD) / 2


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.just(CLIENT), max_size=2)
)
TIMES = st.integers(NOW - 70, NOW + 70) | st.floats(NOW - 70, NOW + 70) | ODD
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "exp": TIMES,
        "nbf": TIMES,
        "iat": TIMES,
        "iss": st.just(ISSUER) | ODD,
        "sub": st.just(SUBJECT) | ODD,
        "token_use": st.sampled_from(["access", "id"]) | ODD,
        "client_id": st.just(CLIENT) | ODD,
        "aud": st.just(CLIENT) | ODD,
        "username": ODD,
        "cognito__groups": st.lists(st.text(max_size=3), max_size=2) | ODD,
    },
)


@given(CHANGES)
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
async def test_what_we_accept_of_any_claims_joserfc_accepts_too(changes: dict[str, object]) -> None:
    made = token(claims(**changes))
    assert second_opinion(made) or not await ours(made)
