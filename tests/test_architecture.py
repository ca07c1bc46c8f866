"""The house keeps its floors, and its rooms stay small enough to read."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

LONGEST_FUNCTION = 60
LONGEST_MODULE = 250
SOURCES = sorted([*(CHECKOUT / "lab").rglob("*.py"), *(CHECKOUT / "hydra_plugins").rglob("*.py"), CHECKOUT / "run.py"])


def test_imports_go_only_downward_and_torch_stays_out() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "3 kept, 0 broken" in done.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(CHECKOUT).as_posix())
def test_a_room_is_small_and_says_what_it_owns(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    said = ast.get_docstring(tree) or ""
    assert said, "a file opens with what it owns and what it refuses"
    lines = len(text.splitlines())
    assert lines <= LONGEST_MODULE or "longer than" in said, f"{lines} lines: split it, or write the reason into its docstring"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        (("-m", "lab", "--help"), {"torch", "pandas", "scipy", "hydra", "rich"}),
        (("-m", "lab", "runs"), {"torch", "pandas", "scipy", "hydra"}),
        (("-m", "lab", "report"), {"torch", "hydra"}),
        (("-m", "lab", "plan", "seed=0"), {"torch", "pandas", "scipy"}),
        (("run.py", "--cfg", "job"), {"torch", "pandas", "scipy", "numpy", "rich"}),
        (("run.py", "--help"), {"torch", "pandas", "scipy", "numpy", "rich"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_verb_imports_only_what_it_needs(project: object, words: tuple[str, ...], absent: set[str]) -> None:
    done = project.python("-X", "importtime", *words)  # type: ignore[attr-defined]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "lab.errors" in imported, "the log of imports is empty: this test could not fail"
    assert not imported & absent
