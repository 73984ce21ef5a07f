from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from lofi.daemon.launch import worker_command
from lofi.daemon.machine import Machine, Speed
from tests.clock import limit
from tests.daemon.callers import Home


def says(text: str) -> list[str]:
    return [sys.executable, "-c", f"print({text!r})"]


def test_the_real_measure(tmp_path: Path) -> None:
    path = tmp_path / "state" / "speed.json"
    machine = Machine(path, worker_command("speed"))
    assert machine.speed is None
    speed = asyncio.run(machine.measured())
    assert speed is not None and speed.gflops > 0.1 and speed.gbps > 0.1
    assert Machine(path, ["never started"]).speed == speed, "the next daemon knows it at once"


def test_the_best_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    asyncio.run(Machine(path, says('{"gflops": 90, "gbps": 5}')).measured())
    busy = Machine(path, says('{"gflops": 20, "gbps": 7}'))
    assert asyncio.run(busy.measured()) == Speed(90.0, 7.0)


def test_figures_of_another_machine_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    path.write_text(json.dumps({"gflops": 9, "gbps": 9, "machine": "elsewhere"}))
    assert Machine(path, ["never started"]).speed is None


def test_a_measure_that_fails_is_no_error_and_not_repeated(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    program = f"open({str(asked)!r}, 'a').write('x')"

    async def twice() -> None:
        machine = Machine(tmp_path / "speed.json", [sys.executable, "-c", program])
        assert await machine.measured() is None
        assert await machine.measured() is None

    asyncio.run(twice())
    assert asked.read_text() == "x"


def test_a_disk_that_keeps_nothing_and_a_process_that_does_not_start_are_no_errors(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    measured = Machine(tmp_path / "file" / "speed.json", says('{"gflops": 9, "gbps": 5}'))
    assert asyncio.run(measured.measured()) == Speed(9.0, 5.0)
    missing = Machine(tmp_path / "speed.json", [str(tmp_path / "no such program")])
    assert asyncio.run(missing.measured()) is None


def test_a_measure_that_is_just_beginning_ends_with_its_daemon(tmp_path: Path) -> None:
    async def scene() -> None:
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        machine = Machine(tmp_path / "speed.json", command)
        measuring = asyncio.create_task(machine.measured())
        await asyncio.sleep(0)
        machine.close()
        async with asyncio.timeout(limit(5)):
            assert await measuring is None

    asyncio.run(scene())


def test_who_asks_what_it_thinks_of_the_machine_is_told_each_new_figure(tmp_path: Path) -> None:
    told: list[Speed | None] = []
    path = tmp_path / "speed.json"

    def measure(text: str) -> None:
        machine = Machine(path, says(text), lambda: told.append(machine.speed))
        asyncio.run(machine.measured())

    measure('{"gflops": 9, "gbps": 5}')
    assert told == [Speed(9.0, 5.0)]
    measure('{"gflops": 8, "gbps": 5}')
    measure("nothing")
    assert told == [Speed(9.0, 5.0)], "nothing has changed"


def test_the_backends_are_listed_at_once_and_what_they_cost_follows(home: Home) -> None:
    may_measure = home.path / "measured"
    caller = home.caller("stdio", BAND_MEASURES_AFTER=str(may_measure))
    caller.initialize()

    def cost(backends: list[dict[str, Any]]) -> object:
        found = next(each for each in backends if each["type"] == "musicgen")
        assert found["estimate"]["memory_mb"] > 1000
        return found["estimate"]["seconds_per_minute_of_audio"]

    for _ in range(2):
        assert cost(caller.call("get_backends")["backends"]) is None
    assert not caller.named("backend_changed")
    may_measure.touch()
    changed = caller.event("backend_changed", type="musicgen")
    assert cost([changed]) == cost(caller.call("get_backends")["backends"]) is not None
    caller.call("get_backends")
    types = [each["type"] for each in caller.named("backend_changed")]
    assert types.count("musicgen") == 1
