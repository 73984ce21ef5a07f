"""What outlives a daemon: the requests of people that were not finished when it ended."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lofi.daemon import durable
from lofi.errors import LofiError

logger = logging.getLogger(__name__)


class Session:
    """`session.json`: written at the end, read at the start, its requests offered once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unfinished: list[dict[str, Any]] | None = None

    def offer(self) -> list[dict[str, Any]]:
        """Returns the requests the last daemon left, the first time; nothing from then on."""
        if self._unfinished is None:
            stored = durable.read_json(self._path).get("unfinished")
            items = stored if isinstance(stored, list) else []
            self._unfinished = [item for item in items if isinstance(item, dict)]
            if self._unfinished:
                self._write([])
        offered, self._unfinished = self._unfinished, []
        return offered

    def keep(self, requests: Sequence[Mapping[str, Any]]) -> None:
        """Stores requests for the next daemon, behind those that were never offered."""
        earlier = self._unfinished
        if earlier is None:
            earlier = durable.read_json(self._path).get("unfinished") or []
        everything = [*earlier, *(dict(request) for request in requests)]
        if everything or self._path.exists():
            self._write(everything)

    def _write(self, requests: list[dict[str, Any]]) -> None:
        try:
            durable.make_folder(self._path.parent)
            durable.write_json(self._path, {"unfinished": requests})
        except LofiError as error:
            logger.warning("%s", error)
