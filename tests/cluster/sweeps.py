"""What the tests of launchers share: a project whose runs last some seconds, and what its store holds afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.ablate.baseline import pin
from lab.files import read_json, read_rows
from lab.store.layout import RunFolder, run_folders
from lab.store.runs import verify
from tests.conftest import Project
from tests.test_one_owner import add_hook

STEPS = 200
LONG = ("baseline=tiny", "trainer.checkpoint.every=10", f"trainer.evaluation.every={STEPS}", f"trainer.tokens={STEPS * 64}", "hooks=slow")


def slow_project(tiny: Project, monkeypatch: pytest.MonkeyPatch, seconds: float) -> Project:
    """The tiny project with a baseline `long`, each step of which takes so long at least."""
    add_hook(tiny, "slow", f"time.sleep({seconds})")
    monkeypatch.syspath_prepend(str(tiny.root))
    pin(tiny.composer(), "long", LONG)
    return tiny


def begin(project: Project, *words: str, **environment: str) -> subprocess.Popen[str]:
    """A sweep, not waited for; what it says goes to a file that `said` reads."""
    with (project.root / "said.txt").open("a") as said:
        return subprocess.Popen(
            [sys.executable, "run.py", "--multirun", *words],
            cwd=project.root,
            env=os.environ | environment,
            stdout=said,
            stderr=said,
            text=True,
        )


def said(project: Project) -> str:
    return (project.root / "said.txt").read_text()


def wait_until(condition: Callable[[], Any], seconds: float, why: Callable[[], str]) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited in vain\n{why()}"
        time.sleep(0.05)


def checkpointed(project: Project) -> list[RunFolder]:
    """The runs that are under way, and could go on from somewhere."""
    return [each for each in run_folders(project.root) if any(each.checkpoint.glob("step-*.json")) and not each.result.exists()]


def owner(folder: RunFolder) -> int:
    pid: int = read_json(folder.claim)["pid"]
    return pid


def weights(project: Project) -> dict[Path, str]:
    """The digest of each finished run's weights, after a look that it is whole and that no row of it is there twice."""
    found = {}
    for folder in run_folders(project.root):
        result = verify(folder)
        lines = folder.metrics.read_text().splitlines()
        assert len(lines) == len(set(lines))
        assert [row["step"] for row in read_rows(folder.path / "timing.jsonl")[0]] == list(range(2, STEPS + 1, 2))
        found[folder.path.relative_to(project.root)] = result["digests"]["weights"]
    return found
