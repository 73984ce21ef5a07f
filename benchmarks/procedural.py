"""Times the embedded synthesiser: 30 s on one core, first sound, ten minutes and their memory.

    OMP_NUM_THREADS=1 PYTHONPATH=python python -m benchmarks.procedural [--json]

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
import time
from typing import Any

STYLES = ("lofi", "jazz", "ambient", "house", "rain")
ROUNDS = 3


def rendered(style: str, seconds: float, seed: int) -> dict[str, float]:
    """Returns the seconds to the first stretch, to two seconds of sound, and to the end."""
    from lofi.backends.procedural import create
    from lofi.worker.backend import Job, Stretch

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


def main() -> None:
    """Prints the table, or JSON with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    options = parser.parse_args()
    if options.task:
        print(json.dumps(run(options.task)))
        return
    found: dict[str, Any] = {"import": alone("import")}
    for style in STYLES:
        found[style] = alone(f"short/{style}")
    for style in ("lofi", "house"):
        found[f"{style}_600"] = alone(f"long/{style}")
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print(f"import and create: {1000 * found['import']['import_sec']:.0f} ms\n")
    print(
        "| 30 s | CPU s | wall s | first sound: warm, CPU ms | cold, CPU ms | warm ms | cold ms |"
    )
    print("|---|---|---|---|---|---|---|")
    for style in STYLES:
        cold, warm = found[style]["cold"], found[style]["warm"]
        print(
            f"| {style} | {warm['cpu_sec']:.2f} | {warm['wall_sec']:.2f} "
            f"| {1000 * warm['first_cpu_sec']:.0f} | {1000 * cold['first_cpu_sec']:.0f} "
            f"| {1000 * warm['first_sec']:.0f} | {1000 * cold['two_seconds_sec']:.0f} |"
        )
    print("\n| 600 s | CPU s | first sound, cold, CPU ms | peak MB of the process |")
    print("|---|---|---|---|")
    for style in ("lofi", "house"):
        long = found[f"{style}_600"]
        print(
            f"| {style} | {long['cpu_sec']:.1f} | {1000 * long['first_cpu_sec']:.0f} "
            f"| {long['peak_mb']:.0f} |"
        )


if __name__ == "__main__":
    main()
