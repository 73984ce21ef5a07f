"""How fast this machine is, measured by a short-lived process, before any model is here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lofi.daemon import durable
from lofi.daemon.launch import worker_environment
from lofi.errors import LofiError

logger = logging.getLogger(__name__)

LIMIT_SEC = 20.0


@dataclass(frozen=True, slots=True)
class Speed:
    """Of the processor, in float32."""

    gflops: float
    gbps: float
    """Gigabytes a second of weights read by products with one vector."""


class Machine:
    """Knows the speed once somebody has asked for it.

    A busy machine measures too little, so each daemon measures anew and the best is kept.

    Args:
        path: of `speed.json`.
        command: the argument list of the process that measures and answers with JSON.
        on_change: called when a measure has changed what is known.
    """

    def __init__(
        self, path: Path, command: Sequence[str], on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._path = path
        self._command = list(command)
        self._on_change = on_change
        kept = durable.read_json(path)
        self._speed = _speed(kept) if kept.get("machine") == _here() else None
        self.has_measured = False
        self._measuring = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._is_closed = False

    @property
    def speed(self) -> Speed | None:
        """What was measured; None until then."""
        return self._speed

    async def measured(self) -> Speed | None:
        """Returns the speed after a look at it: half a second, once a daemon.

        None when it cannot be measured.
        """
        async with self._measuring:
            if not self.has_measured:
                self.has_measured = True
                seen = _speed(await self._ask())
                if seen is not None:
                    before = self._speed
                    best = before or seen
                    self._speed = Speed(max(seen.gflops, best.gflops), max(seen.gbps, best.gbps))
                    if self._speed != before:
                        self._on_change()
                    await asyncio.to_thread(self._keep, self._speed)
        return self._speed

    def close(self) -> None:
        """Ends a measure under way: no process outlives its daemon."""
        self._is_closed = True
        self._kill()

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _ask(self) -> Mapping[str, object]:
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=worker_environment(os.environ),
            )
            if self._is_closed:  # while the process was being made
                return {}
            async with asyncio.timeout(LIMIT_SEC):
                answer, _ = await self._process.communicate()
            value = json.loads(answer)
        except (OSError, ValueError) as error:
            logger.warning("the speed could not be measured: %s", error or "no answer")
            return {}
        finally:
            self._kill()
            if self._process is not None:
                await self._process.wait()
        return value if isinstance(value, dict) else {}

    def _keep(self, speed: Speed) -> None:
        try:
            durable.make_folder(self._path.parent)
            durable.write_json(self._path, {**asdict(speed), "machine": _here()})
        except LofiError as error:  # the next daemon measures again
            logger.warning("%s", error)


def _here() -> str:
    """What the figures hold for: a home folder may be shared between machines."""
    import platform  # slow to read, seldom needed

    return f"{platform.node()} {platform.machine()} {os.cpu_count()} cores"


def _speed(found: Mapping[str, object]) -> Speed | None:
    gflops, gbps = found.get("gflops"), found.get("gbps")
    if not isinstance(gflops, (int, float)) or not isinstance(gbps, (int, float)):
        return None
    return Speed(float(gflops), float(gbps)) if gflops > 0 and gbps > 0 else None
