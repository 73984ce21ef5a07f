from __future__ import annotations

from typing import Any

import pytest

from lofi.backends.procedural.groove import Swing, perform, swing_of
from lofi.backends.procedural.notes import Note
from lofi.backends.procedural.settings import Settings, resolve


def settings(**recipe: Any) -> Settings:
    return resolve({"prompt": "", "seed": 1, "duration_sec": 60, "bpm": 80, **recipe})


def note(beat: float, part: str, **changes: Any) -> Note:
    return Note(beat, 1.0, part, "ep", 60, 0.6, **changes)


def test_without_swing_time_is_straight() -> None:
    straight = Swing()
    for sixteenth in range(33):
        assert straight.place(sixteenth / 4) == pytest.approx(sixteenth / 4)


def test_swing_delays_what_lies_between_and_keeps_the_beat() -> None:
    swing = Swing(0.6, 0.55)
    assert swing.place(3.0) == pytest.approx(3.0)
    assert swing.place(3.5) == pytest.approx(3.6)
    assert swing.place(3.25) == pytest.approx(3.33)
    places = [swing.place(step / 16) for step in range(65)]
    assert places == sorted(places)


def test_each_style_swings_its_own_way() -> None:
    assert swing_of(settings(style="ambient")) == Swing()
    assert swing_of(settings(style="jazz", swing=1.0)).eighth == pytest.approx(0.78)
    assert swing_of(settings(style="house", bpm=120)).eighth == 0.5
    assert swing_of(settings(style="lofi", swing=0.0)) == Swing()
    assert swing_of(settings(style="lofi", timesignature="6")).eighth == 0.5
    fast = swing_of(settings(style="lofi", bpm=110)).eighth
    assert 0.5 < fast < swing_of(settings(style="lofi")).eighth


def test_the_snare_is_lazy_and_the_kick_is_not() -> None:
    found = settings(style="lofi")
    lateness: dict[str, float] = {}
    for part in ("kick", "snare", "keys"):
        notes = [note(float(4 * bar), part) for bar in range(64)]
        events = perform(notes, found, 0)
        exact = [4 * bar * 0.75 for bar in range(64)]
        late = [event.start / 48000 - at for event, at in zip(events, exact, strict=True)]
        lateness[part] = sum(late[1:]) / 63
        assert max(late) - min(late) < 0.05
        if part == "kick":
            assert max(abs(value) for value in late) <= 0.0041
    assert lateness["snare"] - lateness["kick"] == pytest.approx(0.011, abs=0.002)
    assert lateness["keys"] == pytest.approx(0.014, abs=0.003)


def test_the_notes_of_a_chord_are_struck_together() -> None:
    chord = [Note(4.0, 1.0, "keys", "ep", midi, 0.6) for midi in (60, 64, 67)]
    starts = {event.start for event in perform(chord, settings(), 0)}
    assert len(starts) == 1


def test_one_part_does_not_move_another() -> None:
    found = settings()
    tune = [note(beat / 2, "lead") for beat in range(16)]
    drums = [note(beat / 4, "hat") for beat in range(64)]
    alone = perform(tune, found, 3)
    together = [event for event in perform([*drums, *tune], found, 3) if event.bus == "lead"]
    assert alone == together


def test_events_are_in_order_and_never_before_the_start() -> None:
    events = perform([note(0.0, "bass"), note(0.0, "lead", delay_sec=-0.1)], settings(), 0)
    assert [event.start for event in events] == sorted(event.start for event in events)
    assert min(event.start for event in events) >= 0
