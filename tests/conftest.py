"""What every kind of test may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.cluster.emulator import Emulator, NotInstalled, emulator
from tests.ministack import Cloud, deployed


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """AWS on this machine, this test process' own."""
    try:
        with emulator(tmp_path_factory.mktemp("ministack")) as running:
            yield running
    except NotInstalled as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def cloud(ministack: Emulator) -> Cloud:
    """The cluster's resources; what a test leaves in them, the others find."""
    return deployed(ministack)
