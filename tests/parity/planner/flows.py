"""Who is asked what, in which order, and whose word counts: a script stands in for the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lofi.backends.ace_step_15.planner import flow
from lofi.backends.ace_step_15.planner.brief import Brief, Sampling, positive, seeds_from
from lofi.backends.ace_step_15.planner.codes import code_text, read_tokens
from lofi.backends.ace_step_15.planner.flow import CodeTask, Events, Plan, TextTask
from lofi.backends.ace_step_15.planner.metadata import missing, write_block
from lofi.backends.ace_step_15.planner.planner import finished
from lofi.backends.ace_step_15.planner.prompts import NO_INPUT
from lofi.backends.ace_step_15.planner.reading import Written
from lofi.errors import LofiError, ModelInferenceFailed
from lofi.worker.backend import Step
from tests.parity.planner.tally import Tally

LONGEST_SEC = 600


class Script:
    """Writes what it was given and keeps what it was asked."""

    def __init__(self, text: str, codes: Sequence[int]) -> None:
        self._text = text
        self._codes = codes
        self.asked: list[tuple[TextTask | CodeTask, tuple[int, ...]]] = []

    def text(self, task: TextTask, seed: int) -> Events[str]:
        self.asked.append((task, (seed,)))
        yield Step(1, 0)
        return self._text

    def codes(self, task: CodeTask, seeds: Sequence[int]) -> Events[list[list[int]]]:
        if task.attempt == 0:
            self.asked.append((task, tuple(seeds)))
        yield Step(1, 3)
        return [list(self._codes) for _ in seeds]


def _any_codes(codes: Sequence[int], count: int | None) -> str | None:
    """Scripted codes are three whatever was asked for; only their absence is a fault."""
    return None if codes else "no codes came"


def _text(value: Any) -> str:
    return "" if missing(value) else str(value).strip()


def _sampling(options: dict[str, Any]) -> Sampling:
    top_p = options.get("top_p")
    return Sampling(
        temperature=options.get("temperature", 0.85),
        top_k=options.get("top_k") or 0,
        top_p=top_p if top_p and top_p < 1 else 1.0,
        repetition_penalty=options.get("repetition_penalty", 1.0),
    )


def _same_sampling(tally: Tally, ours: Sampling, theirs: dict[str, Any], case: str) -> None:
    wanted = _sampling(theirs)
    tally.same("sampling", ours, wanted, case)


# one planner call


def phases(content: dict[str, Any], root: Path) -> Tally:
    """Prompts, options and results of phase 1 and phase 2."""
    tally = Tally()
    for case in content["cases"]:
        if case["args"]["infer_type"].strip().lower() not in ("dit", "llm_dit"):
            continue  # a misspelt mode cannot be asked for here: codes are wanted or not
        _phase_case(tally, case)
    return tally


def _phase_case(tally: Tally, case: dict[str, Any]) -> None:
    args, name = case["args"], case["name"]
    brief = _brief_of_call(args)
    seeds = args.get("seeds") or [0]
    script = Script(case["scripted_cot"], read_tokens(case["scripted_codes"]))
    try:
        plans: list[Plan] = finished(flow.planned(script, brief, seeds, judge=_any_codes))
    except ModelInferenceFailed:
        plans = []
    if case["raises"]:
        # the reference breaks; the better answer is an empty block and codes
        tally.same("blocks", write_block({}) in script.asked[-1][0].prompt, True, name)
        tally.holds("results", bool(plans and plans[0].codes), name)
        return
    tally.same("calls", len(script.asked), len(case["calls"]), name)
    for (task, used), call in zip(script.asked, case["calls"], strict=False):
        _compare_call(tally, task, used, call, name)
    result = case["result"]
    succeeded = bool(plans) and (bool(plans[0].codes) or not brief.wants_codes)
    tally.same("success", succeeded, result["success"], name)
    if plans and result["success"]:
        _compare_result(tally, plans, result, name)


def _brief_of_call(args: dict[str, Any]) -> Brief:
    user = args.get("user_metadata") or {}
    target = args.get("target_duration") or 0
    return Brief(
        caption=args["caption"],
        lyrics=args["lyrics"],
        bpm=positive(user.get("bpm")),
        duration_sec=float(user["duration"]) if "duration" in user else max(target, 0) or None,
        keyscale=_text(user.get("keyscale")),
        timesignature=_text(user.get("timesignature")),
        thinking=args["infer_type"].strip().lower() == "llm_dit",
        use_cot_metas=args.get("use_cot_metas", True),
        use_cot_caption=args.get("use_cot_caption", True),
        use_cot_language=args.get("use_cot_language", True),
        sampling=_sampling(args),
        guidance=args["cfg_scale"],
        negative=args.get("negative_prompt", NO_INPUT),
    )


def _compare_call(
    tally: Tally,
    task: TextTask | CodeTask,
    seeds: tuple[int, ...],
    call: dict[str, Any],
    case: str,
) -> None:
    options = call["options"]
    tally.same("prompts", task.prompt, call["prompt"], case)
    _same_sampling(tally, task.sampling, options, case)
    if isinstance(task, TextTask):
        tally.same("phases", options["generation_phase"], "cot", case)
        assert task.rules is not None
        skipped = {
            name for name in ("caption", "language", "genres") if options.get(f"skip_{name}")
        }
        tally.same("skipped fields", set(task.rules.skipped), skipped, case)
        if case != "target_duration":
            # a target length given with open metadata is fixed here, for both phases
            tally.same("fixed fields", dict(task.rules.fixed), options["user_metadata"] or {}, case)
        tally.same("stops", task.rules.then == "end", call["stop_at_reasoning"], case)
        tally.same("guidance", 1.0, options["cfg_scale"], case)
        return
    tally.same("phases", options["generation_phase"], "codes", case)
    tally.same("guidance", task.guidance, options["cfg_scale"], case)
    target = options["target_duration"]
    wanted = None if target is None else math.ceil(target * 5)
    tally.same("counts", task.count, wanted, case)
    if call["kind"] == "batch":
        tally.same("seeds", list(seeds), options["seeds"], case)


def _compare_result(tally: Tally, plans: list[Plan], result: dict[str, Any], case: str) -> None:
    metadata, codes = result["metadata"], result["audio_codes"]
    if not isinstance(metadata, list):
        metadata, codes = [metadata], [codes]
    tally.same("plans", len(plans), len(metadata), case)
    for plan, fields, text in zip(plans, metadata, codes, strict=False):
        tally.same("metadata", plan.metadata, fields, case)
        tally.same("codes", code_text(plan.codes), text, case)


# a whole request

DEFAULTS = {
    "thinking": True,
    "use_cot_metas": True,
    "use_cot_caption": True,
    "use_cot_language": True,
    "lm_temperature": 0.85,
    "lm_cfg_scale": 2.0,
    "lm_top_k": 0,
    "lm_top_p": 0.9,
    "lm_negative_prompt": NO_INPUT,
}
"""The reference's; the product's own stand in its parameter table."""


def _brief_of_request(params: dict[str, Any]) -> Brief:
    params = {**DEFAULTS, **params}
    language = params.get("vocal_language") or ""
    duration = params.get("duration")
    task = params.get("task_type", "text2music").replace("-", "_")
    return Brief(
        caption=params["caption"],
        lyrics=params["lyrics"],
        bpm=positive(params.get("bpm")),
        duration_sec=duration if duration and duration > 0 else None,
        keyscale=_text(params.get("keyscale")),
        timesignature=_text(params.get("timesignature")),
        vocal_language="" if language == "unknown" else language,
        task="edit" if params.get("flow_edit_morph") else task,
        thinking=params["thinking"],
        use_cot_metas=params["use_cot_metas"],
        use_cot_caption=params["use_cot_caption"],
        use_cot_language=params["use_cot_language"],
        codes=tuple(read_tokens(params.get("audio_codes", ""))),
        sampling=_sampling(
            {
                "temperature": params["lm_temperature"],
                "top_k": params["lm_top_k"],
                "top_p": params["lm_top_p"],
            }
        ),
        guidance=params["lm_cfg_scale"],
        negative=params["lm_negative_prompt"],
    )


def requests(content: dict[str, Any], root: Path) -> Tally:
    """Whether the planner runs, what it is told, and what reaches the DiT."""
    tally = Tally()
    for case in content["cases"]:
        brief = _brief_of_request(case["params"])
        runs = case["lm_ready"] and brief.runs
        tally.same("runs", runs, bool(case["lm_calls"]), case["name"])
        if case["lm_calls"] and runs:
            _compare_brief(tally, brief, case)
        if case["dit_call"] is not None:
            _compare_dit(tally, brief, runs, case)
    return tally


def _compare_brief(tally: Tally, brief: Brief, case: dict[str, Any]) -> None:
    call, name = case["lm_calls"][0], case["name"]
    tally.same("words", (brief.caption, brief.lyrics), (call["caption"], call["lyrics"]), name)
    tally.same("codes wanted", brief.wants_codes, call["infer_type"] == "llm_dit", name)
    _same_sampling(tally, brief.sampling, call, name)
    tally.same("guidance", brief.guidance, call["cfg_scale"], name)
    tally.same("negative prompts", brief.negative, call["negative_prompt"], name)
    tally.same("fixed fields", brief.fixed, call["user_metadata"] or {}, name)
    target = call["target_duration"]
    tally.same("durations", brief.duration_sec or -1.0, target, name)
    for flag in ("use_cot_caption", "use_cot_language", "use_cot_metas"):
        tally.same("flags", getattr(brief, flag), call[flag], name)
    plans = _planned(brief, case)
    theirs = case["dit_call"]["audio_code_string"]
    theirs = theirs if isinstance(theirs, list) else [theirs] * len(plans)
    tally.same("codes", [code_text(plan.codes) for plan in plans], theirs, name)


def _planned(brief: Brief, case: dict[str, Any]) -> list[Plan]:
    """Plans for all seeds of a case, by a stand-in whose codes are always 1, 2, 3."""
    script = Script(write_block(case["lm_metadata"]), (1, 2, 3))
    plans: list[Plan] = finished(
        flow.planned(script, brief, case["config"]["seeds"], judge=_any_codes)
    )
    return plans


def _compare_dit(tally: Tally, brief: Brief, runs: bool, case: dict[str, Any]) -> None:
    wanted, name = case["dit_call"], case["name"]
    metadata = case["lm_metadata"] if runs else {}
    plan = flow.merged(brief, metadata, brief.lyrics)
    tally.same("captions", plan.caption, wanted["captions"], name)
    tally.same("lyrics", plan.lyrics, wanted["lyrics"], name)
    fields = {"bpm": plan.bpm, "key_scale": plan.keyscale, "time_signature": plan.timesignature}
    quirk = case.get("reference_quirk", "")
    for field, value in fields.items():
        theirs = wanted[field]
        if quirk and field in ("bpm", "key_scale"):
            theirs = _better(field, case)
        elif isinstance(theirs, str) and missing(theirs):
            # "N/A" typed by a person means unknown, so the model's answer stands
            theirs = "" if not metadata else metadata.get(_LM_NAMES[field], "")
            theirs = "" if missing(theirs) else theirs
        tally.same(field, value, theirs, name)
    if "language" not in metadata or brief.vocal_language:
        theirs = wanted["vocal_language"]
        tally.same("languages", plan.vocal_language or "unknown", theirs, name)
    if brief.task == "text2music" and wanted["audio_duration"] is not None:
        tally.same("lengths", plan.duration_sec or -1.0, wanted["audio_duration"], name)


_LM_NAMES = {"key_scale": "keyscale", "time_signature": "timesignature"}


def _better(field: str, case: dict[str, Any]) -> Any:
    """What a case marked as a quirk asks for instead."""
    params = case["params"]
    if field == "bpm":
        return positive(params.get("bpm")) or case["lm_metadata"].get("bpm")
    return _text(params.get("keyscale")) or case["lm_metadata"].get("keyscale", "")


def merging(content: dict[str, Any], root: Path) -> Tally:
    """User values first, the model's in the gaps; and seeds."""
    tally = Tally()
    for number, case in enumerate(content["cases"]):
        user, wanted = case["user"], case["result"]
        brief = Brief(
            caption=user["caption"],
            lyrics=user["lyrics"],
            bpm=user["bpm"],
            duration_sec=user["audio_duration"] if (user["audio_duration"] or 0) > 0 else None,
            keyscale=user["key_scale"],
            timesignature=user["time_signature"],
            vocal_language=user["vocal_language"],
        )
        metadata = case["lm_metadata"]
        plan = flow.merged(brief, metadata, brief.lyrics or metadata.get("lyrics", ""))
        ours = {
            "bpm": plan.bpm,
            "key_scale": plan.keyscale,
            "time_signature": plan.timesignature,
            "audio_duration": plan.duration_sec or -1.0,
            "vocal_language": plan.vocal_language,
            "caption": plan.caption,
            "lyrics": plan.lyrics,
        }
        if "language" in metadata and not brief.vocal_language:
            # the reference looks for `vocal_language`, which its parser never writes
            ours["vocal_language"] = wanted["vocal_language"]
        for name, value in ours.items():
            tally.same("values", value, wanted[name], f"{number} {name}")
    for case in content["seeds"]:
        seed = None if case["use_random_seed"] else case["seed"]
        tally.same("seeds", seeds_from(seed, case["count"]), case["seeds"], case["seed"])
    return tally


# assist modes


def assistance(content: dict[str, Any], root: Path) -> Tally:
    """Inspire, format and understand: what is asked and what comes of it."""
    tally = Tally()
    for case in content["cases"]:
        if case["lm_ready"]:
            _assist_case(tally, case)
    return tally


def _assist_case(tally: Tally, case: dict[str, Any]) -> None:
    name, wanted, call = case["name"], case["result"], case["calls"][0]
    script = Script(case["scripted_output"], ())
    try:
        written: Written | None = finished(_assisting(script, case))
    except LofiError:
        written = None
    task, _ = script.asked[0]
    assert isinstance(task, TextTask)
    assert task.rules is not None
    tally.same("prompts", task.prompt, call["prompt"], name)
    _same_sampling(tally, task.sampling, call["options"], name)
    theirs = call["options"]["user_metadata"] or {}
    tally.same("fixed fields", dict(task.rules.fixed), theirs, name)
    tally.same("stops", task.rules.then == "end", call["stop_at_reasoning"], name)
    tally.same("success", written is not None, wanted["success"], name)
    if written is None:
        return
    for field in ("caption", "keyscale", "language", "timesignature"):
        tally.same("fields", _text(written.metadata.get(field)), wanted[field], f"{name} {field}")
    for field in ("bpm", "duration"):
        ours = positive(written.metadata.get(field))
        tally.same("fields", ours, wanted[field], f"{name} {field}")
    tally.same("lyrics", written.lyrics, wanted["lyrics"], name)


def _assisting(script: Script, case: dict[str, Any]) -> Events[Written]:
    args = case["args"]
    sampling = _sampling(args)
    if case["function"] == "create_sample":
        language = args.get("vocal_language") or "unknown"
        return flow.inspired(
            script,
            args["query"],
            instrumental=args.get("instrumental", False),
            fixed={} if language.lower() == "unknown" else {"language": language},
            sampling=sampling,
            seed=0,
            longest_sec=LONGEST_SEC,
        )
    if case["function"] == "format_sample":
        return flow.rewritten(
            script,
            args["caption"],
            args["lyrics"],
            fixed=_fixed(args.get("user_metadata") or {}),
            sampling=sampling,
            seed=0,
            longest_sec=LONGEST_SEC,
        )
    codes = read_tokens(args["audio_codes"])
    return flow.understood(script, codes, sampling=sampling, seed=0)


def _fixed(user: dict[str, Any]) -> dict[str, Any]:
    """What a caller fixed, through the same door as a request."""
    brief = Brief.of({**user, "duration_sec": user.get("duration"), "prompt": "", "lyrics": ""})
    language = user.get("language")
    return {**brief.fixed, **({"language": language} if language else {})}
