"""The ladder: how a stage goes on, a step worse each time, when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

from lofi.errors import InsufficientMemory
from lofi.worker.backend import Event, Notice
from lofi.worker.memory import free_bytes
from lofi.worker.process import is_out_of_memory, trim
from lofi.worker.residents import Residency

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Footing:
    """How a stage is run: what a retreat changes."""

    device: str
    residency: Residency
    tile_frames: int
    """Latent frames of a codec tile; 0 for a stage without tiles."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a retreat may go."""

    smallest_tile_frames: int
    may_use_cpu: bool
    has_tiles: bool = True


def retreats(start: Footing, limits: Limits) -> Iterator[tuple[Footing, str]]:
    """Yields the ways to go on after memory ran out, each with its sentence, best first.

    First the same again with an empty cache, then halved tiles, then one module at a time, then
    the CPU if it is allowed.
    """
    footing = start
    yield footing, "freed the caches"
    while limits.has_tiles and footing.tile_frames > limits.smallest_tile_frames:
        halved = max(footing.tile_frames // 2, limits.smallest_tile_frames)
        footing = replace(footing, tile_frames=halved)
        yield footing, f"decodes in tiles of {halved} frames"
    if footing.device.startswith("cpu"):
        return
    if footing.residency is Residency.NONE:
        footing = replace(footing, residency=Residency.SEQUENTIAL)
        yield footing, "keeps one part of the model on the device at a time"
    if limits.may_use_cpu:
        yield replace(footing, device="cpu", residency=Residency.CPU), "goes on with the CPU"


def withstand(
    stage: str,
    attempt: Callable[[Footing], Iterator[Event]],
    start: Footing,
    limits: Limits,
    *,
    needed_bytes: int,
    smaller: str,
    free: Callable[[str], int] = free_bytes,
) -> Generator[Event, None, Footing]:
    """Runs a stage and, each time memory runs out, again on a safer footing; returns the last.

    Args:
        stage: its name for people and the log (`decoding`).
        attempt: yields the stage's events; called anew after a retreat, so it must know itself
            what it has already handed out.
        needed_bytes: what the plan says it needs.
        smaller: the smallest change that would fit, as a sentence for the hint.

    Raises:
        InsufficientMemory: no retreat is left.
    """
    ways = retreats(start, limits)
    footing = start
    while True:
        if (yield from _survived(attempt(footing))):
            return footing
        # Here the failed attempt's frames, and with them its tensors, are gone.
        trim()
        way = next(ways, None)
        if way is None:
            have = free(footing.device)
            raise InsufficientMemory(
                f"{stage} needs {_gigabytes(needed_bytes)}, {_gigabytes(have)} are free",
                hint=smaller,
                needed_bytes=needed_bytes,
                free_bytes=have,
            )
        footing, what = way
        logger.warning("out of memory while %s: %s", stage, what)
        yield Notice("DEGRADED", f"Memory ran out while {stage}: {what}")


def _survived(events: Iterator[Event]) -> Generator[Event, None, bool]:
    try:
        yield from events
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
