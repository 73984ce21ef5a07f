"""The golden cases of the 5 Hz planner: which file is checked by which runner."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.parity.outcome import NotRun, Options, Outcome
from tests.parity.planner import files, flows, machine, numbers, texts
from tests.parity.planner.tally import Tally

Runner = Callable[[dict, Path], Tally]

RUNNERS: dict[str, Runner] = {
    "prompts": texts.prompts_and_ids,
    "cot_format": texts.blocks,
    "parse_output": texts.answers,
    "codes_text": texts.codes,
    "dit_metas": texts.metas,
    "merge_metadata": flows.merging,
    "generate_flow": flows.requests,
    "two_phase": flows.phases,
    "assist_modes": flows.assistance,
    "fsm_traces": machine.traces,
    "fsm_quirks": machine.quirks,
    "fsm_tries": machine.tries,
    "sampling": numbers.sampling,
    "scoring": numbers.scoring,
    "expected": numbers.tiny,
    "lrc_subtitles": files.subtitles,
    "acerequest": files.requests,
    "exchange_dir": files.exchange,
}

NOT_APPLICABLE = {
    "memory_tiers": "which memory suggests which planner is this product's own table",
    "max_new_tokens": "the cache is sized by prompt and target; there is no token budget",
    "query_hints": "free text is never searched for language names",
    "request_preparation": "the reference's service layer; ours is JSON-RPC",
}


def handles(directory: Path) -> bool:
    """Says whether a directory holds this suite's cases."""
    return (directory / "fsm_traces.json").is_file() and (directory / "tokenizer").is_dir()


def run(path: Path, options: Options) -> list[Outcome | NotRun]:
    """Runs one case file; a file nobody here knows is a failure."""
    name = path.stem if path.name != "expected.json" else "expected"
    if name in NOT_APPLICABLE:
        return [NotRun(path.name, f"not applicable: {NOT_APPLICABLE[name]}")]
    runner = RUNNERS.get(name)
    if runner is None:
        return [Outcome(path.name, float("nan"), 0.0, "no runner for this file")]
    root = path.parent if path.name != "expected.json" else path.parent.parent
    content = json.loads(path.read_text(encoding="utf-8"))
    return list(runner(content, root).outcomes(str(path.relative_to(root))))
