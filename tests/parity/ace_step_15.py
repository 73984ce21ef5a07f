"""The golden cases of ACE-Step 1.5's audio model, run through our own modules and loops.

A case is chosen by the number its name begins with; sizes, salt and parameters come from its own
metadata, so directories made with others run as well.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from lofi.backends.ace_step_15 import (
    alignment,
    guidance,
    lengths,
    prompt,
    repaint,
    schedule,
    sound,
    tiles,
    wavelet,
)
from lofi.backends.ace_step_15.adapters import Merger, read_adapter
from lofi.backends.ace_step_15.codes import parse_codes
from lofi.backends.ace_step_15.config import HOP, ModelConfig, TextConfig, VaeConfig
from lofi.backends.ace_step_15.dit import Decoder
from lofi.backends.ace_step_15.encoders import never
from lofi.backends.ace_step_15.flow_edit import Edit, flow_edit
from lofi.backends.ace_step_15.layers import padding_mask, rotary_for
from lofi.backends.ace_step_15.model import AceStep, context_latents, silence_frames
from lofi.backends.ace_step_15.sampler import (
    Guidance,
    Sampling,
    Switch,
    View,
    Wavelet,
    from_source,
    listed,
    sample,
    varied,
)
from lofi.backends.ace_step_15.tasks import canvas
from lofi.backends.ace_step_15.text import TextEncoder
from lofi.backends.ace_step_15.vae import Vae
from lofi.nn.rope import rotate
from lofi.nn.weight_norm import fold_weight_norm
from tests import weights
from tests.parity.outcome import Options, Outcome

MODULE, LOOP, SOUND, WAVE = 1e-4, 5e-4, 1e-3, 5e-3
COSINES = {MODULE: 0.0, LOOP: 0.99999, SOUND: 0.999999, WAVE: 0.9999}


@dataclass
class Case:
    """One file: its arrays, its metadata, and the worst distance seen so far."""

    path: Path
    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]
    tolerance: float = MODULE
    error: float = 0.0
    notes: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name])

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.meta.get("params", {}))

    def compare(self, name: str, found: Tensor, tolerance: float | None = None) -> None:
        """Takes our `found` for the stored array `name` into account."""
        limit = self.tolerance if tolerance is None else tolerance
        stored = self.arrays[name]
        if tuple(found.shape) != stored.shape:
            self._worse(float("inf"), f"{name}: shape {tuple(found.shape)} for {stored.shape}")
            return
        if not np.issubdtype(stored.dtype, np.floating):
            same = np.array_equal(found.numpy().astype(stored.dtype), stored)
            self._worse(0.0 if same else float("inf"), name)
            return
        a, b = found.double().numpy().ravel(), stored.astype(np.float64).ravel()
        peak = max(1.0, float(np.abs(b).max(initial=0.0)))
        if limit == WAVE:
            peak = 1.0
        error = float(np.abs(a - b).max(initial=0.0)) / peak * (self.tolerance / limit)
        lengths_product = float(np.linalg.norm(a) * np.linalg.norm(b))
        cosine = float(a @ b) / lengths_product if lengths_product else 1.0
        if cosine < COSINES[limit]:
            error, name = float("inf"), f"{name}: cosine {cosine:.7f}"
        self._worse(error if np.isfinite(a).all() else float("nan"), name)

    def equal(self, name: str, found: object, stored: object) -> None:
        """Takes a comparison without tolerance into account."""
        self._worse(0.0 if found == stored else float("inf"), f"{name}: {found!r}")

    def close(self, name: str, found: Any, stored: Any) -> None:
        """Numbers of a table."""
        a, b = np.asarray(found, dtype=np.float64), np.asarray(stored, dtype=np.float64)
        same = a.shape == b.shape
        self._worse(float(np.abs(a - b).max(initial=0.0)) if same else float("inf"), name)

    def _worse(self, error: float, name: str) -> None:
        if not error <= self.error:
            self.error = error
            self.notes = [name]

    def outcome(self) -> Outcome:
        passed = self.error <= self.tolerance
        return Outcome(
            self.path.stem, self.error, self.tolerance, "" if passed else "; ".join(self.notes)
        )


def handles(directory: Path) -> bool:
    """Whether the directory holds cases of this suite."""
    return any(directory.glob("*_dit_even.npz")) or any(directory.glob("*_request_tables.json"))


def run(path: Path, options: Options) -> list[Outcome]:
    """Runs one case file."""
    number = re.match(r"\d+", path.name)
    runner = CASES.get(number.group() if number else "")
    if runner is None:
        return [Outcome(path.stem, float("nan"), 0.0, "no runner for this case")]
    if path.suffix == ".json":
        case = Case(path, {"table": json.loads(path.read_text(encoding="utf-8"))}, {})
    else:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files if name != "meta_json"}
            case = Case(path, json.loads(str(file["meta_json"])), arrays)
    with torch.inference_mode():
        runner(case)
    return [case.outcome()]


# Models ------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _filled(config: str, salt: str) -> AceStep:
    model = AceStep(ModelConfig.from_dict(json.loads(config)))
    weights.fill(model, salt)
    return model.eval()


def _model(case: Case) -> AceStep:
    return _filled(json.dumps(case.meta["config"]), case.meta["salt"])


@lru_cache(maxsize=2)
def _filled_vae(config: str, salt: str) -> Vae:
    vae = Vae(VaeConfig.from_dict(json.loads(config)))
    tensors: dict[str, Tensor] = {}
    for name, tensor in vae.state_dict().items():
        parts = {name: tuple(tensor.shape)}
        if name.endswith(".weight"):
            parts = {f"{name}_v": tuple(tensor.shape), f"{name}_g": (tensor.shape[0], 1, 1)}
        for part, shape in parts.items():
            tensors[part] = torch.from_numpy(weights.tensor_for(part, shape, salt))
    vae.load_state_dict(fold_weight_norm(tensors), assign=True)
    return vae.eval()


def _vae(case: Case) -> Vae:
    config = case.meta.get("vae_config", case.meta.get("config"))
    return _filled_vae(json.dumps(config), case.meta["salt"])


# Blocks ------------------------------------------------------------------------------------------


def _rope(case: Case) -> None:
    model = _model(case)
    q, k = case["in_q"], case["in_k"]
    cos, sin = rotary_for(q[:, 0], model.config)
    case.compare("out_cos", cos[None])
    case.compare("out_sin", sin[None])
    case.compare("out_q", rotate(q, (cos, sin)))
    case.compare("out_k", rotate(k, (cos, sin)))


def _attention(case: Case) -> None:
    model = _model(case)
    layers, x = model.decoder.layers, case["in_hidden"]
    rotary, window = rotary_for(x, model.config), model.config.window
    T = x.shape[1]
    rows = torch.arange(T)
    case.compare("mid_sliding_keep", (rows[:, None] - rows).abs() <= window)
    case.compare("out_self_sliding", layers[0].self_attn(x, rotary=rotary, window=window))
    case.compare("out_self_full", layers[1].self_attn(x, rotary=rotary))
    memory = layers[0].cross_attn.keys_values(case["in_encoder"])
    case.compare("out_cross", layers[0].look(x, memory))
    mask = padding_mask(case["in_padding_mask"].bool(), window, x.dtype)
    case.compare("out_self_sliding_padded", layers[0].self_attn(x, rotary=rotary, mask=mask))


def _time(case: Case) -> None:
    decoder = _model(case).decoder
    t = case["in_t"]
    h, p = decoder.time_embed(t)
    h_r, p_r = decoder.time_embed_r(torch.zeros_like(t))
    case.compare("mid_sinusoid", decoder.time_embed.sinusoid(t))
    case.compare("out_temb", h)
    case.compare("out_proj", p)
    case.compare("out_temb_r", h_r)
    case.compare("out_proj_r", p_r)


def _dit(case: Case) -> None:
    decoder = _model(case).decoder
    x, context = case["in_hidden_states"], case["in_context_latents"]
    t, r = case["in_timestep"], case["in_timestep_r"]
    memory = decoder.remember(case["in_encoder_hidden_states"])
    times, h = decoder.times(t, r), decoder.patches(x, context)
    case.compare("mid_patch_embed", h)
    rotary = rotary_for(h, decoder.config)
    layers = []
    for layer, rows in zip(decoder.layers, memory, strict=True):
        h = layer(h, times.table, rotary, rows)
        layers.append(h)
    case.compare("mid_layers", torch.stack(layers))
    case.compare("out", decoder(x, context, memory, t, r))


def _lyrics(case: Case) -> None:
    encoder = _model(case).encoder.lyric_encoder
    case.compare("out", encoder(case["in_embeds"], case["in_mask"]))


def _timbre(case: Case) -> None:
    encoder = _model(case).encoder.timbre_encoder
    rows, valid = encoder(case["in_packed"], case["in_order"])
    case.compare("out_embeddings", rows)
    case.compare("out_mask", valid)


def _encoded(case: Case, text: str = "text", lyric: str = "lyric") -> tuple[Tensor, Tensor]:
    encoder = _model(case).encoder
    rows, valid = encoder(
        case[f"in_{text}_hidden_states"],
        case[f"in_{text}_attention_mask"],
        case[f"in_{lyric}_hidden_states"],
        case[f"in_{lyric}_attention_mask"],
        case["in_refer_audio_acoustic_hidden_states_packed"],
        case["in_refer_audio_order_mask"],
    )
    return rows, valid


def _condition(case: Case) -> None:
    rows, valid = _encoded(case)
    case.compare("out_hidden", rows)
    case.compare("out_mask", valid)


def _text(case: Case) -> None:
    encoder = TextEncoder(TextConfig.from_dict(case.meta["config"]))
    weights.fill(encoder, case.meta["salt"])
    ids = case["in_input_ids"]
    case.compare("out_embed", encoder.embed_tokens(ids))
    case.compare("out_last_hidden_state", encoder(ids))


# Codec -------------------------------------------------------------------------------------------


def _tokenizer(case: Case) -> None:
    tokenizer = _model(case).tokenizer
    latents, silence = case["in_latents"], case["in_silence_latent"]
    quantizer = tokenizer.quantizer
    pooled = tokenizer.pooled(latents, silence)
    z = quantizer.project_in(pooled)
    digits = quantizer.digits(quantizer.bound(z))
    case.compare("mid_pooled", pooled)
    case.compare("mid_project_in", z)
    case.compare("mid_soft_clamped", quantizer.bound(z))
    case.compare("mid_codes", quantizer.values(digits))
    quantised, codes = tokenizer(latents, silence)
    case.compare("out_quantized", quantised)
    case.compare("out_indices", codes[..., None])
    case.compare("out_quantized_from_indices", quantizer.lookup(codes))


def _code_table(case: Case) -> None:
    levels = case.meta.get("config", {}).get("fsq_input_levels", [8, 8, 8, 5, 5, 5])
    raw = {**json.loads(_SMALL), "fsq_input_levels": case.meta.get("levels", levels)}
    quantizer = AceStep(ModelConfig.from_dict(raw)).tokenizer.quantizer
    indices = case["in_indices"]
    digits = quantizer.digits_of(indices)
    case.compare("out_codes", quantizer.values(digits))
    case.compare("in_indices", quantizer.indices(digits))
    case.compare("in_indices", quantizer.indices(quantizer.digits(quantizer.values(digits))))


_SMALL = json.dumps(
    {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "num_hidden_layers": 1,
        "num_lyric_encoder_hidden_layers": 1,
        "num_timbre_encoder_hidden_layers": 1,
        "num_attention_pooler_hidden_layers": 1,
        "layer_types": ["full_attention"],
        "sliding_window": 1,
        "rope_theta": 1e6,
        "rms_norm_eps": 1e-6,
        "attention_bias": False,
        "in_channels": 12,
        "audio_acoustic_hidden_dim": 4,
        "timbre_hidden_dim": 4,
        "text_hidden_dim": 8,
        "patch_size": 2,
        "pool_window_size": 5,
        "fsq_dim": 8,
        "is_turbo": True,
    }
)


def _detokenizer(case: Case) -> None:
    case.compare("out", _model(case).detokenizer(case["in_quantized"]))


def _codes(case: Case) -> None:
    model = _model(case)
    case.compare("mid_quantized", model.tokenizer.quantizer.lookup(case["in_indices"]))
    case.compare("out_latents", model.decode_codes(case["in_indices"]))


def _vae_decode(case: Case) -> None:
    case.tolerance = SOUND
    vae = _vae(case)
    x = case["in_latents"].transpose(1, 2)
    h = vae.decoder.conv1(x)
    case.compare("mid_conv1", h.transpose(1, 2))
    for i in range(3):
        h = vae.decoder.block[i](h)
        case.compare(f"mid_block{i}", h.transpose(1, 2))
    case.compare("out_audio", vae.decode(x).transpose(1, 2))


def _vae_encode(case: Case) -> None:
    case.tolerance = SOUND
    vae = _vae(case)
    audio = case["in_audio"].transpose(1, 2)
    h = vae.encoder.conv1(audio)
    for i, block in enumerate(vae.encoder.block):
        h = block(h)
        if f"mid_block{i}" in case:
            case.compare(f"mid_block{i}", h.transpose(1, 2))
    posterior = vae.encode(audio)
    case.compare("out_mean", posterior.mean.transpose(1, 2))
    case.compare("out_scale", posterior.scale.transpose(1, 2))
    case.compare("out_std", posterior.std.transpose(1, 2))
    noise = case["in_noise"].transpose(1, 2)
    case.compare("out_sample", posterior.sample(noise).transpose(1, 2))


def _tiled_decode(case: Case) -> None:
    case.tolerance = SOUND
    x = case["in_latents"].transpose(1, 2)
    plan = tiles.plain_tiles(x.shape[1], case.meta["chunk"], case.meta["overlap"])
    audio = torch.cat(list(tiles.decode_tiles(_vae(case), x, plan)), dim=1)
    case.compare("out_audio", audio.transpose(1, 2))


def _tiled_encode(case: Case) -> None:
    case.tolerance = SOUND
    audio = case["in_audio"].transpose(1, 2)
    chunk, overlap = case.meta["chunk_samples"] // HOP, case.meta["overlap_samples"] // HOP
    plan = tiles.plain_tiles(audio.shape[1] // HOP, chunk, overlap)
    parts = tiles.encode_tiles(_vae(case), audio, plan)
    mean = torch.cat([part.mean for part in parts], dim=1)
    case.compare("out_latents", mean.transpose(1, 2))


# Loops -------------------------------------------------------------------------------------------


def _finish(generator: Any) -> Tensor:
    """Runs a sampler to its end."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


def _views(case: Case) -> tuple[View, View | None]:
    """What the decoder looks at, and after a switch of cover strength."""
    model = _model(case)
    rows, valid = _encoded(case)
    source, silence = case["in_src_latents"], case["in_silence_latent"]
    covers = case["in_is_covers"].bool()
    if bool(covers.any()):
        if "in_precomputed_lm_hints_25Hz" in case:
            hints = case["in_precomputed_lm_hints_25Hz"][:, : source.shape[1]]
        else:
            hints = model.hints(source, silence)
        source = torch.where(covers[:, None, None], hints, source)
    context = context_latents(source, case["in_chunk_masks"])
    if "mid_encoder_hidden" in case:
        case.compare("mid_encoder_hidden", rows, MODULE)
    if "mid_encoder_mask" in case:
        case.compare("mid_encoder_mask", valid)
    if "mid_context_latents" in case:
        case.compare("mid_context_latents", context, MODULE)
    null = None
    if not model.config.is_turbo:
        null = model.decoder.remember(model.null_condition_emb.expand(len(rows), -1, -1))
    view = View(model.decoder.remember(rows), context, null)
    if "in_non_cover_text_hidden_states" not in case:
        return view, None
    rows, _ = _encoded(case, text="non_cover_text")
    quiet = silence_frames(silence, source.shape[1]).expand_as(source)
    context = context_latents(quiet, case["in_chunk_masks"])
    if "mid_encoder_hidden_non_cover" in case:
        case.compare("mid_encoder_hidden_non_cover", rows, MODULE)
    if "mid_context_latents_non_cover" in case:
        case.compare("mid_context_latents_non_cover", context, MODULE)
    return view, View(model.decoder.remember(rows), context, null)


def _guidance(params: dict[str, Any], model: AceStep) -> Guidance:
    if model.config.is_turbo:
        return Guidance()
    return Guidance(
        params.get("diffusion_guidance_scale", 7.0),
        params.get("use_adg", False),
        params.get("cfg_interval_start", 0.0),
        params.get("cfg_interval_end", 1.0),
    )


def _wavelet(params: dict[str, Any]) -> Wavelet | None:
    if not params.get("dcw_enabled", True):
        return None
    return Wavelet(
        params.get("dcw_mode", "double"),
        params.get("dcw_scaler", 0.05),
        params.get("dcw_high_scaler", 0.02),
        params.get("dcw_wavelet", "haar"),
    )


def _sampled(case: Case) -> Tensor:
    model, params = _model(case), case.params
    view, other = _views(case)
    plan = schedule.schedule_for(
        is_turbo=model.config.is_turbo,
        steps=params.get("infer_steps"),
        shift=params.get("shift", 1.0),
        times=params.get("timesteps"),
    )
    noise = case["in_noise"]
    if "in_retake_noise" in case:
        noise = varied(noise, case["in_retake_noise"], params["retake_variance"])
    strength = params.get("cover_noise_strength", 0.0)
    plan, start = from_source(plan, noise, case["in_src_latents"], strength)
    held = None
    if "in_repaint_mask" in case:
        held = repaint.Repaint(
            case["in_repaint_mask"],
            case["in_clean_src_latents"],
            params.get("repaint_injection_ratio", 0.5),
            params.get("repaint_crossfade_frames", 10),
        )
    solver = "sde" if params.get("infer_method") == "sde" else params.get("sampler_mode", "euler")
    options = Sampling(
        plan,
        solver=solver,
        guidance=_guidance(params, model),
        norm_threshold=params.get("velocity_norm_threshold", 0.0),
        ema=params.get("velocity_ema_factor", 0.0),
        wavelet=_wavelet(params),
        repaint=held,
        switch=None if other is None else Switch(params.get("audio_cover_strength", 1.0), other),
    )
    draw = listed(list(case["in_step_noises"])) if "in_step_noises" in case else None
    return _finish(sample(model.decoder, noise, view, options, draw=draw, start=start))


def _loop(case: Case) -> None:
    case.tolerance = LOOP
    case.compare("out_latents", _sampled(case))


def _flow_edit(case: Case) -> None:
    case.tolerance = LOOP
    model, params = _model(case), case.params
    old, _ = _encoded(case)
    new, _ = _encoded(case, text="target_text", lyric="target_lyric")
    context = context_latents(case["in_ctx_src_latents"], case["in_chunk_masks"])
    null = None
    if not model.config.is_turbo:
        null = model.decoder.remember(model.null_condition_emb.expand(len(old), -1, -1))
    plan = schedule.edit_schedule(
        steps=params["infer_steps"], shift=params["shift"], times=params.get("timesteps")
    )
    draws = iter(case["in_fwd_noises"])
    latents = _finish(
        flow_edit(
            model.decoder,
            case["in_src_latents"],
            View(model.decoder.remember(old), context, null),
            View(model.decoder.remember(new), context, null),
            Sampling(plan, guidance=_guidance(params, model)),
            Edit(params["edit_n_min"], params["edit_n_max"], params["edit_n_avg"]),
            fresh=lambda: next(draws),
        )
    )
    case.compare("out_latents", latents)


def _whole(case: Case) -> None:
    case.tolerance = WAVE
    latents = _sampled(case)
    case.compare("mid_latents", latents, LOOP)
    audio = _vae(case).decode(latents).transpose(1, 2)
    found = torch.stack([sound.normalised(sound.limited(item)) for item in audio])
    case.compare("out_audio", found)


# Helpers -----------------------------------------------------------------------------------------


def _dcw(case: Case) -> None:
    params = case.params
    for name in case.arrays:
        match = re.fullmatch(r"out_(low|high|double|pix)_(\w+)_(T\d+)", name)
        if match is None:
            continue
        mode, kind, size = match.groups()
        found = wavelet.corrected(
            case[f"in_x_{size}"],
            case[f"in_y_{size}"],
            params["t"],
            mode=mode,
            scaler=params["scaler"],
            high_scaler=params["high_scaler"],
            wavelet=kind,
        )
        case.compare(name, found)


def _guidance_functions(case: Case) -> None:
    projected = guidance.ProjectedGuidance()
    case.compare("out_apg1", projected(case["in_cond1"], case["in_uncond1"], 7.0))
    case.compare("out_apg2", projected(case["in_cond2"], case["in_uncond2"], 7.0))
    c, u, x = case["in_cond1"], case["in_uncond1"], case["in_x"]
    case.compare("out_adg", guidance.angular(x, c, u, 0.6, 5.0))
    case.compare("out_adg_equal", guidance.angular(x, c, c, 0.6, 5.0))
    case.compare("out_cfg", guidance.plain(c, u, 3.0))


def _masks(case: Case) -> None:
    for i, row in enumerate(case.meta["cases"]):
        latents, silence = case["in_latents"][None], case["in_silence"][None]
        task = row["task"].replace("-", "_")
        has_material = row["has_source_audio"] or row["audio_codes"] is not None
        frames = latents.shape[1]
        windows = []
        if row["start"] is not None:
            samples = frames * HOP
            end = min(row["end"], 1e9)
            found = lengths.window_in(samples, row["start"], end)
            windows = [lengths.window_frames(found, frames)]
        made = canvas(
            task,
            latents if has_material else None,
            silence,
            frames=frames,
            windows=windows,
            has_codes=row["audio_codes"] is not None,
            mask_mode=row["chunk_mask_mode"],
        )
        case.equal(f"case {i} is_cover", made.is_cover, row["is_cover"])
        case.equal(f"case {i} mask", made.repaint_mask is not None, row["has_repaint_mask"])
        case.compare(f"out{i}_chunk_mask", made.chunk_mask)
        case.compare(f"out{i}_src_latents", made.source)
        if made.repaint_mask is not None:
            case.compare(f"out{i}_repaint_mask", made.repaint_mask)


def _splice(case: Case) -> None:
    rate = 1000
    for name, starts, ends, fade in (
        ("out_splice", (0.25, 0.0), (0.8, 9.0), 0.05),
        ("out_splice_hard", (0.01, 0.5), (0.8, 1.39), 0.0),
    ):
        items = [
            repaint.spliced(
                case["in_pred"][i],
                case["in_src"][i],
                [(starts[i], ends[i])],
                crossfade_sec=fade,
                sample_rate=rate,
            )
            for i in range(len(starts))
        ]
        case.compare(name, torch.stack(items))
    mask = case["in_mask"]
    case.compare("out_soft_mask", repaint.soft_mask(mask, 4))
    held = repaint.Repaint(mask, case["in_clean"], 1.0, 4)
    case.compare("out_blend", repaint.blended(case["in_x"], held))
    case.compare("out_inject", repaint.injected(case["in_x"], held, case["in_noise"], 0.6))
    for mode, strength, ratio, frames, seconds in case.meta["repaint_config"]:
        found = repaint.repaint_strength(mode, strength)
        row = [found.injection_ratio, found.crossfade_frames, found.crossfade_sec]
        case.close(f"{mode} {strength}", row, [ratio, frames, seconds])


def _post(case: Case) -> None:
    audio = case["in_audio"]
    case.compare("out_norm_m1", sound.normalised(audio, -1.0))
    case.compare("out_norm_m6", sound.normalised(audio, -6.0))
    case.compare("out_quiet", sound.normalised(case["in_quiet"], -1.0))
    case.compare("out_fade", sound.faded(audio, 100, 250))


def _adapter(case: Case) -> None:
    meta = case.meta
    decoder = Decoder(ModelConfig.from_dict(meta["config"]))
    # the salt belongs to names as the checkpoint has them, prefix included
    decoder.load_state_dict(
        {
            name: torch.from_numpy(
                weights.tensor_for(f"decoder.{name}", tuple(tensor.shape), meta["salt"])
            )
            for name, tensor in decoder.state_dict().items()
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        adapter = read_adapter(_written(case, Path(folder)))
        merger = Merger(decoder)
        for name, scale in (
            ("out_base", 0.0),
            ("out_scale1", 1.0),
            ("out_scale04", 0.4),
            ("out_base", 0.0),
        ):
            merger.apply([(adapter, scale)], never)
            memory = decoder.remember(case["in_encoder_hidden_states"])
            out = decoder(
                case["in_hidden_states"], case["in_context_latents"], memory, case["in_timestep"]
            )
            case.compare(name, out)


def _written(case: Case, folder: Path) -> Path:
    """The adapter of a case as its own program would have saved it."""
    meta = case.meta
    alphas = meta.get("alphas", [])
    tensors = {}
    for key, shape in meta["adapter_keys"].items():
        if key.endswith(".alpha"):
            tensors[key] = torch.tensor(float(alphas[0])).reshape(shape)
        else:
            filled = weights.tensor_for(key, tuple(shape), meta["salt"])
            tensors[key] = torch.from_numpy(filled)
    if "rank" in meta:
        config = {
            "peft_type": "LORA",
            "r": meta["rank"],
            "lora_alpha": meta["alpha"],
            "target_modules": meta["target_modules"],
        }
        (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
        save_file(tensors, folder / "adapter_model.safetensors")
        return folder
    for module in {key.rsplit(".", 1)[0] for key in tensors}:
        tensors.setdefault(f"{module}.alpha", torch.tensor(float(alphas[0])))
    config = {"linear_dim": meta["linear_dim"], "linear_alpha": meta["linear_alpha"]}
    path = folder / "lokr_weights.safetensors"
    save_file(tensors, path, metadata={"lokr_config": json.dumps(config)})
    return path


def _alignment(case: Case) -> None:
    model = _model(case)
    memory = model.decoder.remember(case["in_encoder_hidden_states"])
    maps = model.decoder.lyric_attention(
        case["in_hidden_states"],
        case["in_context_latents"],
        memory,
        case["in_timestep"],
        len(model.decoder.layers),
        never,
    )
    case.compare("out_attention", maps)
    chosen = alignment.chosen_heads(case["in_attention"], _heads(case))
    matrix = alignment.consensus(chosen)
    case.compare("out_calc_matrix", matrix)
    starts, ends = alignment.token_times(matrix.double().numpy(), case.meta["duration"])
    case.compare("out_start", torch.from_numpy(starts))
    case.compare("out_end", torch.from_numpy(ends))


def _heads(case: Case) -> dict[int, list[int]]:
    return {int(layer): heads for layer, heads in case.meta["heads"].items()}


def _score(case: Case) -> None:
    gain = alignment.energy(alignment.chosen_heads(case["in_attention"], _heads(case)))
    sung = alignment.sung_rows(case.meta["tokens"])
    path = alignment.warped(np.square(gain))
    found = alignment.score(gain, sung, path)
    case.compare("out_energy", torch.from_numpy(gain))
    case.compare("out_type_mask", torch.from_numpy(sung))
    case.compare("out_path", torch.from_numpy(path))
    metrics = [found.coverage, found.monotonicity, found.confidence]
    case.compare("out_metrics", torch.tensor(metrics, dtype=torch.float64))
    case.compare("out_score", torch.tensor(found.total, dtype=torch.float64))


def _prompts(case: Case) -> None:
    for row in case.meta["table"]:
        wanted = row["request"]
        _prompt(case, row, wanted)


def _prompt(case: Case, row: dict[str, Any], wanted: dict[str, Any]) -> None:
    task = wanted.get("task", "text2music").replace("-", "_")
    tracks = wanted.get("classes") or ([wanted["track"]] if wanted.get("track") else [])
    instruction = wanted.get("instruction") or prompt.instruction_for(task, tracks)
    case.equal("instruction", instruction, row["instruction"])
    caption = wanted["caption"]
    if wanted.get("is_lego_sft"):
        caption = prompt.lego_caption(
            caption,
            wanted.get("global_caption", ""),
            instruction,
            chunk_mask_mode=wanted["chunk_mask_mode"],
        )
    metas = prompt.Metas(
        bpm=wanted.get("bpm"),
        keyscale=wanted.get("key_scale"),
        timesignature=wanted.get("time_signature"),
        duration_sec=wanted.get("duration"),
    )
    case.equal("text_prompt", prompt.text_prompt(instruction, caption, metas), row["text_prompt"])
    if row.get("lyric_prompt") is not None:
        found = prompt.lyric_prompt(
            wanted.get("lyrics", prompt.INSTRUMENTAL),
            wanted.get("vocal_language", prompt.UNKNOWN_LANGUAGE),
        )
        case.equal("lyric_prompt", found, row["lyric_prompt"])
    if row.get("non_cover_prompt") is not None:
        plain = prompt.text_prompt(prompt.instruction_for("text2music"), caption, metas)
        case.equal("non_cover_prompt", plain, row["non_cover_prompt"])


def _tables(case: Case) -> None:
    case.tolerance = 1e-6
    table = case.meta["table"]
    for row in table["durations"]:
        frames = lengths.published_frames(row["duration"])
        case.equal("samples", lengths.published_samples(row["duration"]), row["samples"])
        case.equal("frames", frames, row["frames"])
        case.equal("padded", lengths.padded_frames(frames), row["padded_frames"])
    for row in table["repaint_padding"]:
        samples = int(row["source_seconds"] * 48000)
        window = lengths.window_in(samples, row["repainting_start"], row["repainting_end"])
        padded = samples + window.left_samples + window.right_samples
        case.equal("padded samples", padded, row["padded_samples"])
        case.equal("first sample", window.left_samples, row["source_first_sample"])
        case.close("start", window.start_sec, row["adjusted_start"])
        case.close("end", window.end_sec, row["adjusted_end"])
    for row in table["schedules"]:
        for times, rounded in _schedules(row):
            case.close(f"{row['kind']} {row['steps']}", times, row["t"])
            case.equal(f"{row['kind']} bfloat16", rounded, row["t_bfloat16"])
    for row in table["audio_code_strings"]:
        case.equal("codes", parse_codes(row["text"]), row["codes"])


def _schedules(row: dict[str, Any]) -> Iterator[tuple[list[float], list[float]]]:
    if row["kind"] == "turbo":
        times = schedule.turbo_times(row["steps"], row["shift"])
        yield times, torch.tensor(times, dtype=torch.bfloat16).tolist()
    else:
        steps, shift = row["steps"], row["shift"]
        yield (
            schedule.base_times(steps, shift),
            schedule.base_times(steps, shift, torch.bfloat16),
        )


CASES: dict[str, Callable[[Case], None]] = {
    "01": _rope,
    "02": _attention,
    "03": _time,
    "04": _dit,
    "05": _dit,
    "06": _dit,
    "07": _lyrics,
    "08": _timbre,
    "09": _timbre,
    "10": _condition,
    "11": _condition,
    "12": _tokenizer,
    "13": _code_table,
    "14": _detokenizer,
    "15": _codes,
    "16": _codes,
    "17": _vae_decode,
    "18": _vae_encode,
    "19": _tiled_decode,
    "20": _tiled_encode,
    **{str(number): _loop for number in range(21, 50)},
    "50": _dcw,
    "51": _loop,
    "52": _loop,
    "53": _loop,
    "54": _guidance_functions,
    "55": _flow_edit,
    "56": _flow_edit,
    "57": _masks,
    "58": _splice,
    "59": _text,
    "60": _whole,
    "61": _whole,
    "62": _adapter,
    "63": _adapter,
    "64": _post,
    "65": _prompts,
    "66": _tables,
    "67": _alignment,
    "68": _loop,
    "69": _loop,
    "70": _score,
}
