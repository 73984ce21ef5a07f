"""Everything that can go wrong, once: symbol, number on the wire, and what to do about it.

    LofiError
    ├── protocol: ParseError, InvalidRequest, MethodNotFound, InvalidParams, InternalError
    ├── ModelError: ModelNotFound, ModelLoadFailed, ModelDownloadFailed, ModelInferenceFailed
    ├── request: QueueFull, InvalidDuration, InvalidPrompt, InvalidBackend, BackendNotInstalled,
    │            InvalidInferenceSteps, InvalidGuidanceScale, InvalidScheduler, InvalidTrackId,
    │            UnsupportedTask, InvalidSource, InvalidLyrics, InvalidLora, LmUnavailable
    ├── job: GenerationCancelled, NotCancellable, BackendNotReady, Busy, ShuttingDown, WorkerTimeout
    ├── machine: InsufficientDisk, InsufficientMemory, DeviceUnavailable, DependencyMissing
    ├── sound: AudioDeviceError, AudioPlaybackError, NothingToPlay
    ├── disk: CacheWriteError, CacheCorrupt, UnsupportedFormat, InvalidConfig, VerifyFailed
    └── network and protocol: DownloadConsentRequired, Offline, ProtocolMismatch

`code` is the symbol programs test, `number` the JSON-RPC code, `hint` says what to do next and is
shown to the person as it is. Numbers never change meaning.
"""

from __future__ import annotations

from typing import Any, ClassVar


class LofiError(Exception):
    """An error a person or a program can act on.

    Args:
        message: what happened, with the offending value.
        hint: what to do next; the class has one for when none is given.
        data: further members of the wire object's `data` (`param`, `min`, `max`, …).
    """

    code: ClassVar[str] = "INTERNAL_ERROR"
    number: ClassVar[int] = -32603
    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint
        self.data = data

    def to_wire(self) -> dict[str, Any]:
        """Returns the JSON-RPC error object."""
        data: dict[str, Any] = {"code": self.code, "hint": self.hint, "retryable": self.retryable}
        data.update(self.data)
        data.setdefault("details", None)
        return {"code": self.number, "message": self.message, "data": data}


class ParseError(LofiError):
    code = "PARSE_ERROR"
    number = -32700
    default_hint = "The two sides do not understand each other; see the log."


class InvalidRequest(LofiError):
    code = "INVALID_REQUEST"
    number = -32600


class MethodNotFound(LofiError):
    code = "METHOD_NOT_FOUND"
    number = -32601
    default_hint = "Update the plugin or the Python package; versions differ."


class InvalidParams(LofiError):
    code = "INVALID_PARAMS"
    number = -32602


class InternalError(LofiError):
    code = "INTERNAL_ERROR"
    number = -32603
    default_hint = "Run :Lofi log and report it."


class ModelError(LofiError):
    """A model's files or arithmetic failed."""


class ModelNotFound(ModelError):
    code = "MODEL_NOT_FOUND"
    number = -32000


class ModelLoadFailed(ModelError):
    code = "MODEL_LOAD_FAILED"
    number = -32001
    default_hint = "Free memory, set model.offload, or replace the named file."


class ModelDownloadFailed(ModelError):
    code = "MODEL_DOWNLOAD_FAILED"
    number = -32002
    retryable = True
    default_hint = "Check the connection; run setup again, it resumes."


class ModelInferenceFailed(ModelError):
    code = "MODEL_INFERENCE_FAILED"
    number = -32003
    retryable = True
    default_hint = "Try another seed, fewer seconds, lower guidance, or model.bf16 = false."


class QueueFull(LofiError):
    code = "QUEUE_FULL"
    number = -32004
    retryable = True
    default_hint = "Wait, or run :Lofi queue clear."


class InvalidDuration(LofiError):
    code = "INVALID_DURATION"
    number = -32005


class InvalidPrompt(LofiError):
    code = "INVALID_PROMPT"
    number = -32006
    default_hint = "Describe the music in 1 to 1000 characters."


class InvalidBackend(LofiError):
    code = "INVALID_BACKEND"
    number = -32007


class BackendNotInstalled(LofiError):
    code = "BACKEND_NOT_INSTALLED"
    number = -32008


class InvalidInferenceSteps(LofiError):
    code = "INVALID_INFERENCE_STEPS"
    number = -32009


class InvalidGuidanceScale(LofiError):
    code = "INVALID_GUIDANCE_SCALE"
    number = -32010


class InvalidScheduler(LofiError):
    code = "INVALID_SCHEDULER"
    number = -32011


class InvalidTrackId(LofiError):
    code = "INVALID_TRACK_ID"
    number = -32012
    default_hint = ":Lofi list shows the tracks there are."


class GenerationCancelled(LofiError):
    code = "GENERATION_CANCELLED"
    number = -32013


class NotCancellable(LofiError):
    code = "NOT_CANCELLABLE"
    number = -32014


class BackendNotReady(LofiError):
    code = "BACKEND_NOT_READY"
    number = -32015
    retryable = True


class DownloadConsentRequired(LofiError):
    code = "DOWNLOAD_CONSENT_REQUIRED"
    number = -32016


class InsufficientDisk(LofiError):
    code = "INSUFFICIENT_DISK"
    number = -32017
    default_hint = "Free some space, or lower cache.max_mb."


class InsufficientMemory(LofiError):
    code = "INSUFFICIENT_MEMORY"
    number = -32018


class DeviceUnavailable(LofiError):
    code = "DEVICE_UNAVAILABLE"
    number = -32019


class UnsupportedTask(LofiError):
    code = "UNSUPPORTED_TASK"
    number = -32020


class InvalidSource(LofiError):
    code = "INVALID_SOURCE"
    number = -32021


class InvalidLyrics(LofiError):
    code = "INVALID_LYRICS"
    number = -32022


class InvalidLora(LofiError):
    code = "INVALID_LORA"
    number = -32023


class LmUnavailable(LofiError):
    code = "LM_UNAVAILABLE"
    number = -32024


class AudioDeviceError(LofiError):
    code = "AUDIO_DEVICE_ERROR"
    number = -32025
    default_hint = "Check the system's sound settings; :checkhealth lofi lists the outputs."


class AudioPlaybackError(LofiError):
    code = "AUDIO_PLAYBACK_ERROR"
    number = -32026


class NothingToPlay(LofiError):
    code = "NOTHING_TO_PLAY"
    number = -32027
    default_hint = "Run :Lofi generate to make a track."


class CacheWriteError(LofiError):
    code = "CACHE_WRITE_ERROR"
    number = -32028
    default_hint = "Check the folder's permissions and free space."


class CacheCorrupt(LofiError):
    code = "CACHE_CORRUPT"
    number = -32029
    default_hint = "The file was set aside; generate the track again."


class UnsupportedFormat(LofiError):
    code = "UNSUPPORTED_FORMAT"
    number = -32030


class InvalidConfig(LofiError):
    code = "INVALID_CONFIG"
    number = -32031


class VerifyFailed(LofiError):
    code = "VERIFY_FAILED"
    number = -32032


class Busy(LofiError):
    code = "BUSY"
    number = -32033
    retryable = True


class ShuttingDown(LofiError):
    code = "SHUTTING_DOWN"
    number = -32034
    retryable = True


class ProtocolMismatch(LofiError):
    code = "PROTOCOL_MISMATCH"
    number = -32035


class DependencyMissing(LofiError):
    code = "DEPENDENCY_MISSING"
    number = -32036


class Offline(LofiError):
    code = "OFFLINE"
    number = -32037


class WorkerTimeout(LofiError):
    code = "TIMEOUT"
    number = -32038
    retryable = True


def _leaves(kind: type[LofiError]) -> list[type[LofiError]]:
    below = kind.__subclasses__()
    own = [kind] if "code" in vars(kind) else []
    return own + [leaf for child in below for leaf in _leaves(child)]


def error_for(code: str, message: str, *, hint: str | None = None, **data: Any) -> LofiError:
    """Returns the error of symbol `code`, as it came from another process."""
    kinds = {kind.code: kind for kind in _leaves(LofiError)}
    kinds["INTERNAL_ERROR"] = InternalError
    return kinds.get(code, InternalError)(message, hint=hint, **data)
