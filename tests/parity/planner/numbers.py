"""Sampling arithmetic, scores, alignment, and a tiny model."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lofi.backends.ace_step_15 import alignment
from lofi.backends.ace_step_15.planner.brief import Sampling
from lofi.backends.ace_step_15.planner.codes import read_tokens
from lofi.backends.ace_step_15.planner.constraint import Rules
from lofi.backends.ace_step_15.planner.decoder import Decoder
from lofi.backends.ace_step_15.planner.flow import CodeTask, TextTask
from lofi.backends.ace_step_15.planner.network import Network, PlannerNetwork
from lofi.backends.ace_step_15.planner.planner import finished
from lofi.backends.ace_step_15.planner.reading import read_block
from lofi.backends.ace_step_15.planner.sampling import (
    candidates,
    guided,
    penalised,
    probabilities,
)
from lofi.backends.ace_step_15.planner.scores import Judge, overall, score_of_gain
from lofi.backends.ace_step_15.planner.vocabulary import Vocabulary
from lofi.backends.ace_step_15.planner.weights import load_network
from lofi.backends.ace_step_15.prompt import lyric_header
from lofi.subtitles import Cue, to_lrc
from tests.parity.planner.tally import Tally

GREEDY = Sampling(temperature=0)
CPU = torch.device("cpu")


def never() -> None:
    """Nobody cancels a golden case."""


def _row(values: list[float | None]) -> Tensor:
    return torch.tensor([-np.inf if value is None else value for value in values])


def _distance(ours: Tensor, theirs: Tensor) -> float:
    """The worst difference; places where only one side is excluded count as infinite."""
    excluded = theirs.isneginf()
    if not torch.equal(ours.isneginf(), excluded):
        return float("inf")
    return float((ours[~excluded] - theirs[~excluded]).abs().max())


def sampling(content: dict[str, Any], root: Path) -> Tally:
    """Guidance, top-k, top-p, penalty, and one whole step in the PyTorch order."""
    tally = Tally()
    for case in content["cfg_combine"]:
        ours = guided(_row(case["cond"])[None], _row(case["uncond"])[None], case["scale"])[0]
        tally.near("guidance", _distance(ours, _row(case["result"])), 1e-5)
    for case in content["top_k"]:
        kept = _kept(_row(case["logits"]), Sampling(top_k=case["k"] or 0))
        tally.same("top-k", kept, case["kept"], case["kind"])
    for case in content["top_p"]:
        kept = _kept(_row(case["logits"]), Sampling(top_p=case["p"] or 1.0))
        where = f"{case['kind']} {case['p']}"
        if case.get("tie"):
            tally.same("top-p", len(kept), len(case["kept"]), where)
        else:
            tally.same("top-p", kept, case["kept"], where)
    for case in content["repetition_penalty"]:
        ours = penalised(_row(case["logits"]), case["history"], case["penalty"])
        tally.near("penalty", _distance(ours, _row(case["result"])), 1e-5)
    for case in content["one_step_pipelines"]:
        _step(tally, case)
    return tally


def _kept(logits: Tensor, sampling: Sampling) -> list[int]:
    values, places = candidates(logits[None], sampling)
    return sorted(places[0][values[0].isfinite()].tolist())


def _step(tally: Tally, case: dict[str, Any]) -> None:
    logits = guided(_row(case["cond"])[None], _row(case["uncond"])[None], case["cfg_scale"])[0]
    mask = torch.zeros(len(logits), dtype=torch.bool)
    mask[case["allowed"]] = True
    logits = logits.masked_fill(~mask, -torch.inf)
    history = case["prompt_ids"] + case["completion_ids"]
    logits = penalised(logits, history, case["repetition_penalty"])
    settings = Sampling(
        temperature=case["temperature"], top_k=case["top_k"] or 0, top_p=case["top_p"] or 1.0
    )
    ours = probabilities(logits[None], settings)[0]
    wanted = case["order_a"]
    tally.same("one step, kept", ours.nonzero()[:, 0].tolist(), wanted["kept"])
    error = float((ours - torch.tensor(wanted["probs"])).abs().max())
    tally.near("one step, probabilities", error, 1e-5)


def scoring(content: dict[str, Any], root: Path) -> Tally:
    """Score formulas, warping, and lyric alignment."""
    tally = Tally()
    vocabulary = Vocabulary.load(root / "tokenizer")
    for case in content["pmi_to_score"]:
        tally.near("scores", abs(score_of_gain(case["pmi"], case["scale"]) - case["score"]), 1e-4)
    for case in content["reward"]:
        tally.near("overall", abs(overall(case["scores"]) - case["reward"]), 1e-4)
    for case in content["dtw"]:
        path = alignment.warped(-np.array(case["cost"]))
        tally.same("warping", path[:, 0].tolist(), case["text_indices"])
        tally.same("warping", path[:, 1].tolist(), case["time_indices"])
    for case in content["alignment"]:
        _alignment(tally, vocabulary, case)
    for case in content["lrc_format"]:
        cue = Cue(case["start"], case["end"], case["text"])
        tally.same("LRC lines", to_lrc([cue]), case["lrc"])
        tally.same("LRC lines", to_lrc([cue], with_ends=True), case["lrc_with_end"])
    for case in content["lyric_segment"]:
        _segment(tally, vocabulary, case)
    return tally


def _alignment(tally: Tally, vocabulary: Vocabulary, case: dict[str, Any]) -> None:
    heads = {int(layer): chosen for layer, chosen in case["heads"].items()}
    maps = alignment.chosen_heads(torch.tensor(case["attention"]), heads)
    if "duration" in case:
        _timing(tally, vocabulary, maps, case)
    wanted = case["score"]
    energy = alignment.energy(maps)
    sung = alignment.sung_rows(alignment.token_texts(case["token_ids"], vocabulary.decode))
    path = alignment.warped(energy**2)
    score = alignment.score(energy, sung, path)
    tally.same("sung rows", sung.tolist(), wanted["lyric_row_mask"])
    if "path" in wanted:
        tally.same("score paths", path.tolist(), wanted["path"])
    tally.near("lyric scores", abs(score.coverage - wanted["coverage"]), 1e-4)
    tally.near("lyric scores", abs(score.monotonicity - wanted["monotonicity"]), 1e-4)
    tally.near("lyric scores", abs(score.confidence - wanted["confidence"]), 1e-4)
    tally.near("lyric scores", abs(score.total - wanted["score"]), 1e-4)


def _timing(tally: Tally, vocabulary: Vocabulary, maps: Tensor, case: dict[str, Any]) -> None:
    gain = alignment.consensus(maps).double().numpy()
    tally.near("consensus", float(np.abs(gain - np.array(case["calc_matrix"])).max()), 1e-4)
    starts, ends = alignment.token_times(gain, case["duration"])
    for token, start, end in zip(case["tokens"], starts, ends, strict=True):
        tally.near("token times", max(abs(start - token["start"]), abs(end - token["end"])), 1e-3)
    found = alignment.lines(
        alignment.token_texts(case["token_ids"], vocabulary.decode), starts, ends
    )
    sentences = case["sentences"]
    tally.same("lines", [line.text for line in found], [item["text"] for item in sentences])
    for line, item in zip(found, sentences, strict=False):
        error = max(abs(line.start_sec - item["start"]), abs(line.end_sec - item["end"]))
        tally.near("line times", error, 1e-3)
    cues = [Cue(line.start_sec, line.end_sec, line.text) for line in found]
    tally.same("LRC", to_lrc(cues), case["lrc"])
    tally.same("LRC", to_lrc(cues, with_ends=True), case["lrc_with_end"])


def _segment(tally: Tally, vocabulary: Vocabulary, case: dict[str, Any]) -> None:
    """Where the words of a song lie among the ids of its lyric prompt."""
    start = len(vocabulary.encode(lyric_header(case["language"])))
    ids = case["sequence"]
    mark = case["end_marker_id"]
    end = ids.index(mark) if mark in ids else len(ids)
    tally.same("lyric segments", (start, end), (case["start"], case["end"]))
    tally.same("lyric segments", ids[start:end], case["lyric_ids"])


# the tiny model


def tiny(content: dict[str, Any], root: Path) -> Tally:
    """Logits, cached decoding, greedy runs and scores, from both key styles."""
    tally = Tally()
    vocabulary = Vocabulary.load(root / "tokenizer")
    networks = list(_networks(root / "tiny_lm"))
    first, second = (network.state_dict() for network in networks)
    tally.same("both key styles, names", list(first), list(second))
    for name, tensor in first.items():
        tally.holds("both key styles, tensors", torch.equal(tensor, second[name]), name)
    network = networks[0]
    with torch.inference_mode():
        for case in content["prefill"]:
            _prefill(tally, network, case)
        _incremental(tally, network, content["incremental"])
    for case in content["greedy_runs"]:
        _greedy(tally, network, vocabulary, case)
    judge = Judge(network, vocabulary, never)
    for case in content["likelihood"]:
        ours = judge.likelihood(case["prompt"], case["target"])
        tally.near("likelihood", abs(ours - case["mean_logprob"]), 1e-3)
        for top, recall in case["recall"].items():
            error = abs(judge.recall(case["prompt"], case["target"], int(top)) - recall)
            tally.near("recall", error, 2e-3)
    for case in content["scores"]:
        _scores(tally, judge, case)
    return tally


def _networks(folder: Path) -> Iterator[PlannerNetwork]:
    for name in ("model.safetensors", "model_bare_keys.safetensors"):
        with tempfile.TemporaryDirectory() as temporary:
            place = Path(temporary)
            shutil.copy(folder / "config.json", place)
            shutil.copy(folder / name, place / "model.safetensors")
            network = load_network(place, CPU, torch.float32, never)
            assert isinstance(network, PlannerNetwork)
            yield network


def _prefill(tally: Tally, network: Network, case: dict[str, Any]) -> None:
    ids = torch.tensor([case["ids"]])
    hidden = network(ids, network.cache(1, ids.shape[1]), never)[0]
    logits = network.head(hidden)
    error = float((logits[-1] - torch.tensor(case["last_logits"])).abs().max())
    tally.near("prefill logits", error, 1e-3)
    best = logits.argmax(-1).tolist()
    tally.same("prefill best ids", best, case["argmax_per_position"])
    spread = logits[:-1].log_softmax(-1).gather(1, ids[0, 1:, None])
    tally.near("prefill likelihood", abs(float(spread.mean()) - case["mean_logprob_next"]), 1e-3)


def _incremental(tally: Tally, network: Network, case: dict[str, Any]) -> None:
    prompt = torch.tensor([case["prompt_ids"]])
    cache = network.cache(1, prompt.shape[1] + len(case["steps"]))
    network(prompt, cache, never)
    for step in case["steps"]:
        hidden = network(torch.tensor([[step["token"]]]), cache, never)[0, -1]
        logits = network.head(hidden)
        tally.same("cached best ids", int(logits.argmax()), step["argmax"])
        for token, value in step["top5"]:
            tally.near("cached logits", abs(float(logits[token]) - value), 1e-3)


def _greedy(tally: Tally, network: Network, vocabulary: Vocabulary, case: dict[str, Any]) -> None:
    options = case["options"]
    decoder = Decoder(network, vocabulary, never)
    sampling = Sampling(
        temperature=0,
        top_k=options.get("top_k") or 0,
        top_p=options.get("top_p") or 1.0,
        repetition_penalty=options.get("repetition_penalty", 1.0),
    )
    if options.get("generation_phase") == "codes":
        task = CodeTask(
            prompt=case["prompt"],
            away=case.get("unconditional_prompt", ""),
            guidance=options.get("cfg_scale", 1.0),
            count=int(options["target_duration"] * 5),
            sampling=sampling,
            constrained=True,
        )
        (codes,) = finished(decoder.codes(task, [0]))
        tally.same("greedy codes", codes, read_tokens(case["text"]), case["name"])
        ids = [int(vocabulary.code_ids[code]) for code in codes] + [vocabulary.end]
        tally.same("greedy ids", ids, case["generated_ids"], case["name"])
        return
    skipped = {name for name in ("caption", "language") if options.get(f"skip_{name}")}
    rules = Rules(
        fixed=options.get("user_metadata") or {},
        skipped=frozenset({*skipped, "genres"}),
        then="end" if options.get("stop_at_reasoning") else "words",
    )
    text = finished(decoder.text(TextTask(case["prompt"], rules, sampling), 0))
    tally.same("greedy texts", text, case["text"], case["name"])
    tally.same("greedy ids", vocabulary.encode(text), case["generated_ids"], case["name"])
    tally.same("greedy metadata", read_block(text), case["parsed"]["metadata"], case["name"])


def _scores(tally: Tally, judge: Judge, case: dict[str, Any]) -> None:
    ours = judge.scores(
        read_tokens(case["audio_codes"]),
        caption=case["caption"],
        lyrics=case["lyrics"],
        metadata=case["metadata"],
        top=case["topk"],
        sharpness=case["score_scale"],
    )
    tally.same("score names", sorted(ours), sorted(case["scores"]))
    for name in ours.keys() & case["scores"].keys():
        tally.near("scores", abs(ours[name] - case["scores"][name]), 2e-3)
    tally.near("overall score", abs(overall(ours) - case["global"]), 2e-3)
