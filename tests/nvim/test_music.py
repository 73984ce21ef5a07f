"""The whole chain in a real Neovim: from the keypress to samples that were really played."""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.clock import limit, until
from tests.nvim import get_nvim
from tests.nvim.conftest import Open
from tests.nvim.editor import REPO, Editor, Home

pytestmark = [pytest.mark.every_nvim, pytest.mark.slow]

KILLS = REPO / "benchmarks" / "results" / "nvim_kills.json"
"""What `make soak` writes."""

WATCH_THE_LOOP = """
-- The processor time between two ticks: what the editor itself was busy for, whoever else runs.
_G.longest_ms, _G.last = 0, os.clock()
_G.ticker = vim.uv.new_timer()
_G.ticker:start(1, 1, function()
  local now = os.clock()
  _G.longest_ms = math.max(_G.longest_ms, (now - _G.last) * 1000)
  _G.last = now
end)
"""


def recorded(path: Path) -> float:
    """Returns how many seconds of the recording sound."""
    if not path.exists() or path.stat().st_size < 100:
        return 0
    try:
        samples, rate = soundfile.read(path, always_2d=True)
    except soundfile.LibsndfileError:
        samples, rate = _unfinished(path)
    loud = np.abs(samples).max(axis=1) > 1e-3 if len(samples) else np.zeros(0)
    return float(loud.sum() / rate)


def _unfinished(path: Path) -> tuple[Any, int]:
    """Reads a WAV whose header is not yet completed."""
    data = path.read_bytes()[44:]
    return np.frombuffer(data[: len(data) // 4 * 4], "<i2").reshape(-1, 2) / 32768, 48000


def test_bare_lofi_makes_music_at_once(open_editor: Open, home: Home, tmp_path: Path) -> None:
    tape = tmp_path / "tape.wav"
    editor = open_editor({"audio": {"output": f"file:{tape}"}, "defaults": {"duration_sec": 10}})
    editor.watch()
    editor.lua("vim.cmd('Lofi! daemon start')")  # the files of Python are read: warm
    editor.notice("daemon 0.1.0 runs", 30)
    editor.command("Lofi! daemon stop")
    editor.notice("the daemon was stopped")
    editor.lua(WATCH_THE_LOOP)
    editor.command("Lofi")
    editor.event("playback_start", 30)
    until(lambda: recorded(tape) > 0, 10, "sound on the tape")  # how soon: benchmarks/nvim.py
    editor.event("generation_progress", 30)
    first = editor.event("generation_complete", 60)
    assert editor.lua("return _G.longest_ms") < limit(10)
    editor.event("generation_queued", 30)
    until(lambda: len(editor.events("generation_queued")) >= 2, 30, "the next one is asked for")
    seeds = {answer["seed"] for answer in editor.events("generation_queued")}
    assert len(seeds) >= 2, "with another seed"
    assert editor.lua("return require('lofi').statusline()").startswith("▶ 0:")

    editor.command("Lofi list")
    items = editor.until("(_G.seen.asked[1] or {}).items", 10)
    assert any("lofi hip hop" in item and "procedural" in item for item in items)
    assert first["track_id"] in editor.lua("return vim.tbl_keys(require('lofi.state').now.tracks)")

    until(lambda: recorded(tape) > 0.5, 10, "half a second of music")
    editor.command("Lofi")
    editor.event("playback_pause", 10)
    line = editor.lua("return require('lofi').statusline()")
    assert line.startswith("⏸"), f"{line} after {editor.names()[-16:]}"
    editor.command("Lofi")
    editor.event("playback_resume", 10)
    editor.command("Lofi stop")
    editor.event("playback_end", 10, reason="stopped")
    assert editor.lua("return require('lofi.stream').is_active()") is False


def check_cache(home: Home) -> None:
    """Every sidecar has its whole file, and every file its sidecar."""
    tracks = Path(home.environment["XDG_CACHE_HOME"]) / "lofi.nvim" / "tracks"
    sidecars = list(tracks.glob("*.json"))
    for sidecar in sidecars:
        members = json.loads(sidecar.read_text())
        assert (tracks / members["file"]).stat().st_size == members["bytes"]
    assert {path.stem for path in tracks.glob("*.wav")} <= {path.stem for path in sidecars}


def kill_at_random_moments(program: Path, home: Home, tmp_path: Path, rounds: int) -> list[float]:
    """From the keypress to well into the music; the next round is the request after the kill.

    Returns how many seconds it took each time until no process was left.
    """
    took: list[float] = []
    moments = random.Random()
    seed = moments.randrange(1000)
    moments.seed(seed)
    command = [str(program), "--clean", "-n", "--headless", "--cmd", f"set rtp^={REPO}"]
    for round_number in range(rounds):
        tape = tmp_path / f"{round_number}.wav"
        home.environment["LOFI_AUDIO_OUTPUT"] = f"file:{tape}"
        editor = subprocess.Popen(
            [*command, "-c", "Lofi"],
            env=home.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if round_number % 10 == 0:
            until(lambda: recorded(tape) > 0, 30, "sound")  # noqa: B023
            assert len(home.processes()) >= 3, "editor, relay, daemon, worker"
        else:
            time.sleep(moments.uniform(0.05, 2))  # the moment itself is what is tested
        editor.kill()
        editor.wait()
        began = time.monotonic()
        # Less than a daemon waits that nobody came to, also three times.
        until(lambda: home.processes() == [], 3, f"an empty process table (seed {seed})")
        took.append(time.monotonic() - began)
        check_cache(home)
        tape.unlink(missing_ok=True)
    return took


def test_killing_neovim_leaves_nothing_behind(program: Path, home: Home, tmp_path: Path) -> None:
    kill_at_random_moments(program, home, tmp_path, 5)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_killing_neovim_fifty_times(program: Path, home: Home, tmp_path: Path) -> None:
    began = time.monotonic()
    took = kill_at_random_moments(program, home, tmp_path, 50)
    known = json.loads(KILLS.read_text()) if KILLS.exists() else {}
    known[get_nvim.version_of(program)] = {
        "kills": 50,
        "longest_until_no_process_sec": round(max(took), 2),
        "median_until_no_process_sec": round(statistics.median(took), 2),
        "took_sec": round(time.monotonic() - began),
    }
    KILLS.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
    assert max(took) < limit(1)


def test_after_a_crash_bare_lofi_is_heard(open_editor: Open, home: Home, tmp_path: Path) -> None:
    """The daemon plays on after a crash; `:Lofi` of a new Neovim must not pause that."""
    options = {"defaults": {"duration_sec": 20}}
    tape = tmp_path / "first.wav"
    first = open_editor({**options, "audio": {"output": f"file:{tape}"}})
    first.watch()
    first.command("Lofi")
    first.event("playback_start", 30)
    first.event("generation_complete", 120)
    until(lambda: recorded(tmp_path / "first.wav") > 0.5, 10, "music")
    for pid in home.processes():
        os.kill(pid, signal.SIGKILL)
    until(lambda: home.processes() == [], 10, "nobody is left")
    tape = tmp_path / "second.wav"
    second = open_editor({**options, "audio": {"output": f"file:{tape}"}})
    second.watch()
    second.command("Lofi")
    until(lambda: recorded(tape) > 0.5, 30, "music again")
    assert second.lua("return require('lofi').is_playing()")


def test_two_neovims_share_one_daemon(open_editor: Open, home: Home) -> None:
    first, second = open_editor(), open_editor()
    for editor in (first, second):
        editor.watch()
        editor.call("request", "ping", {}, seconds=30)
    pids = {editor.lua("return require('lofi.state').now.daemon.pid") for editor in (first, second)}
    assert len(pids) == 1
    first.lua(
        "require('lofi').generate({ prompt = 'x', duration_sec = 5, backend = 'procedural' })"
    )
    done = second.event("generation_complete", 60)
    assert first.event("generation_complete", 60)["track_id"] == done["track_id"]
    first.close()
    assert second.call("track", done["track_id"])["track"]["prompt"] == "x"
    again = {"prompt": "x", "duration_sec": 5, "backend": "procedural", "seed": done["seed"]}
    started = len(second.events("generation_start"))
    track = second.call("generate", again)
    assert track["track_id"] == done["track_id"]
    assert len(second.events("generation_start")) == started, "it is in the cache"
    second.close()
    until(lambda: home.processes() == [], 5, "the daemon left with its last client")
    third = open_editor()
    third.call("request", "ping", {}, seconds=30)


def test_a_killed_daemon_is_back_and_knows_its_tracks(open_editor: Open, home: Home) -> None:
    editor: Editor = open_editor()
    editor.watch()
    request = {"prompt": "y", "duration_sec": 5, "backend": "procedural", "auto_play": False}
    track = editor.call("generate", request, seconds=60)
    pid = editor.lua("return require('lofi.state').now.daemon.pid")
    os.kill(pid, signal.SIGKILL)
    assert editor.event("daemon_exit", 10)["expected"] is False
    until(lambda: len(editor.events("daemon_ready")) == 2, 15, "another daemon")
    assert editor.call("track", track["track_id"])["track"]["title"] == track["title"]
