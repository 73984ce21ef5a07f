from __future__ import annotations

import numpy as np
import pytest

from lofi.listen import loudness
from lofi.listen.sound import Sound
from tests.listen.sounds import RATE, noise, sine, stereo


def test_the_standards_sine_reads_minus_23() -> None:
    # EBU Tech 3341, case 1: 1 kHz, both channels, -23 dBFS.
    x = sine(1000, 20.0, 10 ** (-23 / 20))
    assert loudness.measure(stereo(x)).integrated_lufs == pytest.approx(-23.0, abs=0.1)


def test_silence_around_does_not_count() -> None:
    # EBU Tech 3341, case 3: quiet before and after is gated out.
    quiet, loud = (sine(1000, 10.0, 10 ** (db / 20)) for db in (-36, -23))
    x = np.concatenate([quiet, loud, loud, loud, quiet])
    assert loudness.measure(stereo(x)).integrated_lufs == pytest.approx(-23.0, abs=0.15)


def test_the_range_of_two_levels_is_their_distance() -> None:
    # EBU Tech 3342, case 1: 20 s at -20 dBFS, 20 s at -30.
    x = np.concatenate([sine(1000, 20.0, 10 ** (db / 20)) for db in (-20, -30)])
    assert loudness.measure(stereo(x)).range_lu == pytest.approx(10, abs=1)


def test_the_rate_does_not_matter() -> None:
    x = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(32000 * 10) / 32000)
    other = loudness.measure(Sound(np.stack([x, x]), 32000))
    same = loudness.measure(stereo(sine(1000, 10.0, 0.1)))
    assert other.integrated_lufs == pytest.approx(same.integrated_lufs, abs=0.05)


def test_true_peaks_hide_between_samples() -> None:
    # A quarter of the rate, sampled 45 degrees off its crests: samples 3 dB below the peak.
    x = 0.7 * np.sin(2 * np.pi * RATE / 4 * np.arange(RATE) / RATE + np.pi / 4)
    x *= np.hanning(len(x))
    assert 20 * np.log10(np.abs(x).max()) == pytest.approx(-6.1, abs=0.1)
    assert loudness.true_peak_db(stereo(x)) == pytest.approx(-3.1, abs=0.1)


def test_silence_is_no_error() -> None:
    found = loudness.measure(stereo(np.zeros(RATE)))
    assert found.integrated_lufs == loudness.SILENCE_LUFS and found.range_lu == 0
    assert loudness.measure(stereo(noise(0.05))).integrated_lufs < 0
