"""Writing a track where a person wants it, in the format they want, with its story inside."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import lofi
from lofi.errors import CacheWriteError, InsufficientDisk, InvalidParams
from lofi.worker.backend import Answer, Check, Event, Phase, Step
from lofi.worker.encoding import FORMATS, Encoder, format_named
from lofi.worker.reading import SoundFile, open_sound

SLUG_LIMIT = 60
ID_DIGITS = 8
SPARE_BYTES = 1024 * 1024


def export(params: Mapping[str, Any], check: Check) -> Iterator[Event]:
    """Writes a copy of a track and answers its `path` and `bytes`.

    Params: `source` (the track's file), `path` (a file, or a folder for `<slug>-<id8>.<ext>`),
    `format` (None: by the path's suffix, else WAV), `overwrite`, `bitrate_kbps`, `track_id`,
    `title`, and `metadata` with any of `prompt`, `seed`, `recipe` (JSON text), or None.

    Raises:
        InvalidSource: the track's file cannot be read.
        InvalidParams: the file exists and `overwrite` is false.
        UnsupportedFormat: no encoder for that format.
        CacheWriteError, InsufficientDisk: the place cannot be written.
    """
    sound = open_sound(Path(params["source"]))
    wanted, kind = _place(Path(params["path"]), params)
    target = wanted
    if target.exists() and not params.get("overwrite"):
        raise InvalidParams(
            f"{target} exists", hint="Use another name, or overwrite = true.", param="path"
        )
    _check_space(target, sound)
    # Beside the target, so that the rename at the end is atomic.
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    total = -(-sound.frames // sound.sample_rate)
    yield Phase("writing", total)
    done = 0
    try:
        with Encoder(
            part,
            kind,
            sound.sample_rate,
            sound.channels,
            bitrate_kbps=int(params.get("bitrate_kbps") or 192),
            tags=tags(params),
        ) as encoder:
            for block in sound.blocks():
                check()
                encoder.write(np.clip(block, -1.0, 1.0))
                done += len(block)
                yield Step(min(done // sound.sample_rate, total), total)
        part.chmod(0o644 & ~_umask())
        part.replace(target)
    except OSError as error:
        raise CacheWriteError(
            f"Cannot write {target}: {error.strerror}", errno=error.errno, path=str(target)
        ) from error
    finally:
        part.unlink(missing_ok=True)
    yield Answer({"path": str(target), "bytes": target.stat().st_size})


def tags(params: Mapping[str, Any]) -> dict[str, str]:
    """Returns what is written into the file: every format of ours takes these four."""
    metadata = params.get("metadata")
    if metadata is None:
        return {}
    story = [
        f"{name}: {metadata[name]}"
        for name in ("prompt", "seed", "recipe")
        if metadata.get(name) is not None
    ]
    return {
        "title": str(params.get("title") or ""),
        "artist": "lofi.nvim",
        "software": f"lofi.nvim {lofi.__version__}",
        "comment": "\n".join(story),
    }


def slug(title: str) -> str:
    """Returns a title as a file name: lower case words joined by hyphens."""
    words = re.sub(r"[^\w]+", "-", title.casefold()).strip("-_")
    return words[:SLUG_LIMIT].rstrip("-") or "track"


def _place(path: Path, params: Mapping[str, Any]) -> tuple[Path, str]:
    """Returns the target file and the name of its format."""
    if path.is_dir() or str(params["path"]).endswith(("/", os.sep)):
        kind = format_named(params.get("format") or "wav")
        track_id = str(params.get("track_id") or "")[:ID_DIGITS]
        name = "-".join(part for part in (slug(str(params.get("title") or "")), track_id) if part)
        target = path / f"{name}.{kind.extension}"
    else:
        suffix = path.suffix.lstrip(".").lower()
        by_suffix = next((kind.name for kind in FORMATS.values() if kind.extension == suffix), None)
        # An unknown suffix is taken for a format's name, so that the error lists those there are.
        kind = format_named(params.get("format") or by_suffix or suffix or "wav")
        target = path if path.suffix else path.with_name(f"{path.name}.{kind.extension}")
    if not target.parent.is_dir():
        raise CacheWriteError(
            f"There is no folder {target.parent}", hint="Make it first.", path=str(target)
        )
    return target, kind.name


def _check_space(target: Path, sound: SoundFile) -> None:
    """The largest any format gets: raw float32."""
    needed = sound.frames * sound.channels * 4 + SPARE_BYTES
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise InsufficientDisk(
            f"{target.parent} has {free} bytes left, the file may need {needed}",
            needed_bytes=needed,
            free_bytes=free,
            path=str(target),
        )


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
