"""A machine that has no key of Azure's, but an identity there."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.azure_server import azure_server, certified, identity_server
from tests.fakes.openai_server import FakeOpenAI
from tests.scenario.process import Start
from tests.scenario.texting import texting


async def test_texts_go_out_with_the_token_of_the_machines_identity(
    start: Start, provider: FakeOpenAI, tmp_path: Path
) -> None:
    tls, trusted = certified(tmp_path)
    async with azure_server(tls=tls) as azure, identity_server() as identity:
        azure.tokens = identity.given
        settings = {
            "AZURE_COMMUNICATION_SERVICE_CONNECTION_STRING": "",
            "AZURE_COMMUNICATION_SERVICE_ENDPOINT": azure.endpoint,
            "SSL_CERT_FILE": trusted,
            **identity.environment(),
        }
        async with texting(start, azure, **settings) as phone:
            assert (await phone.ask("hello")).text == "You said: hello"
            assert (await phone.ask("again")).text == "You said: again"
            assert "canary" not in phone.server.printed()
        assert len(identity.given) == 1
