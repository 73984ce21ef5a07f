"""Finds copies of published files that are on this machine already. Reads only."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from lofi.hub import Published

OFFICIAL = Path(".cache") / "ace-step" / "checkpoints"
"""Where the official ACE-Step programs keep theirs, below the home folder."""


def copies(
    models: Path, component: Published, name: str, commit: str, environment: Mapping[str, str]
) -> Iterator[Path]:
    """Yields paths where the file may lie whole; sizes and digests are for the caller to check."""
    yield models / component.name / name  # of a component that lacks another file
    inside = Path(component.folder) / name
    repository = "models--" + component.repository.replace("/", "--")
    yield hub_cache(environment) / repository / "snapshots" / commit / inside
    home = Path(environment.get("HOME") or Path.home())
    yield home / OFFICIAL / component.name / name
    yield home / OFFICIAL / inside


def hub_cache(environment: Mapping[str, str]) -> Path:
    """Returns the Hugging Face cache this user has."""
    if environment.get("HF_HUB_CACHE"):
        return Path(environment["HF_HUB_CACHE"])
    home = Path(environment.get("HOME") or Path.home())
    cache = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    return Path(environment.get("HF_HOME") or cache / "huggingface") / "hub"


def link(copy: Path, target: Path) -> None:
    """Makes `target` the same file as `copy`: a hard link, else a symbolic one."""
    target.unlink(missing_ok=True)
    whole = copy.resolve()
    try:
        os.link(whole, target)
    except OSError:  # another file system
        target.symlink_to(whole)
