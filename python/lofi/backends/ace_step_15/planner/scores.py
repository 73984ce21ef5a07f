"""How well a caption, lyrics and metadata fit a run of codes, by what the model would have said."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from lofi.backends.ace_step_15.planner import prompts
from lofi.backends.ace_step_15.planner.codes import code_text
from lofi.backends.ace_step_15.planner.metadata import WRITTEN, missing, write_fields
from lofi.backends.ace_step_15.planner.network import Network
from lofi.backends.ace_step_15.planner.vocabulary import Vocabulary

Check = Callable[[], None]
WEIGHTS: Final = {"caption": 0.5, "lyrics": 0.3, "metadata": 0.2}
TOP: Final = 10
"""Ranks that earn points."""

SHARPNESS: Final = 0.1
"""The gain in mean log-probability at which a score passes 0.73."""


class Judge:
    """Reads texts it is told behind codes it is shown, and notes how likely it finds them."""

    def __init__(self, network: Network, vocabulary: Vocabulary, check: Check) -> None:
        self._network = network
        self._vocabulary = vocabulary
        self._check = check

    @torch.inference_mode()
    def logits(self, prompt: str, target: str) -> tuple[Tensor, Tensor]:
        """Returns what was predicted for each token of `target` [T, V], and those tokens [T]."""
        ids = self._vocabulary.encode(prompt + target)
        known = len(self._vocabulary.encode(prompt))
        device = self._network.device
        cache = self._network.cache(1, len(ids))
        hidden = self._network(torch.tensor([ids], device=device), cache, self._check)
        logits = self._network.head(hidden[0, known - 1 : -1]).float()
        return logits, torch.tensor(ids[known:], device=device)

    def likelihood(self, prompt: str, target: str) -> float:
        """Returns the mean log-probability of a token of `target` behind `prompt`."""
        logits, ids = self.logits(prompt, target)
        return float(logits.log_softmax(-1).gather(1, ids[:, None]).mean())

    def recall(self, prompt: str, target: str, top: int = TOP) -> float:
        """Returns the mean of 1 - (rank - 1) / top over the tokens among the `top` best, else 0."""
        logits, ids = self.logits(prompt, target)
        best = logits.topk(min(top, logits.shape[-1])).indices
        hits = best == ids[:, None]
        ranks = torch.arange(best.shape[1], device=best.device)
        return float(((1 - ranks / top) * hits).sum(-1).mean())

    def scores(
        self,
        codes: Sequence[int],
        *,
        caption: str,
        lyrics: str,
        metadata: Mapping[str, Any],
        top: int = TOP,
        sharpness: float = SHARPNESS,
    ) -> dict[str, float]:
        """Returns one score in 0..1 for each field that is there.

        Give numbers as numbers, the meter too: the model was trained on `timesignature: 4`.
        """
        heard = prompts.understand(code_text(codes))
        unheard = prompts.understand(prompts.NO_INPUT)
        found: dict[str, float] = {}
        for name in sorted(WRITTEN):
            if name != "caption" and not missing(metadata.get(name)):
                target = write_fields({name: metadata[name]}) + "\n"
                found[name] = self.recall(heard, target, top)
        targets = {}
        if caption:
            targets["caption"] = write_fields({"caption": caption}) + "\n"
        if lyrics:
            targets["lyrics"] = f"<think>\n</think>\n# Lyric\n{lyrics}\n"
        for name, target in targets.items():
            gain = self.likelihood(heard, target) - self.likelihood(unheard, target)
            found[name] = score_of_gain(gain, sharpness)
        return found


def score_of_gain(gain: float, sharpness: float = SHARPNESS) -> float:
    """Returns a gain in mean log-probability as a score in 0..1."""
    return 1 / (1 + math.exp(-gain / sharpness))


def overall(scores: Mapping[str, float]) -> float:
    """Returns the weighted mean of what is there, 0 for nothing."""
    fields = [score for name, score in scores.items() if name not in WEIGHTS]
    parts = {name: scores[name] for name in ("caption", "lyrics") if name in scores}
    if fields:
        parts["metadata"] = sum(fields) / len(fields)
    weight = sum(WEIGHTS[name] for name in parts)
    return sum(WEIGHTS[name] * score for name, score in parts.items()) / weight if weight else 0.0
