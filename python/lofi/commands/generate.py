"""`lofi generate`: one request, its progress, and a line of JSON for each finished track."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from lofi import catalog, parameters
from lofi.client import Client
from lofi.commands import screen
from lofi.errors import GenerationCancelled, InvalidParams, UnsupportedFormat, error_for
from lofi.paths import Paths

EXTENSIONS = {".wav": "wav", ".flac": "flac", ".ogg": "ogg", ".mp3": "mp3"}
FLAGS = {
    "prompt": "prompt",
    "lyrics": "lyrics",
    "language": "vocal_language",
    "metas": "metas",
    "bpm": "bpm",
    "keyscale": "keyscale",
    "timesignature": "timesignature",
    "duration": "duration_sec",
    "seed": "seed",
    "backend": "backend",
    "variant": "variant",
    "steps": "infer_steps",
    "scheduler": "scheduler",
    "guidance": "guidance_scale",
    "shift": "shift",
    "batch": "batch_size",
    "task": "task",
    "source": "source",
    "reference": "reference",
    "format": "format",
}


def add(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "generate", help="make a track", description=__doc__, argument_default=None
    )
    parser.add_argument("words", nargs="?", metavar="PROMPT", help="- reads it from stdin")
    parser.add_argument("-c", "--caption", "-p", "--prompt", dest="prompt", metavar="TEXT")
    parser.add_argument("-l", "--lyrics", metavar="TEXT", help="empty: instrumental")
    parser.add_argument("--lyrics-file", type=Path, metavar="FILE")
    parser.add_argument("--language", metavar="CODE")
    parser.add_argument("--metas", metavar="TEXT", help='"bpm: 90, key: C minor"')
    parser.add_argument("--bpm", type=int)
    parser.add_argument("--keyscale", metavar="KEY")
    parser.add_argument("--timesignature", metavar="BEATS")
    parser.add_argument("-d", "--duration", type=float, metavar="SEC")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="wav, flac, ogg or mp3")
    parser.add_argument("-s", "--seed", type=int)
    parser.add_argument("-b", "--backend", metavar="NAME", help=", ".join(catalog.BACKENDS))
    parser.add_argument("--variant", metavar="NAME")
    parser.add_argument("--steps", type=int, metavar="N")
    parser.add_argument("--scheduler", metavar="NAME")
    parser.add_argument("--guidance", type=float, metavar="X")
    parser.add_argument("--shift", type=float, metavar="X")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any other parameter"
    )
    parser.add_argument("--batch", type=int, metavar="N", help="takes, with seeds in a row")
    parser.add_argument("--task", metavar="NAME")
    parser.add_argument("--source", metavar="TRACK|FILE")
    parser.add_argument("--reference", metavar="TRACK|FILE")
    parser.add_argument("--lora", action="append", default=[], metavar="NAME[:SCALE]")
    parser.add_argument("--format", choices=parameters.FORMATS)
    parser.add_argument("--loopable", action="store_true")
    parser.add_argument("--force", action="store_true", help="render even if it is cached")
    parser.add_argument("--play", action="store_true", help="play it, from its first seconds on")
    parser.add_argument("--guide", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--device", metavar="NAME")
    parser.add_argument("--bf16", choices=("true", "false"))
    parser.add_argument("--offload", choices=("auto", "none", "sequential", "cpu"))
    parser.add_argument("--private", action="store_true", help="do not use the shared daemon")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Returns the exit status."""
    params = request(options)
    paths = Paths.from_environment(dict(options.environment))
    config = {
        f"model.{name}": value
        for name, value in (
            ("device", options.device),
            ("bf16", None if options.bf16 is None else options.bf16 == "true"),
            ("offload", options.offload),
        )
        if value is not None
    }
    client = Client.private() if options.private else Client.shared(paths)
    with client:
        client.initialize("cli", config)
        tracks = _Tracks(client, options.output, quiet=options.quiet, prints=not options.guide)
        tracks.render(params)
        if options.play:
            tracks.listen()
    if options.guide:
        _guide(tracks.finished)
    return 0


def render(options: argparse.Namespace, params: dict[str, Any], output: Path) -> None:
    """Renders one request of another command into a file."""
    with Client.shared(Paths.from_environment(dict(options.environment))) as client:
        client.initialize("cli")
        tracks = _Tracks(client, output, quiet=options.quiet)
        tracks.render({**params, "origin": "cli", "auto_play": False})


def request(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the parameters of `generate` that the options mean.

    Raises:
        InvalidParams: options contradict each other.
    """
    if options.words is not None:
        if options.prompt is not None:
            raise InvalidParams("The prompt is given twice", hint="Give it once.")
        options.prompt = options.words
        if options.words == "-":
            options.prompt = _decoded(sys.stdin.buffer.read(), "The prompt on stdin")
    if options.lyrics_file is not None:
        try:
            data = options.lyrics_file.read_bytes()
        except OSError as error:
            raise InvalidParams(f"{options.lyrics_file}: {error.strerror}") from error
        options.lyrics = _decoded(data, str(options.lyrics_file))
    elif options.lyrics is not None:
        options.lyrics = options.lyrics.replace("\\n", "\n")
    params: dict[str, Any] = {"origin": "cli", "auto_play": options.play}
    for flag, name in FLAGS.items():
        value = getattr(options, flag)
        if value is not None:
            params[name] = value
    for flag in ("loopable", "force"):
        if getattr(options, flag):
            params[flag] = True
    for assignment in options.set:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise InvalidParams(f"--set takes key=value, got {assignment!r}")
        params[name] = _value(value)
    for name in ("source", "reference"):
        if isinstance(params.get(name), str) and Path(params[name]).exists():
            params[name] = {"path": str(Path(params[name]).absolute())}
    if options.lora:
        params["loras"] = [_lora(item) for item in options.lora]
    if options.output is not None:
        extension = options.output.suffix.lower()
        if extension not in EXTENSIONS:
            raise UnsupportedFormat(
                f"{options.output.name} has no extension of a known format",
                hint="Use " + ", ".join(EXTENSIONS) + ".",
            )
    return params


def _decoded(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidParams(f"{what} is not UTF-8 text", hint="Convert it to UTF-8.") from error


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _lora(text: str) -> dict[str, Any]:
    name, separator, scale = text.rpartition(":")
    if separator:
        try:
            return {"name": name, "scale": float(scale)}
        except ValueError:
            pass
    return {"name": text, "scale": 1.0}


class _Tracks:
    """Follows the takes of one request to their ends."""

    def __init__(
        self, client: Client, output: Path | None, *, quiet: bool, prints: bool = True
    ) -> None:
        self._client = client
        self._output = output
        self._prints = prints
        self._quiet = quiet
        self._progress = screen.Progress(quiet=quiet)
        self.finished: list[dict[str, Any]] = []

    def render(self, params: dict[str, Any]) -> None:
        accepted = self._client.call("generate", params, limit_sec=600)
        for warning in () if self._quiet else accepted.get("warnings", ()):
            screen.say(f"lofi: {screen.in_shell(warning['message'])}")
        takes = accepted.get("tracks") or [accepted]
        waiting = {take["track_id"]: index for index, take in enumerate(takes)}
        try:
            self._follow(waiting, len(takes))
        except KeyboardInterrupt:
            for track in waiting:
                self._client.send("cancel", {"track_id": track})
            raise
        finally:
            self._progress.end()

    def _follow(self, waiting: dict[str, int], total: int) -> None:
        for note in self._client.notifications():
            track = note.params.get("track_id") if note else None
            if note is None or track not in waiting:
                continue
            if note.method == "generation_progress":
                told = (note.params["phase"], note.params.get("message"))
                self._progress.show(
                    note.params["percent"],
                    ", ".join(filter(None, told)),
                    note.params.get("eta_sec"),
                )
            elif note.method == "generation_complete":
                self._progress.end()
                self._finish(dict(note.params), waiting.pop(track), total)
            elif note.method == "generation_error":
                raise error_for(note.params["code"], note.params["message"],
                                hint=note.params.get("hint"))  # fmt: skip
            elif note.method == "generation_cancelled":
                raise GenerationCancelled(f"Cancelled ({note.params.get('reason')})")
            if not waiting:
                return

    def _finish(self, track: dict[str, Any], index: int, total: int) -> None:
        path = track["path"]
        if self._output is not None:
            path = self._export(self._output.absolute(), track["track_id"], index, total)
        line = {
            "path": path,
            "duration_s": track["duration_sec"],
            "sample_rate": track["sample_rate"],
            "channels": track["channels"],
            "track_id": track["track_id"],
            "seed": track["seed"],
            "backend": track["backend"],
            "model_version": track["model_version"],
            "generation_time_s": track["generation_time_sec"],
        }
        self.finished.append({**line, "title": track.get("title")})
        if self._prints:
            screen.result(line)

    def _export(self, output: Path, track_id: str, index: int, total: int) -> str:
        if total > 1:
            output = output.with_stem(f"{output.stem}-{index + 1}")
        output.parent.mkdir(parents=True, exist_ok=True)
        params = {
            "track_id": track_id,
            "path": str(output),
            "format": EXTENSIONS[output.suffix.lower()],
            "overwrite": True,
        }
        return str(self._client.call("cache_export", params, limit_sec=600)["path"])

    def listen(self) -> None:
        """Stays until what it started has been played, for the sound ends with its last client."""
        status = self._client.call("status")
        if not str(status.get("audio_device") or "").strip() or status["audio_device"] == "null":
            screen.say("lofi: there is no audio device here, so nothing is heard")
            return
        wanted = {track["track_id"] for track in self.finished}
        try:
            for note in self._client.notifications():
                playing = self._client.call("status")["playback"] if note is None else None
                if playing is not None:
                    if playing["state"] == "stopped" or playing["track_id"] not in wanted:
                        return
                    left = (playing["duration_sec"] or 0) - playing["position_sec"]
                    percent = int(100 * playing["position_sec"] / (playing["duration_sec"] or 1))
                    self._progress.show(min(percent, 100), "playing (Ctrl-C stops)", left)
        except KeyboardInterrupt:
            self._client.call("stop")
        finally:
            self._progress.end()


def _guide(tracks: list[dict[str, Any]]) -> None:
    for track in tracks:
        screen.text(f"\n  {track['path']}")
        seconds = screen.clock(track["duration_s"])
        screen.text(
            f"  {seconds} of {track['sample_rate'] // 1000} kHz sound, "
            f"{track['backend']}, seed {track['seed']}, made in {track['generation_time_s']:.1f} s"
        )
    screen.text(
        "\n  In Neovim: add this folder to 'runtimepath' and type :Lofi"
        "\n  (README.md, Install). Next: :Lofi generate rain on a window, felt piano"
    )
