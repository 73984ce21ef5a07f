"""A folder in place of the model hub: what it holds of a component."""

from __future__ import annotations

import fnmatch
from pathlib import Path

from lofi import checkpoints
from lofi.checkpoints import RECORD
from lofi.download.hub_client import Listing, Remote
from lofi.errors import ModelDownloadFailed
from lofi.hub import Published


def listing(source: Path, component: Published) -> Listing:
    """Returns the component's files in `source`, or in its subfolder of the component's name.

    Only files that a component has are taken: no code, nothing pickled. A folder that setup made
    elsewhere brings its record along, and with it what is known of the files.

    Raises:
        ModelDownloadFailed: the component or a file of it is not there.
    """
    folder = source / component.name
    if not folder.is_dir() and (source / "config.json").is_file():
        folder = source  # as other programs download one repository
    if not folder.is_dir():
        raise ModelDownloadFailed(
            f"{folder} does not exist", hint="source must hold a folder for each component."
        )
    wanted = [file.name for file in component.files] + [*component.patterns, RECORD]
    files = [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and any(fnmatch.fnmatch(path.name, name) for name in wanted)
    ]
    there = {path.name for path in files}
    for file in component.files:
        if not fnmatch.filter(there, file.name):
            raise ModelDownloadFailed(
                f"{folder} has no {file.name}",
                hint="Copy the whole published component, then run setup again.",
            )
    noted = checkpoints.record(folder).get("files")
    known = noted if isinstance(noted, dict) else {}
    return Listing("", tuple(_remote(path, known.get(path.name)) for path in files))


def _remote(path: Path, known: object) -> Remote:
    facts = known if isinstance(known, dict) else {}
    size_bytes = facts.get("bytes") or path.stat().st_size
    return Remote(path.name, str(path), int(size_bytes), facts.get("sha256"))
