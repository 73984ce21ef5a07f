"""A component on its way: partial files, checks, and the one rename that makes it visible."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from lofi.checkpoints import RECORD, read_header
from lofi.download.hub_client import Listing, Remote
from lofi.errors import ModelDownloadFailed
from lofi.hub import File, Published

FOLDER = ".staging"
CHUNK_BYTES = 4 * 1024 * 1024


class Staging:
    """The staging folder of one component, on the file system of the models folder."""

    def __init__(self, models: Path, component: Published) -> None:
        self._component = component
        self._target = models / component.name
        self.folder = models / FOLDER / component.name
        self.restore()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def partial(self, name: str) -> Path:
        """Returns where an unfinished file grows; it stays there across restarts."""
        return self.folder / f"{name}.part"

    def file(self, name: str) -> Path:
        return self.folder / name

    def size_of(self, name: str) -> int:
        """Returns how many bytes of the file are here."""
        for path in (self.file(name), self.partial(name)):
            with contextlib.suppress(FileNotFoundError):  # it is being renamed or placed
                return path.stat().st_size
        return 0

    def begin(self, remote: Remote, commit: str) -> None:
        """Throws a partial file away that belongs to other content."""
        note = self.folder / f"{remote.name}.of"
        mark = f"{commit} {remote.sha256} {remote.size_bytes}"
        if not note.exists() or note.read_text(encoding="utf-8") != mark:
            self.partial(remote.name).unlink(missing_ok=True)
            self.file(remote.name).unlink(missing_ok=True)
            note.write_text(mark, encoding="utf-8")

    def finish(self, remote: Remote, check: Callable[[], None]) -> None:
        """Checks the partial file and gives it its name.

        Raises:
            ModelDownloadFailed: wrong size or digest; the bytes are thrown away.
        """
        partial = self.partial(remote.name)
        try:
            verify(partial, remote, self._published(remote.name), check)
        except ModelDownloadFailed:
            partial.unlink(missing_ok=True)
            raise
        partial.replace(self.file(remote.name))

    def _published(self, name: str) -> File | None:
        return next((file for file in self._component.files if file.name == name), None)

    def place(self, listing: Listing) -> None:
        """Makes the component visible, whole. Killed anywhere in between, nothing is lost."""
        if RECORD not in {remote.name for remote in listing.files}:
            self._record(listing)
        for path in self.folder.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        old = self._old()
        shutil.rmtree(old, ignore_errors=True)
        if self._target.exists():
            self._target.rename(old)
        self.folder.rename(self._target)
        shutil.rmtree(old, ignore_errors=True)
        for rest in (*self._target.glob("*.of"), *self._target.glob("*.part")):
            rest.unlink()

    def _old(self) -> Path:
        return self.folder.with_name(f"{self._target.name}.old")

    def restore(self) -> None:
        """Puts the old component back if its replacement never arrived."""
        if self._old().is_dir() and not self._target.exists():
            self._old().rename(self._target)

    def _record(self, listing: Listing) -> None:
        """Notes what was brought: pinned, the tracks carry the published model's name."""
        record = {
            "repository": self._component.repository,
            "revision": listing.commit or None,
            "pinned": bool(listing.commit) and self._component.is_pinned,
            "files": {
                remote.name: {"bytes": remote.size_bytes, "sha256": remote.sha256}
                for remote in listing.files
            },
        }
        note = self.file(RECORD)
        note.unlink(missing_ok=True)  # it may be a link to one of a folder of the user's
        note.write_text(json.dumps(record, indent=1), encoding="utf-8")


def verify(path: Path, remote: Remote, published: File | None, check: Callable[[], None]) -> None:
    """Checks size, digest and, of weights, the header.

    Raises:
        ModelDownloadFailed: something does not agree; nothing of the file may be used.
    """
    size = path.stat().st_size
    if size != remote.size_bytes:
        raise ModelDownloadFailed(
            f"{remote.name} has {size} bytes instead of {remote.size_bytes}", transient=True
        )
    wanted = {remote.sha256, published.sha256 if published else None} - {None}
    if wanted and {sha256(path, check)} != wanted:
        raise ModelDownloadFailed(
            f"{remote.name} does not have its published checksum",
            hint="It was thrown away. Run setup again; if it stays so, the mirror is not to be "
            "trusted.",
        )
    if remote.name.endswith(".safetensors"):
        try:
            read_header(path)
        except ValueError as error:
            raise ModelDownloadFailed(str(error)) from error


def sha256(path: Path, check: Callable[[], None]) -> str:
    """Returns the file's digest in hex."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            check()
            total.update(chunk)
    return total.hexdigest()
