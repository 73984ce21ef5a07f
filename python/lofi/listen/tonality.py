"""Chroma and key."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lofi.listen.sound import Samples, Sound, spectra

NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
# Albrecht and Shanahan (2013): how often each degree sounds in major and in minor.
MAJOR = (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081)
MINOR = (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052)
FRAME, BASS_FRAME = 16384, 32768


@dataclass(frozen=True, slots=True)
class KeyGuess:
    """A key and how well the sound agrees with it."""

    tonic: int
    minor: bool
    correlation: float

    @property
    def name(self) -> str:
        """Such as `Eb major`."""
        return f"{NAMES[self.tonic]} {'minor' if self.minor else 'major'}"

    def is_relative_of(self, tonic: int, *, minor: bool) -> bool:
        """True for the key of the same notes in the other mode."""
        if self.minor == minor:
            return False
        return (self.tonic - tonic) % 12 == (3 if minor else 9)


def peak_chroma(x: Samples, rate: int, frame: int, low_hz: float, high_hz: float) -> Samples:
    """Returns 12 shares: the pitch classes of spectral peaks, by the root of their size."""
    hz = np.fft.rfftfreq(frame, 1 / rate)
    low, high = np.searchsorted(hz, [low_hz, high_hz])
    total = np.zeros(12)
    for _, frames in spectra(x, frame, frame // 2, batch=64):
        part = frames[:, low - 1 : high + 1]
        middle = part[:, 1:-1]
        floor = 1e-3 * np.max(part, axis=1, keepdims=True)
        top = (middle > part[:, :-2]) & (middle >= part[:, 2:]) & (middle > floor)
        rows, columns = np.nonzero(top)
        a, b, c = (np.log(part[rows, columns + shift] + 1e-12) for shift in (0, 1, 2))
        offset = np.clip(0.5 * (a - c) / (a - 2 * b + c - 1e-12), -0.5, 0.5)
        peak_hz = (columns + low + offset) * rate / frame
        pitch = 69 + 12 * np.log2(peak_hz / 440)
        nearest = np.rint(pitch)
        weight = np.sqrt(middle[rows, columns]) * np.maximum(0.0, 1 - 2 * np.abs(pitch - nearest))
        np.add.at(total, nearest.astype(np.int64) % 12, weight)
    return np.asarray(total / (np.sum(total) + 1e-12))


def key_chroma(sound: Sound, final_sec: float | None = None) -> Samples:
    """Returns 12 shares: all, half of the bass, and half of what sounds from `final_sec` on."""
    mono = sound.mono
    chroma = peak_chroma(mono, sound.rate, FRAME, 55, 1600)
    chroma = chroma + 0.5 * peak_chroma(mono, sound.rate, BASS_FRAME, 38, 180)
    start = max(0.0, sound.seconds - 4.0) if final_sec is None else final_sec
    tail = mono[round(start * sound.rate) :]
    if len(tail) > FRAME // 2:
        chroma = chroma + 0.5 * peak_chroma(tail, sound.rate, FRAME, 55, 1600)
    return np.asarray(chroma / (np.sum(chroma) + 1e-12))


def rank(chroma: Samples) -> list[KeyGuess]:
    """Returns all 24 keys, the likeliest first."""
    guesses = []
    for minor, profile in ((False, MAJOR), (True, MINOR)):
        for tonic in range(12):
            turned = np.roll(np.asarray(profile), tonic)
            correlation = float(np.corrcoef(chroma, turned)[0, 1]) if np.ptp(chroma) > 0 else 0.0
            guesses.append(KeyGuess(tonic, minor, correlation))
    return sorted(guesses, key=lambda guess: -guess.correlation)


def chromagram(sound: Sound, points_per_sec: float) -> Samples:
    """Returns unit chroma vectors [points, 12] of 100…2000 Hz, evenly spaced in time."""
    frame = 8192
    hz = np.fft.rfftfreq(frame, 1 / sound.rate)
    used = (hz > 100) & (hz < 2000)
    classes = np.rint(69 + 12 * np.log2(hz[used] / 440)).astype(np.int64) % 12
    matrix = np.zeros((int(np.sum(used)), 12))
    matrix[np.arange(len(classes)), classes] = 1.0
    hop = max(1, round(sound.rate / points_per_sec))
    padded = np.pad(sound.mono, frame // 2)
    rows = [frames[:, used] @ matrix for _, frames in spectra(padded, frame, hop, batch=128)]
    chroma = np.concatenate(rows)
    return np.asarray(chroma / (np.linalg.norm(chroma, axis=1, keepdims=True) + 1e-12))
