"""The canonical recipe and its id."""

from __future__ import annotations

import pytest

from lofi import tracks

VECTORS = [
    (
        {
            "backend": "procedural",
            "duration_sec": 30,
            "model_version": "procedural-1",
            "prompt": "lofi hip hop",
            "schema": 1,
            "seed": 42,
            "task": "text2music",
        },
        "8126574804a80a23",
    ),
    (
        {
            "backend": "ace_step",
            "cfg_type": "apg",
            "duration_sec": 120,
            "guidance_scale": 15,
            "infer_steps": 27,
            "model_version": "ace-step-v1-3.5b",
            "omega_scale": 10,
            "prompt": "lofi hip hop, jazzy piano, chill beats, vinyl crackle",
            "scheduler": "euler",
            "schema": 1,
            "seed": 42,
            "task": "text2music",
        },
        "b9716f29439b83ee",
    ),
    (
        {
            "backend": "procedural",
            "bpm": None,
            "duration_sec": 12.345678901,
            "model_version": "procedural-1",
            "prompt": "café ☕ ночь",
            "schema": 1,
            "seed": 4294967295,
            "task": "text2music",
        },
        "c13b6a6d153a7a1d",
    ),
]


@pytest.mark.parametrize(("recipe", "expected"), VECTORS)
def test_published_vectors(recipe: dict[str, object], expected: str) -> None:
    assert tracks.track_id(recipe) == expected


def test_order_of_members_and_float_spelling_change_nothing() -> None:
    one = {"seed": 1, "duration_sec": 30.0, "prompt": "a"}
    other = {"prompt": "a", "duration_sec": 30, "seed": 1.0}
    assert tracks.digest(one) == tracks.digest(other)


def test_booleans_are_not_numbers() -> None:
    assert tracks.canonical_json({"loopable": True}) == '{"loopable":true}'


def test_nested_nulls_are_dropped() -> None:
    assert tracks.canonical_json({"a": {"b": None, "c": [None, 1.5]}}) == '{"a":{"c":[null,1.5]}}'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_recipe_holds_no_infinite_number(value: float) -> None:
    with pytest.raises(ValueError, match="no infinite"):
        tracks.digest({"shift": value})


def test_text_is_normalised() -> None:
    assert tracks.clean_text(" cafe\u0301\r\nnight ") == "caf\u00e9\nnight"


def test_half_a_character_is_replaced() -> None:
    assert tracks.clean_text("a\ud800b") == "a\ufffdb"
    assert len(tracks.track_id({"prompt": tracks.clean_text("\udfff")})) == 16


def test_a_title_ends_at_a_word() -> None:
    title = tracks.default_title(
        "slow rainy jazz with a felt piano, brushes and an upright bass, 3am"
    )
    assert title == "slow rainy jazz with a felt piano, brushes and an upright"
    assert len(tracks.default_title("a" * 200)) == 60
