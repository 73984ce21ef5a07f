"""Files that nobody owns any more: how they are told from those still being written."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from lofi.daemon import durable

ORPHAN_AGE_SEC = 3600.0


def old_files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Returns the files with one of these endings that nobody has written to for an hour."""
    oldest = time.time() - ORPHAN_AGE_SEC
    return [
        path
        for path in folder.iterdir()
        if path.name.endswith(suffixes) and _mtime_sec(path) < oldest
    ]


def leftovers(folder: Path) -> list[Path]:
    """Returns unfinished files of processes that are gone: `<id>.<pid>.<random>…`."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if not _has_living_writer(path)]


def remove(paths: Iterable[Path]) -> tuple[int, int]:
    """Deletes what can be deleted; returns files and bytes."""
    files = freed = 0
    for path in paths:
        try:
            size = path.stat().st_size
            path.unlink()
        except OSError:
            continue
        files, freed = files + 1, freed + size
    return files, freed


def _mtime_sec(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()


def _has_living_writer(path: Path) -> bool:
    parts = path.name.split(".")
    pid = int(parts[1]) if len(parts) > 2 and parts[1].isdigit() else 0
    if pid == 0:
        return time.time() - _mtime_sec(path) < ORPHAN_AGE_SEC
    return durable.is_alive(pid)
