"""A daemon that does what the test's script says; standard library only.

    fake_daemon.py SCRIPT.json

Talks JSON-RPC on stdio. The script maps a method to a list of steps, run at each call of it:
`{"result": …}`, `{"pages": [name, items]}` (by `offset` and `limit`), `{"error": {…}}`,
`{"notify": [method, params]}`, `{"raw": text}`, `{"stderr": text}`, `{"exit": status}`,
`{"kill": signal}`. Methods without a line answer `{}`. Every request is appended to
`SCRIPT.json.log`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

HANDSHAKE: dict[str, Any] = {
    "protocol": 1,
    "daemon": {"name": "lofi", "version": "0.1.0", "pid": os.getpid(), "python": "3.11.0"},
    "capabilities": {"methods": [], "notifications": []},
    "backends": [],
    "default_backend": "procedural",
    "state": {"playback": {"state": "stopped", "position_sec": 0, "volume": 0.6, "muted": False,
                           "playlist_length": 0}},
}  # fmt: skip


def send(message: dict[str, Any]) -> None:
    line = json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":"))
    sys.stdout.buffer.write(line.encode() + b"\n")
    sys.stdout.buffer.flush()


def act(step: dict[str, Any], request: dict[str, Any]) -> None:
    """Runs one step."""
    match step:
        case {"result": result}:
            send({"id": request["id"], "result": result})
        case {"pages": [name, items]}:
            params = request.get("params", {})
            first = params.get("offset", 0)
            page = items[first : first + params.get("limit", len(items))]
            send({"id": request["id"], "result": {name: page, "total": len(items)}})
        case {"error": error}:
            send({"id": request["id"], "error": error})
        case {"notify": [method, params]}:
            send({"method": method, "params": params})
        case {"raw": text}:
            sys.stdout.buffer.write(text.encode())
            sys.stdout.buffer.flush()
        case {"stderr": text}:
            sys.stderr.write(text)
            sys.stderr.flush()
        case {"exit": status}:
            sys.stdout.flush()
            os._exit(status)
        case {"kill": number}:
            os.kill(os.getpid(), number)
        case _:
            raise ValueError(f"no such step: {step}")


def main(path: Path) -> None:
    script: dict[str, list[dict[str, Any]]] = json.loads(path.read_text())
    script.setdefault("initialize", [{"result": HANDSHAKE}])
    script.setdefault("shutdown", [{"result": {"status": "shutting_down"}}, {"exit": 0}])
    with path.with_name(path.name + ".log").open("a") as log:
        for line in sys.stdin:
            request = json.loads(line)
            log.write(line)
            log.flush()
            for step in script.get(request["method"], [{"result": {}}]):
                act(step, request)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
