"""How long each phase takes on this machine: measured, kept in a file, asked by every estimate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lofi.daemon import durable

Confidence = Literal["measured", "scaled", "guess"]

SAMPLES_KEPT = 12
NEAR_FACTOR = 1.5
"""A length this near to a measured one counts as measured itself."""
FRESH_WEIGHT = 0.6
"""Of a new measurement against the old one of the same length."""
LOADING = "loading"
LOADED_SEC = 0.3
"""Loading below this means the model was there already; it teaches nothing."""
_GUESSES: dict[str, dict[str, float]] = {"procedural": {"diffusion": 0.03, "writing": 0.005}}
"""Seconds per second of audio before anything was measured. A neural backend's speed spans a
factor of a thousand between machines, so nothing is guessed there."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the time of a job depends on."""

    device: str
    backend: str
    variant: str
    steps: int
    duration_sec: float
    is_loaded: bool = False

    @property
    def key(self) -> str:
        return f"{self.device}|{self.backend}|{self.variant}"


@dataclass(frozen=True, slots=True)
class Expectation:
    """Seconds per phase, in order, and how much they are worth."""

    phases: Mapping[str, float]
    confidence: Confidence

    @property
    def seconds(self) -> float:
        return sum(self.phases.values())


class Timings:
    """The measured runs: for each kind of work, phases by steps and length."""

    def __init__(self, path: Path) -> None:
        self._path = path
        table = durable.read_json(path)
        self._table: dict[str, list[dict[str, Any]]] = {
            key: [item for item in samples if _is_sample(item)]
            for key, samples in table.items()
            if isinstance(samples, list)
        }

    def expect(self, work: Work) -> Expectation | None:
        """Returns what a job will take; None when nothing is known."""
        samples = self._table.get(work.key) or []
        if not samples:
            guess = _GUESSES.get(work.backend)
            if guess is None:
                return None
            phases = {name: rate * work.duration_sec for name, rate in guess.items()}
            return Expectation(phases, "guess")
        nearest = min(samples, key=lambda item: _distance(item, work))
        length = work.duration_sec / nearest["duration_sec"]
        steps = work.steps / nearest["steps"] if nearest["steps"] and work.steps else 1.0
        phases = {}
        for name, seconds in nearest["phases"].items():
            if name == LOADING:
                loading = LOADED_SEC if work.is_loaded else seconds
                phases[name] = min(loading, seconds)
            else:
                phases[name] = seconds * length * (steps if name == "diffusion" else 1.0)
        is_near = max(length, 1 / length) <= NEAR_FACTOR and steps == 1.0
        return Expectation(phases, "measured" if is_near else "scaled")

    def learn(self, work: Work, phases: Mapping[str, float]) -> None:
        """Takes over what a finished job took."""
        samples = self._table.setdefault(work.key, [])
        same = [
            item
            for item in samples
            if item["steps"] == work.steps and math.isclose(item["duration_sec"], work.duration_sec)
        ]
        measured = {name: round(seconds, 4) for name, seconds in phases.items()}
        if measured.get(LOADING, 0.0) < LOADED_SEC:
            known = [item["phases"][LOADING] for item in samples if LOADING in item["phases"]]
            if known:
                measured[LOADING] = known[-1]
        if same:
            old = same[0]["phases"]
            measured = {
                name: round(FRESH_WEIGHT * seconds + (1 - FRESH_WEIGHT) * old.get(name, seconds), 4)
                for name, seconds in measured.items()
            }
            samples.remove(same[0])
        samples.append({"steps": work.steps, "duration_sec": work.duration_sec, "phases": measured})
        del samples[:-SAMPLES_KEPT]

    def save(self) -> None:
        """Writes the file; off the event loop."""
        durable.make_folder(self._path.parent)
        durable.write_json(self._path, dict(self._table))


def _is_sample(item: Any) -> bool:
    if not isinstance(item, dict) or not isinstance(item.get("phases"), dict):
        return False
    numbers = [item.get("steps"), item.get("duration_sec"), *item["phases"].values()]
    good = all(isinstance(number, (int, float)) and number >= 0 for number in numbers)
    return good and item["duration_sec"] > 0


def _distance(item: Mapping[str, Any], work: Work) -> float:
    length = abs(math.log(max(work.duration_sec, 0.1) / item["duration_sec"]))
    return length + (0.0 if item["steps"] == work.steps else 1.0)
