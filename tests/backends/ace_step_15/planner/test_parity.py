"""The golden cases, and proof that the runners would notice a difference."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.parity import ace_step_15_lm as suite
from tests.parity.outcome import NotRun, Options, Outcome

GOLDENS = Path(__file__).parents[3] / "goldens" / "ace-step-1.5-lm"
FILES = sorted([*GOLDENS.glob("*.json"), GOLDENS / "tiny_lm" / "expected.json"])


def failures(path: Path) -> list[Outcome]:
    found = suite.run(path, Options())
    assert found
    return [outcome for outcome in found if isinstance(outcome, Outcome) and not outcome.passed]


def test_no_case_got_lost() -> None:
    assert suite.handles(GOLDENS)
    assert {path.stem for path in FILES} == set(suite.RUNNERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_file(path: Path) -> None:
    assert failures(path) == []


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for name in ("tokenizer", "tiny_lm"):
        shutil.copytree(GOLDENS / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("prompts", "# Caption", "# caption"),
        ("fsm_traces", '"argmax": 563', '"argmax": 564'),
        ("sampling", '"p": 0.9', '"p": 0.2'),
        ("two_phase", "duration: 12", "duration: 13"),
        ("merge_metadata", '"bpm": 93', '"bpm": 94'),
        ("exchange_dir", "63999", "63998"),
    ],
)
def test_a_changed_case_fails(copied: Path, name: str, before: str, after: str) -> None:
    text = (GOLDENS / f"{name}.json").read_text(encoding="utf-8")
    assert before in text
    path = copied / f"{name}.json"
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    assert failures(path)


def test_a_changed_logit_fails(copied: Path) -> None:
    path = copied / "tiny_lm" / "expected.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["prefill"][0]["last_logits"][0] += 0.01
    path.write_text(json.dumps(content), encoding="utf-8")
    assert failures(path)


def test_an_unknown_file_fails_and_the_reference_service_is_not_ours(tmp_path: Path) -> None:
    assert failures(tmp_path / "unheard_of.json")
    (outcome,) = suite.run(tmp_path / "memory_tiers.json", Options())
    assert isinstance(outcome, NotRun)
    assert outcome.reason.startswith("not applicable: ")
