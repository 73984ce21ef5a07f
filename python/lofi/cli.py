"""The command line: reads it, chooses the role, and turns errors into exit statuses.

Roles import their own rooms only when they are chosen, so the relay starts fast and nothing but a
neural worker ever imports torch.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from lofi import __version__
from lofi.errors import GenerationCancelled, LofiError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERNAL = 70
EXIT_INTERRUPTED = 130
EXITS = {
    3: ("MODEL_NOT_FOUND", "BACKEND_NOT_INSTALLED", "DEPENDENCY_MISSING", "LM_UNAVAILABLE"),
    4: ("MODEL_DOWNLOAD_FAILED", "OFFLINE"),
    5: ("INSUFFICIENT_DISK", "INSUFFICIENT_MEMORY", "CACHE_WRITE_ERROR"),
    EXIT_USAGE: ("INVALID_PARAMS", "UNSUPPORTED_FORMAT", "INVALID_CONFIG", "METHOD_NOT_FOUND"),
    EXIT_INTERNAL: ("INTERNAL_ERROR",),
    EXIT_INTERRUPTED: ("GENERATION_CANCELLED",),
}


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
    if argv == ["--shared"]:
        from lofi.daemon import relay

        return relay.main()
    from lofi.daemon import app

    return app.entry(argv)


class _CommandParser(argparse.ArgumentParser):
    """A command or an action of one: each takes the options that are everywhere."""

    def __init__(self, **details: Any) -> None:
        super().__init__(**details)
        everywhere = self.add_argument_group("everywhere")
        for names, help_text in (
            (("--json",), "print one JSON value"),
            (("--quiet",), "no progress"),
            (("-v", "--verbose"), "say more"),
        ):
            everywhere.add_argument(
                *names, action="store_true", default=argparse.SUPPRESS, help=help_text
            )
        everywhere.add_argument(
            "--config", metavar="FILE", default=argparse.SUPPRESS, help="the configuration file"
        )


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
    top.add_argument("--version", action="version", version=f"lofi {__version__}")
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
    if options.config:
        options.environment["LOFI_CONFIG"] = str(Path(options.config).absolute())
        os.environ["LOFI_CONFIG"] = options.environment["LOFI_CONFIG"]
    if options.verbose:
        os.environ["LOFI_LOG_LEVEL"] = "info"
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; writing the rest would only complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except GenerationCancelled as error:
        screen.complain(error)
        return EXIT_INTERRUPTED
    except LofiError as error:
        screen.complain(error)
        return exit_status(error)


def exit_status(error: LofiError) -> int:
    """Returns the exit status a failure of this kind ends a command with."""
    for status, codes in EXITS.items():
        if error.code in codes:
            return status
    return EXIT_FAILED
