"""How far a running job is, in time: percent, step and the seconds that remain. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PERCENT_LIMIT = 99
"""100 is what `generation_complete` says."""
STEPPED_PHASES = ("diffusion", "tokens")
OVERDUE_SHARE = 0.1
"""Of the time it has taken, what a phase that is overdue is thought to need still."""
GUESSED_SHARE = 1.0
"""Of the whole job's time, where the expectation was only a guess: half way, until steps tell."""
FIRST_GUESS_SEC = 5.0
"""For a phase of which nothing at all is known."""


class Progress:
    """A job's way through its phases.

    Percent is elapsed time over elapsed and remaining time, so it grows with the clock; it never
    falls, whatever the estimate does.

    Args:
        expected_sec: seconds per phase, in order; empty if nothing is known.
        now: seconds on the clock.
        is_guess: nothing like this was ever measured here.
    """

    def __init__(
        self, expected_sec: Mapping[str, float], now: float, *, is_guess: bool = False
    ) -> None:
        self._is_guess = is_guess
        self.phase = "loading"
        self.step = 0
        self.total_steps = 0
        self.percent = 0
        self.spent_sec: dict[str, float] = {}
        self._expected = dict(expected_sec)
        self._started = now
        self._phase_started = now
        self._done = 0
        self._total = 0
        self._first_done: tuple[int, float] | None = None
        self._last_done_at = now
        self._is_expected = bool(expected_sec)

    def begin(self, phase: str, total: int, now: float) -> None:
        """A phase begins; `total` counts its steps, 0 when unknown."""
        if phase != self.phase:
            self._close(now)
            self.phase = phase
        self._done, self._total, self._first_done = 0, total, None
        if phase in STEPPED_PHASES and total > self.total_steps:
            self.total_steps = total

    def advance(self, done: int, total: int, now: float) -> None:
        """`done` of the phase's `total` steps are finished; total 0: as the phase said."""
        if self._first_done is None and done > 0:
            self._first_done = (done, now)
        if done > self._done:
            self._last_done_at = now
        known = total or self._total
        self._done, self._total = max(done, self._done), max(known, done) if known else 0
        if self.phase in STEPPED_PHASES:
            self.total_steps = max(self.total_steps, total)
            self.step = min(max(self.step, done), self.total_steps)

    def expect(self, expected_sec: Mapping[str, float]) -> None:
        """Something new is known about the job: its phases will take this long."""
        self._expected = dict(expected_sec)
        self._is_expected = bool(expected_sec)

    @property
    def counts(self) -> tuple[int, int]:
        """Steps of the current phase that are done, and all of them, 0 when unknown."""
        return self._done, self._total

    def finish(self, now: float) -> dict[str, float]:
        """Returns the seconds each phase took."""
        self._close(now)
        return dict(self.spent_sec)

    def remaining_sec(self, now: float) -> float:
        """Returns the estimated seconds to the end."""
        order = list(self._expected)
        later = order[order.index(self.phase) + 1 :] if self.phase in order else []
        if self.phase not in order:
            later = [name for name in order if name not in self.spent_sec]
        return self._rest_of_phase(now) + sum(self._expected[name] for name in later)

    def overdue_factor(self, now: float) -> float:
        """Returns how many times its expected time the phase has taken; 0 if none is known."""
        expected = self._expected.get(self.phase, 0.0)
        return (now - self._phase_started) / expected if expected > 0 else 0.0

    def phase_sec(self, now: float) -> float:
        return now - self._phase_started

    def to_wire(self, now: float) -> dict[str, Any]:
        """Returns the members of `generation_progress` but the track's id."""
        elapsed, remaining = now - self._started, self.remaining_sec(now)
        share = elapsed / (elapsed + remaining) if elapsed + remaining > 0 else 0.0
        self.percent = min(PERCENT_LIMIT, max(self.percent, int(100 * share)))
        return {
            "percent": self.percent,
            "step": self.step,
            "total_steps": self.total_steps,
            "eta_sec": round(remaining, 1),
            "phase": self.phase,
        }

    def _close(self, now: float) -> None:
        spent = now - self._phase_started
        self.spent_sec[self.phase] = self.spent_sec.get(self.phase, 0.0) + spent
        self._phase_started = now

    def _rest_of_phase(self, now: float) -> float:
        spent = now - self._phase_started
        expected = self._expected.get(self.phase)
        if self._first_done is not None and self._total > 0:
            first, at = self._first_done
            if self._done > first:
                # From the second step on: the first one warms caches up.
                rate = (self._last_done_at - at) / (self._done - first)
                return max(0.0, (self._total - self._done) * rate - (now - self._last_done_at))
            if expected is None:
                return (self._total - self._done) * spent / max(self._done, 1)
        if expected is None:
            return self._overdue_sec(now) if self._is_expected else FIRST_GUESS_SEC
        return max(expected - spent, self._overdue_sec(now))

    def _overdue_sec(self, now: float) -> float:
        """Returns what a phase that ought to be over is thought to need still."""
        if self._is_guess:
            return GUESSED_SHARE * (now - self._started)
        return OVERDUE_SHARE * (now - self._phase_started)
