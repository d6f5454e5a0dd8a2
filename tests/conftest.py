"""What every kind of test may ask for."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from hypothesis import settings

from infra.cluster.emulator import Emulator, NotInstalled, emulator
from tests.ministack import Cloud, deployed

# How long an example takes says how busy the machine is.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported stays: a full collection that went through it would stop clients and doubles for half a second,
    and tests would see that in their times.
    """
    gc.collect()
    gc.freeze()


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
