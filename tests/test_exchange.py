"""Exchange directories: refusals, warnings, and the way to `generate`."""

from __future__ import annotations

from pathlib import Path

import pytest

from lofi.errors import InvalidParams, InvalidPrompt, InvalidSource
from lofi.exchange import Exchange, read_exchange, write_exchange


def test_what_is_written_is_read(tmp_path: Path) -> None:
    plan = Exchange("two\nlines", "la\nla", "90", "Bb minor", "4", "fr", 60.0, (1, 2, 63999))
    write_exchange(tmp_path, plan)
    assert (tmp_path / "codes").read_text() == "1,2,63999\n"
    assert (tmp_path / "duration").read_text() == "60"
    assert read_exchange(tmp_path) == plan


def test_a_shorter_plan_leaves_nothing_of_the_longer_one(tmp_path: Path) -> None:
    write_exchange(tmp_path, Exchange("a", bpm="90", codes=(1, 2)))
    write_exchange(tmp_path, Exchange("b"))
    assert read_exchange(tmp_path) == Exchange("b")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "caption", "duration", "language", "lyrics",
    ]  # fmt: skip


@pytest.mark.parametrize("codes", ["1,64000", "1,x", "-1", "1.5", "９"])
def test_bad_codes_name_their_file(tmp_path: Path, codes: str) -> None:
    (tmp_path / "caption").write_text("lofi")
    (tmp_path / "codes").write_text(codes)
    with pytest.raises(InvalidParams) as raised:
        read_exchange(tmp_path)
    assert str(tmp_path / "codes") in raised.value.message
    assert "63999" in raised.value.hint


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidSource):
        read_exchange(tmp_path / "nowhere")
    with pytest.raises(InvalidSource):
        write_exchange(tmp_path / "nowhere", Exchange("x"))
    with pytest.raises(InvalidPrompt, match="caption"):
        read_exchange(tmp_path)
    (tmp_path / "caption").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidSource, match="caption"):
        read_exchange(tmp_path)
    (tmp_path / "caption").write_text("lofi")
    (tmp_path / "duration").write_text("soon")
    with pytest.raises(InvalidParams, match="duration"):
        read_exchange(tmp_path)


def test_codes_decide_the_length(tmp_path: Path) -> None:
    plan = Exchange("lofi", bpm="90.5", codes=tuple(range(60)), duration_sec=30.0)
    assert plan.length_sec == 12.0
    (warning,) = plan.warnings()
    assert "12 s" in warning and "30 s" in warning
    params = plan.params()
    assert params["duration_sec"] == 12.0
    assert params["audio_codes"] == list(range(60))
    assert params["bpm"] == 90
    assert not params["thinking"]
    assert Exchange("lofi", codes=tuple(range(60)), duration_sec=12.0).warnings() == []


def test_unknown_fields_stay_unknown() -> None:
    params = Exchange("lofi").params()
    assert not {"bpm", "keyscale", "timesignature", "audio_codes"} & set(params)
    with pytest.raises(InvalidParams, match="bpm"):
        Exchange("lofi", bpm="fast").params()
