"""`python -m tests.parity DIR…`: every golden case file of the directories, against our own code.

Prints `name  worst error / tolerance  pass|fail` a line, then `N passed, N failed`. A case that no
suite knows how to run counts as failed. Exit status 1 on any failure.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType

from tests.parity.outcome import NotRun, Options, Outcome

SUITES = ("ace_step_15", "ace_step_15_lm", "ace_step_v1")
CASES = (".npz", ".json")


def _suite_for(directory: Path) -> ModuleType | None:
    for name in SUITES:
        suite = importlib.import_module(f"tests.parity.{name}")
        if suite.handles(directory):
            return suite
    return None


def _run(suite: ModuleType | None, path: Path, options: Options) -> list[Outcome | NotRun]:
    if suite is None:
        return [Outcome(path.name, float("nan"), 0.0, "no suite knows this directory")]
    try:
        return list(suite.run(path, options))
    except Exception as error:  # a case that breaks is a failed case, and the others still run
        traceback.print_exc(file=sys.stderr)
        return [Outcome(path.name, float("nan"), 0.0, f"{type(error).__name__}: {error}")]


def _line(outcome: Outcome | NotRun) -> str:
    if isinstance(outcome, NotRun):
        return f"{outcome.name:<44} {outcome.reason}"
    verdict = "pass" if outcome.passed else "fail"
    note = f"  {outcome.note}" if outcome.note else ""
    return f"{outcome.name:<44} {outcome.error:.3g} / {outcome.tolerance:.3g}  {verdict}{note}"


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--lyric-vocab", type=Path, help="vocabulary of ACE-Step v1's lyrics")
    arguments = parser.parse_args(argv)
    options = Options(lyric_vocab=arguments.lyric_vocab)
    outcomes: list[Outcome | NotRun] = []
    for directory in arguments.directories:
        suite = _suite_for(directory)
        for path in sorted(p for p in directory.rglob("*") if _is_case(p, directory)):
            for outcome in _run(suite, path, options):
                outcomes.append(outcome)
                print(_line(outcome), flush=True)
    judged = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
    failed = sum(not outcome.passed for outcome in judged)
    print(f"{len(judged) - failed} passed, {failed} failed")
    return 1 if failed or not judged else 0


def _is_case(path: Path, directory: Path) -> bool:
    """A folder inside (a tiny model, a tokenizer) is one case's material: its `expected.json`."""
    if path.suffix not in CASES:
        return False
    return path.parent == directory or path.name == "expected.json"


if __name__ == "__main__":
    sys.exit(main())
