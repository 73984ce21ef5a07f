"""Parameters of methods: types, ranges, names."""

from __future__ import annotations

from typing import Any

import pytest

from lofi.errors import InvalidParams, MethodNotFound
from lofi.wire import calls, methods


def test_numbers_of_either_spelling_are_read() -> None:
    assert methods.parse("skip", {"count": 2.0}) == calls.Skip(2)
    assert methods.parse("seek", {"delta_sec": 5}) == calls.Seek(None, 5.0)


def test_names_starting_with_x_are_ignored() -> None:
    assert methods.parse("pause", {"x_trace": 1}) == calls.Nothing()


@pytest.mark.parametrize(
    ("method", "params", "param"),
    [
        ("volume_set", {"level": 1.01}, "level"),
        ("volume_set", {"level": True}, "level"),
        ("volume_set", {"level": "loud"}, "level"),
        ("play", {"path": "relative.wav"}, "path"),
        ("play", {"path": "/a\0b"}, "path"),
        ("play", {"path": "/\ud800"}, "path"),
        ("play", {"enqueue": "later"}, "enqueue"),
        ("cache_get", {}, "track_id"),
        ("cache_get", {"track_id": None}, "track_id"),
        ("cache_list", {"limit": -1}, "limit"),
        ("cache_delete", {"track_ids": ["a", 1]}, "track_ids"),
        ("queue_move", {"track_id": "a", "position": 0}, "position"),
        ("initialize", {"protocol": 1}, "protocol"),
        ("config_set", {"config": []}, "config"),
        ("waveform", {"track_id": "a", "columns": 7}, "columns"),
    ],
)
def test_wrong_values_name_the_parameter(method: str, params: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        methods.parse(method, params)
    assert caught.value.data["param"] == param
    assert caught.value.hint


def test_a_typo_gets_the_nearest_name() -> None:
    with pytest.raises(InvalidParams) as caught:
        methods.parse("play", {"trackid": "a"})
    assert caught.value.data["did_you_mean"] == "track_id"


def test_an_unknown_method() -> None:
    with pytest.raises(MethodNotFound):
        methods.parse("radio_start", {})


def test_every_method_can_be_read_without_optional_parameters() -> None:
    required: dict[str, dict[str, Any]] = {
        "queue_move": {"track_id": "a", "position": 1},
        "backend_select": {"backend": "a"},
        "cache_export": {"track_id": "a", "path": "/a"},
        "cache_import": {"path": "/a"},
        "download_backend": {"backend": "a"},
        "backend_verify": {"backend": "a"},
        "backend_remove": {"backend": "a", "confirm": True},
        "lm_inspire": {"query": "a"},
        "lm_format": {"prompt": "a"},
        **{
            name: {"track_id": "a"}
            for name in (
                "cache_get",
                "cache_favorite",
                "cache_update",
                "cache_recipe",
                "waveform",
                "lyrics_timing",
                "score",
            )
        },
    }
    for method in methods.METHODS:
        methods.parse(method, required.get(method, {}))
