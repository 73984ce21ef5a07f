"""What a person sees on a terminal: results on stdout, words and a progress bar on stderr."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from lofi.errors import LofiError

BAR_CELLS = 24
LINE_STEP_PERCENT = 10
_MODEL_COMMAND = re.compile(
    r":Lofi ((?:setup|verify|remove) (?:musicgen|ace-step-1\.5|ace-step))((?: \w+=[\w.-]*\w)*)"
)


def result(value: Any) -> None:
    """Writes one JSON value as one line of stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def text(line: str) -> None:
    """Writes a line a person asked for to stdout."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def say(line: str) -> None:
    """Writes a remark to stderr, as one line, whatever it quotes."""
    sys.stderr.write(clean(" ".join(line.splitlines())) + "\n")
    sys.stderr.flush()


def agrees(question: str) -> bool:
    """Asks a yes-or-no question; no answer is a no."""
    say(f"{question} [y/N]")
    try:
        return input().strip().lower() in ("y", "yes")
    except EOFError:
        say("lofi: nobody answered; --yes answers yes")
        return False


def clean(text: str) -> str:
    """Returns text that cannot steer a terminal."""
    return "".join(char for char in text if char.isprintable())


def complain(error: LofiError) -> None:
    """Writes what went wrong and what to do about it."""
    say(f"lofi: {error.message}")
    if error.hint:
        say(f"      {in_shell(error.hint)}")


def in_shell(hint: str) -> str:
    """Returns a hint with Neovim's commands as this program takes them.

    `:Lofi setup musicgen variant=large` is `lofi setup musicgen --variant large`.
    """
    hint = re.sub(r":Lofi (list|generate|setup(?=[,.]))", r"lofi \1", hint)
    return _MODEL_COMMAND.sub(
        lambda found: f"lofi {found[1]}" + re.sub(r" (\w+)=", r" --\1 ", found[2]), hint
    )


def table(rows: Iterable[Sequence[str]], stream: TextIO | None = None) -> None:
    """Writes columns, each as wide as its widest cell."""
    lines = [list(row) for row in rows]
    if not lines:
        return
    widths = [max(len(row[column]) for row in lines) for column in range(len(lines[0]))]
    for row in lines:
        cells = [clean(cell).ljust(width) for cell, width in zip(row, widths, strict=True)]
        (stream or sys.stdout).write("  ".join(cells).rstrip() + "\n")


def clock(seconds: float | None) -> str:
    """Returns `3:05`."""
    if seconds is None:
        return "-:--"
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def size(count: float) -> str:
    """Returns bytes in the largest fitting unit."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def duration(seconds: float) -> str:
    """Returns `2.1 s` or `22 min`."""
    return f"{seconds:g} s" if seconds < 120 else f"{seconds / 60:.0f} min"


class Progress:
    """A bar on a terminal, else a line per ten percent; nothing when quiet."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._on_terminal = self._stream.isatty()
        self._last_percent = -LINE_STEP_PERCENT
        self._drawn = False

    def show(self, percent: int, label: str, eta_sec: float | None) -> None:
        """Draws the state of one job."""
        if self._quiet:
            return
        label = clean(label)
        eta = f" {clock(eta_sec)} left" if eta_sec and eta_sec >= 1 else ""
        if self._on_terminal:
            done = BAR_CELLS * percent // 100
            bar = "█" * done + "░" * (BAR_CELLS - done)
            line = f"{bar} {percent:3d}% {label}{eta}"
            width = shutil.get_terminal_size().columns
            self._stream.write("\r\x1b[K" + line[: width - 1])
            self._stream.flush()
            self._drawn = True
        elif percent >= self._last_percent + LINE_STEP_PERCENT:
            self._last_percent = percent - percent % LINE_STEP_PERCENT
            say(f"{percent}% {label}{eta}")

    def end(self) -> None:
        """Takes the bar away."""
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._drawn = False
        self._last_percent = -LINE_STEP_PERCENT
