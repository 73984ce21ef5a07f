"""The musical metadata a plan consists of, and the reasoning block it is written in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

Metadata = dict[str, Any]
"""Field name to value: `bpm` and `duration` integers, the others text; no entry if not known."""

FIELDS: Final = ("bpm", "caption", "duration", "genres", "keyscale", "language", "timesignature")
"""In the one order the model was trained on (alphabetical)."""

WRITTEN: Final = frozenset(FIELDS) - {"genres"}
"""What a block may hold; genres are read from other tools' blocks and never written."""

BPM_LOW, BPM_HIGH = 30, 300
DURATION_LOW_SEC, DURATION_HIGH_SEC = 10, 600

KEYSCALES: Final = tuple(
    f"{note}{accidental} {mode}"
    for note in "ABCDEFG"
    for accidental in ("", "#", "b", "♯", "♭")
    for mode in ("major", "minor")
)
TIMESIGNATURES: Final = ("2", "3", "4", "6")
LANGUAGES: Final = tuple(
    "ar az bg bn ca cs da de el en es fa fi fr he hi hr ht hu id is it ja ko la lt ms ne nl no pa "
    "pl pt ro ru sa sk sr sv sw ta te th tl tr uk ur vi yue zh unknown".split()
)


def values_of(field: str, longest_sec: int = DURATION_HIGH_SEC) -> tuple[str, ...]:
    """Returns every legal value of a closed field, as text; empty for free text."""
    match field:
        case "bpm":
            return tuple(str(bpm) for bpm in range(BPM_LOW, BPM_HIGH + 1))
        case "duration":
            return tuple(str(sec) for sec in range(DURATION_LOW_SEC, longest_sec + 1))
        case "keyscale":
            return KEYSCALES
        case "language":
            return LANGUAGES
        case "timesignature":
            return TIMESIGNATURES
    return ()


def is_legal(field: str, value: Any) -> bool:
    """Says whether the model may be told, or have said, this."""
    if field not in WRITTEN:
        return False
    if field == "caption":
        return bool(str(value).strip())
    return str(value) in values_of(field)


def meter(value: Any) -> str:
    """Returns a meter as the model knows it: the numerator of `4/4` or `6/8`."""
    return str(value).strip().split("/")[0].strip()


def missing(value: Any) -> bool:
    """Says whether a value means "not known"."""
    return value is None or (isinstance(value, str) and value.strip().upper() in ("", "N/A"))


def write_block(metadata: Mapping[str, Any]) -> str:
    """Returns `<think>…</think>` as the model writes it: PyYAML's own quoting and folding."""
    items = {name: _plain(name, value) for name, value in metadata.items() if name in WRITTEN}
    return write_fields({name: value for name, value in items.items() if value is not None})


def write_fields(fields: Mapping[str, Any]) -> str:
    """Returns a block of fields as they are: text that looks like a number is quoted."""
    body = yaml.dump(dict(fields), allow_unicode=True, sort_keys=True).strip() if fields else ""
    return f"<think>\n{body}\n</think>"


def _plain(name: str, value: Any) -> Any:
    if name == "timesignature" and isinstance(value, str) and value.endswith("/4"):
        value = value.split("/")[0]
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value
