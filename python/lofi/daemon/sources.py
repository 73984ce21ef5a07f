"""Finds, measures and hashes the audio files and adapters a request names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from stat import S_ISREG
from typing import Any

from lofi.daemon.cache import Cache
from lofi.daemon.sidecar import Track
from lofi.errors import InvalidLora, InvalidParams, InvalidSource, InvalidTrackId
from lofi.parameters import SHARED
from lofi.paths import Paths
from lofi.recipe import Adapter, Audio, lora_name, with_plan
from lofi.settings import Settings
from lofi.wire.params import is_absolute

AUDIO_NAMES = ("source", "reference")
SOURCE_MIN_SEC, SOURCE_MAX_SEC = 0.5, 600.0
BLOCK_BYTES = 1 << 20
HEX_DIGITS = frozenset("0123456789abcdef")


class Sources:
    """What was hashed once is remembered by path, size and time of change."""

    def __init__(self, cache: Cache, paths: Paths, settings: Settings) -> None:
        self._cache = cache
        self._paths = paths
        self._settings = settings
        self._audio: dict[tuple[str, int, int], Audio] = {}
        self._hashes: dict[tuple[str, int, int], str] = {}

    def are_named(self, params: Mapping[str, Any]) -> bool:
        """Returns whether the request names files that must first be looked at."""
        return any(params.get(name) for name in (*AUDIO_NAMES, "loras"))

    def completed(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the request with what a retake has from its source beside the recipe.

        That is its model, and the files that the recipe knows by their content alone.

        Raises:
            InvalidSource: there is no such track.
        """
        if params.get("task") != "retake" or not params.get("source"):
            return dict(params)
        track = self._track("source", params["source"])
        if track is None:
            return dict(params)
        asked = track.members.get("request")
        files = asked if isinstance(asked, Mapping) else {}
        own = {name: files.get(name) for name in ("reference", "loras")}
        if params.get("backend") in (None, track.get("backend")):
            own |= {name: track.members.get(name) for name in ("backend", "variant")}
        return {**{name: value for name, value in own.items() if value}, **params}

    def audio(self, params: Mapping[str, Any]) -> dict[str, Audio]:
        """Returns source and reference; reads whole files, so off the event loop.

        Raises:
            InvalidSource: one is missing, unreadable, too short or too long.
        """
        return {
            name: self._find_audio(name, params[name]) for name in AUDIO_NAMES if params.get(name)
        }

    def adapters(self, params: Mapping[str, Any]) -> dict[str, Adapter]:
        """Returns the LoRAs by name; reads whole files, so off the event loop.

        Raises:
            InvalidLora: one is not there.
        """
        items = params.get("loras") or ()
        if not isinstance(items, (list, tuple)):
            raise InvalidParams("loras is a list of {name, scale}", param="loras")
        names = [lora_name(item) for item in items]
        return {name: self._find_adapter(name) for name in names}

    def _find_audio(self, name: str, value: Any) -> Audio:
        track = self._track(name, value)
        if track is not None:
            return self._of_track(track)
        is_object = isinstance(value, Mapping)
        return self._of_file(name, str(value.get("path", "") if is_object else value))

    def _track(self, name: str, value: Any) -> Track | None:
        """The track that a source or reference names, None if it is a file."""
        if name == "source":
            SHARED["source"].check(value)
        if isinstance(value, Mapping):
            return self._cache.find(str(value["track_id"])) if "track_id" in value else None
        if not set(str(value).lower()) <= HEX_DIGITS:
            return None
        try:
            return self._cache.find(str(value))
        except InvalidTrackId as error:
            raise InvalidSource(error.message, hint=error.hint, param=name) from error

    def _of_track(self, track: Track) -> Audio:
        identity = {"track": track.digest} if track.digest else {"sha256": _sha256(track.path)}
        recipe = track.members.get("recipe")
        if isinstance(recipe, Mapping):
            recipe = with_plan(recipe, track.members)
        return Audio(str(track.path), identity, track.duration_sec, recipe)

    def _of_file(self, name: str, text: str) -> Audio:
        path = Path(text)
        if not is_absolute(text):
            raise InvalidParams(
                f"{name} {text!r} is neither a track id nor an absolute path",
                hint="Give the whole path; the daemon has no directory of yours.",
                param=name,
            )
        key = _key(path, InvalidSource, name)
        if key not in self._audio:
            duration_sec = _duration_sec(path, name)
            if not SOURCE_MIN_SEC <= duration_sec <= SOURCE_MAX_SEC:
                raise InvalidSource(
                    f"{path} lasts {duration_sec:.1f} s",
                    hint=f"A source lasts {SOURCE_MIN_SEC:g} to {SOURCE_MAX_SEC:g} s.",
                    param=name,
                )
            self._audio[key] = Audio(str(path), {"sha256": _sha256(path)}, duration_sec)
        return self._audio[key]

    def _find_adapter(self, name: str) -> Adapter:
        for path in self._adapter_paths(name):
            if path.is_file():
                key = _key(path, InvalidLora, "loras")
                if key not in self._hashes:
                    self._hashes[key] = _sha256(path)
                return Adapter(str(path), self._hashes[key])
        looked = ", ".join(str(folder) for folder in self._adapter_folders())
        raise InvalidLora(
            f"There is no LoRA {name!r}",
            hint=f"Looked for a safetensors file of that name in {looked}.",
            param="loras",
        )

    def _adapter_folders(self) -> list[Path]:
        return [self._paths.cache / "lora", *map(Path, self._settings.value("lora.paths"))]

    def _adapter_paths(self, name: str) -> list[Path]:
        if "\0" in name:
            return []
        given = Path(name)
        roots = [given] if given.is_absolute() else [
            folder / name for folder in self._adapter_folders()
        ]  # fmt: skip
        paths = []
        for root in roots:
            paths += [root] if root.suffix == ".safetensors" else []
            paths += [root.with_name(f"{root.name}.safetensors"), *_inside(root)]
        return paths


def _inside(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    known = ("adapter_model.safetensors", "pytorch_lora_weights.safetensors")
    return [folder / name for name in known] + sorted(folder.glob("*.safetensors"))


def _key(
    path: Path, kind: type[InvalidSource] | type[InvalidLora], param: str
) -> tuple[str, int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise kind(f"{path} cannot be read: {error.strerror}", param=param) from error
    if not S_ISREG(stat.st_mode):  # a pipe would be waited for, and for ever
        raise kind(f"{path} is no regular file", param=param)
    return (str(path), stat.st_size, stat.st_mtime_ns)


def _duration_sec(path: Path, param: str) -> float:
    import soundfile

    try:
        info = soundfile.info(str(path))
    except (OSError, RuntimeError) as error:
        raise InvalidSource(f"{path} is no audio file that can be read", param=param) from error
    return float(info.frames / info.samplerate) if info.samplerate else 0.0


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
