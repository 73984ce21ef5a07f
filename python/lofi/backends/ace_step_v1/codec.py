"""Sound to latents and back: mel, autoencoder, vocoder and resampling in one.

Decoding gives finished stretches in order. Their seams are exact: only the autoencoder's
innermost stage needs all of the song, and that one is run once over all of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from lofi.backends.ace_step_v1.config import (
    FRAME_SAMPLES,
    HOP_SAMPLES,
    LATENT_SCALE,
    LATENT_SHIFT,
    MEL_HIGH,
    MEL_LOW,
    NATIVE_RATE,
    OUTPUT_RATE,
)
from lofi.backends.ace_step_v1.dcae import Autoencoder
from lofi.backends.ace_step_v1.mel import log_mel
from lofi.backends.ace_step_v1.resample import Resampler
from lofi.backends.ace_step_v1.vocoder import Vocoder
from lofi.worker.backend import Check, nothing

MEL_FRAMES = FRAME_SAMPLES // HOP_SAMPLES
"""Mel frames a latent frame stands for."""


class Codec:
    """The two networks of the codec and the arithmetic around them."""

    def __init__(self, autoencoder: Autoencoder, vocoder: Vocoder) -> None:
        self.autoencoder = autoencoder
        self.vocoder = vocoder

    @property
    def _like(self) -> Tensor:
        return self.autoencoder.decoder.conv_in.weight

    @torch.inference_mode()
    def encode(
        self, audio: Tensor, rate: int, tile_frames: int, check: Check = nothing
    ) -> Iterator[Tensor]:
        """Yields the features of each tile and, last, the latents [1, 8, 16, T] float32.

        Mel and resampling run in float32: lower precision is visible in the latents.

        Args:
            audio: [1 or 2, N] float32 at `rate`.
            tile_frames: latent frames that go through the convolutions at a time.
        """
        if audio.shape[0] == 1:
            audio = audio.expand(2, -1)
        # Apple's GPUs were silently wrong in convolutions as long as a song
        audio = audio.cpu() if self._like.device.type == "mps" else audio.to(self._like.device)
        native = Resampler(rate, NATIVE_RATE)(audio)
        native = F.pad(native, (0, -native.shape[-1] % FRAME_SAMPLES))
        check()
        image = (log_mel(native) - MEL_LOW) / (MEL_HIGH - MEL_LOW)
        image = ((image - 0.5) / 0.5).to(self._like.device, self._like.dtype)[None]
        encoder = self.autoencoder.encoder
        T, halo = image.shape[-1] // MEL_FRAMES, encoder.halo_frames
        tiles = []
        for start in range(0, T, tile_frames):
            stop = min(start + tile_frames, T)
            low, high = max(0, start - halo), min(T, stop + halo)
            features = encoder.outer(image[..., low * MEL_FRAMES : high * MEL_FRAMES], check)
            width = features.shape[-1] // (high - low)
            tiles.append(features[..., (start - low) * width : (stop - low) * width])
            yield tiles[-1]
        encoded = encoder.inner(torch.cat(tiles, dim=-1), check)
        yield (encoded.float() - LATENT_SHIFT) * LATENT_SCALE

    @torch.inference_mode()
    def decode(self, latents: Tensor, tile_frames: int, check: Check = nothing) -> Iterator[Tensor]:
        """latents [1, 8, 16, T] -> stretches [2, n] float32 at 48 kHz, in order, seams exact.

        Args:
            tile_frames: latent frames that go through the convolutions at a time.
        """
        resampler = Resampler(NATIVE_RATE, OUTPUT_RATE)
        total = latents.shape[-1] * FRAME_SAMPLES
        held, offset, sent = latents.new_zeros(2, 0, dtype=torch.float32), 0, 0
        for piece in self.native_stretches(latents, tile_frames, check):
            held = torch.cat((held, piece), dim=-1)
            known = offset + held.shape[-1]
            if known == total:
                ready = resampler.length(total)
            else:
                # whole blocks of output whose last input sample is there
                blocks = (known - resampler.width - resampler.step) // resampler.step + 1
                ready = max(sent, blocks * resampler.phases)
            if ready > sent:
                yield resampler.stretch(held, sent, ready, offset=offset)
                sent = ready
                low, _ = resampler.reach(sent, sent + 1, total)
                held, offset = held[:, low - offset :], low
            check()

    def native_stretches(self, latents: Tensor, tile_frames: int, check: Check) -> Iterator[Tensor]:
        """latents [1, 8, 16, T] -> stretches [2, n] float32 at 44.1 kHz."""
        decoder = self.autoencoder.decoder
        features = decoder.inner(self._unscaled(latents), check)
        T = latents.shape[-1]
        halo = decoder.halo_frames
        mel = features.new_zeros(2, 128, 0)
        dropped = known = 0
        for start in range(0, T, tile_frames):
            stop = min(start + tile_frames, T)
            needed = min(T, stop + -(-self.vocoder.halo // MEL_FRAMES))
            while known < needed:
                end = min(known + tile_frames, T)
                low, high = max(0, known - halo), min(T, end + halo)
                image = decoder.outer(features[..., low:high], check)[0]
                image = image[..., (known - low) * MEL_FRAMES : (end - low) * MEL_FRAMES]
                mel = torch.cat((mel, _as_mel(image)), dim=-1)
                known = end
            cut = start * MEL_FRAMES - dropped
            wave = self.vocoder.stretch(mel, cut, stop * MEL_FRAMES - dropped, check)
            yield wave[:, 0].float()
            # what later stretches no longer look at
            spare = max(0, stop * MEL_FRAMES - self.vocoder.halo - dropped)
            mel, dropped = mel[..., spare:], dropped + spare

    def _unscaled(self, latents: Tensor) -> Tensor:
        z = latents.float() / LATENT_SCALE + LATENT_SHIFT
        return z.to(self._like.device, self._like.dtype)

    @torch.inference_mode()
    def decode_windows(self, latents: Tensor, check: Check = nothing) -> Tensor:
        """The published procedure for little memory: latents [1, 8, 16, T] -> [2, n] at 48 kHz.

        Windows overlap and their seams are faded, so the result differs a little from `decode`.
        """
        T = latents.shape[-1]
        z = self._unscaled(latents)
        anchors = list(range(128, T - 128, 256)) or [128]
        pieces = []
        for index, anchor in enumerate(anchors):
            image = self.autoencoder.decoder(z[..., anchor - 128 : anchor + 384], check)
            begin = 0 if index == 0 else 1024
            end = image.shape[-1] if index + 1 == len(anchors) else image.shape[-1] - 1024
            pieces.append(image[0, ..., begin:end])
        mel = _as_mel(torch.cat(pieces, dim=-1))
        wave = self._faded_blocks(mel, check)
        wave = Resampler(NATIVE_RATE, OUTPUT_RATE)(wave)
        return wave[:, : int(FRAME_SAMPLES * T * OUTPUT_RATE / NATIVE_RATE)]

    def _faded_blocks(self, mel: Tensor, check: Check) -> Tensor:
        """mel [2, 128, M] -> [2, n]: blocks of 512 columns, the next begins four before the end."""
        columns, size, hop, cut, fade = mel.shape[-1], 512, 508, 1024, 128
        rising = torch.linspace(0, 1, fade, device=mel.device)
        wave = mel.new_zeros(2, 0, dtype=torch.float32)
        start, last = 0, False
        while not last:
            block = mel[..., start : start + size]
            block = F.pad(block, (0, size - block.shape[-1]))
            sound = self.vocoder(block, check)[:, 0].float()
            last = (start + hop) * HOP_SAMPLES >= columns * HOP_SAMPLES
            end = sound.shape[-1] if last and start else sound.shape[-1] - cut
            if start == 0:
                wave = sound[:, :end]
            else:
                joint = wave[:, -fade:] * rising.flip(0) + sound[:, cut - fade : cut] * rising
                wave = torch.cat((wave[:, :-fade], joint, sound[:, cut:end]), dim=-1)
            start += hop
        return wave


def _as_mel(image: Tensor) -> Tensor:
    """Autoencoder's image -> log-mel, of the same shape."""
    return (image * 0.5 + 0.5) * (MEL_HIGH - MEL_LOW) + MEL_LOW
