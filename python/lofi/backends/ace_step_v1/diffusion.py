"""The diffusion of one request: which loop, on which canvas, with which noise, for each task."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lofi.backends.ace_step_v1 import flow_edit
from lofi.backends.ace_step_v1.conditions import Condition, branches, edit_branches
from lofi.backends.ace_step_v1.config import (
    LATENT_CHANNELS,
    LATENT_HEIGHT,
    MAX_FRAMES,
    frames_within,
)
from lofi.backends.ace_step_v1.noise import Noise
from lofi.backends.ace_step_v1.request import Request
from lofi.backends.ace_step_v1.sampling import (
    denoise,
    extend_canvas,
    from_reference,
    inpaint,
    mixed,
    repaint_canvas,
)
from lofi.backends.ace_step_v1.schedulers import Schedule, schedule
from lofi.backends.ace_step_v1.transformer import Transformer
from lofi.backends.ace_step_v1.velocity import Velocities
from lofi.worker.backend import Check

Latents = Generator[Tensor, None, Tensor]
"""Yields the latents after each evaluation (heun has two a step) and returns the result."""


@dataclass(frozen=True, slots=True)
class Task:
    """All that a diffusion starts from."""

    request: Request
    condition: Condition
    frames: int
    """Of text to music and retake; the source's length counts elsewhere."""
    source: Tensor | None = None
    """[1, 8, 16, T] float32 latents."""
    source_condition: Condition | None = None
    """How the source of an edit is described."""
    left_frames: int = 0
    right_frames: int = 0

    def section(self) -> tuple[int, int]:
        """Returns the frames that repaint makes anew."""
        assert self.source is not None
        total = self.source.shape[-1]
        stop = self.request.stop_sec
        start = min(frames_within(self.request.start_sec), total - 1)
        end = total if stop is None else min(total, frames_within(stop))
        return start, max(end, start + 1)

    def passes(self) -> list[tuple[int, int]]:
        """Returns left and right frames of each pass of extend: both at once where that fits."""
        assert self.source is not None
        left, right = self.left_frames, self.right_frames
        if left and right and left + self.source.shape[-1] + right > MAX_FRAMES:
            return [(0, right), (left, 0)]
        return [(left, right)]

    def total_steps(self) -> int:
        """Returns how many steps the diffusion takes."""
        request = self.request
        if request.task == "audio2audio":
            return int((1 - request.strength) * request.steps)
        if request.task == "edit":
            return request.steps - int(request.steps * request.span.begin)
        steps = len(request.oss_steps) or request.steps
        if request.task == "extend":
            return steps * len(self.passes())
        if request.task == "repaint" and not self.repaints_all():
            return steps - int(steps * (1 - request.variance))
        return steps

    def repaints_all(self) -> bool:
        """Whether nothing of the source would be left to fit to."""
        assert self.source is not None
        return self.section() == (0, self.source.shape[-1])


def _inpaint_plan(request: Request) -> Schedule:
    # the steps are euler's; a heun schedule would only ask twice at each level
    kind = "euler" if request.scheduler == "heun" else request.scheduler
    return schedule(kind, request.steps, chosen=request.oss_steps)


class Diffusion:
    """Runs one task on a transformer. Calling it again begins anew with the same noise."""

    def __init__(
        self,
        model: Transformer,
        task: Task,
        make_noise: Callable[[], Noise],
        *,
        together: bool,
        check: Check,
    ) -> None:
        """
        Args:
            together: evaluate the branches of a guided step as one batch.
        """
        self._model = model
        self._task = task
        self._request = task.request
        self._noise = make_noise()
        self._together = together
        self._check = check

    def run(self) -> Latents:
        """Yields the latents after each evaluation, returns the finished ones."""
        return {
            "text2music": self._text2music,
            "retake": self._retake,
            "repaint": self._repaint,
            "extend": self._extend,
            "edit": self._edit,
            "audio2audio": self._audio2audio,
        }[self._request.task]()

    def _text2music(self) -> Latents:
        return (yield from self._denoised(self._initial(self._task.frames)))

    def _retake(self) -> Latents:
        frames = self._task.frames
        noise = mixed(self._initial(frames), self._second(frames), self._request.variance)
        return (yield from self._denoised(noise))

    def _repaint(self) -> Latents:
        source = self._source()
        variance = self._request.variance
        noise, other = self._initial(source.shape[-1]), self._second(source.shape[-1])
        if self._task.repaints_all():
            # a retake of the source's length, as in the original
            return (yield from self._denoised(mixed(noise, other, variance)))
        canvas = repaint_canvas(source, noise, other, *self._task.section(), variance)
        plan = _inpaint_plan(self._request)
        velocities = self._velocities(plan)
        return (
            yield from _last(inpaint(canvas, plan, velocities, self._request.guidance, variance))
        )

    def _extend(self) -> Latents:
        latents = self._source()
        plan = _inpaint_plan(self._request)
        velocities = self._velocities(plan)
        for left, right in self._task.passes():
            # at most as long as the model was made for; what lies further off stays as it is
            near = max(1, min(latents.shape[-1], MAX_FRAMES - left - right))
            far = latents.shape[-1] - near
            window = latents[..., far:] if right else latents[..., :near]
            noise, second = self._initial(near), self._second(near)
            before = second[..., :left] if left <= near else self._second(left)
            after = second[..., near - right :] if right <= near else self._second(right)
            canvas = extend_canvas(window, noise, before, after)
            made = yield from _last(
                inpaint(canvas, plan, velocities, self._request.guidance, variance=1.0)
            )
            parts = (latents[..., :far], made) if right else (made, latents[..., near:])
            latents = torch.cat(parts, dim=-1)
        return latents

    def _audio2audio(self) -> Latents:
        source = self._source()
        request = self._request
        reference = from_reference(
            source,
            self._initial(source.shape[-1]),
            request.scheduler,
            request.steps,
            request.strength,
        )
        if reference.plan is None:
            return reference.start
        return (yield from self._denoised(reference.start, reference.plan))

    def _edit(self) -> Latents:
        request, model = self._request, self._model
        given = self._task.source_condition
        assert given is not None
        plan = schedule("euler", request.steps)
        source, target = (
            Velocities(
                model,
                edit_branches(model, condition.to(model.device), request.guidance, self._check),
                plan.timesteps,
                together=self._together,
                check=self._check,
            )
            for condition in (given, self._task.condition)
        )
        return (
            yield from _last(
                flow_edit.edit(
                    self._source(),
                    plan,
                    source,
                    target,
                    request.guidance.scale,
                    request.span,
                    self._noise.forward,
                )
            )
        )

    def _denoised(self, x: Tensor, plan: Schedule | None = None) -> Latents:
        request = self._request
        plan = plan or schedule(request.scheduler, request.steps, chosen=request.oss_steps)
        velocities = self._velocities(plan)
        return (
            yield from _last(
                denoise(
                    x, plan, velocities, request.guidance, request.omega_scale, self._noise.step
                )
            )
        )

    @torch.inference_mode()
    def _velocities(self, plan: Schedule) -> Velocities:
        model, request = self._model, self._request
        condition = self._task.condition.to(model.device)
        return Velocities(
            model,
            branches(model, condition, request.guidance, request.erg, self._check),
            plan.timesteps,
            together=self._together,
            weak_null=request.erg.diffusion and request.guidance.is_on,
            check=self._check,
        )

    def _source(self) -> Tensor:
        assert self._task.source is not None
        return self._task.source.to(self._model.device)

    def _initial(self, frames: int) -> Tensor:
        return self._noise.initial(_shape(frames)).to(self._model.device)

    def _second(self, frames: int) -> Tensor:
        return self._noise.retake(_shape(frames)).to(self._model.device)


def _shape(frames: int) -> tuple[int, ...]:
    return 1, LATENT_CHANNELS, LATENT_HEIGHT, frames


def _last(latents: Iterator[Tensor]) -> Latents:
    result: Tensor | None = None
    for result in latents:
        yield result
    assert result is not None
    return result
