"""Sizes of the network, read from the checkpoint's own config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lofi.errors import ModelLoadFailed, ModelNotFound

SIZES: Final = ("0.6b", "1.7b", "4b")


@dataclass(frozen=True, slots=True)
class PlannerConfig:
    """A Qwen3 checkpoint whose vocabulary was extended by audio codes."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rope_theta: float
    rms_norm_eps: float
    max_position_embeddings: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> PlannerConfig:
        """Reads a published config.

        Raises:
            ModelLoadFailed: something is missing.
        """
        # newer writers keep the base with other rotary settings
        rotary = config.get("rope_parameters") or config.get("rope_scaling") or {}
        theta = config.get("rope_theta", rotary.get("rope_theta"))
        try:
            sizes = {name: int(config[name]) for name in _SIZES}
            return cls(**sizes, rope_theta=float(theta), rms_norm_eps=float(config["rms_norm_eps"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelLoadFailed(
                f"The planner's config.json does not say {error}", hint="Replace the file."
            ) from error


def is_plain(config: Mapping[str, Any]) -> bool:
    """Says whether a checkpoint is built as all published planners are."""
    rotary = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return (
        config.get("hidden_act", "silu") == "silu"
        and not config.get("attention_bias", False)
        and not config.get("use_sliding_window", False)
        and bool(config.get("tie_word_embeddings", True))
        and rotary.get("rope_type", "default") == "default"
    )


def read_config(folder: Path) -> dict[str, Any]:
    """Reads `config.json` of a checkpoint folder.

    Raises:
        ModelNotFound, ModelLoadFailed: there is none, or it is no Qwen3's.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelNotFound(
            f"{path} is missing", hint="Put a 5 Hz language model there, or use lm_model = none."
        ) from error
    except (OSError, ValueError) as error:
        raise ModelLoadFailed(f"{path} cannot be read: {error}", hint="Replace it.") from error
    if not isinstance(config, dict) or config.get("model_type", "qwen3") != "qwen3":
        raise ModelLoadFailed(
            f"{path} describes another kind of network",
            hint="Use an ACE-Step 5 Hz language model.",
        )
    return config


_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
)
