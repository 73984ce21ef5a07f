"""ACE-Step 1.5 from a real Neovim on a tiny checkpoint: heard, cancelled and killed mid-step."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.checkpoints.ace_step_15 import write_bundle
from tests.clock import limit, until
from tests.nvim.conftest import neovims
from tests.nvim.editor import Editor, Home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SECONDS = 120.0
REQUEST = "rain on a window, felt piano backend=ace_step_15"
ENDLESS = f"{REQUEST} infer_steps=20 duration_sec=600 force=true"
PHASES = ["loading", "encoding", "diffusion", "decoding", "writing"]


class Room:
    """A Neovim whose sound goes to a tape."""

    def __init__(self, home: Home, tape: Path) -> None:
        self.home, self.tape = home, tape
        program = next(iter(neovims().values()))
        self.editor = Editor(program, home, {"audio": {"output": f"file:{tape}"}})
        self.editor.watch()

    def begin(self, words: str) -> str:
        """Types `:Lofi generate`; returns the id once the job has begun."""
        self.editor.lua("_G.seen.events = {}")
        self.editor.command(f"Lofi generate {words}")
        return str(self.editor.event("generation_start", SECONDS)["track_id"])

    def mid_step(self) -> None:
        """Waits until the second step has begun."""
        until(
            lambda: any(note["phase"] == "diffusion" and note["percent"] > 0 for note in self.told),
            SECONDS,
            "diffusion",
        )

    @property
    def told(self) -> list[dict[str, Any]]:
        return self.editor.events("generation_progress")

    def worker(self) -> int:
        """The process that renders."""
        for pid in self.home.processes():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"lofi.worker.loop" in words and b"neural" in words:
                return pid
        raise AssertionError("no neural worker")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    folder = tmp_path_factory.mktemp("ace")
    home = Home()
    home.environment["LOFI_ACE_STEP_15_MODEL_PATH"] = str(write_bundle(folder / "models"))
    opened = Room(home, folder / "tape.wav")
    yield opened
    opened.editor.close()
    home.close()


def test_a_request_goes_through_its_phases_and_plays(room: Room) -> None:
    wanted = room.begin(f"{REQUEST} infer_steps=4 seed=3 12")
    made = room.editor.event("generation_complete", SECONDS, track_id=wanted)
    assert (made["backend"], made["duration_sec"]) == ("ace_step_15", 12)
    phases = [note["phase"] for note in room.told]
    assert phases == sorted(phases, key=PHASES.index)
    assert {"encoding", "diffusion", "decoding"} <= set(phases)
    percents = [note["percent"] for note in room.told]
    assert percents == sorted(percents) and percents[-1] <= 99
    room.editor.event("playback_start", SECONDS, track_id=wanted)
    samples, rate = soundfile.read(made["path"], always_2d=True)
    assert samples.shape == (12 * 48000, 2) and rate == 48000
    assert 0.5 < np.abs(samples).max() <= 1

    def heard() -> bool:
        data = np.frombuffer(room.tape.read_bytes()[44:][: 48000 * 8], "<i2")
        return bool(np.abs(data.astype(int)).max(initial=0) > 300)

    until(heard, SECONDS, "sound on the tape")


def test_a_cancel_mid_step_ends_the_job_and_the_worker_lives(room: Room) -> None:
    wanted = room.begin(ENDLESS)
    room.mid_step()
    worker = room.worker()
    began = time.monotonic()
    room.editor.command("Lofi cancel")
    ended = room.editor.event("generation_cancelled", 10, track_id=wanted)
    assert time.monotonic() - began < limit(2)
    assert ended["reason"] == "user"
    again = room.begin(f"{REQUEST} infer_steps=2 seed=4 6")
    room.editor.event("generation_complete", SECONDS, track_id=again)
    assert room.worker() == worker, "the weights are still loaded"


def test_a_worker_killed_mid_step_fails_its_job_and_no_other(room: Room) -> None:
    wanted = room.begin(ENDLESS)
    room.mid_step()
    worker = room.worker()
    os.kill(worker, signal.SIGKILL)
    ended = room.editor.event("generation_error", SECONDS, track_id=wanted)
    assert "SIGKILL" in ended["message"]
    again = room.begin(f"{REQUEST} infer_steps=2 seed=5 6")
    room.editor.event("generation_complete", SECONDS, track_id=again)
    assert room.worker() != worker
