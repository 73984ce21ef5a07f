"""A job: one track somebody asked for, from the request to its one terminal notification."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lofi import music
from lofi.daemon.progress import Progress
from lofi.daemon.queue import Lane
from lofi.daemon.timings import Work
from lofi.errors import LofiError
from lofi.recipe import Request, Take
from lofi.tracks import default_title

DRAWN_SEEDS = ("lm_seed", "retake_seed")
"""Beside `seed`, which each take has its own of."""


class State(StrEnum):
    """Where a job stands. Only the first three are ever left."""

    QUEUED = "queued"
    GENERATING = "generating"
    FINISHING = "finishing"
    """The worker is done and the track is being made durable: too late to cancel."""
    COMPLETE = "complete"
    ERROR = "error"
    CANCELLED = "cancelled"


@dataclass(slots=True, eq=False)
class Job:
    """One take of a request.

    `track_id` may be longer than the take's own where two digests share their first digits.
    """

    track_id: str
    request: Request
    take: Take
    client: str
    auto_play: bool
    format: str
    save_latents: bool
    state: State = State.QUEUED
    cancel_reason: str = ""
    started_at: str = ""
    progress: Progress | None = None
    warnings: list[dict[str, Any]] = field(default_factory=list)
    is_streaming: bool = False
    """The player has been given its growing spool."""
    planned_sec: float | None = None
    """The length a planner chose, once it has."""
    planned_prompt: str = ""
    """What it plays in the planner's words, where nobody gave a prompt."""
    outlook: str = ""
    """What a planner chose, in words for a line of progress."""
    job_id: str = field(default_factory=lambda: secrets.token_hex(6))

    @property
    def lane(self) -> Lane:
        return Lane.LIGHT if self.request.backend.is_light else Lane.NEURAL

    @property
    def priority(self) -> str:
        return str(self.request.delivery["priority"])

    @property
    def origin(self) -> str:
        return str(self.request.delivery["origin"])

    @property
    def digest(self) -> str:
        return self.take.digest

    @property
    def recipe(self) -> Mapping[str, Any]:
        return self.take.recipe

    @property
    def prompt(self) -> str:
        return str(self.recipe.get("prompt", ""))

    @property
    def title(self) -> str:
        words = self.prompt or self.planned_prompt
        return str(self.request.delivery.get("title") or default_title(words))

    @property
    def duration_sec(self) -> float | None:
        """The length asked for, else the planned one; None as long as nobody knows it."""
        asked = self.recipe.get("duration_sec")
        return self.planned_sec if asked is None else float(asked)

    @property
    def is_forced(self) -> bool:
        return bool(self.request.delivery["force"])

    @property
    def has_ended(self) -> bool:
        return self.state in (State.COMPLETE, State.ERROR, State.CANCELLED)

    def as_request(self) -> dict[str, Any]:
        """Returns the params of `generate` that make this very track: every seed is as drawn."""
        drawn = {name: self.recipe[name] for name in DRAWN_SEEDS if name in self.recipe}
        return {**self.request.params, **drawn, "seed": self.take.seed, "batch_size": 1}

    def work(self, device: str, *, is_loaded: bool) -> Work:
        """Returns what its time depends on; a length still to be planned counts as the default."""
        return Work(
            device=device,
            backend=self.request.backend.type,
            variant=self.request.variant,
            steps=int(self.recipe.get("infer_steps") or 0),
            duration_sec=self.duration_sec or self.request.backend.default_duration_sec,
            is_loaded=is_loaded,
        )

    def take_plan(self, facts: Mapping[str, Any]) -> bool:
        """Learns what a planner chose; True if the length is news."""
        plan = facts.get("plan")
        if not isinstance(plan, Mapping):
            return False
        before, seconds = self.duration_sec, plan.get("duration_sec")
        if before is None and seconds:
            self.planned_sec = float(seconds)
        self.planned_prompt = str(plan.get("caption") or "")
        chosen = {name: facts.get(name, self.recipe.get(name)) for name in music.NORMALISE}
        self.outlook = ", ".join([*music.spoken(chosen), *_clock(self.duration_sec)])
        return before != self.duration_sec

    def start_wire(self) -> dict[str, Any]:
        """Returns the params of `generation_start`."""
        return {
            "track_id": self.track_id,
            "prompt": self.prompt,
            "duration_sec": self.duration_sec,
            "seed": self.take.seed,
            "backend": self.request.backend.type,
            "model_version": self.request.model_version,
            "task": self.recipe["task"],
            "total_steps": int(self.recipe.get("infer_steps") or 1),
            "origin": self.origin,
        }

    def error_wire(self, error: LofiError) -> dict[str, Any]:
        """Returns the params of `generation_error`."""
        return {
            "track_id": self.track_id,
            "error": error.message,
            "message": error.message,
            "code": error.code,
            "hint": error.hint,
            "retryable": error.retryable,
            "details": error.data or None,
        }

    def cancelled_wire(self) -> dict[str, Any]:
        """Returns the params of `generation_cancelled`."""
        return {
            "track_id": self.track_id,
            "at_step": self.progress.step if self.progress else 0,
            "total_steps": self.progress.total_steps if self.progress else 0,
            "reason": self.cancel_reason or "user",
        }

    def pending_wire(self, position: int, eta_sec: float | None) -> dict[str, Any]:
        """Returns its member of `queue_status.pending`."""
        return {
            "track_id": self.track_id,
            "prompt": self.prompt,
            "position": position,
            "priority": self.priority,
            "backend": self.request.backend.type,
            "origin": self.origin,
            "client": self.client,
            "eta_sec": eta_sec,
        }

    def running_wire(self, now: float) -> dict[str, Any]:
        """Returns its member of `queue_status.running`."""
        progress = self.progress.to_wire(now) if self.progress else {}
        return {
            "track_id": self.track_id,
            **progress,
            "prompt": self.prompt,
            "backend": self.request.backend.type,
            "origin": self.origin,
            "client": self.client,
            "started_at": self.started_at,
        }


def _clock(seconds: float | None) -> list[str]:
    return [] if seconds is None else [f"{int(seconds) // 60}:{int(seconds) % 60:02d}"]


def complete_wire(
    track: Mapping[str, Any],
    *,
    cached: bool,
    origin: str,
    timings: Mapping[str, float],
    devices: Mapping[str, Any],
    generation_time_sec: float,
) -> dict[str, Any]:
    """Returns the params of `generation_complete` for a track object."""
    names = (
        "track_id path duration_sec sample_rate prompt seed model_version backend format channels "
        "task title warnings"
    ).split()
    return {
        **{name: track[name] for name in names},
        "generation_time_sec": 0 if cached else generation_time_sec,
        "cached": cached,
        "origin": origin,
        "timings": dict(timings),
        "devices": dict(devices),
    }
