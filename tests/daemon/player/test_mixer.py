from __future__ import annotations

import numpy as np
import pytest

from lofi.daemon.player.mixer import Ramp, equal_power, from_db, limit, to_stereo, volume_gain


def test_volume_is_perceptual_and_exact_at_its_ends() -> None:
    assert volume_gain(0.0) == 0.0
    assert volume_gain(1.0) == 1.0
    assert volume_gain(0.5) == 0.25


def test_decibels_become_a_factor() -> None:
    assert from_db(0.0) == 1.0
    assert from_db(-6.0206) == pytest.approx(0.5, abs=1e-5)


def test_mono_goes_to_both_sides_at_equal_level() -> None:
    mono = np.array([[0.25], [-0.5]], dtype=np.float32)
    assert to_stereo(mono).tolist() == [[0.25, 0.25], [-0.5, -0.5]]


def test_of_many_channels_the_front_pair_is_kept() -> None:
    surround = np.arange(12, dtype=np.float32).reshape(2, 6)
    assert to_stereo(surround).tolist() == [[0, 1], [6, 7]]


def test_equal_power_keeps_the_power_of_unlike_sounds() -> None:
    for progress in np.linspace(0, 1, 11):
        leaving, coming = equal_power(float(progress))
        assert leaving**2 + coming**2 == pytest.approx(1.0)
    assert equal_power(0.0) == (1.0, 0.0)


def test_a_ramp_is_straight_and_ends_exactly_on_its_target() -> None:
    ramp = Ramp(0.0)
    ramp.aim(1.0, 480)
    block = np.ones((960, 2), dtype=np.float32)
    ramp.apply(block)
    assert np.allclose(block[:480, 0], np.arange(1, 481) / 480, atol=1e-6)
    assert np.all(block[479:] == 1.0)


def test_a_ramp_is_the_same_whatever_the_blocks() -> None:
    whole = np.ones((1000, 2), dtype=np.float32)
    pieces = whole.copy()
    one, other = Ramp(1.0), Ramp(1.0)
    one.aim(0.2, 700)
    other.aim(0.2, 700)
    one.apply(whole)
    for start, end in ((0, 1), (1, 300), (300, 699), (699, 700), (700, 1000)):
        other.apply(pieces[start:end])
    assert np.allclose(whole, pieces, atol=1e-5)
    assert np.abs(np.diff(whole[:, 0])).max() < 0.8 / 700 * 1.01


def test_a_ramp_turned_back_on_its_way_makes_no_step() -> None:
    ramp = Ramp(0.0)
    ramp.aim(1.0, 480)
    first, second = np.ones((100, 2), np.float32), np.ones((600, 2), np.float32)
    ramp.apply(first)
    ramp.aim(0.0, 480)
    ramp.apply(second)
    steps = np.abs(np.diff(np.concatenate([first, second])[:, 0]))
    assert steps.max() < 1 / 400
    assert second[-1, 0] == 0.0


def test_gain_one_leaves_every_bit_alone() -> None:
    block = np.random.default_rng(0).standard_normal((960, 2)).astype(np.float32)
    before = block.copy()
    Ramp(1.0).apply(block)
    assert np.array_equal(block, before)


def test_nothing_passes_full_scale() -> None:
    block = np.array([[1.5, -3.0], [0.5, -0.5]], dtype=np.float32)
    limit(block)
    assert block.tolist() == [[1.0, -1.0], [0.5, -0.5]]
