"""Sampler colour, echo, reverb, tape and tone: each keeps its state between quanta."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lofi.backends.procedural.randomness import key_of, white
from lofi.backends.procedural.settings import SAMPLE_RATE
from lofi.backends.procedural.tones import (
    Samples,
    band_weight,
    falling,
    frequencies,
    sines,
    smoothstep,
)

QUANTUM = 12288
"""Samples rendered at a time, whatever block the consumer asks for. Twice as many are transformed
at once: half as many again would leave a small processor's second cache."""
Spectrum = NDArray[np.complex128]


def coloured(x: Samples, bits: int) -> Samples:
    """Returns `x` as an old sampler keeps it: `bits` wide, and held when very narrow.

    The staircase is continuous, each riser a ramp of 12 % of a step: a hard rounder would turn
    the last-bit difference between two machines into a whole step.
    """
    hold = 4 if bits <= 7 else 2 if bits <= 10 else 1
    if hold > 1:
        x = np.repeat(x[:, ::hold], hold, axis=1)
    if bits >= 16:
        return x
    step = 2.0 ** (1 - bits)
    u = x / step
    floor = np.floor(u)
    riser = np.clip((u - floor - 0.5) / 0.12 + 0.5, 0.0, 1.0)
    return np.asarray((floor + riser) * step)


class Echo:
    """Three taps of a dotted eighth on the lead: right, left, right, each softer."""

    LEVELS = (0.20, 0.10, 0.05)
    ACROSS = 0.35

    ROOM = 16 * QUANTUM
    """Samples written before the line is moved back to its start; no call may bring more."""

    def __init__(self, delay: int) -> None:
        self._delay = delay
        self._line = np.zeros(3 * delay + self.ROOM)
        self._end = 3 * delay
        """Where the line's past ends; it holds `3 * delay` samples before."""
        self._silent = 3 * delay
        """Samples since the last that was not zero, at least."""

    def process(self, x: Samples | None, count: int = QUANTUM) -> Samples:
        """x [2, n] -> x with its echoes, [2, n]; None is `count` samples of silence."""
        reach = 3 * self._delay
        if x is None and self._silent >= reach:
            return np.zeros((2, count))
        out = np.zeros((2, count)) if x is None else x.copy()
        count = out.shape[1]
        if self._end + count > len(self._line):
            self._line[:reach] = self._line[self._end - reach : self._end]
            self._end = reach
        np.add(out[0], out[1], out=self._line[self._end : self._end + count])
        self._silent = self._silent + count if x is None else 0
        for tap, level in enumerate(self.LEVELS, start=1):
            start = self._end - tap * self._delay
            heard = level * self._line[start : start + count]
            near = 1 if tap % 2 == 1 else 0
            out[near] += heard
            out[1 - near] += self.ACROSS * heard
        self._end += count
        return out


LONGEST_TAIL_SEC = 1.7
ROOM_DELAY = 672
"""Samples before a room answers: 14 ms."""


@lru_cache(maxsize=1)
def room_noise() -> Samples:
    """Returns hash noise [4 bands, 2, the longest tail], the channels correlated 0.45."""
    count = round(LONGEST_TAIL_SEC * SAMPLE_RATE) - ROOM_DELAY
    size = 1 << (count - 1).bit_length()
    hz = frequencies(size)
    first, second = (np.fft.rfft(white(key_of(0, f"room/{side}"), 0, size)) for side in ("a", "b"))
    sides = (first, 0.45 * first + math.sqrt(1 - 0.45**2) * second)
    bands = ((180, 500), (500, 1600), (1600, 4200), (4200, 9000))
    out = np.empty((len(bands), 2, count))
    for band, (low, high) in enumerate(bands):
        weight = band_weight(hz, low, high)
        for side, spectrum in enumerate(sides):
            noise = np.fft.irfft(spectrum * weight, size)[:count]
            out[band, side] = noise / math.sqrt(float(np.mean(noise * noise)))
    return out


@lru_cache(maxsize=2)
def room(amount: float, seconds: float) -> Samples:
    """Returns the room's response [2, count], of unit energy per channel."""
    count = round(seconds * SAMPLE_RATE)
    delay = ROOM_DELAY
    out = np.zeros((2, count))
    scale = 0.75 + 0.5 * amount
    for noise, rt60 in zip(room_noise(), (1.7, 1.5, 1.1, 0.6), strict=True):
        tail = noise[:, : count - delay]
        out[:, delay:] += tail * falling(6.907755 / (rt60 * scale), count - delay)
    fade = round(0.15 * SAMPLE_RATE)
    out[:, count - fade :] *= smoothstep(np.arange(fade, 0, -1) / fade)
    out[:, delay : delay + 96] *= smoothstep(np.arange(96) / 96)
    return np.asarray(out / np.sqrt(np.sum(out * out, axis=1, keepdims=True)))


class Reverb:
    """Uniform partitioned convolution with a room; a partition is one quantum."""

    BINS = round(11_500 / SAMPLE_RATE * 2 * QUANTUM)
    """Above, no room answers."""

    def __init__(self, amount: float, seconds: float) -> None:
        response = room(amount, seconds)
        parts = -(-response.shape[1] // QUANTUM)
        padded = np.zeros((2, parts * QUANTUM))
        padded[:, : response.shape[1]] = response
        blocks = padded.reshape(2, parts, QUANTUM)
        spectrum = np.fft.rfft(blocks, 2 * QUANTUM, axis=2)
        self._response: Spectrum = spectrum[:, :, : self.BINS].copy()
        self._past: list[Spectrum] = []
        self._parts = parts
        self._last = np.zeros(QUANTUM)

    def process(self, send: Samples) -> Samples:
        """send [QUANTUM] -> the room's answer, [2, QUANTUM]."""
        spectrum = np.fft.rfft(np.concatenate([self._last, send]))[: self.BINS]
        self._last = send
        self._past = [spectrum, *self._past][: self._parts]
        total = np.zeros((2, QUANTUM + 1), dtype=np.complex128)
        heard = total[:, : self.BINS]
        np.multiply(self._response[:, 0], self._past[0], out=heard)
        for part in range(1, len(self._past)):
            heard += self._response[:, part] * self._past[part]
        return np.asarray(np.fft.irfft(total, 2 * QUANTUM, axis=1)[:, QUANTUM:])


class Tape:
    """A wandering delay: pitch moves slowly with the reel and quickly with the capstan."""

    BASE = 320
    """Samples of delay when the tape runs true."""
    WANDER = ((0.23, 5.0, 0.0), (0.57, 9.0, 1.1), (6.1, 3.0, 2.3), (9.3, 1.5, 0.4))
    """Rate in Hz, depth in cents, phase."""
    PAST = 1024

    def __init__(self, wobble: float, period: int | None) -> None:
        self._period = period
        self._waves: list[tuple[float, float, float]] = []
        for rate, cents, phase in self.WANDER:
            if period is not None:
                seconds = period / SAMPLE_RATE
                rate = max(1, round(rate * seconds)) / seconds
            depth = (2.0 ** (cents * wobble / 1200) - 1) * SAMPLE_RATE / (2 * np.pi * rate)
            self._waves.append((rate, min(depth, 120.0), phase))
        self._past = np.zeros(self.PAST, dtype=np.complex128)
        """Left as the real part, right as the imaginary one: both are read at one place."""

    def process(self, x: Samples, start: int) -> Samples:
        """x [2, n], its first sample at time `start` -> [2, n], delayed by about `BASE`."""
        count = x.shape[1]
        line = np.empty(self.PAST + count, dtype=np.complex128)
        line[: self.PAST] = self._past
        line.real[self.PAST :] = x[0]
        line.imag[self.PAST :] = x[1]
        self._past = line[count:].copy()
        if self._period is not None:
            start %= self._period  # each wave turns a whole number of times
        place = np.arange(self.PAST - self.BASE, self.PAST - self.BASE + count)
        place = place - sines(self._waves, start, count)
        whole = np.floor(place)
        u = place - whole
        at = whole.astype(np.int64)
        # Lagrange's cubic through the four neighbours.
        below, above, far = u + 1, u - 1, u - 2
        inner, outer = above * far, below * u
        out = line.take(at - 1, mode="clip")
        out *= u * inner * (-1 / 6)
        for step, weight in enumerate((below * inner * 0.5, outer * far * -0.5, outer * above / 6)):
            out += line.take(at + step, mode="clip") * weight
        return np.stack([out.real, out.imag])


TAPS = 4095
HALF_TAPS = TAPS // 2
TONE_SIZE = QUANTUM + 4096
"""FFT of the tone filter: a quantum and the 4096 samples before it."""
NO_LIFTS = (0.0, 0.0, 0.0, 0.0)
BELLS = ((48.0, -1.5, 0.5), (110.0, 1.0, 0.7), (320.0, -1.8, 0.9), (2400.0, 2.2, 0.8))


@lru_cache(maxsize=4)
def tone_response(
    lowpass_hz: float, tilt_db: float = 0.0, lifts_db: Sequence[float] = NO_LIFTS
) -> Spectrum:
    """Returns the tone filter's spectrum at `TONE_SIZE`: linear phase, `HALF_TAPS` of delay.

    `tilt_db` is added per octave above 600 Hz, for an octave and a half, and taken away below;
    `lifts_db` are added to the bells.
    """
    grid = 16384
    hz = np.maximum(frequencies(grid), 0.5)
    magnitude = 1 / np.sqrt(1 + (36.0 / hz) ** 8) / np.sqrt(1 + (hz / lowpass_hz) ** 8)
    # Above the highest sound there is nothing to keep but the edges of clicks.
    magnitude = magnitude / np.sqrt(1 + (hz / 13500.0) ** 16)
    db = 3.0 / (1 + (3800.0 / hz) ** 2)
    db = db + tilt_db * np.clip(np.log2(hz / 600.0), -1.0, 1.5)
    for (centre, gain, width), lift in zip(BELLS, lifts_db, strict=True):
        db = db + (gain + lift) * np.exp(-((np.log2(hz / centre) / width) ** 2))
    magnitude = magnitude * 10 ** (db / 20)
    magnitude[0] = 0.0
    impulse = np.roll(np.fft.irfft(magnitude, grid), HALF_TAPS)[:TAPS]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(TAPS) + 0.5) / TAPS)
    taps = impulse * window
    taps -= window * (np.sum(taps) / np.sum(window))  # no DC leaves the house
    return np.asarray(np.fft.rfft(taps, TONE_SIZE))


class Tone:
    """High-pass, low-pass and the shape of the sound, as one linear-phase filter."""

    DOOR_HZ = 950.0

    def __init__(
        self, lowpass_hz: float, tilt_db: float = 0.0, lifts_db: Sequence[float] = NO_LIFTS
    ) -> None:
        self._open = tone_response(lowpass_hz, tilt_db, lifts_db)
        self._shut = tone_response(min(lowpass_hz, self.DOOR_HZ), tilt_db, lifts_db)
        self._past = np.zeros((2, TONE_SIZE - QUANTUM))

    def process(self, x: Samples, door: Samples | None = None) -> tuple[Samples, Spectrum]:
        """x [2, QUANTUM] -> ([2, QUANTUM] delayed by `HALF_TAPS`, spectrum [2, bins]).

        `door` [QUANTUM] is how far it is shut, 0..1, at each sample of the output.
        """
        line = np.concatenate([self._past, x], axis=1)
        self._past = line[:, QUANTUM:]
        spectrum = np.fft.rfft(line, axis=1)
        bright = spectrum * self._open
        size = TONE_SIZE - QUANTUM
        out = np.fft.irfft(bright, TONE_SIZE, axis=1)[:, size:]
        if door is not None:
            shut = np.fft.irfft(spectrum * self._shut, TONE_SIZE, axis=1)[:, size:]
            out = out + door * (shut - out)
        return np.asarray(out), np.asarray(bright)


@lru_cache(maxsize=4)
def _press(seconds: float) -> Samples:
    """Returns how hard one kick presses, 0..1: down in 6 ms, back within `seconds`."""
    down, hold = round(0.006 * SAMPLE_RATE), round(0.012 * SAMPLE_RATE)
    back = round(seconds * SAMPLE_RATE)
    return np.concatenate(
        [
            smoothstep(np.arange(down) / down),
            np.ones(hold),
            0.5 + 0.5 * np.cos(np.pi * np.arange(back) / back),
        ]
    )


def duck_curve(
    start: int, count: int, kicks: Sequence[int], depth: float, seconds: float
) -> Samples:
    """Returns the gain 1 - depth … 1 that the kicks press on samples start..start+count-1."""
    shape = _press(seconds)
    pressed = np.zeros(count)
    for kick in kicks:
        low, high = max(kick, start), min(kick + len(shape), start + count)
        if low < high:
            here = pressed[low - start : high - start]
            np.maximum(here, shape[low - kick : high - kick], out=here)
    return np.asarray(1.0 - depth * pressed)
