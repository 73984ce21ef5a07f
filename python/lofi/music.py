"""Musical metadata as people write it, and its one form: tempo, key, time signature, free text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from lofi.errors import InvalidParams

_KEY = re.compile(r"^([A-Ga-g])\s*([#b♯♭]?)\s*(major|maj|minor|min|m)?$")
_SIGNATURES = {"2": "2", "3": "3", "4": "4", "6": "6", "2/4": "2", "3/4": "3", "4/4": "4",
               "6/8": "6"}  # fmt: skip
_META_NAMES = {
    "bpm": "bpm",
    "tempo": "bpm",
    "key": "keyscale",
    "keyscale": "keyscale",
    "timesignature": "timesignature",
    "time_signature": "timesignature",
    "time signature": "timesignature",
    "duration": "duration",
}


def keyscale(value: Any) -> str:
    """Returns `F# minor` for `F#m`, `f# Minor`, `F# min`; a bare note is major.

    `♯` and `♭` stay: to a planner they are other words than `#` and `b`.

    Raises:
        InvalidParams: it is no key.
    """
    text = value.strip() if isinstance(value, str) else ""
    # Only a lower-case m means minor: "AM" would be ambiguous, "Am" is not.
    match = _KEY.match(text) or _KEY.match(text[:2] + text[2:].lower())
    if not match:
        raise InvalidParams(
            f"keyscale {value!r} is no key",
            hint="Write a note and major or minor: C major, F# minor, Bb, Am.",
            param="keyscale",
        )
    note, accidental, mode = match.groups()
    is_minor = mode in ("minor", "min", "m")
    return f"{note.upper()}{accidental} {'minor' if is_minor else 'major'}"


def in_ascii(key: str) -> str:
    """Returns a key with `#` and `b`, for whom `♯` and `♭` are nothing else."""
    return key.replace("♯", "#").replace("♭", "b")


def timesignature(value: Any) -> str:
    """Returns the numerator as text: `4` for 4, "4" and "4/4".

    Raises:
        InvalidParams: it is none of 2, 3, 4, 6.
    """
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    text = f"{number:g}" if number is not None else str(value).replace(" ", "")
    if text not in _SIGNATURES:
        raise InvalidParams(
            f"timesignature {value!r} is not known",
            hint="One of 2, 3, 4, 6, 2/4, 3/4, 4/4, 6/8.",
            param="timesignature",
            allowed=list(_SIGNATURES),
        )
    return _SIGNATURES[text]


def _bpm(value: Any) -> Any:
    return value


NORMALISE: dict[str, Callable[[Any], Any]] = {
    "bpm": _bpm,
    "keyscale": keyscale,
    "timesignature": timesignature,
}


def parse_metas(text: str) -> dict[str, Any]:
    """Returns bpm, keyscale, timesignature and duration named in `text`, and the `rest`.

    `"bpm: 90, key: C minor, genre: jazz"` gives bpm 90, keyscale "C minor", rest "genre: jazz".
    """
    found: dict[str, Any] = {}
    rest = []
    for part in (piece.strip() for piece in re.split(r"[,;\n]", text)):
        name, separator, value = (piece.strip() for piece in part.partition(":"))
        known = _META_NAMES.get(name.lower()) if separator else None
        if known in ("bpm", "duration"):
            match = re.match(r"\d+(\.\d+)?", value)
            if match:
                number = float(match.group())
                found[known] = int(number) if known == "bpm" else number
                continue
        elif known:
            found[known] = value
            continue
        if part:
            rest.append(part)
    return {**found, "rest": ", ".join(rest)}


def spoken(metadata: Mapping[str, Any]) -> list[str]:
    """Returns metadata as words for a model that reads only a prompt: `90 bpm`, `C minor`."""
    words = []
    if metadata.get("bpm") is not None:
        words.append(f"{metadata['bpm']} bpm")
    if metadata.get("keyscale"):
        words.append(str(metadata["keyscale"]))
    if metadata.get("timesignature"):
        beats = str(metadata["timesignature"])
        words.append(f"{beats}/{8 if beats == '6' else 4} time")
    return words
