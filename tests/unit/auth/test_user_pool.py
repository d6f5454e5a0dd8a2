"""A real user pool, on the emulator: sign-in, groups, and keys that change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infra.cluster.emulator import REGION, Emulator, emulator
from server.auth.cognito import CognitoVerifier
from server.auth.keys import SECONDS_BETWEEN_FETCHES, JwksKeys
from server.auth.sign_in import sign_in
from server.errors import ConfigError, Refused, Unauthorized, Unavailable
from tests.ministack import PASSWORD, Cloud, deployed, sign_up
from tests.ports import quiet_port


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def verifying(cloud: Cloud, clock: Clock) -> AsyncIterator[CognitoVerifier]:
    pool = cloud.settings["COGNITO_USER_POOL_ID"]
    async with JwksKeys(f"{cloud.owner.url}/{pool}", clock=clock) as keys:
        yield CognitoVerifier(
            f"https://cognito-idp.{REGION}.amazonaws.com/{pool}",
            frozenset({cloud.settings["COGNITO_CLIENT_IDS"]}),
            keys,
        )


def token(cloud: Cloud, user: str, password: str = PASSWORD, *, client_id: str = "") -> str:
    return sign_in(
        user,
        password,
        client_id=client_id or cloud.settings["COGNITO_CLIENT_IDS"],
        region=REGION,
        endpoint_url=cloud.owner.url,
    )


async def test_the_token_of_who_signed_in_names_the_person_and_the_groups(cloud: Cloud) -> None:
    person = sign_up(cloud, "pool-anna", cloud.settings["ADMIN_GROUP"])
    async with verifying(cloud, Clock()) as verifier:
        principal = await verifier.verify(token(cloud, "pool-anna"))
    assert (principal.person, principal.username, principal.groups) == (person, "pool-anna", ("administrators",))


async def test_an_id_token_is_no_access_token(cloud: Cloud) -> None:
    sign_up(cloud, "pool-bert")
    answer = cloud.client("cognito-idp").initiate_auth(
        AuthFlow="USER_PASSWORD_AUTH",
        ClientId=cloud.settings["COGNITO_CLIENT_IDS"],
        AuthParameters={"USERNAME": "pool-bert", "PASSWORD": PASSWORD},
    )
    async with verifying(cloud, Clock()) as verifier:
        with pytest.raises(Unauthorized):
            await verifier.verify(answer["AuthenticationResult"]["IdToken"])


def forget_keys(state: Path) -> None:
    """The emulator then begins with new ones."""
    for key in state.glob("state/cognito-pool-keys/*.pem"):
        key.unlink()


async def test_keys_that_the_pool_rotates_are_followed(ministack: Emulator, tmp_path: Path) -> None:
    port, clock = quiet_port(), Clock()
    with emulator(tmp_path, port) as before:
        cloud = deployed(before)
        sign_up(cloud, "anna")
        old = token(cloud, "anna")
    async with verifying(cloud, clock) as verifier:
        with emulator(tmp_path, port):
            assert (await verifier.verify(old)).username == "anna"
        forget_keys(tmp_path)
        with emulator(tmp_path, port):
            clock.now += SECONDS_BETWEEN_FETCHES
            assert (await verifier.verify(token(cloud, "anna"))).username == "anna"
            with pytest.raises(Unauthorized):
                await verifier.verify(old)


def test_nobody_signs_in_with_a_wrong_password(cloud: Cloud) -> None:
    sign_up(cloud, "pool-carl")
    with pytest.raises(Unauthorized) as wrong:
        token(cloud, "pool-carl", "a-guess")
    with pytest.raises(Unauthorized) as nobody:
        token(cloud, "pool-nobody", "a-guess")
    assert wrong.value.message == nobody.value.message


def test_who_has_not_confirmed_yet_is_told_so(cloud: Cloud) -> None:
    client = cloud.settings["COGNITO_CLIENT_IDS"]
    cloud.client("cognito-idp").sign_up(ClientId=client, Username="pool-dora", Password=PASSWORD)
    with pytest.raises(Unauthorized, match="not confirmed"):
        token(cloud, "pool-dora")


def test_who_must_choose_a_password_first_is_told_so(cloud: Cloud) -> None:
    cloud.client("cognito-idp").admin_create_user(
        UserPoolId=cloud.settings["COGNITO_USER_POOL_ID"], Username="pool-emil", TemporaryPassword=PASSWORD
    )
    with pytest.raises(Refused, match="NEW_PASSWORD_REQUIRED"):
        token(cloud, "pool-emil")


def test_an_app_client_that_is_not_there_is_a_wrong_setting(cloud: Cloud) -> None:
    with pytest.raises(ConfigError, match="COGNITO_CLIENT_IDS"):
        token(cloud, "pool-anna", client_id="0" * 26)


def test_a_cognito_that_cannot_be_reached_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        sign_in("a", "b", client_id="0" * 26, region=REGION, endpoint_url=f"http://127.0.0.1:{quiet_port()}")
