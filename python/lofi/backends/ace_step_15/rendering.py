"""One rendering from words and sounds to latents and on to samples, stage by stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from lofi.backends.ace_step_15 import lengths, prompt, repaint, sound, sources, tiles
from lofi.backends.ace_step_15.codes import codes_tensor
from lofi.backends.ace_step_15.config import CODES_PER_SEC, HOP, SAMPLE_RATE
from lofi.backends.ace_step_15.flow_edit import Edit, flow_edit
from lofi.backends.ace_step_15.model import AceStep, context_latents, silence_frames
from lofi.backends.ace_step_15.request import Audio, Request, draws, resolved, subseed
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
from lofi.backends.ace_step_15.stages import StageName, Stages
from lofi.backends.ace_step_15.tasks import Canvas, Task, canvas
from lofi.backends.ace_step_15.text import LYRIC_LIMIT, TEXT_LIMIT, TextEncoder
from lofi.errors import InvalidParams
from lofi.worker.backend import Check, Event, Notice, Phase, Sound, Step, Stretch
from lofi.worker.device import name_of
from lofi.worker.memory import Footing, Limits, withstand

T = TypeVar("T")
SMALLEST_TILE_FRAMES = 32
REFERENCE_FRAMES = 750
TARGET_PEAK = 10 ** (-1 / 20)
HEADROOM = 1.5
"""How much louder the rest of a track may be than its first stretch, for the provisional gain."""
_SILENT = 1e-4
_TASKS: dict[str, Task] = {
    "retake": "text2music",
    "edit": "text2music",
    "extend": "repaint",
    "audio2audio": "cover_nofsq",
}


@dataclass(frozen=True, slots=True)
class Means:
    """What a rendering may use."""

    stages: Stages
    tile_frames: int
    """Latent frames decoded at once."""
    encode_frames: int
    may_use_cpu: bool
    words: dict[tuple[str, str], tuple[Tensor, Tensor]]
    """Encoded prompts by text and lyric prompt; takes of one request share them."""


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


class Rendering:
    """The state of one request on its way through the stages."""

    def __init__(
        self, request: Request, means: Means, check: Check, latents_path: Path | None = None
    ) -> None:
        self.request = resolved(request, means.stages.bundle.config)
        self._means = means
        self.stages = means.stages
        self._check = check
        self._latents_path = latents_path
        self.task: Task = _TASKS.get(request.task, request.task)  # type: ignore[arg-type]
        self.sounds = Sounds()
        self.latents = torch.empty(0)
        """[1, T, C] once the diffusion is over."""
        self._notices: list[Notice] = []
        self.samples = self._length()
        frames = -(-self.samples // HOP)
        self.frames = lengths.padded_frames(frames)
        """Latent frames made; what is beyond `samples` is trimmed."""

    def events(self) -> Iterator[Event]:
        """Renders: phases and steps, one `Sound`, its stretches."""
        yield self._phase("encoding", "text")
        yield from self._notices
        yield from self.encode_words()
        yield from self.encode_sounds()
        yield from self.diffuse()
        if self._latents_path is not None:
            self._keep_latents(self._latents_path)
        yield from self.decode()

    @property
    def encode_frames(self) -> int:
        """Latent frames encoded at once."""
        return self._means.encode_frames

    @property
    def rows(self) -> int:
        """Rows of text and lyrics that the decoder will attend to."""
        text, lyrics = self.prompts()["main"]
        tokenizer = self.stages.tokenizer
        return len(tokenizer.ids(text, TEXT_LIMIT)) + len(tokenizer.ids(lyrics, LYRIC_LIMIT))

    # Lengths and words ---------------------------------------------------------------------------

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
            self._notices.append(
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
        request, config = self.request, self.stages.bundle.config
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

    # Stages --------------------------------------------------------------------------------------

    def _phase(self, name: str, stage: StageName, total: int = 0) -> Phase:
        stages = self.stages
        return Phase(name, total, stages.device(stage), name_of(stages.dtype(stage)))  # type: ignore[arg-type]

    def _survive(
        self,
        stage: StageName,
        doing: str,
        attempt: Callable[[Footing], Iterator[Event]],
        tile_frames: int = 0,
    ) -> Iterator[Event]:
        """Runs a stage, falling back when memory runs out."""

        def on(footing: Footing) -> Iterator[Event]:
            self.stages.stand(stage, footing, self._check)
            yield from attempt(footing)

        needs = {
            need.module: need
            for need in self.stages.needs(self.frames, tile_frames or 1, self.rows)
        }
        yield from withstand(
            doing,
            on,
            Footing(self.stages.device(stage), self.stages.residency, tile_frames),
            Limits(SMALLEST_TILE_FRAMES, self._means.may_use_cpu, has_tiles=tile_frames > 0),
            needed_bytes=needs[stage].weight_bytes + needs[stage].working_bytes,
            smaller="Ask for a shorter track, a smaller variant, or model.offload = sequential.",
        )

    def _finite(
        self, stage: StageName, compute: Callable[[], Generator[Event, None, T]],
        tensors: Callable[[T], list[Tensor]], *, silence: bool = False,
    ) -> Generator[Event, None, T]:  # fmt: skip
        """Computes, and once more in float32 if numbers are missing."""
        while True:
            result = yield from compute()
            problem = _problem(tensors(result), silence=silence)
            if problem is None:
                return result
            yield self.stages.widen(stage, problem, self._check)

    @torch.inference_mode()
    def encode_words(self) -> Iterator[Event]:
        """Runs the prompts through the text encoder; those seen before are still there."""
        words = self._means.words
        wanted = [pair for pair in self.prompts().values() if pair not in words]
        yield from self._cuts()
        if not wanted:
            return

        def compute() -> Generator[Event, None, dict[tuple[str, str], tuple[Tensor, Tensor]]]:
            yield from ()
            with self.stages.use("text") as encoder:
                return {pair: self._encoded(encoder, *pair) for pair in wanted}

        def attempt(footing: Footing) -> Iterator[Event]:
            found = yield from self._finite(
                "text", compute, lambda result: [t for pair in result.values() for t in pair]
            )
            words.update(found)

        # only this request's stay: the next take has the same
        for pair in set(words) - set(self.prompts().values()):
            del words[pair]
        yield from self._survive("text", "encoding the prompt", attempt)

    def _encoded(self, encoder: TextEncoder, text: str, lyrics: str) -> tuple[Tensor, Tensor]:
        tokenizer, device = self.stages.tokenizer, self.stages.device("text")
        text_ids = torch.tensor([tokenizer.ids(text, TEXT_LIMIT)], device=device)
        lyric_ids = torch.tensor([tokenizer.ids(lyrics, LYRIC_LIMIT)], device=device)
        return encoder(text_ids, self._check).cpu(), encoder.embed_tokens(lyric_ids).cpu()

    def encoded(self, name: str) -> tuple[Tensor, Tensor]:
        """Hidden states of the prompt `name` and embeddings of its lyrics, [1, S, C] each."""
        return self._means.words[self.prompts()[name]]

    def _cuts(self) -> Iterator[Event]:
        text, lyrics = self.prompts()["main"]
        tokenizer = self.stages.tokenizer
        if tokenizer.is_cut(text, TEXT_LIMIT):
            yield Notice(
                "PROMPT_TRUNCATED", f"The model reads {TEXT_LIMIT} tokens of a prompt", "prompt"
            )
        if tokenizer.is_cut(lyrics, LYRIC_LIMIT):
            yield Notice(
                "LYRICS_TRUNCATED", f"The model reads {LYRIC_LIMIT} tokens of lyrics", "lyrics"
            )

    @torch.inference_mode()
    def encode_sounds(self) -> Iterator[Event]:
        """Encodes source and reference with the autoencoder."""
        request, sounds = self.request, self.sounds
        if request.source_latents is not None:
            sounds.latents = request.source_latents[None].float()
        if request.reference_latents is not None:
            sounds.references = request.reference_latents.float()
        if sounds.latents is None and sounds.audio is not None and not sources.is_silent(
            sounds.audio
        ):  # fmt: skip
            sounds.latents = yield from self._sound_latents(sounds.audio, "source")
        if sounds.references is None and request.reference is not None:
            clip = sources.reference_clip(
                request.reference, draws(subseed(request.seed, "reference"))
            )
            sounds.references = yield from self._sound_latents(clip, "posterior")
        if sounds.windows_sec:
            sounds.windows = [self._frames_of(span) for span in sounds.windows_sec]

    def _frames_of(self, span: tuple[float, float]) -> tuple[int, int]:
        """A window in latent frames; what begins a track takes its last frame whole."""
        start, stop = (lengths.frame_at(seconds) for seconds in span)
        if self.request.task == "extend" and span[0] == 0:
            stop = math.ceil(round(span[1] * SAMPLE_RATE / HOP, 6))
        start = min(max(0, start), self.frames - 1)
        return start, min(max(start + 1, stop), self.frames)

    def _sound_latents(self, audio: Audio, name: str) -> Generator[Event, None, Tensor]:
        """A sample [1, T, C] of the posterior of `audio`, its noise named by `name`."""
        waves = sources.whole_frames(audio)
        frames = waves.shape[1] // HOP
        found: list[Tensor] = []

        def compute() -> Generator[Event, None, Tensor]:
            yield from ()
            with self.stages.use("vae") as vae:
                device = self.stages.device("vae")
                posterior = tiles.encode(vae, waves.to(device), self.encode_frames, self._check)
            shape = (1, frames, posterior.mean.shape[-1])
            noise = torch.randn(shape, generator=draws(subseed(self.request.seed, name)))
            return posterior.sample(noise.to(device)).cpu()

        def attempt(footing: Footing) -> Iterator[Event]:
            found[:] = [(yield from self._finite("vae", compute, lambda latents: [latents]))]

        yield from self._survive("vae", f"encoding the {name}", attempt)
        return found[0]

    @torch.inference_mode()
    def codes(self) -> list[int]:
        """The source's audio codes, five a second."""
        latents = self.sounds.latents
        if latents is None:
            return []
        with self.stages.use("dit") as model:
            device = self.stages.device("dit")
            _, codes = model.tokenizer(
                latents.to(device, model.decoder.dtype), self.stages.silence.to(device), self._check
            )
        found: list[int] = codes[0].tolist()
        return found

    # Diffusion -----------------------------------------------------------------------------------

    def diffuse(self) -> Iterator[Event]:
        """From noise to `latents`."""
        found: list[Tensor] = []

        def compute() -> Generator[Event, None, Tensor]:
            with self.stages.use("dit") as model:
                return (yield from self._sampled(model))

        def attempt(footing: Footing) -> Iterator[Event]:
            found[:] = [(yield from self._finite("dit", compute, lambda x: [x], silence=True))]

        yield from self._survive("dit", "diffusion", attempt)
        request = self.request
        self.latents = found[0] * request.latent_rescale + request.latent_shift

    @torch.inference_mode()
    def _sampled(self, model: AceStep) -> Generator[Event, None, Tensor]:
        request, config = self.request, model.config
        device = torch.device(self.stages.device("dit"))
        silence = self.stages.silence.to(device)
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
            schedule, noise, self.fitted(self.sounds.latents, silence), request.cover_noise_strength
        )
        switch = None
        if request.cover_strength < 1:
            quiet = silence_frames(silence, self.frames)
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
        yield self._phase("diffusion", "dit", schedule.steps)
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
        request = self.request
        edit, guidance = request.edit, request.guidance
        assert edit is not None and guidance is not None and request.shift is not None
        schedule = edit_schedule(
            steps=request.steps or 0, shift=request.shift, times=request.timesteps
        )
        first = int(schedule.steps * edit.n_min)
        yield self._phase("diffusion", "dit", schedule.steps - first)
        seed = request.retake.seed if request.retake is not None else request.seed
        generator = draws(seed)
        steps = flow_edit(
            model.decoder,
            self.fitted(self.sounds.latents, silence),
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
        request = self.request
        material = self.sounds.latents
        if request.edit is not None:
            material = None  # both prompts of an edit look at silence
        if request.codes:
            codes = codes_tensor(request.codes, silence.device)
            material = model.decode_codes(codes, self._check)
        elif material is not None:
            material = material.to(silence)
        return canvas(
            self.task,
            material,
            silence,
            frames=self.frames,
            windows=self.sounds.windows,
            has_codes=bool(request.codes),
            mask_mode=request.mask_mode,
        )

    def _context(self, model: AceStep, drawn: Canvas, silence: Tensor) -> Tensor:
        source = drawn.source
        if drawn.is_cover and not self.request.codes:
            source = model.hints(source, silence, self._check)
        mask = drawn.chunk_mask
        if self.request.chunk_mask is not None:
            mask = torch.zeros_like(mask)
            given = self.request.chunk_mask[: self.frames].to(mask.device)
            mask[0, : len(given)] = given.bool()
        return context_latents(source, mask)

    def main_view(self, model: AceStep, silence: Tensor) -> View:
        """What the decoder looks at under the request's own prompt."""
        return self._view(model, "main", self._context(model, self.canvas(model, silence), silence))

    def fitted(self, latents: Tensor | None, silence: Tensor) -> Tensor:
        """latents [1, T', C] at the rendering's length, silence where there are none."""
        quiet = silence_frames(silence, self.frames)
        if latents is None:
            return quiet
        latents = latents[:, : self.frames].to(silence)
        return torch.cat((latents, quiet[:, : self.frames - latents.shape[1]]), dim=1)

    def _held(self, drawn: Canvas, silence: Tensor) -> repaint.Repaint | None:
        if drawn.repaint_mask is None:
            return None
        strength = self._strength()
        frames = self.request.crossfade_frames
        return repaint.Repaint(
            drawn.repaint_mask,
            self.fitted(self.sounds.latents, silence),
            strength.injection_ratio,
            strength.crossfade_frames if frames is None else frames,
        )

    def _strength(self) -> repaint.RepaintStrength:
        return repaint.repaint_strength(self.request.repaint_mode, self.request.repaint_strength)

    def _view(self, model: AceStep, name: str, context: Tensor) -> View:
        """What the decoder looks at under the prompt `name`."""
        text, lyrics = (
            tensor.to(context.device, model.decoder.dtype) for tensor in self.encoded(name)
        )
        references = self.sounds.references
        if references is None:
            references = silence_frames(self.stages.silence, REFERENCE_FRAMES)
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
        assert self.request.guidance is not None
        if self.request.guidance.scale > 1:
            null = model.decoder.remember(model.null_condition_emb, self._check)
        return View(model.decoder.remember(rows, self._check), context, null)

    def noise(self, seed: int, device: torch.device) -> Tensor:
        """The starting noise of `seed`, [1, T, C]."""
        return self._drawn(draws(seed), device)

    def _drawn(self, generator: torch.Generator, device: torch.device) -> Tensor:
        channels = self.stages.bundle.config.latent_channels
        return torch.randn(1, self.frames, channels, generator=generator).to(device)

    def _keep_latents(self, path: Path) -> None:
        frames = -(-self.samples // HOP)
        save_file({"latents": self.latents[0, :frames].contiguous()}, path)

    # Decoding ------------------------------------------------------------------------------------

    def decode(self) -> Iterator[Event]:
        """From `latents` to samples, stretch by stretch where nothing later reaches back."""
        length = self.latents.shape[1]
        first_chunk = self._means.tile_frames
        count = sum(
            tile.start * HOP < self.samples
            for tile in tiles.tiles(length, first_chunk, tiles.DECODE_OVERLAP)
        )
        yield self._phase("decoding", "vae", count)
        streams = not self._is_spliced()
        kept: list[Audio] = []
        done = 0

        def attempt(footing: Footing) -> Iterator[Event]:
            nonlocal done, count
            step = 0
            while done * HOP < self.samples:
                tile = tiles.next_tile(done, length, footing.tile_frames, tiles.DECODE_OVERLAP)
                audio = yield from self._tile(tile)
                if streams:
                    if done == 0:
                        yield self._announced(audio)
                    yield Stretch(audio)
                else:
                    kept.append(audio)
                done, step = tile.stop, step + 1
                yield Step(min(step, count), count)

        yield from self._survive("vae", "decoding", attempt, first_chunk)
        if not streams:
            yield Sound(SAMPLE_RATE, 2, self.samples)
            whole = self._spliced(np.concatenate(kept))
            for start in range(0, len(whole), SAMPLE_RATE):
                self._check()
                yield Stretch(whole[start : start + SAMPLE_RATE])

    @torch.inference_mode()
    def _tile(self, tile: tiles.Tile) -> Generator[Event, None, Audio]:
        """The samples of a tile's core, [frames, 2], cut at the end of the track."""

        def compute() -> Generator[Event, None, Tensor]:
            yield from ()
            with self.stages.use("vae") as vae:
                return tiles.decode_tile(
                    vae, self.latents.to(self.stages.device("vae")), tile, self._check
                ).cpu()

        # a first stretch without a sound is suspicious in half the precision
        doubt = tile.start == 0 and self.stages.dtype("vae") != torch.float32
        audio = yield from self._finite("vae", compute, lambda x: [x], silence=doubt)
        return audio[0, : self.samples - tile.start * HOP].numpy()

    def _announced(self, first: Audio) -> Sound:
        peak = float(np.abs(first).max(initial=0.0))
        gain = TARGET_PEAK / max(1.0, HEADROOM * peak)
        return Sound(SAMPLE_RATE, 2, self.samples, streams=True, gain=gain)

    def _is_spliced(self) -> bool:
        return (
            bool(self.sounds.windows_sec)
            and self.sounds.audio is not None
            and self.request.repaint_mode != "aggressive"
        )

    def _spliced(self, audio: Audio) -> Audio:
        """The rendering within the windows, the source's own waveform outside."""
        assert self.sounds.audio is not None
        seconds = self.request.crossfade_sec
        whole = repaint.spliced(
            sound.limited(torch.from_numpy(audio.T)),
            torch.from_numpy(self.sounds.audio.T),
            self.sounds.windows_sec,
            crossfade_sec=self._strength().crossfade_sec if seconds is None else seconds,
            sample_rate=SAMPLE_RATE,
        )
        return np.ascontiguousarray(whole.numpy().T)


def _counted(steps: Generator[int, None, Tensor], total: int) -> Generator[Event, None, Tensor]:
    """Turns the counts of a sampler into steps."""
    while True:
        try:
            done = next(steps)
        except StopIteration as end:
            latents: Tensor = end.value
            return latents
        yield Step(done, total)


def _problem(tensors: list[Tensor], *, silence: bool) -> str | None:
    """What is wrong with a result, in words."""
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        return "values that are no numbers"
    if silence and all(float(tensor.abs().max()) < _SILENT for tensor in tensors):
        return "silence"
    return None
