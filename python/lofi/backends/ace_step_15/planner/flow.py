"""From a brief to a plan: which phases run, what each is asked, and whose word counts in the end.

The writer does the writing (`decoder` with a network, a script in tests); nothing here needs torch.
Every function that writes is a generator of events: steps count the tokens written.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from lofi.backends.ace_step_15.planner import codes as code_checks
from lofi.backends.ace_step_15.planner import prompts
from lofi.backends.ace_step_15.planner.brief import Brief, Sampling, positive
from lofi.backends.ace_step_15.planner.constraint import Rules
from lofi.backends.ace_step_15.planner.metadata import Metadata, is_legal, missing, write_block
from lofi.backends.ace_step_15.planner.reading import Written, read
from lofi.errors import ModelInferenceFailed
from lofi.worker.backend import Event, Facts, Notice, Phase

T = TypeVar("T")
Events = Generator[Event, None, T]

COMPLETE = ("bpm", "keyscale", "timesignature", "duration")
"""With these fixed there is no metadata left to ask for."""


@dataclass(frozen=True, slots=True)
class TextTask:
    """An answer to be written in words."""

    prompt: str
    rules: Rules | None
    """None: unconstrained."""
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class CodeTask:
    """Runs of codes to be written, one a seed."""

    prompt: str
    away: str
    """The prompt of the guidance branch."""
    guidance: float
    count: int | None
    sampling: Sampling
    constrained: bool
    attempt: int = 0
    """The second attempt draws differently."""


class Writer(Protocol):
    """Who writes."""

    def text(self, task: TextTask, seed: int) -> Events[str]:
        """Yields a step a token, returns the answer with its special strings."""

    def codes(self, task: CodeTask, seeds: Sequence[int]) -> Events[list[list[int]]]:
        """Yields a step a code of each run, returns one run a seed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the planner decided. What the user fixed stands here unchanged."""

    metadata: Metadata
    """As the model wrote it, its caption and language included."""
    codes: tuple[int, ...] = ()
    caption: str = ""
    lyrics: str = ""
    bpm: int | None = None
    duration_sec: float | None = None
    keyscale: str = ""
    timesignature: str = ""
    vocal_language: str = ""
    notices: tuple[Notice, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Returns what a track keeps of the plan: the plan itself, and what fills its gaps."""
        chosen = {
            "bpm": self.bpm,
            "keyscale": self.keyscale,
            "timesignature": self.timesignature,
            "vocal_language": self.vocal_language,
        }
        facts: dict[str, Any] = {name: value for name, value in chosen.items() if value}
        facts["plan"] = {
            "metas": dict(self.metadata),
            "caption": self.caption,
            "lyrics": self.lyrics,
            "duration_sec": self.duration_sec,
            "codes": list(self.codes),
        }
        return facts


Judge = Callable[[Sequence[int], int | None], str | None]


def planned(
    writer: Writer,
    brief: Brief,
    seeds: Sequence[int],
    *,
    judge: Judge = code_checks.fault,
) -> Events[list[Plan]]:
    """Plans one piece, as often as there are seeds: the metadata once, the codes a seed.

    A run of codes that `judge` refuses is drawn once more; refused again, that plan has no codes
    and says so.

    Raises:
        ModelInferenceFailed: the model wrote nothing at all.
    """
    metadata, lyrics = yield from _thoughts(writer, brief, seeds[0])
    plan = merged(brief, metadata, lyrics)
    yield Facts(plan.facts())
    if brief.write_lyrics and not lyrics.strip():
        yield Notice("DEGRADED", "The planner wrote no lyrics; the track is instrumental")
    runs: list[list[int]] = [list(brief.codes) for _ in seeds]
    notices: list[list[Notice]] = [[] for _ in seeds]
    if brief.wants_codes:
        task = code_task(brief, metadata, lyrics)
        yield Phase("planning", task.count or 0)
        runs = yield from writer.codes(task, seeds)
        for place, run in enumerate(runs):
            if judge(run, task.count) is None:
                continue
            again = replace(task, attempt=1)
            (runs[place],) = yield from writer.codes(again, seeds[place : place + 1])
            problem = judge(runs[place], task.count)
            if problem is not None:
                runs[place] = []
                notices[place].append(_fallback(problem))
    return [
        replace(
            plan,
            codes=tuple(run),
            notices=tuple(told),
            # where nobody said how long, the codes do
            duration_sec=plan.duration_sec or len(run) / code_checks.CODES_PER_SEC or None,
        )
        for run, told in zip(runs, notices, strict=True)
    ]


def _fallback(problem: str) -> Notice:
    return Notice(
        "DEGRADED", f"The planner's codes were unusable twice ({problem}); rendered without them"
    )


def _thoughts(writer: Writer, brief: Brief, seed: int) -> Events[tuple[Metadata, str]]:
    """Phase 1: the metadata, and lyrics if they are to be written."""
    fixed = {**brief.fixed, **_language(brief)}
    if brief.write_lyrics:
        return (yield from _song(writer, brief, fixed, seed))
    if not asks_metadata(brief):
        return fixed, brief.lyrics
    answer = yield from writer.text(metadata_task(brief), seed)
    if not answer.strip():
        raise ModelInferenceFailed("The planner wrote nothing")
    metadata = read(answer).metadata
    if not brief.constrained:
        legal = {name: value for name, value in metadata.items() if is_legal(name, value)}
        metadata = {**legal, **fixed}
    return metadata, brief.lyrics


def _song(writer: Writer, brief: Brief, fixed: Metadata, seed: int) -> Events[tuple[Metadata, str]]:
    """Lyrics come with their own metadata: one answer gives both."""
    written = yield from inspired(
        writer, brief.caption, instrumental=False, fixed=fixed, sampling=brief.sampling, seed=seed,
        longest_sec=brief.longest_sec,
    )  # fmt: skip
    metadata = dict(written.metadata)
    if brief.caption and not brief.use_cot_caption:
        metadata.pop("caption", None)
    return metadata, written.lyrics


def asks_metadata(brief: Brief) -> bool:
    """Says whether phase 1 runs: allowed to, and something is open."""
    fixed = brief.fixed
    return brief.use_cot_metas and any(name not in fixed for name in COMPLETE)


def metadata_task(brief: Brief) -> TextTask:
    """Returns phase 1. What the user fixed is written for the model, not merged afterwards, so
    that the rest agrees with it.
    """
    skipped = {"genres"}
    if not brief.use_cot_caption and brief.caption:
        skipped.add("caption")
    language = _language(brief)
    if not brief.use_cot_language and not language:
        skipped.add("language")
    rules = Rules(
        fixed={**brief.fixed, **language},
        skipped=frozenset(skipped),
        longest_sec=brief.longest_sec,
    )
    prompt = prompts.generate(brief.caption, brief.lyrics)
    return TextTask(prompt, rules if brief.constrained else None, brief.sampling)


def _language(brief: Brief) -> Metadata:
    return {"language": brief.vocal_language} if brief.vocal_language else {}


def code_task(brief: Brief, metadata: Mapping[str, Any], lyrics: str) -> CodeTask:
    """Returns phase 2: the user's own caption above, the metadata in the block."""
    seconds = target_sec(brief, metadata)
    return CodeTask(
        prompt=prompts.generate(brief.caption, lyrics, write_block(metadata)),
        away=prompts.generate_away(brief.negative),
        guidance=brief.guidance,
        count=None if seconds is None else code_checks.count_for(seconds),
        sampling=brief.sampling,
        constrained=brief.constrained,
    )


def target_sec(brief: Brief, metadata: Mapping[str, Any]) -> float | None:
    """Returns the length to plan: the user's, else the model's, else None."""
    return brief.duration_sec or _seconds(metadata.get("duration"))


def _seconds(value: Any) -> float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if seconds > 0 else None


def merged(brief: Brief, metadata: Mapping[str, Any], lyrics: str) -> Plan:
    """Returns the plan without codes: the user's word first, the model's in the gaps."""

    def gap(name: str, given: str) -> str:
        value = metadata.get(name)
        return given if given or missing(value) else str(value)

    caption = brief.caption
    if brief.use_cot_caption or not caption:
        caption = gap("caption", "") or caption
    # an older spelling of the field, read but never written
    language = brief.vocal_language or gap("vocal_language", "")
    bpm = positive(metadata.get("bpm")) if brief.bpm is None else brief.bpm
    return Plan(
        metadata=dict(metadata),
        caption=caption,
        lyrics=lyrics,
        bpm=bpm,
        duration_sec=target_sec(brief, metadata),
        keyscale=gap("keyscale", brief.keyscale),
        timesignature=gap("timesignature", brief.timesignature),
        vocal_language=language or (gap("language", "") if brief.use_cot_language else ""),
    )


def inspired(
    writer: Writer,
    query: str,
    *,
    instrumental: bool,
    fixed: Mapping[str, Any],
    sampling: Sampling,
    seed: int,
    longest_sec: int,
) -> Events[Written]:
    """Turns one sentence into a whole song; without a sentence the model invents one."""
    wish = query if query.strip() else prompts.NO_INPUT
    prompt = prompts.inspire(wish, instrumental=instrumental)
    written = yield from _song_sheet(writer, prompt, fixed, sampling, seed, longest_sec)
    if instrumental and not written.lyrics:
        written = replace(written, lyrics=prompts.INSTRUMENTAL)
    return written


def rewritten(
    writer: Writer,
    caption: str,
    lyrics: str,
    *,
    fixed: Mapping[str, Any],
    sampling: Sampling,
    seed: int,
    longest_sec: int,
) -> Events[Written]:
    """Enriches a caption and tidies lyrics; lyrics the model leaves out stay as they were."""
    sung = lyrics or prompts.INSTRUMENTAL
    prompt = prompts.rewrite(caption or prompts.NO_INPUT, sung)
    written = yield from _song_sheet(writer, prompt, fixed, sampling, seed, longest_sec)
    return written if written.lyrics else replace(written, lyrics=sung)


def understood(
    writer: Writer, codes: Sequence[int], *, sampling: Sampling, seed: int
) -> Events[Written]:
    """Describes what a run of codes sounds like."""
    prompt = prompts.understand(code_checks.code_text(codes) or prompts.NO_INPUT)
    longest_sec = code_checks.MOST_CODES // code_checks.CODES_PER_SEC
    return (yield from _song_sheet(writer, prompt, {}, sampling, seed, longest_sec))


def _song_sheet(
    writer: Writer,
    prompt: str,
    fixed: Mapping[str, Any],
    sampling: Sampling,
    seed: int,
    longest_sec: int,
) -> Events[Written]:
    """A block and free text behind it."""
    rules = Rules(fixed=fixed, longest_sec=longest_sec, then="words")
    answer = yield from writer.text(TextTask(prompt, rules, sampling), seed)
    if not answer.strip():
        raise ModelInferenceFailed("The planner wrote nothing")
    return read(answer)
