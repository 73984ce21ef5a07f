"""With every way to the network shut, models that are installed play, and nobody even tries it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoints import ace_step_15, ace_step_v1, musicgen
from tests.daemon.callers import REPO, Caller, Home

GUARD = """
import os, socket, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        if event.startswith("socket.get") or arguments[0].family != socket.AF_UNIX:
            with open(os.environ["NETWORK_LOG"], "a") as log:
                log.write(f"{event} {arguments!r}\\n")
            raise OSError("there is no network")

sys.addaudithook(refuse)
"""
"""Python runs it in every process that it starts, workers included."""


@pytest.fixture
def home() -> Iterator[Home]:
    made = Home()
    yield made
    made.close()


@pytest.fixture
def blocked(home: Home, tmp_path: Path) -> dict[str, str]:
    guard = tmp_path / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD)
    return {
        **home.environment,
        "PYTHONPATH": f"{guard}{os.pathsep}{home.environment['PYTHONPATH']}",
        "NETWORK_LOG": str(tmp_path / "tried"),
    }


def test_the_guard_sees_an_attempt(blocked: dict[str, str]) -> None:
    program = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')"
    done = subprocess.run(
        [sys.executable, "-c", program], env=blocked, capture_output=True, check=False
    )
    assert done.returncode != 0
    assert Path(blocked["NETWORK_LOG"]).read_text()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_installed_models_play_without_a_network(
    home: Home, blocked: dict[str, str], tmp_path: Path
) -> None:
    musicgen.write(tmp_path / "musicgen" / "small")
    ace_step_15.write_bundle(tmp_path / "bundle")
    ace_step_v1.write_checkpoint(tmp_path / "v1")
    process = subprocess.Popen(
        [sys.executable, "-m", "lofi", "daemon"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={
            **blocked,
            "LOFI_MODEL_PATH": str(tmp_path / "musicgen"),
            "LOFI_ACE_STEP_15_MODEL_PATH": str(tmp_path / "bundle"),
            "LOFI_ACE_STEP_MODEL_PATH": str(tmp_path / "v1"),
        },
        cwd=REPO,
    )
    assert process.stdin is not None and process.stdout is not None
    daemon = Caller(process.stdin.fileno(), process.stdout.fileno(), process, None)
    daemon.initialize()
    wishes: list[dict[str, Any]] = [
        {"backend": "procedural", "duration_sec": 5},
        {"backend": "musicgen", "duration_sec": 5},
        {"backend": "ace_step_15", "duration_sec": 10, "infer_steps": 2},
        {"backend": "ace_step", "duration_sec": 5, "infer_steps": 2},
    ]
    for wish in wishes:
        made = daemon.call("generate", prompt="slow piano", seed=1, **wish)
        track = daemon.event("generation_complete", track_id=made["track_id"], seconds=120)
        assert Path(track["path"]).stat().st_size > 10_000
    daemon.call("doctor")
    process.stdin.close()
    assert process.wait(10) == 0
    daemon.close()
    tried = Path(blocked["NETWORK_LOG"])
    assert not tried.exists(), tried.read_text()
