"""Colour of the sound: brightness, balance of bands, width, and what should not be there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lofi.listen.sound import Response, Samples, Sound, filtered, frequencies, spectra

BAND_EDGES_HZ = (60.0, 250.0, 1000.0, 4000.0, 8000.0)
FRAME = 8192
CLICK_FRAME = 128
CLICK_HZ = 15000.0
QUIETEST_DB = -140.0


@dataclass(frozen=True, slots=True)
class Colour:
    """The long-term spectrum in figures."""

    centroid_hz: float
    rolloff_hz: float
    """85 % of the energy lies below."""
    slope_db_per_octave: float
    """From 100 to 4000 Hz."""
    bands_db: tuple[float, ...]
    """Energy below 60, 60…250, …1000, …4000, …8000, above 8000 Hz, relative to the whole."""


@dataclass(frozen=True, slots=True)
class Width:
    """How left and right relate."""

    correlation: float
    low_correlation: float
    """Below 120 Hz."""
    mono_loss_db: float
    """Level of the mono sum against the channels' mean: 0 for mono, far below for antiphase."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Clicks, offset, and how the sound begins and ends."""

    click_db: float
    """Loudest 2.7 ms above 15 kHz, dBFS."""
    clicks: int
    """Frames above -60 dBFS there that stand 25 dB above the usual one."""
    dc: float
    start_db: float
    """Loudest 50 ms of the first 250 ms."""
    end_db: float
    """Level of the last 50 ms."""
    clipped: int
    """Samples at full scale."""
    silent_ratio: float
    """Share of 100 ms frames below -70 dBFS."""


def decibels(rms: float) -> float:
    """Returns a level in dBFS, never below `QUIETEST_DB`."""
    return max(QUIETEST_DB, 20 * math.log10(rms)) if rms > 0 else QUIETEST_DB


def long_term(sound: Sound) -> tuple[Samples, Samples]:
    """Returns (Hz, mean power) of the mean spectrum over both channels."""
    power = np.zeros(FRAME // 2 + 1)
    count = 0
    for channel in sound.samples:
        for _, frames in spectra(channel, FRAME, FRAME // 2):
            power += np.sum(frames**2, axis=0)
            count += len(frames)
    return frequencies(FRAME, sound.rate), power / max(1, count)


def colour(hz: Samples, power: Samples) -> Colour:
    """Returns the colour of a mean spectrum."""
    amplitude = np.sqrt(power)
    total = float(np.sum(power)) + 1e-30
    edges = np.searchsorted(hz, BAND_EDGES_HZ)
    bands = [float(np.sum(part)) / total for part in np.split(power, edges)]
    # One level per third of an octave, else the many high bins outvote the few low ones.
    centres = 100 * 2 ** (np.arange(17) / 3)
    levels = [10 * math.log10(level + 1e-30) for level in third_octaves(hz, power, centres)]
    slope = float(np.polyfit(np.log2(centres), np.asarray(levels), 1)[0])
    edge = int(np.searchsorted(np.cumsum(power), 0.85 * total))
    return Colour(
        centroid_hz=float(np.sum(hz * amplitude) / (np.sum(amplitude) + 1e-30)),
        rolloff_hz=float(hz[min(edge, len(hz) - 1)]),
        slope_db_per_octave=slope,
        bands_db=tuple(10 * math.log10(share + 1e-12) for share in bands),
    )


def third_octaves(hz: Samples, power: Samples, centres: Samples) -> Samples:
    """Returns the power in a third of an octave around each centre."""
    sums = np.concatenate([[0.0], np.cumsum(power)])
    step = hz[1] - hz[0]
    low = np.clip(centres * 2 ** (-1 / 6) / step + 0.5, 0, len(power))
    high = np.clip(centres * 2 ** (1 / 6) / step + 0.5, 0, len(power))
    place = np.arange(len(sums), dtype=np.float64)
    return np.asarray(np.interp(high, place, sums) - np.interp(low, place, sums))


def width(sound: Sound) -> Width:
    """Returns the stereo figures; a mono file is as narrow as can be."""
    if len(sound.samples) < 2:
        return Width(1.0, 1.0, 0.0)
    left, right = sound.samples
    low = Response(5.0, 120.0)
    lows = [filtered(channel, sound.rate, low) for channel in (left, right)]
    energy = float(np.mean(left**2) + np.mean(right**2)) / 2 + 1e-20
    middle = float(np.mean(((left + right) / 2) ** 2)) + 1e-20
    return Width(
        correlation=_correlation(left, right),
        low_correlation=_correlation(*lows),
        mono_loss_db=10 * math.log10(middle / energy),
    )


def _correlation(a: Samples, b: Samples) -> float:
    power = math.sqrt(float(np.mean(a * a)) * float(np.mean(b * b)))
    return float(np.mean(a * b)) / power if power > 1e-14 else 1.0


def faults(sound: Sound) -> Faults:
    """Returns what should not be there, and the level of both ends."""
    mono = sound.mono
    hiss = click_levels(sound)
    usual = float(np.median(hiss)) if len(hiss) else QUIETEST_DB
    short = max(1, sound.rate // 20)
    opening = sound.samples[:, : 5 * short]
    pieces = [opening[:, i : i + short] for i in range(0, opening.shape[1], short)]
    block = max(1, sound.rate // 10)
    count = max(1, sound.frames // block)
    frames = sound.samples[:, : count * block]
    levels = np.sqrt(np.mean(frames.reshape(len(frames), count, -1) ** 2, axis=(0, 2)))
    return Faults(
        click_db=float(np.max(hiss)) if len(hiss) else QUIETEST_DB,
        clicks=int(np.sum((hiss > -60) & (hiss > usual + 25))),
        dc=float(np.max(np.abs(np.mean(sound.samples, axis=1)))),
        start_db=max(decibels(float(np.sqrt(np.mean(piece**2)))) for piece in pieces),
        end_db=decibels(float(np.sqrt(np.mean(mono[-short:] ** 2)))),
        clipped=int(np.sum(np.abs(sound.samples) >= 1.0 - 2.0**-15)),
        silent_ratio=float(np.mean(levels < 10 ** (-70 / 20))),
    )


def click_levels(sound: Sound) -> Samples:
    """Returns the level above 15 kHz of each 2.7 ms, in dBFS, the louder channel."""
    if sound.rate < 2.2 * CLICK_HZ:
        return np.zeros(0)
    high = Response(CLICK_HZ, sound.rate, order=24)
    best = np.zeros(max(1, sound.frames // CLICK_FRAME))
    for channel in sound.samples:
        part = filtered(channel, sound.rate, high)[: len(best) * CLICK_FRAME]
        if len(part) < CLICK_FRAME:
            return np.zeros(0)
        best = np.maximum(best, np.mean(part.reshape(len(best), CLICK_FRAME) ** 2, axis=1))
    return np.asarray(10 * np.log10(best + 10 ** (QUIETEST_DB / 10)))
