"""Settings: checks, layers, and what is unusable at start."""

from __future__ import annotations

from pathlib import Path

import pytest

from lofi.errors import InvalidConfig
from lofi.settings import SETTINGS, Settings, from_text


def test_defaults_pass_their_own_checks() -> None:
    for item in SETTINGS.values():
        assert item.check(item.default) == item.default


def test_layers_in_order(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[playback]\nvolume = 0.1\n[model]\nbackend = "musicgen"\n')
    overrides = tmp_path / "overrides.json"
    overrides.write_text('{"playback.volume": 0.3}')
    settings = Settings.load(config, overrides, {"LOFI_BACKEND": "ace-step-1.5"})
    assert settings.value("model.backend") == "ace_step_15"
    assert settings.source("model.backend") == "env"
    assert settings.value("playback.volume") == 0.3
    settings.apply("setup", {"playback": {"volume": 0.5}})
    assert settings.apply("runtime", {"playback.volume": 0.7}) == ["playback.volume"]
    assert settings.apply("setup", {"playback.volume": 0.2}) == []
    assert settings.value("playback.volume") == 0.7


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("playback.volume", 2),
        ("playback.volume", True),
        ("model.backend", "acestep9"),
        ("model.device", "gpu"),
        ("model.device", "cuda:x"),
        ("audio.output", "file:"),
        ("audio.mp3_bitrate", 100),
        ("cache.max_tracks", 0),
        ("cache.dir", "relative"),
        ("queue.max_pending", 1.5),
        ("daemon.log_level", None),
        ("defaults.promt", "x"),
        ("defaults.seed", "x"),
        ("no.such", 1),
    ],
)
def test_wrong_values_change_nothing(key: str, value: object) -> None:
    settings = Settings()
    before = settings.snapshot()
    with pytest.raises(InvalidConfig) as caught:
        settings.apply("runtime", {"playback.auto_play": False, key: value})
    assert caught.value.data["key"] == key
    assert settings.snapshot() == before


def test_a_typo_gets_the_nearest_key() -> None:
    with pytest.raises(InvalidConfig) as caught:
        Settings().apply("runtime", {"playback.volum": 0.5})
    assert "playback.volume" in caught.value.hint


def test_unusable_values_at_start_are_noted_and_ignored(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("playback = [")
    settings = Settings.load(config, None, {"LOFI_THREADS": "abc", "LOFI_DEVICE": "metal"})
    assert settings.value("model.threads") is None
    assert settings.value("model.device") == "mps"
    assert len(settings.problems) == 2
    assert any("LOFI_THREADS" in problem for problem in settings.problems)


@pytest.mark.parametrize(
    ("text", "value", "problems"),
    [("1", "never", 0), ("true", "never", 0), ("0", "ask", 0), ("", "ask", 0), ("x", "never", 1)],
)
def test_offline_means_it_and_a_doubtful_word_keeps_the_network_shut(
    text: str, value: str, problems: int
) -> None:
    settings = Settings.load(None, None, {"LOFI_OFFLINE": text})
    assert settings.value("model.auto_download") == value
    assert len(settings.problems) == problems


@pytest.mark.parametrize("data", [b"\xff\xfe", b"[" * 5000, b"\0"])
def test_a_file_that_is_no_text_is_noted_and_ignored(tmp_path: Path, data: bytes) -> None:
    for name in ("config.toml", "overrides.json"):
        (tmp_path / name).write_bytes(data)
    settings = Settings.load(tmp_path / "config.toml", tmp_path / "overrides.json", {})
    assert len(settings.problems) == 2
    assert settings.value("playback.volume") == 0.6


def test_a_preset_that_no_line_can_carry_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[presets.a]\nprompt = 'x'\nwhen = 2026-01-31\n[presets]\nb = 'rain'\n")
    settings = Settings.load(config, None, {})
    assert settings.table("presets.") == {"b": "rain"}
    assert len(settings.problems) == 1


def test_a_preset_may_be_a_whole_request() -> None:
    settings = Settings()
    settings.apply("setup", {"presets": {"focus": {"prompt": "calm", "bpm": 70}, "x": "rain"}})
    assert settings.table("presets.") == {"focus": {"prompt": "calm", "bpm": 70}, "x": "rain"}


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("model.bf16", "0", False),
        ("model.bf16", "null", None),
        ("model.keep_loaded", "", ""),  # no word at all is not a no
        ("playback.volume", "0.25", 0.25),
        ("lora.paths", "/a,/b", ["/a", "/b"]),
        ("defaults.seed", "7", 7),
        ("defaults.prompt", "rain", "rain"),
    ],
)
def test_text_from_outside(key: str, text: str, value: object) -> None:
    assert from_text(key, text) == value


def test_the_environment_has_defaults_of_one_backend() -> None:
    environment = {
        "LOFI_ACE_STEP_STEPS": "40",
        "LOFI_ACE_STEP_SCHEDULER": "heun",
        "LOFI_ACE_STEP_GUIDANCE": "much",
    }
    settings = Settings.load(None, None, environment)
    assert settings.own_defaults("ace_step") == {"infer_steps": 40, "scheduler": "heun"}
    assert settings.own_defaults("ace_step_15") == {}
    assert any(problem.startswith("LOFI_ACE_STEP_GUIDANCE: ") for problem in settings.problems)
