"""From a folder to a ranked, downloadable expert with a statement of how certain that is."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from t2v_core.bank.bank import Bank
from t2v_core.bank.records import ExpertRecord, TaskRecord, called
from t2v_core.embedding.record import DOMAIN, PSEUDOTASK, Embedding
from t2v_core.embedding.tangent_kernel import TANGENT
from t2v_core.errors import InputError
from t2v_core.experts.compare import Fitted, compare_experts, paired_gain
from t2v_core.experts.export import export_expert
from t2v_core.experts.images import pixels_at
from t2v_core.experts.weights import load_expert
from t2v_core.pipeline import EmbeddedTask, embed, save
from t2v_core.plain_json import as_json
from t2v_core.probe.bundled import SPEC
from t2v_core.probe.probe import pick_device
from t2v_core.probe.random_networks import Architecture
from t2v_core.probe.record import check_transform
from t2v_core.request import READING, Options, Report, find_task, staged
from t2v_core.selection.advice import advise
from t2v_core.selection.audit import audit_table
from t2v_core.selection.bank_audit import audit_bank, learned_shifts
from t2v_core.selection.candidates import check_kept, credit, moved, unseen, usual_distances
from t2v_core.selection.explanation import familiarity, reason, teacher
from t2v_core.selection.meta_task import GENERIC, from_bank
from t2v_core.selection.model2vec import Model2Vec
from t2v_core.selection.ranking import Ranked, certainty, places, rank_experts
from t2v_core.selection.track_record import track_records
from t2v_core.selection.ways import DEFAULT, WITHOUT_LABELS, Way, way
from t2v_core.selection.words import listed
from t2v_core.task.decoding import decode
from t2v_core.task.record import DecodedTask


def recommend(bank: Bank, options: Options, out: Path | None, report: Report) -> dict[str, Any]:
    """Rank the bank's experts for a folder of images.

    Args:
        bank: the bank with the experts.
        options: what is asked.
        out: where to put ``result.json``, a small bank holding the embedded task (``task``), and one zip
            for each of the first experts and each that a head was fitted on; None writes nothing.
        report: progress.

    Returns:
        The result as JSON (its keys: t2v_core/README.md), the same as in ``result.json``.

    Raises:
        InputError: the input is at fault, or the bank has no expert that can be ranked this way.
    """
    if options.fit not in ("none", "top", "all"):
        raise InputError(f"heads can be fitted on 'none', 'top' or 'all' experts, not {options.fit!r}")
    if options.top < 1:
        raise InputError(f"--top must be at least 1, got {options.top}")
    begin = time.perf_counter()
    found = find_task(Path(options.path), options.name, options.attribute)
    chosen = way(options.selector or (DEFAULT if found.task.labelled else WITHOUT_LABELS))
    if chosen.labels:
        found.check_learnable()  # before what the bank lacks: labels are the nearer fault
    if not found.learnable and options.fit != "none":
        found.warnings.append("No heads were fitted to compare experts by: that takes labels.")
    at_hand = check_kept(bank, chosen)
    asked = replace(options, embedding=chosen.method if options.selector else None)
    if chosen.method == TANGENT:
        asked = replace(asked, architecture=_most_kept(bank, at_hand))
    task = embed(asked, report, found, refits=chosen.method != DOMAIN)  # which has no head
    report("ranking experts", 0, 1, "")
    learned = chosen.name == Model2Vec().name
    metric = DEFAULT if learned else chosen.name
    target = task.by(chosen.method)
    check_transform(bank.probes(), task.info)
    kept_here = check_kept(bank, chosen, target)
    if all(kept.space != target.space for kept in kept_here.values()):
        raise InputError(
            f"what the bank at {bank.location} keeps for {chosen.name!r} was measured with other settings than are in "
            "use; measure it anew with `python -m t2v_core bank methods`, or choose another selector"
        )
    kept_here = {task_id: kept for task_id, kept in kept_here.items() if kept.space == target.space}
    sources = unseen(bank, kept_here, list(task.decoded.digests))  # heads are judged on those held out
    experts = {e.id: e for e in bank.experts()}
    left_out = [e.name for e in experts.values() if e.id != GENERIC and e.task_id not in kept_here]
    if left_out:
        task.warnings.append(
            f"{len(left_out)} of the bank's experts ({listed(left_out)}) cannot be ranked in this way: the bank keeps "
            "no such embedding of what they were trained on."
        )
    meta = from_bank(bank, task.info)
    targets = meta.targets()
    if learned:
        sources = moved(sources, learned_shifts(bank, Model2Vec(), targets))
    alpha = credit(bank, meta, chosen, target.probe_id)
    ranked = rank_experts(target, sources, task.info, metric, alpha=alpha, seed=options.seed)
    usual = usual_distances(bank, meta, chosen, kept_here, alpha)
    audits = audit_bank(bank, meta, learned=learned)
    shown = [r.expert_id for r in ranked[: max(1, options.top)]]
    fit_on = {"none": [], "top": [*shown, GENERIC], "all": [*[r.expert_id for r in ranked], GENERIC]}[options.fit]
    ranked_at = time.perf_counter()
    fitted = {}
    if task.learnable:
        fitted = _fit_on_experts(bank, [experts[i] for i in fit_on if i in experts], task.decoded, options, report)
    task.seconds["rank"] = ranked_at - begin - sum(task.seconds.values())
    task.seconds["fit heads"] = time.perf_counter() - ranked_at
    facts = target.facts
    heads = _heads_json(fitted, ranked[0].expert_id)
    rows = _ranking(ranked, experts, {t.id: t for t in bank.tasks()}, usual, heads, _classes(task, chosen))
    generic = heads.get(GENERIC)
    result = {
        "task": {
            **asdict(replace(task.record, created=time.time())),
            "images": target.facts.get("images_used", target.samples),
            "learnable": task.learnable,
            "validation_accuracy": task.embedding.facts.get("validation_accuracy"),
            "validation_size": task.embedding.facts.get("validation_size"),
            "relative_error": None if np.isnan(target.relative_error) else target.relative_error,
        },
        "probe": _probe_json(task, target),
        "selector": chosen.name,
        "alpha": alpha,
        "options": asdict(options),
        "certainty": certainty(ranked, chosen.name, learnable=task.learnable, compared=bool(fitted)),
        "familiarity": familiarity(ranked, usual),
        "teacher": facts | {"sentence": teacher(facts)} if chosen.method == PSEUDOTASK else None,
        "advice": asdict(advise(rows, generic)),
        "ranking": rows,
        "generic": generic,
        "audit": json.loads(audit_table(audits).to_json(orient="records")),
        "track_record": [record.as_json() for record in track_records(audits, chosen, target.probe_id)],
        "warnings": task.warnings,
        "left_out": task.left_out,
        "seconds": {name: round(value, 2) for name, value in task.seconds.items()},
    }
    if out is not None:
        handed = dict.fromkeys([*shown, GENERIC, *fitted])
        _write(out, result, task, bank, [experts[i] for i in handed if i in experts], fitted)
    return result


def _most_kept(bank: Bank, kept: dict[str, Embedding]) -> Architecture:
    """The untrained networks by which most experts' own tasks are kept, so that most can be compared."""
    own = [kept[e.task_id].settings["architecture"] for e in bank.experts() if e.task_id in kept]
    return "resnet18" if own.count("resnet18") > len(own) / 2 else "small"


def _classes(task: EmbeddedTask, chosen: Way) -> tuple[str, ...]:
    """Names of the task's classes, where its labels have a say."""
    return task.record.classes if chosen.labels else ()


def _probe_json(task: EmbeddedTask, target: Embedding) -> dict[str, str]:
    title = f"{target.settings['networks']} untrained networks" if task.info is None else task.info.title
    return {"id": target.probe_id, "title": title, "weights_hash": target.weights_hash}


def _fit_on_experts(
    bank: Bank, experts: list[ExpertRecord], decoded: DecodedTask, options: Options, report: Report
) -> dict[str, Fitted]:
    if not experts:
        return {}
    if decoded.pixels.shape[1] != SPEC.crop:  # the probe sees other pixels than most experts do
        decoded = decode(decoded.task, SPEC, progress=staged(report, READING))
    device = pick_device(options.device)
    progress = staged(report, "fitting heads on experts")
    features = []
    for number, expert in enumerate(experts):
        progress(number, len(experts), expert.name)
        network = load_expert(expert, bank.weights, device)
        features.append(network.features(pixels_at(decoded, SPEC, network.info.spec)))
    found = compare_experts(features, decoded.task.labels, decoded.task.held_out, options.seed)
    progress(len(experts), len(experts), "")
    return {expert.id: fitted for expert, fitted in zip(experts, found, strict=True)}


def _ranking(
    ranked: list[Ranked],
    experts: dict[str, ExpertRecord],
    tasks: dict[str, TaskRecord],
    usual: np.ndarray,
    heads: dict[str, dict[str, Any]],
    classes: tuple[str, ...],
) -> list[dict[str, Any]]:
    known = usual[np.isfinite(usual)]
    names, rows = called(experts.values()), []
    for place, r in zip(places(ranked), ranked, strict=True):
        expert = experts[r.expert_id]
        source = tasks[expert.task_id or ""]
        rows.append(
            {
                "rank": place,
                **asdict(r),
                "name": names[expert.id],
                "task_id": source.id,
                "task_name": source.name,
                "task_classes": list(source.classes),
                "task_images": sum(source.counts) - source.held_out,
                "reason": reason(r, source, known, classes),
                "fitted": heads.get(r.expert_id),
            }
        )
    return rows


def _heads_json(fitted: dict[str, Fitted], nearest: str) -> dict[str, dict[str, Any]]:
    """What each head gets right, and by how much it is ahead of that on the nearest expert and the generic network."""
    found = {}
    for expert_id, one in fitted.items():
        found[expert_id] = {name: getattr(one, name) for name in ("accuracy", "low", "high", "n", "how")}
        for name, other in (("over_nearest", nearest), ("over_generic", GENERIC)):
            if other in fitted and other != expert_id:
                found[expert_id][name] = asdict(paired_gain(one, fitted[other], len(fitted) - 1))
    return found


def _write(
    out: Path,
    result: dict[str, Any],
    task: EmbeddedTask,
    bank: Bank,
    experts: list[ExpertRecord],
    fitted: dict[str, Fitted],
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    save(Bank(out / "task"), task, pictures=result["options"]["pictures"])
    ranked = {row["expert_id"]: row for row in result["ranking"]}
    # Heads know the classes they were fitted on, which may be fewer than there are folders.
    classes = tuple(task.record.classes[k] for k in np.unique(task.decoded.task.labels)) if fitted else ()
    for expert in experts:
        row = ranked.get(expert.id)
        facts = {
            "expert": expert.name,
            "trained_on": row["task_name"] if row else None,  # the generic one
            "task": task.record.name,
            "images": result["task"]["images"],
            "distance": row["distance"] if row else None,
            "p_first": row["p_first"] if row else None,
            "advice": result["advice"]["sentence"],
            "selector": result["selector"],
            "weights_sha256": expert.weights_sha256,
            "created": time.strftime("%Y-%m-%d"),
        }
        data = export_expert(expert, bank.weights, fitted.get(expert.id), classes, facts)
        (out / f"{expert.id}.zip").write_bytes(data)
    (out / "result.json").write_text(as_json(result, indent=2) + "\n", encoding="utf-8")
