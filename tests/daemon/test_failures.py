"""What goes wrong inside the daemon itself: one ending a job, a lane that lives, an orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lofi.daemon.app import App
from lofi.daemon.cache import Cache
from lofi.daemon.events import Events
from lofi.daemon.jobs import Job
from lofi.daemon.lane import LaneRunner
from lofi.daemon.launch import worker_command
from lofi.daemon.library import Library
from lofi.daemon.queue import Lane
from lofi.daemon.rendering import Crew, Rendering
from lofi.daemon.studio import Studio
from lofi.daemon.worker_process import WorkerProcess
from lofi.paths import Paths
from lofi.settings import Settings
from lofi.wire.frames import Done, Generate, Message
from tests.clock import limit
from tests.daemon.test_library import Ear

TRACK = "aaaa111122223333"
ENDINGS = ("generation_complete", "generation_error", "generation_cancelled")


def breaks(*given: object, **named: object) -> Any:
    raise OSError(5, "Input/output error")


def nothing(*given: object, **named: object) -> None:
    pass


class Worker:
    """Writes a file and is done."""

    async def start(self) -> None:
        pass

    async def run(self, message: Message) -> AsyncIterator[Message]:
        assert isinstance(message, Generate)
        Path(message.file_path).write_bytes(b"sound")
        yield Done(message.job_id, {"frames": 48000, "sample_rate": 48000, "bytes": 5})


def job() -> Job:
    delivery = {"priority": "normal", "origin": "user", "force": False, "title": "x", "tags": []}
    backend = SimpleNamespace(type="procedural", is_light=True, license="MIT")
    request = SimpleNamespace(
        backend=backend,
        variant=None,
        model_version="1",
        delivery=delivery,
        audio={},
        parent=None,
        adapters=(),
        params={},
    )
    recipe = {"task": "text2music", "prompt": "rain", "duration_sec": 1.0}
    take = SimpleNamespace(digest=TRACK + "0" * 48, recipe=recipe, seed=1)
    return Job(TRACK, cast(Any, request), cast(Any, take), "c", True, "wav", False)


def studio_in(folder: Path, ear: Ear, **broken: Callable[..., Any]) -> Studio:
    paths = SimpleNamespace(
        tracks=folder / "tracks", unfinished=folder / "tracks" / ".tmp", locks=folder / "locks"
    )
    cache = Cache(paths.tracks, paths.locks)
    cache.open()
    clock = SimpleNamespace(monotonic=lambda: 1.0, timestamp=lambda: "2020-01-01T00:00:00.000Z")
    values = {"history.enabled": True, "audio.mp3_bitrate": 192, "model.device": "cpu"}
    settings = SimpleNamespace(value=lambda name: values.get(name, Settings().value(name)))
    learn = broken.get("learn", nothing)
    library = Library(cache, cast(Events, ear), cast(Settings, settings), lambda count: [])
    if "evict" in broken:
        cache.evict = broken["evict"]  # type: ignore[method-assign]
    return cast(
        Studio,
        SimpleNamespace(
            queue=SimpleNamespace(take=lambda lane: None),
            events=ear,
            library=library,
            player=SimpleNamespace(),
            turns=SimpleNamespace(tell=broken.get("tell", nothing)),
            settings=settings,
            paths=paths,
            timings=SimpleNamespace(
                expect=broken.get("expect", nothing), learn=learn, save=nothing
            ),
            history=SimpleNamespace(add=broken.get("history", nothing)),
            clock=clock,
            model_fields=lambda job: {},
            on_change=nothing,
            on_backend=broken.get("on_backend", nothing),
        ),
    )


@pytest.mark.parametrize("where", ["learn", "history", "evict", "tell", "rendered"])
def test_what_fails_after_the_ending_gives_no_second_one(tmp_path: Path, where: str) -> None:
    async def render() -> None:
        ear, work = Ear(), job()
        studio = studio_in(tmp_path, ear, **{where: breaks})
        lane = LaneRunner(Lane.LIGHT, cast(WorkerProcess, Worker()), studio)
        if where == "rendered":
            lane.rendered = breaks  # type: ignore[method-assign]
        await Rendering(work, cast(Crew, lane), studio).run()
        assert [name for name, _ in ear.heard if name in ENDINGS] == ["generation_complete"]
        assert work.state == "complete"
        assert (studio.paths.tracks / f"{TRACK}.json").exists()

    asyncio.run(render())


def test_a_cached_ending_is_the_only_one(tmp_path: Path) -> None:
    async def render() -> None:
        ear = Ear()
        first = studio_in(tmp_path, ear)
        lane = LaneRunner(Lane.LIGHT, cast(WorkerProcess, Worker()), first)
        await Rendering(job(), cast(Crew, lane), first).run()
        ear.heard.clear()
        second = studio_in(tmp_path, ear, tell=breaks)
        await Rendering(job(), cast(Crew, lane), second).run()
        assert [name for name, _ in ear.heard if name in ENDINGS] == ["generation_complete"]

    asyncio.run(render())


def test_a_rendering_that_breaks_is_one_failed_job_and_the_lane_goes_on(tmp_path: Path) -> None:
    async def serve() -> None:
        ear, jobs = Ear(), [job(), job()]
        waiting, last = list(jobs), asyncio.Event()
        studio = studio_in(tmp_path, ear, expect=breaks)
        studio.queue.take = lambda lane: waiting.pop(0) if waiting else last.set()  # type: ignore
        lane = LaneRunner(Lane.LIGHT, cast(WorkerProcess, Worker()), studio)
        task = asyncio.create_task(lane.run())
        async with asyncio.timeout(limit(5)):
            done, _ = await asyncio.wait(
                {task, asyncio.create_task(last.wait())}, return_when=asyncio.FIRST_COMPLETED
            )
        assert task not in done
        endings = [params["code"] for name, params in ear.heard if name in ENDINGS]
        assert endings == ["INTERNAL_ERROR"] * 2
        assert [each.state for each in jobs] == ["error", "error"] and lane.is_idle
        task.cancel()

    asyncio.run(serve())


def test_a_service_that_dies_ends_the_daemon_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, Mapping[str, Any]]] = []

    async def serve() -> int:
        paths = Paths.from_environment({"HOME": str(tmp_path), "LOFI_HOME": str(tmp_path / "c")})
        app = App(paths, Settings(), worker_command, None)
        app._furnish(WorkerProcess("light", [], {}))
        ended = asyncio.Event()

        async def dies() -> None:
            breaks()

        async def no_doors() -> None:
            pass

        async def end() -> None:
            ended.set()

        monkeypatch.setattr(app, "_force", nothing)  # the watchdog's hard exit is not for pytest
        monkeypatch.setattr(app, "_build", no_doors)
        monkeypatch.setattr(app, "_open_doors", no_doors)
        monkeypatch.setattr(app, "_end", end)
        monkeypatch.setattr(app.house, "services", lambda: [dies()])
        monkeypatch.setattr(
            app.house.events, "emit", lambda name, params: told.append((name, params))
        )
        async with asyncio.timeout(limit(5)):
            status = await app.run()
        assert ended.is_set()
        return status

    assert asyncio.run(serve()) == 1
    assert [(name, params["fatal"]) for name, params in told] == [("daemon_error", True)]
