"""What becomes of requests: cached, joined, batched, forced, cancelled, refused, lost."""

from __future__ import annotations

import hashlib
import json
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.clock import limit, until
from tests.daemon.callers import Caller, Home

pytestmark = pytest.mark.slow

LONG = "steps=400 step=0.02"


def make(caller: Caller, prompt: str = "plain", **params: object) -> dict[str, object]:
    """Renders a track and returns its `generation_complete`."""
    track_id = caller.call("generate", prompt=prompt, **{"duration_sec": 5, **params})["track_id"]
    method, ending = caller.ending(track_id)
    assert method == "generation_complete", ending
    return ending


def test_the_same_request_is_cached(daemon: Caller) -> None:
    """How soon it is answered: `cached_ms` of `benchmarks/daemon.py`."""
    make(daemon, seed=1)
    for _ in range(3):
        daemon.messages.clear()
        answer = daemon.call("generate", prompt="plain", duration_sec=5, seed=1)
        daemon.event("generation_complete")
        assert answer["status"] == "cached" and answer["track"]["seed"] == 1


def test_a_forced_recipe_gives_the_same_samples(daemon: Caller) -> None:
    first = make(daemon, seed=2, auto_play=False)
    before = hashlib.sha256(Path(str(first["path"])).read_bytes()).hexdigest()
    daemon.messages.clear()
    again = make(daemon, seed=2, force=True, auto_play=False)
    assert again["cached"] is False
    assert hashlib.sha256(Path(str(again["path"])).read_bytes()).hexdigest() == before


def test_another_format_of_a_forced_track_replaces_the_file(daemon: Caller, home: Home) -> None:
    first = make(daemon, seed=3, auto_play=False)
    daemon.messages.clear()
    make(daemon, seed=3, force=True, format="flac", auto_play=False)
    names = [path.name for path in home.tracks.iterdir() if path.is_file()]
    assert sorted(names) == sorted(f"{first['track_id']}{end}" for end in (".flac", ".json"))


def test_a_batch_is_one_track_a_seed_each_as_if_asked_for_alone(daemon: Caller) -> None:
    answer = daemon.call(
        "generate", prompt="plain", duration_sec=5, seed=4294967295, batch_size=2, auto_play=False
    )
    assert [take["seed"] for take in answer["tracks"]] == [4294967295, 0]
    assert answer["track_id"] == answer["tracks"][0]["track_id"]
    for take in answer["tracks"]:
        assert daemon.ending(take["track_id"])[0] == "generation_complete"
    alone = daemon.call("generate", prompt="plain", duration_sec=5, seed=0)
    assert (alone["status"], alone["track_id"]) == ("cached", answer["tracks"][1]["track_id"])


def test_ten_wait_and_the_eleventh_is_refused(daemon: Caller) -> None:
    daemon.call("queue_pause")
    answers = [
        daemon.call("generate", prompt="plain", duration_sec=5, seed=seed) for seed in range(10)
    ]
    assert [each["position"] for each in answers] == list(range(10))
    error = daemon.refused("generate", prompt="plain", duration_sec=5, seed=99)
    assert error["data"]["code"] == "QUEUE_FULL" and error["data"]["length"] == 10
    assert daemon.call("queue_status")["blocked_by"] == "paused"
    daemon.call("queue_resume")
    for each in answers:
        assert daemon.ending(each["track_id"])[0] == "generation_complete"


def test_nothing_is_queued_when_an_error_is_returned(daemon: Caller) -> None:
    for params, code in (
        ({"prompt": ""}, "INVALID_PROMPT"),
        ({"prompt": "x", "duration_sec": 601}, "INVALID_DURATION"),
        ({"prompt": "x", "backend": "nobody"}, "INVALID_BACKEND"),
        ({"prompt": "x", "backend": "ace-step"}, "BACKEND_NOT_INSTALLED"),
        ({"prompt": "x", "task": "cover"}, "UNSUPPORTED_TASK"),
        ({"prompt": "x", "task": "extend", "source": "beef"}, "INVALID_SOURCE"),
        ({"prompt": "x", "task": "extend", "source": "a/relative.wav"}, "INVALID_PARAMS"),
        ({"prompt": "x", "promt": "y"}, "INVALID_PARAMS"),
    ):
        assert daemon.refused("generate", **params)["data"]["code"] == code
    assert daemon.call("queue_status")["pending"] == []
    assert daemon.named("generation_start") == []


def test_cancelling_is_answered_at_once_and_done_within_two_seconds(daemon: Caller) -> None:
    track_id = daemon.call("generate", prompt=LONG, duration_sec=5)["track_id"]
    daemon.event("generation_progress", phase="diffusion")
    began = time.monotonic()
    assert daemon.call("cancel", track_id=track_id[:6])["was_generating"]
    assert time.monotonic() - began < limit(0.5)
    method, params = daemon.ending(track_id)
    assert time.monotonic() - began < limit(2)
    assert (method, params["reason"]) == ("generation_cancelled", "user")
    error = daemon.refused("cancel", track_id=track_id)
    assert error["data"] | {"details": None} == error["data"]
    assert (error["data"]["code"], error["data"]["status"]) == ("NOT_CANCELLABLE", "cancelled")
    assert "queue_status" in error["data"]["hint"]
    nothing = daemon.refused("cancel")
    assert (nothing["data"]["code"], nothing["data"]["status"]) == ("NOT_CANCELLABLE", None)
    assert "queue_status" in nothing["data"]["hint"]
    assert daemon.refused("cancel", track_id="beef")["data"]["code"] == "INVALID_TRACK_ID"


def test_a_cancelled_job_leaves_no_file_and_the_next_one_runs(daemon: Caller, home: Home) -> None:
    prompt = "stream part=0.2"
    track_id = daemon.call("generate", prompt=prompt, duration_sec=20)["track_id"]
    daemon.event("generation_progress", phase="decoding")
    daemon.call("cancel")
    daemon.ending(track_id)
    until(lambda: not list((home.tracks / ".tmp").iterdir()), 2, "an empty folder")
    make(daemon, seed=5)


def test_a_workers_death_fails_one_job_and_the_next_runs(daemon: Caller) -> None:
    first = daemon.call("generate", prompt="die=2", duration_sec=5)["track_id"]
    second = daemon.call("generate", prompt="plain", duration_sec=5)["track_id"]
    method, params = daemon.ending(first)
    assert (method, params["code"], params["retryable"]) == (
        "generation_error",
        "MODEL_INFERENCE_FAILED",
        True,
    )
    assert params["error"] == params["message"] and params["hint"]
    assert daemon.ending(second)[0] == "generation_complete"
    failed = daemon.call("history_list", kind="failed")["events"]
    assert [event["track_id"] for event in failed] == [first]


def test_a_backends_own_error_reaches_the_client(daemon: Caller) -> None:
    track_id = daemon.call("generate", prompt="fail", duration_sec=5)["track_id"]
    params = daemon.ending(track_id)[1]
    assert (params["code"], params["hint"]) == ("INSUFFICIENT_MEMORY", "Ask for less.")


def test_a_worker_that_never_starts_is_reported_and_the_daemon_stays(home: Home) -> None:
    caller = home.caller("stdio", BAND_IS_BROKEN="1")
    caller.initialize()
    track_id = caller.call("generate", prompt="plain", duration_sec=5)["track_id"]
    assert caller.ending(track_id)[0] == "generation_error"
    said = caller.event("daemon_error")
    assert "no module named torch" in said["message"] and not said["fatal"]
    backends = {each["type"]: each for each in caller.call("get_backends")["backends"]}
    assert backends["procedural"]["status"] == "error"
    assert caller.call("ping")["status"] == "ok"


def test_progress_comes_every_second_also_inside_a_long_step(daemon: Caller) -> None:
    track_id = daemon.call("generate", prompt="steps=1 step=2.5", duration_sec=5)["track_id"]
    times: list[float] = []
    until(lambda: len(daemon.named("generation_progress")) >= 1, 5, "a first word")
    began = time.monotonic()
    seen = 0
    while not daemon.endings(track_id):
        count = len(daemon.named("generation_progress"))
        if count > seen:
            times.append(time.monotonic() - began)
            seen = count
        time.sleep(0.01)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) < limit(1.1)


def test_a_phase_is_told_however_short_it_is(daemon: Caller) -> None:
    track_id = daemon.call("generate", prompt="steps=1 step=0", duration_sec=5)["track_id"]
    assert daemon.ending(track_id)[0] == "generation_complete"
    phases = [each["phase"] for each in daemon.named("generation_progress")]
    assert list(dict.fromkeys(phases)) == ["loading", "diffusion", "decoding", "writing"]


def test_progress_is_at_most_ten_a_second(daemon: Caller) -> None:
    track_id = daemon.call("generate", prompt="steps=200 step=0.01", duration_sec=5)["track_id"]
    began = time.monotonic()
    daemon.ending(track_id)
    took = time.monotonic() - began
    assert len(daemon.named("generation_progress")) <= 10 * took + 3


def test_lanes_run_side_by_side_and_current_is_the_neural_one(home: Home) -> None:
    home.install_musicgen()
    caller = home.caller("stdio")
    backends = {each["type"]: each for each in caller.initialize()["backends"]}
    assert backends["musicgen"]["status"] == "ready" and not backends["musicgen"]["loaded"]
    neural = caller.call("generate", prompt=LONG, duration_sec=5, backend="musicgen")
    assert "+" in neural["model_version"]  # weights that nobody pinned
    light = caller.call("generate", prompt=LONG, duration_sec=5, backend="procedural")
    assert light["position"] == 0
    for each in (neural, light):
        caller.event("generation_start", track_id=each["track_id"])
    status = caller.call("queue_status")
    assert status["current"]["track_id"] == neural["track_id"]
    assert [job["track_id"] for job in status["running"]] == [neural["track_id"], light["track_id"]]
    assert caller.refused("backend_unload")["data"]["code"] == "BUSY"
    for each in (neural, light):
        caller.call("cancel", track_id=each["track_id"])
        caller.ending(each["track_id"])


def test_a_neural_model_is_loaded_kept_and_let_go_when_idle(home: Home) -> None:
    home.install_musicgen()
    caller = home.caller("stdio")
    caller.initialize(config={"model.idle_unload_sec": 1})
    assert caller.call("backend_load", backend="musicgen") == {"loading": True}
    caller.event("backend_changed", type="musicgen", loaded=True)
    assert len(home.processes_of("neural")) == 1
    until(lambda: not home.processes_of("neural"), 5, "the memory to come back")
    last = caller.wait(lambda each: each.get("method") == "backend_changed"
                       and caller.named("backend_changed")[-1]["loaded"] is False)  # fmt: skip
    assert last


@pytest.mark.parametrize("ending", ["cancelled", "error"])
def test_a_model_whose_job_came_to_nothing_is_in_memory_all_the_same(
    home: Home, ending: str
) -> None:
    home.install_musicgen()
    caller = home.caller("stdio")
    caller.initialize()
    words = "steps=2 fail_late" if ending == "error" else LONG
    track = caller.call("generate", prompt=words, duration_sec=5, backend="musicgen")["track_id"]
    caller.event("backend_changed", type="musicgen", loaded=True)
    if ending == "cancelled":
        caller.call("cancel", track_id=track)
    assert caller.ending(track)[0] == f"generation_{ending}"
    assert caller.call("backend_unload", backend="musicgen")["unloaded"] == ["musicgen"]
    until(lambda: not home.processes_of("neural"), 5, "the memory to come back")


def test_a_filler_gives_way_to_a_person_and_comes_again(daemon: Caller) -> None:
    filler = daemon.call("generate", prompt=LONG, duration_sec=5, seed=1, origin="radio")
    daemon.event("generation_progress", phase="diffusion")
    asked = daemon.call("generate", prompt="plain", duration_sec=5, seed=2)
    method, params = daemon.ending(filler["track_id"])
    assert (method, params["reason"]) == ("generation_cancelled", "preempted")
    assert daemon.ending(asked["track_id"])[0] == "generation_complete"
    until(lambda: len(daemon.named("generation_start")) == 3, 5, "the filler's second start")
    assert daemon.named("generation_start")[-1]["track_id"] == filler["track_id"]


def test_two_private_daemons_render_a_track_once(home: Home) -> None:
    callers = [home.caller("stdio"), home.caller("stdio")]
    for caller in callers:
        caller.initialize()
    prompt = "steps=30 step=0.05"
    answers = [
        caller.call("generate", prompt=prompt, duration_sec=5, seed=1, auto_play=False)
        for caller in callers
    ]
    endings = [
        caller.ending(answer["track_id"]) for caller, answer in zip(callers, answers, strict=True)
    ]
    assert [method for method, _ in endings] == ["generation_complete"] * 2
    assert sorted(params["cached"] for _, params in endings) == [False, True]


def test_another_daemons_tracks_are_noticed_within_two_seconds(home: Home) -> None:
    watcher, maker = home.caller("stdio"), home.caller("stdio")
    watcher.initialize()
    maker.initialize()
    made = make(maker, seed=6, auto_play=False)
    changed = watcher.event("cache_changed", 2, reason="external")
    assert changed["added"] == [made["track_id"]]
    maker.call("cache_delete", track_id=made["track_id"])
    removed = watcher.wait(
        lambda each: each.get("method") == "cache_changed" and each["params"]["removed"] != [], 2
    )
    assert removed["params"]["removed"] == [made["track_id"]]


def test_queue_moves_and_priorities(daemon: Caller) -> None:
    daemon.call("queue_pause")
    ids = [
        daemon.call("generate", prompt="plain", duration_sec=5, seed=seed, priority=priority)[
            "track_id"
        ]
        for seed, priority in enumerate(("normal", "normal", "high"))
    ]
    pending = daemon.call("queue_status")["pending"]
    assert [job["track_id"] for job in pending] == [ids[2], ids[0], ids[1]]
    assert daemon.call("queue_move", track_id=ids[1][:8], position=1) == {"position": 1}
    daemon.event("queue_changed", position_by_track={ids[1]: 0, ids[2]: 1, ids[0]: 2})
    assert sorted(daemon.call("queue_clear")["removed"]) == sorted(ids)
    for track_id in ids:
        assert daemon.ending(track_id)[1]["reason"] == "queue_cleared"


def test_the_sidecar_tells_the_whole_story(daemon: Caller, home: Home) -> None:
    made = make(daemon, prompt="plain rain", seed=7, title="Rain", tags=["calm"], auto_play=False)
    sidecar = json.loads((home.tracks / f"{made['track_id']}.json").read_text())
    assert sidecar["digest"].startswith(str(made["track_id"]))
    assert sidecar["recipe"]["seed"] == 7 and sidecar["request"]["title"] == "Rain"
    assert sidecar["bpm"] == 80 and sidecar["tags"] == ["calm"]
    assert sidecar["frames"] == 5 * 48000 and sidecar["peak_db"] < 0
    assert set(sidecar["timings"]) >= {"diffusion", "decoding", "writing"}
    request = daemon.call("cache_recipe", track_id=made["track_id"])["request"]
    again = daemon.call("generate", **request)
    assert (again["status"], again["track_id"]) == ("cached", made["track_id"])
