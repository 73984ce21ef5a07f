"""`lofi setup`, `verify`, `remove`: models onto the machine, checked, and off it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lofi import catalog
from lofi.client import Client
from lofi.commands import screen
from lofi.errors import DownloadConsentRequired, LofiError, error_for
from lofi.paths import Paths

DOWNLOAD_ENDINGS = ("download_complete", "download_error", "download_cancelled")


def add(commands: Any) -> None:
    """Adds the commands to the parser."""
    setup = commands.add_parser("setup", help="download a model, after a yes")
    setup.add_argument("backend", nargs="?", metavar="BACKEND", help="none: what there is")
    setup.add_argument("--variant", metavar="NAME")
    setup.add_argument("--lm", metavar="SIZE", help="a planner too: " + ", ".join(catalog.LM_SIZES))
    setup.add_argument("--source", type=Path, metavar="DIR", help="a folder instead of the hub")
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


def run_setup(options: argparse.Namespace) -> int:
    """Says what it costs, asks, downloads; a broken one goes on where it stopped."""
    if options.backend is None:
        screen.table(
            [
                catalog.spelling(backend.type),
                backend.name,
                ", ".join(variant.name for variant in backend.variants),
                backend.license,
            ]
            for backend in catalog.BACKENDS.values()
            if not backend.is_light
        )
        return 0
    params: dict[str, Any] = {"backend": options.backend, "consent": options.yes}
    for name, value in (("variant", options.variant), ("lm_model", options.lm)):
        if value:
            params[name] = value
    if options.source:
        params["source"] = str(options.source.absolute())
    with _client(options) as client:
        client.initialize("cli")
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


def _agrees(error: LofiError) -> bool:
    facts = error.data
    screen.say(error.message)
    screen.say(f"  from     {facts['source']}")
    screen.say(f"  to       {facts['path']} ({screen.size(facts['free_bytes'])} free)")
    screen.say(f"  size     {screen.size(facts['bytes_total'])}, {facts['files_total']} files")
    screen.say(f"  licence  {facts['license']}")
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
