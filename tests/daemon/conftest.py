from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.daemon.callers import Caller, Home


@pytest.fixture
def home() -> Iterator[Home]:
    """Folders and an environment of one's own; every process started in it ends with the test."""
    made = Home()
    yield made
    made.close()


@pytest.fixture
def daemon(home: Home) -> Caller:
    """A private daemon with the band's workers, introduced."""
    caller = home.caller("stdio")
    caller.initialize()
    return caller
