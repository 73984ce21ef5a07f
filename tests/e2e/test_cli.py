"""The command line as a person and a script use it: real processes, statuses, one JSON line."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.clock import limit, until
from tests.daemon.callers import Home


@pytest.fixture
def home() -> Iterator[Home]:
    made = Home()
    yield made
    made.close()


def lofi(home: Home, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lofi", *arguments],
        env=home.environment,
        cwd=home.path,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=limit(60),
        check=False,
    )


def json_of(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def generate(home: Home, *arguments: str) -> dict[str, Any]:
    made: dict[str, Any] = json_of(lofi(home, "generate", "-b", "procedural", *arguments))
    return made


def test_generate_prints_one_line_and_writes_the_asked_file(home: Home) -> None:
    done = lofi(home, "generate", "slow rain", "-b", "procedural", "-d", "5", "-s", "3",
                "-o", "new/folder/rain.ogg")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    made = json.loads(done.stdout)
    assert list(made)[:4] == ["path", "duration_s", "sample_rate", "channels"]
    assert (made["duration_s"], made["seed"], made["backend"]) == (5.0, 3, "procedural")
    info = soundfile.info(made["path"])
    assert made["path"] == str(home.path / "new" / "folder" / "rain.ogg")
    assert (info.format, info.frames, info.samplerate) == ("OGG", 240_000, 48_000)
    assert done.stderr.startswith("0% loading")
    told = re.findall(r"^(\d+)% (\w+)", done.stderr, re.MULTILINE)
    assert len(told) > 1 and (told[0][1], told[-1][1]) == ("loading", "writing")
    assert [int(percent) for percent, _ in told] == sorted(int(percent) for percent, _ in told)


def test_the_same_request_is_the_same_track(home: Home) -> None:
    first = generate(home, "a", "-d", "5", "-s", "1")
    again = generate(home, "a", "-d", "5", "-s", "1")
    assert again["track_id"] == first["track_id"]
    assert again["generation_time_s"] == 0
    batch = lofi(home, "generate", "a", "-b", "procedural", "-d", "5", "-s", "1", "--batch", "2")
    lines = [json.loads(line) for line in batch.stdout.splitlines()]
    assert [line["seed"] for line in lines] == [1, 2]
    assert lines[0]["track_id"] == first["track_id"]


def test_a_prompt_from_stdin_and_any_parameter(home: Home) -> None:
    done = lofi(home, "generate", "-", "-b", "procedural", "-d", "5", "--set", "swing=0.6",
                "--set", 'keyscale="Am"', "--private", stdin="deep house\n")  # fmt: skip
    track = json_of(done)["track_id"]
    recipe = json_of(lofi(home, "cache", "recipe", track))
    assert (recipe["prompt"].strip(), recipe["swing"], recipe["keyscale"]) == (
        "deep house",
        0.6,
        "Am",
    )


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["generate", "x", "-o", "a.aac"], 2, "extension"),
        (["generate", "x", "-p", "y"], 2, "twice"),
        (["generate", "x", "--set", "swing"], 2, "key=value"),
        (["generate", "x", "--set", "swng=1"], 2, "swing"),
        (["generate", "x", "-b", "ace-step"], 3, "LOFI_ACE_STEP_MODEL_PATH"),
        (["generate", "x", "-b", "procedural", "-d", "601"], 2, "5..600"),
        (["generate", "x", "-b", "trombone"], 2, "procedural"),
        (["generate", ""], 2, "1 to 1000"),
        (["generate", "-"], 2, "1 to 1000"),
        (["list", "--config", "nowhere.toml"], 2, "nowhere.toml"),
        (["--config", "nowhere.toml", "list"], 2, "nowhere.toml"),
        (["volume", "loud"], 2, "loud"),
        (["volume", ""], 2, "volume"),
        (["volume", "500"], 2, "0..100"),
        (["play", "--volume", "nan"], 2, "0..100"),
        (["generate", "x", "--frobnicate"], 2, "frobnicate"),
        (["toggle"], 1, "Nothing is running"),
        (["status"], 1, "Nothing is running"),
        (["rpc", "radio_start"], 2, "radio_start"),
        (["rpc", "ping", "{"], 2, "JSON"),
        (["listen", "nowhere.wav"], 1, "does not exist"),
        (["config", "get", "playback.volum"], 2, "playback.volume"),
        (["exchange", "nowhere", "-o", "a.wav"], 1, "nowhere"),
    ],
)
def test_failures_have_their_status_and_say_what_to_do(
    home: Home, arguments: list[str], status: int, word: str
) -> None:
    done = lofi(home, *arguments)
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert word in done.stderr


def test_the_library_from_the_terminal(home: Home) -> None:
    made = generate(home, "autumn leaves", "-d", "5", "-s", "1")
    short = made["track_id"][:8]
    listing = lofi(home, "list")
    assert short in listing.stdout
    assert "autumn leaves" in listing.stdout
    assert json_of(lofi(home, "list", "winter", "--json"))["total"] == 0
    json_of(lofi(home, "cache", "favorite", short, "--json"))
    assert json_of(lofi(home, "cache", "stats", "--json"))["favorites"] == 1
    exported = json_of(lofi(home, "cache", "export", short, "out.mp3", "--json"))
    assert soundfile.info(exported["path"]).format == "MP3"
    taken = json_of(lofi(home, "cache", "import", "out.mp3", "--title", "mine", "--json"))
    assert taken["track"]["title"] == "mine"
    assert lofi(home, "cache", "clear", "--yes").returncode == 0
    assert json_of(lofi(home, "list", "--json"))["total"] == 1, "favourites stay"
    assert lofi(home, "cache", "delete", short).stdout.strip() == made["track_id"]
    assert json_of(lofi(home, "list", "--json"))["total"] == 0


def test_text_that_is_no_utf8_is_named_and_not_a_traceback(home: Home) -> None:
    (home.path / "words.txt").write_bytes(b"\xff\xfe")
    for arguments in (["-"], ["x", "--lyrics-file", "words.txt"]):
        done = subprocess.run(
            [sys.executable, "-m", "lofi", "generate", *arguments],
            env=home.environment,
            cwd=home.path,
            input=b"\xff\xfe",
            capture_output=True,
            timeout=limit(60),
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"UTF-8" in done.stderr
        assert b"Traceback" not in done.stderr


def test_a_folder_that_cannot_be_made_is_a_matter_of_the_disk(home: Home) -> None:
    done = lofi(home, "generate", "x", "-b", "procedural", "-d", "5", "-o", "/proc/new/x.wav")
    assert done.returncode == 5, done.stderr
    assert "/proc/new" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_configuration_that_cannot_be_read_is_passed_over_and_named(home: Home) -> None:
    (home.path / "bad.toml").write_bytes(b"\xff\xfe")
    done = lofi(home, "doctor", "--json", "--config", "bad.toml")
    assert "bad.toml" in done.stdout


def test_options_that_are_everywhere_stand_anywhere(home: Home) -> None:
    for arguments in (["--json", "config", "path"], ["config", "--json", "path"],
                      ["config", "path", "--json"]):  # fmt: skip
        assert str(json_of(lofi(home, *arguments))).endswith("config.toml")
    for arguments in (["list", "--version"], ["cache", "stats", "--version"]):
        assert lofi(home, *arguments).stdout.startswith("lofi ")
    json_of(lofi(home, "list", "--json"))
    assert isinstance(json_of(lofi(home, "logs", "--json")), list)


def test_a_daemon_adopts_the_one_light_worker_that_was_begun_for_it(home: Home) -> None:
    daemon = subprocess.Popen(
        [sys.executable, "-m", "lofi", "daemon"],
        env=home.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert daemon.stdin is not None and daemon.stdout is not None
    asked = {"prompt": "rain", "backend": "procedural", "duration_sec": 5, "auto_play": False}
    for ident, method, params in ((1, "initialize", {}), (2, "generate", asked)):
        call = {"jsonrpc": "2.0", "id": ident, "method": method, "params": params}
        daemon.stdin.write(json.dumps(call) + "\n")
    daemon.stdin.flush()
    while json.loads(daemon.stdout.readline()).get("method") != "generation_complete":
        pass
    (worker,) = home.processes_of("light")
    stat = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
    parent, session = int(stat[1]), int(stat[3])
    assert (parent, session) == (daemon.pid, worker)
    daemon.communicate(timeout=limit(20))
    assert daemon.returncode == 0
    until(lambda: not home.processes(), 5, "nobody left")


def test_the_relay_hands_its_options_to_the_daemon_it_starts(home: Home) -> None:
    call = '{"jsonrpc":"2.0","id":1,"method":"cache_stats"}\n'
    relay = subprocess.Popen(
        [sys.executable, "-m", "lofi", "daemon", "--shared", "--cache-dir", "mine"],
        env=home.environment,
        cwd=home.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert relay.stdin is not None and relay.stdout is not None
    relay.stdin.write(call)
    relay.stdin.flush()
    answer = json.loads(relay.stdout.readline())
    relay.communicate(timeout=limit(20))
    assert answer["result"]["dir"] == str(home.path / "mine")
    wrong = lofi(home, "daemon", "--shared", "--frobnicate", stdin=call)
    assert wrong.returncode == 1
    assert "frobnicate" in wrong.stderr


def test_a_daemon_on_its_way_out_is_asked_no_more_and_another_answers(home: Home) -> None:
    home.socket.parent.mkdir(mode=0o700)
    leaving = socket.socket(socket.AF_UNIX)
    leaving.bind(str(home.socket))
    leaving.listen()

    def leave() -> None:
        connection, _ = leaving.accept()
        home.socket.unlink()
        leaving.close()
        connection.recv(1)
        connection.close()

    thread = threading.Thread(target=leave)
    thread.start()
    assert json_of(lofi(home, "rpc", "ping"))["status"] == "ok"
    thread.join()


def test_commands_in_a_row_all_work_while_daemons_come_and_go(home: Home) -> None:
    statuses = [lofi(home, "list").returncode for _ in range(10)]
    assert statuses == [0] * 10


def test_settings_persist(home: Home) -> None:
    assert json_of(lofi(home, "config", "get", "queue.max_pending")) == 10
    assert lofi(home, "config", "set", "queue.max_pending", "20").returncode == 0
    assert json_of(lofi(home, "config", "get", "queue.max_pending")) == 20
    listing = lofi(home, "config", "list")
    assert "overrides" in next(
        line for line in listing.stdout.splitlines() if "queue.max_pending" in line
    )
    assert lofi(home, "config", "path").stdout.strip().endswith("lofi/config.toml")


def test_the_program_about_itself(home: Home) -> None:
    assert json_of(lofi(home, "rpc", "ping"))["status"] == "ok"
    assert "procedural" in lofi(home, "backends").stdout
    doctor = lofi(home, "doctor", "--json")
    assert json.loads(doctor.stdout)["ok"], doctor.stdout
    assert lofi(home, "--version").stdout.startswith("lofi ")
    for shell in ("bash", "zsh", "fish"):
        script = lofi(home, "completion", shell).stdout
        assert "generate" in script
    bash = lofi(home, "completion", "bash").stdout
    checked = subprocess.run(["bash", "-n"], input=bash, text=True, check=False)
    assert checked.returncode == 0


def test_bash_completes_commands_and_their_actions(home: Home) -> None:
    script = lofi(home, "completion", "bash").stdout
    probe = (
        script
        + "\nCOMP_WORDS=(lofi cache ex); COMP_CWORD=2; _lofi; echo ${COMPREPLY[@]}"
        + "\nCOMP_WORDS=(lofi gen); COMP_CWORD=1; _lofi; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(["bash"], input=probe, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["export", "generate"]


def test_play_ends_with_its_track(home: Home) -> None:
    made = generate(home, "a", "-d", "5", "-s", "1")
    done = lofi(home, "play", made["track_id"][:8], "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_play_plays_its_own_tracks_in_order_before_what_others_lined_up(home: Home) -> None:
    tracks = [generate(home, name, "-d", "5", "-s", "1")["track_id"] for name in "abcd"]
    editor = home.caller("relay")
    editor.initialize()
    editor.call("play", track_id=tracks[3])
    editor.call("play", track_id=tracks[3], enqueue="end")
    playing = subprocess.Popen(
        [sys.executable, "-m", "lofi", "play", *tracks[:3], "--quiet"],
        env=home.environment,
        stdin=subprocess.DEVNULL,
    )
    try:
        editor.event("playback_started", track_id=tracks[0])
        until(lambda: len(editor.call("playlist_get")["tracks"]) == 5, 10, "five entries")
        order = editor.call("playlist_get")["tracks"]
        assert order == [tracks[3], *tracks[:3], tracks[3]]
    finally:
        playing.send_signal(signal.SIGINT)
        assert playing.wait(limit(15)) == 0


def test_a_question_nobody_answers_is_a_no(home: Home) -> None:
    done = lofi(home, "cache", "clear")
    assert done.returncode == 1
    assert "--yes" in done.stderr
    assert "Traceback" not in done.stderr


def test_models_move_only_after_a_yes_where_that_ends_the_music(home: Home) -> None:
    track = generate(home, "a", "-d", "60", "-s", "1")["track_id"]
    editor = home.caller("relay")
    editor.initialize()
    editor.call("play", track_id=track)
    editor.event("playback_started")
    refused = lofi(home, "setup", "--path", "models")
    assert refused.returncode == 1
    assert "ends the music. Go on?" in refused.stderr and "--yes" in refused.stderr
    assert not (home.path / "models").exists()
    assert editor.call("status")["playback"]["state"] == "playing"
    key = "model.weights_path"
    assert editor.call("config_get", keys=[key])["config"] == {key: None}
    editor.call("stop")
    assert lofi(home, "setup", "--path", "models").returncode == 0, "nothing is on, nobody asks"
    kept = json_of(lofi(home, "rpc", "config_get", json.dumps({"keys": [key]})))
    assert kept["config"] == {key: str(home.path / "models")}


def test_python_is_not_moved(home: Home) -> None:
    done = lofi(home, "setup", "python", "--path", "models")
    assert done.returncode == 2 and "--path" in done.stderr
    assert not (home.path / "models").exists()


def test_what_cannot_be_said_in_json_is_refused(home: Home) -> None:
    done = lofi(home, "rpc", "generate", '{"duration_sec": NaN}')
    assert done.returncode == 2
    assert "JSON" in done.stderr


def test_half_a_character_and_control_characters_do_no_harm(home: Home) -> None:
    request = '{"prompt":"a\\ud800\\u001b[31mb","backend":"procedural","duration_sec":5}'
    assert lofi(home, "rpc", "generate", request).returncode == 0
    generate(home, "red \x1b[31m alert", "-d", "5")
    assert "\x1b" not in lofi(home, "list").stdout
    done = lofi(home, "generate", "a", "--lyrics-file", "no \x1b]0;such\x07\r\n\x1b[2Jfile")
    assert done.stderr.startswith("lofi: no ]0;such [2Jfile: No such file"), done.stderr
    assert not set("\x1b\x07\r") & set(done.stderr)


def test_media_keys_reach_the_one_player(home: Home) -> None:
    generate(home, "a", "-d", "30", "-s", "1")
    playing = subprocess.Popen(
        [sys.executable, "-m", "lofi", "play"],
        env=home.environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _state(home) == "playing", 15, "the sound")
        assert lofi(home, "pause").returncode == 0
        assert _state(home) == "paused"
        lofi(home, "toggle")
        assert lofi(home, "volume", "30").stdout.strip() == "30%"
        assert lofi(home, "volume", "+20").stdout.strip() == "50%"
        shown = lofi(home, "status", "--format", "{state}|{title}|{nothing}").stdout.strip()
        assert shown == "playing|a|{nothing}"
        assert lofi(home, "stop").returncode == 0
        assert playing.wait(limit(10)) == 0
    finally:
        playing.kill()
        playing.wait()


def _state(home: Home) -> str:
    done = lofi(home, "status", "--json")
    return str(json.loads(done.stdout)["playback"]["state"]) if done.returncode == 0 else ""


def test_ctrl_c_cancels_and_leaves_nothing(home: Home) -> None:
    making = subprocess.Popen(
        [sys.executable, "-m", "lofi", "generate", "x", "-b", "procedural", "-d", "600"],
        env=home.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs the tests in the background lets nobody hear it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    until(lambda: list((home.tracks / ".tmp").glob("*.f32")), 20, "a track under way")
    making.send_signal(signal.SIGINT)
    output, errors = making.communicate(timeout=limit(15))
    assert making.returncode == 130, errors
    assert output == ""
    until(lambda: not list((home.tracks / ".tmp").glob("*")), 10, "an empty .tmp")
    assert not list(home.tracks.glob("*.wav"))


def test_a_reader_that_stops_reading_is_no_failure_to_report(home: Home) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "lofi", "completion", "bash"],
        env=home.environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=limit(20),
        check=False,
    )
    os.close(writing)
    assert "Traceback" not in done.stderr


def test_listen_draws_a_picture(home: Home) -> None:
    made = generate(home, "a", "-d", "10", "-s", "1", "-o", "a.wav")
    heard = json_of(lofi(home, "listen", "a.wav", "--json"))
    assert Path(heard["png"]).read_bytes().startswith(b"\x89PNG")
    assert Path(made["path"]).exists()
