"""What each task shows the decoder: source latents, chunk mask, the part to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lofi.backends.ace_step_15.model import silence_frames

Task = Literal["text2music", "cover", "cover_nofsq", "repaint", "lego", "extract", "complete"]
BASE_TASKS = frozenset({"lego", "extract", "complete"})
WINDOW_TASKS = frozenset({"repaint", "lego"})
MaskMode = Literal["auto", "explicit"]


@dataclass(frozen=True, slots=True)
class Canvas:
    """What the decoder starts from, one item."""

    source: Tensor
    """[1, T, C]: goes into the context, through the 5 Hz codec first if `is_cover`."""
    chunk_mask: Tensor
    """[1, T] bool: the mask the decoder is shown."""
    repaint_mask: Tensor | None
    """[1, T] bool where new music goes; None for tasks without a window."""
    is_cover: bool


def canvas(
    task: Task,
    latents: Tensor | None,
    silence: Tensor,
    *,
    frames: int,
    windows: Sequence[tuple[int, int]] = (),
    has_codes: bool = False,
    mask_mode: MaskMode = "auto",
) -> Canvas:
    """The canvas of `frames` frames.

    Args:
        task: what is asked.
        latents: [1, T', C] of the source, or decoded from audio codes; padded with silence.
        silence: [1, S, C].
        windows: first and last + 1 frame of each stretch to generate, for repaint and lego;
            none is everything.
        has_codes: the latents come from audio codes, which makes text2music a cover.
        mask_mode: `auto` shows ones everywhere; `explicit` the window.
    """
    quiet = silence_frames(silence, frames)
    source = quiet if latents is None else _fitted(latents, quiet)
    everywhere = torch.ones(1, frames, dtype=torch.bool, device=source.device)
    if task not in WINDOW_TASKS:
        return Canvas(source, everywhere, None, task == "cover" or has_codes)
    mask = torch.zeros_like(everywhere)
    for start, stop in windows or [(0, frames)]:
        mask[:, start:stop] = True
    if task == "repaint":
        source = torch.where(mask[..., None], quiet.to(source), source)
    # the published `auto` means to say "you decide" but stores booleans: all ones
    return Canvas(source, mask if mask_mode == "explicit" else everywhere, mask, False)


def _fitted(latents: Tensor, quiet: Tensor) -> Tensor:
    """latents [1, T', C] cropped, or padded with the first frames of silence, to those of quiet."""
    missing = quiet.shape[1] - latents.shape[1]
    if missing <= 0:
        return latents[:, : quiet.shape[1]]
    return torch.cat((latents, quiet[:, :missing].to(latents)), dim=1)
