from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path

import pytest

from lofi.daemon import probe as room
from lofi.daemon.probe import Probe
from tests.clock import limit


@pytest.fixture(autouse=True)
def torch_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_torch", lambda: "9.9")


def run(probe: Probe, path: Path) -> None:
    """Lets the probe run until it has written something, or for a moment."""

    async def until_written() -> None:
        task = asyncio.create_task(probe.run())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit(1.5)):
                while not path.exists():
                    await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(until_written())


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_was_seen_is_kept_and_not_looked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "state" / "devices.json"
    seen = {"torch": "9.9", "devices": [{"id": "cuda:0"}]}
    probe = Probe(path, lambda: True, python(f"print('''{json.dumps(seen)}''')"))
    run(probe, path)
    assert json.loads(path.read_text()) == seen
    assert probe.is_fresh()


def test_another_torch_makes_it_stale(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    path.write_text('{"torch": "9.8"}')
    assert not Probe(path, lambda: True, []).is_fresh()


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "print('no json')", "print('[1]')"])
def test_a_failed_look_leaves_no_file(tmp_path: Path, code: str) -> None:
    path = tmp_path / "devices.json"
    run(Probe(path, lambda: True, python(code)), path)
    assert not path.exists()


def test_nobody_looks_without_a_neural_backend(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    run(Probe(path, lambda: False, python(f"open({str(path)!r}, 'w')")), path)
    assert not path.exists()


def test_a_look_that_is_given_up_leaves_no_process(tmp_path: Path) -> None:
    started = tmp_path / "started"
    code = f"import time; open({str(started)!r}, 'w'); time.sleep(60)"
    run(Probe(tmp_path / "devices.json", lambda: True, python(code)), started)
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            gone = str(started).encode() not in entry.read_bytes()
            assert gone or "Z" in entry.with_name("stat").read_text().rpartition(")")[2].split()[0]
