"""A sweep's parent is stopped or killed while its workers train, and the same words are typed at once: nothing twice, nothing mixed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.files import read_json
from lab.store.layout import run_folders
from tests.cases import Cases
from tests.sweep.witness import Watched, alive, trained_once, until, watched


def interrupted(project: Watched, words: tuple[str, ...], sent: signal.Signals, times: int, draw: random.Random) -> int:
    """Type the words, let them train a moment, signal the parent alone, at once again; at last to the end. How often it met workers."""
    met = 0
    for _ in range(times):
        before = workers(project)
        process = project.sweep(*words)
        # not those of the sweep before: they may still be saving what they have
        until(lambda before=before, process=process: process.poll() is not None or workers(project) - before)
        time.sleep(draw.uniform(0, 0.4))
        met += process.poll() is None and any(alive(pid) for pid in workers(project) - before)
        process.send_signal(sent)
        if sent == signal.SIGKILL:
            process.wait(60)  # it's dead: its workers are not yet, and the next sweep meets them
        else:
            began = time.monotonic()
            process.wait(60)
            assert time.monotonic() - began < 10, "it leaves within 10 s"
    with project.sweep(*words) as process:
        assert process.wait(300) == 0, project.said()
    return met


def workers(project: Watched) -> set[int]:
    """Every process that has trained a step."""
    return {pid for pids in project.sittings().values() for pid in pids}


def check(project: Watched, reference: Watched, counted: Cases, times: int, met: int, runs: int) -> None:
    counted.note = f"{met} of {times} met workers that trained"
    once = trained_once(project)
    for run, alone in once.items():
        counted.check(f"{run}: executed by two at once", alone)
    digests = project.digests()
    for run, expected in reference.digests().items():
        counted.check(f"{run}: mixed or moved", digests.get(run) == expected)
    counted.check("each run has one directory", len(run_folders(project.root)) == len(digests) == runs)
    counted.check("they met workers", met >= times * 0.7)
    left = [each for folder in run_folders(project.root) for each in folder.path.rglob("*.tmp")]
    counted.check("nothing is left behind", not left)
    counted.all_good(2 * runs)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_the_parent_is_stopped_with_workers_alive_and_started_again_at_once(
    tiny_template: Path, tmp_path: Path, cases: Callable[[str], Cases], sent: signal.Signals, times: int
) -> None:
    steps = 100 if times == 2 else 400
    project = watched(tiny_template, tmp_path / "project", steps, 0.02)
    reference = watched(tiny_template, tmp_path / "reference", steps, 0.02)
    words = project.words("device.workers=2", rates=1)
    met = interrupted(project, words, sent, times, random.Random(5))
    with reference.sweep(*words) as process:
        assert process.wait(300) == 0, reference.said()
    counted = cases(f"{sent.name} to a sweep's parent with workers alive, started again at once, {times} times: no run twice, none mixed")
    check(project, reference, counted, times, met, 4)


def test_a_kill_of_parent_and_workers_together_loses_and_doubles_nothing(
    tiny_template: Path, tmp_path: Path, cases: Callable[[str], Cases]
) -> None:
    project = watched(tiny_template, tmp_path / "project", 40, 0.02)
    words = project.words("device.workers=2", rates=1, seeds=1)
    process = project.sweep(*words)
    until(lambda: len(project.sittings()) == 2)
    for pid in [pids[-1] for pids in project.sittings().values()]:
        os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait(60)
    with project.sweep(*words) as process:
        assert process.wait(120) == 0, project.said()
    counted = cases("kill -9 of a sweep's parent and of its workers, and the same words again")
    for run, alone in trained_once(project).items():
        counted.check(run, alone)
    counted.check("finished", project.states() == ["finished"] * 2)
    counted.check("one sweep", len(list((project.root / "multirun").iterdir())) == 1)
    counted.all_good(4)
    assert all(
        "goes on from step" in folder.log.read_text() or read_json(folder.result)["steps"] == 40 for folder in run_folders(project.root)
    )
