"""The methods a client may call, each with its parameters; what is not here does not exist.

`generate` and `estimate` take the names of `parameters.py` and are read by `recipe`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lofi.errors import MethodNotFound
from lofi.wire import calls
from lofi.wire.params import read

METHODS: dict[str, type[Any]] = {
    "initialize": calls.Initialize,
    "ping": calls.Nothing,
    "shutdown": calls.Shutdown,
    "generate": calls.Anything,
    "cancel": calls.Cancel,
    "queue_status": calls.Nothing,
    "queue_clear": calls.QueueClear,
    "queue_move": calls.QueueMove,
    "queue_pause": calls.Nothing,
    "queue_resume": calls.Nothing,
    "get_backends": calls.Nothing,
    "backend_select": calls.BackendSelect,
    "backend_load": calls.BackendLoad,
    "backend_unload": calls.BackendUnload,
    "cache_list": calls.CacheList,
    "cache_get": calls.TrackNamed,
    "cache_delete": calls.CacheDelete,
    "cache_clear": calls.CacheClear,
    "cache_stats": calls.Nothing,
    "cache_favorite": calls.CacheFavorite,
    "cache_update": calls.CacheUpdate,
    "cache_export": calls.CacheExport,
    "cache_import": calls.CacheImport,
    "cache_recipe": calls.TrackNamed,
    "cache_gc": calls.Nothing,
    "play": calls.Play,
    "pause": calls.Nothing,
    "resume": calls.Nothing,
    "toggle": calls.Nothing,
    "stop": calls.Nothing,
    "skip": calls.Skip,
    "previous": calls.Nothing,
    "seek": calls.Seek,
    "volume_set": calls.VolumeSet,
    "volume_get": calls.Nothing,
    "mute": calls.Mute,
    "audio_devices": calls.Nothing,
    "audio_device_set": calls.AudioDeviceSet,
    "playlist_get": calls.Nothing,
    "config_get": calls.ConfigGet,
    "config_set": calls.ConfigSet,
    "status": calls.Nothing,
    "doctor": calls.Doctor,
    "estimate": calls.Anything,
    "history_list": calls.HistoryList,
    "prompt_history": calls.PromptHistory,
    "history_clear": calls.HistoryClear,
    "logs_tail": calls.LogsTail,
    "analyze": calls.Analyze,
    "waveform": calls.Waveform,
    "presets_list": calls.Nothing,
    "download_backend": calls.DownloadBackend,
    "download_cancel": calls.DownloadCancel,
    "download_status": calls.Nothing,
    "backend_verify": calls.BackendVerify,
    "backend_remove": calls.BackendRemove,
    "lm_inspire": calls.LmInspire,
    "lm_format": calls.LmFormat,
    "lm_understand": calls.LmUnderstand,
    "lm_codes": calls.Anything,
    "lyrics_timing": calls.TrackNamed,
    "score": calls.TrackNamed,
}

NOTIFICATIONS = (
    "generation_start",
    "generation_progress",
    "generation_complete",
    "generation_error",
    "generation_cancelled",
    "playback_started",
    "playback_paused",
    "playback_resumed",
    "playback_ended",
    "playback_state",
    "playback_error",
    "playlist_changed",
    "queue_changed",
    "cache_changed",
    "backend_changed",
    "operation_progress",
    "config_changed",
    "daemon_error",
    "download_progress",
    "download_complete",
    "download_error",
    "download_cancelled",
)


def parse(method: str, params: Mapping[str, Any]) -> Any:
    """Returns the method's parameters as its dataclass.

    Raises:
        MethodNotFound: there is no such method.
        InvalidParams: the parameters are wrong.
    """
    kind = METHODS.get(method)
    if kind is None:
        raise MethodNotFound(f"There is no method {method!r}")
    if kind is calls.Anything:
        return calls.Anything(params)
    return read(kind, params)
