"""The golden cases, and proof that the runner would notice a difference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.parity import ace_step_v1 as suite
from tests.parity.outcome import NotRun, Options

GOLDENS = Path(__file__).parents[2] / "goldens" / "ace-step-v1"
FILES = sorted(GOLDENS.glob("*.npz"))


def test_no_case_got_lost() -> None:
    assert suite.handles(GOLDENS)
    assert len(FILES) == 59


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_case(path: Path) -> None:
    for outcome in suite.run(path, Options()):
        if path.stem == "lyric_tokens":
            assert isinstance(outcome, NotRun)
        else:
            assert not isinstance(outcome, NotRun)
            assert outcome.passed, outcome


@pytest.mark.parametrize(
    ("name", "array"), [("block", "out.out"), ("t2m_euler_apg", "out.latents")]
)
def test_a_changed_number_fails(name: str, array: str, tmp_path: Path) -> None:
    with np.load(GOLDENS / f"{name}.npz") as file:
        arrays = dict(file)
    arrays[array] = arrays[array] + 0.01
    path = tmp_path / f"{name}.npz"
    np.savez(path, **arrays)
    for outcome in suite.run(path, Options()):
        assert not isinstance(outcome, NotRun)
        assert not outcome.passed


def test_an_unknown_case_fails(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, meta=np.array('{"case": "other", "salt": "1"}'))
    (outcome,) = suite.run(path, Options())
    assert not isinstance(outcome, NotRun)
    assert not outcome.passed
