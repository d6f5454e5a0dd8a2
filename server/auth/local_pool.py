"""A user pool of one's own, for a server without Cognito. Whoever can read its file can be anyone."""

from __future__ import annotations

import json
import os
import secrets
import string
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jose import jwk, jws
from jose.backends.base import Key

from server.auth.keys import ALGORITHM, StaticKeys, read_jwks
from server.errors import BadInput, ConfigError

FILE_NAME = "local_user_pool.json"
LONGEST_NAME = 128
KEY_BITS = 2048


@dataclass(frozen=True, slots=True)
class _Pool:
    """What the file holds."""

    pool_id: str
    client_id: str
    kid: str
    private_key_pem: str = field(repr=False)


class LocalUserPool:
    """Makes tokens with the claims and the signature of a Cognito access token.

    Its issuer, its client and its people are the same for as long as its file is, whatever host or port is served.
    """

    def __init__(self, pool: _Pool, clock: Callable[[], float] = time.time) -> None:
        self._pool = pool
        self._key: Key = jwk.construct(_rsa_key(pool.private_key_pem), ALGORITHM)
        self._clock = clock

    @classmethod
    def open(cls, directory: Path, *, clock: Callable[[], float] = time.time) -> LocalUserPool:
        """The pool kept in the directory; made on first use, once, however many processes open it at the same time.

        Raises `ConfigError`, naming the file and the remedy, if it cannot be read, written or understood.
        """
        path = directory / FILE_NAME
        try:
            if not path.exists():
                _create(path)
            return cls(_read(path), clock)
        except OSError as error:
            raise ConfigError(f"cannot open the local user pool {path}: {error}; check its permissions") from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigError(
                f"the local user pool {path} is damaged: {error}; delete the file to get a new pool"
                " (its people will be new people, and their old tokens are refused) or restore it from a copy"
            ) from error

    @property
    def issuer(self) -> str:
        return f"https://cognito-idp.local.invalid/{self._pool.pool_id}"

    @property
    def client_id(self) -> str:
        return self._pool.client_id

    def keys(self) -> StaticKeys:
        return StaticKeys(read_jwks(self.jwks()))

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The JWKS document, public parts only."""
        public = self._key.public_key().to_dict()
        entry = {"kid": self._pool.kid, "use": "sig", **{name: public[name] for name in ("kty", "alg", "n", "e")}}
        return {"keys": [entry]}

    def token(self, username: str, *, lifetime_seconds: int = 86400, groups: Sequence[str] = ()) -> str:
        """An access token; the same user name is the same person each time. Raises `BadInput` for an unusable name."""
        for name in (username, *groups):
            if not (0 < len(name) <= LONGEST_NAME and name.isprintable()):
                raise BadInput(f"a user or group name must be 1 to {LONGEST_NAME} printable characters, not {name!r}")
        claims = self._claims(username, lifetime_seconds, groups)
        token: str = jws.sign(claims, self._key, headers={"kid": self._pool.kid}, algorithm=ALGORITHM)
        return token

    def person(self, username: str) -> str:
        """Who the user name stands for."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.issuer}#{username}"))

    def _claims(self, username: str, lifetime_seconds: int, groups: Sequence[str]) -> Mapping[str, object]:
        now = int(self._clock())
        return {
            "sub": self.person(username),
            **({"cognito:groups": list(groups)} if groups else {}),
            "iss": self.issuer,
            "client_id": self.client_id,
            "origin_jti": str(uuid.uuid4()),
            "event_id": str(uuid.uuid4()),
            "token_use": "access",
            "scope": "aws.cognito.signin.user.admin",
            "auth_time": now,
            "exp": now + lifetime_seconds,
            "iat": now,
            "jti": str(uuid.uuid4()),
            "username": username,
        }


def _new_pool() -> _Pool:
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return _Pool(
        pool_id=f"local_{_random(string.ascii_letters + string.digits, 9)}",
        client_id=_random(string.ascii_lowercase + string.digits, 26),
        kid=secrets.token_urlsafe(32),
        private_key_pem=pem,
    )


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _read(path: Path) -> _Pool:
    """Raises OSError, or ValueError or TypeError if the file does not hold a pool."""
    kept = json.loads(path.read_bytes())
    if not isinstance(kept, dict) or not all(isinstance(value, str) and value for value in kept.values()):
        raise ValueError("it is not an object of strings")
    return _Pool(**kept)


def _rsa_key(pem: str) -> rsa.RSAPrivateKey:
    """Raises ValueError, TypeError or UnsupportedAlgorithm if it is none."""
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("its key is not an RSA key")  # noqa: TRY004 - the type of what was read, not of an argument
    return key


def _create(path: Path) -> None:
    """Put a new pool at the path, whole and durable, unless another process was first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write(draft, json.dumps(asdict(_new_pool()), indent=2).encode())
        # Unlike a rename, a link never takes the place of what is there: of several pools the first one stays.
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _sync_directory(directory: Path) -> None:
    if os.name == "nt":  # Windows has no handle on a directory that could be synced, and needs none.
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
