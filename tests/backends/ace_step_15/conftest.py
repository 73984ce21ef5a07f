"""Tiny checkpoints on disk, written once a session."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.checkpoints.ace_step_15 import write_bundle


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def turbo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("turbo"), "turbo")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("base"), "base")
