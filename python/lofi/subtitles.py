"""When lyric lines are sung, as text: LRC, and WebVTT made from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MERGE_WITHIN_SEC = 2.0
"""Lines that start this close to the first of their group are shown together."""

LAST_SHOWN_SEC = 5.0
"""How long a line stands when nothing says when it ends."""

BRIEF_SHOWN_SEC = 3.0
"""How long a line stands whose end is not after its start."""

_LINE = re.compile(r"^\[(\d\d:\d\d\.\d{2,3})\](?:\[(\d\d:\d\d\.\d{2,3})\])?(.*)$")


@dataclass(frozen=True, slots=True)
class Cue:
    """Text shown from `start_sec` to `end_sec`."""

    start_sec: float
    end_sec: float
    text: str


def lrc_stamp(seconds: float) -> str:
    """Returns `[mm:ss.xx]`; hundredths that round up carry into the minutes."""
    hundredths = round(seconds * 100)
    minutes, rest = divmod(hundredths, 6000)
    return f"[{minutes:02d}:{rest // 100:02d}.{rest % 100:02d}]"


def to_lrc(cues: Sequence[Cue], *, with_ends: bool = False) -> str:
    """Returns LRC text; with ends, a second stamp a line says when it is over."""
    return "\n".join(
        f"{lrc_stamp(cue.start_sec)}{lrc_stamp(cue.end_sec) if with_ends else ''}{cue.text}"
        for cue in cues
    )


def from_lrc(lrc: str, total_sec: float | None = None) -> list[Cue]:
    """Returns the cues of LRC text, in order of time; lines without a stamp or words are left out.

    A cue ends where its line says, else with the next cue, else with the piece.
    """
    lines: list[tuple[float, float | None, str]] = []
    for line in lrc.splitlines():
        match = _LINE.match(line.strip())
        if match and match.group(3).strip():
            end = match.group(2)
            lines.append(
                (_seconds(match.group(1)), _seconds(end) if end else None, match.group(3).strip())
            )
    lines.sort(key=lambda line: line[0])
    groups: list[tuple[float, float | None, str]] = []
    for start, end, text in lines:
        if groups and start - groups[-1][0] < MERGE_WITHIN_SEC:
            first, _, above = groups[-1]
            groups[-1] = (first, end, f"{above}\n{text}")
        else:
            groups.append((start, end, text))
    starts = [start for start, _, _ in groups]
    nexts: list[float | None] = [later for _, later in pairwise(starts)]
    nexts.append(total_sec)
    return [
        Cue(start, _end(start, end, follows, is_last=place == len(groups) - 1), text)
        for place, ((start, end, text), follows) in enumerate(zip(groups, nexts, strict=True))
    ] if groups else []  # fmt: skip


def _end(start: float, end: float | None, follows: float | None, *, is_last: bool) -> float:
    if end is None:
        end = follows
        # a piece that is over before its last line begins says nothing about the line
        if end is None or (is_last and end <= start):
            end = start + LAST_SHOWN_SEC
    return end if end > start else start + BRIEF_SHOWN_SEC


def _seconds(stamp: str) -> float:
    minutes, seconds = stamp.split(":")
    return int(minutes) * 60 + float(seconds)


def to_vtt(cues: Sequence[Cue]) -> str:
    """Returns a WebVTT document of numbered cues."""
    blocks = [
        f"{number}\n{_vtt_time(cue.start_sec)} --> {_vtt_time(cue.end_sec)}\n{cue.text}"
        for number, cue in enumerate(cues, 1)
    ]
    return "\n\n".join(["WEBVTT", *blocks]) + "\n"


def _vtt_time(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}.{rest % 1000:03d}"
