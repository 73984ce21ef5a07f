"""Who may require whom, in Lua: downwards only."""

from __future__ import annotations

import re

import pytest

from tests.nvim.editor import REPO

BASE = {"check", "errors", "log", "nearest", "options", "parameters", "version", "arguments",
        "process", "units"}  # fmt: skip
CORE = BASE | {"config", "rpc", "state", "events"}
ALLOWED = {
    "config": BASE,
    "events": BASE,
    "rpc": BASE,
    "state": BASE,
    "launch": BASE | {"config"},
    "failure": BASE | {"program"},
    "environment": BASE | {"failure", "launch", "program", "torch_build"},
    "sheet": BASE,
    "session": BASE | {"config", "launch", "rpc"},
    "daemon": CORE | {"launch", "session"},
    "statusline": CORE,
    "float": CORE,
    "notice": {"float"},
    "ui": CORE | {"notice", "statusline"},
    "picker": CORE | {"daemon", "ui"},
    "job": CORE | {"daemon"},
    "answer": CORE | {"daemon", "ui"},
    "progress": CORE | {"job", "ui"},
    "stream": CORE | {"job", "ui"},
    "player": CORE | {"answer"},
    "library": CORE | {"answer"},
    "models": CORE | {"answer", "daemon", "progress"},
    "planning": CORE | {"answer", "daemon", "progress"},
    "generate": CORE | {"answer", "daemon", "job", "ui"},
    "init": CORE
    | {
        "answer",
        "daemon",
        "generate",
        "library",
        "models",
        "planning",
        "player",
        "progress",
        "ui",
    },
    "choices": CORE | {"daemon", "generate"},
    "installation": CORE | {"environment", "launch", "picker", "progress", "ui"},
    "acquisition": CORE | {"installation", "models", "picker", "ui"},
    "logview": CORE | {"answer", "daemon"},
    "health": CORE | {"daemon", "launch", "progress"},
    "command": CORE | {"ui", "commands"},
    "types": set(),
}
COMMANDS = CORE | set(
    "init acquisition actions answer choices daemon environment float generate installation launch"
    " logview models picker planning player progress sheet stream ui".split()
)
FILES = sorted((REPO / "lua" / "lofi").rglob("*.lua"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPO / "lua")))
def test_arrows_go_down(path: object) -> None:
    relative = path.relative_to(REPO / "lua" / "lofi")  # type: ignore[attr-defined]
    text = path.read_text()  # type: ignore[attr-defined]
    room = relative.parts[0].removesuffix(".lua")
    allowed = COMMANDS if room == "commands" else ALLOWED.get(room, BASE)
    for name in re.findall(r"require\('([\w.]+)'", text):
        parts = name.split(".")
        assert parts[0] == "lofi", f"{relative}: no plugin is required: {name}"
        needed = parts[1] if len(parts) > 1 and parts[1] else "init"
        assert needed in allowed, f"{relative} may not require {name}"


def test_rooms_stay_small() -> None:
    lengths = {str(path): len(path.read_text().splitlines()) for path in FILES}
    assert {path: length for path, length in lengths.items() if length > 400} == {}
