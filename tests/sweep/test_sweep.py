"""Sweeps as a user starts them: real processes, to the report; and what happens when runs fail, or Ctrl-C is pressed."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lab.ablate.baseline import pin
from lab.ablate.rule import count_changes
from lab.files import read_json, read_rows
from lab.request import cohort_here, job_of
from lab.results.collect import load
from lab.results.curves import curves
from lab.results.forms import FORMATS
from lab.results.report import build
from lab.results.telling import tell
from lab.runner import run
from lab.store.console import Console
from lab.store.layout import RunFolder, run_folders
from lab.store.runs import status_of
from lab.store.studies import read_declarations
from lab.sweep.frozen import declare_family, freeze
from lab.sweep.launcher import launch
from lab.sweep.plan import make_plan
from lab.sweep.show import left_to_train, print_plan
from lab.sweep.sweeper import SweepFailed, carry_out, sweep
from lab.sweep.watcher import Lines
from tests.conftest import Project

SWEEP = ("run.py", "--multirun", "baseline=tiny", "hooks=none,grad_clip", "seed=range(2)")


def states(project: Project) -> dict[str, str]:
    """Status by arm and seed."""
    found = {}
    for folder in run_folders(project.root):
        manifest = read_json(folder.manifest)
        found[f"{manifest['label']} {manifest['seed']}"] = status_of(folder)
    return found


def written(project: Project) -> dict[str, int]:
    """When each result and checkpoint was last written."""
    paths = [path for path in project.root.glob("runs/*/*/*/**/*") if path.name == "result.json" or path.suffix == ".safetensors"]
    return {path.relative_to(project.root).as_posix(): path.stat().st_mtime_ns for path in paths}


@pytest.fixture(scope="module")
def swept(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, subprocess.CompletedProcess[str]]:
    """A project after one sweep of two arms and two seeds, and what the sweep said; standard error has the parent's imports."""
    project = Project(tmp_path_factory.mktemp("swept") / "tiny")
    shutil.copytree(tiny_template, project.root)
    return project, project.python("-X", "importtime", *SWEEP, status=None)


def test_a_sweep_trains_every_arm_at_every_seed_and_ends_in_the_verdicts(swept: tuple[Project, subprocess.CompletedProcess[str]]) -> None:
    project, done = swept
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(project) == {f"{arm} {seed}": "finished" for arm in ("baseline", "hooks=grad_clip") for seed in (0, 1)}
    lines = done.stdout.splitlines()
    assert lines[0] == "one factor at a time: baseline and 1 arm x 2 seeds = 4 runs"
    found = re.fullmatch(r"study `(sweep-\w{8})`, plan in (multirun/\S+)/plan.csv", lines[1])
    assert found is not None, lines[1]
    assert lines[2] == "4 of 4 runs to train: their cost is unknown until one has finished"
    assert sorted(line.partition(":")[0] for line in lines[3:11] if not line.endswith(": training")) == [
        "[1/4] baseline `tiny`, seed 0",
        "[2/4] hooks=grad_clip, seed 0",
        "[3/4] baseline `tiny`, seed 1",
        "[4/4] hooks=grad_clip, seed 1",
    ]
    assert re.search(r"^ *hooks=grad_clip +2 .*(better|worse|no difference|cannot tell)", done.stdout, re.MULTILINE)
    names = {path.name for path in (project.root / found[2]).iterdir()}
    assert names == {"plan.csv", "plan.json", "sweep.json", "code", "report.md", "report.html", "jobs"}
    facts = tell(build(project.root, "tiny", here=lambda known: cohort_here(project.root, "tiny")))
    for form in ("md", "html"):
        report = (project.root / found[2] / f"report{FORMATS[form].suffix}").read_text()
        assert report == FORMATS[form].make(facts, curves(load(project.root / "runs"), facts))
    for folder in run_folders(project.root):
        (request,) = read_rows(folder.requests)[0]
        assert (request["study"], request["command"]) == (found[1], "python " + " ".join(SWEEP).replace("seed=range(2)", "'seed=range(2)'"))
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "lab.sweep.sweeper" in imported and "torch" not in imported


def test_the_same_sweep_again_finds_every_run_and_trains_nothing(
    swept: tuple[Project, subprocess.CompletedProcess[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    project, first = swept
    before, folders = written(project), sorted((project.root / "multirun").iterdir())
    again = project.python(*SWEEP)
    assert again.stdout.count("found, not trained again") == 4
    assert written(project) == before and sorted((project.root / "multirun").iterdir()) == folders
    assert again.stdout.splitlines()[-4:] == first.stdout.splitlines()[-4:]
    assert {len(read_rows(folder.requests)[0]) for folder in run_folders(project.root)} == {2}

    capsys.readouterr()
    print_plan(make_plan(project.composer(), [*SWEEP[2:4], "seed=range(3)"], ""))
    planned = capsys.readouterr().out
    assert re.search(r"^baseline +finished +finished +missing *$", planned, re.MULTILINE)
    assert re.search(r"^2 of 6 runs to train: about \d+ s on this machine(, \d at once)?$", planned, re.MULTILINE)
    for workers, beside in ((1, ""), (3, ", 2 at once")):
        print_plan(make_plan(project.composer(), [*SWEEP[2:4], "seed=range(3)", f"device.workers={workers}"], ""))
        assert re.search(rf"^2 of 6 runs to train: about \d+ s on this machine{beside}$", capsys.readouterr().out, re.MULTILINE)
    plan = make_plan(project.composer(), [*SWEEP[2:4], "seed=2"], "")
    taken = replace(plan, rows=(replace(plan.rows[0], status="running"), *plan.rows[1:]))
    assert re.fullmatch(r"2 of 2 runs to train: .*; 1 of them trains now, in another process", left_to_train(taken))
    print_plan(make_plan(project.composer(), SWEEP[2:], ""))
    assert "nothing to train; next: python run.py --multirun with the same words" in capsys.readouterr().out


def test_the_whole_family_is_declared_before_the_first_run(tiny: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a text in its place no run starts; what was planned to be compared stands all the same."""
    plan = make_plan(
        tiny.composer(), ["baseline=tiny", "hooks=none,grad_clip", "model/norm=layernorm,rmsnorm", "study=clipping", "seed=0"], ""
    )
    print_plan(plan)
    assert "(study `clipping`)" in capsys.readouterr().out
    assert not (tiny.root / "runs" / "tiny" / "studies").exists(), "a plan declares nothing"
    (tiny.root / "text.txt").rename(tiny.root / "other.txt")
    _, failed = carry_out(plan, tiny.root, print, Lines(Console()))
    assert len(failed) == len(plan.rows) == 3 and not run_folders(tiny.root)
    (declared,), damaged = read_declarations(tiny.root / "runs", "tiny")
    assert not damaged and (declared.name, declared.lock, declared.by_hand, declared.looks) == ("clipping", plan.lock, False, None)
    assert [arm.label for arm in declared.arms] == ["hooks=grad_clip", "model/norm=rmsnorm"]
    assert [arm.change_id for arm in declared.arms] == [row.change_id for row in plan.rows[1:3]]

    declare_family(make_plan(tiny.composer(), ["baseline=tiny", "data.path=other.txt", "hooks=none,ema", "study=clipping"], ""), tiny.root)
    (grown,), _ = read_declarations(tiny.root / "runs", "tiny")
    assert [arm.label for arm in grown.arms] == ["hooks=grad_clip", "model/norm=rmsnorm", "hooks=ema"], "a family only grows"


MODULE = """
import os, signal

class Raises:
    observes = False
    def gradients(self, state):
        raise ValueError("no gradient today")

class Dies:
    observes = False
    def gradients(self, state):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_that_dies_or_raises_stops_no_other_and_is_named_at_the_end(tiny: Project) -> None:
    (tiny.root / "mine.py").write_text(MODULE)
    for name in ("raises", "dies"):
        (tiny.root / "conf" / "hooks" / f"{name}.yaml").write_text(f"{name}:\n  _target_: mine.{name.title()}\n")
    config = tiny.root / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("trusted_modules: []", "trusted_modules: [mine]"))
    run(job_of(count_changes(tiny.composer(), ("baseline=tiny",)), tiny.root, ""), Console())

    done = tiny.python("run.py", "-m", "baseline=tiny", "hooks=dies,raises,grad_clip", "seed=0", status=1)
    assert states(tiny) == {
        "baseline 0": "finished",
        "hooks=dies 0": "stopped",
        "hooks=raises 0": "failed",
        "hooks=grad_clip 0": "finished",
    }
    assert "Traceback" not in done.stdout + done.stderr
    assert "[2/4] hooks=dies, seed 0: killed by signal 9: tried once more" in done.stderr
    assert "[3/4] hooks=raises, seed 0: this run failed: ValueError: no gradient today" in done.stderr
    assert "[4/4] hooks=grad_clip, seed 0: 7." in done.stdout and "Baseline tiny" in done.stdout
    summary = done.stderr[done.stderr.index("2 of 4 runs failed:") :]
    assert re.search(r"hooks=dies seed 0: runs/tiny/hooks=dies-\w{6}/seed=0-\w{12}\n    killed by signal 9\n", summary)
    assert re.search(r"hooks=raises seed 0: runs/tiny/hooks=raises-\w{6}/", summary) and "grad_clip" not in summary
    assert "type the same again to train what is missing" in summary


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_plan_of_many_seeds_cuts_no_cell(
    swept: tuple[Project, subprocess.CompletedProcess[str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    project, _ = swept
    capsys.readouterr()
    print_plan(make_plan(project.composer(), [*SWEEP[2:4], "seed=range(20)"], ""))
    said = capsys.readouterr().out
    assert "…" not in said and max(map(len, said.splitlines())) <= columns
    if columns < 200:
        assert re.search(r"^baseline +finished 2 \(seeds 0-1\), missing 18 ", said, re.MULTILINE)
        assert "(seeds 2-19)" in " ".join(said.split())
    else:
        assert re.search(r"^baseline +(finished +){2}(missing *){18}$", said, re.MULTILINE)


def test_a_damaged_run_is_named_and_hides_no_other(tiny: Project, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ("baseline=tiny", "hooks=none,grad_clip", "seed=0")
    for hooks in ("none", "grad_clip"):
        run(job_of(count_changes(tiny.composer(), ("baseline=tiny", f"hooks={hooks}")), tiny.root, ""), Console())
    damaged, whole = run_folders(tiny.root)
    damaged.result.write_text("{")
    plan = make_plan(tiny.composer(), typed, "")
    print_plan(plan)
    assert re.search(r"^baseline +damaged *$", capsys.readouterr().out, re.MULTILINE)
    with pytest.raises(SweepFailed, match=r"1 of 2 runs failed:\n  baseline seed 0: runs/tiny/baseline-"):
        sweep(list(typed), tiny.root)
    said = capsys.readouterr()
    assert re.search(r"^\[1/2\] .* is damaged: ", said.err, re.MULTILINE)
    assert "[2/2] hooks=grad_clip, seed 0: found" in said.out and len(read_rows(whole.requests)[0]) == 2


LONG = ("baseline=tiny", "trainer.checkpoint.every=20", "trainer.evaluation.every=100")


def wait_for_a_checkpoint(folder: RunFolder, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not list(folder.checkpoint.glob("step-*.json")):
        assert process.poll() is None and time.monotonic() < end, process.communicate()[0]
        time.sleep(0.005)


def test_ctrl_c_saves_the_run_that_trains_and_the_same_command_finishes_the_sweep(tiny: Project) -> None:
    pin(tiny.composer(), "long", (*LONG, "trainer.tokens=19200"))
    command = ("run.py", "-m", "baseline=long", "hooks=none,grad_clip", "seed=0", "device.workers=1")
    plan = make_plan(tiny.composer(), command[2:], "")
    first, second = (row.folder for row in plan.rows)
    with tiny.start(*command) as process:
        wait_for_a_checkpoint(first, process)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[0]
    assert time.monotonic() - sent < 10
    assert process.returncode == 130 and "Traceback" not in said
    assert re.search(r"^\[1/2\] baseline `long`, seed 0: stopped at step \d+ of 300, and saved", said, re.MULTILINE), said
    assert "the sweep was stopped\ntype the same again to go on" in said
    assert status_of(first) == "stopped" and not second.path.exists()

    run(plan.rows[1].job, Console())
    done = tiny.python(*command)
    assert re.search(r"goes on from step \d+", first.log.read_text())
    assert re.search(r"^\[1/2\] baseline `long`, seed 0: goes on from step \d+ of 300$", done.stdout, re.MULTILINE)
    assert re.search(r"^1 of 2 runs to train: about \d+ s on this machine(, \d at once)?$", done.stdout, re.MULTILINE)
    assert "[2/2] hooks=grad_clip, seed 0: found" in done.stdout
    assert (status_of(first), status_of(second)) == ("finished", "finished")


def test_a_text_that_moves_after_the_plan_was_frozen_is_not_trained_on(tiny: Project, capfd: pytest.CaptureFixture[str]) -> None:
    plan = make_plan(tiny.composer(), ["baseline=tiny", "seed=0"], "")
    text = tiny.root / "text.txt"
    text.write_text(text.read_text().replace("the", "tho", 1))
    (failed,) = launch(plan, plan.rows, freeze(plan, tiny.root), Lines(Console()))
    assert failed.said.startswith("its code, its text, torch or this machine's settings changed since the sweep was planned")
    assert "hydra.sweeper.plan=new" in capfd.readouterr().err
    assert not run_folders(tiny.root)


def test_two_sweeps_of_the_same_words_at_once_kill_nothing_of_each_other(tiny: Project) -> None:
    words = ("run.py", "--multirun", "baseline=tiny", "model/norm=layernorm,rmsnorm", "seed=0")
    with tiny.start(*words) as first, tiny.start(*words) as second:
        said = [process.communicate(timeout=120)[0] for process in (first, second)]
    assert not any("killed by signal" in each for each in said), "\n".join(said)
    assert [status_of(folder) for folder in run_folders(tiny.root)] == ["finished", "finished"]
