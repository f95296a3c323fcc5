"""Does the distance to t_0 help to choose, and under which beta? Every pair of beta and alpha on the demo bank.

    python -m benchmarks.asymmetry [--bank DIR] [--out FILE]

d_asym(a -> b) = d_sym(a, b) - alpha d_sym(a, t_0), with Lambda = (2N / beta) F + lambda^2 and t_0 = lambda^2. How far
sources lie apart in their distance to t_0 hangs on beta. Mean relative error increase over the bank's targets, by
kind; then, for each target, that of the pair which is best on all other targets (leave-one-out), beside d_sym.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from t2v_core.bank.bank import Bank
from t2v_core.embedding.record import TASK2VEC
from t2v_core.selection.meta_task import MetaTask, from_bank
from t2v_core.selection.regret import Estimate, chosen_error, estimates, relative_increase
from t2v_core.space.distances import asymmetric, symmetric, to_trivial

BETAS = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
ALPHAS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)


def losses(meta: MetaTask) -> tuple[dict[float, NDArray], dict[tuple[float, float], NDArray]]:
    """Sources' distances to t_0 ``[E]`` by beta, and relative error increase ``[T]`` by beta and alpha."""
    assert meta.vectors is not None
    vectors = meta.vectors
    prior = np.repeat(vectors.info.prior_precision, [count for _, count in vectors.info.layers])
    sources = vectors.sources[TASK2VEC]
    distance = symmetric(vectors.targets[TASK2VEC], sources)
    trivial = {beta: to_trivial(sources, vectors.samples, prior, beta) for beta in BETAS}

    def loss(beta: float, alpha: float) -> NDArray:
        scores = asymmetric(distance, trivial[beta], alpha)
        return relative_increase(chosen_error(meta.candidate_errors, scores), meta.best)

    return trivial, {pair: loss(*pair) for pair in product(BETAS, ALPHAS)}


def left_out(values: NDArray) -> tuple[NDArray, NDArray]:
    """For each row of ``[T, P]`` the entry of the column that is best on all other rows, and that column."""
    others = values.sum(0) - values
    best = others.argmin(1)
    return values[np.arange(len(values)), best], best


def shown(estimate: Estimate) -> str:
    """A mean with its interval."""
    return f"{estimate.mean:.1f} [{estimate.low:.1f}, {estimate.high:.1f}]"


def main() -> None:
    """Compute, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", default="bank", help="a bank, filled with the demo bank where it is new")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    meta = from_bank(Bank(options.bank, demo=True)).targets()
    trivial, found = losses(meta)
    kinds = {kind: np.array([k == kind for k in meta.kinds]) for kind in dict.fromkeys(meta.kinds)}
    rows = [
        {
            "beta": beta,
            "alpha": alpha,
            "d(a, t_0)": [float(trivial[beta].min()), float(trivial[beta].max())],
            "all": float(loss.mean()),
            **{kind: float(loss[rows].mean()) for kind, rows in kinds.items()},
        }
        for (beta, alpha), loss in found.items()
    ]
    for row in rows:
        print(" ".join(f"{name} {value:.3g}" for name, value in row.items() if isinstance(value, float)))
    pairs, values = list(found), np.stack(list(found.values()), 1)
    tuned, best = left_out(values)
    plain = found[BETAS[0], 0.0]
    chosen = [[*pairs[number], times] for number, times in Counter(best.tolist()).most_common()]
    tuning: dict[str, object] = {"pairs chosen (beta, alpha, times)": chosen}
    for kind, part in {"all": np.ones(len(tuned), bool), **kinds}.items():
        columns = estimates(np.stack([plain, tuned, tuned - plain], 1)[part])
        print(kind, "d_sym, tuned by leave-one-out, difference:", *map(shown, columns))
        tuning[kind] = dict(zip(("d_sym", "tuned", "difference"), map(asdict, columns), strict=True))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({"grid": rows, "leave one out": tuning}, indent=1) + "\n")


if __name__ == "__main__":
    main()
