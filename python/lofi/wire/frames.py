"""msgpack framing and the messages between daemon and worker; bytes in, messages out, no I/O.

A frame is a 4-byte big-endian length and a msgpack map with the message's `kind` and its fields.
"""

from __future__ import annotations

import struct
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import PurePath
from typing import Any, ClassVar

import msgpack

LIMIT_BYTES = 64 * 1024 * 1024
_LENGTH = struct.Struct(">I")


class FrameError(Exception):
    """The stream is not ours or broken; there is no way to find the next frame."""


@dataclass(slots=True)
class Message:
    """Base of every message; `kind` names it on the wire."""

    kind: ClassVar[str] = ""


# daemon -> worker


@dataclass(slots=True)
class Generate(Message):
    """Render a track. One job at a time; the worker answers with events and one ending."""

    kind: ClassVar[str] = "generate"
    job_id: str
    recipe: Mapping[str, Any]
    model: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `worker.backend.Model`, paths as text."""
    audio: Mapping[str, str] = field(default_factory=dict)
    loras: list[Mapping[str, Any]] = field(default_factory=list)
    spool_path: str = ""
    """Raw interleaved float32 of the stretches, growing while the job runs."""
    file_path: str = ""
    """Where the finished, encoded file goes (unfinished name; the daemon renames it)."""
    format: str = "wav"
    mp3_bitrate_kbps: int = 192
    latents_path: str = ""


@dataclass(slots=True)
class Operate(Message):
    """Run an operation without a track: analysis, waveform, export, planning."""

    kind: ClassVar[str] = "operate"
    job_id: str
    operation: str
    params: Mapping[str, Any] = field(default_factory=dict)
    backend: str = ""
    """Empty for the worker's own operations."""
    model: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Load(Message):
    """Bring a backend's model into memory before it is needed."""

    kind: ClassVar[str] = "load"
    job_id: str
    backend: str
    model: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Cancel(Message):
    kind: ClassVar[str] = "cancel"
    job_id: str


@dataclass(slots=True)
class Unload(Message):
    """Let go of one backend's weights, or of all of them."""

    kind: ClassVar[str] = "unload"
    job_id: str
    backend: str = ""


@dataclass(slots=True)
class Fetch(Message):
    """Bring components into a models folder; only ever sent after a person said yes."""

    kind: ClassVar[str] = "fetch"
    job_id: str
    models_path: str
    components: list[Mapping[str, Any]]
    """Fields of `hub.Published`."""
    source_path: str = ""
    """A folder to copy or link from; empty: the model hub."""
    retry_delay_sec: float = 1.0
    stall_sec: float = 30.0
    """A connection without a byte for so long is taken for broken."""
    is_anew: bool = False
    """Whether components that are there and look whole are brought again."""


# worker -> daemon


@dataclass(slots=True)
class Ready(Message):
    kind: ClassVar[str] = "ready"
    pid: int
    role: str
    version: str


@dataclass(slots=True)
class Beat(Message):
    """At least once a second while a job runs."""

    kind: ClassVar[str] = "beat"
    job_id: str
    memory_bytes: int = 0


@dataclass(slots=True)
class PhaseStarted(Message):
    kind: ClassVar[str] = "phase"
    job_id: str
    phase: str
    total: int = 0
    device: str | None = None
    dtype: str | None = None


@dataclass(slots=True)
class StepDone(Message):
    kind: ClassVar[str] = "step"
    job_id: str
    done: int
    total: int


@dataclass(slots=True)
class SoundAnnounced(Message):
    kind: ClassVar[str] = "sound"
    job_id: str
    sample_rate: int
    channels: int
    frames: int
    streams: bool
    gain: float


@dataclass(slots=True)
class StretchDone(Message):
    """The spool holds `frames` final frames now, counted from its start."""

    kind: ClassVar[str] = "stretch"
    job_id: str
    frames: int


@dataclass(slots=True)
class Warned(Message):
    kind: ClassVar[str] = "warning"
    job_id: str
    code: str
    message: str
    param: str | None = None


@dataclass(slots=True)
class FactsLearned(Message):
    kind: ClassVar[str] = "facts"
    job_id: str
    values: Mapping[str, Any]


@dataclass(slots=True)
class Fetched(Message):
    """How far a download is; `bytes_…` count all of it."""

    kind: ClassVar[str] = "fetched"
    job_id: str
    component: str
    component_percent: int
    bytes_downloaded: int
    bytes_total: int
    file_name: str
    file_bytes_downloaded: int
    file_bytes_total: int
    files_completed: int
    files_total: int


@dataclass(slots=True)
class Done(Message):
    """The job is finished; for a track the file is complete at `file_path`."""

    kind: ClassVar[str] = "done"
    job_id: str
    value: Mapping[str, Any] = field(default_factory=dict)
    """A track's file facts: frames, sample_rate, channels, bytes, audio_sha256, format, peak_db,
    true_peak_db, lufs, gain, timings, devices, bpm, keyscale, grid, …; an operation's answer."""


@dataclass(slots=True)
class Failed(Message):
    kind: ClassVar[str] = "failed"
    job_id: str
    code: str
    message: str
    hint: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Cancelled(Message):
    kind: ClassVar[str] = "cancelled"
    job_id: str


TO_WORKER: tuple[type[Message], ...] = (Generate, Operate, Load, Cancel, Unload, Fetch)
FROM_WORKER: tuple[type[Message], ...] = (
    Ready,
    Beat,
    PhaseStarted,
    StepDone,
    SoundAnnounced,
    StretchDone,
    Warned,
    FactsLearned,
    Fetched,
    Done,
    Failed,
    Cancelled,
)
_KINDS = {kind.kind: kind for kind in (*TO_WORKER, *FROM_WORKER)}


def pack(message: Message) -> bytes:
    """Returns one frame."""
    body = {item.name: getattr(message, item.name) for item in fields(message)}
    payload: bytes = msgpack.packb(
        {"kind": message.kind, **body},
        use_bin_type=True,
        default=_plain,
        # A path that is no UTF-8 comes as lone surrogates; it must reach the other side.
        unicode_errors="surrogatepass",
    )
    if len(payload) > LIMIT_BYTES:
        raise FrameError(f"a frame of {len(payload)} bytes is over the limit of {LIMIT_BYTES}")
    return _LENGTH.pack(len(payload)) + payload


class FrameReader:
    """Takes bytes as the pipe gives them and returns whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Yields each message that `chunk` completes.

        Raises:
            FrameError: the bytes are no frame; the stream cannot be used any further.
        """
        self._buffer += chunk
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > LIMIT_BYTES:
                raise FrameError(f"a frame says it has {length} bytes")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield _message(payload)


def _message(payload: bytes) -> Message:
    try:
        body = msgpack.unpackb(
            payload, raw=False, strict_map_key=True, unicode_errors="surrogatepass"
        )
    except Exception as error:  # msgpack raises many kinds, all of them mean: not a frame
        raise FrameError(f"a frame is not msgpack: {error}") from error
    if not isinstance(body, dict):
        raise FrameError("a frame holds no map")
    name = body.pop("kind", None)
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise FrameError("a frame is of no known kind")
    members = _members(name)
    for member, value in body.items():
        if member in members and not isinstance(value, members[member]):
            raise FrameError(f"{member} of a {kind.kind} frame is {type(value).__name__}")
    try:
        return kind(**{member: value for member, value in body.items() if member in members})
    except TypeError as error:
        raise FrameError(f"a {kind.kind} frame lacks a member: {error}") from error


@cache
def _members(name: str) -> dict[str, tuple[type, ...]]:
    """Returns each member of a message with the types its value may have on the wire."""
    kind = _KINDS[name]
    hints = typing.get_type_hints(kind)
    return {item.name: _types(hints[item.name]) for item in fields(kind)}


def _types(hint: Any) -> tuple[type, ...]:
    if isinstance(hint, types.UnionType):
        return tuple(kind for option in typing.get_args(hint) for kind in _types(option))
    kind = typing.get_origin(hint) or hint
    if kind is Mapping:
        return (dict,)
    # A whole number is a float, too, once it has been through another language.
    return (float, int) if kind is float else (kind,)


def _plain(value: Any) -> Any:
    """Returns what msgpack knows for a value it does not: paths, numpy's numbers, mappings."""
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if hasattr(value, "tolist"):  # numpy: a number or an array
        return value.tolist()
    raise TypeError(f"a frame holds no {type(value).__name__}")
