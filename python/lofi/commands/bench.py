"""`lofi bench`: how fast a backend is on this machine, stage by stage."""

from __future__ import annotations

import argparse
from typing import Any

from lofi.client import Client
from lofi.commands import screen
from lofi.errors import InvalidParams, error_for

POLL_SEC = 0.2
PROMPT = "lofi hip hop, mellow piano, vinyl crackle"


def add(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser("bench", help="how fast a backend is here")
    parser.add_argument("-b", "--backend", metavar="NAME", help="default: the configured one")
    parser.add_argument("--variant", metavar="NAME")
    parser.add_argument("--durations", default="10,30,60", metavar="SEC,…")
    parser.add_argument("--steps", type=int, metavar="N")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """One render to warm up, then one of each length, in a daemon of its own."""
    try:
        durations = [float(item) for item in options.durations.split(",")]
    except ValueError as error:
        raise InvalidParams("--durations takes seconds, separated by commas") from error
    params: dict[str, Any] = {"prompt": PROMPT, "seed": 1, "force": True, "auto_play": False}
    for name, value in (
        ("backend", options.backend),
        ("variant", options.variant),
        ("infer_steps", options.steps),
    ):
        if value is not None:
            params[name] = value
    with Client.private("--no-audio") as client:
        client.initialize("bench")
        _render(client, {**params, "duration_sec": durations[0]})
        rows = [_measure(client, params, seconds) for seconds in durations]
        client.call("cache_delete", {"track_ids": sorted({row["track_id"] for row in rows})})
    if options.json:
        screen.result({"rows": rows})
        return 0
    stages = list(dict.fromkeys(stage for row in rows for stage in row["timings"]))
    header = ["audio s", "render s", "x real time", "peak MB", *stages]
    screen.table([header, *(_cells(row, stages) for row in rows)])
    for stage, where in rows[-1]["devices"].items():
        screen.say(f"{stage}: {where}")
    return 0


def _cells(row: dict[str, Any], stages: list[str]) -> list[str]:
    return [
        f"{row['duration_sec']:g}",
        f"{row['seconds']:.2f}",
        f"{row['real_time_factor']:.1f}",
        "-" if row["peak_memory_mb"] is None else str(row["peak_memory_mb"]),
        *(f"{row['timings'].get(stage, 0):.2f}" for stage in stages),
    ]


def _measure(client: Client, params: dict[str, Any], seconds: float) -> dict[str, Any]:
    track, memory = _render(client, {**params, "duration_sec": seconds})
    spent = track["generation_time_sec"]
    return {
        "track_id": track["track_id"],
        "backend": track["backend"],
        "model_version": track["model_version"],
        "duration_sec": track["duration_sec"],
        "seconds": spent,
        "real_time_factor": round(track["duration_sec"] / spent, 2) if spent else None,
        "peak_memory_mb": memory,
        "timings": track["timings"],
        "devices": track["devices"],
    }


def _render(client: Client, params: dict[str, Any]) -> tuple[dict[str, Any], int | None]:
    """The finished track, and the most memory that its worker told of at its beats."""
    wanted = client.call("generate", params)["track_id"]
    told: list[int] = []
    for note in client.notifications(idle_sec=POLL_SEC):
        memory = client.call("status")["model"].get("memory_mb")
        told += [] if memory is None else [memory]
        if note is None or note.params.get("track_id") != wanted:
            continue
        if note.method == "generation_complete":
            return dict(note.params), max(told, default=None)
        if note.method == "generation_error":
            raise error_for(note.params["code"], note.params["message"],
                            hint=note.params.get("hint"))  # fmt: skip
    raise AssertionError("unreachable")
