"""Times the embedded synthesiser: 30 s on one core, first sound, ten minutes and their memory.

A cold light worker is the real process: started, told its first job over its pipe, and asked how
long it took to have two seconds in the spool.

    OMP_NUM_THREADS=1 PYTHONPATH=python python -m benchmarks.procedural [--json | --write]

`--write` puts the tables into `benchmarks/results/procedural.md`.

Each figure is the best of several in a process of its own, as a light worker is one: the first
track of a process pays for tables and rooms, and counts as "cold"; two seconds of sound are there
at once with the first. On a machine that does other things, CPU time is what can be trusted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STYLES = ("lofi", "jazz", "ambient", "house", "rain")
LONG = ("lofi", "house")
RESULTS = Path(__file__).parent / "results" / "procedural.md"
HEADING = "## Time and memory"
ROUNDS = 3
WARM_UP_SEC = 0.5


def rendered(style: str, seconds: float, seed: int) -> dict[str, float]:
    """Returns the seconds to the first stretch, to two seconds of sound, and to the end."""
    from lofi.backends.procedural import create
    from lofi.worker.backend import Job, Stretch
    from lofi.worker.process import keep_freed

    keep_freed()  # as a light worker does
    recipe = {"task": "text2music", "prompt": "", "style": style, "seed": seed}
    start, cpu = time.perf_counter(), time.process_time()
    first = first_cpu = two = 0.0
    frames = 0
    for event in create().run(Job({**recipe, "duration_sec": seconds}), lambda: None):
        if isinstance(event, Stretch):
            frames += len(event.samples)
            now = time.perf_counter() - start
            first_cpu = first_cpu or time.process_time() - cpu
            first = first or now
            if frames >= 96000:
                two = two or now
    return {
        "first_sec": first,
        "first_cpu_sec": first_cpu,
        "two_seconds_sec": two,
        "wall_sec": time.perf_counter() - start,
        "cpu_sec": time.process_time() - cpu,
    }


def light_worker(style: str) -> dict[str, float]:
    """Returns the seconds a real light worker takes to be ready, and to two seconds of sound."""
    from lofi.wire.frames import FrameReader, Generate, Ready, StretchDone, pack

    with tempfile.TemporaryDirectory() as folder:
        recipe = {"backend": "procedural", "task": "text2music", "prompt": "", "style": style}
        job = Generate(
            "first",
            {**recipe, "seed": 1, "duration_sec": 30.0},
            spool_path=str(Path(folder, "spool")),
            file_path=str(Path(folder, "file")),
        )
        start = time.perf_counter()
        worker = subprocess.Popen(
            [sys.executable, "-m", "lofi.worker.loop", "light"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert worker.stdin is not None and worker.stdout is not None
        reader, ready = FrameReader(), 0.0
        while chunk := worker.stdout.read(65536):
            for message in reader.feed(chunk):
                now = time.perf_counter()
                if isinstance(message, Ready):
                    time.sleep(WARM_UP_SEC)  # it was started with the daemon, not with the job
                    ready, start = now - start, time.perf_counter()
                    worker.stdin.write(pack(job))
                elif isinstance(message, StretchDone) and message.frames >= 96000:
                    worker.kill()
                    worker.wait()
                    return {"ready_sec": ready, "two_seconds_sec": now - start}
        raise RuntimeError("the worker ended before two seconds of sound")


def alone(task: str) -> dict[str, Any]:
    """Returns what `task` prints, run in a fresh process with one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.procedural", "--task", task],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def run(task: str) -> dict[str, Any]:
    """Runs one task in this process."""
    import resource

    kind, _, style = task.partition("/")
    if kind == "worker":
        tries = [light_worker(style) for _ in range(ROUNDS)]
        return {
            "best": min(one["two_seconds_sec"] for one in tries),
            "worst": max(one["two_seconds_sec"] for one in tries),
            "ready": min(one["ready_sec"] for one in tries),
        }
    if kind == "import":
        start = time.perf_counter()
        from lofi.backends.procedural import create

        create()
        return {"import_sec": time.perf_counter() - start}
    if kind == "short":
        cold = rendered(style, 30, 1)
        warm = [rendered(style, 30, 2 + number) for number in range(ROUNDS)]
        best = {name: min(one[name] for one in warm) for name in cold}
        return {"cold": cold, "warm": best}
    long = rendered(style, 600, 7)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {**long, "peak_mb": peak_kib / 1024}


def measured() -> dict[str, Any]:
    """Returns every figure, each task in a process of its own."""
    found: dict[str, Any] = {"import": alone("import")}
    for style in STYLES:
        found[style] = alone(f"short/{style}")
        found[f"{style}_worker"] = alone(f"worker/{style}")
    for style in LONG:
        found[f"{style}_600"] = alone(f"long/{style}")
    return found


def tables(found: Mapping[str, Any]) -> str:
    """Returns the figures as text for the results."""
    ms = 1000
    rows = [
        HEADING,
        "",
        "`OMP_NUM_THREADS=1 python -m benchmarks.procedural --write` on a machine that did nothing "
        "else; one core.",
        "",
        f"import and create: {ms * found['import']['import_sec']:.0f} ms",
        "",
        "| 30 s | CPU s | wall s | first sound: warm ms | cold, CPU ms | cold ms |",
        "|---|---|---|---|---|---|",
    ]
    for style in STYLES:
        cold, warm = found[style]["cold"], found[style]["warm"]
        rows.append(
            f"| {style} | {warm['cpu_sec']:.2f} | {warm['wall_sec']:.2f} "
            f"| {ms * warm['first_sec']:.0f} | {ms * cold['first_cpu_sec']:.0f} "
            f"| {ms * cold['first_sec']:.0f} |"
        )
    rows += [
        "",
        f"A light worker's first job, {ROUNDS} fresh processes each: from the order on its pipe to "
        "two seconds of sound in the spool.",
        "",
        "| cold light worker | ready ms | two seconds, best ms | worst ms |",
        "|---|---|---|---|",
    ]
    for style in STYLES:
        one = found[f"{style}_worker"]
        rows.append(
            f"| {style} | {ms * one['ready']:.0f} | {ms * one['best']:.0f} "
            f"| {ms * one['worst']:.0f} |"
        )
    rows += [
        "",
        "| 600 s | CPU s | first sound, cold, CPU ms | peak MB of the process |",
        "|---|---|---|---|",
    ]
    for style in LONG:
        long = found[f"{style}_600"]
        rows.append(
            f"| {style} | {long['cpu_sec']:.1f} | {ms * long['first_cpu_sec']:.0f} "
            f"| {long['peak_mb']:.0f} |"
        )
    return "\n".join(rows)


def write(text: str) -> None:
    """Replaces this benchmark's part of the results by `text`."""
    title, *parts = RESULTS.read_text(encoding="utf-8").rstrip("\n").split("\n\n## ")
    kept = [f"## {part}" for part in parts if not f"## {part}".startswith(HEADING)]
    RESULTS.write_text("\n\n".join([title, text, *kept]) + "\n", encoding="utf-8")


def main() -> None:
    """Prints the tables, or JSON with `--json`; or writes them with `--write`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--write", action="store_true", help="put the tables into the results")
    options = parser.parse_args()
    if options.task:
        print(json.dumps(run(options.task)))
        return
    found = measured()
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print(tables(found))
    if options.write:
        write(tables(found))


if __name__ == "__main__":
    main()
