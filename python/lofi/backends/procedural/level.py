"""The gain of a track without hearing the whole of it.

The score predicts the power of each bar; the first five seconds, rendered before any sample
leaves, correct the prediction; after that the gain is steered so slowly that nothing pumps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from lofi.backends.procedural.drum_kit import DrumKit
from lofi.backends.procedural.loudness import lufs
from lofi.backends.procedural.notes import Event
from lofi.backends.procedural.score import Score
from lofi.backends.procedural.settings import SAMPLE_RATE, Settings

MEASURED_SEC = 5.0
WRITTEN_SEC = 60.0
"""How much of the score is written before the first sound, for the prediction."""
NOTE_POWER = 0.063
"""Mean square of a note at -12 dB."""
DECAY = {
    "ep": 1.8,
    "vibes": 1.8,
    "sub": 2.0,
    "piano": 3.2,
    "upright": 3.6,
    "bell": 4.0,
    "guitar": 4.5,
    "synthbass": 5.0,
    "stab": 8.0,
}
STEER, STEER_LIMIT_DB = 0.176, 0.352
"""Share of the error taken away in a second, and the most it may be."""
GATE_DB = -10.0
SATURATION_DB = 1.1


def gated_mean(powers: Sequence[float], weights: Sequence[float]) -> float:
    """Returns the weighted mean of the powers that are not 10 dB below the plain mean."""
    total = sum(weights)
    if total <= 0:
        return 0.0
    mean = sum(p * w for p, w in zip(powers, weights, strict=True)) / total
    floor = mean * 10 ** (GATE_DB / 10)
    loud = [(p, w) for p, w in zip(powers, weights, strict=True) if p >= floor]
    share = sum(w for _, w in loud)
    return sum(p * w for p, w in loud) / share if share > 0 else mean


class Forecast:
    """The predicted power of each bar."""

    def __init__(
        self, settings: Settings, score: Score, kit: DrumKit, levels: dict[str, float]
    ) -> None:
        self._settings = settings
        self._kit = kit
        self._levels = levels
        self.bar_sec = score.form.bar_beats * settings.beat_sec
        self.bars = self._bars(score)

    def mean(self, start_sec: float, end_sec: float) -> float:
        """Returns the mean predicted power between two times."""
        total = weight = 0.0
        for bar in range(int(start_sec // self.bar_sec), len(self.bars)):
            low = max(start_sec, bar * self.bar_sec)
            high = min(end_sec, (bar + 1) * self.bar_sec)
            if high <= low:
                break
            total += self.bars[bar] * (high - low)
            weight += high - low
        return total / weight if weight > 0 else 0.0

    def after(self, start_sec: float) -> list[float]:
        """Returns the predicted powers of the bars that end after `start_sec`."""
        return self.bars[int(start_sec // self.bar_sec) :]

    def _bars(self, score: Score) -> list[float]:
        powers: list[float] = []
        by_letter: dict[str, list[float]] = {}
        written_until = WRITTEN_SEC / self.bar_sec
        for index, section in enumerate(score.form.sections):
            if section.start_bar < written_until:
                bars = self._passage(score.passage(index).events, section.start_bar, section.bars)
                by_letter.setdefault(section.letter, []).extend(bars)
            else:
                known = by_letter.get(section.letter) or powers
                bars = [sum(known) / len(known)] * section.bars
            powers += bars
        return powers

    def _passage(self, events: Sequence[Event], start_bar: int, bars: int) -> list[float]:
        kicks = sum(event.instrument == "kick" for event in events) / (bars * self.bar_sec)
        energies = [0.0] * bars
        for event in events:
            bar = int(event.start / SAMPLE_RATE / self.bar_sec + 0.02) - start_bar
            energies[min(bars - 1, max(0, bar))] += self._energy(event, kicks)
        return [energy / self.bar_sec for energy in energies]

    def _energy(self, event: Event, kicks_per_sec: float) -> float:
        settings, bus = self._settings, self._levels[event.bus]
        if event.bus == "drums":
            hit = self._kit.energy(event.instrument)
            return 2 * (event.velocity * bus) ** 2 * hit
        seconds = event.length / SAMPLE_RATE + 0.35 * event.release_sec
        k = DECAY.get(event.instrument)
        share = seconds if k is None else (1 - math.exp(-k * seconds)) / (1 - math.exp(-k))
        energy = 2 * NOTE_POWER * share * (event.velocity / 0.7) ** 1.8 * bus * bus
        ambient = settings.style.name == "ambient"
        duck = settings.style.duck
        if event.bus == "lead":
            energy *= 1.05 + (1.5 if ambient else 0.5) * settings.reverb
        elif event.bus == "keys":
            energy *= 1 + (0.7 if ambient else 0.3) * settings.reverb
        if duck is not None and event.bus in ("keys", "pad", "bass"):
            energy *= max(0.4, 1 - 1.2 * duck.depth * duck.seconds * kicks_per_sec)
        return energy


class Rider:
    """Sets the gain from forecast and first seconds, then steers it slowly."""

    def __init__(self, settings: Settings, forecast: Forecast, frames: int) -> None:
        # A harder saturator takes more away; measured between 0 and 1.
        self._target = settings.style.target_lufs + SATURATION_DB * (settings.saturation - 0.35)
        self._steers = not settings.loopable
        self._forecast = forecast
        self._end_sec = frames / SAMPLE_RATE
        self._powers: list[float] = []
        """Power of each quantum before gain, and what it left with."""
        self._sent: list[float] = []
        self.gain_db = 0.0

    def begin(self, powers: Sequence[float], seconds: float) -> None:
        """Sets the first gain from the powers of the first `seconds`."""
        measured = sum(powers) / len(powers)
        if seconds >= self._end_sec:
            self.gain_db = self._target - lufs(gated_mean(powers, [1.0] * len(powers)))
            return
        bars = self._forecast.bars
        whole = gated_mean(bars, [1.0] * len(bars))
        correction = lufs(measured) - lufs(self._forecast.mean(0.0, seconds))
        if abs(correction) > 6:
            correction = math.copysign(6 + 0.6 * (abs(correction) - 6), correction)
        self.gain_db = self._target - (lufs(whole) + correction)

    def follow(self, power: float, quantum_sec: float) -> float:
        """Takes the next quantum's power; returns the gain in dB to reach at its end."""
        self._powers.append(power)
        self._sent.append(power * 10 ** (self.gain_db / 10))
        now = len(self._powers) * quantum_sec
        if not self._steers or now < MEASURED_SEC:
            return self.gain_db
        error = self._target - lufs(self._outlook(now, quantum_sec))
        step = min(STEER_LIMIT_DB, max(-STEER_LIMIT_DB, STEER * error))
        self.gain_db += step * quantum_sec
        return self.gain_db

    def _outlook(self, now: float, quantum_sec: float) -> float:
        """Returns the loudness the finished track would have at the gain of now, as a power."""
        predicted = self._forecast.mean(0.0, now)
        heard = sum(self._powers) / len(self._powers)
        ratio = heard / predicted if predicted > 0 else 1.0
        ratio *= 10 ** (self.gain_db / 10)
        rest = [power * ratio for power in self._forecast.after(now)]
        bar_sec = self._forecast.bar_sec
        powers = [*self._sent, *rest]
        weights = [quantum_sec] * len(self._sent) + [bar_sec] * len(rest)
        return gated_mean(powers, weights)


def decibels(gain_db: float) -> float:
    """Returns a gain in dB as a factor."""
    return float(10 ** (gain_db / 20))
