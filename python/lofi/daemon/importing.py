"""The sidecar of a file a person brought in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lofi
from lofi.daemon.clock import timestamp
from lofi.daemon.selection import IMPORTED
from lofi.daemon.sidecar import SCHEMA
from lofi.wire.calls import CacheImport

_MEASURED = ("frames", "duration_sec", "sample_rate", "channels", "bytes", "audio_sha256",
             "peak_db", "true_peak_db", "lufs", "format")  # fmt: skip


def imported_sidecar(
    track_id: str, params: CacheImport, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the members; `file` names the person's own file until it is copied.

    Args:
        facts: what the worker measured of the file.
    """
    path = Path(params.path)
    return {
        "schema": SCHEMA,
        "track_id": track_id,
        "file": str(path),
        "digest": str(facts["content_sha256"]),
        "prompt": params.prompt or "",
        "lyrics": "",
        "title": params.title or path.stem,
        "seed": None,
        "backend": IMPORTED,
        "variant": None,
        "model_version": "",
        "task": IMPORTED,
        "created_at": timestamp(time.time()),
        "plays": 0,
        "favorite": False,
        "rating": None,
        "tags": [],
        "origin": "user",
        "app_version": lofi.__version__,
        **{name: facts[name] for name in _MEASURED if facts.get(name) is not None},
    }
