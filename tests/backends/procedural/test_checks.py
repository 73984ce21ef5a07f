"""A sample of the checks of finished tracks, and the faults that each check must catch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lofi.listen import structure
from lofi.listen.sound import Sound
from tests.backends.procedural import hearing
from tests.backends.procedural.hearing import STYLES, Track


@pytest.fixture(scope="module")
def sample() -> list[Track]:
    return [
        hearing.render(style=style, seed=seed, duration_sec=45)
        for seed, style in enumerate(STYLES, start=21)
    ]


def test_the_sample_passes_every_check(sample: list[Track]) -> None:
    for track in sample:
        assert not hearing.failures(track, hearing.findings(track))


def test_borders_of_sections_can_be_heard(sample: list[Track]) -> None:
    assert np.mean([hearing.contrast(track) for track in sample]) > 1.1


def test_tracks_are_further_apart_than_halves_of_one(sample: list[Track]) -> None:
    prints = [hearing.prints(track) for track in sample]
    halves = [structure.distance(left, right) for _, left, right in prints]
    between = [
        structure.distance(prints[a][0], prints[b][0])
        for a in range(len(prints))
        for b in range(a + 1, len(prints))
    ]
    assert np.median(between) > 3 * np.median(halves)


def changed(
    track: Track,
    group: Callable[[Track], list[hearing.Finding]],
    change: Callable[[np.ndarray], np.ndarray],
) -> set[str]:
    """Returns the names of the checks of a group that a changed track fails."""
    samples = np.ascontiguousarray(change(track.sound.samples.copy()))
    fault = replace(track, sound=Sound(samples, track.sound.rate))
    return {finding.name for finding in group(fault) if not finding.ok}


def _stretched(x: np.ndarray, ratio: float) -> np.ndarray:
    at = np.arange(0, x.shape[1] - 1, ratio)
    return np.stack([np.interp(at, np.arange(x.shape[1]), channel) for channel in x])


def _noise(x: np.ndarray) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(x.shape) * 0.14


def _step(x: np.ndarray) -> np.ndarray:
    x[:, 500_000:] += 0.05
    return x


def _cut(x: np.ndarray) -> np.ndarray:
    x[:, 700_000:-30_000] = x[:, 700_300:-29_700]
    return x


def _slow_start(x: np.ndarray) -> np.ndarray:
    x[:, :48000] *= np.linspace(0, 1, 48000) ** 3 * 1e-2
    return x


def _thin(x: np.ndarray) -> np.ndarray:
    return 4 * np.diff(x, axis=1, append=0)


def _boomy(x: np.ndarray) -> np.ndarray:
    t = np.arange(x.shape[1]) / 48000
    return 0.5 * x + 0.3 * np.sin(2 * np.pi * 45 * t)


def _antiphase(x: np.ndarray) -> np.ndarray:
    return np.stack([x[0], -0.95 * x[0]])


def _loop(track: Track) -> Callable[[np.ndarray], np.ndarray]:
    def change(x: np.ndarray) -> np.ndarray:
        size = round(4 * track.bar_sec * 48000)
        return np.tile(x[:, size : 2 * size], 9)[:, : x.shape[1]]

    return change


def _crushed(x: np.ndarray) -> np.ndarray:
    return 0.2 * np.tanh(30 * x)


def _hard_end(x: np.ndarray) -> np.ndarray:
    x[:, -100_000:] = x[:, 480_000:580_000]
    return x


def test_each_planted_fault_trips_its_check(sample: list[Track]) -> None:
    track = sample[0]
    semitone = 2 ** (1 / 12)
    level, colour, faults = (
        hearing.level_findings,
        hearing.colour_findings,
        hearing.faults_findings,
    )
    planted = [
        ("loudness_lufs", level, lambda x: x * 0.8),
        ("true_peak_db", level, lambda x: x * 1.6),
        ("crest_db", level, _crushed),
        ("tempo_error_pct", hearing.tempo_findings, lambda x: _stretched(x, 1.01)),
        ("tempo_strength", hearing.tempo_findings, _noise),
        ("key_correlation", hearing.key_findings, lambda x: _stretched(x, semitone)),
        ("centroid_hz", colour, _noise),
        ("band_0_db", colour, _thin),
        ("band_1_db", colour, _boomy),
        ("stereo", colour, lambda x: np.stack([x[0], x[0]])),
        ("mono_loss_db", colour, _antiphase),
        ("stereo_low", colour, _antiphase),
        ("start_db", faults, _slow_start),
        ("click_db", faults, _step),
        ("click_db", faults, _cut),
        ("dc", faults, lambda x: x + 0.005),
        ("end_db", faults, _hard_end),
        ("bars_alike", hearing.bars_findings, _loop(track)),
        ("bars_chroma", hearing.bars_findings, _noise),
    ]
    for name, group, change in planted:
        assert name in changed(track, group, change), f"{name} did not notice {change}"
