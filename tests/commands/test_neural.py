"""`lofi setup python`: which PyTorch, and what pip is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from lofi.commands import neural
from lofi.commands.neural import Build, choose, install
from lofi.errors import DependencyMissing, ModelDownloadFailed

NEEDED = ["nosuchtorch>=2.6", "transformers>=4.57"]
BUILD = Build("PyTorch for CPU", "https://wheels.example/cpu", "no NVIDIA GPU was found", "1 GB")


@pytest.mark.skipif("sys.platform == 'darwin'", reason="there Metal comes with the ordinary build")
@pytest.mark.parametrize(
    ("smi", "index", "reason"),
    [
        (None, "/cpu", "no NVIDIA GPU was found"),
        ("CUDA Version: 13.2 ", "/cu130", "takes CUDA up to 13.2"),
        ("CUDA Version: 12.9 ", "/cu128", "takes CUDA up to 12.9"),
        ("CUDA Version: 12.2 ", "/cpu", "takes CUDA 12.2, and 12.6 is needed"),
        ("strange", "/cpu", "does not say which CUDA"),
    ],
)
def test_the_build_that_suits(smi: str | None, index: str, reason: str) -> None:
    build = choose({}, lambda: smi)
    assert build.index is not None and build.index.endswith(index)
    assert reason in build.reason


@pytest.mark.parametrize(
    ("program", "limit_sec", "says"),
    [
        ("echo CUDA Version: 12.8", 60, "CUDA Version: 12.8\n"),
        ("exit 9", 60, None),
        ("exec sleep 60", 0.2, None),
    ],
)
def test_a_driver_is_asked_and_not_waited_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    limit_sec: float,
    says: str | None,
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    file = tmp_path / "nvidia-smi"
    file.write_text(f"#!/bin/sh\n{program}\n")
    file.chmod(0o755)
    assert neural.driver_says(limit_sec) == says


def test_an_index_of_ones_own() -> None:
    build = choose({"LOFI_TORCH_INDEX": "https://wheels.example/rocm"}, lambda: None)
    assert build.index == "https://wheels.example/rocm"


class Pip:
    """Says what it was asked; refuses what holds one of `refused`."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.asked: list[list[str]] = []

    def __call__(self, arguments: Sequence[str]) -> int:
        self.asked.append(list(arguments))
        return int(any(word in self.refused for word in arguments))


@pytest.fixture(autouse=True)
def torch_is_called_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python of the tests has torch; that of a newcomer does not."""
    monkeypatch.setattr(neural, "TORCH", "nosuchtorch")


def test_torch_comes_from_its_index_and_nothing_else_from_there() -> None:
    pip = Pip()
    install(BUILD, NEEDED, pip)
    _, torch, rest = pip.asked
    assert torch[-1] == NEEDED[0] and "--no-deps" in torch and BUILD.index in torch
    assert rest == ["install", *NEEDED]


def test_an_index_out_of_reach_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    pip = Pip("--index-url")
    install(BUILD, NEEDED, pip)
    assert "ordinary package index" in capsys.readouterr().err
    assert pip.asked[-1] == ["install", *NEEDED]


def test_no_pip_and_no_packages() -> None:
    with pytest.raises(DependencyMissing, match="has no pip"):
        install(BUILD, NEEDED, Pip("--version"))
    with pytest.raises(ModelDownloadFailed, match="could not be installed"):
        install(BUILD, NEEDED, Pip("install"))


def test_the_packages_are_those_of_the_extra() -> None:
    names = neural.packages()
    assert any(name.startswith("torch>") for name in names)
    assert any(name.startswith("transformers>") for name in names)
