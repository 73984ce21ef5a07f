"""The constrained decoder without a model: traces, tries, and what must not be copied."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lofi.backends.ace_step_15.planner.constraint import Allowed, Constraint, Kind, Rules
from lofi.backends.ace_step_15.planner.tries import Tries
from lofi.backends.ace_step_15.planner.vocabulary import Vocabulary
from tests.parity.planner.tally import Tally

MASK = 0xFFFFFFFF


def logits_at(step: int, seed: int, size: int, boost: int | None) -> NDArray[np.float32]:
    """The raw logits of a step, as the golden README defines them. [size]."""
    x = np.arange(size, dtype=np.uint64) * np.uint64(2654435761)
    x = (x + np.uint64((step * 40503 + seed * 97) & MASK)) & np.uint64(MASK)
    x ^= x >> np.uint64(15)
    x = (x * np.uint64(2246822519)) & np.uint64(MASK)
    x ^= x >> np.uint64(13)
    logits = (x.astype(np.float64) / 2**32 * 20 - 10).astype(np.float32)
    if boost is not None:
        logits[boost] = 50
    return logits


def rules_of(config: dict[str, Any]) -> Rules:
    """A case's settings in our own terms."""
    skipped = {
        name
        for name in ("caption", "language", "genres")
        if config.get(f"skip_{name}", name == "genres")
    }
    phase = config.get("phase", "cot")
    then = "words" if phase == "understand" else "codes"
    target = config.get("target_duration")
    return Rules(
        fixed=config.get("user_metadata") or {},
        skipped=frozenset(skipped),
        longest_sec=config.get("max_duration") or 600,
        block=phase != "codes",
        then="end" if config.get("stop_at_reasoning") else then,
        # the reference rounds down; the product asks for enough codes to cover the duration
        code_count=None if target is None else int(target * 5),
    )


def ids_of(allowed: Allowed, vocabulary: Vocabulary, logits: NDArray[np.float32]) -> list[int]:
    """What the decoder would leave unmasked, ascending."""
    match allowed.kind:
        case Kind.IDS:
            return sorted(allowed.ids)
        case Kind.BEST:
            return [max(allowed.ids, key=lambda token: logits[token])]
        case Kind.CAPTION:
            return np.flatnonzero(vocabulary.in_caption).tolist()
        case Kind.WORDS:
            return np.flatnonzero(vocabulary.in_words).tolist()
        case Kind.CODES:
            return sorted(vocabulary.known_code_ids.tolist())
        case Kind.CODES_OR_END:
            return sorted([vocabulary.end, *vocabulary.known_code_ids.tolist()])
        case Kind.ANY:
            return list(range(vocabulary.size))
    raise AssertionError(allowed.kind)


def _steps(case: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    for run in case["runs"]:
        for step in range(run["from"], run["to"] + 1):
            yield step, run


def _matches(ids: list[int], wanted: dict[str, Any], size: int, spared: set[int]) -> bool:
    """Equal sets; `spared` are the ids that may be missing."""
    if "ids" in wanted:
        theirs = set(wanted["ids"])
        return set(ids) <= theirs and theirs - set(ids) <= spared
    if "blocked_ids" in wanted:
        theirs = set(range(size)) - set(wanted["blocked_ids"])
        return set(ids) <= theirs and theirs - set(ids) <= spared
    for candidate in (set(ids), set(ids) | spared):
        text = ",".join(map(str, sorted(candidate)))
        if hashlib.sha256(text.encode()).hexdigest() == wanted["sha256"]:
            return True
    return False


def traces(content: dict[str, Any], root: Path) -> Tally:
    """Every step of every trace."""
    tally = Tally()
    vocabulary = Vocabulary.load(root / "tokenizer")
    tries_ = Tries(vocabulary)
    size = vocabulary.size
    strings = set(range(560, 565)) | {1067, 1068}
    for case in content["cases"]:
        tally.same(
            "prompts",
            len(vocabulary.encode(case["prompt"])),
            case["prompt_ids_count"],
            case["name"],
        )
        tally.same("texts", vocabulary.decode(case["chosen"]), case["text"], case["name"])
        if not case["config"].get("enabled", True):
            for step, run in _steps(case):
                everything = ids_of(Allowed(Kind.ANY), vocabulary, np.zeros(size, np.float32))
                holds = _matches(everything, run["allowed"], size, set())
                tally.holds("allowed sets", holds, f"{case['name']} {step}")
            continue
        constraint = Constraint(vocabulary, tries_, rules_of(case["config"]))
        for step, run in _steps(case):
            logits = logits_at(step, case["seed"], size, run["boost"])
            allowed = constraint.allowed(lambda logits=logits: int(logits.argmax()))
            ids = ids_of(allowed, vocabulary, logits)
            chosen = case["chosen"][step]
            where = f"{case['name']} step {step}: {len(ids)} ids"
            if _after_caption(run):
                holds = chosen in ids
            elif run["state"] in ("CAPTION_VALUE", "COMPLETED"):
                spared = strings - {vocabulary.end} if run["state"] == "COMPLETED" else strings
                holds = _matches(ids, run["allowed"], size, spared)
            else:
                holds = _matches(ids, run["allowed"], size, set())
                if step == run["from"]:
                    best = max(ids, key=lambda token, logits=logits: logits[token])
                    tally.same("best ids", best, run["argmax"], where)
            tally.holds("allowed sets", holds, where)
            constraint.feed(chosen)
        tally.holds("ends", constraint.done, f"{case['name']} goes on")
    return tally


def _after_caption(run: dict[str, Any]) -> bool:
    """Where the reference decodes freely until the next field's colon."""
    return run["state"] == "CAPTION_VALUE" and run["allowed"]["count"] == 1069


def quirks(content: dict[str, Any], root: Path) -> Tally:
    """Where the reference goes wrong, the opposite must hold: all fields, once each, in order."""
    tally = Tally()
    vocabulary = Vocabulary.load(root / "tokenizer")
    tries_ = Tries(vocabulary)
    for case in content["cases"]:
        rules = rules_of(case["config"])
        if rules.block is False and "</think>" not in case["prompt"]:
            # Phase 2 without a finished block: here the prompt is always made by
            # prompts.generate, and codes come at once whatever stands above them.
            first = Constraint(vocabulary, tries_, rules).allowed(lambda: 0)
            tally.same("codes at once", first.kind, Kind.CODES, case["name"])
            continue
        constraint = Constraint(vocabulary, tries_, rules)
        written: list[int] = []
        step = 0
        boosts = dict(_boosts(case))
        while not constraint.done and step < 2000:
            logits = logits_at(step, case["seed"], vocabulary.size, boosts.get(step))
            allowed = constraint.allowed(lambda logits=logits: int(logits.argmax()))
            ids = ids_of(allowed, vocabulary, logits)
            if allowed.kind is Kind.WORDS:
                token = vocabulary.end
            else:
                token = constraint.mend(max(ids, key=lambda token, logits=logits: logits[token]))
            constraint.feed(token)
            written.append(token)
            step += 1
        text = vocabulary.decode(written)
        names = [line.split(":")[0] for line in text.split("\n") if ":" in line and line[0] != " "]
        expected = [
            name
            for name in ("bpm", "caption", "duration", "genres", "keyscale", "language",
                         "timesignature")
            if name not in rules.skipped
        ]  # fmt: skip
        tally.same("fields in order", names, expected, case["name"])
        tally.holds("ends", constraint.done, case["name"])
    return tally


def _boosts(case: dict[str, Any]) -> Iterator[tuple[int, int]]:
    for step, run in _steps(case):
        if run["boost"] is not None:
            yield step, run["boost"]


def tries(content: dict[str, Any], root: Path) -> Tally:
    """Special ids, value tries and field names of this tokenizer."""
    tally = Tally()
    vocabulary = Vocabulary.load(root / "tokenizer")
    made = Tries(vocabulary)
    tally.same("ids", vocabulary.newline, content["newline_token"])
    tally.same("ids", vocabulary.end, content["eos_token"])
    tally.same("ids", vocabulary.size, content["vocab_size"])
    tally.same("ids", vocabulary.encode("`"), [content["backtick_token"]])
    for code, token in content["audio_code_id_of"].items():
        if int(code) < 64000:
            tally.same("ids", int(vocabulary.code_ids[int(code)]), token, code)
    for name in ("timesignature", "language", "keyscale"):
        trie = made.of(name)
        for node in content[name]:
            tally.same(name, list(trie.next(node["prefix"])), node["next"], node["prefix"])
    for name in ("bpm", "duration", "duration_max_120"):
        _numeric(tally, made, name, content)
    for name, ids in content["field_name_tokens"].items():
        tally.same("field names", vocabulary.pieces(f"{name}:"), ids, name)
    return tally


def _numeric(tally: Tally, made: Tries, name: str, content: dict[str, Any]) -> None:
    field, _, longest = name.partition("_max_")
    trie = made.of(field, int(longest) if longest else 600)
    tally.same(name, trie.nodes(), content[name]["nodes"], "nodes")
    for node in content.get(f"{name}_nodes_sample", ()):
        tally.same(name, list(trie.next(node["prefix"])), node["next"], node["prefix"])
