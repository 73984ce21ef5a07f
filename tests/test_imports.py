"""Arrows go down: who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "python"
BASE = {"errors", "tracks", "catalog", "parameter", "parameters", "music", "settings", "paths",
        "recipe", "checkpoints", "hub", "hints", "wire", "exchange", "request", "subtitles",
        "presets", "parent", "own_defaults", "socket_folder"}  # fmt: skip
NEURAL = {"torch", "transformers", "safetensors", "tokenizers"}
WORKER_ROOMS_FOR_BACKENDS = frozenset(
    "backend device weights memory residents retreats reading".split()
)
ALLOWED = {
    "base": BASE,
    "daemon": BASE | {"daemon"},
    "worker": BASE | {"worker", "backends", "listen"},
    "nn": {"nn"},
    "backends": {"nn", "worker", "tracks", "errors", "subtitles", "listen", "music"},
    "listen": {"listen", "errors"},
    "download": BASE | {"download"},
    "client": BASE,
    "commands": BASE | {"client", "commands", "listen"},
    "cli": BASE | {"client", "commands", "listen"},
    "__main__": {"cli", "daemon", "worker"},
}
ON_TRANSFORMERS = {("backends", "musicgen"), ("backends", "ace_step_15", "planner")}
FOREIGN_BANNED = {
    "base": NEURAL | {"numpy", "soundfile", "soxr", "miniaudio", "huggingface_hub"},
    "daemon": NEURAL | {"huggingface_hub"},
    "commands": NEURAL | {"huggingface_hub", "numpy"},
    "client": NEURAL | {"numpy"},
    "cli": NEURAL | {"numpy"},
    "backends": {"huggingface_hub", "miniaudio"},
    "nn": {"huggingface_hub", "transformers"},
}


def _room(path: Path) -> str:
    first = path.relative_to(ROOT / "lofi").parts[0].removesuffix(".py")
    return "base" if first in BASE else first


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{name.name}" for name in node.names)


FILES = sorted(path for path in (ROOT / "lofi").rglob("*.py") if path.name != "__init__.py"
               or path.parent != ROOT / "lofi")  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_go_down(path: Path) -> None:
    room = _room(path)
    own = path.relative_to(ROOT / "lofi").parts
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] == "lofi":
            # `from lofi import __version__` is everybody's
            if len(parts) == 1 or parts[1] in ("__version__", "PROTOCOL_VERSIONS"):
                continue
            if room == "backends" and parts[1] == "backends":
                assert parts[2] == own[1], f"one backend may not import another: {name}"
                continue
            assert parts[1] in ALLOWED[room], f"{room} may not import {name}"
            if room == "backends" and parts[1] == "worker":
                assert parts[2] in WORKER_ROOMS_FOR_BACKENDS, name
        if parts[0] == "transformers":
            assert own[:2] in ON_TRANSFORMERS or own[:3] in ON_TRANSFORMERS, "it takes seconds"
        assert parts[0] not in FOREIGN_BANNED.get(room, ()), f"{room} may not import {name}"
