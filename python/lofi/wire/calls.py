"""What each method may be called with: a dataclass a call, read and checked by `params.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Literal

from lofi.parameters import SEED_LIMIT
from lofi.wire.params import ABSOLUTE, Length, Range, call


@call
class Nothing:
    """A method without parameters."""


@call
class Anything:
    """A method whose parameters somebody else reads."""

    values: Mapping[str, Any]


@call
class Initialize:
    client: dict[str, Any] = field(default_factory=dict)
    protocol: list[int] = field(default_factory=lambda: [1])
    client_pid: int | None = None
    config: dict[str, Any] | None = None
    notifications: list[str] | None = None
    resume: bool = True


@call
class Shutdown:
    mode: Literal["now", "after_current"] = "now"


@call
class Cancel:
    track_id: str | None = None
    request_id: int | str | None = None


@call
class QueueClear:
    origin: Literal["user", "prefetch", "radio", "cli"] | None = None


@call
class QueueMove:
    track_id: str
    position: Annotated[int, Range(1)]


@call
class BackendSelect:
    backend: str
    variant: str | None = None


@call
class BackendLoad:
    backend: str | None = None
    variant: str | None = None


@call
class BackendUnload:
    backend: str | None = None


@call
class DownloadBackend:
    backend: str
    variant: str | None = None
    components: list[str] | None = None
    lm_model: str | None = None
    source: str | None = None
    """A folder, named from the root; absent or `huggingface`: the model hub."""
    consent: bool = False
    revision: str | None = None
    """A commit, tag or branch in place of the pinned one."""
    repair: bool = False
    """Brings the components again; whole files of theirs are kept."""


@call
class DownloadCancel:
    download_id: str | None = None
    backend: str | None = None


@call
class BackendVerify:
    backend: str
    variant: str | None = None
    deep: bool = False


@call
class BackendRemove:
    backend: str
    confirm: bool
    variant: str | None = None


@call
class CacheList:
    query: str | None = None
    backend: str | None = None
    favorite: bool | None = None
    tag: str | None = None
    min_duration_sec: float | None = None
    max_duration_sec: float | None = None
    sort: Literal["created", "accessed", "duration", "plays", "title"] = "created"
    order: Literal["desc", "asc"] = "desc"
    limit: Annotated[int, Range(0)] | None = None
    offset: Annotated[int, Range(0)] = 0


@call
class TrackNamed:
    track_id: str


@call
class CacheDelete:
    track_id: str | None = None
    track_ids: list[str] | None = None


@call
class CacheClear:
    keep_favorites: bool = True
    older_than_days: Annotated[float, Range(0)] | None = None


@call
class CacheFavorite:
    track_id: str
    favorite: bool = True


@call
class CacheUpdate:
    track_id: str
    title: str | None = None
    tags: list[str] | None = None
    rating: Annotated[int, Range(0, 5)] | None = None


@call
class CacheExport:
    track_id: str
    path: Annotated[str, ABSOLUTE]
    format: str | None = None
    overwrite: bool = False
    metadata: bool = True
    bitrate_kbps: int | None = None


@call
class CacheImport:
    path: Annotated[str, ABSOLUTE]
    title: str | None = None
    prompt: str | None = None
    copy: bool = True


@call
class Play:
    track_id: str | None = None
    path: Annotated[str, ABSOLUTE] | None = None
    position_sec: Annotated[float, Range(0)] | None = None
    enqueue: Literal["auto", "next", "end", "replace"] = "auto"


@call
class Skip:
    count: Annotated[int, Range(1)] = 1


@call
class Seek:
    position_sec: float | None = None
    delta_sec: float | None = None


@call
class VolumeSet:
    level: Annotated[float, Range(0, 1)] | None = None
    delta: Annotated[float, Range(-1, 1)] | None = None


@call
class Mute:
    muted: bool | None = None


@call
class AudioDeviceSet:
    device: str | None = None


@call
class ConfigGet:
    keys: list[str] | None = None


@call
class ConfigSet:
    config: dict[str, Any] | None = None
    key: str | None = None
    value: Any = None
    persist: bool = False


@call
class Doctor:
    deep: bool = False


@call
class HistoryList:
    kind: Literal["generated", "played", "failed"] | None = None
    limit: Annotated[int, Range(1)] = 50
    before: str | None = None


@call
class PromptHistory:
    query: str | None = None
    limit: Annotated[int, Range(1)] = 100


@call
class HistoryClear:
    kind: Literal["generated", "played", "failed"] | None = None


@call
class LogsTail:
    lines: Annotated[int, Range(1, 5000)] = 200
    level: Literal["debug", "info", "warn", "error"] | None = None


@call
class Analyze:
    track_id: str | None = None
    path: Annotated[str, ABSOLUTE] | None = None


@call
class Waveform:
    track_id: str
    columns: Annotated[int, Range(8, 512)] = 40


@call
class LmInspire:
    query: Annotated[str, Length(1, 1000)]
    instrumental: bool | None = None
    vocal_language: str | None = None
    seed: Annotated[int, Range(-1, SEED_LIMIT)] | None = None
    temperature: Annotated[float, Range(0, 2)] | None = None
    top_k: Annotated[int, Range(0, 1000)] | None = None
    top_p: Annotated[float, Range(0, 1)] | None = None
    lm_model: str | None = None


@call
class LmFormat:
    prompt: Annotated[str, Length(1, 1000)]
    lyrics: Annotated[str, Length(0, 4096)] | None = None
    bpm: Annotated[int, Range(30, 300)] | None = None
    duration_sec: Annotated[float, Range(1, 600)] | None = None
    keyscale: str | None = None
    timesignature: str | int | None = None
    vocal_language: str | None = None
    seed: Annotated[int, Range(-1, SEED_LIMIT)] | None = None
    temperature: Annotated[float, Range(0, 2)] | None = None
    top_k: Annotated[int, Range(0, 1000)] | None = None
    top_p: Annotated[float, Range(0, 1)] | None = None
    lm_model: str | None = None


@call
class LmUnderstand:
    source: str | dict[str, Any] | None = None
    audio_codes: str | list[int] | None = None
    seed: Annotated[int, Range(-1, SEED_LIMIT)] | None = None
    temperature: Annotated[float, Range(0, 2)] = 0.3
    top_k: Annotated[int, Range(0, 1000)] | None = None
    top_p: Annotated[float, Range(0, 1)] | None = None
    lm_model: str | None = None
