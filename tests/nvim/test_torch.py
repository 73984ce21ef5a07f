"""What neural models need of Python: which PyTorch is chosen, shown and installed, and why."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.nvim.conftest import Open
from tests.nvim.editor import Editor, Home

WHEELS = "https://download.pytorch.org/whl/"
NEURAL = ["torch", "transformers", "safetensors", "huggingface_hub", "tokenizers", "PyYAML"]


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def with_programs(editor: Editor, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name in ("sh", "env", "mkdir", "cp", "chmod"):
        (folder / name).symlink_to(f"/bin/{name}")
    editor.lua("vim.env.PATH, vim.env.LOFI_PYTHON = ..., nil", str(folder))


def chosen(editor: Editor) -> dict[str, str]:
    editor.lua(
        """
        _G.chosen = nil
        require('lofi.environment').look(nil, function(build) _G.chosen = build end)
        """
    )
    return dict(editor.until("_G.chosen", 20))


@pytest.mark.parametrize(
    ("smi", "index", "reason"),
    [
        (None, WHEELS + "cpu", "no NVIDIA GPU was found"),
        ("exit 9", WHEELS + "cpu", "no NVIDIA GPU was found"),
        ("echo 'CUDA Version: 13.2 '", WHEELS + "cu130", "takes CUDA up to 13.2"),
        ("echo 'CUDA Version: 12.9 '", WHEELS + "cu128", "takes CUDA up to 12.9"),
        ("echo 'CUDA Version: 12.2 '", WHEELS + "cpu", "takes CUDA 12.2, and 12.6 is needed"),
        ("echo strange", WHEELS + "cpu", "does not say which CUDA"),
    ],
)
def test_the_build_that_suits(
    open_editor: Open, tmp_path: Path, smi: str | None, index: str, reason: str
) -> None:
    if smi:
        program(tmp_path / "bin", "nvidia-smi", smi + "\n")
    editor = open_editor()
    with_programs(editor, tmp_path / "bin")
    build = chosen(editor)
    assert build["index"] == index and reason in build["reason"]


def test_an_index_of_ones_own(open_editor: Open, home: Home, tmp_path: Path) -> None:
    home.environment["LOFI_TORCH_INDEX"] = "https://wheels.example/rocm"
    editor = open_editor()
    with_programs(editor, tmp_path / "bin")
    build = chosen(editor)
    assert build["index"] == "https://wheels.example/rocm"
    assert build["reason"] == "LOFI_TORCH_INDEX says so"


@pytest.mark.parametrize("is_there", [True, False], ids=["there", "not there"])
def test_asked_shown_installed(open_editor: Open, tmp_path: Path, is_there: bool) -> None:
    """No Python yet: everything is made at once, torch from its own index or, failing that, not."""
    log = tmp_path / "log"
    program(tmp_path, "inner", "echo 3.12\n")
    refused = "" if is_there else "echo 'No matching distribution found for torch'; exit 1\n"
    program(
        tmp_path / "bin",
        "uv",
        f'echo "$@" >> {log}\n'
        f'if [ "$1" = venv ]; then mkdir -p "$5/bin"; cp {tmp_path}/inner "$5/bin/python"; fi\n'
        f'case "$*" in *--index-url*) {refused} ;; esac\n',
    )
    editor = open_editor()
    editor.watch()
    with_programs(editor, tmp_path / "bin")
    editor.lua(
        """
        require('lofi.installation').prepare(false, function(err)
          _G.ended = err and err.message or 'fine'
        end)
        """
    )
    assert editor.until("_G.ended", 60) == "fine"
    question = editor.lua("return _G.seen.asked[1].prompt").splitlines()
    assert question[0] == "Models need PyTorch for CPU, transformers and a few more packages."
    assert question[1] == "why      no NVIDIA GPU was found"
    assert question[2] == f"from     {WHEELS}cpu"
    editor.notice("PyTorch for CPU: no NVIDIA GPU was found")
    lines = [line.split() for line in log.read_text().splitlines() if line.startswith("pip")]
    first, last = lines[0], lines[-1]
    assert first[4:7] == ["--no-deps", "--index-url", WHEELS + "cpu"]
    assert first[-1].startswith("torch>") and "constraints.txt" in first[-2]
    assert "--index-url" not in last
    assert [name for name in NEURAL if any(word.startswith(name) for word in last)] == NEURAL
    words = "taking torch from the ordinary package index"
    notices = [text for text, _ in editor.lua("return _G.seen.notices")]
    assert any(words in text for text in notices) is not is_there


def test_a_python_of_ones_own_is_left_alone(open_editor: Open, home: Home, tmp_path: Path) -> None:
    program(tmp_path, "python", "echo torch tokenizers\n")
    editor = open_editor()
    editor.watch()
    with_programs(editor, tmp_path / "bin")
    editor.lua("vim.env.LOFI_PYTHON = ...", str(tmp_path / "python"))
    editor.command("Lofi! setup musicgen")
    text = editor.notice("lacks torch, tokenizers", 20)
    assert f"{tmp_path}/python -m pip install 'torch>" in text
    assert editor.lua("return _G.seen.asked") == []
