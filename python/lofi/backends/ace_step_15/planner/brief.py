"""What the planner is asked for: the user's words and wishes, parsed once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lofi.backends.ace_step_15.planner.codes import parse_codes
from lofi.backends.ace_step_15.planner.metadata import (
    DURATION_HIGH_SEC,
    DURATION_LOW_SEC,
    Metadata,
    missing,
)
from lofi.backends.ace_step_15.planner.prompts import INSTRUMENTAL, NO_INPUT

UNPLANNED_TASKS: Final = frozenset(
    ("cover", "cover_nofsq", "audio2audio", "repaint", "extend", "extract", "edit")
)
"""Tasks that follow their source; a plan would fight it."""

SEED_COUNT: Final = 2**32


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. top_k 0, top_p 1 and penalty 1 are off; temperature 0 is arg-max."""

    temperature: float = 0.85
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0


@dataclass(frozen=True, slots=True)
class Brief:
    """One request to the planner. None and "" mean: not fixed by the user."""

    caption: str
    lyrics: str
    bpm: int | None = None
    duration_sec: float | None = None
    keyscale: str = ""
    timesignature: str = ""
    vocal_language: str = ""
    task: str = "text2music"
    thinking: bool = True
    use_cot_metas: bool = True
    use_cot_caption: bool = False
    use_cot_language: bool = True
    write_lyrics: bool = False
    constrained: bool = True
    codes: tuple[int, ...] = ()
    """Codes the user brought."""
    sampling: Sampling = field(default_factory=Sampling)
    guidance: float = 2.0
    negative: str = NO_INPUT
    longest_sec: int = DURATION_HIGH_SEC

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> Brief:
        """Reads a complete recipe; members another task leaves out are as if unset.

        Raises:
            InvalidParams: `audio_codes` holds something else than codes.
        """
        thinking = bool(recipe.get("thinking"))
        write_lyrics = bool(recipe.get("auto_lyrics"))
        lyrics = recipe.get("lyrics") or ("" if write_lyrics else INSTRUMENTAL)
        language = recipe.get("vocal_language") or ""
        return cls(
            caption=recipe.get("prompt") or "",
            lyrics=lyrics,
            bpm=positive(recipe.get("bpm")),
            duration_sec=_positive_sec(recipe.get("duration_sec")),
            keyscale=_text(recipe.get("keyscale")),
            timesignature=_text(recipe.get("timesignature")),
            vocal_language="" if language == "unknown" else language,
            task=recipe.get("task") or "text2music",
            thinking=thinking,
            use_cot_metas=_flag(recipe.get("use_cot_metas"), thinking),
            use_cot_caption=_flag(recipe.get("use_cot_caption"), False),
            use_cot_language=_flag(recipe.get("use_cot_language"), thinking)
            and lyrics.strip() != INSTRUMENTAL,
            write_lyrics=write_lyrics,
            constrained=_flag(recipe.get("constrained"), True),
            codes=tuple(parse_codes(recipe.get("audio_codes") or ())),
            sampling=Sampling(
                temperature=_number(recipe.get("lm_temperature"), 0.85),
                top_k=int(_number(recipe.get("lm_top_k"), 0)),
                top_p=_number(recipe.get("lm_top_p"), 0.9),
            ),
            guidance=_number(recipe.get("lm_cfg_scale"), 2.0),
            negative=recipe.get("lm_negative_prompt") or NO_INPUT,
        )

    @property
    def runs(self) -> bool:
        """Says whether there is anything for the planner to do."""
        if self.task in UNPLANNED_TASKS:
            return False
        wishes = (
            self.thinking,
            self.write_lyrics,
            self.use_cot_metas,
            self.use_cot_caption,
            self.use_cot_language,
        )
        return any(wishes)

    @property
    def wants_codes(self) -> bool:
        """Says whether phase 2 is wanted: thinking, and no codes from the user."""
        return self.thinking and not self.codes

    @property
    def fixed(self) -> Metadata:
        """The fields the user set, as the model is told them."""
        fixed: Metadata = {}
        if self.bpm is not None:
            fixed["bpm"] = self.bpm
        if self.duration_sec is not None:
            fixed["duration"] = int(self.duration_sec)
        if self.keyscale:
            fixed["keyscale"] = self.keyscale
        if self.timesignature:
            fixed["timesignature"] = self.timesignature
        return fixed

    @property
    def too_short(self) -> bool:
        """Says whether the piece is shorter than any the model was trained on."""
        return self.duration_sec is not None and self.duration_sec < DURATION_LOW_SEC


def positive(value: Any) -> int | None:
    """Returns the integer part of a number above 0, else None."""
    try:
        number = int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number > 0 else None


def _positive_sec(value: Any) -> float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _text(value: Any) -> str:
    return "" if missing(value) else str(value).strip()


def _flag(value: Any, default: bool) -> bool:
    return default if value is None else bool(value)


def _number(value: Any, default: float) -> float:
    return default if value is None else float(value)


def seeds_from(value: Any, count: int) -> list[int | None]:
    """Returns one seed an item, None where one must be drawn.

    Takes a number or a comma-separated list, as other ACE-Step tools write seeds. One number seeds
    the first item; what is missing, negative or no number is drawn.
    """
    parts = [] if value is None else str(value).split(",")
    seeds: list[int | None] = []
    for part in parts[:count]:
        try:
            seed = int(float(part))
        except (ValueError, OverflowError):
            seed = -1
        seeds.append(seed % SEED_COUNT if seed >= 0 else None)
    return seeds + [None] * (count - len(seeds))
