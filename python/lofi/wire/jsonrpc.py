"""JSON-RPC 2.0 messages, one a line; bytes in, messages out, no I/O.

Parsing never raises: what cannot be read becomes a `Bad` with the error its sender is owed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from lofi.errors import InvalidParams, InvalidRequest, LofiError, ParseError

LINE_LIMIT_BYTES = 16 * 1024 * 1024
WHOLE_LIMIT_DIGITS = 300
Id = int | str | None


@dataclass(frozen=True, slots=True)
class Request:
    """A call that wants an answer."""

    id: int | str
    method: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Notification:
    """A call that wants none, not even an error."""

    method: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; only a client reads these."""

    id: Id
    result: Any
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Bad:
    """A line that is no message; `error` goes back under `id`."""

    id: Id
    error: LofiError


Message = Request | Notification | Response | Bad


class LineReader:
    """Takes bytes as the transport gives them: half a line, a line, or ten."""

    def __init__(self, limit_bytes: int = LINE_LIMIT_BYTES) -> None:
        self._rest = bytearray()
        self._limit = limit_bytes
        self._overlong = False

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Yields each message that `chunk` completes. Blank lines are skipped."""
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            self._append(chunk[start:end])
            start = end + 1
            yield from self._line()
        self._append(chunk[start:])

    def _append(self, piece: bytes) -> None:
        if self._overlong or len(self._rest) + len(piece) > self._limit:
            self._overlong = True
            self._rest.clear()
        else:
            self._rest += piece

    def _line(self) -> Iterator[Message]:
        if self._overlong:
            self._overlong = False
            yield Bad(None, InvalidRequest(f"A line is longer than {self._limit} bytes"))
            return
        line = bytes(self._rest).strip(b" \t\r")
        self._rest.clear()
        if line:
            yield parse(line)


def parse(line: bytes) -> Message:
    """Returns the message of one line."""
    try:
        value = loads(line.decode())
    except (ValueError, RecursionError) as error:
        return Bad(None, ParseError(f"Not JSON: {error}"))
    if not isinstance(value, dict):
        return Bad(None, InvalidRequest("A message is one JSON object; batches are not supported"))
    ident = value.get("id")
    ident_is_valid = isinstance(ident, (int, str)) and not isinstance(ident, bool)
    shown: Id = ident if ident_is_valid else None
    if value.get("jsonrpc") != "2.0":
        return Bad(shown, InvalidRequest('The member "jsonrpc" must be "2.0"'))
    if "method" not in value and ("result" in value or "error" in value):
        return Response(shown, value.get("result"), value.get("error"))
    if "id" in value and not ident_is_valid:
        return Bad(None, InvalidRequest("An id is a number without fraction, or a string"))
    method = value.get("method")
    if not isinstance(method, str) or not method:
        return Bad(shown, InvalidRequest('The member "method" must be a string'))
    params = value.get("params")
    if params is None or params == []:
        params = {}
    if not isinstance(params, dict):
        return Bad(shown, InvalidParams("Parameters are given by name, in an object"))
    if "id" in value:
        assert ident is not None
        return Request(ident, method, params)
    return Notification(method, params)


def loads(text: str) -> Any:
    """Returns the value of JSON text, such that it can be written as JSON again.

    A number that no double holds becomes the largest one there is: outside every range, so whoever
    checks it says so, and nowhere an infinity that no line can carry.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_constant=_refuse_constant, parse_float=_decimal, parse_int=_whole)


def encode_result(ident: int | str, result: Any) -> bytes:
    """Returns the line of an answer."""
    return _line({"jsonrpc": "2.0", "id": ident, "result": result})


def encode_error(ident: Id, error: LofiError) -> bytes:
    """Returns the line of an error answer."""
    return _line({"jsonrpc": "2.0", "id": ident, "error": error.to_wire()})


def encode_notification(method: str, params: Mapping[str, Any]) -> bytes:
    """Returns the line of a notification."""
    return _line({"jsonrpc": "2.0", "method": method, "params": params})


def encode_request(ident: int | str, method: str, params: Mapping[str, Any]) -> bytes:
    """Returns the line of a call; only a client writes these."""
    return _line({"jsonrpc": "2.0", "id": ident, "method": method, "params": params})


def _line(value: Mapping[str, Any]) -> bytes:
    # Escaped to ASCII: a lone surrogate in someone's prompt must not break the stream.
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _decimal(text: str) -> float:
    return max(-sys.float_info.max, min(float(text), sys.float_info.max))


def _whole(text: str) -> int | float:
    # Python refuses to read thousands of digits as a whole number.
    return int(text) if len(text) <= WHOLE_LIMIT_DIGITS else _decimal(text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
