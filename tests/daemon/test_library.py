"""A disk that fails under a running daemon, and works again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from lofi.daemon.cache import Cache
from lofi.daemon.events import Events
from lofi.daemon.library import Library
from lofi.settings import Settings
from tests.clock import limit
from tests.daemon.test_cache import add


class Ear:
    """Hears what would go to the editors."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Mapping[str, Any]]] = []

    def emit(self, method: str, params: Mapping[str, Any]) -> None:
        self.heard.append((method, params))

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.heard)


async def becomes(wanted: bool, library: Library) -> None:
    async with asyncio.timeout(limit(5)):
        while library.is_failing is not wanted:
            await asyncio.sleep(0.005)


def test_a_folder_lost_and_back_is_told_once_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lofi.daemon.library.WATCH_SEC", 0.005)
    cache, ear = Cache(tmp_path / "tracks", tmp_path / "locks"), Ear()
    away = tmp_path / "away"

    async def watch() -> None:
        library = Library(cache, cast(Events, ear), Settings(), lambda count: [])
        task = asyncio.create_task(library.run())
        await library.opened()
        for times in (1, 2):
            await library.on_disk(add, cache, f"aaaa11112222333{times}")
            cache.folder.rename(away)
            cache.folder.write_bytes(b"in the way")
            await becomes(True, library)
            for _ in range(5):  # it looks again and again, and says no more
                await asyncio.sleep(0.01)
            assert ear.count("daemon_error") == times
            told = next(params for name, params in ear.heard if name == "daemon_error")
            assert told["fatal"] is False and told["code"] == "CACHE_WRITE_ERROR"
            cache.folder.unlink()
            away.rename(cache.folder)
            await becomes(False, library)
            assert len(cache) == times
        assert not task.done()
        task.cancel()
        library.close()

    asyncio.run(watch())


def test_a_folder_that_cannot_be_opened_at_first_is_opened_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lofi.daemon.library.WATCH_SEC", 0.005)
    cache, ear = Cache(tmp_path / "tracks", tmp_path / "locks"), Ear()
    cache.folder.write_bytes(b"in the way")

    async def watch() -> None:
        library = Library(cache, cast(Events, ear), Settings(), lambda count: [])
        task = asyncio.create_task(library.run())
        await library.opened()
        assert library.is_failing and ear.count("daemon_error") == 1
        cache.folder.unlink()
        await becomes(False, library)
        assert cache.unfinished.is_dir() and not task.done()
        task.cancel()
        library.close()

    asyncio.run(watch())
