"""`lofi bench` as a person runs it: a table or one JSON line, on a tiny checkpoint."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoints.ace_step_15 import write_bundle
from tests.clock import limit
from tests.daemon.callers import Home

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home()
    made.environment["LOFI_ACE_STEP_15_MODEL_PATH"] = str(write_bundle(tmp_path / "models"))
    yield made
    made.close()


def bench(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lofi", "bench", *arguments],
        env=home.environment,
        capture_output=True,
        text=True,
        timeout=limit(120),
        check=False,
    )


def test_each_stage_has_its_seconds_and_the_worker_its_memory(home: Home) -> None:
    done = bench(home, "--backend", "ace_step_15", "--durations", "6,12", "--steps", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    rows = json.loads(done.stdout)["rows"]
    assert [row["duration_sec"] for row in rows] == [6, 12]
    for row in rows:
        assert {"encoding", "diffusion", "decoding", "writing"} <= set(row["timings"])
        assert row["seconds"] >= sum(row["timings"].values()) * 0.9 > 0
        assert row["real_time_factor"] == round(row["duration_sec"] / row["seconds"], 2)
        assert row["peak_memory_mb"] > 50
        assert row["devices"]["diffusion"]["device"]
    assert "audio s" not in done.stdout


def test_a_table_for_a_backend_without_weights(home: Home) -> None:
    done = bench(home, "-b", "procedural", "--durations", "5")
    assert done.returncode == 0, done.stderr
    head, row, *_ = done.stdout.splitlines()
    assert head.split()[:2] == ["audio", "s"] and "peak MB" in head
    assert row.split()[0] == "5"


def test_lengths_that_are_no_numbers_are_refused(home: Home) -> None:
    done = bench(home, "--durations", "ten")
    assert done.returncode != 0
    assert "--durations" in done.stderr
