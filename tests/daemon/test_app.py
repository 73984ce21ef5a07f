"""When a shared daemon leaves, by a clock that only the test moves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lofi.daemon.app import App
from lofi.daemon.launch import worker_command
from lofi.daemon.worker_process import WorkerProcess
from lofi.paths import Paths
from lofi.settings import Settings


class Nobody:
    """A wire whose other end reads everything."""

    def write(self, line: bytes) -> None:
        pass

    def backlog_bytes(self) -> int:
        return 0

    def drop(self) -> None:
        pass


@pytest.mark.parametrize("gap_sec", [0.0, 4.0])
def test_it_lingers_from_the_last_client_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gap_sec: float
) -> None:
    async def linger() -> list[float]:
        loop = asyncio.get_running_loop()
        now, left = loop.time(), []
        began = now
        monkeypatch.setattr(loop, "time", lambda: now)
        paths = Paths.from_environment({"HOME": str(tmp_path), "LOFI_HOME": str(tmp_path / "c")})
        settings = Settings()
        app = App(paths, settings, worker_command, None)
        app._furnish(WorkerProcess("light", [], {}))
        monkeypatch.setattr(settings, "value", {"daemon.linger_sec": 10}.get)
        monkeypatch.setattr(app, "leave", lambda status: left.append(now - began))

        async def wait(seconds: float) -> None:
            nonlocal now
            now += seconds
            for _ in range(3):
                await asyncio.sleep(0)

        first = app._welcome(Nobody())
        first.feed(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        app._goodbye(first)
        await wait(gap_sec)
        second = app._welcome(Nobody())
        await wait(5)
        app._goodbye(second)
        await wait(9)
        assert left == []
        await wait(1.5)
        return [round(moment - gap_sec, 1) for moment in left]

    assert asyncio.run(linger()) == [15.5]
