"""What a track is: its recipe in canonical form, its digest and id, and its title.

It knows neither backends nor disk: `recipe.py` resolves requests, `daemon/cache.py` keeps files.
"""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from collections.abc import Mapping
from typing import Any

SCHEMA = 1
"""Bumped when code changes alter the sound of an old recipe."""
ID_DIGITS = 16
LONG_ID_DIGITS = 24
TITLE_LIMIT = 60


def clean_text(text: str) -> str:
    """Returns prompt or lyrics as they are hashed and rendered: NFC, `\\n` line ends, trimmed.

    Half a surrogate pair is no character: it becomes the replacement character.
    """
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n").strip()


def _canonical(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a recipe holds no infinite and no missing number")
        rounded = round(value, 6)
        return int(rounded) if rounded.is_integer() else rounded
    if isinstance(value, Mapping):
        return {name: _canonical(item) for name, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    raise TypeError(f"a recipe holds no {type(value).__name__}")


def canonical_json(recipe: Mapping[str, Any]) -> str:
    """Returns the one text of a recipe: sorted keys, no spaces, no nulls, 6 decimals."""
    return json.dumps(_canonical(recipe), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the recipe as it is hashed, stored and given to a worker."""
    value = _canonical(recipe)
    assert isinstance(value, dict)
    return value


def digest(recipe: Mapping[str, Any]) -> str:
    """Returns the recipe's full SHA-256 in hex."""
    return hashlib.sha256(canonical_json(recipe).encode()).hexdigest()


def track_id(recipe: Mapping[str, Any]) -> str:
    """Returns the first 16 hex digits of the recipe's digest."""
    return digest(recipe)[:ID_DIGITS]


def default_title(prompt: str) -> str:
    """Returns the first 60 code points of the prompt, cut at a word."""
    line = " ".join(prompt.split())
    if len(line) <= TITLE_LIMIT:
        return line
    cut = line[: TITLE_LIMIT + 1].rsplit(" ", 1)[0]
    return cut[:TITLE_LIMIT].rstrip(" ,;:-")
