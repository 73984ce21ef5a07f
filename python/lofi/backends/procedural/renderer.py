"""Renders one track: score, mixer, gain and master joined, a quantum at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lofi.backends.procedural.effects import QUANTUM
from lofi.backends.procedural.level import MEASURED_SEC, Forecast, Rider, decibels
from lofi.backends.procedural.master import LATENCY, Master
from lofi.backends.procedural.mixer import DELAY, Mixer
from lofi.backends.procedural.score import Score
from lofi.backends.procedural.settings import SAMPLE_RATE, Settings
from lofi.backends.procedural.tones import Samples
from lofi.worker.backend import Check


class Renderer:
    """Renders one track quantum by quantum.

    Args:
        settings: the track.
        check: called before each quantum; raises when the track is no longer wanted.
    """

    def __init__(self, settings: Settings, check: Check) -> None:
        self._settings = settings
        self._check = check
        self._score = Score(settings)
        end = self._score.end_sample
        self.frames = end if settings.loopable else settings.frames
        period = end if settings.loopable else None
        self._mixer = Mixer(settings, self._score, period)
        self._master = Master(settings, self.frames, end)

    @property
    def quanta(self) -> int:
        """Number of pieces `pieces` will yield, at most."""
        return -(-self.frames // QUANTUM)

    def pieces(self) -> Iterator[NDArray[np.float32]]:
        """Yields finished [n, 2] float32 pieces; together exactly `frames` long."""
        mixer, master = self._mixer, self._master
        skip = DELAY + LATENCY - mixer.start
        """Samples of the master's output that lie before the track's first."""
        forecast = Forecast(self._settings, self._score, mixer.kit, mixer.levels)
        rider = Rider(self._settings, forecast, self.frames)
        first, powers = self._opening(skip)
        seconds = min(MEASURED_SEC, self.frames / SAMPLE_RATE)
        rider.begin(powers, seconds)
        gain, sent = decibels(rider.gain_db), 0
        while sent < self.frames:
            self._check()
            quantum, power = first.pop(0) if first else mixer.quantum()
            if mixer.start - len(first) * QUANTUM > DELAY:
                after = decibels(rider.follow(power, QUANTUM / SAMPLE_RATE))
            else:
                after = gain
            out = master.process(quantum, gain, after)
            gain = after
            if skip >= QUANTUM:
                skip -= QUANTUM
                continue
            out = out[:, skip : skip + self.frames - sent]
            skip = 0
            yield master.finish(out, sent)
            sent += out.shape[1]

    def _opening(self, skip: int) -> tuple[list[tuple[Samples, float]], list[float]]:
        """Returns the quanta of the first five seconds and the powers of those that count."""
        wanted = min(MEASURED_SEC * SAMPLE_RATE, self.frames)
        quanta: list[tuple[Samples, float]] = []
        while len(quanta) * QUANTUM < wanted + skip:
            self._check()
            quanta.append(self._mixer.quantum())
        before = (skip - LATENCY) // QUANTUM
        return quanta, [power for _, power in quanta[before:]]
