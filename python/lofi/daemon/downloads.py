"""Downloads: asked for, agreed to, watched, cancelled. The fetching is a process of its own each.

Nothing else in this program reaches for the network, and this does only after a yes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lofi import catalog, hub
from lofi.catalog import Backend, Variant
from lofi.checkpoints import PINNED
from lofi.daemon import verification
from lofi.daemon.events import Events
from lofi.daemon.inventory import Inventory
from lofi.daemon.peer import Reply, Spawn
from lofi.daemon.worker_process import worker_environment
from lofi.errors import (
    DownloadConsentRequired,
    InsufficientDisk,
    InternalError,
    InvalidParams,
    LofiError,
    ModelDownloadFailed,
    NotCancellable,
    Offline,
    error_for,
)
from lofi.hub import LYRIC_VOCABULARY, Order
from lofi.paths import Paths
from lofi.settings import Settings
from lofi.wire import frames
from lofi.wire.methods import DownloadBackend, DownloadCancel

logger = logging.getLogger(__name__)

STAGING = ".staging"
READ_BYTES = 65536
STOP_LIMIT_SEC = 0.5
SPEED_WINDOW_SEC = 5.0
SPARE_BYTES = 256 * 1024 * 1024


@dataclass(slots=True)
class _Download:
    """One running download."""

    id: str
    backend: Backend
    order: Order
    path: Path
    source: str
    process: asyncio.subprocess.Process | None = None
    last: dict[str, Any] = field(default_factory=dict)
    is_cancelled: bool = False
    reason: str = "user"
    started: float = field(default_factory=time.monotonic)
    seen: list[tuple[float, int]] = field(default_factory=list)


class Downloads:
    """At most one download a backend; a second request for it joins the first."""

    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        inventory: Inventory,
        events: Events,
        spawn: Spawn,
        changed: Callable[[Backend], None],
    ) -> None:
        self._paths = paths
        self._settings = settings
        self._inventory = inventory
        self._events = events
        self._spawn = spawn
        self._changed = changed
        self._running: dict[str, _Download] = {}
        self._idle = asyncio.Event()
        self._count = 0

    def is_downloading(self, backend: Backend) -> bool:
        return backend.type in self._running

    def start(self, params: DownloadBackend) -> Reply:
        """Starts or joins a download.

        Raises:
            DownloadConsentRequired: nobody has said yes; its data says to what.
            Offline: the user forbids downloads.
            InsufficientDisk: there is no room.
        """
        backend, variant, order = self._order(params)
        path = self._paths.models(backend.type)
        running = self._running.get(backend.type)
        if running is not None:
            return Reply(self._answer(running, started=False))
        missing = self._missing(backend, order, path)
        facts = {
            "bytes_total": missing.size_bytes,
            "files_total": sum(len(item.files) for item in missing.components),
            "license": order.license,
            "source": params.source or self._endpoint(),
            "path": str(path),
        }
        if not missing.components:
            answer = {"download_id": None, "started": False, "already_installed": True}
            return Reply({**answer, "backend": backend.type, **facts})
        self._may(params, backend, variant, facts)
        self._count += 1
        download = _Download(f"d{self._count}", backend, missing, path, params.source or "")
        download.last = _nothing_yet(missing)
        self._running[backend.type] = download
        return Reply(
            self._answer(download, started=True),
            after=lambda: self._spawn(self._run(download)),
        )

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

    def verify(self, backend: Backend, variant: Variant, *, deep: bool) -> list[dict[str, Any]]:
        """Returns every file with what is wrong with it; slow when `deep`. Touches disk only."""
        return verification.verify(
            self._paths.models(backend.type), hub.order(backend, variant), deep=deep
        )

    def remove(self, backend: Backend, variant: Variant) -> int:
        """Deletes what setup brought and only this variant needs; returns the freed bytes.

        Raises:
            InvalidParams: the files are somebody's own.
        """
        models = self._paths.models(backend.type)
        shared = {
            name
            for other in backend.variants
            if other.name != variant.name and self._inventory.checkpoint(backend, other)
            for name in other.components
        }
        names = [item.name for item in hub.order(backend, variant).components]
        folders = [models / name for name in names if name not in shared]
        for folder in folders:
            if folder.is_dir() and not is_ours(folder):
                raise InvalidParams(
                    f"{folder} was not brought by setup, so it is not deleted",
                    hint="Delete it yourself if you do not need it any more.",
                    param="backend",
                )
        staging = [models / STAGING / folder.name for folder in folders]
        return sum(_delete(folder) for folder in (*folders, *staging))

    def _order(self, params: DownloadBackend) -> tuple[Backend, Variant, Order]:
        backend = catalog.backend_named(params.backend)
        if backend.is_light:
            raise InvalidParams(f"{backend.name} has nothing to download", param="backend")
        variant = backend.variant(params.variant or self._inventory.default_variant(backend))
        lm_size = params.lm_model if params.lm_model not in (None, "none") else None
        if lm_size is not None and (
            backend.type != "ace_step_15" or lm_size not in catalog.LM_SIZES
        ):
            raise InvalidParams(
                f"lm_model must be one of {', '.join(catalog.LM_SIZES)}, got {lm_size!r}",
                param="lm_model",
            )
        order = hub.order(backend, variant, lm_size)
        if params.components:
            known = {item.name: item for item in order.components}
            for name in params.components:
                if name not in known:
                    raise InvalidParams(
                        f"{backend.type} has no component {name!r}",
                        hint="Components: " + ", ".join(known),
                        param="components",
                    )
            order = Order(
                backend.type, variant.name, tuple(known[name] for name in params.components)
            )
        if params.source and not Path(params.source).is_dir():
            raise InvalidParams(
                f"source {params.source} is no folder",
                hint="Leave it out for the model hub, or name a folder with the components.",
                param="source",
            )
        return backend, variant, order

    def _missing(self, backend: Backend, order: Order, path: Path) -> Order:
        missing = []
        for item in order.components:
            if item.name == LYRIC_VOCABULARY:
                here = all((path / item.name / file.name).is_file() for file in item.files)
            else:
                here = self._inventory.component(backend, item.name).status == "present"
            if not here:
                missing.append(item)
        return Order(order.backend, order.variant, tuple(missing))

    def _may(
        self, params: DownloadBackend, backend: Backend, variant: Variant, facts: dict[str, Any]
    ) -> None:
        """Asks for leave, then for room."""
        mode = self._settings.value("model.auto_download")
        if not params.source and mode == "never":
            raise Offline(
                "Downloads are switched off",
                hint="Set model.auto_download to ask (or unset LOFI_OFFLINE), "
                "or give a folder as source.",
            )
        free = shutil.disk_usage(_existing(Path(facts["path"]))).free
        if not params.consent and mode != "always":
            size = facts["bytes_total"] / 1e9
            raise DownloadConsentRequired(
                f"{backend.name} {variant.name} is {size:.1f} GB, licence: {facts['license']}",
                hint="Say yes to download it: consent = true.",
                free_bytes=free,
                **facts,
            )
        if not params.source and facts["bytes_total"] + SPARE_BYTES > free:
            raise InsufficientDisk(
                f"{facts['bytes_total'] / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free",
                needed_bytes=facts["bytes_total"],
                free_bytes=free,
                path=facts["path"],
            )

    def _endpoint(self) -> str:
        return os.environ.get("HF_ENDPOINT") or "huggingface"

    def _answer(self, download: _Download, *, started: bool) -> dict[str, Any]:
        return {
            "download_id": download.id,
            "started": started,
            "already_installed": False,
            "backend": download.backend.type,
            "bytes_total": download.order.size_bytes,
            "files_total": sum(len(item.files) for item in download.order.components),
            "license": download.order.license,
            "path": str(download.path),
        }

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
            facts = {"path": str(download.path), "bytes_total": total, "seconds": seconds}
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
            str(download.path),
            [asdict(item) for item in download.order.components],
            download.source,
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


def is_ours(folder: Path) -> bool:
    """Returns whether setup brought the component."""
    return (folder / PINNED).is_file() or folder.name == LYRIC_VOCABULARY


def _delete(folder: Path) -> int:
    """Deletes a folder, or a link to one, and returns the bytes that were in it."""
    if folder.is_symlink():
        folder.unlink()
        return 0
    if not folder.is_dir():
        return 0
    size = sum(item.lstat().st_size for item in folder.iterdir())
    shutil.rmtree(folder)
    return size


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


def _existing(path: Path) -> Path:
    """The nearest folder above that exists: its disk is the one that will be filled."""
    while not path.exists():
        path = path.parent
    return path
