"""Files other programs write and read: subtitles, request JSON, exchange directories."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from lofi.errors import LofiError
from lofi.exchange import Exchange, read_exchange, write_exchange
from lofi.request import read_requests, write_request
from lofi.subtitles import from_lrc, to_vtt
from tests.parity.planner.tally import Tally


def subtitles(content: dict[str, Any], root: Path) -> Tally:
    """LRC to cues and a WebVTT document."""
    tally = Tally()
    for number, case in enumerate(content["cases"]):
        cues = from_lrc(case["lrc"], case["total_duration"])
        wanted = case["subtitles"]
        tally.same("texts", [cue.text for cue in cues], [cue["text"] for cue in wanted], number)
        for cue, theirs in zip(cues, wanted, strict=False):
            tally.near("times", abs(cue.start_sec - theirs["start"]), 1e-3)
            tally.near("times", abs(cue.end_sec - theirs["end"]), 1e-3)
        if case["vtt"] is not None:
            tally.same("WebVTT", to_vtt(cues), case["vtt"], number)
    return tally


def requests(content: dict[str, Any], root: Path) -> Tally:
    """Request JSON: accepted or not, and both rewritings."""
    tally = Tally()
    for case in content["cases"]:
        try:
            found = read_requests(case["input"])
        except LofiError:
            found = None
        tally.same("accepted", found is not None, case["accepted"], case["input"])
        if found is None or not case["accepted"]:
            continue
        for form in ("sparse", "full"):
            if case.get(form) is None:
                continue
            mine = [write_request(request, full=form == "full") for request in found]
            for ours, theirs in zip(mine, case[form], strict=True):
                _compare(tally, form, ours, theirs, case["input"])
    return tally


def _compare(
    tally: Tally, form: str, ours: dict[str, Any], theirs: dict[str, Any], case: str
) -> None:
    tally.same(f"{form} members", sorted(ours), sorted(theirs), case)
    for name in ours.keys() & theirs.keys():
        if isinstance(theirs[name], float):
            tally.near("numbers", abs(ours[name] - theirs[name]), 0.005)
        else:
            tally.same(f"{form} values", ours[name], theirs[name], f"{case} {name}")


def exchange(content: dict[str, Any], root: Path) -> Tally:
    """Directories read as given, and read again after they were written."""
    tally = Tally()
    for number, case in enumerate(content["cases"]):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file, text in case["files"].items():
                (folder / file).write_text(text, encoding="utf-8", newline="")
            try:
                found = read_exchange(folder)
            except LofiError:
                found = None
            tally.same("valid", found is not None, case["valid"], number)
            if found is not None and case["valid"]:
                tally.same("read", _members(found), case["read"], number)
                write_exchange(folder, found)
                again = read_exchange(folder)
                if found.duration_sec == int(found.duration_sec):
                    tally.same("written", again, found, number)
    return tally


def _members(found: Exchange) -> dict[str, Any]:
    return {
        "caption": found.caption,
        "lyrics": found.lyrics,
        "bpm": found.bpm,
        "keyscale": found.keyscale,
        "timesig": found.timesig,
        "language": found.language,
        "duration": found.duration_sec,
        "codes": list(found.codes),
    }
