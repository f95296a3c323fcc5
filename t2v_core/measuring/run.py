"""The methods by name, and the run that measures them on a bank, one after the other, each kept when it is done."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

from t2v_core.bank.bank import Bank
from t2v_core.bank.methods import MethodRecord, add_embeddings, keep_method, kept_methods, name_by
from t2v_core.embedding.pseudotask import PseudoTaskSettings
from t2v_core.embedding.tangent import KEPT
from t2v_core.embedding.task2vec import Task2VecSettings
from t2v_core.errors import InputError
from t2v_core.measuring import by_embedding, by_score
from t2v_core.measuring.bench import MOST, Bench
from t2v_core.measuring.finding import Finding
from t2v_core.probe.probe import Probe
from t2v_core.probe.record import BUNDLED
from t2v_core.request import Report
from t2v_core.task.worlds import WorldTask
from t2v_core.transferability.registry import SCORES

BY_TEACHER = ("pseudotask", "pseudotask-hard")
"""Methods that another probe can be the teacher of, beside the bundled one: each is kept under its own name."""


@dataclass(frozen=True)
class Method:
    """A method that can be measured.

    Attributes:
        title: what it does, for people.
        labels: whether it needs the target's labels.
        every_expert: whether a new target's images must pass through every expert.
        settings: every option of it.
        run: measures it.
    """

    title: str
    labels: bool
    every_expert: bool
    settings: dict[str, object]
    run: Callable[[Bench], Finding]


def methods(seed: int = 0, probe_id: str = BUNDLED) -> dict[str, Method]:
    """Every method by name: embeddings, scores, and what the rules that need no run cost.

    Args:
        seed: of everything random.
        probe_id: the probe that sees the images, which decides how its Fisher information is estimated.
    """
    task2vec = Task2VecSettings.for_probe(probe_id, None, seed=seed)
    untrained = Task2VecSettings(total_draws=by_embedding.DRAWS, seed=seed)
    soft = PseudoTaskSettings.for_probe(probe_id, None, chunks=by_embedding.CHUNKS, seed=seed)
    if soft.estimator == untrained.estimator:
        soft = replace(soft, total_draws=by_embedding.DRAWS)
    hard = replace(soft, labels="hard")
    robust = replace(task2vec, estimator="variational")
    few = replace(KEPT, networks=1, batches=1, seed=seed)
    counts = {"counts": list(by_embedding.NETWORKS), "budget": by_embedding.BUDGET}
    found = {
        "tangent": Method(
            "nearest task by the Task Tangent Kernel: untrained networks instead of a probe",
            True,
            False,
            asdict(KEPT),
            partial(by_embedding.tangent, settings=KEPT),
        ),
        "pseudotask": Method(
            "nearest task by PseudoTask: the probe's own predictions instead of labels",
            False,
            False,
            soft.record(),
            partial(by_embedding.pseudotask, settings=soft),
        ),
        "task2vec-random": Method(
            "nearest task by Task2Vec, by a probe that was never trained",
            True,
            False,
            untrained.record() | {"images": by_embedding.FEW},
            partial(by_embedding.random_task2vec, settings=untrained),
        ),
        "pseudotask-random": Method(
            "nearest task by PseudoTask, by a probe and a classifier that were never trained",
            False,
            False,
            soft.record() | {"images": by_embedding.FEW},
            partial(by_embedding.random_pseudotask, settings=soft),
        ),
        "domain": Method("most similar-looking images", False, False, {}, by_score.domain_cost),
        "oracle": Method("a head fitted on every expert", True, True, {}, by_score.oracle_cost),
    }
    own = {"h_divergence": by_score.h_divergence_scores, "emd": by_score.emd_scores}
    for score in SCORES.values():
        run = own.get(score.name, partial(by_score.expert_scores, name=score.name))
        found[score.name] = Method(f"best {score.title}: {score.needs}", score.labels, score.runs_every_expert, {}, run)
    return found | {
        "task2vec": Method(
            "nearest task by Task2Vec",
            True,
            False,
            task2vec.record(),
            partial(by_embedding.task2vec_cost, settings=task2vec),
        ),
        "variational": Method(
            "the robust (variational) estimate beside the exact one",
            True,
            False,
            robust.record(),
            partial(by_embedding.variational_agreement, settings=robust),
        ),
        "networks-or-batches": Method(
            "the Task Tangent Kernel with many networks, or many batches of few",
            True,
            False,
            asdict(few) | counts,
            partial(by_embedding.networks_or_batches, settings=few),
        ),
        "pseudotask-hard": Method(
            "nearest task by PseudoTask, the most probable class alone as label",
            False,
            False,
            hard.record(),
            partial(by_embedding.pseudotask, settings=hard),
        ),
    }


def measure(
    bank: Bank,
    worlds: Sequence[WorldTask],
    names: Sequence[str] | None = None,
    *,
    seed: int = 0,
    report: Report,
    probe: Probe | None = None,
    again: bool = False,
) -> dict[str, float]:
    """Measure methods on a bank's targets and experts, and keep what is found in the bank.

    A method that was measured with the same settings on the same tasks and experts is left as it is, so that a run
    that was cut off goes on with the method it was at. Scores are missing where an expert could not be run; once it
    can, ``again`` brings them.

    Args:
        bank: the bank.
        worlds: its tasks with their images.
        names: of the methods; by default all.
        seed: of everything random.
        report: progress.
        probe: PseudoTask's teacher, by default the bundled one; by another only ``BY_TEACHER`` are measured.
        again: measure what stands anew.

    Returns:
        Seconds on the wall that each newly measured method took.

    Raises:
        InputError: a name is unknown, the probe is not the bundled one and has no part in a method, or the tasks are
            not the bank's.
    """
    bench = Bench(bank, worlds, seed, report, probe)
    probe_id = bench.probe.info.id
    known = methods(seed, probe_id)
    unknown = [n for n in names or () if n not in known]
    if unknown:
        raise InputError(f"there is no method {unknown[0]!r}; choose among {', '.join(known)}")
    if probe_id != BUNDLED:  # all others were measured by the bundled one, and must stay comparable
        known = {name: known[name] for name in BY_TEACHER}
        if others := [n for n in names or () if n not in known]:
            raise InputError(
                f"{others[0]!r} is measured by the bundled probe alone; with --probe give --only "
                f"{' or '.join(BY_TEACHER)}"
            )
    took = {}
    for plain in names or known:
        method, name = known[plain], name_by(plain, probe_id)
        common = {"seed": seed, "most_images": MOST, "probe": bench.probe.info.weights_hash}
        settings = json.loads(json.dumps(common | method.settings))
        if not again and _is_measured(bench, kept_methods(bank).get(name), settings):
            report(name, 1, 1, "measured before")
            continue
        begin = time.perf_counter()
        found = method.run(bench)
        add_embeddings(bank, found.embeddings)
        keep_method(
            bank,
            MethodRecord(
                name=name,
                title=method.title if name == plain else f"{method.title}, by {bench.probe.info.title}",
                labels=method.labels,
                every_expert=method.every_expert,
                settings=settings,
                seconds=found.seconds,
                once=found.once,
                scores=found.scores,
                distances=found.distances,
                facts=found.facts | {"content": bench.content},
                target=found.target,
            ),
        )
        took[name] = time.perf_counter() - begin
        report(name, 1, 1, f"{took[name]:.0f} s")
    return took


def _is_measured(bench: Bench, record: MethodRecord | None, settings: dict[str, object]) -> bool:
    """Whether a record is of these settings and of all that is on the bench; facts without scores of just that."""
    if record is None or record.settings != settings:
        return False
    if record.costs_only:
        return bool(record.facts.get("content") == bench.content)
    experts = {e.id for e in bench.experts}
    return set(bench.targets) <= set(record.scores.index) and experts <= set(record.scores.columns)
