from __future__ import annotations

import numpy as np
import pytest

from lofi.listen import tone
from tests.listen.sounds import RATE, noise, sine, stereo


def test_brightness_follows_the_sound() -> None:
    low = tone.colour(*tone.long_term(stereo(sine(200, 3.0))))
    high = tone.colour(*tone.long_term(stereo(sine(5000, 3.0))))
    assert low.centroid_hz < 400 < 4000 < high.centroid_hz
    assert high.rolloff_hz == pytest.approx(5000, rel=0.02)
    assert max(range(6), key=lambda band: low.bands_db[band]) == 1
    assert max(range(6), key=lambda band: high.bands_db[band]) == 4


def test_white_noise_rises_three_db_an_octave_in_thirds() -> None:
    slope = tone.colour(*tone.long_term(stereo(noise(10.0)))).slope_db_per_octave
    assert slope == pytest.approx(3.0, abs=0.3)


def test_mono_wide_and_antiphase() -> None:
    x, y = noise(3.0, seed=1), noise(3.0, seed=2)
    assert tone.width(stereo(x)).correlation == pytest.approx(1.0)
    assert tone.width(stereo(x)).mono_loss_db == pytest.approx(0.0, abs=0.01)
    assert abs(tone.width(stereo(x, y)).correlation) < 0.05
    assert tone.width(stereo(x, y)).mono_loss_db == pytest.approx(-3, abs=0.2)
    assert tone.width(stereo(x, -x)).mono_loss_db < -60


def test_a_click_is_found() -> None:
    x = sine(300, 4.0, 0.3) * np.sin(np.linspace(0, np.pi, 4 * RATE)) ** 2
    assert tone.faults(stereo(x)).click_db < -100
    cut = x.copy()
    cut[100_000:-40] = x[100_040:]
    found = tone.faults(stereo(cut))
    assert found.clicks >= 1 and found.click_db > -60


def test_offset_silence_ends_and_clipping() -> None:
    x = np.concatenate([np.zeros(RATE), sine(300, 2.0, 1.0), np.zeros(RATE)])
    found = tone.faults(stereo(np.clip(1.3 * x, -1, 1)))
    assert found.clipped > 100 and found.silent_ratio == pytest.approx(0.5, abs=0.05)
    assert found.start_db == tone.QUIETEST_DB and found.end_db == tone.QUIETEST_DB
    assert tone.faults(stereo(sine(300, 2.0) + 0.005)).dc == pytest.approx(0.005, abs=1e-4)
