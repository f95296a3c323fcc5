"""What a report shows of a bank: map, taxonomy, matrix, and how good the choice of experts is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from t2v_core import __version__
from t2v_core.bank.bank import Bank
from t2v_core.bank.records import called
from t2v_core.embedding.record import TASK2VEC
from t2v_core.errors import InputError
from t2v_core.figures.choice import KIND_TITLES, audit_chart
from t2v_core.figures.compare import MOST, layer_contributions, pair_distances
from t2v_core.figures.norms import norm_against_error, norm_against_images
from t2v_core.figures.similarity import MOST_TASKS, similarity_matrix
from t2v_core.figures.task_map import task_map
from t2v_core.figures.taxonomy import neighbour_curves
from t2v_core.figures.violins import BEST, violins
from t2v_core.report.html import Section, html_report
from t2v_core.selection.audit import ALL, Audit, audit_table
from t2v_core.selection.bank_audit import audit_bank
from t2v_core.selection.by_task import in_order
from t2v_core.selection.by_task import task_table as task_marks
from t2v_core.selection.meta_task import GENERIC, from_bank
from t2v_core.selection.words import listed
from t2v_core.space.agreement import agreement, neighbour_curve
from t2v_core.space.compare import compare_pair, distances_with_spread
from t2v_core.space.correlation import rank_correlation
from t2v_core.space.kept import kept_clustering
from t2v_core.space.matrix import placeable, task_distances
from t2v_core.space.norms import grows, verdict, within_kinds
from t2v_core.space.tables import kinds_with_a_place, map_table, norm_table, task_table
from t2v_core.space.taxonomy import own_paths, taxonomic_distance

METRICS = {"symmetric": "Task2Vec", "domain": "domain (images only)"}
CLUSTERS = 10
LEAST = 3
"""Tasks that clusters, a taxonomy and a second map need."""

VIOLINS = ("static", "asymmetric")
"""Rules whose picks are marked, beside the best expert and the generic one."""


def bank_report(bank: Bank, first: Sequence[Section] = (), chosen: Sequence[str] = ()) -> str:
    """The report of a bank as one HTML file.

    Args:
        bank: the bank.
        first: sections to put before its own, as ``report.ranking`` makes them.
        chosen: ids of tasks to bring out in the figures; two or more are compared, too.

    Raises:
        InputError: there is nothing to report.
    """
    distance = task_distances(bank)
    if distance.empty and not first:
        raise InputError("the bank holds no embedded task, so there is nothing to report; embed one or import a bank")
    sections = list(first)
    if not distance.empty:
        distance = placeable(distance)
        table = task_table(bank)
        tasks = map_table(bank, table, distance)
        sections += [
            _map(tasks, chosen),
            *_domain_map(bank, table, chosen),
            *_compared(bank, [task for task in dict.fromkeys(chosen) if task in distance.index]),
            *_taxonomy(bank, distance),
            *_matrix(bank, tasks, distance, chosen),
            *_norms(bank, table, chosen),
        ]
        sections += _choice(bank)
    counts = bank.counts()
    return html_report(
        "Tasks, their distances, and the choice of experts",
        f"{counts['tasks']:,} tasks, {counts['experts']:,} experts and {counts['errors']:,} measured errors. Point "
        "at a figure to read values, drag to enlarge, double-click to go back, click a legend to hide or show.",
        sections,
        f"Made on {time.strftime('%Y-%m-%d')} by t2v-core {__version__}. It holds all it needs, and sends nothing.",
    )


def _map(tasks: pd.DataFrame, chosen: Sequence[str]) -> Section:
    words = (
        "Each point is a task; near points ask the same of a network. Colours are branches of the taxonomy; stars are "
        "uploads. Clusters can be trusted; gaps between far clusters and their sizes mean nothing (t-SNE)."
        f"{_brought_out(tasks, chosen)}"
    )
    return Section("Which tasks are alike", words, task_map(tasks.assign(group=tasks["level 2"]), chosen))


def _domain_map(bank: Bank, table: pd.DataFrame, chosen: Sequence[str]) -> list[Section]:
    distance = placeable(task_distances(bank, "domain"))
    if len(distance) < LEAST:
        return []
    tasks = map_table(bank, table, distance)
    words = (
        "The same tasks by the mean features of their images, labels ignored. Tasks over the same images stand in one "
        f"place here, however different what is asked about them.{_brought_out(tasks, chosen)}"
    )
    return [Section("Whose images look alike", words, task_map(tasks.assign(group=tasks["level 2"]), chosen))]


def _brought_out(tasks: pd.DataFrame, chosen: Sequence[str]) -> str:
    """Which tasks stand out on a map, and why."""
    names = [tasks.at[task, "name"] for task in dict.fromkeys(chosen) if task in tasks.index]
    return f" Chosen, so brought out: {listed(names)}." if names else ""


def _compared(bank: Bank, chosen: Sequence[str]) -> list[Section]:
    """How far apart the chosen tasks are, and where two of them differ."""
    if len(chosen) < 2:
        return []
    info, tasks = next(iter(bank.probes().values())), chosen[:MOST]
    names = called(bank.tasks())
    found = bank.embeddings(TASK2VEC, info.weights_hash, tasks)
    pairs = distances_with_spread({task: found[task] for task in tasks})
    named = pairs.assign(a=pairs["a"].map(names), b=pairs["b"].map(names))
    words = (
        "From 0 (alike to the probe) upwards; bars: 95 % of what other images of the same tasks would give. Noise can "
        "only add distance, so for near pairs the bar lies to the right of its point. Where bars overlap, do not call "
        "one pair nearer."
        + (f" Of {len(chosen):,} chosen tasks, these are the first {MOST}." if len(chosen) > MOST else "")
    )
    columns = {"a": "one task", "b": "other task", "distance": "distance", "low": "from", "high": "to"}
    table = named[list(columns)].rename(columns=columns)
    apart = Section("How far apart are the chosen tasks?", words, pair_distances(named), table)
    if len(chosen) > 2:
        return [apart]
    one, other = tasks
    words = (
        "Left: each layer's part of the distance; layers of many filters have more to add. Right: for which of the two "
        "a layer matters more, from −1 to 1, with twice the standard error; a bar that crosses 0 cannot be told from "
        "no difference."
    )
    layers = compare_pair(found[one], found[other], info.layers).layers
    return [apart, Section("Where do the two differ?", words, layer_contributions(layers, names[one], names[other]))]


def _taxonomy(bank: Bank, distance: pd.DataFrame) -> list[Section]:
    records = {t.id: t for t in bank.tasks()}
    placed = [i for i in distance.index if own_paths(records[i])]
    kinds = kinds_with_a_place(sorted({records[i].kind for i in placed}))
    found = {METRICS["symmetric"]: distance}
    domain = placeable(task_distances(bank, "domain"))
    if domain.index.isin(placed).any():
        found[METRICS["domain"]] = domain
    ids = [i for i in placed if records[i].kind in kinds and all(i in d.index for d in found.values())]
    if len(ids) < LEAST:
        return []
    taxonomic = taxonomic_distance([own_paths(records[i]) for i in ids])
    curves, words = {}, []
    for name, matrix in found.items():
        part = matrix.loc[ids, ids]
        curves[name] = neighbour_curve(part.to_numpy(), taxonomic)
        rank = agreement(part, taxonomic)
        words.append(f"{name} {rank.rho:+.2f} (95 %: {rank.low:+.2f} to {rank.high:+.2f})")
    text = (
        f"For each of {len(ids)} tasks with one place in the taxonomy, the k nearest tasks are looked up there and "
        "averaged; the lower a curve, the more its near tasks are related. Bands: 95 % over tasks; where they overlap, "
        f"do not call one better. Rank correlation with the taxonomy: {'; '.join(words)}."
    )
    return [Section("Does distance follow the taxonomy?", text, neighbour_curves(curves))]


def _matrix(bank: Bank, tasks: pd.DataFrame, distance: pd.DataFrame, chosen: Sequence[str]) -> list[Section]:
    if not LEAST <= len(distance) <= MOST_TASKS:
        return []
    clustering = kept_clustering(bank, distance)
    rows = tasks.loc[distance.index]
    figure = similarity_matrix(
        distance,
        clustering.leaves,
        rows["name"].tolist(),
        rows["level 2"].tolist(),
        dendrogram=clustering.outline(),
        clusters=clustering.cut(clusters=min(CLUSTERS, len(distance))),
        selected=chosen,
    )
    words = (
        "Every cell is the distance between two tasks; dark is near. The tree above shows at which distance clusters "
        "join, the bars show branches of the taxonomy. A cluster always comes out: trust those whose white frame is "
        "dark inside and pale around."
    )
    return [Section("What clusters are there?", words, figure)]


def _norms(bank: Bank, table: pd.DataFrame, chosen: Sequence[str]) -> list[Section]:
    """The norm against the error and against the number of images, where something can be said of how they go."""
    tasks = norm_table(table, bank.errors().get(GENERIC))

    def section(column: str, other: str, claim: str, caveat: str, figure: Callable[..., go.Figure]) -> list[Section]:
        found = rank_correlation(tasks["norm"].to_numpy(), tasks[column].to_numpy(float))
        if np.isnan(found.rho):
            return []
        text = (
            f"The Task2Vec paper finds that {claim}. Here, {grows(found, 'the norm', other)}. "
            f"{verdict(found, within_kinds(tasks, column))} A point is a task{caveat}"
        )
        return [Section(f"The norm of an embedding and {other}", text, figure(tasks, chosen))]

    return [
        *section(
            "error",
            "the error",
            "the norm rises with the error",
            "; the error is that of a head on the network before fine-tuning. Kinds of tasks differ in their number of "
            "classes and images, which moves both axes: trust what holds within a kind.",
            norm_against_error,
        ),
        *section(
            "images",
            "the number of images",
            "one and the same task gets a larger norm with more images",
            ". Tasks here differ in more than their size, so this picture cannot prove or refute the paper's claim.",
            norm_against_images,
        ),
    ]


def _choice(bank: Bank) -> list[Section]:
    audits = audit_bank(bank, from_bank(bank))
    if ALL not in audits:
        return []
    table = audit_table(audits).dropna(subset=["mean"])
    shown = table[table["kind"] == ALL]
    columns = {"rule": "rule", "tasks": "tasks", "optimum": "best error, %", "mean": "loses, %"}
    columns |= {"low": "from", "high": "to", "verdict": "in words"}
    words = (
        "For each target task, the error of the expert that a rule picks, compared with the best expert there is: 0 % "
        "means that the best was picked, 70 % that the error is 1.7 times as large. Bars: 95 % interval over tasks. "
        "The table takes all targets together."
    )
    judged = Section(
        "How good is the choice of an expert?",
        words,
        audit_chart(table, KIND_TITLES),
        shown[list(columns)].rename(columns=columns),
    )
    return [judged, _violins(audits[ALL])]


def _violins(found: Audit) -> Section:
    meta, order = found.meta, in_order(found.meta)
    rules = [rule for rule in ("generic", *VIOLINS) if rule in found.judged]
    rows = task_marks(found, rules).iloc[order]
    marks = {BEST: (rows["best_error"].to_numpy(), rows["best_expert"].tolist())}
    marks |= {rule: (rows[f"{rule}_error"].to_numpy(), rows[f"{rule}_expert"].tolist()) for rule in rules}
    figure = violins(
        rows["task"].tolist(),
        rows["name"].tolist(),
        meta.candidate_errors[order],
        meta.expert_names,
        marks,
    )
    words = (
        "Each column is a task with the errors of all experts on it, in the order of the norm of its embedding. "
        "The ring is the best expert there is: a rule whose mark lies in the ring has found it. No expert is held "
        "against images it was trained on."
    )
    return Section("Errors of all experts, task by task", words, figure)
