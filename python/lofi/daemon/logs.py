"""The log file: how a line looks, and the last lines of it read back."""

from __future__ import annotations

import logging
import logging.handlers
import re
from pathlib import Path
from typing import Any

from lofi.daemon.clock import timestamp

FILE_LIMIT_BYTES = 2 * 1024 * 1024
FILES_KEPT = 5
LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40}
_LINE = re.compile(r"(\S+Z) (DEBUG|INFO|WARN|ERROR) (\S+): (.*)")
_NAMES = {10: "DEBUG", 20: "INFO", 30: "WARN", 40: "ERROR", 50: "ERROR"}


class LineFormatter(logging.Formatter):
    """`2026-01-31T09:15:00.123Z WARN lofi.daemon.lane: message`; tracebacks follow indented."""

    def format(self, record: logging.LogRecord) -> str:
        level = _NAMES.get(record.levelno, record.levelname)
        text = f"{timestamp(record.created)} {level} {record.name}: {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text.replace("\n", "\n  ")


def file_handler(path: Path) -> logging.Handler:
    """Returns a handler that writes to `path` and rotates it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=FILE_LIMIT_BYTES, backupCount=FILES_KEPT - 1, encoding="utf-8", delay=True
    )
    handler.setFormatter(LineFormatter())
    return handler


def tail(path: Path, lines: int, level: str | None) -> list[dict[str, Any]]:
    """Returns the last lines of at least `level`, oldest first; reads the disk."""
    wanted = LEVELS[level] if level else 0
    entries: list[dict[str, Any]] = []
    for source in (path.with_name(path.name + ".1"), path):
        try:
            text = source.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for line in text.splitlines():
            match = _LINE.fullmatch(line)
            if match:
                time, name, logger, message = match.groups()
                entries.append(
                    {"time": time, "level": name.lower(), "logger": logger, "message": message}
                )
            elif entries:
                entries[-1]["message"] += f"\n{line}"
    return [entry for entry in entries if LEVELS[entry["level"]] >= wanted][-lines:]
