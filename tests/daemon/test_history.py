from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lofi.daemon import history as room
from lofi.daemon.history import History


def now(write: Callable[[], None]) -> None:
    write()


def noted(history: History, *prompts: str) -> None:
    for number, prompt in enumerate(prompts):
        members = {"track_id": f"{number:04}", "prompt": prompt, "seed": number}
        history.add("generated", f"2026-01-01T00:00:{number:02}.000Z", members)


def test_events_come_newest_first_and_survive(tmp_path: Path) -> None:
    noted(History(tmp_path / "h" / "history.jsonl", now), "rain", "snow")
    again = History(tmp_path / "h" / "history.jsonl", now)
    assert [event["prompt"] for event in again.events(None, 50, None)] == ["snow", "rain"]
    assert (tmp_path / "h" / "history.jsonl").stat().st_mode & 0o777 == 0o600


def test_kind_limit_and_before_choose(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl", now)
    noted(history, "rain", "snow")
    history.add("failed", "2026-01-01T00:01:00.000Z", {"track_id": "x", "prompt": "fog"})
    assert [each["prompt"] for each in history.events("failed", 50, None)] == ["fog"]
    assert len(history.events(None, 1, None)) == 1
    before = history.events(None, 50, "2026-01-01T00:00:01.000Z")
    assert [each["prompt"] for each in before] == ["rain"]


def test_prompts_are_counted_most_used_first(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl", now)
    noted(history, "snow", "rain at night", "rain at night")
    prompts = history.prompts(None, 100)
    assert [(each["prompt"], each["count"]) for each in prompts] == [
        ("rain at night", 2),
        ("snow", 1),
    ]
    assert prompts[0]["seeds"] == [1, 2]
    assert [each["prompt"] for each in history.prompts("NIGHT rain", 100)] == ["rain at night"]


def test_clearing_one_kind_keeps_the_others(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl", now)
    noted(history, "rain")
    history.add("failed", "2026-01-01T00:01:00.000Z", {"track_id": "x"})
    assert history.clear("failed") == 1
    assert history.clear(None) == 1
    assert History(tmp_path / "history.jsonl", now).events(None, 50, None) == []


def test_half_a_line_of_a_crash_is_passed_over(tmp_path: Path) -> None:
    noted(History(tmp_path / "history.jsonl", now), "rain")
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"kind": "generated", "ti')
    assert len(History(tmp_path / "history.jsonl", now).events(None, 50, None)) == 1


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "EVENT_LIMIT", 10)
    monkeypatch.setattr(room, "SLACK", 5)
    history = History(tmp_path / "history.jsonl", now)
    noted(history, *(str(number) for number in range(40)))
    assert len(history.events(None, 100, None)) == 10
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) <= 15
