"""Projects to try things in: copies of conf/ and run.py, with a tiny baseline on a text that the tests make."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.ablate.baseline import pin
from lab.config.compose import Composer
from tests.cases import Cases
from tests.figures import Figures, rows_of
from tests.forked import start

CHECKOUT = Path(__file__).resolve().parents[1]
TINY = (
    "data=text",
    "data.path=text.txt",
    "model.n_layers=1",
    "model.n_heads=2",
    "model.d_model=16",
    "model.context=16",
    "trainer.tokens=1280",  # 20 steps of 4 x 16
    "trainer.batch_size=4",
    "trainer.evaluation.every=5",
    "trainer.log_every=2",
    "trainer.checkpoint.every=6",
    "trainer.sampling.tokens=8",
    "trainer.evaluation.bytes=1000",
    "trainer.evaluation.curve_bytes=200",
    "device.threads=1",
    "judgement.looks=[2]",
    "judgement.seeds=[0,1,2,3]",
)


@dataclass(frozen=True)
class Project:
    """A project's folder, and how a user would type things there."""

    root: Path

    def python(self, *words: str, status: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """`python WORDS` in the project, forked (tests/forked.py); its exit status is checked unless `status` is None."""
        process = start(words, self.root, os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return self._ended(process, status)

    def fresh(self, *words: str, status: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """The same, always in a fresh process: for what is about how a process starts."""
        command = [sys.executable, *words]
        process = subprocess.Popen(
            command, cwd=self.root, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        return self._ended(process, status)

    def start(self, *words: str, fresh: bool = False) -> subprocess.Popen[str]:
        """`python WORDS`, not waited for; `fresh` as of the method."""
        if fresh:
            command = [sys.executable, *words]
            return subprocess.Popen(command, cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return start(words, self.root, dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def _ended(self, process: subprocess.Popen[str], status: int | None) -> subprocess.CompletedProcess[str]:
        with process:
            try:
                said, errors = process.communicate(timeout=120)
            except BaseException:
                process.kill()
                raise
        if status is not None:
            assert process.returncode == status, f"exit status {process.returncode}, not {status}\n{said}\n{errors}"
        return subprocess.CompletedProcess(process.args, process.returncode, said, errors)

    def composer(self) -> Composer:
        return Composer(self.root, self.root)

    def files(self) -> set[str]:
        """Every file and folder there is, to see that nothing was written."""
        return {path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if "__pycache__" not in path.parts}


def copy_of_the_project(root: Path) -> Project:
    shutil.copytree(CHECKOUT / "conf", root / "conf")
    shutil.copytree(CHECKOUT / "hydra_plugins", root / "hydra_plugins", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "run.py", root / "run.py")
    return Project(root)


@pytest.fixture(autouse=True, scope="module")
def environment_as_before() -> Iterator[None]:
    """What the tests of a file leave in this process's environment goes with them: a run that trains here sets variables."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """This checkout's conf/ and run.py, to edit and break."""
    return copy_of_the_project(tmp_path / "project")


@pytest.fixture(scope="session")
def tiny_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a baseline `tiny` that trains in about a second on a made-up text."""
    made = copy_of_the_project(tmp_path_factory.mktemp("tiny") / "project")
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "ran", "to", "see", "dogs", "run"]
    draw = random.Random(0)
    text = "\n".join(" ".join(draw.choice(words) for _ in range(8)) + "." for _ in range(600))
    (made.root / "text.txt").write_text(text + "\n")
    pin(made.composer(), "tiny", TINY)
    return made.root


@pytest.fixture
def tiny(tiny_template: Path, tmp_path: Path) -> Project:
    """A fresh copy of the tiny project."""
    shutil.copytree(tiny_template, tmp_path / "tiny")
    return Project(tmp_path / "tiny")


@pytest.fixture
def cases(record_property: Callable[[str, object], None]) -> Callable[[str], Cases]:
    """`cases("a kill at every system call of a save")`: a count of planted cases, printed when the tests are through."""
    return lambda what: Cases(what, record_property)


@pytest.fixture
def figures(record_property: Callable[[str, object], None], request: pytest.FixtureRequest) -> Figures:
    """`figures.at_most("false claims", rate, 0.05)`: a figure measured by simulation, printed when the tests are through."""
    return Figures(record_property, None if request.node.get_closest_marker("soak") else rows_of())


# The files that take longest, so that no core waits for the other at the end (a file's tests stay on one core).
LONG = ("replay/test_flow.py", "replay/test_certify.py", "sweep/test_declared.py", "test_rule.py", "test_every_hook.py", "test_sweep.py")
LONG += ("test_run.py", "test_kills.py", "test_confirm.py", "test_docs.py", "test_harmless.py", "test_runner.py", "test_baseline.py")
LONG += ("test_experiment.py", "test_identity.py", "test_docs_pages.py", "test_plan.py", "test_reliability.py", "test_help.py")
LONG += (
    "test_selfcheck.py",
    "test_cli.py",
    "test_signals.py",
    "test_resume.py",
    "test_one_owner.py",
    "test_confounds.py",
    "test_learning.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first."""
    items.sort(key=lambda item: next((place for place, name in enumerate(LONG) if item.path.as_posix().endswith(name)), len(LONG)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Every count of planted cases and every simulated figure, on one line each; of the naive ways beside ours too, which must fail."""
    reports = [report for status in ("passed", "failed") for report in terminalreporter.stats.get(status, [])]
    counts = sorted(tuple(value) for report in reports for name, value in report.user_properties if name == "cases")
    if counts:
        terminalreporter.section("planted cases")
    for what, kind, ran, bad, note in counts:
        naive = " (naive, must fail)" if kind == "naive" else ""
        terminalreporter.write_line(f"{what}{naive}: {ran} ran, {bad} bad{f'; {note}' if note else ''}")
    measured = sorted(tuple(value) for report in reports for name, value in report.user_properties if name == "figures")
    if measured:
        terminalreporter.section("proved by simulation")
    for what, figure, demanded in measured:
        terminalreporter.write_line(f"{what}: {figure}; demanded: {demanded}")
