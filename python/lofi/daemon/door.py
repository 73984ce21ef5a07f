"""Who serves `lofi daemon`: the relay, or the daemon itself."""

from __future__ import annotations

import gc
import os
import sys

_FILE_OPTIONS = ("--log-file", "--cache-dir")


def main(argv: list[str]) -> int:
    """Returns the exit status."""
    if argv == ["--shared"]:  # what an editor that waits says: nothing to be read
        from lofi.daemon import relay

        return relay.main()
    return _with_options(argv)


def _with_options(argv: list[str]) -> int:
    import argparse
    from pathlib import Path

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
    is_help = not {"-h", "--help"}.isdisjoint(rest)
    if chosen.shared and not is_help:
        from lofi.daemon import relay

        return relay.main(rest)
    if chosen.started_by is not None:
        from lofi import parent

        parent.bind()
        if not parent.is_there(chosen.started_by):
            sys.exit(f"process {chosen.started_by}, which wanted this daemon, is not its parent")
        rest += ["--started-by", str(chosen.started_by)]
    from lofi.daemon import launch

    gc.disable()  # while rooms are read, nothing but them is made; see `App.run`
    light = None if is_help else launch.begin("light", os.environ)
    from lofi.daemon import app  # beside the worker: it is most of what there is to read

    return app.entry(rest, light)
