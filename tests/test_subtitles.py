"""Lyric times as text."""

from __future__ import annotations

from lofi.subtitles import Cue, from_lrc, lrc_stamp, to_lrc, to_vtt


def test_hundredths_carry_into_minutes_and_hours_follow_minutes() -> None:
    assert lrc_stamp(59.996) == "[01:00.00]"
    assert lrc_stamp(59.994) == "[00:59.99]"
    assert "01:00:00.000 --> 01:00:05.000" in to_vtt([Cue(3599.9999, 3605.0, "x")])


def test_lrc_with_ends_comes_back() -> None:
    cues = [Cue(0.5, 2.0, "one"), Cue(3.0, 4.25, "two")]
    assert from_lrc(to_lrc(cues, with_ends=True)) == cues


def test_a_cue_ends_with_the_next_one_or_the_piece() -> None:
    lrc = "[00:10.00]b\n[00:01.00]a\nno stamp"
    assert from_lrc(lrc, 12.0) == [Cue(1.0, 10.0, "a"), Cue(10.0, 12.0, "b")]
    assert from_lrc(lrc)[-1] == Cue(10.0, 15.0, "b")
    assert from_lrc(lrc, 4.0)[-1] == Cue(10.0, 15.0, "b")
    assert from_lrc("") == []


def test_lines_close_together_are_shown_together() -> None:
    lrc = "[00:01.00]a\n[00:02.50]b\n[00:03.10]c"
    assert from_lrc(lrc, 9.0) == [Cue(1.0, 3.1, "a\nb"), Cue(3.1, 9.0, "c")]
