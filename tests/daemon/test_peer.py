from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest

from lofi.daemon import peer as room
from lofi.daemon.events import Events
from lofi.daemon.peer import Peer, Reply
from lofi.errors import NothingToPlay
from lofi.wire import methods
from tests.daemon import nonsense


class Paper:
    """A wire that keeps what is written on it."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.backlog = 0
        self.is_dropped = False

    def write(self, line: bytes) -> None:
        self.lines.append(line)

    def backlog_bytes(self) -> int:
        return self.backlog

    def drop(self) -> None:
        self.is_dropped = True

    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


def handle(peer: Peer, method: str, params: Mapping[str, Any], request_id: object) -> Any:
    methods.parse(method, params)
    if method == "ping":
        return {"status": "ok"}
    if method == "toggle":
        raise NothingToPlay("There is nothing to play")
    if method == "stop":
        raise ZeroDivisionError("secret path /home/somebody")
    if method == "pause":
        return Reply({"paused": True}, lambda: peer.send(b'{"after": true}\n'))

    async def slow() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"method": method}

    return slow()


@pytest.fixture
def paper() -> Paper:
    return Paper()


def conversation(paper: Paper, **more: Any) -> Peer:
    return Peer(paper, handle, lambda work: work.close(), **more)


def call(method: str, ident: object = 1, **params: Any) -> bytes:
    value = {"jsonrpc": "2.0", "id": ident, "method": method, "params": params}
    return json.dumps(value).encode() + b"\n"


@pytest.mark.parametrize("width", [1, 2, 7, 1000])
def test_a_call_may_come_in_any_pieces(paper: Paper, width: int) -> None:
    peer = conversation(paper)
    data = call("ping", "é☕") + b"\r\n\n" + call("ping", 2)
    for start in range(0, len(data), width):
        peer.feed(data[start : start + width])
    assert [each["id"] for each in paper.messages()] == ["é☕", 2]


def test_errors_carry_symbol_and_hint_and_never_a_traceback(paper: Paper) -> None:
    peer = conversation(paper)
    peer.feed(call("toggle") + call("stop") + call("nothing") + call("ping", x=1))
    errors = [each["error"] for each in paper.messages()]
    assert [error["data"]["code"] for error in errors] == [
        "NOTHING_TO_PLAY",
        "INTERNAL_ERROR",
        "METHOD_NOT_FOUND",
        "INVALID_PARAMS",
    ]
    assert "secret" not in json.dumps(errors)
    assert errors[0]["data"]["hint"]


def test_a_notification_gets_no_answer_not_even_an_error(paper: Paper) -> None:
    peer = conversation(paper)
    for method in ("ping", "toggle", "nothing"):
        peer.feed(json.dumps({"jsonrpc": "2.0", "method": method}).encode() + b"\n")
    assert paper.lines == []


def test_what_follows_an_answer_comes_after_it(paper: Paper) -> None:
    conversation(paper).feed(call("pause"))
    assert paper.messages()[0]["result"] == {"paused": True}
    assert paper.messages()[1] == {"after": True}


def test_calls_behind_an_introduction_wait_for_it(paper: Paper) -> None:
    async def talk() -> None:
        tasks = []
        peer = Peer(paper, handle, lambda work: tasks.append(asyncio.ensure_future(work)))
        peer.feed(call("initialize", 1) + call("ping", 2) + call("ping", 3))
        assert paper.lines == []
        await asyncio.gather(*tasks)

    asyncio.run(talk())
    assert [each["id"] for each in paper.messages()] == [1, 2, 3]


def test_a_client_that_reads_nothing_is_let_go(
    paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "BACKLOG_LIMIT_BYTES", 100)
    peer = conversation(paper, is_initialised=True)
    events = Events()
    events.add(peer)
    paper.backlog = 101
    events.emit("queue_changed", {})
    assert paper.is_dropped and paper.lines == []


def test_notifications_go_to_the_introduced_who_want_them(paper: Paper) -> None:
    events = Events()
    silent, picky, all_ears = Paper(), Paper(), Paper()
    events.add(conversation(silent))
    chooser = conversation(picky, is_initialised=True)
    chooser.notifications = frozenset({"cache_changed"})
    events.add(chooser)
    listener = conversation(all_ears, is_initialised=True)
    events.add(listener)
    for name in ("queue_changed", "cache_changed"):
        events.emit(name, {})
    events.remove(listener)
    events.emit("cache_changed", {})
    events.close()
    events.emit("cache_changed", {})
    assert [len(each.lines) for each in (silent, picky, all_ears)] == [0, 2, 2]


def test_twenty_thousand_wrong_lines_are_each_answered_and_cost_no_memory(paper: Paper) -> None:
    peer = conversation(paper)
    wrong = nonsense.lines(20_000, seed=7)
    tracemalloc.start()
    for turn, line in enumerate(wrong):
        paper.lines.clear()
        peer.feed(line + b"\n")
        due = nonsense.owed(line)
        expected = [] if due[0] == nonsense.NOTHING else [due]
        assert [nonsense.said(message) for message in paper.messages()] == expected, line
        if turn == 2000:
            before = tracemalloc.get_traced_memory()[0]
    growth = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert growth < 100_000
    paper.lines.clear()
    peer.feed(call("ping", "alive"))
    assert paper.messages()[0]["id"] == "alive"


def test_a_result_no_line_can_carry_is_our_error_and_not_silence(paper: Paper) -> None:
    def handle_badly(peer: Peer, method: str, params: object, request_id: object) -> Any:
        async def slow() -> dict[str, float]:
            return {"level": float("inf")}

        return {"level": float("nan")} if method == "volume_get" else slow()

    works: list[Any] = []
    peer = Peer(paper, handle_badly, works.append)
    peer.feed(call("volume_get", 1) + call("status", 2))
    asyncio.run(works.pop())
    assert [nonsense.said(message) for message in paper.messages()] == [
        ("INTERNAL_ERROR", 1),
        ("INTERNAL_ERROR", 2),
    ]


def test_a_flood_of_calls_is_refused_by_name_and_the_way_out_stays_open(paper: Paper) -> None:
    works: list[Any] = []
    peer = Peer(paper, handle, works.append)
    peer.feed(b"".join(call("skip", number) for number in range(room.UNANSWERED_LIMIT + 5)))
    assert [nonsense.said(message)[0] for message in paper.messages()] == ["BUSY"] * 5
    peer.feed(call("ping", "out"))
    assert nonsense.said(paper.messages()[-1]) == (nonsense.FINE, "out")
    for work in works:
        asyncio.run(work)
    paper.lines.clear()
    peer.feed(call("skip", "again"))
    asyncio.run(works[-1])
    assert paper.messages()[0]["id"] == "again"
