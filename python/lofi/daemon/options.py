"""What `lofi daemon` is started with: its options, its settings, its log."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lofi.daemon.logs import LEVELS, LineFormatter, file_handler
from lofi.paths import Paths
from lofi.settings import Settings


@dataclass(frozen=True, slots=True)
class Options:
    """What the daemon is made from."""

    paths: Paths
    settings: Settings
    transport: Literal["stdio", "socket"]
    started_by: int | None = None


def parse(argv: list[str]) -> Options:
    """Returns the options of a command line; wrong ones end the program with status 2."""
    parser = argparse.ArgumentParser(prog="lofi daemon", description="JSON-RPC on stdio.")
    parser.add_argument("--shared", action="store_true", help="relay to the one shared daemon")
    parser.add_argument("--config", metavar="FILE", help="the configuration file")
    parser.add_argument("--socket", action="store_true", help="serve the shared daemon's socket")
    parser.add_argument("--started-by", type=int, help=argparse.SUPPRESS)  # the relay
    parser.add_argument("--log-file", metavar="FILE")
    parser.add_argument("--log-level", choices=tuple(LEVELS))
    parser.add_argument("--device")
    parser.add_argument("--backend")
    parser.add_argument("--cache-dir", metavar="DIR")
    parser.add_argument("--no-audio", action="store_true", help="the same as audio.output = null")
    chosen = parser.parse_args(argv)
    flags: dict[str, Any] = {
        "daemon.log_file": _absolute(chosen.log_file),
        "daemon.log_level": chosen.log_level,
        "model.device": chosen.device,
        "model.backend": chosen.backend,
        "cache.dir": _absolute(chosen.cache_dir),
        "audio.output": "null" if chosen.no_audio else None,
    }
    if not chosen.socket:
        flags["daemon.shared"] = False
    paths, settings = load(os.environ, {key: flags[key] for key in flags if flags[key] is not None})
    transport: Literal["stdio", "socket"] = "socket" if chosen.socket else "stdio"
    return Options(paths, settings, transport, chosen.started_by)


def load(environment: Mapping[str, str], flags: Mapping[str, Any]) -> tuple[Paths, Settings]:
    """Returns paths and settings of this user, the flags above the configuration file.

    Raises:
        InvalidConfig: a flag is wrong.
    """
    paths = Paths.from_environment(environment)
    settings = Settings.load(paths.config_file, paths.overrides_file, environment)
    settings.apply("setup", flags)
    changes: dict[str, Any] = {}
    for key, name in (
        ("cache.dir", "tracks"),
        ("model.weights_path", "weights"),
        ("daemon.log_file", "log_file"),
    ):
        value = settings.value(key)
        if value is not None:
            changes[name] = Path(value)
    return dataclasses.replace(paths, **changes), settings


def start_logging(options: Options) -> None:
    """Sends the log to its file, and what is serious to stderr as well."""
    root = logging.getLogger("lofi")
    level = LEVELS[str(options.settings.value("daemon.log_level"))]
    root.setLevel(level)
    complaints = logging.StreamHandler(sys.stderr)
    complaints.setFormatter(LineFormatter())
    complaints.setLevel(logging.ERROR)
    root.addHandler(complaints)
    try:
        root.addHandler(file_handler(options.paths.log_file))
    except OSError as error:
        root.error("the log %s cannot be written: %s", options.paths.log_file, error)
    for problem in options.settings.problems:
        root.warning("%s", problem)


def _absolute(text: str | None) -> str | None:
    return None if text is None else str(Path(text).absolute())
