"""The contract a backend keeps with the worker: load, run, unload.

A backend is an object made once per worker process and asked for one job at a time. It gets a
complete recipe, never fills in a default, opens no socket, prints nothing and writes no file; it
yields what happens and the sound itself. The worker loop turns these events into frames, spools
the sound and writes the track.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Check = Callable[[], None]
"""Called at each token, layer, tile, tensor loaded and block made. Beats the heart; raises
`GenerationCancelled` when the job is no longer wanted."""


def nothing() -> None:
    """The check of a caller who never cancels."""


PhaseName = Literal["loading", "planning", "encoding", "diffusion", "tokens", "decoding", "writing"]


@dataclass(frozen=True, slots=True)
class Model:
    """Which weights to hold and how: what the recipe leaves out because it changes no sample."""

    path: Path | None = None
    """Folder of this backend's components; None for a backend without weights."""
    variant: str = ""
    device: str = "auto"
    bf16: bool | None = None
    quantize: str = "none"
    offload: str = "auto"
    threads: int | None = None
    vae_tile_sec: float | None = None
    min_free_vram_mb: int = 2048
    vram_wait_sec: float = 30.0
    oom_fallback: str = "cpu"
    keep_loaded: bool = False
    """The other backends' models may stay in memory beside this one."""


@dataclass(frozen=True, slots=True)
class Lora:
    """One adapter of a job, in load order."""

    path: Path
    sha256: str
    scale: float


@dataclass(frozen=True, slots=True)
class Job:
    """One track to render."""

    recipe: Mapping[str, Any]
    """Complete: every parameter the backend uses has its value."""
    model: Model = field(default_factory=Model)
    audio: Mapping[str, Path] = field(default_factory=dict)
    """`source` and `reference`: readable audio files."""
    loras: tuple[Lora, ...] = ()
    latents_path: Path | None = None
    """Where to keep the latents (safetensors), if they are wanted."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase begins. `total` counts its steps, 0 when unknown."""

    name: PhaseName
    total: int = 0
    device: str | None = None
    dtype: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """`done` of the current phase's `total` steps are finished (denoising steps, tokens, tiles)."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Sound:
    """Announces the sound before its first stretch."""

    sample_rate: int
    channels: int
    frames: int
    """Exact length of the finished track."""
    streams: bool = False
    """True: each stretch is final but for one gain, so it may be heard at once."""
    gain: float = 1.0
    """Provisional gain to play streamed stretches at."""
    mastered: bool = False
    """True: level, fades and loop are the backend's own; the worker only writes."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The next finished frames, float32 [frames, channels], in order, before gain."""

    samples: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning for `warnings`: DEGRADED, CLIPPED, PARAM_ADJUSTED, …"""

    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Members of the track that the backend chose or learned: bpm, keyscale, grid, plan, …"""

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of an operation that is not a track (planning, analysis)."""

    value: Mapping[str, Any]


Event = Phase | Step | Sound | Stretch | Notice | Facts | Answer


class Backend(Protocol):
    """What every backend offers. A generator that raises leaves the backend able to run again."""

    def load(self, job: Job, check: Check) -> Iterator[Event]:
        """Brings what `job` needs into memory; cheap when it is already there."""

    def run(self, job: Job, check: Check) -> Iterator[Event]:
        """Renders one track: phases and steps, one `Sound`, then its stretches."""

    def operate(
        self, operation: str, params: Mapping[str, Any], model: Model, check: Check
    ) -> Iterator[Event]:
        """Runs an operation without a track (`lm_inspire`, …) and ends with one `Answer`."""

    def unload(self) -> None:
        """Lets go of every weight and gives the memory back to the system."""
