"""Tells the daemon what a backend does, and keeps the figures of each phase."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from lofi.wire.frames import FactsLearned, PhaseStarted, StepDone, Warned
from lofi.worker.backend import Event, Facts, Notice, Phase, Step
from lofi.worker.channel import Channel

STEP_INTERVAL_SEC = 0.05
"""The daemon passes ten a second on; a token every few milliseconds would drown it."""


class Report:
    """One job's events as frames; steps that follow too closely are left out."""

    def __init__(self, channel: Channel, job_id: str) -> None:
        self._channel = channel
        self.job_id = job_id
        self.facts: dict[str, Any] = {}
        self.devices: dict[str, Mapping[str, str | None]] = {}
        """Phase to the device and dtype it ran on."""
        self._spent: dict[str, float] = {}
        self._phase = ""
        self._since = time.monotonic()
        self._last_step = 0.0

    def tell(self, event: Event) -> None:
        """Sends one event; sound and answers are not its business."""
        if isinstance(event, Phase):
            self._begin(event.name)
            if event.device is not None or event.dtype is not None:
                self.devices[event.name] = {"device": event.device, "dtype": event.dtype}
            self._channel.send(
                PhaseStarted(self.job_id, event.name, event.total, event.device, event.dtype)
            )
        elif isinstance(event, Step):
            now = time.monotonic()
            if 0 < event.total <= event.done or now - self._last_step >= STEP_INTERVAL_SEC:
                self._last_step = now
                self._channel.send(StepDone(self.job_id, event.done, event.total))
        elif isinstance(event, Notice):
            self._channel.send(Warned(self.job_id, event.code, event.message, event.param))
        elif isinstance(event, Facts):
            self.facts.update(event.values)
            self._channel.send(FactsLearned(self.job_id, event.values))

    def send(self, message: Any) -> None:
        """Sends a frame of the job that is no event."""
        self._channel.send(message)

    def timings(self) -> dict[str, float]:
        """Returns seconds spent in each phase, the current one included so far."""
        self._begin(self._phase)
        return {name: round(seconds, 4) for name, seconds in self._spent.items()}

    def _begin(self, phase: str) -> None:
        now = time.monotonic()
        if self._phase:
            self._spent[self._phase] = self._spent.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = phase, now
        self._last_step = 0.0
