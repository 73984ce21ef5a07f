"""What a request and its recipes are made of, and what they may ask of the outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lofi.catalog import Backend, Variant


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights that are on disk, whole."""

    variant: str
    family: str
    model_version: str
    lm_sizes: tuple[str, ...] = ()
    """Installed planners, smallest first."""


@dataclass(frozen=True, slots=True)
class Audio:
    """A source or reference that was found and measured."""

    path: str
    identity: Mapping[str, str]
    """`{"sha256": …}` or `{"track": <full digest>}`, as it stands in a recipe."""
    duration_sec: float
    recipe: Mapping[str, Any] | None = None
    """The recipe it was rendered from, when it is a track; what a planner thought is in it."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA that was found and hashed."""

    path: str
    sha256: str


class World(Protocol):
    """What a request may depend on beyond its own words."""

    def checkpoint(self, backend: Backend, variant: Variant) -> Checkpoint | None:
        """Returns the installed weights, None if they are not whole."""

    def default_backend(self) -> str:
        """Returns `model.backend`: a backend or auto."""

    def default_variant(self, backend: Backend) -> str | None:
        """Returns the variant a request without one gets, None for the backend's own."""

    def own_defaults(self, backend: Backend) -> Mapping[str, Any]:
        """Returns defaults of this backend alone, below those of every request."""

    def fallback(self) -> str:
        """Returns `model.fallback`."""

    def default_lm(self) -> str:
        """Returns `model.lm`: auto, none or a size."""

    def lm_for_tier(self, installed: tuple[str, ...]) -> str | None:
        """Returns the planner this machine's memory suggests, None for no planner."""


@dataclass(frozen=True, slots=True)
class Warning:
    """Something the person should know although the request goes on."""

    code: str
    message: str
    param: str | None = None

    def to_wire(self) -> dict[str, str]:
        wire = {"code": self.code, "message": self.message}
        return {**wire, "param": self.param} if self.param else wire


@dataclass(frozen=True, slots=True)
class Take:
    """One track of a request."""

    seed: int
    recipe: Mapping[str, Any]
    digest: str
    track_id: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request that can be queued."""

    backend: Backend
    variant: str
    model_version: str
    takes: tuple[Take, ...]
    delivery: Mapping[str, Any]
    """Values of `parameters.DELIVERY`."""
    params: Mapping[str, Any]
    """The request as received, canonical names."""
    audio: Mapping[str, Audio]
    adapters: tuple[tuple[Adapter, float], ...]
    warnings: tuple[Warning, ...]
    parent: str | None = None
    """The digest of the track that the source is."""


@dataclass(slots=True)
class Draft:
    """A request on its way: what was given, and what is known by now."""

    given: dict[str, Any]
    backend: Backend
    variant: Variant
    checkpoint: Checkpoint
    task: str
    warnings: list[Warning] = field(default_factory=list)

    @property
    def family(self) -> str:
        return self.checkpoint.family

    def warn(self, code: str, message: str, param: str | None = None) -> None:
        self.warnings.append(Warning(code, message, param))
