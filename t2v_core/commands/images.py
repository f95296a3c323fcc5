"""How a person gives the images of the bank's tasks to a command; the bank itself keeps none."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_images(to: argparse.ArgumentParser) -> None:
    """The options by which a person gives the images of the bank's tasks."""
    to.add_argument("paths", nargs="*", metavar="PATH", help="folders or zips, one a task, as they were embedded")
    to.add_argument(
        "--data", type=Path, help="CIFAR-100, which the demo tasks are made of (without it: shapes, digits)"
    )
    to.add_argument("--tasks", nargs="+", metavar="ID", help="these tasks alone")
    to.add_argument("--attribute", help="which attribute column of labels.csv")
    to.add_argument("--max-images", type=int, default=2000, metavar="M", help="as they were embedded")


def image_arguments(o: argparse.Namespace) -> dict[str, Any]:
    """What ``add_images`` asked for, as JSON."""
    return {
        "paths": [str(Path(path).resolve()) for path in o.paths],
        "data": str(o.data.resolve()) if o.data else None,
        "tasks": o.tasks,
        "attribute": o.attribute,
        "max_images": o.max_images,
        "seed": o.seed,
        "device": o.device,
    }
