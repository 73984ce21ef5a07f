"""The commands a person types: reads them, and turns errors into exit statuses."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from lofi import __version__
from lofi.errors import CacheWriteError, InternalError, InvalidConfig, LofiError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERNAL = 70
EXIT_INTERRUPTED = 130
EXITS = {
    3: ("MODEL_NOT_FOUND", "BACKEND_NOT_INSTALLED", "DEPENDENCY_MISSING", "LM_UNAVAILABLE"),
    4: ("MODEL_DOWNLOAD_FAILED", "OFFLINE"),
    5: ("INSUFFICIENT_DISK", "INSUFFICIENT_MEMORY", "CACHE_WRITE_ERROR"),
    EXIT_USAGE: (
        "INVALID_PARAMS", "INVALID_REQUEST", "METHOD_NOT_FOUND", "INVALID_CONFIG",
        "UNSUPPORTED_FORMAT", "UNSUPPORTED_TASK", "INVALID_PROMPT", "INVALID_LYRICS",
        "INVALID_DURATION", "INVALID_BACKEND", "INVALID_INFERENCE_STEPS",
        "INVALID_GUIDANCE_SCALE", "INVALID_SCHEDULER",
    ),
    EXIT_INTERNAL: ("INTERNAL_ERROR",),
    EXIT_INTERRUPTED: ("GENERATION_CANCELLED",),
}  # fmt: skip


def _everywhere(parser: argparse.ArgumentParser) -> None:
    """Adds the options that stand before a command, after it, or after its action."""
    group = parser.add_argument_group("everywhere")
    for names, help_text in (
        (("--json",), "print one JSON value"),
        (("--quiet",), "no progress"),
        (("-v", "--verbose"), "say more"),
    ):
        group.add_argument(*names, action="store_true", default=argparse.SUPPRESS, help=help_text)
    group.add_argument(
        "--config", metavar="FILE", default=argparse.SUPPRESS, help="the configuration file"
    )
    group.add_argument("--version", action="version", version=f"lofi {__version__}")


class _CommandParser(argparse.ArgumentParser):
    """A command or an action of one."""

    def __init__(self, **details: Any) -> None:
        super().__init__(**details)
        _everywhere(self)


def parser() -> argparse.ArgumentParser:
    """Returns the parser of every command a person types."""
    from lofi.commands import (
        bench,
        completion,
        generate,
        library,
        listen,
        models,
        planning,
        player,
        system,
    )

    top = argparse.ArgumentParser(prog="lofi", description="Music while you code.")
    _everywhere(top)
    top.set_defaults(json=False, quiet=False, verbose=False, config=None)
    commands = top.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_CommandParser
    )
    for subject in (generate, player, library, planning, models, system, bench, listen):
        subject.add(commands)
    completion.add(commands, top)
    daemon = commands.add_parser("daemon", help="JSON-RPC on stdio, for editors and scripts")
    daemon.add_argument("--shared", action="store_true", help="relay to the one daemon")
    return top


def main(argv: list[str]) -> int:
    """Runs one command; returns the exit status."""
    from lofi.commands import screen

    options = parser().parse_args(argv)
    options.environment = dict(os.environ)
    try:
        _prepare(options)
        return int(options.run(options))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; writing the rest would only complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except LofiError as error:
        screen.complain(error)
        return exit_status(error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        screen.complain(CacheWriteError(f"{where}{error.strerror or error}"))
        return exit_status(CacheWriteError(""))
    except Exception as error:
        if options.verbose:
            traceback.print_exc()
        screen.complain(
            InternalError(f"{type(error).__name__}: {error}", hint="-v shows where; report it.")
        )
        return EXIT_INTERNAL


def _prepare(options: argparse.Namespace) -> None:
    """Lets the options speak to every process that is started from here."""
    if options.config:
        file = Path(options.config).absolute()
        if not file.is_file():
            raise InvalidConfig(f"There is no configuration file {file}", hint="Check --config.")
        os.environ["LOFI_CONFIG"] = options.environment["LOFI_CONFIG"] = str(file)
    if options.verbose:
        os.environ["LOFI_LOG_LEVEL"] = "info"


def exit_status(error: LofiError) -> int:
    """Returns the exit status a failure of this kind ends a command with."""
    for status, codes in EXITS.items():
        if error.code in codes:
            return status
    return EXIT_FAILED
