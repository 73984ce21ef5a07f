"""Times the daemon: handshakes, quick methods while a render runs, cached answers, idleness.

    PYTHONPATH=python python -m benchmarks.daemon [--json] [--output benchmarks/results/daemon.md]

Everything goes through the relay, as an editor does, with the embedded synthesiser and no sound.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROUNDS = 7
CALLS = 600
IDLE_SEC = 10.0
QUICK = ("ping", "queue_status", "status", "volume_get", "cache_list", "get_backends")

TABLE = """# The daemon, on a quiet machine

`python -m benchmarks.daemon --output benchmarks/results/daemon.md`: two cores, nothing else\
 running; best and median.

| figure | best | median | wanted |
|---|---|---|---|
| handshake, daemon cold | {handshake_cold_ms:.0f} ms | {handshake_cold_median_ms:.0f} ms \
| < 400 ms |
| handshake, daemon up | {handshake_warm_ms:.0f} ms | {handshake_warm_median_ms:.0f} ms | < 150 ms |
| quick methods during a 600 s render, {quick_calls:.0f} calls | {quick_median_ms:.2f} ms median \
| {quick_p99_ms:.1f} ms p99 | < 20 ms p99 |
| cached hit, answer and notification | | {cached_ms:.1f} ms | ≤ 50 ms |
| hang-up to the last process ended, worst | | {leaving_ms:.0f} ms | ≤ 1 s |
| idle daemon | {idle_cpu_percent:.1f} % CPU | {idle_memory_mb:.0f} MB | < 1 %, < 80 MB |
"""


class Editor:
    """One relay, asked one thing at a time."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.began = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lofi", "daemon", "--shared"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._last_id = 0

    def call(self, method: str, **params: Any) -> Any:
        """Returns the result; notifications before it are dropped."""
        self._last_id += 1
        call = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(call).encode() + b"\n")
        self._process.stdin.flush()
        while (message := self.read()).get("id") != self._last_id:
            pass
        return message["result"]

    def read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def until(self, method: str) -> Any:
        while (message := self.read()).get("method") != method:
            pass
        return message["params"]

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@contextmanager
def home() -> Iterator[dict[str, str]]:
    """Yields the environment of a user with nothing."""
    folder = tempfile.mkdtemp(prefix="lofi-")
    names = {f"XDG_{name}_HOME": f"{folder}/{name}" for name in ("STATE", "CACHE", "CONFIG")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOFI_")}
    yield {
        **kept,
        **names,
        "HOME": folder,
        "XDG_RUNTIME_DIR": folder,
        "LOFI_AUDIO_OUTPUT": "null",
    }
    shutil.rmtree(folder, ignore_errors=True)


def gone(pid: int) -> None:
    """Waits for a process to end, reaped or not."""
    stat = Path(f"/proc/{pid}/stat")
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.002)


def handshakes() -> dict[str, float]:
    cold, warm, leaving = [], [], []
    for _ in range(ROUNDS):
        with home() as environment:
            first = Editor(environment)
            pid = first.call("initialize")["daemon"]["pid"]
            cold.append(time.perf_counter() - first.began)
            second = Editor(environment)
            second.call("initialize")
            warm.append(time.perf_counter() - second.began)
            second.close()
            began = time.perf_counter()
            first.close()
            gone(pid)
            leaving.append(time.perf_counter() - began)
    return {
        "handshake_cold_ms": 1000 * min(cold),
        "handshake_cold_median_ms": 1000 * statistics.median(cold),
        "handshake_warm_ms": 1000 * min(warm),
        "handshake_warm_median_ms": 1000 * statistics.median(warm),
        "leaving_ms": 1000 * max(leaving),
    }


def during_a_render() -> dict[str, float]:
    with home() as environment:
        editor = Editor(environment)
        editor.call("initialize")
        render = {
            "prompt": "rain",
            "duration_sec": 600,
            "auto_play": False,
            "backend": "procedural",
        }
        first = editor.call("generate", **render, seed=1)["track_id"]
        editor.until("generation_start")
        times = []
        for number in range(CALLS):
            began = time.perf_counter()
            editor.call(QUICK[number % len(QUICK)])
            times.append(time.perf_counter() - began)
        is_rendering = editor.call("queue_status")["current"] is not None
        editor.call("cancel") if is_rendering else None
        short = {**render, "duration_sec": 10, "seed": 2}
        editor.call("generate", **short)
        editor.until("generation_complete")
        hits = []
        for _ in range(20):
            began = time.perf_counter()
            editor.call("generate", **short)
            editor.until("generation_complete")
            hits.append(time.perf_counter() - began)
        editor.close()
    assert first
    times.sort()
    return {
        "quick_median_ms": 1000 * times[len(times) // 2],
        "quick_p99_ms": 1000 * times[int(len(times) * 0.99)],
        "quick_calls": float(len(times)),
        "was_rendering_throughout": float(is_rendering),
        "cached_ms": 1000 * statistics.median(hits),
    }


def idleness() -> dict[str, float]:
    with home() as environment:
        editor = Editor(environment)
        pid = editor.call("initialize")["daemon"]["pid"]
        time.sleep(2)
        before = _cpu_sec(pid)
        time.sleep(IDLE_SEC)
        used = _cpu_sec(pid) - before
        status = Path(f"/proc/{pid}/status").read_text()
        resident_kb = int(status.split("VmRSS:")[1].split()[0])
        editor.close()
    return {"idle_cpu_percent": 100 * used / IDLE_SEC, "idle_memory_mb": resident_kb / 1024}


def _cpu_sec(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Prints the figures, one a line, or as one JSON value."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table there")
    options = parser.parse_args()
    figures = {**handshakes(), **during_a_render(), **idleness()}
    if options.output:
        options.output.write_text(TABLE.format(**figures), encoding="utf-8")
    if options.json:
        print(json.dumps({name: round(value, 2) for name, value in figures.items()}))
    else:
        for name, value in figures.items():
            print(f"{name:28} {value:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
