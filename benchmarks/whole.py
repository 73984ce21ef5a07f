"""Whole tracks through a real daemon: time, progress against the clock, and how soon a cancel ends.

python -m benchmarks.whole BACKEND MODELS [--seconds 10] [--steps 4] [--runs 3]
    [--cancel-seconds 240] [--output FILE]

MODELS is the folder of the backend's components. Each run asks for another seed. The deviation of
a run is the largest difference between `percent` and the share of its time that had gone by; the
first run knows nothing yet, from the second on it is to stay within ten points.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from lofi import catalog
from lofi.paths import MODEL_VARIABLES
from tests.daemon.callers import REPO, Caller, Home

LIMIT_SEC = 3600.0
Figures = dict[str, Any]


class Listener:
    """Notes when each message of a daemon came."""

    def __init__(self, caller: Caller) -> None:
        self.times: list[float] = []
        self._caller = caller
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            while len(self.times) < len(self._caller.messages):
                self.times.append(time.monotonic())
            time.sleep(0.005)

    def of(self, method: str, track_id: str) -> list[tuple[float, dict[str, Any]]]:
        """Returns time and params of a track's notifications."""
        time.sleep(0.05)
        pairs = zip(self.times, list(self._caller.messages), strict=False)
        return [
            (at, message["params"])
            for at, message in pairs
            if message.get("method") == method and message["params"].get("track_id") == track_id
        ]


def rendered(caller: Caller, listener: Listener, **params: Any) -> Figures:
    """Renders a track; returns what it took and how true its progress was."""
    track_id = caller.call("generate", **params)["track_id"]
    method, ending = caller.ending(track_id, LIMIT_SEC)
    if method != "generation_complete":
        raise SystemExit(f"{method}: {ending}")
    (begin, _), *_ = listener.of("generation_start", track_id)
    (end, _), *_ = listener.of("generation_complete", track_id)
    total = end - begin
    progress = listener.of("generation_progress", track_id)
    apart = [abs(each["percent"] / 100 - (at - begin) / total) for at, each in progress]
    phases: dict[str, float] = {}
    for (at, each), (following, _) in zip(progress, [*progress[1:], (end, {})], strict=True):
        phases[each["phase"]] = phases.get(each["phase"], 0.0) + following - at
    return {
        "total_sec": round(total, 2),
        "phases_sec": {name: round(seconds, 2) for name, seconds in phases.items()},
        "deviation": round(max(apart, default=0.0), 3),
        "notifications": len(progress),
    }


def cancelled(caller: Caller, listener: Listener, **params: Any) -> Figures:
    """Cancels a track in its second second of diffusion."""
    track_id = caller.call("generate", **params)["track_id"]
    caller.event("generation_progress", LIMIT_SEC, track_id=track_id, phase="diffusion")
    time.sleep(2)
    asked = time.monotonic()
    caller.call("cancel", track_id=track_id)
    answered = time.monotonic()
    caller.ending(track_id, LIMIT_SEC)
    (end, _), *_ = listener.of("generation_cancelled", track_id)
    return {
        "seconds": params["duration_sec"],
        "answer_sec": round(answered - asked, 3),
        "ended_sec": round(end - asked, 3),
    }


def main() -> None:
    """Prints, and with --output keeps, the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("backend")
    parser.add_argument("models", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cancel-seconds", type=float)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    backend = catalog.backend_named(given.backend)
    home = Home()
    home.environment.pop("OMP_NUM_THREADS", None)
    home.environment[MODEL_VARIABLES[backend.type]] = str(given.models.absolute())
    asked: dict[str, Any] = {
        "prompt": "rain on a window, felt piano",
        "backend": backend.type,
        "duration_sec": given.seconds,
        "infer_steps": given.steps,
        "auto_play": False,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "lofi", "daemon"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=home.environment,
        cwd=REPO,
    )
    assert process.stdin is not None and process.stdout is not None
    caller = Caller(process.stdin.fileno(), process.stdout.fileno(), process, None)
    listener = Listener(caller)
    try:
        caller.initialize()
        report: Figures = {
            "backend": backend.type,
            "seconds": given.seconds,
            "steps": given.steps,
            "runs": [rendered(caller, listener, **asked, seed=seed) for seed in range(given.runs)],
        }
        if given.cancel_seconds:
            longer = {**asked, "duration_sec": given.cancel_seconds, "seed": given.runs}
            report["cancel"] = cancelled(caller, listener, **longer)
    finally:
        caller.close()
        home.close()
    text = json.dumps(report, indent=1)
    print(text)
    if given.output is not None:
        given.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
