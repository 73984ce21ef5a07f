"""Lines in, messages out: framing at every split, and an error for everything malformed."""

from __future__ import annotations

import json
import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lofi.errors import InvalidParams
from lofi.wire import jsonrpc
from lofi.wire.jsonrpc import Bad, LineReader, Notification, Request, Response

STREAM = (
    b'{"jsonrpc":"2.0","id":1,"method":"ping"}\r\n'
    b"\n"
    b'{"jsonrpc":"2.0","method":"exit","params":[]}\n'
    b'{"jsonrpc":"2.0","id":"a","method":"play","params":{"track_id":"\xc3\xa9"}}\n'
)


def test_every_split_gives_the_same_messages() -> None:
    expected = list(LineReader().feed(STREAM))
    assert expected == [
        Request(1, "ping", {}),
        Notification("exit", {}),
        Request("a", "play", {"track_id": "é"}),
    ]
    for cut in range(len(STREAM)):
        reader = LineReader()
        assert [*reader.feed(STREAM[:cut]), *reader.feed(STREAM[cut:])] == expected


@pytest.mark.parametrize(
    ("line", "code", "ident"),
    [
        (b"{", "PARSE_ERROR", None),
        (b"\xff\xfe", "PARSE_ERROR", None),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":NaN}}', "PARSE_ERROR", None),
        (b"[" * 100_000, "PARSE_ERROR", None),
        (b"[]", "INVALID_REQUEST", None),
        (b"1", "INVALID_REQUEST", None),
        (b'{"id":1,"method":"ping"}', "INVALID_REQUEST", 1),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', "INVALID_REQUEST", None),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', "INVALID_REQUEST", None),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', "INVALID_REQUEST", None),
        (b'{"jsonrpc":"2.0","id":2}', "INVALID_REQUEST", 2),
        (b'{"jsonrpc":"2.0","id":2,"method":3}', "INVALID_REQUEST", 2),
        (b'{"jsonrpc":"2.0","id":2,"method":"play","params":[1]}', "INVALID_PARAMS", 2),
        (b'{"jsonrpc":"2.0","id":2,"method":"play","params":3}', "INVALID_PARAMS", 2),
    ],
)
def test_malformed_lines_have_their_own_error(line: bytes, code: str, ident: object) -> None:
    message = jsonrpc.parse(line)
    assert isinstance(message, Bad)
    assert (message.error.code, message.id) == (code, ident)


def test_an_overlong_line_is_refused_and_the_next_one_read() -> None:
    reader = LineReader(limit_bytes=100)
    messages = list(reader.feed(b"x" * 1000)) + list(reader.feed(b"x\n" + STREAM))
    assert isinstance(messages[0], Bad)
    assert messages[0].error.code == "INVALID_REQUEST"
    assert messages[1] == Request(1, "ping", {})


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    for message in LineReader().feed(data + b"\n"):
        assert isinstance(message, (Bad, Request, Notification, Response))


def test_twenty_thousand_mutated_lines_never_raise() -> None:
    draw = random.Random(7)
    base = bytearray(STREAM)
    reader = LineReader()
    for _ in range(20_000):
        mutated = bytearray(base)
        for _ in range(draw.randrange(1, 6)):
            mutated[draw.randrange(len(mutated))] = draw.randrange(256)
        for message in reader.feed(bytes(mutated)):
            if isinstance(message, Bad):
                assert message.error.code in ("PARSE_ERROR", "INVALID_REQUEST", "INVALID_PARAMS")
    assert len(reader._rest) < 2 * len(base)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" + "0" * 400, "-1" + "0" * 9000])
def test_a_number_beyond_every_double_becomes_one_that_can_be_written(number: str) -> None:
    line = f'{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":[{number}]}}}}'
    message = jsonrpc.parse(line.encode())
    assert isinstance(message, Request)
    assert abs(message.params["a"][0]) == sys.float_info.max
    assert (message.params["a"][0] < 0) == number.startswith("-")
    assert jsonrpc.parse(jsonrpc.encode_request(1, "x", message.params)) == message


def test_encoded_lines_are_ascii_and_single() -> None:
    line = jsonrpc.encode_result(1, {"title": "☕\n\ud800"})
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert json.loads(line)["result"]["title"] == "☕\n\ud800"


def test_an_error_carries_symbol_and_hint() -> None:
    wire = json.loads(jsonrpc.encode_error(3, InvalidParams("no", hint="do", param="x")))
    assert wire["error"]["code"] == -32602
    assert wire["error"]["data"] == {
        "code": "INVALID_PARAMS",
        "hint": "do",
        "retryable": False,
        "param": "x",
        "details": None,
    }


def test_not_a_number_is_never_written() -> None:
    with pytest.raises(ValueError):
        jsonrpc.encode_notification("x", {"value": float("nan")})
