"""What one rendering is asked for, typed, read from a complete recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lofi.backends.ace_step_v1.conditions import Erg
from lofi.backends.ace_step_v1.flow_edit import Span
from lofi.backends.ace_step_v1.guidance import Guidance
from lofi.errors import InvalidSource, UnsupportedTask

TASKS = ("text2music", "retake", "repaint", "extend", "edit", "audio2audio")
NEEDS_SOURCE = frozenset(TASKS) - {"text2music", "retake"}
SEEDS = 2**32


@dataclass(frozen=True, slots=True)
class Request:
    """One rendering."""

    task: str
    prompt: str
    lyrics: str
    language: str
    duration_sec: float
    seed: int
    retake_seed: int
    steps: int
    scheduler: str
    omega_scale: float
    negative_prompt: str = ""
    guidance: Guidance = field(default_factory=Guidance)
    erg: Erg = field(default_factory=Erg)
    use_erg_tag: bool = False
    oss_steps: tuple[int, ...] = ()
    variance: float = 0.0
    start_sec: float = 0.0
    stop_sec: float | None = None
    """None: to the end of the source."""
    left_sec: float = 0.0
    right_sec: float = 0.0
    source_prompt: str = ""
    source_lyrics: str = ""
    span: Span = field(default_factory=lambda: Span(0.0, 1.0))
    strength: float = 0.5

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> Request:
        """Reads a recipe; parameters of other tasks may be absent.

        Raises:
            UnsupportedTask: v1 does not know the task.
        """
        given = {name: value for name, value in recipe.items() if value is not None}
        task = str(given.get("task", "text2music"))
        if task not in TASKS:
            raise UnsupportedTask(
                f"ACE-Step v1 cannot {task}", hint="It can: " + ", ".join(TASKS), param="task"
            )
        seed = int(given["seed"])
        stop = float(given.get("repaint_end", -1.0))
        return cls(
            task=task,
            prompt=str(given.get("prompt", "")),
            lyrics=str(given.get("lyrics", "")),
            language=str(given.get("vocal_language", "unknown")),
            duration_sec=float(given["duration_sec"]),
            seed=seed,
            # the second noise must never be the first one again
            retake_seed=int(given.get("retake_seed", (seed + 1) % SEEDS)),
            steps=int(given.get("infer_steps", 27)),
            scheduler=str(given.get("scheduler", "euler")),
            omega_scale=float(given.get("omega_scale", 10.0)),
            negative_prompt=str(given.get("negative_prompt", "")),
            guidance=Guidance(
                float(given.get("guidance_scale", 15.0)),
                str(given.get("cfg_type", "apg")),
                float(given.get("guidance_interval", 0.5)),
                float(given.get("guidance_interval_decay", 0.0)),
                float(given.get("min_guidance_scale", 3.0)),
                float(given.get("guidance_scale_text", 0.0)),
                float(given.get("guidance_scale_lyric", 0.0)),
            ),
            erg=Erg(
                bool(given.get("use_erg_lyric", True)), bool(given.get("use_erg_diffusion", True))
            ),
            use_erg_tag=bool(given.get("use_erg_tag", True)),
            oss_steps=tuple(int(step) for step in given.get("oss_steps", ())),
            variance=float(given.get("retake_variance", 0.0)),
            start_sec=float(given.get("repaint_start", 0.0)),
            stop_sec=None if stop < 0 else stop,
            left_sec=float(given.get("extend_left_sec", 0.0)),
            right_sec=float(given.get("extend_right_sec", 0.0)),
            source_prompt=str(given.get("edit_source_prompt", "")),
            source_lyrics=str(given.get("edit_source_lyrics", "")),
            span=Span(
                float(given.get("edit_n_min", 0.0)),
                float(given.get("edit_n_max", 1.0)),
                int(given.get("edit_n_avg", 1)),
            ),
            strength=float(given.get("ref_audio_strength", 0.5)),
        )

    def check_span(self, source_sec: float) -> None:
        """Refuses a section of repaint that lies outside the source.

        Raises:
            InvalidSource: it does.
        """
        if self.task == "repaint" and not 0 <= self.start_sec < source_sec:
            raise InvalidSource(
                f"repaint_start {self.start_sec:g} s is outside the source of {source_sec:.1f} s",
                hint="Use extend to add music before or after a source.",
                param="repaint_start",
            )
