"""Filling the error matrix: every missing cell whose images are at hand, by as many processes as one likes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from t2v_core.bank.bank import Bank, content_key
from t2v_core.bank.claims import Piece, work_through
from t2v_core.bank.coverage import missing_cells
from t2v_core.bank.feature_cache import FeatureCache
from t2v_core.bank.records import ErrorEntry, ExpertRecord
from t2v_core.errors import InputError
from t2v_core.experts.errors import held_out_of, task_errors
from t2v_core.experts.images import pixels_at
from t2v_core.experts.weights import load_expert, spec_of
from t2v_core.images_at_hand import ImageOptions, images_at_hand
from t2v_core.probe.bundled import SPEC
from t2v_core.probe.probe import pick_device
from t2v_core.probe.training import autocast
from t2v_core.request import Report
from t2v_core.task.record import DecodedTask

FILLING = "error matrix"


@dataclass(frozen=True)
class FillOptions(ImageOptions):
    """What to fill.

    Attributes:
        experts: ids of the only experts to take; None takes all.
    """

    experts: tuple[str, ...] | None = None


def fill(bank: Bank, options: FillOptions, report: Report) -> dict[str, Any]:
    """Measure every missing error of tasks whose images a person gives.

    Args:
        bank: the bank.
        options: what to fill, from which images.
        report: progress.

    Returns:
        How many cells this process measured, and how many are still missing, as JSON.

    Raises:
        InputError: the images or ids given are at fault.
    """
    experts = choose_experts(bank, options.experts)
    tasks = images_at_hand(bank, options, report)
    measured = fill_errors(bank, tasks, experts, pick_device(options.device), report)
    return {
        "tasks": len(tasks),
        "experts": len(experts),
        "measured": measured,
        "missing": sum(missing_cells(bank).values()),
    }


def choose_experts(bank: Bank, wanted: Sequence[str] | None) -> list[ExpertRecord]:
    """The bank's experts of some ids, or all.

    Raises:
        InputError: there is none of an id.
    """
    experts = {e.id: e for e in bank.experts()}
    for expert in wanted or ():
        if expert not in experts:
            raise InputError(f"there is no expert {expert!r} in the bank at {bank.location}; `experts` lists them")
    return [e for e in experts.values() if wanted is None or e.id in wanted]


def fill_errors(
    bank: Bank,
    tasks: Mapping[str, DecodedTask],
    experts: Sequence[ExpertRecord],
    device: torch.device,
    report: Report,
    cache: FeatureCache | None = None,
) -> int:
    """Measure every missing cell of some tasks under some experts.

    Features are computed once per expert and set of images and cached on disk; every finished row is in the bank
    at once. So the work can be cut off at any moment and goes on where it stopped, and several processes share it.

    Args:
        bank: where the cells go.
        tasks: by id, decoded for the bundled network.
        experts: of the bank.
        device: where networks run.
        report: progress.
        cache: where features are kept; by default in the bank's folder.

    Returns:
        How many cells this process measured.
    """
    filler = _Filler(bank, experts, device, cache or FeatureCache(bank.files / "features"))
    groups: dict[str, list[str]] = {}
    for task_id, decoded in tasks.items():
        if len(np.unique(decoded.task.labels)) > 1 and filler.missing(task_id):
            groups.setdefault(_images_key(decoded), []).append(task_id)
    pieces = []
    for images, members in groups.items():
        needed = {e.id: e for task_id in members for e in filler.missing(task_id)}
        shared = tasks[members[0]]
        features = [filler.features_piece(e, shared, images) for e in needed.values()]
        after = frozenset(piece.key for piece in features)
        pieces += features + [filler.row_piece(task_id, tasks[task_id], images, after) for task_id in members]
    work_through(bank, pieces, lambda done, total, title: report(FILLING, done, total, title))
    return filler.measured


@dataclass
class _Filler:
    """The pieces of work behind a fill, and what they have in common."""

    bank: Bank
    experts: Sequence[ExpertRecord]
    device: torch.device
    cache: FeatureCache
    measured: int = 0

    def __post_init__(self) -> None:
        self._pixels: tuple[str, NDArray[np.uint8]] = ("", np.empty(0, np.uint8))

    def missing(self, task_id: str) -> list[ExpertRecord]:
        """The experts whose error on a task is not in the bank."""
        known = self.bank.experts_measured(task_id)
        return [e for e in self.experts if e.id not in known]

    def features_piece(self, expert: ExpertRecord, decoded: DecodedTask, images: str) -> Piece:
        """Computing an expert's features of a set of images."""
        key = self._key(expert, images)
        return Piece(
            f"features {key}",
            f"features of {decoded.task.name} under {expert.name}",
            lambda: self.cache.has(key),
            lambda: self.cache.put(key, self._compute(expert, decoded, images)),
        )

    def row_piece(self, task_id: str, decoded: DecodedTask, images: str, after: frozenset[str]) -> Piece:
        """Measuring all missing errors of a task."""

        def measure() -> None:
            experts = self.missing(task_id)
            features = [torch.from_numpy(self._features(e, decoded, images)).to(self.device) for e in experts]
            held_out, protocol = held_out_of(decoded.task)
            errors = task_errors(features, decoded.task.labels, held_out)
            n = int(held_out.sum())
            self.bank.save_errors(
                [ErrorEntry(task_id, e.id, v, n, protocol) for e, v in zip(experts, errors, strict=True)],
                {e.id: e.weights_sha256 for e in experts},  # one may have been trained anew meanwhile
            )
            self.measured += len(experts)

        return Piece(f"errors {task_id}", decoded.task.name, lambda: not self.missing(task_id), measure, after)

    def _features(self, expert: ExpertRecord, decoded: DecodedTask, images: str) -> NDArray[np.float32]:
        kept = self.cache.get(self._key(expert, images))
        # Computed here where another task's features have taken their room meanwhile.
        return self._compute(expert, decoded, images) if kept is None else kept

    def _compute(self, expert: ExpertRecord, decoded: DecodedTask, images: str) -> NDArray[np.float32]:
        want = spec_of(expert)
        size = content_key(images, want.resize, want.crop, want.interpolation, want.squash)
        if self._pixels[0] != size:  # the same for the next expert, mostly
            self._pixels = size, pixels_at(decoded, SPEC, want)
        return features_of(expert, self.bank.weights, self._pixels[1], self.device)

    def _key(self, expert: ExpertRecord, images: str) -> str:
        return content_key("features", expert.architecture, expert.weights_sha256, images, asdict(spec_of(expert)))


def features_of(
    expert: ExpertRecord, folder: Path, pixels: NDArray[np.uint8], device: torch.device
) -> NDArray[np.float32]:
    """Features ``[N, d]`` of pixels at an expert's own input size.

    Args:
        expert: its record.
        folder: the bank's weights.
        pixels: ``[N, S, S, 3]``.
        device: where to compute.
    """
    with autocast(device):
        return load_expert(expert, folder, device).features(pixels).cpu().numpy()


def _images_key(decoded: DecodedTask) -> str:
    """Identity of a task's images in their order, whatever their labels: attributes of one set share its features."""
    return hashlib.sha256("".join(decoded.digests).encode()).hexdigest()
