"""The planner's operations without a track: their parameters, and the shape of their answers."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from lofi.backends.ace_step_15.planner import prompts
from lofi.backends.ace_step_15.planner.brief import (
    SEED_COUNT,
    Brief,
    Sampling,
    positive,
    seeds_from,
)
from lofi.backends.ace_step_15.planner.codes import CODES_PER_SEC, parse_codes
from lofi.backends.ace_step_15.planner.flow import Events
from lofi.backends.ace_step_15.planner.metadata import (
    Metadata,
    is_legal,
    meter,
    missing,
    values_of,
)
from lofi.backends.ace_step_15.planner.planner import Planner
from lofi.backends.ace_step_15.planner.reading import Written, printable
from lofi.errors import InvalidDuration, InvalidParams, MethodNotFound
from lofi.tracks import clean_text
from lofi.worker.backend import Answer, Event

Check = Callable[[], None]
CodesOf = Callable[[], Events[list[int]]]
"""Turns the operation's source audio into codes."""

PROMPT_LIMIT: Final = 1000
LYRICS_LIMIT: Final = 4096
"""Characters that a request may have."""
SHORTEST_SEC: Final = 1
NAMELESS: Final = "music"
"""The prompt of a song about which nothing was said."""
OPERATIONS: Final = ("lm_inspire", "lm_format", "lm_understand", "lm_codes")
WRITING_TEMPERATURE: Final = 0.85
LISTENING_TEMPERATURE: Final = 0.3
"""Describing what is there wants less fancy than inventing."""


def operate(
    planner: Planner,
    operation: str,
    params: Mapping[str, Any],
    check: Check,
    *,
    codes_of: CodesOf | None = None,
) -> Iterator[Event]:
    """Runs one operation of a loaded planner and ends with its answer.

    Args:
        codes_of: encodes `lm_understand`'s source; None if only codes can be given.

    Raises:
        InvalidParams, InvalidDuration: a parameter is missing or out of range.
    """
    seed = _seed(params)
    match operation:
        case "lm_inspire":
            answer = yield from _inspire(planner, params, seed, check)
        case "lm_format":
            answer = yield from _format(planner, params, seed, check)
        case "lm_understand":
            answer = yield from _understand(planner, params, seed, check, codes_of)
        case "lm_codes":
            answer = yield from _codes(planner, params, seed, check)
        case _:
            raise MethodNotFound(f"The planner has no operation {operation!r}")
    yield Answer(answer)


def _inspire(
    planner: Planner, params: Mapping[str, Any], seed: int, check: Check
) -> Events[dict[str, Any]]:
    instrumental = bool(params.get("instrumental"))
    fixed = _checked(_language(params))
    written = yield from planner.inspire(
        str(params.get("query") or ""),
        instrumental=instrumental,
        fixed=fixed,
        sampling=_sampling(params, WRITING_TEMPERATURE),
        seed=seed,
        check=check,
    )
    return _sheet(written, seed, str(params.get("query") or ""), instrumental=instrumental)


def _format(
    planner: Planner, params: Mapping[str, Any], seed: int, check: Check
) -> Events[dict[str, Any]]:
    brief = Brief.of(params)
    written = yield from planner.rewrite(
        brief.caption,
        str(params.get("lyrics") or ""),
        fixed=_checked({**brief.fixed, **_language(params)}),
        sampling=_sampling(params, WRITING_TEMPERATURE),
        seed=seed,
        check=check,
    )
    return _sheet(written, seed, brief.caption)


def _understand(
    planner: Planner,
    params: Mapping[str, Any],
    seed: int,
    check: Check,
    codes_of: CodesOf | None,
) -> Events[dict[str, Any]]:
    given = params.get("audio_codes")
    if given:
        codes = parse_codes(given)
    elif codes_of is not None:
        codes = yield from codes_of()
    else:
        raise InvalidParams(
            "lm_understand needs a source or audio_codes", hint="Give one of them.", param="source"
        )
    written = yield from planner.understand(
        codes, sampling=_sampling(params, LISTENING_TEMPERATURE), seed=seed, check=check
    )
    answer = _sheet(written, seed)
    # how long it is needs no guess
    seconds = len(codes) / CODES_PER_SEC
    answer |= {"audio_codes": codes, "duration_sec": seconds}
    if seconds >= SHORTEST_SEC:
        answer["request"] |= {"audio_codes": codes, "duration_sec": seconds}
    return answer


def _codes(
    planner: Planner, params: Mapping[str, Any], seed: int, check: Check
) -> Events[dict[str, Any]]:
    brief = replace(Brief.of({"use_cot_metas": True, **params}), thinking=True)
    if brief.too_short:
        raise InvalidDuration(
            f"A plan of {brief.duration_sec:g} seconds is too short",
            hint="Ask for 10 to 600 seconds.",
            param="duration_sec",
            min=10,
            max=600,
        )
    plan = yield from planner.planning(brief, seed, check)
    metas = {
        "bpm": plan.bpm,
        "duration_sec": plan.duration_sec,
        "keyscale": plan.keyscale or None,
        "timesignature": plan.timesignature or None,
        "vocal_language": plan.vocal_language or "unknown",
    }
    return {
        "audio_codes": list(plan.codes),
        "metas": metas,
        "prompt": plan.caption,
        "lyrics": plan.lyrics,
        "seed": seed,
    }


def _sheet(
    written: Written, seed: int, given: str = "", *, instrumental: bool = False
) -> dict[str, Any]:
    """Returns an answer about a song, with a request that would play it.

    Args:
        given: stands for the prompt where the model wrote none.
    """
    metadata = written.metadata
    lyrics = _fitting(written.lyrics, LYRICS_LIMIT, "\n")
    song: dict[str, Any] = {
        "prompt": _fitting(_text(metadata, "caption") or given, PROMPT_LIMIT, " ") or NAMELESS,
        "lyrics": lyrics,
        "bpm": positive(metadata.get("bpm")),
        "duration_sec": positive(metadata.get("duration")),
        "keyscale": _text(metadata, "keyscale") or None,
        "timesignature": _text(metadata, "timesignature") or None,
        "vocal_language": _text(metadata, "language") or "unknown",
    }
    instrumental = instrumental or lyrics in ("", prompts.INSTRUMENTAL)
    known = {name: value for name, value in song.items() if value is not None}
    request = {"backend": "ace_step_15", **known, "instrumental": instrumental}
    if instrumental:
        # whatever the model scribbled there is not to be sung
        request["lyrics"] = ""
    return {**song, "instrumental": instrumental, "seed": seed, "request": request}


def _fitting(text: str, limit: int, border: str) -> str:
    """Returns what `generate` takes of a text: whole lines or words of it up to a limit."""
    text = clean_text(printable(text))
    if len(text) > limit:
        whole = text[: limit + 1].rpartition(border)[0]
        text = (whole or text[:limit]).strip()
    return text


def _text(metadata: Metadata, name: str) -> str:
    value = metadata.get(name)
    return "" if missing(value) else str(value).strip()


def _language(params: Mapping[str, Any]) -> Metadata:
    language = params.get("vocal_language")
    return {} if missing(language) or language == "unknown" else {"language": language}


def _checked(fixed: Metadata) -> Metadata:
    """Returns what the model is to be told, if it can be told that.

    Raises:
        InvalidDuration, InvalidParams: a value the model was never trained on.
    """
    for name, value in fixed.items():
        if name == "timesignature":
            value = fixed[name] = meter(value)
        if not is_legal(name, value):
            kind = InvalidDuration if name == "duration" else InvalidParams
            known = values_of(name)
            raise kind(
                f"The planner knows no {name} {value!r}",
                hint=f"One of {', '.join(known)}."
                if len(known) < 100
                else f"From {known[0]} to {known[-1]}.",
                param=_PARAMS.get(name, name),
            )
    return fixed


_PARAMS: Final = {"duration": "duration_sec", "language": "vocal_language"}


def _sampling(params: Mapping[str, Any], temperature: float) -> Sampling:
    def given(name: str, default: float) -> float:
        value = params.get(name)
        return default if value is None else float(value)

    return Sampling(
        temperature=given("temperature", temperature),
        top_k=int(given("top_k", 0)),
        top_p=given("top_p", 1.0),
    )


def _seed(params: Mapping[str, Any]) -> int:
    asked = params.get("lm_seed")
    (seed,) = seeds_from(params.get("seed") if asked is None else asked, 1)
    return secrets.randbelow(SEED_COUNT) if seed is None else seed
