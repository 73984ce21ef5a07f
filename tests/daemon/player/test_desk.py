from __future__ import annotations

import numpy as np

from lofi.daemon.player.desk import STOP_FADE_SEC, Desk, Voice
from lofi.daemon.player.mixer import Block
from lofi.daemon.player.stream import Stream
from tests.daemon.player.sound import PERIOD, RATE, noise


class Decoded(Stream):
    """A stream whose ring the test fills."""

    def __init__(self, sound: Block, *, is_complete: bool = True) -> None:
        super().__init__(self._no_source, RATE)
        self.give(sound, is_complete=is_complete)

    def _no_source(self) -> None:  # type: ignore[override]
        raise AssertionError("nothing is decoded here")

    def give(self, sound: Block, *, is_complete: bool) -> None:
        self.ring.write(sound)
        self.is_ahead = True
        self.is_complete = is_complete


def desk_at(volume: float = 1.0) -> Desk:
    return Desk(RATE, volume=volume, on_event=lambda: None)


def pull(desk: Desk, frames: int = PERIOD) -> Block:
    out = np.full((frames, 2), np.nan, dtype=np.float32)
    desk.fill(out)
    return out


def kinds(desk: Desk) -> list[str]:
    return [event.kind for event in desk.events()]


ONES = np.ones((RATE * 2, 2), dtype=np.float32)


def test_an_empty_desk_is_silent_and_idle() -> None:
    desk = desk_at()
    assert not pull(desk).any()
    assert desk.is_idle


def test_a_track_begins_with_its_first_frame_at_full_level() -> None:
    sound = noise(4800)
    desk = desk_at()
    desk.cut(Voice(Decoded(sound)))
    assert np.array_equal(pull(desk), sound[:PERIOD])
    assert kinds(desk) == ["started"]


def test_two_tracks_join_within_a_block_without_a_frame_between() -> None:
    first, second = noise(1500, seed=1), noise(1500, seed=2)
    desk = desk_at()
    desk.cut(Voice(Decoded(first)))
    desk.queue(Voice(Decoded(second)))
    heard = np.concatenate([pull(desk) for _ in range(4)])
    assert np.array_equal(heard[:3000], np.concatenate([first, second]))
    assert not heard[3000:].any()
    assert kinds(desk) == ["started", "ended", "started", "ended"]
    assert desk.is_idle


def test_a_track_queued_just_too_late_still_plays() -> None:
    desk = desk_at()
    desk.cut(Voice(Decoded(noise(100))))
    pull(desk)
    desk.queue(Voice(Decoded(noise(100, seed=2))))
    assert np.array_equal(pull(desk)[:100], noise(100, seed=2))


def test_a_cut_fades_the_old_out_and_the_new_in_over_five_milliseconds() -> None:
    desk = desk_at()
    desk.cut(Voice(Decoded(ONES * 0.5)))
    pull(desk)
    desk.cut(Voice(Decoded(ONES * 0.5), ramped=True))
    heard = pull(desk)
    assert np.allclose(heard, 0.5, atol=1e-3)  # linear: the same audio keeps its level
    desk.cut(Voice(Decoded(-ONES * 0.5), ramped=True))
    heard = pull(desk)
    assert np.all(heard[240:] == -0.5)
    assert np.abs(np.diff(heard[:, 0])).max() < 1.01 / 240


def test_stop_is_silence_after_its_fade_counted_in_samples() -> None:
    desk = desk_at()
    desk.cut(Voice(Decoded(ONES)))
    pull(desk)
    desk.cut(None, fade_sec=STOP_FADE_SEC)
    heard = np.concatenate([pull(desk) for _ in range(3)])
    fade = round(STOP_FADE_SEC * RATE)
    assert STOP_FADE_SEC + PERIOD / RATE <= 0.05
    assert heard[0, 0] > 0.99 and not heard[fade:].any()
    assert np.abs(np.diff(heard[:, 0])).max() < 1.01 / fade
    assert desk.is_idle


def test_a_pause_loses_no_frame() -> None:
    sound = noise(9600)
    voice = Voice(Decoded(sound))
    desk = desk_at()
    desk.cut(voice)
    pull(desk)
    desk.pause()
    fading = pull(desk)
    assert not fading[480:].any() and fading[:400].any()
    assert voice.delivered == PERIOD + 480
    assert not pull(desk).any() and desk.is_idle
    desk.resume()
    pull(desk, 480)
    assert np.array_equal(pull(desk), sound[PERIOD + 960 : 2 * PERIOD + 960])


def test_what_is_put_on_while_held_waits_for_the_resume() -> None:
    desk = desk_at()
    desk.cut(Voice(Decoded(ONES)))
    pull(desk)
    desk.pause()
    pull(desk)
    desk.cut(Voice(Decoded(ONES * 0.25)))
    assert not pull(desk).any()
    desk.resume()
    assert np.all(pull(desk)[480:] == 0.25)


def test_a_fresh_start_after_a_pause_has_no_ramp_and_no_rest_of_the_old() -> None:
    sound = noise(4800)
    desk = desk_at()
    desk.cut(Voice(Decoded(ONES)))
    pull(desk)
    desk.pause()
    pull(desk)
    desk.cut(Voice(Decoded(sound)))
    desk.unpause()
    assert np.array_equal(pull(desk), sound[:PERIOD])


def test_holding_lets_nothing_be_heard_before_the_resume() -> None:
    desk = desk_at()
    desk.hold()
    desk.cut(Voice(Decoded(ONES)))
    assert not pull(desk).any()


def test_volume_ramps_over_ten_milliseconds() -> None:
    desk = desk_at(volume=1.0)
    desk.cut(Voice(Decoded(ONES)))
    pull(desk)
    desk.set_volume(0.25)
    heard = pull(desk)
    assert np.all(heard[480:] == 0.25)
    assert np.abs(np.diff(heard[:, 0])).max() < 0.76 / 480


def test_a_starved_track_fades_waits_and_goes_on_with_the_next_frame() -> None:
    sound = noise(RATE)
    stream = Decoded(sound[:2500], is_complete=False)
    stream_voice = Voice(stream)
    desk = desk_at()
    desk.cut(stream_voice)
    first = pull(desk)
    assert np.array_equal(first, sound[:PERIOD])
    stream.is_ahead = False
    fading = pull(desk)  # 1540 left, a period and the fade are 1440
    assert np.array_equal(fading, sound[PERIOD : 2 * PERIOD])
    fading = pull(desk)
    assert np.array_equal(fading[:100], sound[1920:2020])
    assert abs(fading[579, 0]) < abs(sound[2499, 0]) / 100 + 1e-6
    assert not fading[580:].any()
    assert not pull(desk).any()
    stream.give(sound[2500:9000], is_complete=False)
    again = pull(desk)
    assert np.array_equal(again[480:], sound[2980:3460])
    assert np.abs(again[0]).max() < 0.01
    assert kinds(desk) == ["started", "waiting", "continued"]
    assert stream_voice.waits == 1


def test_a_waiting_track_that_is_cut_is_never_heard_again() -> None:
    stream = Decoded(ONES[:2000], is_complete=False)
    desk = desk_at()
    desk.cut(Voice(stream))
    for _ in range(4):
        pull(desk)
    desk.cut(None)
    stream.give(ONES[:5000], is_complete=False)
    assert not pull(desk).any()


def test_a_track_has_its_own_gain_and_the_sum_stays_within_full_scale() -> None:
    desk = desk_at()
    desk.cut(Voice(Decoded(ONES), gain=0.5))
    assert np.all(pull(desk) == 0.5)
    desk.cut(Voice(Decoded(ONES), gain=1.0), fade_sec=0.02)
    assert np.all(pull(desk) <= 1.0)


def test_a_block_longer_than_the_scratch_is_served_whole() -> None:
    sound = noise(40_000)
    desk = desk_at()
    desk.cut(Voice(Decoded(sound)))
    assert np.array_equal(pull(desk, 30_000), sound[:30_000])
