"""What one golden case showed, and the options of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """`error` is the worst distance to the stored numbers, in units where `tolerance` passes."""

    name: str
    error: float
    tolerance: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """Not a number never passes."""
        return self.error <= self.tolerance


@dataclass(frozen=True, slots=True)
class NotRun:
    """A case that needs something this run was not given, or that asks nothing of us."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line gave."""

    lyric_vocab: Path | None = None
