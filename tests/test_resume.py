"""A run that is killed or stopped, as real processes: the same command goes on, and the same bits come out."""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.ablate.baseline import pin
from lab.ablate.rule import count_changes
from lab.errors import StoreError
from lab.files import read_json, read_rows
from lab.request import Identifier, job_of
from lab.runner import run
from lab.store.console import Console
from lab.store.layout import RunFolder, run_folders
from lab.store.runs import status_of
from tests.conftest import Project

STEPS, EVERY = 500, 20
LONG = (  # some seconds long, so that there is time to interfere
    "baseline=tiny",
    f"trainer.tokens={STEPS * 64}",
    f"trainer.checkpoint.every={EVERY}",
    "trainer.evaluation.every=50",
    "trainer.sampling.every=150",
    "hooks=grad_clip",
    "model.dropout=0.1",
)
COMMAND = ("run.py", "baseline=long")


@pytest.fixture(scope="module")
def template(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project(tmp_path_factory.mktemp("long") / "project")
    shutil.copytree(tiny_template, project.root)
    pin(project.composer(), "long", LONG)
    return project.root


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    shutil.copytree(template, tmp_path / "long")
    return Project(tmp_path / "long")


@pytest.fixture(scope="module")
def straight(template: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The same run in another copy of the project, never disturbed."""
    root = tmp_path_factory.mktemp("straight") / "project"
    shutil.copytree(template, root)
    run(job_of(count_changes(Project(root).composer(), COMMAND[1:]), root, ""), Console())
    (folder,) = run_folders(root)
    return folder


def newest_checkpoint(folder: RunFolder) -> int:
    return max((int(path.stem.removeprefix("step-")) for path in folder.checkpoint.glob("step-*.json")), default=0)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 60) -> None:
    """Wait for a condition of a process that runs; its output is shown when it ends too early."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"it has ended, with {process.returncode}:\n{process.communicate()[0]}"
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@contextmanager
def started(project: Project) -> Iterator[subprocess.Popen[str]]:
    process = project.start(*COMMAND)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def ends_like(folder: RunFolder, straight: RunFolder) -> None:
    """Bit for bit: weights, optimizer, and every file that grew."""
    ours, theirs = (read_json(each.result)["digests"] for each in (folder, straight))
    trained = [name for name in theirs if "/" not in name and name not in ("config.yaml", "overrides.yaml", "manifest.json")]
    assert {"weights", "optimizer", "metrics.jsonl", "samples.txt"} <= set(trained)
    for name in trained:
        assert ours[name] == theirs[name], name
    for name in [each for each in trained if (straight.path / each).is_file()]:
        assert (folder.path / name).read_bytes() == (straight.path / name).read_bytes(), name
    steps = [row["step"] for row in read_rows(folder.path / "timing.jsonl")[0]]
    assert steps == list(range(2, STEPS + 1, 2)), "a step's row is missing or there twice"


def test_a_run_killed_at_random_instants_goes_on_to_the_same_bits(project: Project, straight: RunFolder) -> None:
    job, chance = job_of(count_changes(project.composer(), COMMAND[1:]), project.root, ""), random.SystemRandom()
    folder = Identifier(project.root).identify(job).folder
    reached, instants = 0, 2
    for _ in range(instants):
        goal = reached + EVERY * chance.randint(1, 6)
        with started(project) as process:
            wait_until(lambda at=goal: newest_checkpoint(folder) >= at, process)  # type: ignore[misc]
            time.sleep(chance.uniform(0, 0.05))
            process.send_signal(signal.SIGSTOP)
            assert status_of(folder) == "running"
            owned = rf"being trained already, by process {process.pid}: .*\nwait for it, or stop that process"
            with pytest.raises(StoreError, match=owned):
                run(job, Console())
            process.kill()
            said = process.communicate()[0]
        assert process.returncode == -signal.SIGKILL and not folder.result.exists()
        assert status_of(folder) == "stopped"
        assert reached == 0 or f"goes on from step {reached:,}\n" in said
        assert newest_checkpoint(folder) > reached
        reached = newest_checkpoint(folder)
    run(job, Console())
    assert f"goes on from step {reached:,}\n" in folder.log.read_text() and status_of(folder) == "finished"
    assert len(read_rows(folder.requests)[0]) == instants + 1
    ends_like(folder, straight)


def test_a_signal_lets_a_run_checkpoint_and_leave_and_a_second_one_kills_it(project: Project, straight: RunFolder) -> None:
    job = job_of(count_changes(project.composer(), COMMAND[1:]), project.root, "")
    folder = Identifier(project.root).identify(job).folder
    stopped_at = 0
    for number in (signal.SIGINT, signal.SIGTERM):
        with started(project) as process:
            wait_until(lambda at=stopped_at: newest_checkpoint(folder) > at, process)  # type: ignore[misc]
            sent = time.monotonic()
            process.send_signal(number)
            said = process.communicate(timeout=60)[0]
        assert time.monotonic() - sent < 10
        assert process.returncode == 130 and "Traceback" not in said
        told = re.search(rf"^stopped at step (\d+) of {STEPS}, and saved: the same command goes on from there$", said, re.MULTILINE)
        assert told is not None, said
        assert stopped_at == 0 or f"goes on from step {stopped_at:,}\n" in said
        stopped_at = int(told[1])
        assert newest_checkpoint(folder) == stopped_at and status_of(folder) == "stopped"
        assert not folder.failure.exists()

    with started(project) as process:
        wait_until(lambda: newest_checkpoint(folder) > stopped_at, process)
        process.send_signal(signal.SIGSTOP)  # so that both arrive together
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == -signal.SIGTERM and "and saved" not in said
    assert status_of(folder) == "stopped"
    run(job, Console())
    ends_like(folder, straight)


def test_two_starts_of_one_run_at_the_same_time_train_it_once(tiny: Project) -> None:
    processes = [tiny.start("run.py", "baseline=tiny") for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in processes]
    trained = [text for text in said if "20/20" in text]
    assert len(trained) == 1, said
    other = next(text for text in said if "20/20" not in text)
    late = "found, not trained again" in other
    assert late or re.search(rf"being trained already, by process ({processes[0].pid}|{processes[1].pid})", other), other
    assert sorted(process.returncode for process in processes) == ([0, 0] if late else [0, 1])
    assert "Traceback" not in "".join(said)
    (result,) = tiny.root.glob("runs/*/*/*/result.json")
    assert read_json(result)["status"] == "finished"
    assert len(read_rows(result.with_name("requests.jsonl"))[0]) == (2 if late else 1)
