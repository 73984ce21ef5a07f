"""Downloads: asked for, agreed to, watched, cancelled. The fetching is a process of its own each.

Nothing else in this program reaches for the network, and this does only after a yes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn

from lofi import catalog
from lofi.catalog import Backend
from lofi.daemon.events import Events
from lofi.daemon.launch import worker_environment
from lofi.daemon.offer import Offer, Offers
from lofi.daemon.peer import Reply, Spawn
from lofi.errors import InternalError, LofiError, ModelDownloadFailed, NotCancellable, error_for
from lofi.hub import Order
from lofi.wire import frames
from lofi.wire.calls import DownloadBackend, DownloadCancel

logger = logging.getLogger(__name__)

READ_BYTES = 65536
STOP_LIMIT_SEC = 0.5
SPEED_WINDOW_SEC = 5.0


@dataclass(slots=True)
class _Download:
    """One running download."""

    id: str
    offer: Offer
    process: asyncio.subprocess.Process | None = None
    last: dict[str, Any] = field(default_factory=dict)
    is_cancelled: bool = False
    reason: str = "user"
    started: float = field(default_factory=time.monotonic)
    seen: list[tuple[float, int]] = field(default_factory=list)

    @property
    def backend(self) -> Backend:
        return self.offer.backend

    def answer(self, *, started: bool) -> dict[str, Any]:
        """Returns what `download_backend` answers."""
        facts = self.offer.facts
        return {
            "download_id": self.id,
            "started": started,
            "already_installed": False,
            "backend": self.backend.type,
            **{name: facts[name] for name in ("bytes_total", "files_total", "license", "path")},
        }


class Downloads:
    """At most one download a backend; a second request for it joins the first."""

    def __init__(
        self,
        offers: Offers,
        events: Events,
        spawn: Spawn,
        changed: Callable[[Backend], None],
    ) -> None:
        self._offers = offers
        self._events = events
        self._spawn = spawn
        self._changed = changed
        self._running: dict[str, _Download] = {}
        self._idle = asyncio.Event()
        self._count = 0

    def is_downloading(self, backend: Backend) -> bool:
        return backend.type in self._running

    def start(self, params: DownloadBackend) -> Reply | Coroutine[Any, Any, NoReturn]:
        """Starts or joins a download; a coroutine where a person must be asked, with what it costs.

        Raises:
            DownloadConsentRequired: nobody has said yes; its data says to what.
            Offline: the user forbids downloads.
            InsufficientDisk: there is no room.
        """
        offer = self._offers.make(params)
        running = self._running.get(offer.backend.type)
        if running is not None:
            return Reply(running.answer(started=False))
        if not offer.order.components:
            answer = {"download_id": None, "started": False, "already_installed": True}
            return Reply({**answer, "backend": offer.backend.type, **offer.facts})
        if not self._offers.is_agreed(offer, consent=params.consent):
            return self._offers.ask(offer)
        self._offers.check_room(offer)
        self._count += 1
        download = _Download(f"d{self._count}", offer)
        download.last = _nothing_yet(offer.order)
        self._running[offer.backend.type] = download
        return Reply(download.answer(started=True), after=lambda: self._spawn(self._run(download)))

    def cancel(self, params: DownloadCancel) -> Reply:
        """Stops a download; what it has is kept.

        Raises:
            NotCancellable: no such download runs.
        """
        kind = catalog.backend_named(params.backend).type if params.backend else None
        wanted = [
            download
            for download in self._running.values()
            if params.download_id in (None, download.id) and kind in (None, download.backend.type)
        ]
        if wanted:
            return Reply({"cancelled": True}, after=lambda: self._stop(wanted[0], "user"))
        raise NotCancellable("No such download is running", hint="download_status lists them.")

    def status(self) -> dict[str, Any]:
        return {"downloads": [self._progress(item) for item in self._running.values()]}

    async def close(self) -> None:
        """Ends every download; returns when each has had its ending."""
        for download in list(self._running.values()):
            self._stop(download, "shutdown")
        while self._running:
            self._idle.clear()
            await self._idle.wait()

    async def _run(self, download: _Download) -> None:
        """One download from its first byte to its one ending."""
        self._changed(download.backend)
        ending: dict[str, Any] | LofiError
        try:
            ending = await self._follow(download)
        except LofiError as error:
            ending = error
        except OSError as error:
            ending = ModelDownloadFailed(f"The download process did not start: {error}")
        except Exception as error:
            logger.exception("download %s failed", download.id)
            ending = InternalError(f"{type(error).__name__} while downloading")
        finally:
            # Whatever happened, the next request must not join a download that is over.
            del self._running[download.backend.type]
            self._idle.set()
        base = {"download_id": download.id, "backend": download.backend.type}
        if isinstance(ending, LofiError) and download.is_cancelled:
            done = int(download.last.get("bytes_downloaded", 0))
            self._events.emit(
                "download_cancelled",
                {**base, "bytes_downloaded": done, "reason": download.reason},
            )
        elif isinstance(ending, LofiError):
            wire = {"message": ending.message, "hint": ending.hint, "retryable": ending.retryable}
            self._events.emit("download_error", {**base, "code": ending.code, **wire})
        else:
            seconds = round(time.monotonic() - download.started, 1)
            total = ending["bytes_total"]
            facts = {"path": str(download.offer.path), "bytes_total": total, "seconds": seconds}
            self._events.emit("download_complete", {**base, **facts})
        self._changed(download.backend)

    async def _follow(self, download: _Download) -> dict[str, Any] | LofiError:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "lofi.download.process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=worker_environment(os.environ),
        )
        download.process = process
        assert process.stdin is not None and process.stdout is not None
        request = frames.Fetch(
            download.id,
            str(download.offer.path),
            [asdict(item) for item in download.offer.order.components],
            download.offer.source,
            is_anew=download.offer.is_anew,
        )
        if download.is_cancelled:
            process.stdin.close()
        else:
            process.stdin.write(frames.pack(request))
        reader = frames.FrameReader()
        ending: dict[str, Any] | LofiError | None = None
        try:
            while chunk := await process.stdout.read(READ_BYTES):
                for message in reader.feed(chunk):
                    if isinstance(message, frames.Fetched):
                        self._note(download, message)
                    elif isinstance(message, frames.Done):
                        ending = dict(message.value)
                    elif isinstance(message, frames.Failed):
                        ending = error_for(message.code, message.message, hint=message.hint)
        finally:
            await self._reap(process)
        if ending is None:
            return ModelDownloadFailed("The download process ended before its work was done")
        return ending

    async def _reap(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_LIMIT_SEC):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def _stop(self, download: _Download, reason: str) -> None:
        download.is_cancelled, download.reason = True, reason
        if download.process is not None and download.process.stdin is not None:
            download.process.stdin.close()

    def _note(self, download: _Download, message: frames.Fetched) -> None:
        now = time.monotonic()
        download.seen.append((now, message.bytes_downloaded))
        download.seen = [item for item in download.seen if now - item[0] <= SPEED_WINDOW_SEC]
        (first, before), (last, after) = download.seen[0], download.seen[-1]
        speed = (after - before) / (last - first) if last > first else 0.0
        left = message.bytes_total - message.bytes_downloaded
        fields = asdict(message)
        del fields["job_id"]
        download.last = {
            **fields,
            "overall_percent": 100 * message.bytes_downloaded // max(1, message.bytes_total),
            "speed_bps": round(speed),
            "eta_sec": round(left / speed, 1) if speed > 0 else None,
        }
        self._events.emit("download_progress", self._progress(download))

    def _progress(self, download: _Download) -> dict[str, Any]:
        return {"download_id": download.id, "backend": download.backend.type, **download.last}


def _nothing_yet(order: Order) -> dict[str, Any]:
    """The progress of a download before its first byte."""
    return {
        "component": order.components[0].name,
        "component_percent": 0,
        "bytes_downloaded": 0,
        "bytes_total": order.size_bytes,
        "file_name": "",
        "file_bytes_downloaded": 0,
        "file_bytes_total": 0,
        "files_completed": 0,
        "files_total": sum(len(item.files) for item in order.components),
        "overall_percent": 0,
        "speed_bps": 0,
        "eta_sec": None,
    }
