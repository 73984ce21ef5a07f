"""`:Lofi setup python`: an environment of its own, and a sentence for each way it can fail."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.nvim.conftest import Open
from tests.nvim.editor import REPO, Editor, Home

PACKAGES = ("msgpack", "numpy", "soundfile", "soxr", "miniaudio")


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def links(folder: Path, *names: str) -> None:
    """The few system programs a script needs, and no Python."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).symlink_to(f"/bin/{name}")


def install(editor: Editor) -> dict[str, str]:
    """Returns the error, empty when there was none."""
    editor.lua(
        """
        _G.said, _G.ended = {}, nil
        require('lofi.environment').install({
          on_progress = function(text) table.insert(_G.said, text) end,
        }, function(err)
          _G.ended = { is_over = true, err = err and { message = err.message, hint = err.hint,
            code = err.code, reason = err.data.reason } }
        end)
        """
    )
    ended = editor.until("_G.ended", 100, "the end of the installation")
    return dict(ended.get("err") or {})


PIP_FAILS = {
    "no_network": "ERROR: NewConnectionError: Temporary failure in name resolution",
    "disk_full": "ERROR: [Errno 28] No space left on device",
    "not_writable": "ERROR: [Errno 30] Read-only file system",
    "not_installed": "ERROR: a wheel is corrupt",
}


@pytest.mark.parametrize(
    ("python", "reason", "message", "hint"),
    [
        (None, "no_python", "there is no Python here", "Install Python 3.11"),
        ("echo 3.9", "too_old", "python3 is Python 3.9", "Install a newer Python"),
        (
            'case "$*" in *sys*) echo 3.12;; *) echo "ensurepip is not available"; exit 1;; esac',
            "no_venv",
            "'venv' or 'ensurepip' is missing",
            "python3-venv",
        ),
        (
            'case "$*" in *sys*) echo 3.12;; *) echo "disc on fire"; exit 1;; esac',
            "not_made",
            "disc on fire",
            "log",
        ),
    ],
)
def test_pythons_that_will_not_do(
    open_editor: Open, home: Home, tmp_path: Path, python: str | None, reason: str, message: str,
    hint: str,
) -> None:  # fmt: skip
    path = tmp_path / "bin"
    links(path, "sh", "env")
    if python:
        program(path, "python3", python + "\n")
    editor = open_editor()
    editor.lua("vim.env.PATH = ...", str(path))
    err = install(editor)
    assert (err["code"], err["reason"]) == ("DEPENDENCY_MISSING", reason)
    assert message in err["message"] and hint in err["hint"]
    assert not (Path(editor.lua("return require('lofi.launch').venv()")) / "bin").exists()


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("no_pip", ""),
        *PIP_FAILS.items(),
        ("disk_full", "ERROR: [Errno 122] Disk quota exceeded"),
    ],
)
def test_packages_that_do_not_come(
    open_editor: Open, home: Home, tmp_path: Path, reason: str, said: str
) -> None:
    path = tmp_path / "bin"
    links(path, "sh", "env", "mkdir", "cp", "chmod")
    answers = {"no_pip": 'echo "No module named pip"; exit 1'}
    install_line = f'echo "{said}"; exit 1'
    inner = f"""case "$*" in *sys*) echo 3.12;;
      *"pip --version"*) {answers.get(reason, "true")};; *"pip install"*) {install_line};; esac
"""
    program(tmp_path, "inner", inner)
    program(
        path,
        "python3",
        f'case "$*" in *venv*) mkdir -p "$3/bin"; cp {tmp_path}/inner "$3/bin/python";;'
        " *) echo 3.12;; esac\n",
    )
    editor = open_editor()
    editor.lua("vim.env.PATH = ...", str(path))
    err = install(editor)
    assert err["reason"] == reason, err
    assert err["code"] == ("INSUFFICIENT_DISK" if reason == "disk_full" else "DEPENDENCY_MISSING")
    assert err["hint"]


def test_uv_goes_first(open_editor: Open, home: Home, tmp_path: Path) -> None:
    path, log = tmp_path / "bin", tmp_path / "log"
    links(path, "sh", "env", "mkdir", "cp", "chmod")
    program(tmp_path, "inner", "echo 3.12\n")
    program(
        path,
        "uv",
        f'echo "$@" >> {log}\n'
        f'if [ "$1" = venv ]; then mkdir -p "$5/bin"; cp {tmp_path}/inner "$5/bin/python"; fi\n',
    )
    editor = open_editor()
    editor.lua("vim.env.PATH = ...", str(path))
    assert install(editor) == {}
    made, installed = log.read_text().splitlines()
    venv = editor.lua("return require('lofi.launch').venv()")
    assert made == f"venv --quiet --python >=3.11 {venv}"
    assert installed.startswith(f"pip install --python {venv}/bin/python -c {REPO}/constraints.txt")
    assert [re.split("[><=]", word)[0] for word in installed.split()[6:]] == list(PACKAGES)
    assert editor.lua("return _G.said[1]") == "making an environment with uv"


def test_a_folder_that_cannot_be_written(open_editor: Open, home: Home) -> None:
    (home.root / "file").touch()
    home.environment["XDG_DATA_HOME"] = str(home.root / "file")
    err = install(open_editor())
    assert (err["code"], err["reason"]) == ("DEPENDENCY_MISSING", "not_writable")
    assert str(home.root / "file") in err["message"] and "XDG_DATA_HOME" in err["hint"]


def test_what_an_interruption_left_is_made_anew(
    open_editor: Open, home: Home, tmp_path: Path
) -> None:
    """An environment whose Python runs and whose pip never came."""
    path = tmp_path / "bin"
    links(path, "sh", "env", "mkdir", "cp", "chmod")
    whole = program(tmp_path, "whole", "echo 3.12\n")
    program(
        path,
        "python3",
        f'case "$*" in *venv*) mkdir -p "$3/bin"; cp {whole} "$3/bin/python";; *) echo 3.12;; esac',
    )
    editor = open_editor()
    venv = Path(editor.lua("return require('lofi.launch').venv()"))
    left = 'case "$*" in *pip*) exit 1;; *) echo 3.12;; esac\n'
    program(venv / "bin", "python", left)
    editor.lua("vim.env.PATH = ...", str(path))
    assert install(editor) == {}
    assert (venv / "bin" / "python").read_text() == whole.read_text()


def test_one_installation_at_a_time(open_editor: Open, tmp_path: Path) -> None:
    links(tmp_path, "sh")
    program(tmp_path, "python3", "echo 3.9\n")
    editor = open_editor()
    editor.lua("vim.env.PATH = ...", str(tmp_path))
    editor.lua(
        """
        local install = require('lofi.environment').install
        install({}, function(err) _G.first = err.data.reason end)
        install({}, function(err) _G.second = err.code end)
        """
    )
    assert editor.until("_G.second", 10) == "BUSY"
    assert editor.until("_G.first", 10) == "too_old"


def wheels(folder: Path) -> None:
    """Writes packages that hold nothing, in the very versions the constraints pin."""
    folder.mkdir()
    pins = dict(
        line.split("==")
        for line in (REPO / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    for name in PACKAGES:
        info = f"{name}-{pins[name]}.dist-info"
        with zipfile.ZipFile(folder / f"{name}-{pins[name]}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}.py", "")
            wheel.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {pins[name]}\n"
            )
            wheel.writestr(
                f"{info}/WHEEL",
                "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
            wheel.writestr(f"{info}/RECORD", "")


def headless(program: Path, home: Home, **more: str) -> subprocess.CompletedProcess[str]:
    command = [program, "--clean", "-n", "--headless", "--cmd", f"set rtp^={REPO}"]
    return subprocess.run(
        [*map(str, command), "-c", "Lofi! setup python", "-c", "qa"],
        env={**home.environment, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_a_headless_neovim_works_until_it_is_done(
    program: Path, home: Home, tmp_path: Path
) -> None:
    """Real venv, real pip, no network: the packages lie beside it."""
    wheels(tmp_path / "wheels")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    environment = {
        "PATH": f"{tmp_path / 'bin'}:/bin:/usr/bin",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
        "PIP_CONFIG_FILE": "/dev/null",
    }
    done = headless(program, home, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    venv = Path(home.environment["XDG_DATA_HOME"]) / "nvim" / "lofi" / "venv"
    assert f"lofi: Python is ready: {venv}" in done.stdout + done.stderr
    out = subprocess.run(
        [venv / "bin" / "python", "-m", "pip", "list", "--format=json"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {package["name"].lower() for package in json.loads(out.stdout)}
    assert set(PACKAGES) <= names and "lofi" not in names, "dependencies only"


@pytest.mark.every_nvim
def test_a_headless_neovim_fails_with_a_status(program: Path, home: Home, tmp_path: Path) -> None:
    links(tmp_path / "bin", "sh", "env")
    done = headless(program, home, PATH=str(tmp_path / "bin"))
    assert done.returncode == 1
    assert "there is no Python here" in done.stdout + done.stderr


def test_bare_lofi_offers_it_and_then_plays(open_editor: Open, home: Home, tmp_path: Path) -> None:
    home.environment.pop("LOFI_PYTHON")
    home.environment["PATH"] = "/usr/bin:/bin"
    editor = open_editor({"defaults": {"duration_sec": 5}})
    editor.watch()
    editor.lua(
        """
        _G.python = ...
        require('lofi.environment').install = function(_, callback)
          vim.env.LOFI_PYTHON = _G.python
          vim.schedule(callback)
        end
        """,
        sys.executable,
    )
    editor.command("Lofi")
    question = editor.until("_G.seen.asked[1]", 10)
    assert "Make a private Python environment for lofi (about 110 MB" in question["prompt"]
    editor.notice("Python is ready")
    editor.event("playback_start", 30)


def test_bare_lofi_waits_for_a_setup_that_runs(open_editor: Open, home: Home) -> None:
    """A plugin manager's build step is still at it."""
    home.environment.pop("LOFI_PYTHON")
    home.environment["PATH"] = "/usr/bin:/bin"
    editor = open_editor({"defaults": {"duration_sec": 5}})
    editor.watch()
    editor.lua(
        """
        _G.installs = 0
        require('lofi.environment').install = function(_, callback)
          _G.installs, _G.finish = _G.installs + 1, callback
        end
        """
    )
    editor.command("Lofi! setup python")
    editor.command("Lofi")
    editor.notice("Python is being set up; this goes on when it is ready")
    editor.lua("vim.env.LOFI_PYTHON = ...; _G.finish()", sys.executable)
    editor.event("playback_start", 30)
    assert editor.lua("return { _G.installs, #_G.seen.asked }") == [1, 0]


def test_no_to_the_offer_starts_nothing(open_editor: Open, home: Home) -> None:
    home.environment.pop("LOFI_PYTHON")
    home.environment["PATH"] = "/usr/bin:/bin"
    editor = open_editor()
    editor.watch()
    editor.lua("_G.seen.choice = 2")
    editor.lua("_G.echoed = {}; vim.api.nvim_echo = function(c) _G.echoed[#_G.echoed + 1] = c end")
    editor.command("Lofi")
    editor.until("_G.seen.asked[1]", 10)
    assert editor.home.processes() == [editor.pid]
    editor.lua("vim.wait(1000, function() return #_G.echoed > 0 end)")
    assert editor.lua("return _G.echoed") == [], "no daemon is said to start"
