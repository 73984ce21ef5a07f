"""Lyric timing and score of a finished track: one pass of the decoder over its latents."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lofi.backends.ace_step_15 import alignment, prompt
from lofi.backends.ace_step_15.config import HOP, SAMPLE_RATE
from lofi.backends.ace_step_15.model import AceStep
from lofi.backends.ace_step_15.rendering import Rendering
from lofi.backends.ace_step_15.text import LYRIC_LIMIT
from lofi.errors import InvalidLyrics
from lofi.worker.backend import Check, Event, Phase, Step
from lofi.worker.device import name_of

DEFAULT_STEPS = 8


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the lyrics are in a track."""

    lines: list[alignment.Line]
    score: alignment.Score


def lyric_timing(
    rendering: Rendering, latents: Tensor, check: Check
) -> Generator[Event, None, Timing]:
    """Yields phases and steps, returns the timing of the request's lyrics in `latents` [1, T, C].

    Raises:
        InvalidLyrics: the request has no lyrics.
    """
    request, stages = rendering.request, rendering.stages
    if request.sung == prompt.INSTRUMENTAL:
        raise InvalidLyrics("The track has no lyrics", hint="Only sung tracks can be timed.")
    yield from rendering.encode_words()
    yield Phase("decoding", 1, stages.device("dit"), name_of(stages.dtype("dit")))
    tokenizer = stages.tokenizer
    lyrics = prompt.lyric_prompt(request.sung, request.language)
    ids = tokenizer.ids(lyrics, LYRIC_LIMIT)
    start = len(tokenizer.bare_ids(prompt.lyric_header(request.language)))
    stop = ids.index(tokenizer.end_id)
    with stages.use("dit") as model:
        maps = _maps(model, rendering, latents, check)[:, start:stop]
    yield Step(1, 1)
    texts = alignment.token_texts(ids[start:stop], tokenizer.text)
    duration_sec = maps.shape[-1] * model.config.patch * HOP / SAMPLE_RATE
    gain = alignment.consensus(maps).double().numpy()
    starts, ends = alignment.token_times(gain, duration_sec)
    energy = alignment.energy(maps)
    path = alignment.warped(np.square(energy))
    judged = alignment.score(energy, alignment.sung_rows(texts), path)
    return Timing(alignment.lines(texts, starts, ends), judged)


@torch.inference_mode()
def _maps(model: AceStep, rendering: Rendering, latents: Tensor, check: Check) -> Tensor:
    """Attention of the heads that follow lyrics, [n, rows, patches] on the CPU."""
    heads = model.config.alignment_heads
    device = torch.device(rendering.stages.device("dit"))
    silence = rendering.stages.silence.to(device)
    view = rendering.diffusion.main_view(model, silence)
    request = rendering.request
    steps = len(request.timesteps) or request.steps or DEFAULT_STEPS
    t = 1 / steps
    x = t * rendering.diffusion.noise(request.seed, device) + (1 - t) * rendering.diffusion.fitted(
        latents, silence
    )
    times = torch.full((1,), t, device=device)
    maps = model.decoder.lyric_attention(x, view.context, view.memory, times, max(heads) + 1, check)
    return alignment.chosen_heads(maps, heads).cpu()
