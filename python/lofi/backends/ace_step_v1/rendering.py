"""One job from its recipe to sound: encoding, diffusion, decoding."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator

import torch
from safetensors.torch import save_file
from torch import Tensor

from lofi.backends.ace_step_v1 import needs
from lofi.backends.ace_step_v1.codec import MEL_FRAMES, Codec
from lofi.backends.ace_step_v1.conditions import Condition
from lofi.backends.ace_step_v1.config import HOP_SAMPLES, OUTPUT_RATE, frames_covering
from lofi.backends.ace_step_v1.diffusion import Diffusion, Task
from lofi.backends.ace_step_v1.layout import Layout, Sender
from lofi.backends.ace_step_v1.loading import CODEC, TEXT, TRANSFORMER, CodecParts, Loaded
from lofi.backends.ace_step_v1.noise import SeededNoise
from lofi.backends.ace_step_v1.request import NEEDS_SOURCE, Request
from lofi.backends.ace_step_v1.source import Source, read_source
from lofi.backends.ace_step_v1.stages import Stages, finite
from lofi.backends.ace_step_v1.text import TextEncoder, text_ids
from lofi.backends.ace_step_v1.transformer import Transformer
from lofi.worker.backend import Check, Event, Job, Model, Notice, Phase, Sound, Step
from lofi.worker.device import name_of
from lofi.worker.memory import Need
from lofi.worker.retreats import Footing

PROVISIONAL_GAIN = 0.89
"""The vocoder's output stays within -1..1; this is -1 dB of that."""


class Rendering:
    """The state of one job while it is rendered."""

    def __init__(self, loaded: Loaded, job: Job, check: Check) -> None:
        self._loaded = loaded
        self._job = job
        self._check = check
        self._request = Request.of(job.recipe)
        self._tile_frames, self._smallest_tile = tiles_for(loaded, job.model)
        self._stages = Stages(loaded, job, self._tile_frames, self._smallest_tile, check)
        self._together = True

    def events(self) -> Iterator[Event]:
        """Yields everything from the first phase to the last stretch."""
        request = self._request
        source: Source | None = None
        if request.task in NEEDS_SOURCE:
            source = read_source(self._job.audio.get("source"), self._check)
            request.check_span(source.seconds)
        layout = Layout(request, source)
        lyrics = self._lyrics(request.lyrics)
        source_lyrics = self._lyrics(request.source_lyrics) if request.task == "edit" else lyrics
        text, diffusion, codec = self._needs(layout.total_frames, len(lyrics))
        yield from self._stages.place([text, diffusion, codec])

        yield self._phase("encoding", TEXT, 1 + (source is not None))
        prompts = [(request.prompt, lyrics)]
        if request.task == "edit":
            prompts.append((request.source_prompt, source_lyrics))
        conditions = yield from self._encoded(prompts, text)
        yield Step(1, 1 + (source is not None))
        latents: Tensor | None = None
        if source is not None:
            latents = yield from self._source_latents(layout.trimmed(source), codec)
            yield Step(2, 2)
        task = Task(
            request,
            conditions[0],
            layout.frames,
            latents,
            conditions[1] if len(conditions) > 1 else None,
            layout.left_frames,
            layout.right_frames,
        )
        made: list[Tensor] = []
        yield self._phase("diffusion", TRANSFORMER, task.total_steps())
        yield from self._stages.run(
            "in diffusion", TRANSFORMER, lambda _: self._diffuse(task, made), diffusion
        )
        finished = made[0].cpu()
        if self._job.latents_path is not None:
            save_file({"latents": finished.contiguous()}, str(self._job.latents_path))
        sender = Sender(layout)
        tiles = -(-finished.shape[-1] // self._tile_frames)
        yield self._phase("decoding", CODEC, tiles)
        yield Sound(OUTPUT_RATE, 2, layout.samples, streams=True, gain=PROVISIONAL_GAIN)
        yield from self._stages.run(
            "decoding", CODEC, lambda footing: self._decode(finished, footing, sender), codec
        )

    def _phase(self, name: str, part: str, total: int) -> Phase:
        dtype = name_of(self._loaded.dtype_of(part))
        return Phase(name, total, self._loaded.device_of(part), dtype)  # type: ignore[arg-type]

    def _lyrics(self, lyrics: str) -> list[int]:
        return self._loaded.lyric_ids(lyrics, self._request.language)

    def _needs(self, frames: int, lyric_tokens: int) -> tuple[Need, Need, Need]:
        loaded, guidance = self._loaded, self._request.guidance
        sizes = loaded.residents.sizes()
        width = {name: loaded.dtype_of(name).itemsize for name in (TEXT, TRANSFORMER, CODEC)}
        branches = 1 + guidance.is_on + guidance.is_double
        config = loaded.transformer.config

        def diffusion(count: int) -> int:
            tokens = 1 + 256 + lyric_tokens
            return needs.diffusion_bytes(config, frames, tokens, count, width[TRANSFORMER])

        # One batch of all branches where it fits beside the weights. A CPU is busy with one
        # branch already, and twice as slow to notice that a job is cancelled with two.
        room = 0.9 * self._stages.free_bytes() - sizes[TRANSFORMER]
        is_cpu = loaded.device_of(TRANSFORMER).startswith("cpu")
        self._together = not is_cpu and diffusion(branches) <= room
        text = needs.text_bytes(loaded.text_encoder.size, width[TEXT])
        codec = needs.decoding_bytes(
            loaded.codec.autoencoder.config, frames, self._tile_frames, width[CODEC]
        )
        return (
            Need(TEXT, sizes[TEXT], text),
            Need(TRANSFORMER, sizes[TRANSFORMER], diffusion(branches if self._together else 1)),
            Need(CODEC, sizes[CODEC], codec),
        )

    def _encoded(
        self, prompts: list[tuple[str, list[int]]], need: Need
    ) -> Generator[Event, None, list[Condition]]:
        """The condition of each prompt and its lyrics; those of the last job are still there."""
        if self._ids(prompts[0][0])[1]:
            yield Notice("PROMPT_TRUNCATED", "The model reads 256 tokens of a prompt", "prompt")
        request, loaded = self._request, self._loaded
        # an edit's unconditional branch is empty
        is_guided = request.guidance.is_on and request.task != "edit"
        levelled = request.use_erg_tag and request.erg.lyric and is_guided
        negative = request.negative_prompt if is_guided else ""
        known, dtype = loaded.conditions, loaded.dtype_of(TEXT)
        keys = [(prompt, tuple(words), levelled, negative, dtype) for prompt, words in prompts]
        found = {key: known[key] for key in keys if key in known}

        def attempt(footing: Footing) -> Iterator[Event]:
            yield from ()
            with loaded.use(TEXT) as encoder:
                for key in keys:
                    prompt, words, _, _, _ = key
                    found[key] = self._condition(encoder, prompt, list(words), levelled, negative)

        if len(found) < len(set(keys)):
            yield from self._stages.run("encoding the text", TEXT, attempt, need)
        loaded.conditions = found
        return [found[key] for key in keys]

    def _condition(
        self, encoder: TextEncoder, prompt: str, lyrics: list[int], levelled: bool, negative: str
    ) -> Condition:
        ids, _ = self._ids(prompt)
        return Condition(
            self._states(encoder, ids),
            torch.ones_like(ids),
            torch.tensor([lyrics]),
            torch.ones(1, len(lyrics), dtype=torch.long),
            null_states=self._states(encoder, ids, weakened=True) if levelled else None,
            negative_states=self._states(encoder, self._ids(negative)[0]) if negative else None,
        )

    def _ids(self, prompt: str) -> tuple[Tensor, bool]:
        assert self._loaded.tokenizer is not None
        ids, is_cut = text_ids(self._loaded.tokenizer, prompt)
        return torch.tensor([ids]), is_cut

    def _states(self, encoder: TextEncoder, ids: Tensor, *, weakened: bool = False) -> Tensor:
        self._check()
        place = next(encoder.parameters()).device
        here = ids.to(place)
        states = encoder(here, torch.ones_like(here), weakened=weakened)
        return finite(states).cpu()

    def _source_latents(
        self, audio: tuple[Tensor, int], need: Need
    ) -> Generator[Event, None, Tensor]:
        """The latents of the source; those of the last job's are still there."""
        loaded = self._loaded
        path = self._job.audio["source"]
        stat = path.stat()
        length, dtype = audio[0].shape[-1], loaded.dtype_of(CODEC)
        key = (path, stat.st_mtime_ns, stat.st_size, length, dtype)
        found = {key: loaded.sources[key]} if key in loaded.sources else {}

        def attempt(footing: Footing) -> Iterator[Event]:
            yield from ()
            with loaded.use(CODEC) as parts:
                encoding = _codec(parts).encode(*audio, footing.tile_frames, self._check)
                found[key] = finite(deque(encoding, maxlen=1).pop()).cpu()

        if not found:
            yield from self._stages.run("encoding the source", CODEC, attempt, need)
        loaded.sources = found
        return found[key]

    def _diffuse(self, task: Task, out: list[Tensor]) -> Iterator[Event]:
        request = self._request
        out.clear()
        # after a retreat the branches go one by one, which takes the least memory
        together, self._together = self._together, False
        total = task.total_steps()
        with self._loaded.use(TRANSFORMER) as model:
            assert isinstance(model, Transformer)
            latents = Diffusion(
                model,
                task,
                lambda: SeededNoise([request.seed], [request.retake_seed]),
                together=together,
                check=self._check,
            ).run()
            evaluations = done = 0
            is_heun = request.scheduler == "heun" and request.task in (
                "text2music", "retake", "audio2audio"
            )  # fmt: skip
            while True:
                try:
                    finite(next(latents))
                except StopIteration as stop:
                    out.append(finite(stop.value))
                    break
                evaluations += 1
                steps = evaluations // 2 if is_heun else evaluations
                if done < steps < total:
                    done = steps
                    yield Step(done, total)
            if total:
                yield Step(total, total)

    def _decode(self, latents: Tensor, footing: Footing, sender: Sender) -> Iterator[Event]:
        tile = footing.tile_frames
        total = -(-latents.shape[-1] // tile)
        # the last way before the CPU: windows bound the memory of the innermost stage too, at
        # the price of seams that are faded instead of exact
        is_last_way = tile < self._tile_frames and tile <= self._smallest_tile
        in_windows = not sender.has_sent and is_last_way
        with self._loaded.use(CODEC) as parts:
            codec = _codec(parts)
            sender.begin()
            if in_windows:
                yield from sender.send(finite(codec.decode_windows(latents, self._check)))
            else:
                for done, piece in enumerate(codec.decode(latents, tile, self._check), 1):
                    yield from sender.send(finite(piece))
                    yield Step(min(done, total), total)
            yield from sender.fill()


def tiles_for(loaded: Loaded, model: Model) -> tuple[int, int]:
    """How many latent frames the codec handles at a time, and the fewest it retreats to."""
    is_gpu = not loaded.device_of(CODEC).startswith("cpu")
    tile = needs.TILE_FRAMES_GPU if is_gpu else needs.TILE_FRAMES
    if model.vae_tile_sec is not None:
        tile = frames_covering(model.vae_tile_sec)
    tile = max(tile, needs.SMALLEST_TILE_FRAMES)
    limit = loaded.policy.conv_limit
    if limit is not None and is_gpu:
        # the longest that a convolution of the device can still take, the vocoder's surroundings
        # included
        mel_frames = limit // HOP_SAMPLES - 2 * loaded.codec.vocoder.head.halo
        tile = min(tile, max(1, mel_frames // MEL_FRAMES))
    return tile, min(tile, needs.SMALLEST_TILE_FRAMES)


def _codec(parts: CodecParts) -> Codec:
    return Codec(parts.autoencoder, parts.vocoder)
