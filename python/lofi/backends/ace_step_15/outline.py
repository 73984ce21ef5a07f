"""What a request comes to before anything is computed: its length, its windows, its prompts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import Tensor

from lofi.backends.ace_step_15 import lengths, prompt, sources
from lofi.backends.ace_step_15.config import CODES_PER_SEC, HOP, SAMPLE_RATE, ModelConfig
from lofi.backends.ace_step_15.request import Audio, Request, resolved
from lofi.backends.ace_step_15.tasks import Task
from lofi.errors import InvalidParams
from lofi.worker.backend import Notice

_TASKS: dict[str, Task] = {
    "retake": "text2music",
    "edit": "text2music",
    "extend": "repaint",
    "audio2audio": "cover_nofsq",
}


@dataclass(slots=True)
class Sounds:
    """The sounds that go in."""

    audio: Audio | None = None
    """The source, padded to hold its window."""
    latents: Tensor | None = None
    """[1, T, C] of it."""
    references: Tensor | None = None
    """[N, 750, C]."""
    windows_sec: list[tuple[float, float]] = field(default_factory=list)
    windows: list[tuple[int, int]] = field(default_factory=list)


class Outline:
    """One request, resolved for a checkpoint.

    Raises:
        LofiError: the checkpoint cannot do it, or something it needs is not there.
    """

    def __init__(self, request: Request, config: ModelConfig) -> None:
        self.request = resolved(request, config)
        self._config = config
        self.task: Task = _TASKS.get(request.task, request.task)  # type: ignore[arg-type]
        self.sounds = Sounds()
        self.notices: list[Notice] = []
        self.samples = self._length()
        """Samples of the finished track."""
        self.frames = lengths.padded_frames(-(-self.samples // HOP))
        """Latent frames made; what is beyond `samples` is trimmed."""
        self.sounds.windows = [self._frames_of(span) for span in self.sounds.windows_sec]

    def _length(self) -> int:
        """Samples of the finished track; the source's windows on the way."""
        request, sounds = self.request, self.sounds
        if request.source is None and request.source_latents is None:
            return self._length_without_source()
        count = (
            len(request.source) if request.source is not None else len(request.source_latents) * HOP  # type: ignore[arg-type]
        )
        sounds.audio = request.source
        left = right = 0
        if request.task == "extend":
            left = round(request.extend_left_sec * SAMPLE_RATE)
            right = round(request.extend_right_sec * SAMPLE_RATE)
            total = (left + count + right) / SAMPLE_RATE
            inner = (left / SAMPLE_RATE, (left + count) / SAMPLE_RATE)
            sounds.windows_sec = [
                span for span in ((0.0, inner[0]), (inner[1], total)) if span[1] > span[0]
            ]
            if not sounds.windows_sec:
                raise InvalidParams(
                    "extend needs extend_left_sec or extend_right_sec", param="extend_right_sec"
                )
        elif self.task in ("repaint", "lego"):
            window = lengths.window_in(count, request.start_sec, request.end_sec)
            if window.end_sec <= window.start_sec:
                raise InvalidParams(
                    f"The window ends at {window.end_sec:g} s, where it begins or before",
                    hint="repaint_start and repaint_end are seconds of the source.",
                    param="repaint_end",
                )
            left, right = window.left_samples, window.right_samples
            sounds.windows_sec = [(window.start_sec, window.end_sec)]
        if sounds.audio is not None:
            sounds.audio = sources.padded(sounds.audio, left, right)
        return left + count + right

    def _length_without_source(self) -> int:
        request = self.request
        samples = lengths.exact_samples(request.duration_sec)
        planned = math.ceil(round(request.duration_sec * CODES_PER_SEC, 6))
        if request.codes and len(request.codes) != planned:
            seconds = len(request.codes) / CODES_PER_SEC
            self.notices.append(
                Notice(
                    "PARAM_ADJUSTED",
                    f"{len(request.codes)} audio codes are {seconds:g} s of music",
                    "duration_sec",
                )
            )
            return lengths.exact_samples(seconds)
        return samples

    def prompts(self) -> dict[str, tuple[str, str]]:
        """Text and lyric prompt of each condition: `main`, and `plain` or `source` if needed."""
        request, config = self.request, self._config
        task = "cover" if request.codes and self.task == "text2music" else self.task
        instruction = request.instruction or prompt.instruction_for(task, request.tracks)
        caption = request.prompt
        if config.is_lego_sft and self.task == "lego":
            caption = prompt.lego_caption(
                caption,
                request.global_prompt,
                instruction,
                chunk_mask_mode=request.mask_mode,
            )
        metas = prompt.Metas(
            request.bpm,
            request.keyscale,
            request.timesignature,
            self.samples / SAMPLE_RATE,
        )
        lyrics = prompt.lyric_prompt(request.sung, request.language)
        found = {"main": (prompt.text_prompt(instruction, caption, metas), lyrics)}
        plain = prompt.instruction_for("text2music")
        if request.cover_strength < 1:
            found["plain"] = (prompt.text_prompt(plain, caption, metas), lyrics)
        if request.edit is not None:
            sung = request.edit.lyrics.strip() or prompt.INSTRUMENTAL
            found["source"] = (
                prompt.text_prompt(plain, request.edit.prompt, metas),
                prompt.lyric_prompt(sung, request.language),
            )
        return found

    def _frames_of(self, span: tuple[float, float]) -> tuple[int, int]:
        """A window in latent frames; what begins or ends a track takes cut frames whole."""
        start, stop = (lengths.frame_at(seconds) for seconds in span)
        if self.request.task == "extend" and span[0] == 0:
            stop = math.ceil(round(span[1] * SAMPLE_RATE / HOP, 6))
        if round(span[1] * SAMPLE_RATE) >= self.samples:
            stop = self.frames
        start = min(max(0, start), self.frames - 1)
        return start, min(max(start + 1, stop), self.frames)
