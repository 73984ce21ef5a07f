"""Semantic codes: five integers a second that sketch a piece; their text; signs of a bad run."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from lofi.errors import InvalidParams

CODES_PER_SEC = 5
CODE_COUNT = 64000
"""Entries of the codebook. The vocabulary has 1535 audio tokens more, which mean nothing."""

MOST_CODES = 3000
"""Ten minutes, the longest piece there is."""

LEAST_CODES = 50
"""Ten seconds: shorter pieces were never heard in training, so nobody plans one unasked."""

LONGEST_RUN = 25
"""A model stuck on one code for five seconds has lost the thread."""

LEAST_DISTINCT = 0.1
"""Share of different codes below which a piece of some length is a loop."""

_TOKEN = re.compile(r"<\|audio_code_(\d+)\|>")


def count_for(duration_sec: float) -> int:
    """Returns how many codes cover a duration: the last one may reach past its end."""
    # 12.2 s is 61 codes although 12.2 * 5 is a hair above it in binary
    return math.ceil(round(duration_sec * CODES_PER_SEC, 6))


def code_text(codes: Iterable[int]) -> str:
    """Returns codes as the model reads them."""
    return "".join(f"<|audio_code_{code}|>" for code in codes)


def read_tokens(text: str) -> list[int]:
    """Returns the codes of a model's answer; numbers past the codebook become its last entry."""
    return [min(int(number), CODE_COUNT - 1) for number in _TOKEN.findall(text)]


def parse_codes(value: str | Sequence[int]) -> list[int]:
    """Returns codes a person gave: a list, numbers with commas or spaces, or a token run.

    Raises:
        InvalidParams: something is not an integer in 0..63999.
    """
    parts: Sequence[object] = value
    if isinstance(value, str):
        numbers = _TOKEN.findall(value)
        parts = numbers or [part for part in re.split(r"[,\s]+", value) if part]
    codes = []
    for part in parts:
        text = str(part)
        if isinstance(part, bool) or not re.fullmatch(r"\d+", text) or int(text) >= CODE_COUNT:
            raise InvalidParams(
                f"{text!r} is no audio code",
                hint=f"Codes are integers from 0 to {CODE_COUNT - 1}.",
                param="audio_codes",
            )
        codes.append(int(text))
    return codes


def fault(codes: Sequence[int], count: int | None) -> str | None:
    """Returns what is wrong with a run of codes, None if nothing is.

    Args:
        codes: as sampled.
        count: how many were asked for; None if the model chose.
    """
    if not codes:
        return "no codes came"
    if count is not None and len(codes) != count:
        return f"{len(codes)} codes came instead of {count}"
    if count is None and len(codes) < LEAST_CODES:
        return f"only {len(codes)} codes came, {len(codes) / CODES_PER_SEC:g} s of music"
    outside = next((code for code in codes if not 0 <= code < CODE_COUNT), None)
    if outside is not None:
        return f"code {outside} is not in the codebook"
    run = longest_run(codes)
    if run >= LONGEST_RUN:
        return f"one code repeats {run} times in a row"
    if len(codes) >= LONGEST_RUN and distinct_ratio(codes) < LEAST_DISTINCT:
        return f"only {len(set(codes))} different codes among {len(codes)}"
    return None


def longest_run(codes: Sequence[int]) -> int:
    """Returns the length of the longest stretch of one code."""
    longest = run = 0
    previous = None
    for code in codes:
        run = run + 1 if code == previous else 1
        longest = max(longest, run)
        previous = code
    return longest


def distinct_ratio(codes: Sequence[int]) -> float:
    """Returns the share of different codes, 0 for none."""
    return len(set(codes)) / len(codes) if codes else 0.0
