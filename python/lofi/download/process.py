"""The download process: one `Fetch` frame in, progress frames out, then one ending.

It ends when its stdin does. Whatever it had is kept, and the next one goes on from there.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from lofi import checkpoints
from lofi.download import existing, hub_client, source
from lofi.download.hub_client import Listing, Remote
from lofi.download.staging import Staging, verify
from lofi.errors import Busy, InsufficientDisk, InternalError, LofiError, ModelDownloadFailed
from lofi.hub import File, Published
from lofi.wire import frames

logger = logging.getLogger(__name__)

REPORT_SEC = 0.25
SPARE_BYTES = 256 * 1024 * 1024
READ_BYTES = 65536


def main() -> int:
    """Returns the exit status."""
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # no library's progress bar may reach the frames
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_XET"] = "1"  # plain HTTP resumes where it stopped
    fetch = _first_frame()
    if fetch is None:
        return 0
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        job = _Job(fetch, output)
        job.run()
        ending: frames.Message = frames.Done(fetch.job_id, {"bytes_total": job.bytes_total})
    except LofiError as error:
        data = {name: value for name, value in error.data.items() if name != "transient"}
        ending = frames.Failed(fetch.job_id, error.code, error.message, error.hint, data)
    except Exception as error:
        logger.exception("the download failed")
        internal = InternalError(f"{type(error).__name__}: {error}")
        ending = frames.Failed(fetch.job_id, internal.code, internal.message, internal.hint)
    output.write(frames.pack(ending))
    return 0


def _first_frame() -> frames.Fetch | None:
    reader = frames.FrameReader()
    while chunk := os.read(0, READ_BYTES):
        for message in reader.feed(chunk):
            if isinstance(message, frames.Fetch):
                return message
    return None


def _end_with_stdin() -> None:
    while os.read(0, READ_BYTES):
        pass
    os._exit(0)


class _Job:
    """All components of one download."""

    def __init__(self, fetch: frames.Fetch, output: BinaryIO) -> None:
        self._fetch = fetch
        self._output = output
        self._models = Path(fetch.models_path)
        self._components = [_published(fields) for fields in fetch.components]
        self._listings: list[Listing] = []
        self._done_bytes = 0
        self._done_files = 0
        self._current: tuple[Published, Remote, Staging] | None = None
        self.bytes_total = 0

    def run(self) -> None:
        self._models.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock()
        if not self._fetch.is_anew:
            self._components = [item for item in self._components if not self._is_whole(item)]
        listed = [self._list(component) for component in self._components]
        self._listings = listed
        self.bytes_total = sum(file.size_bytes for item in listed for file in item.files)
        self._check_space()
        with _Ticker(self._report):
            for component, listing in zip(self._components, listed, strict=True):
                self._bring(component, listing)
        self._current = None

    def _lock(self) -> None:
        """One download a models folder, whichever daemon asked; the system frees it when we end.

        Raises:
            Busy: another process is at it.
        """
        if sys.platform == "win32":
            return
        import fcntl

        self._lock_file = (self._models / ".download.lock").open("ab")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(
                f"Another download into {self._models} is running",
                hint="Wait for its end, then run setup again.",
            ) from error

    def _is_whole(self, component: Published) -> bool:
        if component.url is not None:
            return all((self._models / component.name / f.name).is_file() for f in component.files)
        return checkpoints.inspect(self._models, component.name).status == "present"

    def _list(self, component: Published) -> Listing:
        if not self._fetch.source_path:
            return hub_client.listing(component, self._fetch.retry_delay_sec)
        return source.listing(Path(self._fetch.source_path), component)

    def _check_space(self) -> None:
        have = sum(
            Staging(self._models, component).size_of(file.name)
            for component, listing in zip(self._components, self._listings, strict=True)
            for file in listing.files
        )
        needed = self.bytes_total - have + SPARE_BYTES
        free = shutil.disk_usage(self._models).free
        if needed > free and not self._fetch.source_path:
            raise InsufficientDisk(
                f"{needed / 1e9:.1f} GB are needed in {self._models}, {free / 1e9:.1f} GB are free",
                needed_bytes=needed,
                free_bytes=free,
                path=str(self._models),
            )

    def _bring(self, component: Published, listing: Listing) -> None:
        staging = Staging(self._models, component)
        for remote in listing.files:
            self._current = (component, remote, staging)
            staging.begin(remote, listing.commit)
            is_here = staging.file(remote.name).exists()
            if not is_here and not self._from_here(component, remote, listing.commit, staging):
                self._from_hub(remote, staging)
            self._done_bytes += remote.size_bytes
            self._done_files += 1
            self._current = None
        staging.place(listing)

    def _from_hub(self, remote: Remote, staging: Staging) -> None:
        hub_client.fetch(
            remote,
            staging.partial(remote.name),
            retry_delay_sec=self._fetch.retry_delay_sec,
            stall_sec=self._fetch.stall_sec,
        )
        staging.finish(remote, _nothing)

    def _from_here(
        self, component: Published, remote: Remote, commit: str, staging: Staging
    ) -> bool:
        """Links a whole copy that is on this machine already."""
        if self._fetch.source_path:
            existing.link(Path(remote.url), staging.partial(remote.name))
            staging.finish(remote, _nothing)
            return True
        published = next((file for file in component.files if file.name == remote.name), None)
        if remote.sha256 is None and (published is None or published.sha256 is None):
            return False  # any file of that length would pass for it
        for copy in existing.copies(self._models, component, remote.name, commit, os.environ):
            if not copy.is_file():
                continue
            try:
                verify(copy, remote, published, _nothing)
            except ModelDownloadFailed:
                continue
            existing.link(copy, staging.file(remote.name))
            return True
        return False

    def _report(self) -> None:
        current = self._current
        if current is None:
            return
        component, remote, staging = current
        here = min(staging.size_of(remote.name), remote.size_bytes)
        listing = self._listings[self._components.index(component)]
        whole = sum(file.size_bytes for file in listing.files)
        have = sum(min(staging.size_of(f.name), f.size_bytes) for f in listing.files)
        message = frames.Fetched(
            self._fetch.job_id,
            component.name,
            100 * have // max(1, whole),
            self._done_bytes + here,
            self.bytes_total,
            remote.name,
            here,
            remote.size_bytes,
            self._done_files,
            sum(len(item.files) for item in self._listings),
        )
        self._output.write(frames.pack(message))


class _Ticker:
    """Calls a function four times a second while a block runs, and once at its end."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._work()

    def _run(self) -> None:
        while not self._over.wait(REPORT_SEC):
            self._work()


def _published(fields: object) -> Published:
    assert isinstance(fields, dict)
    files = tuple(File(**file) for file in fields["files"])
    return Published(**{**fields, "files": files, "patterns": tuple(fields["patterns"])})


def _nothing() -> None:
    """Hashing here is not cancelled: the whole process is."""


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    sys.exit(main())
