"""The decode loop against slower ways to the same result, and against transformers."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lofi.backends.ace_step_15.planner import prompts
from lofi.backends.ace_step_15.planner.brief import Brief, Sampling
from lofi.backends.ace_step_15.planner.config import PlannerConfig, read_config
from lofi.backends.ace_step_15.planner.constraint import Rules
from lofi.backends.ace_step_15.planner.decoder import Decoder
from lofi.backends.ace_step_15.planner.flow import CodeTask, TextTask
from lofi.backends.ace_step_15.planner.network import PlannerNetwork
from lofi.backends.ace_step_15.planner.planner import Planner, finished
from lofi.backends.ace_step_15.planner.sampling import guided
from lofi.backends.ace_step_15.planner.vocabulary import Vocabulary
from lofi.backends.ace_step_15.planner.weights import load_network
from lofi.errors import InvalidPrompt, ModelLoadFailed
from lofi.nn.packed import can_pack
from lofi.worker.backend import Notice
from tests.backends.ace_step_15.planner.conftest import CPU, GOLDENS, never
from tests.checkpoints import ace_step_15_lm as checkpoints
from tests.weights import fill

if TYPE_CHECKING:
    from lofi.backends.ace_step_15.planner.fallback import FallbackNetwork

TASK = CodeTask(
    prompt=prompts.generate("lofi", "la", "<think>\nbpm: 90\n</think>"),
    away=prompts.generate_away("a very long list of things that should not be heard " * 3),
    guidance=2.0,
    count=20,
    sampling=Sampling(temperature=0),
    constrained=True,
)


@pytest.fixture(scope="module")
def network() -> PlannerNetwork:
    made = load_network(GOLDENS / "tiny_lm", CPU, torch.float32, never)
    assert isinstance(made, PlannerNetwork)
    return made


def test_the_cache_changes_nothing(network: PlannerNetwork) -> None:
    ids = torch.arange(20)[None] * 37 % 1000
    with torch.inference_mode():
        whole = network(ids, network.cache(1, 20), never)
        cache = network.cache(1, 20)
        parts = [network(part, cache, never) for part in ids.split([7, 1, 5, 1, 6], dim=1)]
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-5)


def test_columns_before_a_row_begins_hold_no_stray_memory(network: PlannerNetwork) -> None:
    cache = network.cache(2, 16, (0, 5))
    assert all(not tensor[:, :, :5].any() for tensor in [*cache.keys, *cache.values])


def slow_codes(network: PlannerNetwork, vocabulary: Vocabulary, task: CodeTask) -> list[int]:
    """Guided greedy codes, reading both prompts anew for each code, with the whole head."""
    toward, away = vocabulary.encode(task.prompt), vocabulary.encode(task.away)
    codes = torch.from_numpy(vocabulary.known_code_ids)
    found: list[int] = []
    for _ in range(task.count or 0):
        logits = []
        for prompt in (toward, away):
            ids = torch.tensor([prompt + found])
            hidden = network(ids, network.cache(1, ids.shape[1]), never)
            logits.append(network.head(hidden[:, -1]))
        mixed = guided(logits[0], logits[1], task.guidance)[0]
        found.append(int(codes[mixed[codes].argmax()]))
    return vocabulary.codes_of(found)


@pytest.mark.parametrize("longer", ["toward", "away"])
@torch.inference_mode()
def test_batched_guidance_equals_two_separate_models(
    network: PlannerNetwork, vocabulary: Vocabulary, longer: str
) -> None:
    task = TASK if longer == "away" else replace(TASK, away=prompts.generate_away(""))
    (codes,) = finished(Decoder(network, vocabulary, never).codes(task, [1]))
    assert codes == slow_codes(network, vocabulary, task)


def test_a_text_that_begins_the_prompt_is_not_read_again(
    network: PlannerNetwork, vocabulary: Vocabulary
) -> None:
    task = replace(TASK, away=prompts.generate_away(""))
    (alone,) = finished(Decoder(network, vocabulary, never).codes(task, [1]))
    read = 0

    class Counting(PlannerNetwork):
        def forward(self, ids, cache, check):  # type: ignore[no-untyped-def]
            nonlocal read
            read += ids.shape[1]
            return super().forward(ids, cache, check)

    counting = Counting(network.config)
    counting.load_state_dict(network.state_dict())
    decoder = Decoder(counting, vocabulary, never)
    text = TextTask(prompts.generate("lofi", "la"), Rules(), Sampling(temperature=0))
    finished(decoder.text(text, 1))
    read = 0
    (codes,) = finished(decoder.codes(task, [1]))
    assert codes == alone
    prompt, away = (len(vocabulary.encode(text)) for text in (task.prompt, task.away))
    assert read < prompt + away + 19 - 50


def test_eight_runs_side_by_side_equal_single_ones(
    network: PlannerNetwork, vocabulary: Vocabulary
) -> None:
    task = replace(TASK, sampling=Sampling(temperature=1.0, top_p=0.9))
    seeds = list(range(10))
    runs = finished(Decoder(network, vocabulary, never).codes(task, seeds))
    for seed, run in zip(seeds, runs, strict=True):
        assert [run] == finished(Decoder(network, vocabulary, never).codes(task, [seed]))
    assert len({tuple(run) for run in runs}) == len(seeds)


def test_the_second_attempt_draws_differently(
    network: PlannerNetwork, vocabulary: Vocabulary
) -> None:
    task = replace(TASK, sampling=Sampling())
    first = finished(Decoder(network, vocabulary, never).codes(task, [1]))
    again = finished(Decoder(network, vocabulary, never).codes(replace(task, attempt=1), [1]))
    assert first != again


def test_one_stretch_of_the_head_serves_where_code_ids_are_contiguous() -> None:
    made = Vocabulary(checkpoints.tokenizer(range(64000)))
    assert made.code_ids[63999] - made.code_ids[0] == 63999
    config = PlannerConfig.of({**checkpoints.TINY, "vocab_size": made.size})
    network = PlannerNetwork(config)
    fill(network, "contiguous")
    decoder = Decoder(network, made, never)
    rows, ids, mask = decoder._code_rows(TASK)
    assert isinstance(rows, slice)
    assert ids[0] == made.end and not mask[0]
    assert np.array_equal(ids[mask].numpy(), made.code_ids)
    task = replace(TASK, count=5)
    (codes,) = finished(decoder.codes(task, [1]))
    assert codes == slow_codes(network, made, task)


def test_a_prompt_that_fills_the_memory_is_refused(vocabulary: Vocabulary) -> None:
    config = PlannerConfig.of(
        {**checkpoints.TINY, "vocab_size": vocabulary.size, "max_position_embeddings": 128}
    )
    network = PlannerNetwork(config)
    fill(network, "short")
    with pytest.raises(InvalidPrompt, match="of 128 tokens"):
        finished(Decoder(network, vocabulary, never).codes(TASK, [1]))


def by_transformers(folder: Path) -> FallbackNetwork:
    from lofi.backends.ace_step_15.planner.fallback import load_fallback  # it takes seconds

    return load_fallback(folder, read_config(folder), CPU, torch.float32, never)


@pytest.fixture(scope="module")
def second_opinion() -> FallbackNetwork:
    return by_transformers(GOLDENS / "tiny_lm")


@torch.inference_mode()
def test_transformers_computes_the_same(
    network: PlannerNetwork, second_opinion: FallbackNetwork
) -> None:
    ids = torch.arange(40)[None] * 29 % 1069
    ours = network.head(network(ids, network.cache(1, 40), never))
    theirs = second_opinion.head(second_opinion(ids, second_opinion.cache(1, 40), never))
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_transformers_decodes_the_same(
    network: PlannerNetwork, second_opinion: FallbackNetwork, vocabulary: Vocabulary
) -> None:
    text = TextTask(prompts.generate("lofi", "la"), Rules(), Sampling())
    found = []
    for each in (network, second_opinion):
        decoder = Decoder(each, vocabulary, never)
        written = finished(decoder.text(text, 5))
        found.append((written, finished(decoder.codes(TASK, [1, 2]))))
    assert found[0] == found[1]


@pytest.mark.skipif(not can_pack(), reason="this build of torch packs nothing")
@torch.inference_mode()
def test_packed_weights_compute_what_wide_ones_do(models: Path) -> None:
    folder = models / "acestep-5Hz-lm-0.6B"
    packed = load_network(folder, CPU, torch.float32, never)
    wide = by_transformers(folder)
    assert isinstance(packed, PlannerNetwork) and packed.packed_bytes > 0
    ids = torch.arange(40)[None] * 29 % read_config(folder)["vocab_size"]
    ours, theirs = (each(ids, each.cache(1, 40), never) for each in (packed, wide))
    assert torch.allclose(ours, theirs, atol=1e-4)
    for rows in (None, slice(3, 70), torch.tensor([5, 2, 700])):
        for hidden in (ours[0, -1], ours[0, -2:]):
            assert torch.allclose(packed.head(hidden, rows), wide.head(hidden, rows), atol=1e-4)


def test_numbers_no_float16_holds_are_not_packed(tmp_path: Path, vocabulary: Vocabulary) -> None:
    folder = checkpoints.write(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 4] = 1e6
    save_file(weights, folder / "model.safetensors")
    network = load_network(folder, CPU, torch.float32, never)
    assert isinstance(network, PlannerNetwork) and network.packed_bytes == 0
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    assert float(network.layers[1].mlp.up_proj.weight[3, 4]) == float(torch.tensor(1e6).bfloat16())


@pytest.mark.skipif(not can_pack(), reason="this build of torch packs nothing")
def test_packing_is_left_when_cancelled(models: Path) -> None:
    folder = models / "acestep-5Hz-lm-0.6B"
    calls: list[None] = []
    load_network(folder, CPU, torch.float32, lambda: calls.append(None))
    tensor_count = len(load_file(folder / "model.safetensors"))
    assert len(calls) > 2 * tensor_count + 2  # read, looked through, then packed

    class Cancelled(Exception):
        pass

    left = itertools.count(len(calls) - 1, -1)

    def check() -> None:
        if next(left) == 0:
            raise Cancelled

    with pytest.raises(Cancelled):
        load_network(folder, CPU, torch.float32, check)


def test_a_planner_built_otherwise_runs_through_transformers(tmp_path: Path) -> None:
    folder = checkpoints.write(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    scaled = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e6}
    (folder / "config.json").write_text(json.dumps({**config, "rope_scaling": scaled}))
    planner = Planner()
    events = list(planner.load(tmp_path, "0.6b", "cpu", torch.float32, never))
    assert isinstance(events[-1], Notice) and events[-1].code == "DEGRADED"
    assert planner.size_bytes > 0
    plan = planner.plan(Brief("lofi", "la", duration_sec=10.0), 3, never)
    assert len(plan.codes) == 50


def test_another_kind_of_network_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.write(tmp_path)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ModelLoadFailed, match="another kind"):
        finished(Planner().load(tmp_path, "0.6b", "cpu", torch.float32, never))
