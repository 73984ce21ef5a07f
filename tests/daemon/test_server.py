"""The transports' odd ends: files in place of pipes, nobody on the other side, foreign folders."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lofi.daemon.residence import answers, claim
from lofi.errors import Busy
from tests.clock import limit
from tests.daemon.callers import REPO, Home, gone

pytestmark = pytest.mark.slow

CALLS = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\r\n\n{"jsonrpc":"2.0","id":2,"method":"ping"}\n'


def run(home: Home, stdin: object, stdout: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "tests.daemon.serve", "stdio"],
        stdin=stdin,  # type: ignore[arg-type]
        stdout=stdout,  # type: ignore[arg-type]
        env=home.environment,
        cwd=REPO,
        timeout=limit(15),
        check=True,
    )


def test_calls_may_come_from_a_file_and_answers_go_to_one(home: Home) -> None:
    asked, answered = home.path / "asked", home.path / "answered"
    asked.write_bytes(CALLS)
    with asked.open("rb") as stdin, answered.open("wb") as stdout:
        run(home, stdin, stdout)
    lines = [json.loads(line) for line in answered.read_text().splitlines()]
    assert [each["id"] for each in lines if "id" in each] == [1, 2]


def test_without_anybody_to_serve_it_ends(home: Home) -> None:
    run(home, subprocess.DEVNULL, subprocess.DEVNULL)
    gone(home, 2)


def test_a_print_cannot_reach_the_protocol(home: Home) -> None:
    code = (
        "import os, tests.daemon.serve as serve; from lofi.daemon import app; own = app.App.run\n"
        "async def run(self):\n"
        "    print('a library talks', flush=True); os.write(1, b'raw\\n')\n"
        "    return await own(self)\n"
        "app.App.run = run; serve.main(['stdio'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=CALLS,
        capture_output=True,
        env=home.environment,
        cwd=REPO,
        timeout=limit(15),
        check=True,
    )
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in done.stdout.splitlines())
    assert b"a library talks" in done.stderr and b"raw" in done.stderr


def test_one_daemon_claims_the_place_and_the_next_is_told(home: Home) -> None:
    path, lock = home.path / "run" / "s", home.path / "run" / "lock"
    held = claim(path, lock, 0.1)
    assert held is not None and not answers(path)
    with pytest.raises(Busy, match="does not answer"):
        claim(path, lock, 0.1)
    held.release()
    again = claim(path, lock, 0.1)
    assert again is not None
    again.release()
