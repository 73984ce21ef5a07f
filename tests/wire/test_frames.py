"""Frames as bytes: every message there and back, any split, and any damage."""

from __future__ import annotations

import random
import struct
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from lofi.wire import frames
from lofi.wire.frames import (
    FROM_WORKER,
    LIMIT_BYTES,
    TO_WORKER,
    Beat,
    Cancel,
    Done,
    FactsLearned,
    Failed,
    FrameError,
    FrameReader,
    Generate,
    Message,
    Operate,
    Warned,
    pack,
)

FRAMES_MUTATED = 20_000
VALUES = {
    "str": "text é 音",
    "int": 7,
    "float": 0.5,
    "bool": True,
    "Mapping[str, Any]": {"a": [1, None, {"b": 2.5}]},
    "Mapping[str, str]": {"source": "/tmp/a.wav"},
    "list[Mapping[str, Any]]": [{"path": "/x", "scale": 0.5}],
    "str | None": None,
}


def message_of(kind: type[Message]) -> Message:
    return kind(**{item.name: VALUES[str(item.type)] for item in fields(kind)})


def read(data: bytes) -> list[Message]:
    return list(FrameReader().feed(data))


@pytest.mark.parametrize("kind", TO_WORKER + FROM_WORKER, ids=lambda kind: kind.kind)
def test_every_message_comes_back(kind: type[Message]) -> None:
    message = message_of(kind)
    assert read(pack(message)) == [message]


def test_every_kind_has_its_own_name() -> None:
    names = [kind.kind for kind in TO_WORKER + FROM_WORKER]
    assert len(set(names)) == len(names)


def test_a_frame_may_be_split_anywhere() -> None:
    sent = [Generate("a", {"seed": 1}), Cancel("a"), Warned("a", "X", "y", None)]
    data = b"".join(pack(message) for message in sent)
    for cut in range(len(data) + 1):
        reader = FrameReader()
        assert [*reader.feed(data[:cut]), *reader.feed(data[cut:])] == sent
    reader = FrameReader()
    assert [one for byte in data for one in reader.feed(bytes([byte]))] == sent


def test_a_thousand_frames_may_come_as_one() -> None:
    sent = [Beat("job", number) for number in range(1000)]
    assert read(b"".join(pack(message) for message in sent)) == sent


def test_a_megabyte_goes_through() -> None:
    message = Operate("a", "lm_codes", {"lyrics": "é" * 2**20})
    assert read(pack(message)) == [message]


def test_numbers_of_numpy_and_paths_become_plain() -> None:
    values = {
        "bpm": np.float32(92.5),
        "count": np.int64(3),
        "curve": np.array([[1.0, 2.0]], np.float32),
        "path": Path("/tmp/x"),
        "set": {"b", "a"},
        "pair": (1, 2),
    }
    (message,) = read(pack(FactsLearned("a", values)))
    assert isinstance(message, FactsLearned)
    assert message.values == {
        "bpm": 92.5,
        "count": 3,
        "curve": [[1.0, 2.0]],
        "path": "/tmp/x",
        "set": ["a", "b"],
        "pair": [1, 2],
    }


def test_what_cannot_be_said_is_refused_before_it_is_sent() -> None:
    with pytest.raises(TypeError, match="object"):
        pack(FactsLearned("a", {"x": object()}))


def test_a_path_that_is_no_utf8_comes_back() -> None:
    strange = b"/tmp/\xff\xfe.wav".decode("utf-8", "surrogateescape")
    message = Operate("a", "analyze", {"path": strange})
    assert read(pack(message)) == [message]


def test_unknown_members_are_left_out_and_defaults_filled_in() -> None:
    body = msgpack.packb({"kind": "cancel", "job_id": "a", "from_the_future": 1})
    assert read(struct.pack(">I", len(body)) + body) == [Cancel("a")]
    body = msgpack.packb({"kind": "done", "job_id": "a"})
    assert read(struct.pack(">I", len(body)) + body) == [Done("a", {})]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (7, "no map"),
        ([1], "no map"),
        ({}, "no known kind"),
        ({"kind": "dance"}, "no known kind"),
        ({"kind": ["cancel"]}, "no known kind"),
        ({"kind": "cancel"}, "lacks a member"),
        ({"kind": "cancel", "job_id": 3}, "job_id of a cancel frame is int"),
        ({"kind": "generate", "job_id": "a", "recipe": None}, "recipe"),
        ({"kind": "sound", "job_id": "a", "gain": "loud"}, "gain"),
    ],
)
def test_a_wrong_body_is_no_frame(body: Any, words: str) -> None:
    payload = msgpack.packb(body)
    with pytest.raises(FrameError, match=words):
        read(struct.pack(">I", len(payload)) + payload)


def test_a_length_beyond_the_limit_is_refused_at_once() -> None:
    with pytest.raises(FrameError, match=str(LIMIT_BYTES + 1)):
        read(struct.pack(">I", LIMIT_BYTES + 1))


def test_a_message_beyond_the_limit_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "LIMIT_BYTES", 1000)
    with pytest.raises(FrameError, match="over the limit"):
        pack(Failed("a", "X", "m" * 1000))


def test_damaged_frames_end_in_a_message_or_a_frame_error_and_keep_nothing() -> None:
    chance = random.Random(4711)
    originals = [pack(message_of(kind)) for kind in TO_WORKER + FROM_WORKER]
    outcomes = {"message": 0, "error": 0, "waiting": 0}
    for _ in range(FRAMES_MUTATED):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.randint(1, 4)):
            _damage(data, chance)
        reader = FrameReader()
        try:
            came = [one for one in reader.feed(bytes(data)) if isinstance(one, Message)]
        except FrameError:
            outcomes["error"] += 1
            continue
        outcomes["message" if came else "waiting"] += 1
        assert len(reader._buffer) <= len(data)
    assert sum(outcomes.values()) == FRAMES_MUTATED
    assert all(count > FRAMES_MUTATED // 50 for count in outcomes.values()), outcomes


def test_random_bytes_end_in_a_frame_error_or_wait() -> None:
    chance = random.Random(1)
    for _ in range(2000):
        body = chance.randbytes(chance.randint(0, 40))
        try:
            came = read(struct.pack(">I", len(body)) + body)
        except FrameError:
            continue
        raise AssertionError(f"{body!r} was taken for {came}")


def _damage(data: bytearray, chance: random.Random) -> None:
    if not data:
        data += chance.randbytes(4)
        return
    where = chance.randrange(len(data))
    kind = chance.randrange(5)
    if kind == 0:
        data[where] ^= 1 << chance.randrange(8)
    elif kind == 1:
        data[where] = chance.randrange(256)
    elif kind == 2:
        del data[where : where + chance.randint(1, 5)]
    elif kind == 3:
        data[where:where] = chance.randbytes(chance.randint(1, 5))
    else:  # a length that fits what is left, so that the damage lies in the body
        del data[where:]
        if len(data) >= 4:
            data[:4] = struct.pack(">I", len(data) - 4)
