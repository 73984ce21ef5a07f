"""The plucked string (Karplus and Strong, 1983): a delay line that darkens as it rings."""

from __future__ import annotations

import math

import numpy as np

from lofi.backends.procedural.randomness import key_of, white
from lofi.backends.procedural.settings import SAMPLE_RATE
from lofi.backends.procedural.tones import Samples, damped, frequencies, pitch_hz

PICK_PLACE = 0.17
BODY_HZ, BODY_LEVELS, BODY_DECAYS = (98.0, 202.0), (0.16, 0.09), (22.0, 30.0)


def plucked(midi: int, velocity: float, count: int) -> Samples:
    """Returns `count` samples of a plucked string, about unit RMS at its start."""
    period = SAMPLE_RATE / pitch_hz(midi)
    whole = int(period)
    part = period - whole
    damping = 0.13 + 0.05 * (midi - 52) / 24
    t60_sec = 4.2 * 2.0 ** (-(midi - 52) / 36)
    loss = 10.0 ** (-3.0 * period / (SAMPLE_RATE * t60_sec))
    # Three-tap damping and the linear fraction of the delay are one filter of four taps around
    # the delay; the symmetric three keep the pitch.
    taps = loss * np.convolve([damping, 1 - 2 * damping, damping], [1 - part, part])
    # A chunk no longer than the shortest tap never reads what it is about to write.
    chunk = whole - 1
    lead_in = whole + 2
    line = np.zeros(lead_in + count + chunk)
    burst = _burst(midi, velocity, whole)
    line[lead_in : lead_in + whole] = burst[: min(whole, count + chunk)]
    place = lead_in
    end = lead_in + count
    while place < end:
        back = place - whole
        heard = taps[0] * line[back + 1 : back + 1 + chunk]
        heard += taps[1] * line[back : back + chunk]
        heard += taps[2] * line[back - 1 : back - 1 + chunk]
        heard += taps[3] * line[back - 2 : back - 2 + chunk]
        line[place : place + chunk] += heard
        place += chunk
    tone = line[lead_in:end]
    body = damped(BODY_HZ, BODY_LEVELS, BODY_DECAYS, count)
    return np.asarray(tone + body)


def _burst(midi: int, velocity: float, count: int) -> Samples:
    """Returns one period of noise, dulled by a soft touch and combed by where the pick strikes."""
    noise = white(key_of(0, f"pluck/{midi}"), 0, count)
    spectrum = np.fft.rfft(noise)
    hz = frequencies(count)
    cutoff = 1100 + 1700 * velocity
    spectrum *= 1.0 / (1.0 + (hz / cutoff) ** 2)
    harmonic = np.arange(len(spectrum))
    spectrum *= 1.0 - np.exp(-2j * np.pi * harmonic * PICK_PLACE)
    spectrum[0] = 0.0
    burst = np.fft.irfft(spectrum, count)
    return np.asarray(burst / math.sqrt(float(np.mean(burst * burst)) + 1e-30))
