"""From prompts, sounds and noise to latents: what the decoder looks at, and its steps."""

from __future__ import annotations

from collections.abc import Callable, Generator

import torch
from torch import Tensor

from lofi.backends.ace_step_15 import repaint
from lofi.backends.ace_step_15.codes import codes_tensor
from lofi.backends.ace_step_15.flow_edit import Edit, flow_edit
from lofi.backends.ace_step_15.model import AceStep, context_latents, silence_frames
from lofi.backends.ace_step_15.outline import Outline
from lofi.backends.ace_step_15.request import Request, draws, subseed
from lofi.backends.ace_step_15.sampler import (
    Guidance,
    Sampling,
    Switch,
    View,
    from_source,
    sample,
    varied,
)
from lofi.backends.ace_step_15.schedule import edit_schedule, schedule_for
from lofi.backends.ace_step_15.stages import Stages
from lofi.backends.ace_step_15.tasks import Canvas, canvas
from lofi.worker.backend import Check, Event, Phase, Step
from lofi.worker.device import name_of

REFERENCE_FRAMES = 750
Encoded = Callable[[str], tuple[Tensor, Tensor]]
"""A prompt's name to its hidden states and the embeddings of its lyrics, [1, S, C] each."""


def strength_of(request: Request) -> repaint.RepaintStrength:
    """How firmly the request holds what lies outside its windows."""
    return repaint.repaint_strength(request.repaint_mode, request.repaint_strength)


class Diffusion:
    """The decoder's part of one rendering."""

    def __init__(self, outline: Outline, stages: Stages, encoded: Encoded, check: Check) -> None:
        self._outline = outline
        self._stages = stages
        self._encoded = encoded
        self._check = check

    def _phase(self, steps: int) -> Phase:
        device, dtype = self._stages.device("dit"), self._stages.dtype("dit")
        return Phase("diffusion", steps, device, name_of(dtype))

    @torch.inference_mode()
    def sampled(self, model: AceStep) -> Generator[Event, None, Tensor]:
        """Yields phase and steps, returns the latents [1, T, C] on the CPU."""
        request, config = self._outline.request, model.config
        device = torch.device(self._stages.device("dit"))
        silence = self._stages.silence.to(device)
        drawn = self.canvas(model, silence)
        view = self._view(model, "main", self._context(model, drawn, silence))
        noise = self.noise(request.seed, device)
        if request.retake is not None:
            other = self.noise(request.retake.seed, device)
            noise = varied(noise, other, request.retake.variance)
        assert request.guidance is not None and request.shift is not None
        if request.edit is not None:
            latents = yield from self._edited(model, view, silence, device)
            return latents.cpu()
        times = request.timesteps
        if times and not config.is_turbo and times[-1] != 0:
            times = (*times, 0.0)  # the end point, which a request leaves out
        schedule = schedule_for(
            is_turbo=config.is_turbo, steps=request.steps, shift=request.shift, times=times
        )
        schedule, start = from_source(
            schedule,
            noise,
            self.fitted(self._outline.sounds.latents, silence),
            request.cover_noise_strength,
        )
        switch = None
        if request.cover_strength < 1:
            quiet = silence_frames(silence, self._outline.frames)
            plain = self._view(model, "plain", context_latents(quiet, drawn.chunk_mask))
            switch = Switch(request.cover_strength, plain)
        options = Sampling(
            schedule,
            solver=request.solver,
            guidance=request.guidance,
            norm_threshold=request.norm_threshold,
            ema=request.ema,
            wavelet=request.wavelet,
            repaint=self._held(drawn, silence),
            switch=switch,
        )
        yield self._phase(schedule.steps)
        generator = draws(subseed(request.seed, "steps"))
        steps = sample(
            model.decoder,
            noise,
            view,
            options,
            draw=lambda _: self._drawn(generator, device),
            start=start,
            check=self._check,
        )
        latents = yield from _counted(steps, schedule.steps)
        return latents.cpu()

    def _edited(
        self, model: AceStep, view: View, silence: Tensor, device: torch.device
    ) -> Generator[Event, None, Tensor]:
        request = self._outline.request
        edit, guidance = request.edit, request.guidance
        assert edit is not None and guidance is not None and request.shift is not None
        schedule = edit_schedule(
            steps=request.steps or 0, shift=request.shift, times=request.timesteps
        )
        first = int(schedule.steps * edit.n_min)
        yield self._phase(schedule.steps - first)
        seed = request.retake.seed if request.retake is not None else request.seed
        generator = draws(seed)
        steps = flow_edit(
            model.decoder,
            self.fitted(self._outline.sounds.latents, silence),
            self._view(model, "source", view.context),
            view,
            Sampling(
                schedule,
                guidance=Guidance(guidance.scale, False, guidance.start, guidance.end),
                norm_threshold=request.norm_threshold,
                ema=request.ema,
            ),
            Edit(edit.n_min, edit.n_max, edit.n_avg),
            fresh=lambda: self._drawn(generator, device),
            check=self._check,
        )
        return (yield from _counted(steps, schedule.steps - first))

    def canvas(self, model: AceStep, silence: Tensor) -> Canvas:
        """Source latents and masks of the task."""
        request = self._outline.request
        material = self._outline.sounds.latents
        if request.edit is not None:
            material = None  # both prompts of an edit look at silence
        if request.codes:
            codes = codes_tensor(request.codes, silence.device)
            material = model.decode_codes(codes, self._check)
        elif material is not None:
            material = material.to(silence)
        return canvas(
            self._outline.task,
            material,
            silence,
            frames=self._outline.frames,
            windows=self._outline.sounds.windows,
            has_codes=bool(request.codes),
            mask_mode=request.mask_mode,
        )

    def _context(self, model: AceStep, drawn: Canvas, silence: Tensor) -> Tensor:
        source = drawn.source
        if drawn.is_cover and not self._outline.request.codes:
            source = model.hints(source, silence, self._check)
        mask = drawn.chunk_mask
        if self._outline.request.chunk_mask is not None:
            mask = torch.zeros_like(mask)
            given = self._outline.request.chunk_mask[: self._outline.frames].to(mask.device)
            mask[0, : len(given)] = given.bool()
        return context_latents(source, mask)

    def main_view(self, model: AceStep, silence: Tensor) -> View:
        """What the decoder looks at under the request's own prompt."""
        return self._view(model, "main", self._context(model, self.canvas(model, silence), silence))

    def fitted(self, latents: Tensor | None, silence: Tensor) -> Tensor:
        """latents [1, T', C] at the rendering's length, silence where there are none."""
        quiet = silence_frames(silence, self._outline.frames)
        if latents is None:
            return quiet
        latents = latents[:, : self._outline.frames].to(silence)
        return torch.cat((latents, quiet[:, : self._outline.frames - latents.shape[1]]), dim=1)

    def _held(self, drawn: Canvas, silence: Tensor) -> repaint.Repaint | None:
        if drawn.repaint_mask is None:
            return None
        strength = strength_of(self._outline.request)
        frames = self._outline.request.crossfade_frames
        return repaint.Repaint(
            drawn.repaint_mask,
            self.fitted(self._outline.sounds.latents, silence),
            strength.injection_ratio,
            strength.crossfade_frames if frames is None else frames,
        )

    def _view(self, model: AceStep, name: str, context: Tensor) -> View:
        """What the decoder looks at under the prompt `name`."""
        text, lyrics = (
            tensor.to(context.device, model.decoder.dtype) for tensor in self._encoded(name)
        )
        references = self._outline.sounds.references
        if references is None:
            references = silence_frames(self._stages.silence, REFERENCE_FRAMES)
        references = references.to(context.device, model.decoder.dtype)
        rows, _ = model.encoder(
            text,
            torch.ones(text.shape[:2], dtype=torch.bool, device=text.device),
            lyrics,
            torch.ones(lyrics.shape[:2], dtype=torch.bool, device=text.device),
            references,
            torch.zeros(len(references), dtype=torch.int64),
            self._check,
        )
        null = None
        assert self._outline.request.guidance is not None
        if self._outline.request.guidance.scale > 1:
            null = model.decoder.remember(model.null_condition_emb, self._check)
        return View(model.decoder.remember(rows, self._check), context, null)

    def noise(self, seed: int, device: torch.device) -> Tensor:
        """The starting noise of `seed`, [1, T, C]."""
        return self._drawn(draws(seed), device)

    def _drawn(self, generator: torch.Generator, device: torch.device) -> Tensor:
        channels = self._stages.bundle.config.latent_channels
        return torch.randn(1, self._outline.frames, channels, generator=generator).to(device)


def _counted(steps: Generator[int, None, Tensor], total: int) -> Generator[Event, None, Tensor]:
    """Turns the counts of a sampler into steps."""
    while True:
        try:
            done = next(steps)
        except StopIteration as end:
            latents: Tensor = end.value
            return latents
        yield Step(done, total)
