"""Data flows one way: who may import whom, held by reading the imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGINE = ROOT / "t2v_core"
MODULES = sorted(ENGINE.rglob("*.py"))
PAGES = [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py"))]

MAY_IMPORT = {
    "task": set(),
    "probe": {"task"},
    "fisher": {"probe", "task"},
    "embedding": {"fisher", "probe", "task"},
    "bank": {"embedding", "probe.record", "task"},
    "space": {"embedding", "probe.record", "bank"},
    "experts": {"probe", "task", "bank.records"},
    "selection": {"space", "embedding", "probe.record", "bank"},
    "transferability": set(),
    "measuring": {
        "bank",
        "embedding",
        "experts",
        "fisher",
        "pipeline",
        "probe",
        "request",
        "selection",
        "space",
        "task",
    }
    | {"transferability"},
    "figures": set(),
    "report": {"figures", "selection", "space", "embedding", "bank"},
    "jobs": {"bank", "pipeline", "recommendation", "filling", "new_experts", "experiments"},
}
"""What each room may use beside itself and ``errors``. bank and task are records wherever they are read."""

TORCH = {"probe", "fisher", "embedding", "experts"}
TORCH_MODULES = {
    "pipeline",
    "recommendation",
    "building",
    "filling",
    "new_experts",
    "experiments",
    "measuring",
    "commands",
}
LIGHT = ("bank", "space", "selection", "transferability", "figures", "report", "jobs", "task")
"""Rooms that pages import: they must work, and start fast, without torch."""


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(ENGINE)))
def test_rooms_import_only_what_lies_below(file):
    room = file.relative_to(ENGINE).parts[0]
    if room not in MAY_IMPORT:
        return
    allowed = MAY_IMPORT[room] | {room, "errors", "__version__"}
    for name in imports(file):
        if name.startswith("t2v_core."):
            inner = name.removeprefix("t2v_core.")
            assert any(inner == a or inner.startswith(a + ".") for a in allowed), f"{file} imports {name}"


@pytest.mark.parametrize("file", sorted(ENGINE.glob("*.py")), ids=lambda f: f.stem)
def test_what_joins_the_rooms_does_not_know_who_asks(file):
    """Modules beside the rooms join them: the command line and the jobs call them, not the other way round."""
    if file.stem in ("cli", "__main__"):
        return
    known = {name.split(".")[1] for name in imports(file) if name.startswith("t2v_core.")}
    # What remains to be measured, for the pages, is less what jobs are at.
    assert not known & ({"cli", "commands", "jobs"} - ({"jobs"} if file.stem == "measurable" else set()))


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(ENGINE)))
def test_the_engine_knows_no_streamlit_and_no_pickle(file):
    found = {name.split(".")[0] for name in imports(file)}
    assert not found & {"streamlit", "pickle", "joblib", "dill", "shelve", "marshal"}


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(ENGINE)))
def test_torch_stays_in_its_rooms(file):
    first = file.relative_to(ENGINE).parts[0].removesuffix(".py")
    uses = {name.split(".")[0] for name in imports(file)} & {"torch", "torchvision"}
    assert not uses or first in TORCH | TORCH_MODULES, f"{file} imports {uses}"


def test_pages_start_without_torch():
    import subprocess
    import sys

    # A page runs when it is imported; what it needs first stands at its top.
    tops = [node for file in PAGES for node in ast.parse(file.read_text()).body]
    needed = [ast.unparse(node) for node in tops if isinstance(node, (ast.Import, ast.ImportFrom))]
    wanted = [line for line in needed if "__future__" not in line]
    code = "\n".join([*wanted, "import sys", "assert 'torch' not in sys.modules, 'torch was imported'"])
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("file", PAGES, ids=lambda f: str(f.relative_to(ROOT)))
def test_pages_draw_and_ask_the_engine_for_all_else(file):
    """No database, no network, no learning: what a page shows can be had without a browser."""
    found = {name.split(".")[0] for name in imports(file)}
    assert not found & {"sqlalchemy", "sqlite3", "torch", "torchvision", "timm", "sklearn", "requests", "urllib"}


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(ENGINE)))
def test_modules_stay_small(file):
    assert len(file.read_text().splitlines()) <= 350


def test_weights_are_only_loaded_safely():
    for file in MODULES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert any(k.arg == "weights_only" and k.value.value is True for k in node.keywords), file
