"""Where cache, weights, sockets, state and logs live. It decides names only and makes no folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

APP = "lofi"
SOCKET_PATH_LIMIT_BYTES = 100
MODEL_FOLDERS = {"musicgen": "musicgen", "ace_step": "ace-step", "ace_step_15": "ace-step-15"}
MODEL_VARIABLES = {
    "musicgen": "LOFI_MODEL_PATH",
    "ace_step": "LOFI_ACE_STEP_MODEL_PATH",
    "ace_step_15": "LOFI_ACE_STEP_15_MODEL_PATH",
}


@dataclass(frozen=True, slots=True)
class Paths:
    """Every folder and file name the program uses, all absolute."""

    cache: Path
    tracks: Path
    state: Path
    runtime: Path
    socket: Path
    config_file: Path
    log_file: Path
    model_overrides: Mapping[str, Path]
    """Backend to the folder the environment names for it."""
    weights: Path | None = None
    """`model.weights_path`: a folder for all weights instead of `cache`."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Paths:
        """Returns the names that this user, system and environment lead to."""
        home = Path(environment.get("HOME") or Path.home())
        cache = _path(environment, "LOFI_HOME") or _cache_folder(environment, home)
        state = _xdg(environment, "XDG_STATE_HOME", home / ".local" / "state") / APP
        runtime = _runtime_folder(environment)
        overrides = {
            backend: folder
            for backend, variable in MODEL_VARIABLES.items()
            if (folder := _path(environment, variable))
        }
        config = _xdg(environment, "XDG_CONFIG_HOME", home / ".config") / APP / "config.toml"
        return cls(
            cache=cache,
            tracks=_path(environment, "LOFI_CACHE_PATH") or cache / "tracks",
            state=state,
            runtime=runtime,
            socket=_path(environment, "LOFI_SOCKET") or runtime / "daemon.sock",
            config_file=_path(environment, "LOFI_CONFIG") or config,
            log_file=_path(environment, "LOFI_LOG_FILE") or state / "lofi.log",
            model_overrides=overrides,
        )

    @property
    def lock(self) -> Path:
        """The file a shared daemon holds locked for as long as it lives."""
        return self.socket.with_name("daemon.lock")

    @property
    def unfinished(self) -> Path:
        """Unfinished files of the tracks folder, on the same file system."""
        return self.tracks / ".tmp"

    @property
    def locks(self) -> Path:
        return self.cache / "locks"

    @property
    def devices_file(self) -> Path:
        return self.state / "devices.json"

    @property
    def speed_file(self) -> Path:
        return self.state / "speed.json"

    @property
    def timings_file(self) -> Path:
        return self.state / "timings.json"

    @property
    def history_file(self) -> Path:
        return self.state / "history.jsonl"

    @property
    def session_file(self) -> Path:
        return self.state / "session.json"

    @property
    def overrides_file(self) -> Path:
        return self.state / "overrides.json"

    def models(self, backend: str) -> Path:
        """Returns the folder of a neural backend's components.

        Raises:
            KeyError: the backend has no weights.
        """
        if backend in self.model_overrides:
            return self.model_overrides[backend]
        return (self.weights or self.cache) / MODEL_FOLDERS[backend]


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    value = environment.get(name)
    return Path(value).expanduser().absolute() if value else None


def _xdg(environment: Mapping[str, str], name: str, fallback: Path) -> Path:
    value = environment.get(name)
    # The XDG base directory specification: a relative value is to be ignored.
    return Path(value) if value and Path(value).is_absolute() else fallback


def _cache_folder(environment: Mapping[str, str], home: Path) -> Path:
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "lofi.nvim"
    if sys.platform == "win32":
        local = environment.get("LOCALAPPDATA") or str(home / "AppData" / "Local")
        return Path(local) / "lofi.nvim" / "cache"
    return _xdg(environment, "XDG_CACHE_HOME", home / ".cache") / "lofi.nvim"


def _runtime_folder(environment: Mapping[str, str]) -> Path:
    runtime = environment.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_absolute():
        return Path(runtime) / APP
    user = os.getuid() if hasattr(os, "getuid") else environment.get("USERNAME", "user")
    return Path("/tmp") / f"{APP}-{user}"
