from __future__ import annotations

import numpy as np
import pytest

from lofi.backends.procedural import tones


def test_damped_sines_are_what_they_are_called() -> None:
    hz, amplitude, decay = [220.0, 661.0], [1.0, 0.4], [2.0, 9.0]
    t = np.arange(5000) / 48000
    exact = sum(
        a * np.exp(-d * t) * np.sin(2 * np.pi * f * t + 0.3)
        for f, a, d in zip(hz, amplitude, decay, strict=True)
    )
    assert np.allclose(tones.damped(hz, amplitude, decay, 5000, phase=0.3), exact, atol=1e-10)


def test_partials_too_high_are_left_out() -> None:
    assert not np.any(tones.damped([tones.HIGHEST_HZ + 1], [1.0], [1.0], 1000))


def test_noise_lies_in_its_band() -> None:
    noise = tones.band_noise("test", 1000, 4000, 1 << 15)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hz = tones.frequencies(1 << 15)
    inside = power[(hz > 800) & (hz < 5000)].sum() / power.sum()
    assert inside > 0.99
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(1, abs=1e-9)


def test_soft_ends_begin_and_end_at_nothing() -> None:
    x = tones.soften(np.ones(4800), 0.01, 0.02)
    assert x[0] == 0 and x[-1] == 0 and x[2000] == 1
    assert np.abs(np.diff(x)).max() < 0.005


def test_harmonics_by_recurrence_are_sines() -> None:
    phase = np.linspace(0, 300, 4000)
    levels = (1.0, 0.5, 0.25, 0.125)
    exact = sum(level * np.sin((k + 1) * phase) for k, level in enumerate(levels))
    assert np.allclose(tones.harmonics(phase, levels), exact, atol=1e-11)


def test_vibrato_sways_around_the_pitch() -> None:
    phase = tones.vibrato_phase(440.0, 96000, 14, 5.1)
    hz = np.diff(phase) * 48000 / (2 * np.pi)
    assert np.allclose(hz[:4800], 440.0, atol=0.01)
    late = hz[48000:]
    assert 1200 * np.log2(late.max() / 440) == pytest.approx(14, abs=0.7)
