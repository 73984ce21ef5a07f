"""The planner through the daemon's door: real processes, tiny checkpoints, tracks on disk."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from lofi.tracks import default_title
from tests.checkpoints import ace_step_15, ace_step_15_lm
from tests.clock import limit
from tests.daemon.callers import REPO, Caller, Home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ASKED: dict[str, Any] = {
    "prompt": "something for a rainy Tuesday",
    "backend": "ace_step_15",
    "lm_model": "0.6b",
    "infer_steps": 1,
    "auto_play": False,
}
SHORT = 183
"""A seed for which the random planner chooses ten seconds."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    models = ace_step_15.write_bundle(tmp_path_factory.mktemp("models"))
    ace_step_15_lm.write(models)
    made = Home()
    made.environment["LOFI_ACE_STEP_15_MODEL_PATH"] = str(models)
    yield made
    made.close()


@pytest.fixture(scope="module")
def daemon(home: Home) -> Iterator[Caller]:
    """One warm daemon for all, shared with the command line: torch takes seconds to import."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lofi", "daemon", "--shared"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=home.environment,
        cwd=REPO,
    )
    assert process.stdin is not None and process.stdout is not None
    caller = Caller(process.stdin.fileno(), process.stdout.fileno(), process, None)
    caller.initialize()
    yield caller
    caller.close()


def made(daemon: Caller, **params: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Renders a track; returns its `generation_complete` and what `cache_get` knows."""
    answer = daemon.call("generate", **{**ASKED, **params})
    method, ending = daemon.ending(answer["track_id"], 120)
    assert method == "generation_complete", ending
    return ending, daemon.call("cache_get", track_id=answer["track_id"])


def plan_of(found: dict[str, Any]) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads(Path(found["sidecar"]).read_text())["plan"]
    return plan


def lofi(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lofi", *arguments],
        env=home.environment,
        cwd=home.path,
        capture_output=True,
        text=True,
        timeout=limit(120),
        check=False,
    )


def samples(ending: dict[str, Any]) -> NDArray[np.int16]:
    return np.asarray(soundfile.read(ending["path"], dtype="int16")[0])


def test_the_planner_chooses_how_long_a_track_is(daemon: Caller) -> None:
    estimate = daemon.call("estimate", **ASKED, seed=SHORT)
    assert "planner chooses the length" in " ".join(estimate["advice"])
    answer = daemon.call("generate", **ASKED, seed=SHORT)
    start = daemon.event("generation_start", 60, track_id=answer["track_id"])
    assert start["duration_sec"] is None
    ending, found = made(daemon, seed=SHORT)
    plan = plan_of(found)
    assert 10 <= plan["duration_sec"] <= 600
    assert plan["metas"]["duration"] == plan["duration_sec"]
    assert len(plan["codes"]) == 5 * plan["duration_sec"]
    assert ending["duration_sec"] == plan["duration_sec"]
    assert soundfile.info(ending["path"]).frames == 48000 * plan["duration_sec"]
    assert "duration_sec" not in found["recipe"]
    planning = [each for each in daemon.named("generation_progress") if each["phase"] == "planning"]
    assert planning[-1]["tokens_generated"] <= planning[-1]["tokens_estimated"]
    assert planning[-1]["tokens_estimated"] == len(plan["codes"])
    minutes, seconds = divmod(int(plan["duration_sec"]), 60)
    told = daemon.named("generation_progress")[-1]["message"]
    assert told.startswith(f"{found['track']['bpm']} bpm, {found['track']['keyscale']}, ")
    assert told.endswith(f", {minutes}:{seconds:02d}")


def test_the_same_request_is_the_same_plan_and_the_same_samples(daemon: Caller) -> None:
    first, found = made(daemon, seed=SHORT)
    before, plan = samples(first), plan_of(found)
    daemon.messages.clear()
    again = daemon.call("generate", **ASKED, seed=SHORT, force=True)
    assert again["track_id"] == first["track_id"]
    assert daemon.ending(again["track_id"], 120)[0] == "generation_complete"
    ending, found = made(daemon, seed=SHORT)
    assert plan_of(found) == plan
    assert np.array_equal(samples(ending), before)


def test_a_recipe_gives_the_planned_track_again(daemon: Caller) -> None:
    answer = daemon.call("generate", **ASKED, seed=SHORT, batch_size=2)
    for take in answer["tracks"]:
        assert daemon.ending(take["track_id"], 120)[0] == "generation_complete"
    plans = []
    for take in answer["tracks"]:
        request = daemon.call("cache_recipe", track_id=take["track_id"])["request"]
        again = daemon.call("generate", **request)
        assert (again["status"], again["track_id"]) == ("cached", take["track_id"])
        plans.append(plan_of(daemon.call("cache_get", track_id=take["track_id"])))
    assert plans[0] == plans[1]


def test_a_retake_keeps_the_plan(daemon: Caller) -> None:
    first, found = made(daemon, seed=SHORT)
    source = {"track_id": first["track_id"]}
    params = {"task": "retake", "source": source, "seed": None, "lm_model": None, "prompt": None}
    same, kept = made(daemon, **params, retake_variance=0, retake_seed=1)
    assert kept["recipe"]["audio_codes"] == plan_of(found)["codes"]
    assert same["duration_sec"] == first["duration_sec"]
    assert np.array_equal(samples(same), samples(first))
    other, _ = made(daemon, **params, retake_variance=0.5, retake_seed=1)
    assert other["duration_sec"] == first["duration_sec"]
    assert not np.array_equal(samples(other), samples(first))


def test_lyrics_alone_become_a_track_with_a_title(daemon: Caller) -> None:
    ending, found = made(daemon, seed=6, prompt=None, lyrics="rain on me", duration_sec=10)
    assert (found["track"]["prompt"], found["track"]["lyrics"]) == ("", "rain on me")
    caption = plan_of(found)["caption"]
    assert caption and ending["title"] == default_title(caption)
    written, found = made(daemon, seed=6, duration_sec=10, auto_lyrics=True)
    assert written["title"] == ASKED["prompt"]
    assert found["track"]["lyrics"] == plan_of(found)["lyrics"] != ""


def test_an_idea_becomes_a_request_and_says_how_far_it_is(daemon: Caller) -> None:
    daemon.messages.clear()
    ident = daemon.send("lm_inspire", query="a rainy Tuesday", seed=3, instrumental=True)
    first = daemon.answer(ident, 120)["result"]
    told = [each for each in daemon.named("operation_progress") if each["request_id"] == ident]
    assert {each["method"] for each in told} == {"lm_inspire"}
    assert told[-1]["message"].endswith(" tokens")
    assert [each["percent"] for each in told] == sorted(each["percent"] for each in told)
    assert daemon.call("lm_inspire", query="a rainy Tuesday", seed=3, instrumental=True) == first
    assert first["request"]["instrumental"] is True
    answer = daemon.call("generate", **first["request"], infer_steps=1, auto_play=False)
    assert answer["warnings"] == []
    assert daemon.call("cancel", track_id=answer["track_id"])["cancelled"]
    daemon.ending(answer["track_id"], 30)


def test_planning_ends_within_two_seconds_of_a_cancel(daemon: Caller) -> None:
    daemon.call("lm_inspire", query="warm it up", seed=3)
    for method, params in (
        ("lm_inspire", {"query": "a rainy Tuesday", "seed": 4}),
        ("lm_codes", {"prompt": "rain", "duration_sec": 600}),
    ):
        daemon.messages.clear()
        ident = daemon.send(method, **params)
        daemon.event("operation_progress", 30, request_id=ident)
        began = time.monotonic()
        daemon.call("cancel", request_id=ident)
        assert daemon.answer(ident)["error"]["data"]["code"] == "GENERATION_CANCELLED"
        assert time.monotonic() - began < limit(2)


@pytest.mark.parametrize(
    ("method", "params", "code", "word"),
    [
        ("lm_codes", {"prompt": "x", "duration_sec": 5}, "INVALID_DURATION", "thinking"),
        ("lm_codes", {"prompt": "x", "thinking": False}, "INVALID_PARAMS", "Leave thinking out"),
        ("lm_codes", {"prompt": "x", "audio_codes": [1] * 50}, "INVALID_PARAMS", "Leave them out"),
        ("lm_codes", {"prompt": "x", "backend": "procedural"}, "UNSUPPORTED_TASK", "ace_step_15"),
        ("lm_codes", {"prompt": "x", "lm_model": "4b"}, "LM_UNAVAILABLE", "lm=4b"),
        ("lm_inspire", {"query": "x", "vocal_language": "tlh"}, "INVALID_PARAMS", "zh"),
        ("lm_inspire", {"query": ""}, "INVALID_PARAMS", ""),
        ("lm_inspire", {"query": "x", "lm_model": "none"}, "LM_UNAVAILABLE", "lm="),
        ("lm_format", {"prompt": "x", "duration_sec": 5}, "INVALID_DURATION", "10 to 600"),
        ("lm_format", {"prompt": "x", "keyscale": "H major"}, "INVALID_PARAMS", ""),
        ("lm_understand", {}, "INVALID_PARAMS", ""),
        ("lm_understand", {"audio_codes": [64000]}, "INVALID_PARAMS", "63999"),
        ("lm_understand", {"source": "beef"}, "INVALID_SOURCE", ""),
        ("score", {"track_id": "beef"}, "INVALID_TRACK_ID", ""),
    ],
)
def test_what_cannot_be_planned_is_said(
    daemon: Caller, method: str, params: dict[str, Any], code: str, word: str
) -> None:
    error = daemon.refused(method, **params)
    assert error["data"]["code"] == code, error
    assert word in error["data"]["hint"], error


def test_a_plan_goes_to_other_programs_and_comes_back(home: Home, tmp_path: Path) -> None:
    song, folder = tmp_path / "song.json", tmp_path / "folder"
    done = lofi(home, "plan", "codes", "soft rain", "-d", "11", "--bpm", "77", "-s", "2",
                "-o", str(song), "--output-dir", str(folder))  # fmt: skip
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (len(plan["audio_codes"]), plan["metas"]["bpm"]) == (55, 77)
    request = json.loads((tmp_path / "song0.json").read_text())
    assert (request["bpm"], request["duration"], request["seed"]) == (77, 11, 2)
    assert request["audio_codes"] == ",".join(map(str, plan["audio_codes"]))
    assert (folder / "codes").read_text() == request["audio_codes"] + "\n"
    assert (folder / "bpm").read_text() == "77"
    before = (tmp_path / "song0.json").read_bytes()
    done = lofi(home, "request", str(tmp_path / "song0.json"))
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    assert (line["path"], line["duration_s"]) == (str(tmp_path / "song00.mp3"), 11)
    assert (tmp_path / "song0.json").read_bytes() == before
    done = lofi(home, "exchange", str(folder), "--output", str(tmp_path / "out.wav"), "-s", "2")
    assert done.returncode == 0, done.stderr
    assert soundfile.info(tmp_path / "out.wav").frames == 11 * 48000
    (folder / "bpm").write_text("fast")
    done = lofi(home, "exchange", str(folder), "--output", str(tmp_path / "out.wav"))
    assert done.returncode == 2
    assert str(folder / "bpm") in done.stderr
    tidy = {"caption": "rain", "lyrics": "la", "lm_mode": "format", "duration": 10, "seed": 1,
            "inference_steps": 1, "output_format": "wav16", "lm_seed": 1,
            "synth_batch_size": 2}  # fmt: skip
    (tmp_path / "tidy.json").write_text(json.dumps([tidy]))
    done = lofi(home, "request", str(tmp_path / "tidy.json"))
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["seed"] for line in done.stdout.splitlines()] == [1, 2]
    for name in ("tidy0.wav", "tidy1.wav"):
        assert soundfile.info(tmp_path / name).frames == 480000
    assert "rewriting" in done.stderr


def test_lyrics_are_timed_as_lrc_and_as_webvtt(daemon: Caller, home: Home, tmp_path: Path) -> None:
    ending, _ = made(daemon, seed=5, lm_model="none", duration_sec=10, lyrics="one\ntwo\nthree")
    answer = daemon.call("lyrics_timing", track_id=ending["track_id"])
    assert [line["text"] for line in answer["lines"]] == ["one", "two", "three"]
    assert answer["vtt"].startswith("WEBVTT\n\n1\n00:00:")
    stored = Path(ending["path"]).with_suffix(".lrc").read_text()
    assert stored == answer["lrc"] + "\n"
    assert daemon.call("cache_get", track_id=ending["track_id"])["track"]["has_lrc"]
    texts = {}
    for name in ("a.lrc", "a.vtt"):
        done = lofi(home, "lyrics", ending["track_id"], "-o", str(tmp_path / "new" / name))
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        texts[name] = (tmp_path / "new" / name).read_text()
    assert texts == {"a.lrc": stored, "a.vtt": answer["vtt"]}
    assert lofi(home, "lyrics", ending["track_id"]).stdout == stored
    assert lofi(home, "lyrics", ending["track_id"], "-o", "a.srt").returncode == 2
