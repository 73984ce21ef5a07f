"""The daemon's roles with the band's workers: `python -m tests.daemon.serve ROLE [OPTION…]`.

Roles: `stdio`, `socket`, `relay`, `worker light|neural`, and `broken` (a worker that cannot start).
"""

from __future__ import annotations

import logging
import os
import sys


def serve(transport: str, arguments: list[str]) -> int:
    from lofi import parent
    from lofi.daemon import app, options
    from lofi.errors import LofiError

    wanted = ["--socket", *arguments] if transport == "socket" else arguments
    chosen = options.parse(wanted)
    if chosen.started_by is not None:
        parent.bind()
    options.start_logging(chosen)
    role = "broken" if os.environ.get("BAND_IS_BROKEN") else "worker"

    def worker_command(lane: str) -> list[str]:
        if lane == "probe":
            return [sys.executable, "-c", "print('{\"devices\": []}')"]
        if lane == "speed" and (noted := os.environ.get("BAND_MEASURES_LONG")):
            program = f"import os, time; open({noted!r}, 'w').write(str(os.getpid())); "
            return [sys.executable, "-c", program + "time.sleep(60)"]
        if lane == "speed" and (awaited := os.environ.get("BAND_MEASURES_AFTER")):
            program = f"import os, time\nwhile not os.path.exists({awaited!r}): time.sleep(0.01)\n"
            return [sys.executable, "-c", program + 'print(\'{"gflops": 50, "gbps": 5}\')']
        return [sys.executable, "-m", "tests.daemon.serve", role, lane]

    try:
        status = app.main(
            chosen.paths,
            chosen.settings,
            transport=chosen.transport,
            worker_command=worker_command,
            started_by=chosen.started_by,
        )
    except LofiError as error:
        logging.getLogger("lofi").error("%s", error)
        status = 1
    os._exit(status)


def main(argv: list[str]) -> int:
    role, *rest = argv
    if role == "relay":
        from lofi.daemon import relay

        command = [sys.executable, "-m", "tests.daemon.serve", "socket"]
        return relay.main(rest, daemon_command=command)
    if role == "worker":
        from lofi.worker import loop

        logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
        name = "procedural" if rest[0] == "light" else "musicgen"
        return loop.main(rest[0], packages={name: "tests.daemon.band"})  # type: ignore[arg-type]
    if role == "broken":
        sys.stderr.write("no module named torch\n")
        return 1
    return serve(role, rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
