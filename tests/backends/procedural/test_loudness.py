from __future__ import annotations

import numpy as np
import pytest

from lofi.backends.procedural.loudness import k_energy, lufs
from lofi.backends.procedural.randomness import white
from lofi.listen import loudness
from lofi.listen.sound import Sound


def test_a_full_scale_sine_in_both_channels_has_zero_lufs() -> None:
    x = np.sin(2 * np.pi * 997 * np.arange(96000) / 48000)
    power = 2 * k_energy(x) / 2.0  # two channels, two seconds
    assert lufs(power) == pytest.approx(0.0, abs=0.05)


def test_it_agrees_with_the_estimator() -> None:
    x = white(7, 0, 4 * 48000) * 0.1
    sound = Sound(np.stack([x, x]), 48000)
    measured = loudness.integrated(loudness.block_powers(sound))
    assert lufs(2 * k_energy(x) / 4) == pytest.approx(measured, abs=0.1)
