from __future__ import annotations

import numpy as np
import pytest

from lofi.backends.procedural.drum_kit import DrumKit
from lofi.backends.procedural.effects import QUANTUM
from lofi.backends.procedural.level import Forecast, Rider, gated_mean
from lofi.backends.procedural.loudness import OFFSET_DB, lufs
from lofi.backends.procedural.mixer import bus_levels
from lofi.backends.procedural.score import Score
from lofi.backends.procedural.settings import SAMPLE_RATE, resolve
from lofi.backends.procedural.styles import STYLES

QUANTUM_SEC = QUANTUM / SAMPLE_RATE
FIRST = round(5 / QUANTUM_SEC) - 1
"""Quanta of the first five seconds."""


def power_of(loudness: float) -> float:
    return 10 ** ((loudness - OFFSET_DB) / 10)


def forecast(**recipe: object) -> tuple[Forecast, Rider]:
    settings = resolve({"prompt": "", "seed": 1, "duration_sec": 60, **recipe})
    score = Score(settings)
    found = Forecast(settings, score, DrumKit(settings), bus_levels(settings))
    return found, Rider(settings, found, settings.frames)


def test_quiet_passages_do_not_count() -> None:
    assert gated_mean([1.0, 1.0, 0.001], [1, 1, 1]) == pytest.approx(1.0)
    assert gated_mean([1.0, 0.5], [1, 3]) == pytest.approx(0.625)


@pytest.mark.parametrize("style", STYLES)
def test_every_bar_is_forecast_and_breakdowns_are_softer(style: str) -> None:
    for seed in range(5):
        found, _ = forecast(style=style, seed=seed, duration_sec=200)
        assert min(found.bars) > 0 and len(found.bars) > 10
        assert 0.001 < np.mean(found.bars) < 1


def test_the_far_part_of_a_long_track_is_guessed_from_the_near() -> None:
    found, _ = forecast(duration_sec=600)
    assert len(found.bars) * found.bar_sec > 580
    assert found.mean(0, 60) == pytest.approx(found.mean(300, 600), rel=0.6)


def test_the_first_seconds_correct_the_forecast() -> None:
    found, rider = forecast()
    true = [found.mean(q * QUANTUM_SEC, (q + 1) * QUANTUM_SEC) * 4 for q in range(FIRST)]
    rider.begin(true, FIRST * QUANTUM_SEC)
    whole = gated_mean(found.bars, [1.0] * len(found.bars)) * 4
    assert lufs(whole) + rider.gain_db == pytest.approx(-15.6, abs=0.7)


def test_the_gain_is_steered_slowly_towards_the_target() -> None:
    _, rider = forecast()
    rider.begin([power_of(-20.0)] * FIRST, FIRST * QUANTUM_SEC)
    gains = [rider.follow(power_of(-26.0), QUANTUM_SEC) for _ in range(220)]
    assert gains[FIRST - 1] == gains[0]  # the first five seconds stay as they are
    assert np.abs(np.diff(gains)).max() <= 0.352 * QUANTUM_SEC + 1e-9
    assert gains[-1] > gains[0] + 2


def test_a_loop_is_never_steered() -> None:
    _, rider = forecast(loopable=True)
    rider.begin([power_of(-20.0)] * FIRST, FIRST * QUANTUM_SEC)
    gains = {rider.follow(power_of(-30.0), QUANTUM_SEC) for _ in range(60)}
    assert len(gains) == 1
