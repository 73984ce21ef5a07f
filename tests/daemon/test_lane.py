"""A lane with a worker of our own making: what happens between its steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lofi.daemon.jobs import Job
from lofi.daemon.lane import LaneRunner, Operation
from lofi.daemon.queue import Lane
from lofi.daemon.studio import Studio
from lofi.daemon.worker_process import WorkerProcess
from lofi.errors import Busy, GenerationCancelled
from lofi.wire.frames import Done, Message, Operate
from tests.clock import limit


class Slow:
    """A worker that comes up when it is told to."""

    memory_bytes = 7
    is_running = True

    def __init__(self) -> None:
        self.is_starting = asyncio.Event()
        self.may_start = asyncio.Event()
        self.may_end = asyncio.Event()
        self.was_given: list[Message] = []

    async def start(self) -> None:
        self.is_starting.set()
        await self.may_start.wait()

    async def run(self, message: Message) -> AsyncIterator[Message]:
        self.was_given.append(message)
        yield Done("op", {})
        await self.may_end.wait()

    def cancel(self, job_id: str) -> None:
        pass

    async def stop(self) -> None:
        pass


def lane_with(worker: Slow) -> LaneRunner:
    settings = SimpleNamespace(value=lambda name: 0)
    queue = SimpleNamespace(take=lambda lane: None)
    studio = SimpleNamespace(settings=settings, queue=queue, on_backend=lambda name: None)
    return LaneRunner(Lane.NEURAL, cast(WorkerProcess, worker), cast(Studio, studio))


def operation() -> Operation:
    future: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
    return Operation(Operate("op", "waveform"), "op", future, lambda done, total: None)


def test_an_operation_cancelled_while_the_worker_comes_up_is_never_sent() -> None:
    async def cancel() -> None:
        worker = Slow()
        worker.may_end.set()
        lane, work = lane_with(worker), operation()
        task = asyncio.create_task(lane.run())
        lane.ask(work)
        await worker.is_starting.wait()
        lane.cancel_operation(work)
        worker.may_start.set()
        async with asyncio.timeout(limit(5)):
            with pytest.raises(GenerationCancelled):
                await work.future
        assert worker.was_given == []
        task.cancel()

    asyncio.run(cancel())


def test_unloading_waits_for_the_tidying_and_refuses_for_work() -> None:
    async def unload() -> None:
        worker = Slow()
        lane, work = lane_with(worker), operation()
        lane.loaded = ["musicgen"]
        task = asyncio.create_task(lane.run())
        lane.ask(work)
        await worker.is_starting.wait()
        with pytest.raises(Busy):
            await lane.unload(None)
        worker.may_start.set()
        async with asyncio.timeout(limit(5)):
            await work.future  # answered, and still the lane's
            assert not lane.is_idle
            unloading = asyncio.create_task(lane.unload(None))
            await asyncio.sleep(0)
            assert not unloading.done()
            worker.may_end.set()
            assert await unloading == (["musicgen"], 7)
        task.cancel()

    asyncio.run(unload())


def test_a_job_that_has_ended_does_not_refuse_the_unloading() -> None:
    async def unload() -> None:
        lane = lane_with(Slow())
        running = SimpleNamespace(has_ended=False)
        lane.current = cast(Job, running)
        with pytest.raises(Busy):
            await lane.unload(None)
        running.has_ended = True
        unloading = asyncio.create_task(lane.unload("musicgen"))
        await asyncio.sleep(0)
        assert not unloading.done()
        unloading.cancel()

    asyncio.run(unload())
