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
            ModelLoadFailed: something is missing, or is not built as this planner is.
        """
        # newer writers keep the base with other rotary settings
        rotary = config.get("rope_parameters") or config.get("rope_scaling") or {}
        theta = config.get("rope_theta", rotary.get("rope_theta"))
        try:
            sizes = {name: int(config[name]) for name in _SIZES}
            found = cls(
                **sizes, rope_theta=float(theta), rms_norm_eps=float(config["rms_norm_eps"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelLoadFailed(
                f"The planner's config.json does not say {error}", hint="Replace the file."
            ) from error
        plain = (
            config.get("hidden_act", "silu") == "silu"
            and not config.get("attention_bias", False)
            and not config.get("use_sliding_window", False)
            and config.get("tie_word_embeddings", True)
        )
        if not plain or rotary.get("rope_type", "default") != "default":
            raise ModelLoadFailed(
                "The planner's config.json describes another kind of network",
                hint="Use an ACE-Step 5 Hz language model.",
            )
        return found

    @classmethod
    def load(cls, folder: Path) -> PlannerConfig:
        """Reads `config.json` of a checkpoint folder.

        Raises:
            ModelNotFound, ModelLoadFailed: there is none, or it is not this model's.
        """
        path = folder / "config.json"
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ModelNotFound(
                f"{path} is missing",
                hint="Put a 5 Hz language model there, or use lm_model = none.",
            ) from error
        except (OSError, ValueError) as error:
            raise ModelLoadFailed(f"{path} cannot be read: {error}") from error
        if not isinstance(config, dict):
            raise ModelLoadFailed(f"{path} holds no object", hint="Replace the file.")
        return cls.of(config)


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
