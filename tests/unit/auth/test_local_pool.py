from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jose import jwt

from server.auth.cognito import CognitoVerifier
from server.auth.local_pool import FILE_NAME, LocalUserPool
from server.errors import BadInput, ConfigError, Unauthorized
from tests.unit.auth.forge import KEY, NOW

OPEN_AND_TELL = """
import sys
from pathlib import Path
from server.auth.local_pool import LocalUserPool
print("ready", flush=True)
sys.stdin.readline()
pool = LocalUserPool.open(Path(sys.argv[1]))
print(pool.issuer, pool.client_id, pool.jwks())
"""


def judge(pool: LocalUserPool, now: float = NOW) -> CognitoVerifier:
    return CognitoVerifier(pool.issuer, frozenset({pool.client_id}), pool.keys(), clock=lambda: now)


def opened(directory: Path) -> LocalUserPool:
    return LocalUserPool.open(directory, clock=lambda: NOW)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def pool(home: Path) -> LocalUserPool:
    return opened(home)


async def test_a_token_of_the_pool_is_accepted(pool: LocalUserPool) -> None:
    principal = await judge(pool).verify(pool.token("demo", groups=("admins", "staff")))
    assert (principal.username, principal.groups) == ("demo", ("admins", "staff"))
    assert principal.expires_at_seconds == NOW + 86400


async def test_a_token_lives_as_long_as_was_asked(pool: LocalUserPool) -> None:
    made = pool.token("demo", lifetime_seconds=60)
    assert (await judge(pool, NOW + 59).verify(made)).expires_at_seconds == NOW + 60
    with pytest.raises(Unauthorized) as refusal:
        await judge(pool, NOW + 60).verify(made)
    assert refusal.value.code == "expired_token"


async def test_the_pool_is_the_same_when_opened_again(home: Path, pool: LocalUserPool) -> None:
    again = opened(home)
    assert (again.issuer, again.client_id, again.jwks()) == (pool.issuer, pool.client_id, pool.jwks())
    assert (await judge(again).verify(pool.token("demo"))).username == "demo"


def test_opening_again_writes_nothing(home: Path, pool: LocalUserPool) -> None:
    before = home.stat().st_mtime_ns
    opened(home)
    assert home.stat().st_mtime_ns == before


async def test_a_user_name_is_the_same_person_each_time(home: Path, pool: LocalUserPool) -> None:
    async def person(username: str, of: LocalUserPool) -> str:
        return (await judge(of).verify(of.token(username))).person

    assert await person("demo", pool) == await person("demo", opened(home))
    assert await person("demo", pool) != await person("Demo", pool)


async def test_another_pool_has_other_people_and_other_keys(tmp_path: Path, pool: LocalUserPool) -> None:
    other = opened(tmp_path)
    assert (await judge(other).verify(other.token("demo"))).person != (
        await judge(pool).verify(pool.token("demo"))
    ).person
    with pytest.raises(Unauthorized):
        await judge(pool).verify(other.token("demo"))


def test_a_token_has_the_claims_of_a_cognito_access_token(pool: LocalUserPool) -> None:
    made = pool.token("demo")
    assert jwt.get_unverified_header(made) == {"alg": "RS256", "typ": "JWT", "kid": pool.jwks()["keys"][0]["kid"]}
    usual = "sub iss client_id origin_jti event_id token_use scope auth_time exp iat jti username"
    assert jwt.get_unverified_claims(made).keys() == set(usual.split())


def test_the_issuer_does_not_depend_on_where_we_listen(pool: LocalUserPool) -> None:
    base, _, pool_id = pool.issuer.rpartition("/")
    assert base == "https://cognito-idp.local.invalid"
    assert pool_id.startswith("local_")
    assert len(pool_id) == len("local_") + 9


def test_the_published_key_is_public(pool: LocalUserPool) -> None:
    (entry,) = pool.jwks()["keys"]
    assert entry.keys() == {"kty", "alg", "use", "kid", "n", "e"}


@pytest.mark.parametrize("username", ["d", "u" * 128, "Ζωή 🚀", "+15550001111", "demo@example.com"])
async def test_a_printable_user_name_will_do(pool: LocalUserPool, username: str) -> None:
    assert (await judge(pool).verify(pool.token(username))).username == username


@pytest.mark.parametrize("username", ["", "u" * 129, "a\nb", "a\0", "\ud800"])
def test_another_user_name_or_group_is_refused(pool: LocalUserPool, username: str) -> None:
    with pytest.raises(BadInput):
        pool.token(username)
    with pytest.raises(BadInput):
        pool.token("demo", groups=[username])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
def test_the_file_is_for_its_owner_alone_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    opened(home)
    assert home.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in home.iterdir()] == [FILE_NAME]
    assert (home / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_processes_that_open_at_once_get_the_same_pool(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN_AND_TELL, str(tmp_path / "home")]
    crowd = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
        for _ in range(3)
    ]
    for process in crowd:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in crowd:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = {process.communicate(timeout=60)[0] for process in crowd}
    assert len(told) == 1
    assert "cognito-idp.local.invalid" in told.pop()


def _with(path: Path, **changes: object) -> bytes:
    return json.dumps({**json.loads(path.read_bytes()), **changes}).encode()


def test_a_damaged_file_is_named_with_its_remedy(tmp_path: Path) -> None:
    opened(tmp_path)
    path = tmp_path / FILE_NAME
    good = path.read_bytes()
    curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    damaged = [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        good[:-10],
        _with(path, kid=1),
        _with(path, kid=""),
        _with(path, more="x"),
        _with(path, private_key_pem="x"),
        _with(path, private_key_pem=curve.decode()),
        _with(path, private_key_pem=public.decode()),
    ]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"local_user_pool\.json is damaged.*delete the file") as refusal:
            opened(tmp_path)
        assert "PRIVATE KEY" not in refusal.value.message
        assert path.read_bytes() == content, "what may still be mended is left as it is"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot open the local user pool"):
        opened(tmp_path / "file")


def test_the_private_key_is_not_shown(pool: LocalUserPool) -> None:
    assert "PRIVATE" not in repr(pool)
    assert "PRIVATE" not in repr(vars(pool))
