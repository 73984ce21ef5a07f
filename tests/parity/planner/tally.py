"""Counts agreements within one golden file, one line for each kind of comparison."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tests.parity.outcome import Outcome


class Tally:
    """Wrong answers of equality checks count one each; numbers keep their worst distance."""

    def __init__(self) -> None:
        self._wrong: dict[str, int] = {}
        self._count: dict[str, int] = {}
        self._worst: dict[str, tuple[float, float]] = {}
        self._notes: dict[str, str] = {}

    def same(self, what: str, mine: Any, theirs: Any, case: object = "") -> None:
        """Both must be equal."""
        self.holds(what, mine == theirs, f"{case}: {mine!r} is not {theirs!r}")

    def holds(self, what: str, agrees: bool, note: str = "") -> None:
        """`agrees` must be true."""
        self._count[what] = self._count.get(what, 0) + 1
        self._wrong[what] = self._wrong.get(what, 0) + (not agrees)
        if not agrees:
            self._notes.setdefault(what, note[:300])

    def near(self, what: str, error: float, tolerance: float) -> None:
        """`error` must not pass `tolerance`; the worst is shown."""
        worst, _ = self._worst.get(what, (0.0, tolerance))
        self._count[what] = self._count.get(what, 0) + 1
        self._worst[what] = (error if math.isnan(error) else max(worst, error), tolerance)

    def outcomes(self, name: str) -> Iterator[Outcome]:
        """One outcome a kind."""
        for what, count in self._count.items():
            label = f"{name} {what} ({count})"
            if what in self._worst:
                yield Outcome(label, *self._worst[what])
            else:
                yield Outcome(label, float(self._wrong[what]), 0.0, self._notes.get(what, ""))
