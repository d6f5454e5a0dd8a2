"""The environment: what is wrong is named with its fault and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.errors import ConfigError
from server.settings import Settings, listing, read_settings
from server.turns.worker import GRACE_SECONDS, SWEEP_SECONDS
from server.wiring.server import open_server


@pytest.fixture(autouse=True)
def nowhere(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """No `.env`, and nothing of the developer's environment."""
    monkeypatch.chdir(str(tmp_path))
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def refusal(monkeypatch: pytest.MonkeyPatch, **values: str) -> str:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as refused:
        read_settings()
    return refused.value.message


def test_the_defaults_are_a_server_on_this_machine() -> None:
    settings = read_settings()
    assert (settings.host, settings.port, settings.stage) == ("127.0.0.1", 8000, "dev")
    assert settings.uses_local_pool
    assert settings.uses_embedded_model
    assert settings.database.startswith("sqlite:///")


def test_the_providers_own_assistant_is_for_the_threads_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ENGINE=threads" in refusal(monkeypatch, ASSISTANT_ID="asst_abc")
    monkeypatch.setenv("ENGINE", "threads")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:4120/v1")
    assert read_settings().assistant_id == "asst_abc"


def test_every_setting_says_what_it_means() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_with_the_longest_lease_a_dead_workers_conversation_is_taken_up_within_45_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEASE_SECONDS", "39")
    assert read_settings().lease_seconds + SWEEP_SECONDS + GRACE_SECONDS < 45
    assert "39" in refusal(monkeypatch, LEASE_SECONDS="39.1")


MANY = {"DATABASE_URL": "postgresql://db/switchboard"}


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("PORT", "http", "valid integer"),
        ("PORT", "70000", "65535"),
        ("BACKEND", "redis", "'sql'"),
        ("OPENAI_BASE_URL", "localhost:9", "https://"),
        ("STAGE", "a/b", "pattern"),
        ("LOG_LEVEL", "loud", "'info'"),
        ("RESPONSE_TIMEOUT_IN_SECONDS", "0", "greater than 0"),
    ],
)
def test_a_wrong_value_is_shown_with_its_fault_and_its_meaning(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, fix: str
) -> None:
    message = refusal(monkeypatch, **{name: value})
    assert message.startswith(f"{name}={value}: ")
    assert fix in message
    assert str(Settings.model_fields[name.lower()].description) in message


def test_all_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(refusal(monkeypatch, PORT="x", TURNS="0").splitlines()) == 2


def test_a_wrong_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "canary" not in refusal(monkeypatch, DATABASE_URL="oracle://user:canary@host/db")


@pytest.mark.parametrize(
    ("values", "way_out"),
    [
        ({"HOST": "0.0.0.0"}, {"UNSAFE_LOCAL_USER_POOL": "true"}),
        ({"ALLOWED_ORIGINS": "https://a.example,*"}, {"UNSAFE_ANY_ORIGIN": "true"}),
        ({"COGNITO_USER_POOL_ID": "eu-west-1_AbC"}, {"COGNITO_CLIENT_IDS": "abc"}),
        ({"COGNITO_CLIENT_IDS": "abc"}, {"COGNITO_USER_POOL_ID": "eu-west-1_AbC"}),
        ({"BACKEND": "aws"}, {"TABLE_NAME": "switchboard"}),
        ({**MANY, "NODE_URL": "http://10.0.0.1:8000"}, {"CLUSTER_SECRET": "x" * 32}),
        ({**MANY, "NODE_URL": "http://10.0.0.1:8000", "CLUSTER_SECRET": "short"}, {"CLUSTER_SECRET": "x" * 32}),
        ({"NODE_URL": "http://10.0.0.1:8000", "CLUSTER_SECRET": "x" * 32}, MANY),
        (
            {"NODE_URL": "http://10.0.0.1:8000", "CLUSTER_SECRET": "x" * 32, "DATABASE_URL": "sqlite:///x.db"},
            MANY,
        ),
    ],
)
def test_what_is_unsafe_or_half_said_names_its_way_out(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], way_out: dict[str, str]
) -> None:
    message = refusal(monkeypatch, **values)
    for name, value in way_out.items():
        assert name in message
        monkeypatch.setenv(name, value)
    read_settings()


def test_the_issuer_is_cognitos_own_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COGNITO_USER_POOL_ID", "eu-west-1_AbC")
    monkeypatch.setenv("COGNITO_CLIENT_IDS", "one, two")
    settings = read_settings()
    assert settings.issuer == "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC"
    assert settings.cognito_client_ids == ("one", "two")
    assert settings.keys_at == settings.issuer
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    assert read_settings().issuer == settings.issuer
    assert read_settings().keys_at == "http://127.0.0.1:4566/eu-west-1_AbC"
    monkeypatch.setenv("COGNITO_ISSUER_URL", "http://127.0.0.1:4566/eu-west-1_AbC/")
    assert read_settings().issuer == read_settings().keys_at == "http://127.0.0.1:4566/eu-west-1_AbC"


def test_the_environment_outweighs_the_file_and_both_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("STAGE=beta\nPORT=1\n")
    monkeypatch.setenv("PORT", "2")
    rows = {name: (value, origin) for name, value, origin, _ in listing(read_settings())}
    assert rows["STAGE"] == ("beta", ".env")
    assert rows["PORT"] == ("2", "environment")
    assert rows["HOST"] == ("127.0.0.1", "default")


def test_settings_do_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


@pytest.mark.parametrize(
    "provider",
    [
        {},
        {"OPENAI_API_KEY": "sk-1"},
        {"OPENAI_BASE_URL": "https://api.openai.com/v1"},
        {"AZURE_OPENAI_ENDPOINT": "https://name.openai.azure.com", "AZURE_OPENAI_MODEL": "m"},
    ],
)
def test_threads_are_refused_where_nobody_serves_them(
    monkeypatch: pytest.MonkeyPatch, provider: dict[str, str]
) -> None:
    assert refusal(monkeypatch, ENGINE="threads", **provider) == (
        "ENGINE=threads needs a server that speaks the Assistants protocol, which api.openai.com and Azure shut down on"
        " 2026-08-26; set OPENAI_BASE_URL to one that does, or ENGINE=responses"
    )


def test_threads_are_accepted_at_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE", "threads")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:4120/v1")
    assert read_settings().engine == "threads"


TWILIO = {
    "twilio_account_sid": "AC" + "1" * 32,
    "twilio_auth_token": "token-canary",
    "twilio_phone_number": "+15005550006",
    "public_url": "https://chat.example.com",
}


def test_twilio_is_on_with_all_its_settings_and_off_with_none() -> None:
    assert read_settings(**TWILIO).uses_twilio
    assert not read_settings(public_url="https://chat.example.com").uses_twilio


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"twilio_account_sid": ""}, "TWILIO_ACCOUNT_SID is missing"),
        ({"twilio_auth_token": ""}, "TWILIO_AUTH_TOKEN is missing"),
        ({"twilio_phone_number": ""}, "TWILIO_PHONE_NUMBER is missing"),
        ({"public_url": ""}, "PUBLIC_URL is missing"),
        ({"public_url": "http://chat.example.com"}, "PUBLIC_URL=http://chat.example.com"),
        ({"twilio_api_url": "http://api.example.com"}, "TWILIO_API_URL=http://api.example.com"),
        ({"twilio_account_sid": "AC1"}, "TWILIO_ACCOUNT_SID"),
        ({"twilio_phone_number": "500 5550006"}, "TWILIO_PHONE_NUMBER"),
        ({"twilio_whatsapp_template": "HX1"}, "TWILIO_WHATSAPP_TEMPLATE"),
        ({"sms_allow_list": "+1500*, everybody"}, "everybody is no number"),
    ],
)
def test_twilio_in_part_is_refused_by_name(change: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_settings(**{**TWILIO, **change})
    assert named in str(refused.value)
    assert "token-canary" not in str(refused.value)


async def test_the_secret_of_a_cluster_is_enough_for_commands_but_not_for_a_server() -> None:
    settings = read_settings(backend="memory", cluster_secret="x" * 32)
    with pytest.raises(ConfigError, match="NODE_URL"):
        async with open_server(settings):
            pass
