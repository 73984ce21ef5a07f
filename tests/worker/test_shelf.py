"""Backends are made when first asked for; what their packages brought is never looked through."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lofi.errors import InvalidBackend
from lofi.worker.shelf import Shelf

PACKAGE = """
import gc

class Bell:
    was_collecting = gc.isenabled()
    def unload(self): pass

create = Bell
"""


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    (tmp_path / "bell.py").write_text(PACKAGE)
    (tmp_path / "broken.py").write_text("raise ModuleNotFoundError(name='bronze')")
    monkeypatch.syspath_prepend(tmp_path)
    yield Shelf({"bell": "bell", "broken": "broken"})
    sys.modules.pop("bell", None)


def test_a_package_is_read_once_and_without_collections(shelf: Shelf) -> None:
    frozen = gc.get_freeze_count()
    bell = shelf.backend("bell")
    assert not bell.was_collecting  # type: ignore[attr-defined]
    assert gc.isenabled() and gc.get_freeze_count() > frozen
    assert shelf.backend("bell") is bell


def test_a_package_that_cannot_be_read_leaves_collections_on(shelf: Shelf) -> None:
    with pytest.raises(ModuleNotFoundError):
        shelf.backend("broken")
    assert gc.isenabled()
    with pytest.raises(InvalidBackend, match="no backend 'drum'"):
        shelf.backend("drum")
