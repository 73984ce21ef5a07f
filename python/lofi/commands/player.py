"""`lofi play` and the media-key commands: what a terminal can do to the one player."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lofi.client import Client, NotRunning
from lofi.commands import screen
from lofi.paths import Paths

SEEK_SEC = 10
VOLUME_STEP = 0.1
KEYS_HELP = "space pause · n next · p previous · ←/→ seek · +/- volume · q quit"


def add(commands: Any) -> None:
    """Adds the commands to the parser."""
    play = commands.add_parser("play", help="play tracks or files in the foreground")
    play.add_argument("items", nargs="*", metavar="ID|FILE", help="nothing: the newest track")
    play.add_argument("--volume", type=_percent, metavar="0..100|+N|-N")
    play.set_defaults(run=run_play)
    for name, summary in (
        ("stop", "silence"),
        ("toggle", "pause or go on"),
        ("pause", "pause"),
        ("resume", "go on"),
        ("skip", "to the next track"),
        ("prev", "to the start, or the track before"),
    ):
        command = commands.add_parser(name, help=summary)
        command.set_defaults(run=run_key, method={"prev": "previous"}.get(name, name))
    volume = commands.add_parser("volume", help="show or set the volume")
    volume.add_argument("level", nargs="?", type=_percent, metavar="0..100|+N|-N")
    volume.set_defaults(run=run_volume)
    status = commands.add_parser("status", help="what plays and what is being made")
    status.add_argument("--format", metavar="TEXT", help="{title} {state} {position} {duration} …")
    status.set_defaults(run=run_status)


def _percent(text: str) -> dict[str, float]:
    """Returns the parameters of `volume_set` that a person's figure means."""
    number = float(text)
    if not -100 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text} is outside 0..100")
    return {"delta" if text.strip()[0] in "+-" else "level": number / 100}


def run_play(options: argparse.Namespace) -> int:
    """Returns the exit status."""
    paths = Paths.from_environment(dict(options.environment))
    with Client.shared(paths) as client:
        client.initialize("cli")
        if options.volume is not None:
            client.call("volume_set", options.volume)
        playback = _start(client, options.items)
        if options.json:
            screen.result(playback)
        _foreground(client, max(1, len(options.items)), quiet=options.quiet)
    return 0


def _start(client: Client, items: list[str]) -> dict[str, Any]:
    if not items:
        return dict(client.call("play"))
    first = dict(client.call("play", _named(items[0])))
    for item in reversed(items[1:]):  # each right behind the first: before what others lined up
        client.call("play", {**_named(item), "enqueue": "next"})
    return first


def _named(item: str) -> dict[str, Any]:
    path = Path(item)
    return {"path": str(path.absolute())} if path.exists() else {"track_id": item}


def _foreground(client: Client, count: int, *, quiet: bool) -> None:
    """Stays until `count` tracks have been played, or somebody stops them."""
    progress = screen.Progress(quiet=quiet)
    with _raw_keys() as keys:
        if keys is not None and not quiet:
            screen.say(KEYS_HELP)
        try:
            for note in client.notifications(idle_sec=0.2):
                if keys is not None and not _press(client, keys):
                    return
                if note is not None and note.method == "playback_ended":
                    count -= note.params["reason"] in ("finished", "skipped")
                    if count == 0 or note.params["reason"] == "stopped":
                        client.call("stop")
                        return
                playback = client.call("status")["playback"]
                if playback["state"] == "stopped" and playback["track_id"] is None:
                    return
                _draw(progress, playback)
        except KeyboardInterrupt:
            client.call("stop")
        finally:
            progress.end()


def _draw(progress: screen.Progress, playback: dict[str, Any]) -> None:
    length = playback["duration_sec"] or 0
    percent = int(100 * playback["position_sec"] / length) if length else 0
    title = playback["title"] or playback["track_id"] or ""
    sign = "⏸" if playback["state"] == "paused" else "▶"
    progress.show(
        min(percent, 100), f"{sign} {screen.clock(playback['position_sec'])} {title}", None
    )


@contextlib.contextmanager
def _raw_keys() -> Iterator[int | None]:
    """Single keys while a terminal is there; None elsewhere."""
    if not sys.stdin.isatty():
        yield None
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _press(client: Client, descriptor: int) -> bool:
    """Does what the pressed key means; False ends the command."""
    if not select.select([descriptor], [], [], 0)[0]:
        return True
    key = os.read(descriptor, 8).decode(errors="replace")
    if key == "q":
        client.call("stop")
        return False
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        " ": ("toggle", {}),
        "n": ("skip", {}),
        "p": ("previous", {}),
        "\x1b[D": ("seek", {"delta_sec": -SEEK_SEC}),
        "\x1b[C": ("seek", {"delta_sec": SEEK_SEC}),
        "+": ("volume_set", {"delta": VOLUME_STEP}),
        "-": ("volume_set", {"delta": -VOLUME_STEP}),
    }
    if key in calls:
        client.call(*calls[key])
    return True


@contextlib.contextmanager
def _running(options: argparse.Namespace) -> Iterator[Client]:
    with Client.running(Paths.from_environment(dict(options.environment))) as client:
        client.initialize("cli")
        yield client


def run_key(options: argparse.Namespace) -> int:
    """One key press; it never starts a daemon."""
    with _running(options) as client:
        playback = client.call(options.method)
    if options.json:
        screen.result(playback)
    return 0


def run_volume(options: argparse.Namespace) -> int:
    """Shows or sets the volume in percent."""
    with _running(options) as client:
        if options.level is None:
            answer = client.call("volume_get")
        else:
            answer = client.call("volume_set", options.level)
    if options.json:
        screen.result(answer)
    else:
        screen.text(f"{round(100 * answer['level'])}%" + (" muted" if answer["muted"] else ""))
    return 0


def run_status(options: argparse.Namespace) -> int:
    """A line for bars and scripts; it never starts a daemon."""
    try:
        with _running(options) as client:
            status = client.call("status")
    except NotRunning:
        if options.json:
            screen.result(None)
        raise
    if options.json:
        screen.result(status)
        return 0
    playback, generation = status["playback"], status["generation"]
    fields = {
        "state": playback["state"],
        "title": screen.clean(playback["title"] or ""),
        "id": playback["track_id"] or "",
        "position": screen.clock(playback["position_sec"]),
        "duration": screen.clock(playback["duration_sec"]),
        "volume": f"{round(100 * playback['volume'])}%",
        "percent": str(generation.get("percent") or 0) if generation.get("active") else "",
    }
    template = options.format or "{state} {position}/{duration} {title}"
    screen.text(template.format_map(_Lenient(fields)))
    return 0


class _Lenient(dict[str, str]):
    """An unknown field shows as it was written."""

    def __missing__(self, key: str) -> str:
        return "{" + key + "}"
