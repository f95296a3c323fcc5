"""The scores as their formulas stand on paper: loops and explicit inverses."""

from __future__ import annotations

from itertools import permutations
from math import log

import numpy as np
from scipy.optimize import minimize
from scipy.stats import rankdata


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """tr(cov(f)^-1 cov(E[f | y])), with the covariances formed and inverted."""
    expected = np.stack([features[labels == label].mean(0) for label in labels])
    return float(np.trace(np.linalg.inv(np.cov(features.T)) @ np.cov(expected.T)))


def shrinkage(features: np.ndarray) -> tuple[np.ndarray, float]:
    """Ledoit and Wolf's covariance and intensity: b^2 / d^2 of their Lemma, summed over single images."""
    centred = features - features.mean(0)
    n, p = centred.shape
    sample = centred.T @ centred / n
    mean = np.trace(sample) / p
    away = ((sample - mean * np.eye(p)) ** 2).sum()
    scatter = sum(((np.outer(row, row) - sample) ** 2).sum() for row in centred) / n**2
    intensity = min(scatter, away) / away
    return (1 - intensity) * sample + intensity * mean * np.eye(p), intensity


def h_score_shrunk(features: np.ndarray, labels: np.ndarray) -> float:
    covariance, intensity = shrinkage(features)
    expected = np.stack([features[labels == label].mean(0) for label in labels])
    between = np.cov(expected.T, bias=True)
    return float(np.trace(np.linalg.inv(covariance) @ ((1 - intensity) * between)))


def log_evidence(features: np.ndarray, target: np.ndarray, a: float, b: float) -> float:
    """log N(target; 0, F F^T / a + I / b), by the explicit inverse of the N x N covariance."""
    covariance = features @ features.T / a + np.eye(len(target)) / b
    _, logdet = np.linalg.slogdet(covariance)
    return -0.5 * (len(target) * log(2 * np.pi) + logdet + target @ np.linalg.inv(covariance) @ target)


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """Evidence maximised over (log a, log b) by a simplex from several starts."""
    scores = []
    for label in np.unique(labels):
        target = (labels == label).astype(float)
        runs = [
            minimize(
                lambda x, t=target: -log_evidence(features, t, *np.exp(x)),
                start,
                method="Nelder-Mead",
                options={"xatol": 1e-7, "fatol": 1e-9, "maxiter": 2000},
            ).fun
            for start in ((0.0, 0.0), (3.0, 2.0), (-2.0, 3.0))
        ]
        scores.append(-min(runs) / len(target))
    return float(np.mean(scores))


def logme_fixed_point(features: np.ndarray, labels: np.ndarray, steps: int = 3000) -> float:
    """The paper's own way: MacKay's iteration for a and b, then the evidence through the posterior mean."""
    n, d = features.shape
    scores = []
    for label in np.unique(labels):
        target = (labels == label).astype(float)
        a = b = 1.0
        eigenvalues = np.linalg.eigvalsh(features.T @ features)
        for _ in range(steps):
            precision = a * np.eye(d) + b * features.T @ features
            mean = b * np.linalg.inv(precision) @ features.T @ target
            effective = (b * eigenvalues / (a + b * eigenvalues)).sum()
            a = effective / (mean @ mean)
            b = (n - effective) / ((target - features @ mean) ** 2).sum()
        precision = a * np.eye(d) + b * features.T @ features
        mean = b * np.linalg.inv(precision) @ features.T @ target
        scores.append(
            (
                d / 2 * log(a)
                + n / 2 * log(b)
                - np.linalg.slogdet(precision)[1] / 2
                - b / 2 * ((target - features @ mean) ** 2).sum()
                - a / 2 * mean @ mean
                - n / 2 * log(2 * np.pi)
            )
            / n
        )
    return float(np.mean(scores))


def leep(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Counts, then the expected empirical prediction, image by image."""
    joint: dict[tuple[int, int], float] = {}
    marginal: dict[int, float] = {}
    for row, y in zip(probabilities, labels, strict=True):
        for z, p in enumerate(row):
            joint[int(y), z] = joint.get((int(y), z), 0.0) + p
            marginal[z] = marginal.get(z, 0.0) + p
    total = 0.0
    for row, y in zip(probabilities, labels, strict=True):
        total += log(sum(p * joint[int(y), z] / marginal[z] for z, p in enumerate(row) if marginal[z] > 0))
    return total / len(labels)


def nce(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """-sum_z P(z) H(Y | Z = z), by counting."""
    predicted = [max(range(len(row)), key=lambda z, row=row: row[z]) for row in probabilities]
    found = 0.0
    for z in set(predicted):
        group = [y for y, p in zip(labels, predicted, strict=True) if p == z]
        for y in set(group):
            share = group.count(y) / len(group)
            found += len(group) / len(labels) * share * log(share)
    return found


def knn(features: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Leave-one-out accuracy, image by image; tied classes share."""
    credit = 0.0
    for i, row in enumerate(features):
        order = sorted((float(np.linalg.norm(row - other)), j) for j, other in enumerate(features) if j != i)
        votes = [labels[j] for _, j in order[:k]]
        most = max(votes.count(v) for v in votes)
        leaders = {v for v in votes if votes.count(v) == most}
        credit += (labels[i] in leaders) / len(leaders)
    return credit / len(labels)


def rsa(features: np.ndarray, other: np.ndarray) -> float:
    """Pearson's correlation of the ranks of 1 - r above the diagonal, pair by pair."""

    def dissimilarities(rows: np.ndarray) -> list[float]:
        found = []
        for i in range(len(rows)):
            for j in range(i + 1, len(rows)):
                u, v = rows[i] - rows[i].mean(), rows[j] - rows[j].mean()
                found.append(1 - (u @ v) / np.sqrt((u @ u) * (v @ v)))
        return found

    return float(np.corrcoef(rankdata(dissimilarities(features)), rankdata(dissimilarities(other)))[0, 1])


def assignment(means: np.ndarray, other: np.ndarray) -> float:
    """EMD of as many classes of equal shares: the best of all one-to-one matchings (Birkhoff)."""
    n = len(means)
    return (
        min(sum(float(np.linalg.norm(means[i] - other[j])) for i, j in enumerate(p)) for p in permutations(range(n)))
        / n
    )


def discriminant_errors(train: np.ndarray, domain: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Sides ``[n]`` that the shrunk linear discriminant with equal priors gives to ``test``.

    Features are scaled to unit variance within their domain before each covariance is shrunk, as
    scikit-learn does; the pooled covariance is the mean of the two.
    """
    pooled, means = np.zeros((train.shape[1],) * 2), []
    for side in (0, 1):
        rows = train[domain == side]
        scale = rows.std(0)
        covariance, _ = shrinkage(rows / scale)
        pooled += 0.5 * np.outer(scale, scale) * covariance
        means.append(rows.mean(0))
    direction = np.linalg.inv(pooled) @ (means[1] - means[0])
    return ((test - (means[0] + means[1]) / 2) @ direction > 0).astype(int)
