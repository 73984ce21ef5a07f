"""`lofi plan`, `lyrics`, `request`, `exchange`: ideas to plans, plans of other tools to tracks."""

from __future__ import annotations

import argparse
import json
import secrets
from pathlib import Path
from typing import Any

from lofi import exchange, parameters, request
from lofi.client import Client
from lofi.commands import generate, screen
from lofi.errors import InvalidParams, InvalidSource
from lofi.paths import Paths
from lofi.wire.jsonrpc import Notification

PLAN_LIMIT_SEC = 3600.0
_DOING = {"lm_inspire": "planning", "lm_format": "rewriting", "lm_understand": "listening",
          "lm_codes": "planning", "lyrics_timing": "timing the lyrics"}  # fmt: skip
_SUBTITLES = {".lrc": "lrc", ".vtt": "vtt"}


def add(commands: Any) -> None:
    """Adds the commands to the parser."""
    plan = commands.add_parser("plan", help="let the planner think (needs ACE-Step 1.5)")
    actions = plan.add_subparsers(dest="action", required=True, metavar="ACTION")
    inspire = actions.add_parser("inspire", help="an idea to prompt, lyrics and metadata")
    inspire.add_argument("query", metavar="IDEA")
    inspire.add_argument("--instrumental", action="store_true", default=None)
    rewrite = actions.add_parser("format", help="a prompt and lyrics, tidied")
    rewrite.add_argument("prompt", metavar="PROMPT")
    understand = actions.add_parser("understand", help="what a piece of audio is")
    understand.add_argument("source", metavar="TRACK|FILE")
    codes = actions.add_parser("codes", help="a whole plan, codes included, not rendered")
    codes.add_argument("prompt", metavar="PROMPT")
    for parser in (rewrite, codes):
        parser.add_argument("-l", "--lyrics", metavar="TEXT", help="\\n begins a line")
        parser.add_argument("-d", "--duration", type=float, metavar="SEC", dest="duration_sec")
        parser.add_argument("--bpm", type=int)
        parser.add_argument("--keyscale", metavar="KEY")
        parser.add_argument("--timesignature", metavar="BEATS")
    for parser in (inspire, rewrite, codes):
        parser.add_argument("--language", metavar="CODE", dest="vocal_language")
    for parser in (inspire, rewrite, understand):
        for name, kind in _SAMPLING.items():
            parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N")
    for parser in (inspire, rewrite, understand, codes):
        parser.add_argument("-s", "--seed", type=int)
        parser.add_argument("--lm-model", metavar="SIZE")
        parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="request JSON")
        parser.add_argument("--output-dir", type=Path, metavar="DIR", help="exchange directory")
        parser.set_defaults(run=run_plan, parser=parser)
    lyrics = commands.add_parser("lyrics", help="when each line of a track is sung")
    lyrics.add_argument("track", metavar="TRACK")
    lyrics.add_argument("-o", "--output", type=Path, metavar="FILE", help="FILE.lrc or FILE.vtt")
    lyrics.set_defaults(run=run_lyrics)
    render = commands.add_parser("request", help="render request JSON of other 1.5 tools")
    render.add_argument("files", nargs="+", type=Path, metavar="FILE")
    render.add_argument("-o", "--output", type=Path, metavar="PATTERN", help="default: beside FILE")
    render.add_argument("--strict", action="store_true", help="unknown members are errors")
    render.set_defaults(run=run_request)
    folder = commands.add_parser("exchange", help="render an exchange directory")
    folder.add_argument("folder", type=Path, metavar="DIR")
    folder.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    folder.add_argument("--variant", metavar="NAME")
    folder.add_argument("-s", "--seed", type=int)
    folder.set_defaults(run=run_exchange)


_SAMPLING = {"temperature": float, "top_k": int, "top_p": float}
_WISHES = ("lyrics", "duration_sec", "bpm", "keyscale", "timesignature", "vocal_language")
_METHODS = {
    "inspire": ("lm_inspire", ("query", "instrumental", "vocal_language", *_SAMPLING)),
    "format": ("lm_format", ("prompt", *_WISHES, *_SAMPLING)),
    "understand": ("lm_understand", ("source", *_SAMPLING)),
    "codes": ("lm_codes", ("prompt", *_WISHES)),
}


def run_plan(options: argparse.Namespace) -> int:
    """Prints the plan as JSON, and writes it where it was asked to."""
    method, names = _METHODS[options.action]
    params = {name: getattr(options, name) for name in (*names, "seed", "lm_model")}
    params = {name: value for name, value in params.items() if value is not None}
    if "lyrics" in params:
        params["lyrics"] = params["lyrics"].replace("\\n", "\n")
    if options.action == "understand" and Path(options.source).exists():
        params["source"] = {"path": str(Path(options.source).absolute())}
    with Client.shared(Paths.from_environment(dict(options.environment))) as client:
        client.initialize("cli")
        answer = _asked(client, method, params, quiet=options.quiet)
    plan = {**answer, **answer.get("metas", {})}
    if options.output is not None:
        _write_request(options.output, plan)
    if options.output_dir is not None:
        _write_exchange(options.output_dir, plan)
    screen.result(answer)
    return 0


def _asked(client: Client, method: str, params: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """Returns the answer of a long method; its progress shows meanwhile."""
    progress = screen.Progress(quiet=quiet)

    def show(note: Notification) -> None:
        if note.method == "operation_progress":
            told = note.params.get("message") or ""
            progress.show(note.params["percent"], f"{_DOING[method]} {told}".strip(), None)

    try:
        return dict(client.call(method, params, limit_sec=PLAN_LIMIT_SEC, on_note=show))
    finally:
        progress.end()


def _write_request(path: Path, plan: dict[str, Any]) -> None:
    seed = int(plan["seed"])
    filled = request.with_plan(dict(request.DEFAULTS), plan, 0, (seed, seed))
    numbered = request.numbered(path, 0)
    numbered.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(request.write_request(filled), ensure_ascii=False, indent=1)
    numbered.write_text(text + "\n", encoding="utf-8")
    screen.say(f"lofi: wrote {numbered}")


def _write_exchange(folder: Path, plan: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    unknown = exchange.UNKNOWN
    exchange.write_exchange(
        folder,
        exchange.Exchange(
            caption=plan["prompt"],
            lyrics=plan.get("lyrics") or exchange.INSTRUMENTAL,
            bpm=str(plan.get("bpm") or unknown),
            keyscale=plan.get("keyscale") or unknown,
            timesig=plan.get("timesignature") or unknown,
            language=plan.get("vocal_language") or "unknown",
            duration_sec=float(plan.get("duration_sec") or exchange.DEFAULT_SEC),
            codes=tuple(plan.get("audio_codes") or ()),
        ),
    )
    screen.say(f"lofi: wrote {folder}")


def run_lyrics(options: argparse.Namespace) -> int:
    """Prints the lyrics with their times as LRC, or writes them as the file's name says."""
    path = options.output
    member = "lrc" if path is None else _SUBTITLES.get(path.suffix.lower())
    if member is None:
        raise InvalidParams(
            f"{path.name} has no extension of timed lyrics",
            hint="Use .lrc, or .vtt for WebVTT.",
        )
    with Client.shared(Paths.from_environment(dict(options.environment))) as client:
        client.initialize("cli")
        params = {"track_id": options.track}
        answer = _asked(client, "lyrics_timing", params, quiet=options.quiet)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(answer[member].rstrip("\n") + "\n", encoding="utf-8")
        screen.say(f"lofi: wrote {path}")
    if options.json:
        screen.result(answer)
    elif path is None:
        screen.text(answer[member])
    return 0


def run_request(options: argparse.Namespace) -> int:
    """Renders each request of each file; the files stay as they are."""
    # one client for all of them: the models leave memory with the last one
    with Client.shared(Paths.from_environment(dict(options.environment))) as client:
        client.initialize("cli")
        for path in options.files:
            _render_file(options, client, path)
    return 0


def _render_file(options: argparse.Namespace, client: Client, path: Path) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSource(f"{path} cannot be read: {error}") from error
    index = 0
    for asked in request.read_requests(text, strict=options.strict):
        for song in request.apart(asked):
            if song["lm_mode"] == "format":
                answer = _asked(
                    client, "lm_format", request.format_params(song), quiet=options.quiet
                )
                song = request.rewritten(song, answer)
            params, warnings = request.params(song)
            for warning in warnings:
                screen.say(f"lofi: {warning}")
            suffix = {"wav32": "wav"}.get(params["format"], params["format"])
            output = (options.output or path).with_suffix(f".{suffix}")
            for take in _takes(params):
                generate.render(options, take, request.numbered(output, index))
                index += 1


def _takes(params: dict[str, Any]) -> list[dict[str, Any]]:
    """The renderings of one plan, each a request of its own as `batch_size` makes them."""
    count = params.pop("batch_size", 1)
    if count == 1:
        return [params]
    limit = parameters.SEED_LIMIT + 1
    first = params.get("seed", secrets.randbelow(limit))
    shared = {"lm_seed": first, **params}
    return [{**shared, "seed": (first + index) % limit} for index in range(count)]


def run_exchange(options: argparse.Namespace) -> int:
    """Renders the directory's plan as it is."""
    plan = exchange.read_exchange(options.folder)
    for warning in plan.warnings():
        screen.say(f"lofi: {warning}")
    params = plan.params()
    if options.variant:
        params["variant"] = options.variant
    params["seed"] = secrets.randbelow(parameters.SEED_LIMIT + 1)
    if options.seed is not None:
        params["seed"] = options.seed
    if options.output.suffix.lower() not in generate.EXTENSIONS:
        raise InvalidParams(
            f"{options.output.name} has no extension of a known format",
            hint="Use " + ", ".join(generate.EXTENSIONS) + ".",
        )
    generate.render(options, params, options.output)
    return 0
