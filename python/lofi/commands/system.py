"""`lofi backends`, `doctor`, `config`, `rpc`, `logs`: the program itself."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lofi import settings
from lofi.client import Client
from lofi.commands import screen
from lofi.errors import InvalidParams
from lofi.paths import Paths

LEVEL_SIGNS = {"ok": "✓", "info": "·", "warn": "!", "error": "✗"}
FOLLOW_SEC = 0.5
LOG_LINES = 200


def add(commands: Any) -> None:
    """Adds the commands to the parser."""
    commands.add_parser("backends", help="what can make music here").set_defaults(run=run_backends)
    doctor = commands.add_parser("doctor", help="is everything in order?")
    doctor.add_argument("--deep", action="store_true", help="hash files, make a little music")
    doctor.set_defaults(run=run_doctor)
    config = commands.add_parser("config", help="settings")
    actions = config.add_subparsers(dest="action", required=True, metavar="ACTION")
    get = actions.add_parser("get", help="one value")
    get.add_argument("key")
    get.set_defaults(run=run_config_get)
    change = actions.add_parser("set", help="change a value and keep it")
    change.add_argument("key")
    change.add_argument("value")
    change.set_defaults(run=run_config_set)
    actions.add_parser("list", help="every value and where it comes from").set_defaults(
        run=run_config_list
    )
    actions.add_parser("path", help="the configuration file").set_defaults(run=run_config_path)
    rpc = commands.add_parser("rpc", help="one call to the daemon")
    rpc.add_argument("method")
    rpc.add_argument("params", nargs="?", default="{}", metavar="JSON")
    rpc.set_defaults(run=run_rpc)
    logs = commands.add_parser("logs", help="the log")
    logs.add_argument("-f", "--follow", action="store_true")
    logs.set_defaults(run=run_logs)


def _call(
    options: argparse.Namespace, method: str, params: dict[str, Any], limit_sec: float = 60
) -> Any:
    with Client.shared(Paths.from_environment(dict(options.environment))) as client:
        client.initialize("cli")
        return client.call(method, params, limit_sec=limit_sec)


def run_backends(options: argparse.Namespace) -> int:
    """A table, the default marked."""
    answer = _call(options, "get_backends", {})
    if options.json:
        screen.result(answer)
        return 0
    screen.table(
        [
            "*" if item["type"] == answer["default_backend"] else " ",
            item["type"],
            item["variant"] or "",
            item["status"],
            f"{item['min_duration_sec']:g}..{item['max_duration_sec']:g} s",
            item["license"],
        ]
        for item in answer["backends"]
    )
    return 0


def run_doctor(options: argparse.Namespace) -> int:
    """1 if anything is an error."""
    answer = _call(options, "doctor", {"deep": options.deep}, 600)
    if options.json:
        screen.result(answer)
        return 0 if answer["ok"] else 1
    for section in answer["sections"]:
        screen.text(section["title"])
        for item in section["items"]:
            screen.text(f"  {LEVEL_SIGNS[item['level']]} {item['message']}")
            for advice in item.get("advice") or ():
                screen.text(f"      {screen.in_shell(advice)}")
    return 0 if answer["ok"] else 1


def run_config_get(options: argparse.Namespace) -> int:
    """JSON."""
    answer = _call(options, "config_get", {"keys": [options.key]})
    screen.result(answer["config"][options.key])
    return 0


def run_config_set(options: argparse.Namespace) -> int:
    """Persists, and says what must be loaded anew."""
    value = settings.from_text(options.key, options.value)
    answer = _call(options, "config_set", {"key": options.key, "value": value, "persist": True})
    if options.json:
        screen.result(answer)
    for name, words in (("requires_reload", "the next load"), ("requires_restart", "a restart")):
        for key in answer[name]:
            screen.say(f"lofi: {key} takes effect with {words}")
    return 0


def run_config_list(options: argparse.Namespace) -> int:
    """Key, value, source."""
    answer = _call(options, "config_get", {})
    if options.json:
        screen.result(answer)
        return 0
    screen.table(
        [key, json.dumps(value, ensure_ascii=False), answer["sources"].get(key, "default")]
        for key, value in answer["config"].items()
    )
    return 0


def run_config_path(options: argparse.Namespace) -> int:
    """Needs no daemon."""
    path = str(Paths.from_environment(dict(options.environment)).config_file)
    if options.json:
        screen.result(path)
    else:
        screen.text(path)
    return 0


def run_rpc(options: argparse.Namespace) -> int:
    """Prints the result as JSON."""
    try:
        params = json.loads(options.params)
        json.dumps(params, allow_nan=False)
    except ValueError as error:
        raise InvalidParams(f"The parameters are not JSON: {error}") from error
    screen.result(_call(options, options.method, params, 3600))
    return 0


def run_logs(options: argparse.Namespace) -> int:
    """Reads the file itself, so that it works when the daemon does not."""
    paths = Paths.from_environment(dict(options.environment))
    chosen = settings.Settings.load(paths.config_file, paths.overrides_file, options.environment)
    path = Path(chosen.value("daemon.log_file") or paths.log_file)
    if not path.is_file() and not options.follow:
        screen.say(f"lofi: {path} does not exist yet")
        return 1
    if options.json and not options.follow:
        screen.result(list(_lines(path, follow=False)))
        return 0
    for line in _lines(path, follow=options.follow):
        screen.text(line)
    return 0


def _lines(path: Path, *, follow: bool) -> Iterator[str]:
    """The last lines, then what is appended; a rotated file is opened anew."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    yield from text.splitlines()[-LOG_LINES:]
    offset = path.stat().st_size if path.is_file() else 0
    while follow:
        time.sleep(FOLLOW_SEC)
        size = path.stat().st_size if path.is_file() else 0
        if size < offset:
            offset = 0
        if size > offset:
            with path.open(encoding="utf-8", errors="replace") as file:
                file.seek(offset)
                yield from file.read().splitlines()
            offset = size
