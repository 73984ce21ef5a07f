"""Files that are never seen half-written, and locks that a crash releases."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lofi.errors import Busy, CacheWriteError
from lofi.wire.jsonrpc import loads

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

FILE_MODE = 0o600
FOLDER_MODE = 0o700
LOCK_POLL_SEC = 0.02


def make_folder(folder: Path) -> None:
    """Makes the folder and those above it, for the user alone.

    Raises:
        CacheWriteError: it cannot be made.
    """
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error


def unfinished_name(folder: Path, stem: str, suffix: str) -> Path:
    """Returns a name nobody else uses: `<stem>.<pid>.<random><suffix>`."""
    return folder / f"{stem}.{os.getpid()}.{secrets.token_hex(4)}{suffix}"


def install(unfinished: Path, final: Path) -> None:
    """Brings a written file to disk and gives it its name, in one step for every reader.

    Raises:
        CacheWriteError: the disk refused.
    """
    try:
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.chmod(FILE_MODE)
        unfinished.replace(final)
        sync_folder(final.parent)
    except OSError as error:
        raise write_error(final, error) from error


def write_json(path: Path, value: Mapping[str, Any], unfinished_folder: Path | None = None) -> None:
    """Replaces the file at `path` by `value` as JSON, atomically.

    Raises:
        CacheWriteError: the disk refused.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1)
    write_text(path, text, unfinished_folder)


def write_text(path: Path, text: str, unfinished_folder: Path | None = None) -> None:
    """Replaces the file at `path` by `text`, atomically.

    Raises:
        CacheWriteError: the disk refused.
    """
    folder = unfinished_folder or path.parent
    temporary = unfinished_name(folder, path.stem, ".tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8", "surrogatepass"))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise write_error(path, error) from error


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object in a file; an empty one if there is none or it cannot be read."""
    try:
        value = loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def sync_folder(folder: Path) -> None:
    """Brings a renaming to disk."""
    if sys.platform == "win32":
        return  # folders cannot be opened there
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Returns whether the lock of an open file could be taken without waiting."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_alive(pid: int) -> bool:
    """Returns whether a process of this number runs: its files and locks are its own."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def write_error(path: Path, error: OSError) -> CacheWriteError:
    """Returns what a person can make of a disk's refusal."""
    return CacheWriteError(
        f"{path} cannot be written: {error.strerror or error}",
        path=str(path),
        errno=error.errno,
    )


class FileLock:
    """An operating-system lock on a file: the system releases it when its holder ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def try_lock(self) -> bool:
        """Takes the lock if nobody has it."""
        make_folder(self._path.parent)
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, FILE_MODE)
            if not _lock(descriptor):
                os.close(descriptor)
                return False
            if self._is_still_named(descriptor):
                self._descriptor = descriptor
                return True
            os.close(descriptor)  # its last holder removed the file just now

    def release(self, *, remove: bool = False) -> None:
        """Gives the lock back; `remove` tidies the file away first."""
        if self._descriptor is not None:
            if remove:
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def _is_still_named(self, descriptor: int) -> bool:
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(descriptor))


@contextmanager
def locked(path: Path, limit_sec: float) -> Iterator[None]:
    """Holds the lock of `path`, waiting up to `limit_sec` for it. For threads, not for the loop.

    Raises:
        Busy: another process kept it longer.
    """
    lock = FileLock(path)
    end = time.monotonic() + limit_sec
    while not lock.try_lock():
        if time.monotonic() > end:
            raise Busy(f"Another daemon is tidying the cache and holds {path}")
        time.sleep(LOCK_POLL_SEC)
    try:
        yield
    finally:
        lock.release()
