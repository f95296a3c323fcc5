"""Toy tasks (T2V supplement Fig. 4): 64 drawings on the unit square, two tiny probes, the very same Fisher code.

A task is a uniform grid of points cut into k clusters by k-means, half of them positive (supplement 5). All
tasks thus share their inputs, and only the labels tell them apart. A point is an image of one pixel: red is
x, green is y, blue is full.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import rankdata, spearmanr
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from t2v_core.errors import InputError
from t2v_core.fisher.diagonal import DiagonalSettings, fisher_diagonal
from t2v_core.probe.heads import Head, class_weights
from t2v_core.probe.probe import Probe
from t2v_core.probe.toy import cubic_probe, random_probe
from t2v_core.space.distances import symmetric
from t2v_core.space.projection import tsne

FloatArray = NDArray[np.float64]

SIDE = 24
"""Grid points along a side: 11 levels of a pixel apart, so that the grid is uniform in whole levels, 1 to 254."""

WEIGHT_DECAY = 0.01
"""Of the heads. All tasks have the same points, so it need not be strong as for real tasks; weaker ones hardly
move the boundaries of the decision maps but sharpen them (cubic accuracy 91 %, 93 % with none), stronger ones blur."""

NEAREST = 5
"""Neighbours a task is compared with."""

SHUFFLES = 1000


@dataclass(frozen=True)
class ToySettings:
    """Which tasks are drawn.

    Attributes:
        tasks: how many.
        fewest, most: clusters k are drawn evenly from this range, both ends included.
        noise: share of points whose label is flipped, 0 to 0.5.
        seed: of the clusters, the labels and the random features.
    """

    tasks: int = 64
    fewest: int = 3
    most: int = 16
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.tasks < 2:
            raise InputError(f"{self.tasks} toy tasks make no map; ask for at least 2")
        if not 2 <= self.fewest <= self.most <= SIDE:
            raise InputError(
                f"toy tasks cannot have {self.fewest} to {self.most} clusters; choose a range within 2 to {SIDE}"
            )
        if not 0 <= self.noise <= 0.5:
            raise InputError(f"a share of {self.noise} flipped labels is not between 0 and 0.5; choose one that is")


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation.

    Attributes:
        rho: -1 to 1; NaN where one side does not vary.
        p: how often chance alone gives one as large.
    """

    rho: float
    p: float


@dataclass(frozen=True)
class ToyView:
    """The tasks as one probe sees them.

    Attributes:
        fisher: ``[T, 10]`` exact Fisher embeddings.
        distance: ``[T, T]`` d_sym.
        coordinates: ``[T, 2]`` its t-SNE map.
        norm: ``[T]`` L1 norm of the embeddings.
        decisions: ``[T, SIDE, SIDE]`` the head's p(positive) on the grid.
        accuracy: ``[T]`` balanced accuracy of the head on the grid.
        grouping: between a task's boundary length and the mean of its nearest tasks' (by d_sym): do simple and
            complex tasks group apart?
        growth: between boundary length and norm.
    """

    fisher: FloatArray
    distance: FloatArray
    coordinates: FloatArray
    norm: FloatArray
    decisions: FloatArray
    accuracy: FloatArray
    grouping: Correlation
    growth: Correlation


@dataclass(frozen=True)
class ToySpace:
    """The tasks, from few clusters to many, and their two views.

    Attributes:
        clusters: ``[T]`` k.
        labels: ``[T, SIDE, SIDE]`` zeros and ones; rows are y upwards, columns x.
        boundary: ``[T]`` length of the line between the labels before any are flipped, in sides of the square.
        views: by the probe's title.
    """

    clusters: NDArray[np.int64]
    labels: NDArray[np.int64]
    boundary: FloatArray
    views: dict[str, ToyView]


def toy_space(settings: ToySettings | None = None) -> ToySpace:
    """Draw the tasks and embed them with both probes."""
    settings = settings or ToySettings()
    # Steps this small only wait for each other when threads share them: 20 times as long on a busy machine.
    with threadpool_limits(1):
        clusters, shapes, labels = draw_tasks(settings)
        boundary = boundary_length(shapes)
        views = {p.info.title: view(p, labels, boundary) for p in (cubic_probe(), random_probe(settings.seed))}
    return ToySpace(clusters, labels, boundary, views)


def grid_pixels() -> NDArray[np.uint8]:
    """``[SIDE * SIDE, 1, 1, 3]`` the points as images, row after row, y upwards."""
    levels = 1 + 11 * np.arange(SIDE)
    y, x = np.meshgrid(levels, levels, indexing="ij")
    return np.stack([x, y, np.full_like(x, 255)], -1).astype(np.uint8).reshape(-1, 1, 1, 3)


def draw_tasks(settings: ToySettings) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Clusters ``[T]`` in ascending order, and labels ``[T, SIDE, SIDE]`` before and after the noise."""
    rng = np.random.default_rng([settings.seed, 0])
    points = grid_pixels()[:, 0, 0, :2] / 255
    clusters = np.sort(rng.integers(settings.fewest, settings.most + 1, settings.tasks))
    shapes = np.empty((settings.tasks, len(points)), dtype=np.int64)
    for task, k in enumerate(clusters):
        found = KMeans(int(k), n_init=1, random_state=int(rng.integers(2**31))).fit_predict(points)
        shapes[task] = np.isin(found, rng.permutation(k)[: k // 2])
    labels = shapes.copy()
    for own in labels:
        own[rng.permutation(len(points))[: round(settings.noise * len(points))]] ^= 1
    return clusters, shapes.reshape(-1, SIDE, SIDE), labels.reshape(-1, SIDE, SIDE)


def boundary_length(labels: NDArray[np.int64]) -> FloatArray:
    """Pairs of neighbouring grid points with different labels, over points a side: ``[T]``."""
    across, along = np.diff(labels, axis=2) != 0, np.diff(labels, axis=1) != 0
    return (across.sum((1, 2)) + along.sum((1, 2))) / SIDE


def view(probe: Probe, labels: NDArray[np.int64], boundary: FloatArray) -> ToyView:
    """Embed all tasks with one probe: heads, exact Fisher diagonals, distances, map."""
    pixels, flat = grid_pixels(), labels.reshape(len(labels), -1)
    features = probe.features(pixels, batch_size=len(pixels)).double().numpy()
    heads = fit_heads(features, flat)
    exact = DiagonalSettings(estimator="exact", chunks=1, batch_size=len(pixels))
    fisher = np.stack(
        [fisher_diagonal(probe, head, pixels, own, exact).mean for head, own in zip(heads, flat, strict=True)]
    )
    # A softmax over two classes is a sigmoid of the difference.
    decisions = np.stack([expit(features @ np.diff(h.weight, axis=0)[0] + np.diff(h.bias)) for h in heads])
    distance, norm = symmetric(fisher, fisher), fisher.sum(1)
    return ToyView(
        fisher,
        distance,
        tsne(distance),
        norm,
        decisions.reshape(labels.shape),
        np.array([head.validation_accuracy for head in heads]),
        neighbours_alike(distance, boundary),
        Correlation(*map(float, spearmanr(norm, boundary))),
    )


def fit_heads(features: FloatArray, labels: NDArray[np.int64]) -> list[Head]:
    """The minimum that ``heads.fit_regularised_head`` finds, for every row of ``labels [T, N]``.

    With two classes and ten features Newton's method takes eight steps where L-BFGS takes fifty. The accuracy is
    that on the points themselves.
    """
    scaler = StandardScaler().fit(features)
    x = scaler.transform(features)
    heads = []
    for own in labels:
        weights = class_weights(own, 2)
        # A penalty on both rows of a softmax, which are w / 2 and -w / 2, is half of that on their difference w.
        model = LogisticRegression(C=2 / WEIGHT_DECAY, solver="newton-cholesky", tol=1e-8).fit(x, own, weights)
        w = model.coef_[0] / scaler.scale_
        b = float(model.intercept_[0] - w @ scaler.mean_)
        heads.append(
            Head(
                np.stack([-w / 2, w / 2]).astype(np.float32),
                np.array([-b / 2, b / 2], dtype=np.float32),
                float(weights @ (model.predict(x) == own)),
                0,
                int(model.n_iter_[0]),
            )
        )
    return heads


def neighbours_alike(distance: FloatArray, values: FloatArray, seed: int = 0) -> Correlation:
    """Between each task's value and the mean value of its nearest tasks; p from shuffled values."""
    if np.ptp(values) == 0:
        return Correlation(float("nan"), float("nan"))
    apart = np.where(np.eye(len(distance), dtype=bool), np.inf, distance)
    nearest = np.argsort(apart, axis=1, kind="stable")[:, : min(NEAREST, len(distance) - 1)]
    rng = np.random.default_rng(seed)
    own = np.stack([values, *(rng.permutation(values) for _ in range(SHUFFLES))])
    a, b = (rankdata(v, axis=1) - (len(values) + 1) / 2 for v in (own, own[:, nearest].mean(2)))
    rho = (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return Correlation(float(rho[0]), float((rho >= rho[0]).mean()))
