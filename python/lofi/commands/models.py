"""`lofi setup`, `verify`, `remove`: models onto the machine, checked, and off it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lofi import catalog
from lofi.client import Client
from lofi.commands import neural, screen
from lofi.errors import DownloadConsentRequired, InvalidParams, LofiError, error_for
from lofi.paths import Paths

DOWNLOAD_ENDINGS = ("download_complete", "download_error", "download_cancelled")


def add(commands: Any) -> None:
    """Adds the commands to the parser."""
    setup = commands.add_parser("setup", help="download a model, after a yes")
    setup.add_argument(
        "backend",
        nargs="?",
        metavar="BACKEND",
        help="a model, or python: the packages all models need; none: what there is",
    )
    setup.add_argument("--variant", metavar="NAME")
    setup.add_argument("--lm", metavar="SIZE", help="a planner too: " + ", ".join(catalog.LM_SIZES))
    setup.add_argument("--source", type=Path, metavar="DIR", help="a folder instead of the hub")
    setup.add_argument("--revision", metavar="COMMIT", help="in place of the pinned one")
    setup.add_argument(
        "--repair", action="store_true", help="hash everything, replace what is wrong"
    )
    setup.add_argument("--path", type=Path, metavar="DIR", help="keep all models there from now on")
    setup.add_argument("--list", action="store_true", help="what there is, with sizes")
    setup.add_argument("--yes", action="store_true", help="do not ask")
    setup.set_defaults(run=run_setup)
    verify = commands.add_parser("verify", help="are a model's files whole?")
    verify.add_argument("backend", metavar="BACKEND")
    verify.add_argument("--variant", metavar="NAME")
    verify.add_argument("--deep", action="store_true", help="hash everything")
    verify.set_defaults(run=run_verify)
    remove = commands.add_parser("remove", help="delete a model's files")
    remove.add_argument("backend", metavar="BACKEND")
    remove.add_argument("--variant", metavar="NAME")
    remove.add_argument("--yes", action="store_true", help="do not ask")
    remove.set_defaults(run=run_remove)


def _client(options: argparse.Namespace) -> Client:
    return Client.shared(Paths.from_environment(dict(options.environment)))


def _shown(backend: catalog.Backend) -> dict[str, Any]:
    return {
        "backend": catalog.spelling(backend.type),
        "name": backend.name,
        "variants": [variant.name for variant in backend.variants],
        "license": backend.license,
    }


def run_setup(options: argparse.Namespace) -> int:
    """Says what it costs, asks, downloads; a broken one goes on where it stopped."""
    if options.backend == "python":
        if options.path is not None:
            raise InvalidParams(
                "--path is about models; python goes into the Python that runs this",
                hint="Leave --path away, or name a model.",
            )
        return neural.run(options)
    if options.path is not None and not _move(options):
        return 1
    with _client(options) as client:
        client.initialize("cli")
        if options.list or options.backend is None:
            return _list(client, options)
        params = {name: value for name, value in _wishes(options) if value}
        if options.repair:
            broken = _broken(client, options)
            if not broken:
                screen.say("lofi: every file is whole")
                return 0
            params |= {"components": broken, "repair": True}
        try:
            answer = client.call("download_backend", params)
        except DownloadConsentRequired as error:
            if not _agrees(error):
                return 1
            answer = client.call("download_backend", {**params, "consent": True})
        if answer["already_installed"]:
            screen.say("lofi: it is installed already")
            return 0
        return _watch(client, answer["download_id"], options)


def _wishes(options: argparse.Namespace) -> list[tuple[str, Any]]:
    return [
        ("backend", options.backend),
        ("consent", options.yes),
        ("variant", options.variant),
        ("lm_model", options.lm),
        ("revision", options.revision),
        ("source", str(options.source.absolute()) if options.source else None),
    ]


def _list(client: Client, options: argparse.Namespace) -> int:
    """Every model there is, what it weighs and asks of this machine, and whether it is here."""
    backends = client.call("get_backends", {})["backends"]
    if options.json:
        screen.result({"backends": [item for item in backends if item["path"]]})
        return 0
    rows = []
    for backend in backends:
        kinds = [(f"--variant {item['name']}", item) for item in backend["variants"]]
        kinds += [(f"--lm {item['name']}", item) for item in backend["planners"]]
        for choice, item in kinds if backend["path"] else ():
            words = [catalog.spelling(backend["type"]), choice, screen.size(item["bytes"])]
            rows.append([*words, item["status"].replace("_", " "), backend["license"]])
    screen.table(rows)
    return 0


def _move(options: argparse.Namespace) -> bool:
    """Makes a folder the home of all models. The daemon learns of it by starting anew, after a
    yes where that ends something; False is a no, and nothing was done."""
    folder = options.path.absolute()
    with _client(options) as client:
        client.initialize("cli")
        key = "model.weights_path"
        before = client.call("config_get", {"keys": [key]})["config"][key]
        if before == str(folder):
            return True
        if not options.yes and not _may_end(client.call("status", {})):
            return False
        folder.mkdir(parents=True, exist_ok=True)
        client.call("config_set", {"key": key, "value": str(folder), "persist": True})
        old = before or Paths.from_environment(dict(options.environment)).cache
        screen.say(f"lofi: models are kept in {folder} from now on; the daemon starts anew")
        screen.say(f"      Move what is in {old} there, or it is not found any more.")
        client.call("shutdown", {})
    return True


def _may_end(status: dict[str, Any]) -> bool:
    """Asks whether the daemon may end, if it plays, renders or downloads."""
    ends = {
        "the music": status["playback"]["state"] == "playing",
        "the track that is being made": status["generation"]["active"],
        "what waits to be made": status["queue_length"] > 0,
        "the download": bool(status["downloads"]),
    }
    ended = [name for name, is_on in ends.items() if is_on]
    if not ended:
        return True
    return screen.agrees(f"The daemon starts anew, which ends {', '.join(ended)}. Go on?")


def _broken(client: Client, options: argparse.Namespace) -> list[str]:
    """The components that have a file that is not what it should be."""
    params = {"backend": options.backend, "deep": True}
    if options.variant:
        params["variant"] = options.variant
    screen.say("lofi: reading every file")
    rows = client.call("backend_verify", params, limit_sec=3600)["files"]
    wrong = [row for row in rows if "error" in row]
    for row in wrong:
        screen.say(f"  ✗ {row['name']} {row['error']}")
    return list(dict.fromkeys(row["name"].partition("/")[0] for row in wrong))


def _agrees(error: LofiError) -> bool:
    facts = error.data
    screen.say(error.message)
    screen.say(f"  from     {facts['source']}")
    screen.say(f"  to       {facts['path']} ({screen.size(facts['free_bytes'])} free)")
    estimate = facts["estimate"]
    if estimate["seconds_per_minute_of_audio"] is not None:
        about = "" if estimate["measured"] else "about "
        spent = screen.duration(estimate["seconds_per_minute_of_audio"])
        screen.say(f"  time     {about}{spent} for a minute of music on this machine")
    screen.say(f"  memory   {screen.size(estimate['memory_mb'] * 1e6)}")
    return screen.agrees("Download it?")


def _watch(client: Client, download_id: str, options: argparse.Namespace) -> int:
    progress = screen.Progress(quiet=options.quiet)
    try:
        for note in client.notifications():
            if note is None or note.params.get("download_id") != download_id:
                continue
            params = note.params
            if note.method == "download_progress":
                speed = screen.size(params["speed_bps"]) + "/s"
                label = f"{params['component']}  {speed}"
                progress.show(params["overall_percent"], label, params["eta_sec"])
            elif note.method in DOWNLOAD_ENDINGS:
                progress.end()
                return _ended(note.method, dict(params), options)
    except KeyboardInterrupt:
        client.call("download_cancel", {"download_id": download_id})
        raise
    finally:
        progress.end()
    return 1


def _ended(method: str, params: dict[str, Any], options: argparse.Namespace) -> int:
    if method == "download_error":
        raise error_for(params["code"], params["message"], hint=params["hint"])
    if method == "download_cancelled":
        screen.say("lofi: cancelled; what is there is kept, and setup goes on from it")
        return 1
    if options.json:
        screen.result(params)
    else:
        screen.say(f"lofi: installed in {params['path']}")
    return 0


def run_verify(options: argparse.Namespace) -> int:
    """1 if a file is not what it should be."""
    params = {"backend": options.backend, "deep": options.deep}
    if options.variant:
        params["variant"] = options.variant
    with _client(options) as client:
        client.initialize("cli")
        answer = client.call("backend_verify", params, limit_sec=3600)
    if options.json:
        screen.result(answer)
    else:
        for row in answer["files"]:
            sign = "✗" if "error" in row else "✓"
            screen.text(f"{sign} {row['name']} {row.get('error', '')}".rstrip())
        if not answer["ok"]:
            screen.say(f"lofi: lofi setup {options.backend} --repair brings what is not whole")
    return 0 if answer["ok"] else 1


def run_remove(options: argparse.Namespace) -> int:
    """Asks first."""
    backend = catalog.backend_named(options.backend)
    if not options.yes and not screen.agrees(f"Delete the files of {backend.name}?"):
        return 1
    params: dict[str, Any] = {"backend": backend.type, "confirm": True}
    if options.variant:
        params["variant"] = options.variant
    with _client(options) as client:
        client.initialize("cli")
        answer = client.call("backend_remove", params, limit_sec=600)
    if options.json:
        screen.result(answer)
    else:
        screen.text(f"{screen.size(answer['freed_bytes'])} freed")
    return 0
