"""Has the devices looked at, by a short-lived process: the daemon itself never imports torch."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lofi.daemon import durable
from lofi.daemon.launch import worker_environment

logger = logging.getLogger(__name__)

LIMIT_SEC = 120.0
FRESH_SEC = 86400.0
"""A driver may change without torch changing; a day is soon enough."""
LOOK_EACH_SEC = 5.0
SETTLE_SEC = 0.5
"""The first client is answered before."""


class Probe:
    """Keeps `devices.json` true once there is a neural backend to use it.

    Args:
        path: of `devices.json`.
        is_wanted: returns whether any neural backend is installed.
        command: the argument list of the process that looks and answers with JSON.
    """

    def __init__(self, path: Path, is_wanted: Callable[[], bool], command: Sequence[str]) -> None:
        self._path = path
        self._is_wanted = is_wanted
        self._command = list(command)

    async def run(self) -> None:
        """Waits until devices matter, looks once, and again when that is out of date."""
        await asyncio.sleep(SETTLE_SEC)
        while True:
            if self._is_wanted() and _torch() is not None and not self.is_fresh():
                await self._look()
                # Whatever came of it, not again soon: three seconds of torch are not for nothing.
                await asyncio.sleep(FRESH_SEC)
            await asyncio.sleep(LOOK_EACH_SEC)

    def is_fresh(self) -> bool:
        """Returns whether the file was made with this torch, not long ago."""
        try:
            age_sec = time.time() - self._path.stat().st_mtime
        except OSError:
            return False
        return age_sec < FRESH_SEC and durable.read_json(self._path).get("torch") == _torch()

    async def _look(self) -> None:
        seen = await self._ask()
        if seen is not None:
            await asyncio.to_thread(self._keep, seen)

    async def _ask(self) -> dict[str, Any] | None:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=worker_environment(os.environ),
        )
        try:
            async with asyncio.timeout(LIMIT_SEC):
                answer, _ = await process.communicate()
            value = json.loads(answer)
        except (TimeoutError, ValueError) as error:
            logger.warning("the devices could not be looked at: %s", error or "no answer")
            return None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return value if isinstance(value, dict) else None

    def _keep(self, seen: dict[str, Any]) -> None:
        durable.make_folder(self._path.parent)
        durable.write_json(self._path, seen)


def _torch() -> str | None:
    from importlib import metadata  # slow to read, seldom needed

    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return None
