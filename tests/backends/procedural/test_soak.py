"""Twenty seeds of each style for a minute each, and every promise of every word.

Both write their table to `benchmarks/results/procedural.md`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from lofi.backends.procedural.vocabulary import STYLE_WORDS, VOCABULARY
from lofi.listen import structure
from tests.backends.procedural import hearing, promises
from tests.backends.procedural.hearing import STYLES

SEEDS = range(1, 21)
RESULTS = Path(__file__).parents[3] / "benchmarks" / "results" / "procedural.md"
LISTENING = "## Checks of finished tracks"
WORDS = "## What each word moves"


@dataclass(slots=True)
class Survey:
    """What was heard in all tracks."""

    values: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    contrasts: list[float] = field(default_factory=list)
    returns: list[tuple[float, float]] = field(default_factory=list)
    apart: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Style: median distance of tracks over that of halves, and pairs nearer than halves."""


def survey() -> Survey:
    found = Survey()
    for style in STYLES:
        prints = []
        for seed in SEEDS:
            track = hearing.render(style=style, seed=seed, duration_sec=60.0)
            findings = hearing.findings(track)
            for finding in findings:
                found.values[style, finding.name].append(finding.value)
                found.bounds[finding.name] = (finding.low, finding.high)
            found.failures += hearing.failures(track, findings)
            found.contrasts.append(hearing.contrast(track))
            returned = hearing.returns(track)
            if returned is not None:
                found.returns.append(returned)
            prints.append(hearing.prints(track))
        halves = [structure.distance(left, right) for _, left, right in prints]
        between = [
            structure.distance(one[0], other[0])
            for place, one in enumerate(prints)
            for other in prints[place + 1 :]
        ]
        nearer = sum(distance < np.median(halves) for distance in between)
        found.apart[style] = (float(np.median(between) / np.median(halves)), int(nearer))
    return found


def _table(found: Survey) -> str:
    rows = [
        LISTENING,
        "",
        f"{len(SEEDS)} seeds × {len(STYLES)} styles × 60 s; least … greatest.",
        "",
        f"| check | bound | {' | '.join(STYLES)} |",
        "|---|---|" + "---|" * len(STYLES),
    ]
    for name, (low, high) in found.bounds.items():
        spans = [
            f"{min(found.values[style, name]):.2f} … {max(found.values[style, name]):.2f}"
            for style in STYLES
        ]
        rows.append(f"| {name} | {low:g} … {high:g} | {' | '.join(spans)} |")
    same, other = np.array(found.returns).T
    exact = np.mean([v for s in STYLES for v in found.values[s, "key_exact"]])
    rows += [
        "",
        f"- borders against elsewhere: mean {np.mean(found.contrasts):.2f} (at least 1.3)",
        f"- returning A nearer to A than B and C are: {100 * np.mean(same > other):.0f} % of "
        f"{len(same)} tracks (at least 90); A–A {same.mean():.2f}, A–B {other.mean():.2f}",
        f"- claimed key is the first guess in {100 * exact:.0f} %",
        "- tracks apart over halves apart (at least 3), pairs nearer than halves: "
        + ", ".join(f"{s} {ratio:.1f} × / {near}" for s, (ratio, near) in found.apart.items()),
        "",
        f"Outside its bounds: {len(found.failures)} findings.",
        *(f"- {line}" for line in found.failures),
    ]
    return "\n".join(rows)


def _write(heading: str, text: str) -> None:
    """Replaces one part of the results by `text`."""
    title = "# The embedded synthesiser, as measured\n"
    whole = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else title
    parts = whole.split("\n## ")
    kept = [part for part in parts if f"## {part}".split("\n")[0] != heading]
    whole = "\n## ".join(kept).rstrip("\n") + "\n\n" + text + "\n"
    RESULTS.write_text(whole, encoding="utf-8")


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_hundred_tracks() -> None:
    found = survey()
    _write(LISTENING, _table(found))
    assert not found.failures
    assert np.mean(found.contrasts) >= 1.3
    same, other = np.array(found.returns).T
    assert np.mean(same > other) >= 0.9
    for style, (ratio, nearer) in found.apart.items():
        assert ratio >= 3, f"{style}: tracks are only {ratio:.1f} × as far apart as halves"
        # Of 190 pairs about 16 share their seven notes; one may also share band and tempo.
        assert nearer <= 1, f"{style}: {nearer} pairs of tracks are nearer than two halves of one"


def _word_table(outcomes: Sequence[promises.Outcome]) -> str:
    rows = [
        WORDS,
        "",
        f"`lofi` against `lofi WORD`, {len(promises.SEEDS)} seeds, {promises.SECONDS:g} s. Kept: "
        "seeds for which the figure moved the promised way. Effect: mean movement over the spread "
        "of that movement. Beyond: mean movement over the spread of the figure without the word.",
        "",
        "| word | figure | without | with | kept | effect | beyond |",
        "|---|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        promise = outcome.promise
        rows.append(
            f"| {promise.word} | {promise.figure} | {outcome.before:.2f} | {outcome.after:.2f} "
            f"| {outcome.kept} | {outcome.effect:.1f} | {outcome.beyond:.1f} |"
        )
    return "\n".join(rows)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_every_word_moves_what_it_promises() -> None:
    words = list(dict.fromkeys([*STYLE_WORDS, *VOCABULARY]))
    outcomes = list(promises.survey(words))
    _write(WORDS, _word_table(outcomes))
    kept = {outcome.promise.word for outcome in outcomes if outcome.ok}
    assert not [word for word in words if word not in kept]
