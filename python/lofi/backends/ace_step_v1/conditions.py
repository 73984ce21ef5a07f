"""What the transformer is told: prompt and lyrics, and the branches guidance sets them against."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lofi.backends.ace_step_v1.guidance import Guidance
from lofi.backends.ace_step_v1.transformer import Memory, Transformer
from lofi.worker.backend import Check


@dataclass(frozen=True, slots=True)
class Condition:
    """Encoded text and tokenised lyrics of B items."""

    text_states: Tensor
    """[B, Lt, 768]."""
    text_mask: Tensor
    """[B, Lt], 1 for a real token."""
    lyric_ids: Tensor
    """[B, Ll]."""
    lyric_mask: Tensor
    """[B, Ll]."""
    null_states: Tensor | None = None
    """[B, Lt, 768]: the same text levelled, or None where the unconditional text is zero."""
    negative_states: Tensor | None = None
    """[B, Ln, 768]: a text to move away from; it stands before `null_states`."""
    speaker: Tensor | None = None
    """[B, 512]."""

    def to(self, device: torch.device) -> Condition:
        """Returns the same on `device`."""

        def moved(part: Tensor | None) -> Tensor | None:
            return None if part is None else part.to(device)

        return Condition(
            self.text_states.to(device),
            self.text_mask.to(device),
            self.lyric_ids.to(device),
            self.lyric_mask.to(device),
            moved(self.null_states),
            moved(self.negative_states),
            moved(self.speaker),
        )


@dataclass(frozen=True, slots=True)
class Erg:
    """Which parts of the unconditional branch are weakened instead of emptied."""

    lyric: bool = False
    diffusion: bool = False


def branches(
    model: Transformer, condition: Condition, guidance: Guidance, erg: Erg, check: Check
) -> Memory:
    """Returns the branches stacked: conditional, [text only,] unconditional; B items each."""
    parts = [_conditional(model, condition, check)]
    if guidance.is_double:
        parts.append(_without_lyrics(model, condition, erg, check))
    if guidance.is_on:
        parts.append(_unconditional(model, condition, erg, check))
    return model.remember(*_stacked(parts), check)


def edit_branches(
    model: Transformer, condition: Condition, guidance: Guidance, check: Check
) -> Memory:
    """Returns conditional and unconditional branch of flow edit, whose null lyrics are hidden."""
    parts = [_conditional(model, condition, check)]
    if guidance.is_on:
        parts.append(
            model.encode(
                torch.zeros_like(condition.text_states),
                condition.text_mask,
                torch.zeros_like(condition.lyric_ids),
                torch.zeros_like(condition.lyric_mask),
                check=check,
            )
        )
    return model.remember(*_stacked(parts), check)


def _conditional(model: Transformer, given: Condition, check: Check) -> tuple[Tensor, Tensor]:
    return model.encode(
        given.text_states,
        given.text_mask,
        given.lyric_ids,
        given.lyric_mask,
        speaker=given.speaker,
        check=check,
    )


def _without_lyrics(
    model: Transformer, given: Condition, erg: Erg, check: Check
) -> tuple[Tensor, Tensor]:
    # the mask stays the conditional one in either case
    ids = given.lyric_ids if erg.lyric else torch.zeros_like(given.lyric_ids)
    return model.encode(
        given.text_states,
        given.text_mask,
        ids,
        given.lyric_mask,
        weak_lyrics=erg.lyric,
        check=check,
    )


def _unconditional(
    model: Transformer, given: Condition, erg: Erg, check: Check
) -> tuple[Tensor, Tensor]:
    states, mask = torch.zeros_like(given.text_states), given.text_mask
    if given.negative_states is not None:
        states = given.negative_states
        mask = mask.new_ones(states.shape[:2])
    elif erg.lyric and given.null_states is not None:
        # the levelled text takes part only together with the levelled lyrics
        states = given.null_states
    ids = given.lyric_ids if erg.lyric else torch.zeros_like(given.lyric_ids)
    return model.encode(states, mask, ids, given.lyric_mask, weak_lyrics=erg.lyric, check=check)


def _stacked(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Stacks tokens [B, S, C] and masks [B, S]; shorter ones get hidden tokens at the end."""
    longest = max(tokens.shape[1] for tokens, _ in parts)
    tokens = [F.pad(part, (0, 0, 0, longest - part.shape[1])) for part, _ in parts]
    masks = [F.pad(mask, (0, longest - mask.shape[1])) for _, mask in parts]
    return torch.cat(tokens), torch.cat(masks)
