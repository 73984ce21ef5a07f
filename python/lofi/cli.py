"""The command line: reads it, chooses the role, and turns errors into exit statuses.

Roles import their own rooms only when they are chosen, so the relay starts fast and nothing but a
neural worker ever imports torch.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

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


_FILE_OPTIONS = ("--log-file", "--cache-dir")


def entry() -> NoReturn:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


def main(argv: list[str]) -> int:
    """Returns the exit status."""
    if argv[:1] == ["daemon"]:
        return _daemon(argv[1:])
    if argv[:1] == ["worker"]:
        from lofi.worker import loop

        return loop.main("neural" if argv[1:] == ["neural"] else "light")
    return _command(argv)


def _daemon(argv: list[str]) -> int:
    """Kept apart from the commands: the relay must answer within 150 ms of being started."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--shared", action="store_true")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--started-by", type=int)
    for name in _FILE_OPTIONS:
        parser.add_argument(name, type=Path)
    chosen, rest = parser.parse_known_args(argv)
    if chosen.config is not None:
        os.environ["LOFI_CONFIG"] = str(chosen.config.absolute())
    for name in _FILE_OPTIONS:  # the shared daemon is started in another directory
        if (path := getattr(chosen, name[2:].replace("-", "_"))) is not None:
            rest += [name, str(path.absolute())]
    if chosen.shared and not {"-h", "--help"} & set(rest):
        from lofi.daemon import relay

        return relay.main(rest)
    if chosen.started_by is not None:
        from lofi import parent

        parent.bind()
        if not parent.is_there(chosen.started_by):
            sys.exit(f"process {chosen.started_by}, which wanted this daemon, is not its parent")
        rest += ["--started-by", str(chosen.started_by)]
    from lofi.daemon import app

    return app.entry(rest)


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


def _command(argv: list[str]) -> int:
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
