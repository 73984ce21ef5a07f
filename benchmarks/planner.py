"""Code tokens per second of the planner's decode loop against transformers' `generate`.

    PYTHONPATH=python python benchmarks/planner.py 0.6B --dtype float32 --tokens 40

Both decode guided codes with the same random weights of a published size, the same prompts and
sampling, on the same device, in turns. The prompts' reading is left out. Two clocks: the wall, and
with one thread also the processor's own, which other programs cannot slow down.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from lofi.backends.ace_step_15.planner.brief import Sampling
from lofi.backends.ace_step_15.planner.config import PlannerConfig
from lofi.backends.ace_step_15.planner.decoder import Decoder
from lofi.backends.ace_step_15.planner.flow import CodeTask
from lofi.backends.ace_step_15.planner.network import PlannerNetwork
from lofi.backends.ace_step_15.planner.weights import empty_network
from lofi.nn.packed import can_pack

END, FIRST_CODE, CODES = 151645, 151669, 64000
PROMPT, AWAY = 180, 40
GUIDANCE, SAMPLING = 2.0, Sampling(temperature=0.85, top_p=0.9)


TABLE = Path(__file__).parent / "results" / "planner.json"


class Numbers:
    """Stands in for the vocabulary: texts are numbers of tokens."""

    end = END

    def __init__(self) -> None:
        import numpy as np

        self.known_code_ids = np.arange(FIRST_CODE, FIRST_CODE + CODES)

    def encode(self, text: str) -> list[int]:
        return [place * 7919 % 100_000 for place in range(int(text))]

    def codes_of(self, ids: list[int]) -> list[int]:
        return [token - FIRST_CODE for token in ids if token >= FIRST_CODE]


def random_network(size: str, device: str) -> PlannerNetwork:
    """A network of a published size with random weights, in bfloat16 as the published ones are."""
    folder = Path(__file__).parents[1] / "tests" / "goldens" / "manifests"
    manifest = json.loads((folder / f"ace-step-1.5-lm-{size}.json").read_text(encoding="utf-8"))
    network = empty_network(PlannerConfig.of(manifest["config"])).bfloat16().to_empty(device=device)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            tensor.fill_(1) if name.endswith("norm.weight") else tensor.normal_(std=0.02)
    return network.eval().requires_grad_(False)


def settled(network: PlannerNetwork, dtype: torch.dtype) -> PlannerNetwork:
    """The network as it is loaded to compute in `dtype`."""
    for name, tensor in network.named_parameters():
        if name.endswith("norm.weight"):
            tensor.data = tensor.data.to(dtype)
    is_packed = network.device.type == "cpu" and dtype == torch.float32 and can_pack()
    if not (is_packed and network.pack(lambda: None)):
        network.to(dtype)
    return network


def theirs(network: PlannerNetwork, dtype: torch.dtype) -> torch.nn.Module:
    """transformers' model with the same numbers."""
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

    ours = network.config
    config = Qwen3Config(
        vocab_size=ours.vocab_size,
        hidden_size=ours.hidden_size,
        intermediate_size=ours.intermediate_size,
        num_hidden_layers=ours.num_hidden_layers,
        num_attention_heads=ours.num_attention_heads,
        num_key_value_heads=ours.num_key_value_heads,
        head_dim=ours.head_dim,
        rope_theta=ours.rope_theta,
        rms_norm_eps=ours.rms_norm_eps,
        max_position_embeddings=ours.max_position_embeddings,
        tie_word_embeddings=True,
    )
    weight = network.norm.weight
    with torch.device("meta"):
        model = Qwen3ForCausalLM(config)
    state = {f"model.{name}": tensor.to(dtype) for name, tensor in network.state_dict().items()}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, strict=True, assign=True)
    model.tie_weights()
    model.model.rotary_emb = type(model.model.rotary_emb)(config).to(weight.device)
    model.generation_config = GenerationConfig(eos_token_id=None, pad_token_id=END)
    return model.eval().requires_grad_(False)


Times = list[tuple[float, float]]


def stamp() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def between(stamps: Times) -> Times:
    return [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(stamps)]


def our_times(decoder: Decoder, count: int) -> Times:
    """Wall and processor seconds from each code to the next."""
    task = CodeTask(str(PROMPT), str(AWAY), GUIDANCE, count, SAMPLING, constrained=True)
    return between([stamp() for _ in decoder.codes(task, [1])])


@torch.inference_mode()
def their_times(model: torch.nn.Module, vocabulary: Numbers, count: int) -> Times:
    """Seconds from each token of `generate` to the next: guided, codes only, sampled alike."""
    from transformers import LogitsProcessorList

    device = next(model.parameters()).device
    stamps: Times = []

    def codes_only(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        stamps.append(stamp())
        mask = torch.full_like(scores, -torch.inf)
        mask[:, FIRST_CODE : FIRST_CODE + CODES] = 0
        return scores + mask

    model.generate(
        torch.tensor([vocabulary.encode(str(PROMPT))], device=device),
        negative_prompt_ids=torch.tensor([vocabulary.encode(str(AWAY))], device=device),
        guidance_scale=GUIDANCE,
        do_sample=True,
        temperature=SAMPLING.temperature,
        top_p=SAMPLING.top_p,
        top_k=0,
        max_new_tokens=count,
        logits_processor=LogitsProcessorList([codes_only]),
    )
    return between(stamps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("size", choices=("0.6B", "1.7B", "4B"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    options.load = round(os.getloadavg()[0], 1)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    dtype = getattr(torch, options.dtype)
    network = random_network(options.size, options.device)
    weights = sum(tensor.numel() for tensor in network.layers.parameters())
    weights += (FIRST_CODE + CODES - END) * network.config.hidden_size
    model = theirs(network, dtype)
    start = time.perf_counter()
    network = settled(network, dtype)
    print(f"settled in {time.perf_counter() - start:.1f} s")
    vocabulary = Numbers()
    decoder = Decoder(network, vocabulary, lambda: None)  # type: ignore[arg-type]
    ours: Times = []
    others: Times = []
    for _ in range(options.rounds):
        ours += our_times(decoder, options.tokens)
        others += their_times(model, vocabulary, options.tokens)
    clocks = 2 if torch.get_num_threads() == 1 and options.device == "cpu" else 1
    is_packed = network.packed_bytes > 0
    step_bytes = weights * (2 if is_packed else dtype.itemsize)
    figures: dict[str, Any] = {}
    for clock, name in enumerate(("wall clock", "processor time")[:clocks]):
        fast, slow = (1 / statistics.median(s[clock] for s in times) for times in (ours, others))
        print(
            f"{options.size} {options.dtype} on {options.device}, {torch.get_num_threads()} "
            f"threads, {len(ours)} guided tokens each, {name}: ours {fast:.2f}/s, transformers "
            f"{slow:.2f}/s, ratio {fast / slow:.2f}; weights at {fast * step_bytes / 1e9:.1f} GB/s"
        )
        figures[name] = {
            "ours_per_sec": round(fast, 3),
            "transformers_per_sec": round(slow, 3),
            "ratio": round(fast / slow, 3),
            "weights_gb_per_sec": round(fast * step_bytes / 1e9, 2),
            "is_packed": is_packed,
        }
    keep(options, {"tokens_each": len(ours), "torch": torch.__version__, **figures})


def keep(options: argparse.Namespace, figures: dict[str, Any]) -> None:
    """Puts one run's figures into the table of all, in the place of an earlier run's like it."""
    where = processor() if options.device == "cpu" else torch.cuda.get_device_name(options.device)
    key = f"{where}, {torch.get_num_threads()} threads: {options.size} {options.dtype}"
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.is_file() else {}
    table[key] = {**figures, "load_before": options.load}
    text = json.dumps(dict(sorted(table.items())), indent=1)
    TABLE.write_text(text + "\n", encoding="utf-8")


def processor() -> str:
    """The processor's name and the widest vectors torch uses on it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "cpu")
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


if __name__ == "__main__":
    main()
