"""Takes a model off the machine: what setup brought, and nothing of anybody's own."""

from __future__ import annotations

import shutil
from pathlib import Path

from lofi import hub
from lofi.catalog import Backend, Variant
from lofi.checkpoints import RECORD
from lofi.daemon.inventory import STAGING, Inventory
from lofi.errors import InvalidParams
from lofi.hub import LYRIC_VOCABULARY


def remove(inventory: Inventory, models: Path, backend: Backend, variant: Variant) -> int:
    """Deletes what only this variant needs, half-fetched files included; returns the freed bytes.

    With the last variant of ACE-Step 1.5 the planners that setup brought go too: alone they are of
    no use.

    Raises:
        InvalidParams: the model's files are somebody's own.
    """
    others = [
        other
        for other in backend.variants
        if other.name != variant.name and inventory.checkpoint(backend, other)
    ]
    kept = {name for other in others for name in other.components}
    names = [item.name for item in hub.order(backend, variant).components]
    if not others:
        planners = [models / item.name for item in hub.planners(backend)]
        names += [folder.name for folder in planners if _is_ours(folder) or not folder.is_dir()]
    folders = [models / name for name in names if name not in kept]
    for folder in folders:
        if folder.is_dir() and not _is_ours(folder):
            raise InvalidParams(
                f"{folder} was not brought by setup, so it is not deleted",
                hint="Delete it yourself if you do not need it any more.",
                param="backend",
            )
    staging = [models / STAGING / folder.name for folder in folders]
    return sum(_delete(folder) for folder in (*folders, *staging))


def _is_ours(folder: Path) -> bool:
    return (folder / RECORD).is_file() or folder.name == LYRIC_VOCABULARY


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
