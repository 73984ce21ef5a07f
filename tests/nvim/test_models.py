"""Models from the hub to a track in a real Neovim, and the planner's requests in a buffer."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import hub
from tests.checkpoints import ace_step_15, ace_step_15_lm, ace_step_v1, musicgen
from tests.clock import until
from tests.nvim.conftest import Open, Talk
from tests.nvim.editor import REPO, Editor, Home

TINY = [sys.executable, str(REPO / "tests" / "tiny_daemon.py")]
MODELS = Path("lofi.nvim")
SECONDS = 60.0


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The published repositories, tiny."""
    root = tmp_path_factory.mktemp("hub")
    bundle = ace_step_15.write_bundle(root / "bundle")
    ace_step_15_lm.write(root / "lm", "0.6B")
    ace_step_15_lm.write(bundle, "1.7B", prefix="")
    ace_step_15_lm.write(root / "lm", "4B", shards=2)
    vocabulary = root / "source"
    vocabulary.mkdir()
    musicgen.tokenizer().save(str(vocabulary / "vocab.json"))
    return {
        "ACE-Step/Ace-Step1.5": bundle,
        "ACE-Step/acestep-5Hz-lm-0.6B": root / "lm" / "acestep-5Hz-lm-0.6B",
        "ACE-Step/acestep-5Hz-lm-4B": root / "lm" / "acestep-5Hz-lm-4B",
        "ACE-Step/ACE-Step-v1-3.5B": ace_step_v1.write_checkpoint(root / "v1"),
        "ace-step/ACE-Step": vocabulary,
        "facebook/musicgen-small": musicgen.write(root / "musicgen" / "small"),
    }


@pytest.fixture
def server(repositories: dict[str, Path], home: Home) -> Iterator[hub.Hub]:
    with hub.running(repositories) as running:
        vocabulary = repositories["ace-step/ACE-Step"] / "vocab.json"
        home.environment["HF_ENDPOINT"] = running.url
        home.environment["TINY_VOCABULARY_BYTES"] = str(vocabulary.stat().st_size)
        yield running


def opened(open_editor: Open) -> Editor:
    editor = open_editor({"daemon": {"cmd": TINY}, "playback": {"auto_play": False}})
    editor.watch()
    return editor


def _has_bytes_of_weights(editor: Editor) -> bool:
    return any(
        data["file_name"].endswith(".safetensors") and data["file_bytes_downloaded"] > 0
        for data in editor.events("download_progress")
    )


PLANNED = {"duration_sec": 10, "infer_steps": 2, "thinking": True}


def _planned(size: str) -> tuple[str, str, dict[str, object]]:
    return f"ace-step-1.5 lm={size}", "ace_step_15", {"lm_model": size, **PLANNED}


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("arguments", "kind", "request_params"),
    [
        ("musicgen", "musicgen", {"duration_sec": 5}),
        ("ace-step", "ace_step", {"duration_sec": 5, "infer_steps": 2}),
        _planned("0.6b"),  # brings and loads all that the model without a planner needs
        pytest.param(
            "ace-step-1.5",
            "ace_step_15",
            {"duration_sec": 10, "infer_steps": 2},
            marks=pytest.mark.soak,
        ),
        pytest.param(*_planned("1.7b"), marks=pytest.mark.soak),
        pytest.param(*_planned("4b"), marks=pytest.mark.soak),
    ],
    ids=["musicgen", "ace-step", "0.6b", "ace-step-1.5", "1.7b", "4b"],
)
def test_from_setup_to_a_track(
    open_editor: Open,
    home: Home,
    server: hub.Hub,
    arguments: str,
    kind: str,
    request_params: dict[str, Any],
) -> None:
    name = arguments.split()[0]
    server.stall_at = ".safetensors"
    editor = opened(open_editor)
    editor.command(f"Lofi setup {arguments}")
    question = editor.until("_G.seen.asked[1]", SECONDS)["prompt"]
    assert "licence" in question and "free)" in question and server.url in question
    assert "for a minute of music on this machine" in question and "memory" in question
    progress = editor.event("download_progress", SECONDS, backend=kind)
    assert progress["bytes_total"] > 0
    editor.until("(require('lofi').statusline() or ''):find('◌ ⇣ %d+%%')", SECONDS)
    assert editor.complete("Lofi cancel ") == [name]
    until(lambda: _has_bytes_of_weights(editor), SECONDS, "bytes to go on after")
    editor.close()  # in the middle of a file
    until(lambda: home.processes() == [], SECONDS, "the daemon's end; else the next one joins it")

    server.stall_at = None
    server.stall.set()
    editor = opened(open_editor)
    editor.command(f"Lofi! setup {arguments}")
    editor.notice(f"{name} is installed in", SECONDS)
    assert editor.lua("return _G.seen.asked") == [], "! answers yes"
    assert any("bytes=" in line for line in server.requests), "it went on where it was"
    assert editor.lua("return require('lofi').statusline()") is None

    editor.command(f"Lofi verify {name} deep=true")
    lines = editor.until("vim.bo.filetype == 'lofi-float' and vim.fn.getline(1, '$')", SECONDS)
    assert lines[-1].strip() == "every file is whole"
    assert all("✓" in line for line in lines[:-1])
    editor.command("close")
    before = len(server.requests)
    track = editor.call(
        "generate", {"prompt": "slow piano", "backend": name, "seed": 1, **request_params},
        seconds=120,
    )  # fmt: skip
    assert Path(track["path"]).stat().st_size > 10_000
    plan = editor.call("track", track["track_id"]).get("plan") or {}
    assert bool(plan.get("codes")) is ("lm_model" in request_params)
    assert len(server.requests) == before, "rendering asks the network for nothing"


@pytest.mark.slow
def test_a_headless_neovim_brings_a_model_and_says_how_it_ended(
    program: Path, home: Home, server: hub.Hub
) -> None:
    def setup(text: str) -> subprocess.CompletedProcess[str]:
        options = f"lua vim.g.lofi = {{ daemon = {{ cmd = {{ '{TINY[0]}', '{TINY[1]}' }} }} }}"
        return subprocess.run(
            [str(program), "--clean", "-n", "--headless", "--cmd", f"set rtp^={REPO}",
             "-c", options, "-c", f"Lofi! setup {text}", "-c", "qa"],
            env=home.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=100,
        )  # fmt: skip

    done = setup("musicgen")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = Path(home.environment["XDG_CACHE_HOME"]) / MODELS / "musicgen"
    assert f"lofi: musicgen is installed in {folder}" in done.stdout
    assert "installed already" in setup("musicgen").stdout
    failed = setup("musicgen variant=huge")
    assert failed.returncode == 1
    assert "no variant 'huge'" in failed.stdout


ESTIMATE = {"seconds_per_minute_of_audio": 1300.0, "measured": False, "memory_mb": 3280}
CONSENT = {
    "error": {
        "code": -32016,
        "message": "MusicGen small is 2.4 GB, licence: CC-BY-NC-4.0",
        "data": {
            "code": "DOWNLOAD_CONSENT_REQUIRED",
            "bytes_total": 2.4e9,
            "files_total": 4,
            "license": "CC-BY-NC-4.0",
            "source": "huggingface",
            "path": "/models/musicgen",
            "free_bytes": 9e9,
            "estimate": ESTIMATE,
        },
    }
}
STARTED = {"result": {"download_id": "d1", "started": True, "already_installed": False}}
PROGRESS = {
    "download_id": "d1",
    "backend": "musicgen",
    "overall_percent": 12,
    "bytes_downloaded": 288_000_000,
    "bytes_total": 2_400_000_000,
    "speed_bps": 5_100_000,
    "eta_sec": 414.0,
}


def test_no_fetches_nothing(talk: Talk) -> None:
    editor, script = talk({"download_backend": [CONSENT]})
    editor.lua("_G.seen.choice = 2")
    editor.command("Lofi setup musicgen")
    question = editor.until("_G.seen.asked[1]", 10)
    assert question["prompt"].splitlines()[1:] == [
        "size     2.4 GB, 4 files",
        "licence  CC-BY-NC-4.0",
        "from     huggingface.co",
        "to       /models/musicgen (9.0 GB free)",
        "time     about 22 min for a minute of music on this machine",
        "memory   3.3 GB",
        "Download it? It can be stopped and goes on where it was.",
    ]
    editor.call("request", "ping", {})
    assert [item["params"].get("consent") for item in script.asked("download_backend")] == [None]


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (["download_complete", {"download_id": "d1", "backend": "musicgen", "path": "/m"}],
         "musicgen is installed in /m"),
        (["download_error", {"download_id": "d1", "backend": "musicgen",
                             "code": "MODEL_DOWNLOAD_FAILED", "message": "no answer",
                             "hint": "Try again."}], "no answer\nTry again."),
        (["download_cancelled", {"download_id": "d1", "backend": "musicgen"}],
         "the download was stopped; what has come is kept"),
    ],
    ids=["complete", "error", "cancelled"],
)  # fmt: skip
def test_each_ending_is_told_once(talk: Talk, ending: list[Any], words: str) -> None:
    editor, script = talk(
        {"download_backend": [STARTED], "go": [{"notify": ending}, {"result": {}}],
         "told": [{"notify": ["download_progress", PROGRESS]}, {"result": {}}]},
        ui={"progress": "cmdline"},
    )  # fmt: skip
    editor.lua(
        """
        _G.echoed = {}
        local echo = vim.api.nvim_echo
        vim.api.nvim_echo = function(chunks, ...)
          table.insert(_G.echoed, chunks[1][1])
          return echo(chunks, ...)
        end
        """
    )
    editor.command("Lofi! setup musicgen variant=small")
    editor.call("request", "told", {})
    asked = script.asked("download_backend")[0]["params"]
    assert asked == {"backend": "musicgen", "variant": "small", "consent": True}
    line = "lofi: ⇣ musicgen 12%, 288 MB of 2.4 GB, 5 MB/s, 7 min left"
    assert editor.lua("return _G.echoed") == [line]
    assert editor.lua("return require('lofi').statusline()") == "◌ ⇣ 12%"
    editor.call("request", "go", {})
    editor.notice(words)
    assert editor.lua("return #_G.seen.notices") == 1
    assert editor.lua("return _G.echoed[#_G.echoed]") == "", "the progress is gone"
    assert editor.lua("return require('lofi').statusline()") is None


def test_the_guide_says_what_each_costs(talk: Talk) -> None:
    def backend(kind: str, size: float, status: str = "not_installed", **more: Any) -> Any:
        return {"type": kind, "name": kind, "status": status, "license": "MIT",
                "download_bytes": size, "variants": [], **more}  # fmt: skip

    planners = [{"name": "0.6b", "bytes": 1.4e9, "status": "not_installed"}]
    listed = [
        backend("musicgen", 2.4e9, estimate=ESTIMATE),
        backend("ace_step", 0, "ready"),
        backend("ace_step_15", 6.3e9, planners=planners),
    ]
    steps = {
        "get_backends": [{"result": {"backends": listed, "default_backend": "musicgen"}}],
        "download_backend": [{"result": {"already_installed": True}}],
    }
    editor, script = talk(steps)
    editor.lua(
        """
        _G.picks = { 4, 2 }
        vim.ui.select = function(items, opts, choose)
          local shown = vim.tbl_map(opts.format_item or tostring, items)
          table.insert(_G.seen.asked, { prompt = opts.prompt, items = shown })
          choose(items[table.remove(_G.picks, 1)])
        end
        """
    )
    editor.command("Lofi setup")
    editor.notice("ace-step-1.5 is installed already")
    first, second = editor.lua("return _G.seen.asked")
    assert [item.split() for item in first["items"]][1:] == [
        [
            "musicgen",
            "2.4",
            "GB",
            "~22",
            "min/min",
            "3.3",
            "GB",
            "memory",
            "MIT",
            "not",
            "installed",
        ],
        ["ace-step", "MIT", "ready"],
        ["ace-step-1.5", "6.3", "GB", "MIT", "not", "installed"],
    ]
    assert [item.split() for item in second["items"]][1] == [
        "planner", "0.6b", "1.4", "GB", "not", "installed"
    ]  # fmt: skip
    asked = script.asked("download_backend")[0]["params"]
    assert asked == {"backend": "ace-step-1.5", "lm_model": "0.6b"}


def test_the_guide_waits_for_what_a_model_costs(talk: Talk) -> None:
    musicgen = {"type": "musicgen", "name": "MusicGen", "status": "not_installed", "variants": []}
    unknown = {**musicgen, "estimate": {**ESTIMATE, "seconds_per_minute_of_audio": None}}
    known = {"notify": ["backend_changed", {**musicgen, "estimate": ESTIMATE}]}
    editor, script = talk(
        {
            "get_backends": [{"result": {"backends": [unknown], "default_backend": "procedural"}}],
            "estimate": [known, {"result": {"seconds": None}}],
        }
    )
    editor.command("Lofi setup")
    editor.until("_G.seen.asked[1]", 10)
    shown = editor.lua("return _G.seen.asked")
    assert "~22 min/min" in str(shown[0]["items"])
    assert [each["params"]["backend"] for each in script.asked("estimate")] == ["musicgen"]


def test_only_what_is_broken_is_brought_again(talk: Talk) -> None:
    files = [
        {"name": "vae/config.json", "bytes": 10},
        {"name": "vae/model.safetensors", "bytes": 10, "error": "should have 11 bytes"},
        {"name": "turbo/model.safetensors", "bytes": 10},
    ]
    steps = {
        "backend_verify": [{"result": {"ok": False, "files": files}}],
        "download_backend": [CONSENT, STARTED],
    }
    editor, script = talk(steps)
    editor.command("Lofi setup ace-step-1.5 repair=true")
    editor.until("_G.seen.asked[1]", 10)
    editor.call("request", "ping", {})
    asked = [item["params"] for item in script.asked("download_backend")]
    wish = {"backend": "ace-step-1.5", "components": ["vae"], "repair": True}
    assert asked == [wish, {**wish, "consent": True}]
    assert script.asked("backend_verify")[0]["params"]["deep"] is True


def test_a_whole_model_needs_no_repair(talk: Talk) -> None:
    files = [{"name": "small/config.json", "bytes": 10}]
    editor, script = talk({"backend_verify": [{"result": {"ok": True, "files": files}}]})
    editor.command("Lofi setup musicgen repair=true")
    editor.notice("musicgen is whole, nothing to repair")
    assert script.asked("download_backend") == []


def test_wrong_words(editor: Editor) -> None:
    editor.watch()
    editor.command("Lofi setup musicgen size=huge")
    editor.notice("setup takes variant=, lm=, source=, revision= and repair=, not size=")
    editor.command("Lofi verify")
    editor.notice("say which backend: :Lofi verify musicgen")
    editor.command("Lofi submit")
    editor.notice("this is no request buffer")
    assert editor.complete("Lofi setup ") == ["python", "musicgen", "ace-step", "ace-step-1.5"]
    assert editor.complete("Lofi setup ace-step-1.5 lm=") == ["lm=0.6b", "lm=1.7b", "lm=4b"]
    assert editor.complete("Lofi remove m") == ["musicgen"]
    assert editor.complete("Lofi inspire lm_model=1") == ["lm_model=1.7b"]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_an_idea_becomes_a_track(
    open_editor: Open, home: Home, repositories: dict[str, Path], tmp_path: Path
) -> None:
    """Idea, plan, buffer, codes, audio; the same twice."""
    models = tmp_path / "models"
    shutil.copytree(repositories["ACE-Step/Ace-Step1.5"], models)
    planner = repositories["ACE-Step/acestep-5Hz-lm-0.6B"]
    shutil.copytree(planner, models / planner.name)
    home.environment["LOFI_ACE_STEP_15_MODEL_PATH"] = str(models)
    editor = open_editor({"playback": {"auto_play": False}})
    editor.watch()
    plans = []
    for _ in range(2):
        editor.command("Lofi inspire something for a rainy Tuesday seed=3 lm_model=0.6b")
        editor.until("vim.b.lofi_request", 120)
        plans.append(editor.lua("return vim.api.nvim_buf_get_lines(0, 1, -1, false)"))
        if len(plans) == 1:
            editor.command("bwipeout!")
    assert plans[0] == plans[1], "the same idea and seed, the same plan"
    assert ":Lofi submit" in editor.lua("return vim.fn.getline(1)")
    assert "seed: 3" in plans[0] and "backend: ace_step_15" in plans[0]
    assert editor.events("operation_progress")
    wanted = {"duration_sec": "10", "infer_steps": "2", "thinking": "true"}
    lines = [line for line in plans[0] if line.partition(":")[0] not in wanted]
    lines = [f"{name}: {value}" for name, value in wanted.items()] + lines
    editor.lua("vim.api.nvim_buf_set_lines(0, 1, -1, false, ...)", lines)
    tracks = []
    for _ in range(2):
        editor.lua("_G.seen.events = {}")
        editor.command("Lofi submit")
        tracks.append(editor.event("generation_complete", 120)["track_id"])
    assert tracks[0] == tracks[1], "the same request, the same track"
    found = editor.call("track", tracks[0])
    assert len(found["plan"]["codes"]) == 50
    editor.command(f"Lofi recipe {tracks[0]}")
    lines = editor.until("vim.bo.filetype == 'lofi-float' and vim.fn.getline(1, '$')", 10)
    assert any("the plan, 50 codes" in line for line in lines)


def test_a_planning_can_be_stopped(talk: Talk) -> None:
    working = {"request_id": 2, "method": "lm_inspire", "percent": 30, "message": ""}
    refused = {"code": -32013, "message": "stopped", "data": {"code": "GENERATION_CANCELLED"}}
    steps = {
        "lm_inspire": [{"notify": ["operation_progress", working]}],
        "cancel": [{"result": {"cancelled": True}}, {"raw": ""}],
        "go": [{"raw": json.dumps({"jsonrpc": "2.0", "id": 2, "error": refused}) + "\n"},
               {"result": {}}],
    }  # fmt: skip
    editor, script = talk(steps)
    editor.command("Lofi inspire a rainy Tuesday seed=4")
    editor.event("operation_progress")
    assert script.asked("lm_inspire")[0]["params"] == {"query": "a rainy Tuesday", "seed": 4}
    editor.command("Lofi cancel")
    editor.call("request", "go", {})
    editor.notice("cancelled")
    wanted = script.asked("lm_inspire")[0]["id"]
    assert script.asked("cancel")[0]["params"] == {"request_id": wanted}
    assert editor.lua("return require('lofi.planning').current()") is None


def test_a_sheet_is_read_as_it_was_written(editor: Editor) -> None:
    request = {
        "prompt": 'a "b": c\n---\nlast ',
        "lyrics": "[Verse]\n---\n# not a remark\nkey: value\n",
        "bpm": 93,
        "duration_sec": 61.25,
        "keyscale": "F# minor",
        "title": "12",
        "instrumental": False,
        "audio_codes": "1,2,3",
        "seed": 2**31,
    }
    read = editor.lua(
        """
        local sheet = require('lofi.sheet')
        return sheet.read(sheet.write(..., 'remark'))
        """,
        request,
    )
    assert read == request
