"""Scores for the tests of the parts: events alone, no sound."""

from __future__ import annotations

from typing import Any

from lofi.backends.procedural.notes import Note
from lofi.backends.procedural.score import Passage, Score
from lofi.backends.procedural.settings import resolve


def score(**recipe: Any) -> Score:
    return Score(resolve({"prompt": "", "seed": 1, "duration_sec": 60, **recipe}))


def passages(found: Score) -> list[Passage]:
    return [found.passage(index) for index in range(found.count)]


def of_part(passage: Passage, *parts: str) -> list[Note]:
    return [note for note in passage.notes if note.part in parts]
