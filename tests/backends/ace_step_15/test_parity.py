"""The golden cases, and proof that the runner would notice a difference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.parity import ace_step_15 as suite
from tests.parity.outcome import Options

GOLDENS = Path(__file__).parents[2] / "goldens" / "ace-step-1.5"
FILES = sorted(path for path in GOLDENS.iterdir() if path.suffix in {".npz", ".json"})


def test_no_case_got_lost() -> None:
    assert suite.handles(GOLDENS)
    assert len(FILES) == 71


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_case(path: Path) -> None:
    for outcome in suite.run(path, Options()):
        assert outcome.passed, outcome


@pytest.mark.parametrize(
    ("name", "array"), [("04_dit_even", "out"), ("21_turbo_ode_shift1", "out_latents")]
)
def test_a_changed_number_fails(name: str, array: str, tmp_path: Path) -> None:
    with np.load(GOLDENS / f"{name}.npz") as file:
        arrays = dict(file)
    arrays[array] = arrays[array] + 0.01
    path = tmp_path / f"{name}.npz"
    np.savez(path, **arrays)
    assert not any(outcome.passed for outcome in suite.run(path, Options()))


def test_another_salt_fails(tmp_path: Path) -> None:
    with np.load(GOLDENS / "14_detokenizer.npz") as file:
        arrays = dict(file)
    meta = json.loads(str(arrays["meta_json"]))
    arrays["meta_json"] = np.array(json.dumps({**meta, "salt": "another"}))
    path = tmp_path / "14_detokenizer.npz"
    np.savez(path, **arrays)
    assert not any(outcome.passed for outcome in suite.run(path, Options()))


def test_an_unknown_case_fails(tmp_path: Path) -> None:
    path = tmp_path / "99_unheard_of.npz"
    np.savez(path, meta_json=np.array("{}"))
    assert not any(outcome.passed for outcome in suite.run(path, Options()))
