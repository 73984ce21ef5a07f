"""One rendering from words and sounds to latents and on to samples, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from lofi.backends.ace_step_15 import repaint, sound, sources, tiles
from lofi.backends.ace_step_15.config import HOP, SAMPLE_RATE
from lofi.backends.ace_step_15.diffusion import Diffusion, strength_of
from lofi.backends.ace_step_15.outline import Outline
from lofi.backends.ace_step_15.request import Audio, Request, draws, subseed
from lofi.backends.ace_step_15.stages import StageName, Stages
from lofi.backends.ace_step_15.text import LYRIC_LIMIT, TEXT_LIMIT, TextEncoder
from lofi.worker.backend import Check, Event, Notice, Phase, Sound, Step, Stretch
from lofi.worker.device import name_of
from lofi.worker.memory import Need
from lofi.worker.retreats import Footing, Limits, withstand

T = TypeVar("T")
SMALLEST_TILE_FRAMES = 32
TARGET_PEAK = 10 ** (-1 / 20)
HEADROOM = 1.5
"""How much louder the rest of a track may be than its first stretch, for the provisional gain."""
_SILENT = 1e-4


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


class Rendering:
    """The state of one request on its way through the stages."""

    def __init__(
        self, request: Request, means: Means, check: Check, latents_path: Path | None = None
    ) -> None:
        self.stages = means.stages
        self.outline = Outline(request, means.stages.bundle.config)
        self.diffusion = Diffusion(self.outline, means.stages, self.encoded, check)
        self.latents = torch.empty(0)
        """[1, T, C] once the diffusion is over."""
        self._means = means
        self._check = check
        self._latents_path = latents_path

    @property
    def request(self) -> Request:
        """What is rendered, the family's own values in its gaps."""
        return self.outline.request

    @property
    def frames(self) -> int:
        """Latent frames made."""
        return self.outline.frames

    def events(self) -> Iterator[Event]:
        """Renders: phases and steps, one `Sound`, its stretches."""
        yield self._phase("encoding", "text")
        yield from self.outline.notices
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

    def needs(self, tile_frames: int) -> list[Need]:
        """What this rendering needs, stage by stage, when it decodes `tile_frames` at once."""
        request = self.request
        has_sounds = request.source is not None or request.reference is not None
        return self.stages.needs(
            self.frames, tile_frames, self.rows, self.encode_frames if has_sounds else 0
        )

    @property
    def rows(self) -> int:
        """Rows of text and lyrics that the decoder will attend to, under all its prompts."""
        tokenizer = self.stages.tokenizer
        return sum(
            len(tokenizer.ids(text, TEXT_LIMIT)) + len(tokenizer.ids(lyrics, LYRIC_LIMIT))
            for text, lyrics in self.outline.prompts().values()
        )

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

        needs = {need.module: need for need in self.needs(tile_frames or 1)}
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
        wanted = [pair for pair in self.outline.prompts().values() if pair not in words]
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
        for pair in set(words) - set(self.outline.prompts().values()):
            del words[pair]
        yield from self._survive("text", "encoding the prompt", attempt)

    def _encoded(self, encoder: TextEncoder, text: str, lyrics: str) -> tuple[Tensor, Tensor]:
        tokenizer, device = self.stages.tokenizer, self.stages.device("text")
        text_ids = torch.tensor([tokenizer.ids(text, TEXT_LIMIT)], device=device)
        lyric_ids = torch.tensor([tokenizer.ids(lyrics, LYRIC_LIMIT)], device=device)
        return encoder(text_ids, self._check).cpu(), encoder.embed_tokens(lyric_ids).cpu()

    def encoded(self, name: str) -> tuple[Tensor, Tensor]:
        """Hidden states of the prompt `name` and embeddings of its lyrics, [1, S, C] each."""
        return self._means.words[self.outline.prompts()[name]]

    def _cuts(self) -> Iterator[Event]:
        text, lyrics = self.outline.prompts()["main"]
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
        request, sounds = self.request, self.outline.sounds
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
        latents = self.outline.sounds.latents
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
                return (yield from self.diffusion.sampled(model))

        def attempt(footing: Footing) -> Iterator[Event]:
            found[:] = [(yield from self._finite("dit", compute, lambda x: [x], silence=True))]

        yield from self._survive("dit", "diffusion", attempt)
        request = self.request
        self.latents = found[0] * request.latent_rescale + request.latent_shift

    def _keep_latents(self, path: Path) -> None:
        frames = -(-self.outline.samples // HOP)
        save_file({"latents": self.latents[0, :frames].contiguous()}, path)

    # Decoding ------------------------------------------------------------------------------------

    def decode(self) -> Iterator[Event]:
        """From `latents` to samples, stretch by stretch where nothing later reaches back."""
        length = self.latents.shape[1]
        first_chunk = self._means.tile_frames
        count = sum(
            tile.start * HOP < self.outline.samples
            for tile in tiles.tiles(length, first_chunk, tiles.DECODE_OVERLAP)
        )
        yield self._phase("decoding", "vae", count)
        streams = not self._is_spliced()
        kept: list[Audio] = []
        done = 0

        def attempt(footing: Footing) -> Iterator[Event]:
            nonlocal done, count
            step = 0
            while done * HOP < self.outline.samples:
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
            yield Sound(SAMPLE_RATE, 2, self.outline.samples)
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
        return audio[0, : self.outline.samples - tile.start * HOP].numpy()

    def _announced(self, first: Audio) -> Sound:
        peak = float(np.abs(first).max(initial=0.0))
        gain = TARGET_PEAK / max(1.0, HEADROOM * peak)
        return Sound(SAMPLE_RATE, 2, self.outline.samples, streams=True, gain=gain)

    def _is_spliced(self) -> bool:
        return (
            bool(self.outline.sounds.windows_sec)
            and self.outline.sounds.audio is not None
            and self.request.repaint_mode != "aggressive"
        )

    def _spliced(self, audio: Audio) -> Audio:
        """The rendering within the windows, the source's own waveform outside."""
        assert self.outline.sounds.audio is not None
        seconds = self.request.crossfade_sec
        whole = repaint.spliced(
            sound.limited(torch.from_numpy(audio.T)),
            torch.from_numpy(self.outline.sounds.audio.T),
            self.outline.sounds.windows_sec,
            crossfade_sec=strength_of(self.request).crossfade_sec if seconds is None else seconds,
            sample_rate=SAMPLE_RATE,
        )
        return np.ascontiguousarray(whole.numpy().T)


def _problem(tensors: list[Tensor], *, silence: bool) -> str | None:
    """What is wrong with a result, in words."""
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        return "values that are no numbers"
    if silence and all(float(tensor.abs().max()) < _SILENT for tensor in tensors):
        return "silence"
    return None
