from __future__ import annotations

import math

import pytest

from lofi.daemon.player.loudness import playback_gain


def decibels(lufs: float | None, true_peak_db: float | None) -> float:
    return 20 * math.log10(playback_gain(lufs, true_peak_db))


def test_a_loud_track_is_turned_down_to_the_target() -> None:
    assert decibels(-10.0, -1.5) == pytest.approx(-8.0)


def test_a_quiet_track_is_turned_up_by_at_most_six_decibels() -> None:
    assert decibels(-21.0, -12.0) == pytest.approx(3.0)
    assert decibels(-40.0, -30.0) == pytest.approx(6.0)


def test_the_true_peak_stays_below_minus_one() -> None:
    assert decibels(-21.0, -2.0) == pytest.approx(1.0)
    assert decibels(-18.0, 0.5) == pytest.approx(-1.5)


def test_without_a_known_peak_nothing_is_turned_up() -> None:
    assert playback_gain(-30.0, None) == 1.0
    assert decibels(-12.0, None) == pytest.approx(-6.0)


@pytest.mark.parametrize("lufs", [None, -math.inf, math.nan])
def test_an_unknown_loudness_changes_nothing(lufs: float | None) -> None:
    assert playback_gain(lufs, 0.0) == 1.0
