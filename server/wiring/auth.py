"""Who makes the tokens."""

from __future__ import annotations

from contextlib import AsyncExitStack

from server.auth.cognito import CognitoVerifier
from server.auth.keys import JwksKeys
from server.auth.local_pool import LocalUserPool
from server.errors import ConfigError
from server.ports import Verifier
from server.settings import Settings


async def open_auth(settings: Settings, stack: AsyncExitStack) -> tuple[Verifier, LocalUserPool | None]:
    if settings.uses_local_pool:
        pool = local_pool(settings)
        return CognitoVerifier(pool.issuer, frozenset({pool.client_id}), pool.keys()), pool
    keys = await stack.enter_async_context(JwksKeys(settings.keys_at))
    await keys.hydrate()
    return CognitoVerifier(settings.issuer, frozenset(settings.cognito_client_ids), keys), None


def local_pool(settings: Settings) -> LocalUserPool:
    """Raises `ConfigError` where tokens come from Cognito."""
    if not settings.uses_local_pool:
        raise ConfigError(f"Tokens come from {settings.issuer}; set SWITCHBOARD_TOKEN to one, or use --token.")
    return LocalUserPool.open(settings.data_dir)


def cognito_token(settings: Settings, user: str, password: str) -> str:
    """Of the first app client whose tokens are accepted. Raises `Unauthorized`."""
    # AWS's libraries take their time to load: only who uses them waits for them.
    from server.auth.sign_in import sign_in

    if not settings.cognito_user_pool_id:
        raise ConfigError("COGNITO_USER_POOL_ID is not set; without it nobody can sign in from here.")
    return sign_in(
        user,
        password,
        client_id=settings.cognito_client_ids[0],
        region=settings.cognito_user_pool_id.partition("_")[0],
        endpoint_url=settings.aws_endpoint_url,
    )
