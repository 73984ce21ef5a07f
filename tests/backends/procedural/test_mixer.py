from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lofi.backends.procedural.effects import QUANTUM
from lofi.backends.procedural.mixer import (
    BALANCE_DB,
    BEFORE_DB,
    BEHIND_DB,
    Feed,
    Mixer,
    bus_levels,
)
from lofi.backends.procedural.score import Score, all_events
from lofi.backends.procedural.settings import HELD, Settings, resolve
from lofi.backends.procedural.styles import STYLES


def settings(**recipe: Any) -> Settings:
    return resolve({"prompt": "", "seed": 1, "duration_sec": 30, **recipe})


def test_the_feed_hands_out_every_event_once_and_in_order() -> None:
    found = settings(duration_sec=90)
    feed = Feed(Score(found), 0, None)
    heard = []
    for end in range(QUANTUM, found.frames + QUANTUM, QUANTUM):
        ready = feed.before(end)
        assert all(end - QUANTUM <= event.start < end for event in ready) or not heard
        heard += ready
    assert heard == all_events(Score(found))


def test_a_loop_is_fed_its_own_end_before_its_start() -> None:
    found = settings(loopable=True, duration_sec=16)
    score = Score(found)
    period = score.end_sample
    events = Feed(score, -QUANTUM * 10, period).before(2 * period)
    starts = {event.start for event in events}
    assert min(starts) < -QUANTUM
    turn = {start for start in starts if 0 <= start < period}
    assert {start + period for start in turn} <= starts
    assert {start - period for start in turn if start - period > min(starts)} <= starts


@pytest.mark.parametrize("style", STYLES)
def test_each_track_has_a_balance_near_its_styles(style: str) -> None:
    for seed in range(12):
        found = settings(style=style, seed=seed)
        levels = bus_levels(found)
        steps = {"keys": BEHIND_DB, "lead": BEFORE_DB} if found.keys in HELD else {}
        for bus, level in STYLES[style].levels.items():
            mono = 2**0.5 if bus == "bass" else 1.0
            moved_db = 20 * np.log10(levels[bus] * mono / level)
            moved_db -= steps.get(bus, 0.0) if found.kit == "none" else 0.0
            assert abs(moved_db) <= BALANCE_DB[bus] + 1e-9
    focus = bus_levels(settings(style=style, prompt="focus"))["lead"]
    assert focus == pytest.approx(0.75 * bus_levels(settings(style=style))["lead"])


def test_a_quantum_tells_its_power() -> None:
    found = settings(style="house", form="body")
    mixer = Mixer(found, Score(found))
    powers, samples = [], []
    for _ in range(12):
        quantum, power = mixer.quantum()
        assert quantum.shape == (2, QUANTUM) and np.isfinite(quantum).all()
        powers.append(power)
        samples.append(quantum)
    plain = float(np.mean(np.sum(np.concatenate(samples, axis=1) ** 2, axis=0)))
    # K-weighting takes some of the kick away and lifts the top a little.
    assert 0.3 < np.mean(powers) / plain < 1.6
