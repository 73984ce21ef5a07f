"""Lines that are no valid calls, and what each is owed: the reference the door is held against."""

from __future__ import annotations

import json
import random
from typing import Any

NOTHING = "nothing"
FINE = "fine"


def lines(count: int, seed: int) -> list[bytes]:
    """Returns lines without their ends: random bytes, one wrong member, or flipped bytes."""
    dice = random.Random(seed)
    return [_line(dice).replace(b"\n", b" ") for _ in range(count)]


def _line(dice: random.Random) -> bytes:
    kind = dice.randrange(4)
    if kind == 0:
        return bytes(dice.choice(range(1, 256)) for _ in range(dice.randrange(1, 80)))
    good = {"jsonrpc": "2.0", "id": dice.randrange(99), "method": "ping", "params": {}}
    if kind == 1:
        name = dice.choice(list(good))
        wrong: list[Any] = [None, [], {}, 1.5, "x", True, [1], {"a": []}, -1, "1.0"]
        return json.dumps({**good, name: dice.choice(wrong)}).encode()
    data = bytearray(json.dumps(good).encode())
    for _ in range(dice.randrange(1, 4)):
        data[dice.randrange(len(data))] = dice.randrange(1, 256)
    return bytes(data) if kind == 2 else bytes(data) * dice.randrange(1, 4)


def owed(line: bytes) -> tuple[str, Any]:
    """Returns what a line must be answered with, and the id of the answer."""
    if not line.strip(b" \t\r"):
        return NOTHING, None
    try:
        value = json.loads(line.strip(b" \t\r").decode(), parse_constant=_refuse)
    except ValueError:
        return "PARSE_ERROR", None
    if not isinstance(value, dict):
        return "INVALID_REQUEST", None
    has_id = "id" in value
    ident = value.get("id")
    is_id = type(ident) in (int, str)
    if value.get("jsonrpc") != "2.0":
        return "INVALID_REQUEST", ident if is_id else None
    if "method" not in value and ("result" in value or "error" in value):
        return NOTHING, None
    if has_id and not is_id:
        return "INVALID_REQUEST", None
    method, params = value.get("method"), value.get("params")
    if not isinstance(method, str) or not method:
        return "INVALID_REQUEST", ident
    if params not in (None, []) and not isinstance(params, dict):
        return "INVALID_PARAMS", ident
    if not has_id:
        return NOTHING, None
    if method != "ping":
        return "METHOD_NOT_FOUND", ident
    unknown = [name for name in params or {} if not name.startswith("x_")]
    return ("INVALID_PARAMS" if unknown else FINE), ident


def said(message: dict[str, Any]) -> tuple[str, Any]:
    """Returns the same of an answer."""
    code = message["error"]["data"]["code"] if "error" in message else FINE
    return code, message["id"]


def _refuse(name: str) -> None:
    raise ValueError(name)
