"""Golden cases of ACE-Step v1: every `.npz` of its directory against `backends/ace_step_v1`."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from lofi.backends.ace_step_v1 import flow_edit
from lofi.backends.ace_step_v1.apg import Apg, split
from lofi.backends.ace_step_v1.codec import Codec
from lofi.backends.ace_step_v1.conditions import Condition, Erg, branches, edit_branches
from lofi.backends.ace_step_v1.config import (
    DcaeConfig,
    TextConfig,
    TransformerConfig,
    VocoderConfig,
    frames_within,
)
from lofi.backends.ace_step_v1.dcae import Autoencoder
from lofi.backends.ace_step_v1.guidance import PLANE, Guidance, double, star
from lofi.backends.ace_step_v1.lora import Merger, read_adapter
from lofi.backends.ace_step_v1.lyric_encoder import relative_positions
from lofi.backends.ace_step_v1.lyrics.language import language_of
from lofi.backends.ace_step_v1.lyrics.normalise import normalise
from lofi.backends.ace_step_v1.lyrics.tokens import LyricTokenizer, written_ids
from lofi.backends.ace_step_v1.mel import filterbank, log_mel, spectrogram
from lofi.backends.ace_step_v1.noise import SeededNoise
from lofi.backends.ace_step_v1.resample import Resampler
from lofi.backends.ace_step_v1.rope import rotary_for, rotate_pairs
from lofi.backends.ace_step_v1.sampling import (
    denoise,
    extend_canvas,
    from_reference,
    inpaint,
    mixed,
    repaint_canvas,
)
from lofi.backends.ace_step_v1.schedulers import Schedule, Stepper, schedule
from lofi.backends.ace_step_v1.text import TextEncoder, module_name
from lofi.backends.ace_step_v1.transformer import Transformer, time_waves
from lofi.backends.ace_step_v1.velocity import Velocities
from lofi.backends.ace_step_v1.vocoder import Vocoder
from lofi.nn.weight_norm import DIRECTION, GAIN, fold_weight_norm
from tests.parity.outcome import NotRun, Options, Outcome
from tests.weights import fill, tensor_for

Results = dict[str, Any]
"""Tensors and arrays by the names they are stored under."""


def handles(directory: Path) -> bool:
    """Whether the directory holds these cases: only they come with a `glumbconv`."""
    return (directory / "glumbconv.npz").is_file()


def nothing() -> None:
    """The check of a run nobody cancels."""


def stored_shapes(vocoder: Vocoder) -> dict[str, tuple[int, ...]]:
    """Returns the names and shapes of the vocoder's file: its head is weight-normalised."""
    stored: dict[str, tuple[int, ...]] = {}
    for name, tensor in vocoder.state_dict().items():
        shape = tuple(tensor.shape)
        if name.startswith("head.") and name.endswith(".weight"):
            stem = name.removesuffix(".weight")
            stored[stem + GAIN] = (shape[0], *[1] * (len(shape) - 1))
            stored[stem + DIRECTION] = shape
        else:
            stored[name] = shape
    return stored


class Case:
    """One file: its arrays as tensors, its parameters, and the tiny models it speaks of."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            self.arrays = {name: file[name] for name in file.files if name != "meta"}
            self.meta: dict[str, Any] = json.loads(str(file["meta"]))
        self.params: dict[str, Any] = self.meta.get("params", {})
        self.salt: str = self.meta["salt"]

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[f"in.{name}"])

    def get(self, name: str) -> Tensor | None:
        """Returns an input that not every case has."""
        array = self.arrays.get(f"in.{name}")
        return None if array is None else torch.from_numpy(array)

    def config(self, part: str) -> dict[str, Any]:
        """Returns a model's configuration: the only one, or the named one of several."""
        return self.meta["config"].get(part, self.meta["config"])

    def transformer(self) -> Transformer:
        """Returns the filled transformer."""
        model = Transformer(TransformerConfig.read(self.config("transformer"))).eval()
        fill(model, self.salt, self.meta.get("skip_fill", ()))
        return model

    def autoencoder(self) -> Autoencoder:
        """Returns the filled autoencoder."""
        model = Autoencoder(DcaeConfig.read(self.config("dcae"))).eval()
        fill(model, self.salt)
        return model

    def vocoder(self) -> Vocoder:
        """Returns the filled vocoder, its weight norms folded as the loader folds them."""
        model = Vocoder(VocoderConfig.read(self.config("vocoder"))).eval()
        stored = {
            name: torch.from_numpy(tensor_for(name, shape, self.salt))
            for name, shape in stored_shapes(model).items()
        }
        model.load_state_dict(fold_weight_norm(stored))
        return model

    def condition(self, prefix: str = "") -> Condition:
        """Returns the prompt; `prefix` is "target_" for the second one of flow edit."""
        text = "target_text_hidden_states" if prefix else "encoder_text_hidden_states"
        mask = self[f"{prefix}text_attention_mask"]
        return Condition(
            self[text],
            mask.long(),
            self[f"{prefix}lyric_token_idx"],
            self[f"{prefix}lyric_mask"].long(),
            null_states=self.get("encoder_text_hidden_states_null"),
            speaker=self["speaker_embeds"],
        )

    def guidance(self) -> Guidance:
        """Returns the parameters of guidance."""
        values = self.params
        return Guidance(
            values.get("guidance_scale", 15.0),
            values.get("cfg_type", "apg"),
            values.get("guidance_interval", 0.5),
            values.get("guidance_interval_decay", 0.0),
            values.get("min_guidance_scale", 3.0),
            values.get("guidance_scale_text", 0.0),
            values.get("guidance_scale_lyric", 0.0),
        )


class StoredNoise:
    """Gives the steps' noise of a case in order."""

    def __init__(self, case: Case, name: str) -> None:
        self._rows = iter(case[name]) if case.get(name) is not None else iter(())

    def __call__(self, shape: tuple[int, ...]) -> Tensor:
        row = next(self._rows)
        assert tuple(row.shape) == shape
        return row


def last(latents: Iterator[Tensor]) -> Tensor:
    """Returns what a sampling loop ends with."""
    return list(latents)[-1]


@torch.no_grad()
def velocities(
    case: Case, model: Transformer, plan: Schedule, *, together: bool = True
) -> Velocities:
    """Returns the branches of a case's own condition."""
    defaults = case.meta["case"] == "pipeline"
    erg = Erg(
        bool(case.params.get("use_erg_lyric", defaults)),
        bool(case.params.get("use_erg_diffusion", defaults)),
    )
    memory = branches(model, case.condition(), case.guidance(), erg, nothing)
    return Velocities(
        model,
        memory,
        plan.timesteps,
        batch=case["encoder_text_hidden_states"].shape[0],
        together=together,
        weak_null=erg.diffusion,
        check=nothing,
    )


def plan_of(case: Case) -> Schedule:
    """Returns the schedule of a text-to-music case."""
    values = case.params
    return schedule(
        values.get("scheduler_type", "euler"),
        values["infer_steps"],
        chosen=values.get("oss_steps") or (),
    )


def sampled(case: Case, model: Transformer, plan: Schedule, x: Tensor) -> Tensor:
    """Returns the latents of the plain loop from x; with ERG also branch by branch."""
    omega = case.params.get("omega_scale", 10.0)
    results = [
        last(
            denoise(
                x,
                plan,
                velocities(case, model, plan, together=together),
                case.guidance(),
                omega,
                StoredNoise(case, "noise.step"),
            )
        )
        for together in ((True, False) if "erg" in case.meta["case"] else (True,))
    ]
    torch.testing.assert_close(results[0], results[-1], rtol=1e-3, atol=1e-3)
    return results[0]


def text2music(case: Case) -> Results:
    """From noise to latents."""
    return {"out.latents": sampled(case, case.transformer(), plan_of(case), case["noise.init"])}


def retake(case: Case) -> Results:
    """From a mixture of two noises to latents."""
    x = mixed(case["noise.init"], case["noise.retake"], case.params["retake_variance"])
    return {
        "mid.mixed_noise": x,
        "out.latents": sampled(case, case.transformer(), plan_of(case), x),
    }


def repaint(case: Case) -> Results:
    """A section of a source made anew."""
    values, model = case.params, case.transformer()
    plan = schedule(values.get("scheduler_type", "euler"), values["infer_steps"])
    variance = values["retake_variance"]
    start, stop = (frames_within(values[f"repaint_{end}"]) for end in ("start", "end"))
    source = case["src_latents"]
    noise, other = case["noise.init"], case["noise.retake"]
    canvas = repaint_canvas(source, noise, other, start, stop, variance)
    voices = velocities(case, model, plan)
    return {
        "mid.mixed_noise": mixed(noise, other, variance),
        "out.latents": last(inpaint(canvas, plan, voices, case.guidance(), variance)),
    }


def extend(case: Case) -> Results:
    """New music before and after a source."""
    values, model = case.params, case.transformer()
    plan = schedule(values.get("scheduler_type", "euler"), values["infer_steps"])
    source, noise, other = case["src_latents"], case["noise.init"], case["noise.retake"]
    frames = source.shape[-1]
    left = max(0, -frames_within(values["repaint_start"]))
    right = max(0, frames_within(values["repaint_end"]) - frames)
    if left and right:
        right -= left  # the reference subtracts it once more; the case compensates
    canvas = extend_canvas(source, noise, other[..., :left], other[..., frames - right :])
    variance = values["retake_variance"]
    voices = velocities(case, model, plan)
    return {
        "mid.mixed_noise": mixed(noise, other, variance),
        "out.latents": last(inpaint(canvas, plan, voices, case.guidance(), variance)),
    }


def audio2audio(case: Case) -> Results:
    """From a noised reference to latents."""
    values = case.params
    reference = from_reference(
        case["ref_latents"],
        case["noise.init"],
        values.get("scheduler_type", "euler"),
        values["infer_steps"],
        values["ref_audio_strength"],
    )
    assert reference.plan is not None
    return {
        "mid.noised_reference": reference.start,
        "mid.timesteps": reference.plan.timesteps,
        "mid.sigmas": reference.plan.sigmas,
        "out.latents": sampled(case, case.transformer(), reference.plan, reference.start),
    }


@torch.no_grad()
def edit(case: Case) -> Results:
    """Flow edit from one description to another."""
    values, model = case.params, case.transformer()
    plan = schedule("euler", values["infer_steps"])
    guidance = case.guidance()
    source, target = (
        Velocities(
            model,
            edit_branches(model, condition, guidance, nothing),
            plan.timesteps,
            check=nothing,
        )
        for condition in (case.condition(), case.condition("target_"))
    )
    span = flow_edit.Span(values["n_min"], values["n_max"], values["n_avg"])
    latents = flow_edit.edit(
        case["src_latents"],
        plan,
        source,
        target,
        guidance.scale,
        span,
        StoredNoise(case, "noise.forward"),
    )
    return {"out.latents": last(latents)}


def pipeline(case: Case) -> Results:
    """Noise to latents to sound."""
    latents = sampled(case, case.transformer(), plan_of(case), case["noise.init"])
    return {"mid.latents": latents, "out.audio": sound(case, latents, 2)}


def sound(case: Case, latents: Tensor, tile: int) -> Tensor:
    """Returns the stretches of a decode put together."""
    codec = Codec(case.autoencoder(), case.vocoder())
    return torch.cat(list(codec.decode(latents, tile)), dim=-1)


@torch.no_grad()
def block(case: Case) -> Results:
    """One whole block."""
    model = case.transformer()
    tokens, mask = case["encoder_hidden_states"], case["encoder_attention_mask"]
    memory = model.remember(tokens, mask)
    frames = case["attention_mask"]
    out = model.transformer_blocks[1](
        case["hidden_states"],
        case["temb"],
        memory.keys_values[1],
        model.rotary(frames.shape[1]),
        mask.bool()[:, None, None] & frames.bool()[:, None, :, None],
        frames,
    )
    return {"out.out": out}


@torch.no_grad()
def cross_attention(case: Case) -> Results:
    """Cross attention of one block."""
    model = case.transformer()
    memory = model.remember(case["encoder_hidden_states"], case["encoder_attention_mask"])
    x = case["hidden_states"]
    out = model.transformer_blocks[1].cross_attn(
        x, memory.keys_values[1], model.rotary(x.shape[1]), memory.mask[:, None, None]
    )
    return {"out.out": out}


@torch.no_grad()
def linear_attention(case: Case) -> Results:
    """Linear attention of one block, all frames and some hidden."""
    model = case.transformer()
    x = case["hidden_states"]
    attention, rotary = model.transformer_blocks[0].attn, model.rotary(x.shape[1])
    return {
        "out.full": attention(x, rotary, case["attention_mask_full"]),
        "out.masked": attention(x, rotary, case["attention_mask_masked"]),
    }


@torch.no_grad()
def glumbconv(case: Case) -> Results:
    """Feed-forward of one block."""
    return {"out.out": case.transformer().transformer_blocks[0].ff(case["x"])}


@torch.no_grad()
def lyric_encoder(case: Case) -> Results:
    """Lyric tokens to states, some or all of them hidden."""
    model = case.transformer()
    ids = case["lyric_token_idx"]
    embedded = model.lyric_embs(ids)
    states = model.lyric_encoder(embedded, case["lyric_mask"])
    size = model.config.lyric_hidden_size
    return {
        "mid.embed": model.lyric_encoder.embed(embedded),
        "mid.pos_emb": relative_positions(ids.shape[1], size, embedded.device)[None],
        "out.encoder": states,
        "out.projected": model.lyric_proj(states),
    }


@torch.no_grad()
def patch_final(case: Case) -> Results:
    """Into tokens, and out again at three lengths."""
    model, values = case.transformer(), case.params
    x, time = case["hidden_states"], case["embedded_timestep"]
    return {
        "out.patch_embed": model.proj_in(case["latent"]),
        "out.final_layer": model.final_layer(x, time, values["output_length"]),
        "out.final_layer_padded": model.final_layer(x, time, values["output_length_padded"]),
        "out.final_layer_cropped": model.final_layer(x, time, values["output_length_cropped"]),
    }


@torch.no_grad()
def timestep(case: Case) -> Results:
    """Schedule values to embeddings."""
    times = case.transformer().times(case["timestep"])
    return {
        "out.time_proj": time_waves(case["timestep"]),
        "out.embedded_timestep": times.embedded,
        "out.temb": times.modulation,
    }


@torch.no_grad()
def transformer_forward(case: Case) -> Results:
    """The whole network with what happens inside."""
    model = case.transformer()
    given = case.condition()
    tokens, mask = model.encode(
        given.text_states,
        given.text_mask,
        given.lyric_ids,
        given.lyric_mask,
        speaker=given.speaker,
    )
    times, memory = model.times(case["timestep"]), model.remember(tokens, mask)
    frames = case["attention_mask"]
    x = model.proj_in(case["hidden_states"])
    results: Results = {
        "mid.encoder_hidden_states": tokens,
        "mid.encoder_hidden_mask": mask,
        "mid.embedded_timestep": times.embedded,
        "mid.temb": times.modulation,
        "mid.proj_in": x,
    }
    rotary = model.rotary(x.shape[1])
    seen = mask.bool()[:, None, None] & frames.bool()[:, None, :, None]
    for index, layer in enumerate(model.transformer_blocks):
        x = layer(x, times.modulation, memory.keys_values[index], rotary, seen, frames)
        results[f"mid.block_{index}"] = x
    results["out.sample"] = model(case["hidden_states"], times, memory, frame_mask=frames)
    return results


def rope(case: Case) -> Results:
    """Rotary tables and a turned tensor."""
    x = case["x"]
    config = case.meta["config"]
    tables = rotary_for(x.shape[2], config["head_dim"], config["theta"], x)
    turned = rotate_pairs(x.transpose(1, 2), tables).transpose(1, 2)
    return {"out.cos": tables[0], "out.sin": tables[1], "out.rotated": turned}


@torch.no_grad()
def text_encoder(case: Case) -> Results:
    """The text encoder, ordinary and levelled."""
    encoder = TextEncoder(TextConfig.read(case.config("umt5")))
    stored = {
        "shared.weight" if name == "encoder.embed_tokens.weight" else name: tensor.shape
        for name, tensor in encoder.state_dict().items()
    }
    encoder.load_state_dict(
        {
            module_name(name): torch.from_numpy(tensor_for(name, shape, case.salt))
            for name, shape in stored.items()
        }
    )
    ids, mask = case["input_ids"], case["attention_mask"]
    return {
        "out.hidden_states": encoder(ids, mask),
        "out.hidden_states_null": encoder(ids, mask, weakened=True),
    }


def guidance(case: Case) -> Results:
    """Every formula on random predictions."""
    values = case.params
    c, u = case["cond"], case["uncond"]
    only_text, near = case["only_text"], case["uncond_near"]
    running = Apg(PLANE)
    scale = values["apg_momentum"]["scale"]
    parallel, orthogonal = split(c[0], u[0], PLANE)
    results: Results = {
        "mid.project_parallel": parallel,
        "mid.project_orthogonal": orthogonal,
        "out.cfg": u[0] + values["cfg"]["scale"] * (c[0] - u[0]),
        "out.apg_single": Apg(PLANE)(c[0], u[0], values["apg_single"]["scale"]),
        "out.apg_below_threshold": Apg(PLANE)(c[0], near, values["apg_below_threshold"]["scale"]),
        "out.double": double(
            c[0],
            only_text,
            u[0],
            values["double"]["guidance_scale_text"],
            values["double"]["guidance_scale_lyric"],
        ),
    }
    for index in range(values["apg_momentum"]["calls"]):
        results[f"out.apg_momentum_{index}"] = running(c[index], u[index], scale)
    for name, step in (("cfg_star", 2), ("cfg_star_i0", 0), ("cfg_star_i1", 1)):
        results[f"out.{name}"] = star(c[0], u[0], values["cfg_star"]["scale"], step)
    return results


def guidance_interval(case: Case) -> Results:
    """Which steps are guided, and how strongly where the scale decays."""
    rows = []
    for entry in case.params["entries"]:
        span = Guidance(interval=entry["guidance_interval"]).span(entry["steps"])
        rows.append((span.start, span.stop))
    for entry in case.params["decay"]:
        settings = Guidance(
            scale=entry["guidance_scale"],
            interval=entry["guidance_interval"],
            interval_decay=entry["guidance_interval_decay"],
            min_scale=entry["min_guidance_scale"],
        )
        for step, expected in entry["scale_at"].items():
            np.testing.assert_allclose(
                settings.scale_at(int(step), entry["steps"]), expected, rtol=1e-6
            )
    return {"out.start_end": np.array(rows)}


def schedules(case: Case) -> Results:
    """Timesteps and levels of all three schedulers."""
    results: Results = {}
    for entry in case.params["entries"]:
        plan = schedule(entry["scheduler"], entry["steps"], sigma_max=entry["sigma_max"])
        results[f"out.{entry['key']}_timesteps"] = plan.timesteps
        results[f"out.{entry['key']}_sigmas"] = plan.sigmas
    return results


def oss_schedule(case: Case) -> Results:
    """Schedules of chosen steps."""
    results: Results = {}
    for kind in ("euler", "pingpong"):
        plan = schedule(kind, 60, chosen=case.params["oss_steps"])
        results[f"out.{kind}_timesteps"] = plan.timesteps
        results[f"out.{kind}_sigmas"] = plan.sigmas
    return results


def sampler(case: Case) -> Results:
    """A solver on a velocity with a formula."""
    kind = case.meta["case"].removeprefix("sampler_")
    results: Results = {}
    for omega in case.params["omega"]:
        plan = schedule(kind, case.params["steps"])
        stepper = Stepper(plan, omega, StoredNoise(case, "noise.step"))
        x, trajectory = case["x_init"], []
        for index, t in enumerate(plan.timesteps):
            v = 0.8 * x * torch.cos(0.003 * t) + 0.3 * torch.sin(2 * x + 0.01 * t) - 0.1
            x = stepper.step(index, x, v)
            trajectory.append(x)
        results[f"out.final_omega{omega:g}"] = x
        if omega == 10:
            results["mid.trajectory_omega10"] = torch.stack(trajectory)
    return results


def seeds(case: Case) -> Results:
    """What seeds mean as noise."""
    results: Results = {}
    frames = case.params["frames"]
    for entry in case.params["entries"]:
        own = entry["actual_seeds"]
        noise = SeededNoise(own, own)
        shape = (entry["batch_size"], 8, 16, frames)
        results[f"out.{entry['key']}"] = noise.initial(shape)
        results[f"out.{entry['key']}_next_from_first"] = noise.step(shape)
    return results


def frame_lengths(case: Case) -> Results:
    """Seconds to frames."""
    return {
        "out.duration_frames": np.array([frames_within(s) for s in case.params["durations"]]),
        "out.offset_frames": np.array([frames_within(s) for s in case.params["offsets"]]),
    }


def mel(case: Case) -> Results:
    """The spectrogram, its bank, and the log mel."""
    audio = case["audio"]
    return {
        "mid.mel_filterbank": filterbank(),
        "mid.linear": spectrogram(audio)[:, ::16],
        "out.mel": log_mel(audio),
    }


def resample(case: Case) -> Results:
    """Every pair of rates."""
    return {
        f"out.{entry['key']}": Resampler(entry["from"], entry["to"])(case[entry["key"]])
        for entry in case.params["entries"]
    }


@torch.no_grad()
def dcae(case: Case) -> Results:
    """The autoencoder without its scaling."""
    model = case.autoencoder()
    return {"out.encoded": model.encoder(case["mel"]), "out.decoded": model.decoder(case["latent"])}


@torch.no_grad()
def vocoder(case: Case) -> Results:
    """Mel to sound."""
    model = case.vocoder()
    return {
        "mid.backbone": model.backbone(case["mel"].mT).mT,
        "out.audio": model(case["mel"]),
    }


def codec_decode(case: Case) -> Results:
    """Latents to sound at both rates, tile by tile."""
    codec = Codec(case.autoencoder(), case.vocoder())
    with torch.inference_mode():
        native = torch.cat(list(codec.native_stretches(case["latents"], 2, nothing)), dim=-1)
    return {"out.audio_44k": native, "out.audio_48k": sound(case, case["latents"], 1)}


def codec_decode_overlap(case: Case) -> Results:
    """The published procedure for long latents."""
    values = case.params
    key = int(values["latents_rule"].split("key=")[1].split(")")[0])
    rng = np.random.Generator(np.random.Philox(key=key))
    latents = torch.from_numpy(rng.standard_normal((1, 8, 16, values["frames"])).astype(np.float32))
    audio = Codec(case.autoencoder(), case.vocoder()).decode_windows(latents)
    assert audio.shape[-1] == values["length"]
    return {"out.audio": audio[:, :: values["stored_every"]]}


def codec_encode(case: Case) -> Results:
    """Sound at two rates to latents."""
    codec = Codec(case.autoencoder(), case.vocoder())
    results: Results = {}
    for name, rate in (("48k", 48000), ("44k", 44100)):
        audio = case[f"audio_{name}"][0]
        results[f"out.latents_{name}"] = last(codec.encode(audio, rate, 2))
        results[f"out.length_{name}"] = np.array([frames_within(audio.shape[-1] / rate)])
    results["out.latents_48k_default"] = results["out.latents_48k"]
    return results


def lora(case: Case) -> Results:
    """An adapter's file merged at several strengths, and taken out again."""
    model = case.transformer()
    factors = {
        name.removeprefix("in.lora:"): torch.from_numpy(array)
        for name, array in case.arrays.items()
        if name.startswith("in.lora:")
    }
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, file = Path(folder) / "model.safetensors", Path(folder) / case.params["file"]
        save_file(model.state_dict(), checkpoint)
        save_file(factors, file, metadata=case.params["metadata"])
        merger, adapter = Merger(model, checkpoint), read_adapter(file)
        results: Results = {"out.weight_none": _one_evaluation(case, model)}
        for strength in case.params["weights"]:
            merger.apply([(adapter, "1", strength)], nothing)
            results[f"out.weight_{strength:g}"] = _one_evaluation(case, model)
        merger.apply([], nothing)
        results["out.unloaded"] = _one_evaluation(case, model)
    assert torch.equal(results["out.unloaded"], results["out.weight_none"])
    return results


@torch.no_grad()
def _one_evaluation(case: Case, model: Transformer) -> Tensor:
    given = case.condition()
    tokens, mask = model.encode(
        given.text_states, given.text_mask, given.lyric_ids, given.lyric_mask, speaker=given.speaker
    )
    times = model.times(case["timestep"])
    frames = case["attention_mask"]
    return model(case["hidden_states"], times, model.remember(tokens, mask), frame_mask=frames)


RUNNERS: dict[str, Callable[[Case], Results]] = {
    "audio2audio": audio2audio,
    "block": block,
    "codec_decode": codec_decode,
    "codec_decode_overlap": codec_decode_overlap,
    "codec_encode": codec_encode,
    "cross_attention": cross_attention,
    "dcae": dcae,
    "edit": edit,
    "extend": extend,
    "frame_lengths": frame_lengths,
    "glumbconv": glumbconv,
    "guidance": guidance,
    "guidance_interval": guidance_interval,
    "linear_attention": linear_attention,
    "lora": lora,
    "lyric_encoder": lyric_encoder,
    "mel": mel,
    "oss_schedule": oss_schedule,
    "patch_final": patch_final,
    "pipeline": pipeline,
    "repaint": repaint,
    "resample": resample,
    "retake": retake,
    "rope": rope,
    "sampler": sampler,
    "schedules": schedules,
    "seeds": seeds,
    "t2m": text2music,
    "text_encoder": text_encoder,
    "timestep": timestep,
    "transformer_forward": transformer_forward,
    "vocoder": vocoder,
}


def runner_for(name: str) -> Callable[[Case], Results] | None:
    """Returns the function for a case: its own, or that of the longest name it begins with."""
    fitting = [known for known in RUNNERS if name == known or name.startswith(f"{known}_")]
    return RUNNERS[max(fitting, key=len)] if fitting else None


def compare(case: Case, results: Results) -> Outcome:
    """Returns the worst result as a share of its tolerance; every stored result must be there."""
    name = str(case.meta["case"])
    worst, where = 0.0, ""
    for key, expected in case.arrays.items():
        if key.startswith("in."):
            continue
        if key not in results:
            return Outcome(name, float("nan"), 1.0, f"no {key}")
        error = _error(results[key], expected, case.meta["tolerance"].get(key))
        if not error <= worst:
            worst, where = error, key
    return Outcome(name, worst, 1.0, where)


def _error(value: Tensor | np.ndarray, expected: np.ndarray, limits: Any) -> float:
    got = value.detach().numpy() if isinstance(value, Tensor) else value
    if got.shape != expected.shape:
        return float("nan")
    if limits is None or not np.issubdtype(expected.dtype, np.floating):
        return 0.0 if np.array_equal(got, expected) else float("inf")
    distance = np.abs(got.astype(np.float64) - expected)
    allowed = limits["atol"] + limits["rtol"] * np.abs(expected)
    return float(np.max(distance / np.maximum(allowed, 1e-30))) if expected.size else 0.0


def lyric_tokens(case: Case, vocabulary: Path) -> Outcome:
    """Every line's spoken form and ids in the stored language; whole lyrics where ours agrees."""
    digest = hashlib.sha256(vocabulary.read_bytes()).hexdigest()
    if digest != case.params["vocab_sha256"]:
        return Outcome("lyric_tokens", float("nan"), 0.0, f"{vocabulary} is another vocabulary")
    tokenizer = LyricTokenizer(vocabulary)
    lines = wrong = agreed = 0
    for entry in case.params["entries"]:
        spoken = [line for line in entry["lines"] if line["language"] is not None]
        same = True
        for stored in spoken:
            line, language = stored["line"].strip(), stored["language"]
            lines += 1
            wrong += normalise(line, language) != stored["normalised"]
            wrong += tokenizer.encode(line, language) != stored["ids"]
            ours = language_of(line, entry["text"]) == language
            agreed += ours
            same = same and ours
        if same:
            wrong += written_ids(entry["text"], vocabulary, "unknown") != entry["ids"]
    return Outcome("lyric_tokens", wrong, 0.0, f"languages agree on {agreed} of {lines} lines")


def run(path: Path, options: Options) -> list[Outcome | NotRun]:
    """Returns what one file showed."""
    case = Case(path)
    name = str(case.meta["case"])
    if name == "lyric_tokens":
        if options.lyric_vocab is None:
            return [NotRun(name, "not run: needs --lyric-vocab PATH")]
        return [lyric_tokens(case, options.lyric_vocab)]
    run_case = runner_for(name)
    if run_case is None:
        return [Outcome(name, float("nan"), 1.0, "no runner knows this case")]
    return [compare(case, run_case(case))]
