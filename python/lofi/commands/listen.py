"""`lofi listen`: what a machine can hear in a file, as figures and a picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lofi.commands import screen
from lofi.errors import InvalidSource


def add(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser("listen", help="what a machine can hear in a file")
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--png", type=Path, metavar="FILE", help="default: beside the file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints the figures and draws the picture."""
    from lofi import listen

    if not options.file.is_file():
        raise InvalidSource(f"{options.file} does not exist", hint="Name an audio file.")
    report = listen.report(options.file)
    png = (options.png or options.file.with_suffix(".png")).absolute()
    listen.draw(options.file, png)
    if options.json:
        screen.result({**report.to_dict(), "png": str(png)})
        return 0
    for name, value in report.to_dict().items():
        screen.text(f"{name:<24} {value}")
    screen.text(f"{'png':<24} {png}")
    return 0
