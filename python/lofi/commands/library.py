"""`lofi list` and `lofi cache`: the tracks there are, and what can be done with them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lofi.client import Client
from lofi.commands import screen
from lofi.commands.generate import EXTENSIONS
from lofi.errors import InvalidParams
from lofi.paths import Paths

ID_SHOWN = 8


def add(commands: Any) -> None:
    """Adds the commands to the parser."""
    listing = commands.add_parser("list", help="the tracks there are")
    listing.add_argument("query", nargs="*", metavar="WORD")
    listing.add_argument("--favorites", action="store_true")
    listing.add_argument("--limit", type=int, default=50, metavar="N")
    listing.set_defaults(run=run_list)
    cache = commands.add_parser("cache", help="look after the tracks")
    actions = cache.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("stats", help="how many, how large").set_defaults(run=run_stats)
    actions.add_parser("gc", help="remove leftovers, keep the limits").set_defaults(run=run_gc)
    clear = actions.add_parser("clear", help="delete all but favourites")
    clear.add_argument("--all", action="store_true", help="favourites too")
    clear.add_argument("--older-than-days", type=float, metavar="N")
    clear.add_argument("--yes", action="store_true", help="do not ask")
    clear.set_defaults(run=run_clear)
    delete = actions.add_parser("delete", help="delete tracks")
    delete.add_argument("ids", nargs="+", metavar="ID")
    delete.set_defaults(run=run_delete)
    favorite = actions.add_parser("favorite", help="never evict a track")
    favorite.add_argument("id", metavar="ID")
    favorite.add_argument("--off", action="store_true", help="not a favourite any more")
    favorite.set_defaults(run=run_favorite)
    export = actions.add_parser("export", help="copy a track out, in any format")
    export.add_argument("id", metavar="ID")
    export.add_argument("path", type=Path, metavar="FILE|FOLDER")
    export.add_argument("--overwrite", action="store_true")
    export.set_defaults(run=run_export)
    importing = actions.add_parser("import", help="take a file in, to be played")
    importing.add_argument("path", type=Path, metavar="FILE")
    importing.add_argument("--title")
    importing.set_defaults(run=run_import)
    recipe = actions.add_parser("recipe", help="what makes this track again")
    recipe.add_argument("id", metavar="ID")
    recipe.set_defaults(run=run_recipe)


def _call(
    options: argparse.Namespace, method: str, params: dict[str, Any], limit_sec: float = 60
) -> dict[str, Any]:
    paths = Paths.from_environment(dict(options.environment))
    with Client.shared(paths) as client:
        client.initialize("cli")
        return dict(client.call(method, params, limit_sec=limit_sec))


def run_list(options: argparse.Namespace) -> int:
    """Newest first."""
    params: dict[str, Any] = {"limit": options.limit}
    if options.query:
        params["query"] = " ".join(options.query)
    if options.favorites:
        params["favorite"] = True
    answer = _call(options, "cache_list", params)
    if options.json:
        screen.result(answer)
        return 0
    screen.table(
        [
            track["track_id"][:ID_SHOWN],
            screen.clock(track["duration_sec"]),
            "★" if track["favorite"] else " ",
            track["backend"],
            track["created_at"][:10],
            track["title"],
        ]
        for track in answer["tracks"]
    )
    if not answer["tracks"]:
        screen.say("lofi: no tracks yet; lofi generate makes one")
    return 0


def run_stats(options: argparse.Namespace) -> int:
    """Counts and sizes."""
    stats = _call(options, "cache_stats", {})
    if options.json:
        screen.result(stats)
    else:
        screen.table([name, "" if value is None else str(value)] for name, value in stats.items())
    return 0


def run_gc(options: argparse.Namespace) -> int:
    """Removes leftovers."""
    answer = _call(options, "cache_gc", {}, 600)
    if options.json:
        screen.result(answer)
    else:
        freed = screen.size(answer["freed_bytes"])
        screen.text(f"{answer['removed_files']} files removed, {freed} freed")
    return 0


def run_clear(options: argparse.Namespace) -> int:
    """Asks first."""
    question = "Delete every track?" if options.all else "Delete all but favourites?"
    if not options.yes and not screen.agrees(question):
        return 1
    params: dict[str, Any] = {"keep_favorites": not options.all}
    if options.older_than_days is not None:
        params["older_than_days"] = options.older_than_days
    answer = _call(options, "cache_clear", params)
    if options.json:
        screen.result(answer)
    else:
        screen.text(f"{answer['deleted']} deleted, {screen.size(answer['freed_bytes'])} freed")
    return 0


def run_delete(options: argparse.Namespace) -> int:
    """Deletes by id or unique prefix."""
    answer = _call(options, "cache_delete", {"track_ids": options.ids})
    if options.json:
        screen.result(answer)
    else:
        for track in answer["deleted"]:
            screen.text(track)
    return 0


def run_favorite(options: argparse.Namespace) -> int:
    """Marks or unmarks a favourite."""
    answer = _call(options, "cache_favorite", {"track_id": options.id, "favorite": not options.off})
    if options.json:
        screen.result(answer)
    return 0


def run_export(options: argparse.Namespace) -> int:
    """The format follows the extension; a folder gets a name made from the title."""
    path = options.path.absolute()
    params: dict[str, Any] = {
        "track_id": options.id,
        "path": str(path),
        "overwrite": options.overwrite,
    }
    if not path.is_dir():
        if path.suffix.lower() not in EXTENSIONS:
            raise InvalidParams(
                f"{path.name} has no extension of a known format",
                hint="Use " + ", ".join(EXTENSIONS) + ", or name a folder.",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        params["format"] = EXTENSIONS[path.suffix.lower()]
    answer = _call(options, "cache_export", params, 600)
    if options.json:
        screen.result(answer)
    else:
        screen.text(answer["path"])
    return 0


def run_import(options: argparse.Namespace) -> int:
    """Takes a copy of the file."""
    params: dict[str, Any] = {"path": str(options.path.absolute())}
    if options.title:
        params["title"] = options.title
    answer = _call(options, "cache_import", params, 600)
    if options.json:
        screen.result(answer)
    else:
        screen.text(answer["track"]["track_id"])
    return 0


def run_recipe(options: argparse.Namespace) -> int:
    """JSON, ready for `lofi rpc generate`."""
    screen.result(_call(options, "cache_recipe", {"track_id": options.id})["request"])
    return 0
