from __future__ import annotations

import numpy as np
import pytest

from lofi.listen import rhythm
from tests.listen.sounds import clicks, noise, stereo


@pytest.mark.parametrize("bpm", [63.0, 78.5, 92.0, 120.0])
def test_the_tempo_of_clicks(bpm: float) -> None:
    found = rhythm.tempo(rhythm.onsets(stereo(clicks(bpm, 40.0))))
    ratio = found.bpm / bpm
    nearest = min((0.5, 1.0, 2.0), key=lambda multiple: abs(ratio - multiple))
    assert ratio == pytest.approx(nearest, rel=0.003)
    assert found.strength > 3


def test_one_percent_too_fast_is_heard() -> None:
    found = rhythm.tempo_near(rhythm.onsets(stereo(clicks(80.8, 60.0))), 80.0)
    assert 100 * (found.bpm / 80 - 1) == pytest.approx(1.0, abs=0.1)


def test_noise_has_no_tempo() -> None:
    hiss = rhythm.onsets(stereo(noise(40.0)))
    beat = rhythm.onsets(stereo(clicks(80, 40.0)))
    assert rhythm.tempo_near(hiss, 80).strength < 4 < rhythm.tempo_near(beat, 80).strength


def test_onsets_are_counted() -> None:
    found = rhythm.onsets(stereo(clicks(90, 20.0) + noise(20.0, 1e-4)))
    times = rhythm.peaks(found)
    assert len(times) == pytest.approx(30, abs=1)
    assert np.median(np.diff(times)) == pytest.approx(60 / 90, abs=0.01)


def test_a_clock_is_regular_and_raindrops_are_not() -> None:
    drops = np.zeros(20 * 48000)
    rng = np.random.default_rng(5)
    for at in rng.integers(0, 19 * 48000, 60):
        drops[at : at + 900] += noise(900 / 48000, 0.3, int(at))[:900]
    clock = rhythm.onsets(stereo(clicks(90, 20.0)))
    rain = rhythm.onsets(stereo(drops))
    assert rhythm.regularity(clock, 90) > 0.8 > 0.5 > rhythm.regularity(rain, 90)
