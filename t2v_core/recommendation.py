"""From a folder to a ranked, downloadable expert with a statement of how certain that is."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from t2v_core.bank.bank import Bank
from t2v_core.bank.records import ExpertRecord, TaskRecord
from t2v_core.embedding.record import Embedding
from t2v_core.errors import InputError
from t2v_core.experts.compare import Fitted, compare_experts
from t2v_core.experts.export import export_expert
from t2v_core.experts.images import pixels_at
from t2v_core.experts.weights import load_expert
from t2v_core.pipeline import EmbeddedTask, Options, Report, embed, read_task, save, staged
from t2v_core.probe.bundled import SPEC
from t2v_core.probe.probe import pick_device
from t2v_core.selection.audit import audit_table
from t2v_core.selection.bank_audit import audit_bank, kept, learned_shifts
from t2v_core.selection.meta_task import GENERIC, KINDS, from_bank
from t2v_core.selection.model2vec import Model2Vec
from t2v_core.selection.nearest import Nearest, method_of
from t2v_core.selection.ranking import Ranked, certainty, rank_experts
from t2v_core.selection.track_record import track_records
from t2v_core.task.record import DecodedTask


def recommend(bank: Bank, options: Options, out: Path | None, report: Report) -> dict[str, Any]:
    """Rank the bank's experts for a folder of images.

    Args:
        bank: the bank with the experts.
        options: what is asked.
        out: where to put ``result.json``, a small bank holding the embedded task (``task``), and one zip
            for each expert that a head was fitted on; None writes nothing.
        report: progress.

    Returns:
        The result as JSON (see ``README``), the same as in ``result.json``.

    Raises:
        InputError: the input is at fault, or the bank has no expert that this probe can rank.
    """
    if options.fit not in ("none", "top", "all"):
        raise InputError(f"heads can be fitted on 'none', 'top' or 'all' experts, not {options.fit!r}")
    begin = time.perf_counter()
    task = embed(options, report)
    report("ranking experts", 0, 1, "")
    learned = options.selector == Model2Vec().name
    metric = "asymmetric" if learned else options.selector
    sources = _sources(bank, task, metric)
    meta = from_bank(bank, task.info)
    targets = meta.of_kinds(tuple(KINDS))
    if learned:
        sources = _moved(sources, learned_shifts(bank, Model2Vec(), targets))
    target = task.domain if metric == "domain" else task.fisher
    ranked = rank_experts(target, sources, task.info, metric, seed=options.seed)
    # What distances between the bank's own tasks and their candidates look like.
    selector = kept(bank, Model2Vec(), targets) if learned else Nearest(metric)
    usual = np.where(targets.allowed, selector.scores(targets), np.nan)
    audits = audit_bank(bank, meta, learned=learned)
    experts = {e.id: e for e in bank.experts()}
    shown = [r.expert_id for r in ranked[: max(1, options.top)]]
    fit_on = {"none": [], "top": [*shown, GENERIC], "all": [*[r.expert_id for r in ranked], GENERIC]}[options.fit]
    ranked_at = time.perf_counter()
    fitted = _fit_on_experts(bank, [experts[i] for i in fit_on if i in experts], task.decoded, options, report)
    task.seconds["rank"] = ranked_at - begin - sum(task.seconds.values())
    task.seconds["fit heads"] = time.perf_counter() - ranked_at
    result = {
        "task": {
            **asdict(replace(task.record, created=time.time())),
            "images": task.fisher.samples,
            "validation_accuracy": task.fisher.facts["validation_accuracy"],
            "validation_size": task.fisher.facts["validation_size"],
            "relative_error": task.fisher.relative_error,
        },
        "probe": {"id": task.info.id, "title": task.info.title, "weights_hash": task.info.weights_hash},
        "selector": options.selector,
        "options": asdict(options),
        "certainty": certainty(ranked),
        "familiarity": familiarity(ranked, usual),
        "ranking": _ranking(ranked, experts, {t.id: t for t in bank.tasks()}, usual, fitted, task.record.classes),
        "generic": _fitted_json(fitted.get(GENERIC)),
        "audit": json.loads(audit_table(audits).to_json(orient="records")),
        "track_record": [record.as_json() for record in track_records(audits, options.selector)],
        "warnings": task.warnings,
        "seconds": {name: round(value, 2) for name, value in task.seconds.items()},
    }
    if out is not None:
        _write(out, result, task, bank, experts, fitted)
    return result


def familiarity(ranked: list[Ranked], usual: np.ndarray) -> str:
    """Whether anything in the bank resembles the task, in one sentence.

    Args:
        ranked: the experts, nearest first.
        usual: ``[T, E]`` distances of the bank's own tasks to their candidates, NaN for others.
    """
    nearest = np.array([np.nanmin(row) for row in usual if np.isfinite(row).any()])
    if len(nearest) < 10:
        return "The bank is too small to say whether your task is unusual for it."
    share = float((nearest < ranked[0].distance).mean())
    if share > 0.95:
        return (
            f"Unfamiliar: {share:.0%} of the bank's own tasks lie nearer to their best expert than yours does. "
            "Trust the ranking little; the generic expert may serve as well."
        )
    return f"Familiar: your task is nearer to its expert than {1 - share:.0%} of the bank's own tasks are to theirs."


def _sources(bank: Bank, task: EmbeddedTask, selector: str) -> dict[str, Embedding]:
    """Embedding of each expert's own task, of experts that saw none of these images."""
    found = bank.embeddings(method_of(selector), task.info.weights_hash)
    tasks = {t.id: t for t in bank.tasks()}
    sets = bank.image_sets()
    own = np.array([int(d[:16], 16) for d in task.digests], dtype=np.uint64)
    sources = {}
    for expert in bank.experts():
        if expert.task_id in found and not np.isin(own, sets[tasks[expert.task_id].image_set]).any():
            sources[expert.id] = found[expert.task_id]
    if not sources:
        raise InputError(
            f"no expert in the bank at {bank.location} can be ranked by the probe {task.info.id!r}; "
            "choose the probe the bank was built with (`bank info` names it) or build the bank with this one"
        )
    return sources


def _moved(sources: dict[str, Embedding], shifts: dict[str, np.ndarray]) -> dict[str, Embedding]:
    """The experts where MODEL2VEC has placed them: m_j = F_j exp(b_j), chunk by chunk."""
    return {
        name: replace(
            source,
            vector=(source.vector * shifts[name]).astype(np.float32),
            chunk_means=(source.chunk_means * shifts[name]).astype(np.float32),
        )
        for name, source in sources.items()
        if name in shifts
    }


def _fit_on_experts(
    bank: Bank, experts: list[ExpertRecord], decoded: DecodedTask, options: Options, report: Report
) -> dict[str, Fitted]:
    if not experts:
        return {}
    if decoded.pixels.shape[1] != SPEC.crop:  # the probe sees other pixels than most experts do
        decoded, _ = read_task(options, SPEC, report)
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
    fitted: dict[str, Fitted],
    classes: tuple[str, ...],
) -> list[dict[str, Any]]:
    known = usual[np.isfinite(usual)]
    rows = []
    for place, r in enumerate(ranked, start=1):
        expert = experts[r.expert_id]
        source = tasks[expert.task_id or ""]
        rows.append(
            {
                "rank": place,
                **asdict(r),
                "name": expert.name,
                "task_id": source.id,
                "task_name": source.name,
                "task_classes": list(source.classes),
                "task_images": sum(source.counts) - source.held_out,
                "reason": _reason(r, source, known, classes),
                "fitted": _fitted_json(fitted.get(r.expert_id)),
            }
        )
    return rows


def _reason(r: Ranked, source: TaskRecord, known: np.ndarray, classes: tuple[str, ...]) -> str:
    """Why an expert stands where it does, in words."""
    listed = ", ".join(source.classes[:5]) + (", ..." if len(source.classes) > 5 else "")
    text = f"It was trained to tell apart {len(source.classes)} classes ({listed})."
    if len(known):
        nearer = float((known > r.distance).mean())
        text += f" Its task lies nearer to yours than {nearer:.0%} of the bank's expert-task pairs lie to each other."
    common = sorted({c.casefold() for c in classes} & {c.casefold() for c in source.classes})
    if common:
        text += f" Class names in common: {', '.join(common[:5])}."
    return text


def _fitted_json(fitted: Fitted | None) -> dict[str, Any] | None:
    if fitted is None:
        return None
    return {name: getattr(fitted, name) for name in ("accuracy", "low", "high", "n", "how")}


def _write(
    out: Path,
    result: dict[str, Any],
    task: EmbeddedTask,
    bank: Bank,
    experts: dict[str, ExpertRecord],
    fitted: dict[str, Fitted],
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    save(Bank(out / "task"), task)
    places = {row["expert_id"]: row for row in result["ranking"]}
    classes = tuple(task.record.classes[k] for k in np.unique(task.decoded.task.labels))
    for expert_id, found in fitted.items():
        expert, row = experts[expert_id], places.get(expert_id)
        facts = {
            "expert": expert.name,
            "trained_on": row["task_name"] if row else "CIFAR-10 only",
            "task": task.record.name,
            "images": task.fisher.samples,
            "distance": row["distance"] if row else None,
            "p_first": row["p_first"] if row else None,
            "selector": result["selector"],
            "weights_sha256": expert.weights_sha256,
            "created": time.strftime("%Y-%m-%d"),
        }
        data = export_expert(bank.weights / expert.weights_file, found, classes, facts)
        (out / f"{expert_id}.zip").write_bytes(data)
    (out / "result.json").write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
