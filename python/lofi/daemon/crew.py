"""What one job needs of the lane that renders it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from lofi.daemon.jobs import Job
from lofi.daemon.timings import Work
from lofi.daemon.worker_process import WorkerProcess


class Crew(Protocol):
    """The lane, as far as a rendering needs it."""

    @property
    def worker(self) -> WorkerProcess: ...

    async def ensure_worker(self) -> None: ...

    def work(self, job: Job) -> Work: ...

    def note_loading(self, backend: str, *, is_loading: bool) -> None: ...

    def note_loaded(self, backend: str) -> None: ...

    def rendered(self, backend: str, sounding: Mapping[str, Any]) -> None: ...

    def forget_models(self) -> None: ...
