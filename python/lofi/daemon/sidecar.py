"""One cached track: the members of its sidecar, the wire object made from them, its titles.

A track exists exactly if its sidecar does. Members that this version does not know stay as they
are when a sidecar is rewritten; a sidecar of a newer schema is listed and never rewritten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lofi.daemon.player.playable import PlayableTrack
from lofi.tracks import default_title
from lofi.wire.jsonrpc import loads

SCHEMA = 1
WIRE_MEMBERS: dict[str, Any] = {
    "track_id": "",
    "path": "",
    "format": "wav",
    "bytes": 0,
    "duration_sec": 0.0,
    "sample_rate": 0,
    "channels": 0,
    "prompt": "",
    "lyrics": "",
    "title": "",
    "seed": None,
    "backend": "",
    "variant": None,
    "model_version": "",
    "task": "text2music",
    "parent": None,
    "bpm": None,
    "keyscale": None,
    "timesignature": None,
    "vocal_language": None,
    "loop": False,
    "generation_time_sec": 0.0,
    "device": None,
    "dtype": None,
    "license": None,
    "created_at": "",
    "last_played_at": None,
    "plays": 0,
    "favorite": False,
    "rating": None,
    "tags": [],
    "grid": None,
    "has_latents": False,
    "has_lrc": False,
    "warnings": [],
}
"""Every member of the wire's track object, in its order, with what stands for a missing one."""


@dataclass(frozen=True, slots=True)
class Track:
    """A sidecar as it was read, and the folder it lies in."""

    folder: Path
    members: Mapping[str, Any]
    mtime_ns: int
    """Of the sidecar: the track's last access."""

    @property
    def track_id(self) -> str:
        return str(self.members["track_id"])

    @property
    def digest(self) -> str:
        return str(self.members.get("digest", ""))

    @property
    def path(self) -> Path:
        """The audio file. An imported track may leave its file where it was."""
        return self.folder / str(self.members["file"])

    @property
    def sidecar_path(self) -> Path:
        return self.folder / f"{self.track_id}.json"

    @property
    def is_own_file(self) -> bool:
        """False: the file belongs to the person and is never deleted."""
        return not Path(str(self.members["file"])).is_absolute()

    @property
    def is_read_only(self) -> bool:
        return int(self.members.get("schema", SCHEMA)) > SCHEMA

    @property
    def is_favorite(self) -> bool:
        return bool(self.members.get("favorite"))

    @property
    def size_bytes(self) -> int:
        return int(self.members.get("bytes", 0))

    @property
    def duration_sec(self) -> float:
        return float(self.members.get("duration_sec", 0.0))

    @property
    def title(self) -> str:
        return str(self.members.get("title") or default_title(str(self.members.get("prompt", ""))))

    def get(self, name: str) -> Any:
        return self.members.get(name, WIRE_MEMBERS.get(name))

    def to_wire(self) -> dict[str, Any]:
        """Returns the track object of the protocol."""
        wire = {name: self.members.get(name, empty) for name, empty in WIRE_MEMBERS.items()}
        wire["path"] = str(self.path)
        wire["title"] = self.title
        if self.is_read_only:
            wire["read_only"] = True
        return wire

    def playable(self) -> PlayableTrack:
        """Returns what the player needs of it."""
        return PlayableTrack(
            track_id=self.track_id,
            path=self.path,
            title=self.title,
            prompt=str(self.get("prompt")),
            duration_sec=self.duration_sec,
            lufs=self.members.get("lufs"),
            true_peak_db=self.members.get("true_peak_db"),
            gain=self.members.get("gain"),
        )

    def companions(self) -> list[Path]:
        """Returns the files that live and die with the track, whether they are there or not."""
        names = [f"{self.track_id}{suffix}" for suffix in COMPANION_SUFFIXES]
        return [self.folder / name for name in names]


COMPANION_SUFFIXES = (".latents.safetensors", ".lrc", ".peaks.json")
_COUNTS = ("bytes", "duration_sec", "frames", "sample_rate", "channels", "plays")
_MEASURES = ("lufs", "true_peak_db", "gain", "generation_time_sec")
_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("digest", "prompt", "lyrics", "title", "backend", "variant"), str),
    **dict.fromkeys(("model_version", "task", "format", "created_at", "origin"), str),
    **dict.fromkeys(("recipe", "request"), dict),
    **dict.fromkeys(("tags", "warnings"), list),
    "favorite": bool,
    "rating": int,
}
"""What the program relies on when it sorts, searches and plays; null is as good as absent."""


def read(path: Path) -> Track:
    """Returns the track of a sidecar.

    Raises:
        ValueError: the file is no sidecar.
        OSError: it cannot be read.
    """
    stat = path.stat()
    try:
        members = loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply") from error
    if not isinstance(members, dict):
        raise ValueError(f"{path} holds no object")
    for name in ("track_id", "file"):
        if not isinstance(members.get(name), str) or not members[name]:
            raise ValueError(f"{path} lacks {name}")
    if members["track_id"] != path.stem or "/" in members["track_id"]:
        raise ValueError(f"{path} says it is {members['track_id']}")
    if not isinstance(members.get("schema", SCHEMA), int):
        raise ValueError(f"{path} has no schema number")
    _check_file(path, members["file"])
    for name in _COUNTS:
        value = members.get(name, 0)
        if not _is_number(value) or not math.isfinite(value) or value < 0:
            raise ValueError(f"{path} has no usable {name}")
    for name in _MEASURES:
        if members.get(name) is not None and not _is_number(members[name]):
            raise ValueError(f"{path} has no usable {name}")
    for name, kind in _KINDS.items():
        if members.get(name) is not None and not isinstance(members[name], kind):
            raise ValueError(f"{path} has no usable {name}")
    if not all(isinstance(tag, str) for tag in members.get("tags") or ()):
        raise ValueError(f"{path} has a tag that is no text")
    return Track(path.parent, members, stat.st_mtime_ns)


def _check_file(path: Path, name: str) -> None:
    """A file beside the sidecar has a bare name: nothing outside the folder is ours to delete."""
    is_foreign = Path(name).is_absolute() and ".." not in Path(name).parts
    is_bare = not any(sign in name for sign in "/\\\0") and name not in (".", "..")
    if not (is_foreign or is_bare) or "\0" in name:
        raise ValueError(f"{path} names a file outside its folder")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
