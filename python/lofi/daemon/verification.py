"""Whether a model's files are what they should be: there, whole and, deep, to the digest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from lofi import checkpoints
from lofi.hub import Order, Published

CHUNK_BYTES = 4 * 1024 * 1024


def verify(models: Path, order: Order, *, deep: bool) -> list[dict[str, Any]]:
    """Returns a row for each file: name, bytes, expected_bytes, sha256_ok, error."""
    return [row for item in order.components for row in _component(models, item, deep=deep)]


def _component(models: Path, published: Published, *, deep: bool) -> list[dict[str, Any]]:
    folder = models / published.name
    noted = checkpoints.record(folder).get("files")
    record = noted if isinstance(noted, dict) else {}
    names = [path.name for path in _expected(folder, published)]
    rows = []
    for name in dict.fromkeys([*names, *record]):
        path = folder / name
        known = record.get(name, {})
        row: dict[str, Any] = {
            "name": f"{published.name}/{name}",
            "bytes": path.stat().st_size if path.is_file() else None,
            "expected_bytes": known.get("bytes"),
        }
        problem = _problem(path, known)
        if problem is None and deep and known.get("sha256"):
            row["sha256_ok"] = _sha256(path) == known["sha256"]
            problem = None if row["sha256_ok"] else "does not have its published checksum"
        if problem is not None:
            row["error"] = problem
        rows.append(row)
    return rows


def _expected(folder: Path, published: Published) -> list[Path]:
    if published.url is not None or not folder.is_dir():
        return [folder / file.name for file in published.files if "*" not in file.name]
    try:
        return checkpoints.files_of(folder)
    except ValueError:
        return [folder / "config.json", *sorted(folder.glob("*.index.json"))]


def _problem(path: Path, known: dict[str, Any]) -> str | None:
    if not path.is_file():
        return "is missing"
    if known.get("bytes") not in (None, path.stat().st_size):
        return f"should have {known['bytes']} bytes"
    try:
        if path.suffix == ".safetensors":
            checkpoints.read_header(path)
        elif path.name.endswith(".index.json"):
            json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()
        elif path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return str(error)
    return None


def _sha256(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            total.update(chunk)
    return total.hexdigest()
