from __future__ import annotations

from dataclasses import dataclass

import pytest

from lofi.daemon.queue import Lane, Queue
from lofi.errors import QueueFull


@dataclass(frozen=True)
class Waiter:
    track_id: str
    priority: str = "normal"
    lane: Lane = Lane.LIGHT
    origin: str = "user"


def line(*waiters: Waiter) -> Queue[Waiter]:
    queue: Queue[Waiter] = Queue()
    queue.add(waiters, 200)
    return queue


def order(queue: Queue[Waiter]) -> str:
    return "".join(job.track_id for job in queue.pending())


def test_high_goes_before_normal_and_after_earlier_high_ones() -> None:
    queue = line(
        Waiter("a"), Waiter("b", "low"), Waiter("c", "high"), Waiter("d"), Waiter("e", "high")
    )
    assert order(queue) == "cead" + "b"


def test_ten_may_wait_and_the_eleventh_is_refused_with_the_length() -> None:
    queue = line(*(Waiter(str(number)) for number in range(10)))
    with pytest.raises(QueueFull) as refused:
        queue.add([Waiter("x")], 10)
    assert refused.value.data == {"length": 10, "max_pending": 10}
    assert len(queue) == 10


def test_a_batch_is_lined_up_whole_or_not_at_all() -> None:
    queue = line(Waiter("a"))
    with pytest.raises(QueueFull):
        queue.add([Waiter("b"), Waiter("c")], 2)
    assert order(queue) == "a"


def test_lanes_do_not_wait_for_each_other() -> None:
    queue = line(Waiter("a", lane=Lane.NEURAL), Waiter("b"))
    assert queue.ahead_of("b") == []
    assert queue.take(Lane.LIGHT) == Waiter("b")
    assert queue.take(Lane.LIGHT) is None
    assert len(queue) == 1


def test_a_paused_queue_gives_nothing() -> None:
    queue = line(Waiter("a"))
    queue.is_paused = True
    assert queue.take(Lane.LIGHT) is None
    queue.is_paused = False
    assert queue.take(Lane.LIGHT) == Waiter("a")


@pytest.mark.parametrize(("position", "placed", "expected"), [(1, 1, "cab"), (99, 3, "abc")])
def test_moving_is_clamped_and_may_cross_bands(position: int, placed: int, expected: str) -> None:
    queue = line(Waiter("a", "high"), Waiter("b", "high"), Waiter("c", "low"))
    assert queue.move("c", position) == placed
    assert order(queue) == expected


def test_what_was_moved_by_hand_keeps_its_place() -> None:
    queue = line(Waiter("a"), Waiter("b", "low"))
    queue.move("b", 1)
    queue.add([Waiter("c")], 10)
    assert order(queue) == "bac"


def test_an_unknown_track_cannot_be_moved() -> None:
    with pytest.raises(KeyError):
        line().move("a", 1)


def test_clearing_one_origin_leaves_the_others() -> None:
    queue = line(Waiter("a"), Waiter("b", origin="radio"), Waiter("c", lane=Lane.NEURAL))
    assert [job.track_id for job in queue.clear("radio")] == ["b"]
    assert order(queue) == "ca"
    assert len(queue.clear()) == 2
    assert len(queue) == 0
