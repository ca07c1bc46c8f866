"""What a launcher beyond this machine is told and what it does with a plan, without any cluster: an engine that is the test's own queue."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pytest

from lab.config.options import read_yaml
from lab.errors import ConfigError, Interrupted, StoreError
from lab.files import read_json
from lab.runner import CLAIMED, Promise, run
from lab.store.claim import claimed
from lab.store.console import Console
from lab.store.layout import run_folders
from lab.sweep.frozen import freeze
from lab.sweep.plan import Plan, Row, make_plan
from lab.sweep.remote.engine import Left, Task
from lab.sweep.remote.jobs import LocalJobs, SlurmJobs
from lab.sweep.remote.launcher import PLACEMENT, RemoteCrew
from lab.sweep.remote.on_ray import asking, name_of, room_in
from lab.sweep.remote.settings import PLACE, OfJobs, OfRay, OfSlurm, Remote, read_settings
from lab.sweep.remote.store import found, result_of
from lab.sweep.watcher import Ending
from tests.conftest import CHECKOUT, Project

KINDS: dict[str, type[Remote]] = {"ray": OfRay, "slurm": OfSlurm, "slurm_local": OfJobs}
GONE = Interrupted.exit_status


@pytest.mark.parametrize("name", KINDS)
def test_every_setting_of_a_launcher_stands_in_its_file_and_no_other(name: str) -> None:
    tree = read_yaml(CHECKOUT / PLACE / f"{name}.yaml")
    assert set(tree) == {each.name for each in fields(KINDS[name])}
    assert isinstance(read_settings(KINDS[name], name, CHECKOUT, []), KINDS[name])


def test_a_typed_setting_stands_above_the_file() -> None:
    made = read_settings(OfSlurm, "slurm", CHECKOUT, ["hydra.launcher.constraints=[old,new]", "hydra.launcher.minutes=30"])
    assert (made.constraints, made.minutes, made.notice_seconds) == (["old", "new"], 30, 90)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("hydra.launcher.adress=a", r"no setting 'adress': did you mean address"),
        ("hydra.launcher.tries=often", r"'often'"),
        ("hydra.launcher.at_once=0", r"at_once=0 is out of range: at least 1"),
        ("hydra.launcher.memory_gb=0", r"above 0"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(typed: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_settings(OfRay, "ray", CHECKOUT, [typed])


def test_a_wrong_setting_is_refused_by_name_by_a_sweep_and_by_its_plan(tiny: Project) -> None:
    words = ("baseline=tiny", "hooks=none,grad_clip", "hydra/launcher=slurm", "hydra.launcher.minute=5")
    said = "hydra.launcher.minute=5: slurm has no setting 'minute': did you mean minutes?\n"
    for verb in (("run.py", "--multirun"), ("-m", "lab", "plan")):
        assert tiny.python(*verb, *words, status=2).stderr.startswith(said)
    assert not (tiny.root / "multirun").exists()


def test_a_launcher_that_there_is_not_is_refused_before_anything_is_written(tiny: Project) -> None:
    with pytest.raises(ConfigError, match=r"hydra/launcher=joblib: not one of local, ray, slurm, slurm_local"):
        make_plan(tiny.composer(), ["baseline=tiny", "hydra/launcher=joblib"], "")
    assert not (tiny.root / "multirun").exists()


def test_a_node_has_room_for_what_its_scarcest_resource_holds() -> None:
    node = {"CPU": 16.0, "GPU": 2.0, "memory": 64e9}
    assert room_in(node, {"num_cpus": 2, "num_gpus": 0, "memory": 4e9}) == 8
    assert room_in(node, {"num_cpus": 2, "num_gpus": 1, "memory": 4e9}) == 2
    assert room_in({"CPU": 16.0}, {"num_cpus": 2, "num_gpus": 1, "memory": 0}) == 0


def test_nodes_are_of_one_kind_when_they_say_the_same_of_themselves() -> None:
    assert name_of('["X", ["avx2"], ["H100"]]').startswith("X, H100 (")
    assert name_of('["X", ["avx2"], []]') != name_of('["X", ["avx2", "amx"], []]')


@dataclass
class Queue:
    """An engine that trains nothing: a test says what its nodes are and how each task leaves."""

    nodes: dict[str, int]
    leaves: list[int | None] = field(default_factory=list)  # the next statuses; 2 when there are no more
    tasks: list[Task] = field(default_factory=list)
    begun: list[Task] = field(default_factory=list)

    def kinds(self) -> dict[str, int]:
        return self.nodes

    def begin(self, task: Task) -> None:
        self.tasks.append(task)
        self.begun.append(task)

    def left(self) -> list[Left]:
        gone = [Left(each.number, self.leaves.pop(0) if self.leaves else 2) for each in self.tasks]
        self.tasks.clear()
        return gone

    def stop(self, *, at_once: bool) -> None: ...

    def close(self) -> None: ...


@dataclass
class Kept:
    """A watcher that keeps what it is told."""

    lines: list[str] = field(default_factory=list)
    endings: dict[int, Ending] = field(default_factory=dict)

    def begin(self, plan: Plan, rows: Any) -> None: ...

    def started(self, row: Row) -> None: ...

    def waits(self, row: Row, text: str, *, elsewhere: bool) -> None:
        """Or a screen would show the row as running on."""
        self.lines.append(text)

    def line(self, row: Row, text: str, *, error: bool) -> None:
        self.lines.append(text)

    def ended(self, row: Row, ending: Ending) -> None:
        self.endings[row.number] = ending

    def tick(self) -> None: ...

    def end(self) -> None: ...


def settled(tiny: Project, queue: Queue, arms: str = "none,grad_clip", seeds: str = "0,1,2", **settings: int) -> tuple[RemoteCrew, Kept]:
    plan, kept = make_plan(tiny.composer(), ["baseline=tiny", f"hooks={arms}", f"seed={seeds}"], ""), Kept()
    told = replace(Remote(at_once=4, tries=1, goes_on=1), **settings)
    crew = RemoteCrew(plan, plan.rows, freeze(plan, tiny.root), kept, told, queue)
    while crew.busy(0):
        assert len(queue.tasks) <= told.at_once
        crew.turn()
    return crew, kept


def test_all_arms_of_a_seed_go_to_one_kind_of_node_and_to_the_same_one_next_time(tiny: Project) -> None:
    queue = Queue({"old": 2, "new": 1})
    crew, _ = settled(tiny, queue)
    by_seed: dict[int, set[str]] = {}
    for task in queue.begun:
        by_seed.setdefault(crew.rows[task.number].job.seed, set()).add(task.kind)
    assert sorted(len(kinds) for kinds in by_seed.values()) == [1, 1, 1]
    assert sorted(kind for kinds in by_seed.values() for kind in kinds) == ["new", "old", "old"], "in proportion to their room"
    placed = read_json(crew.folder / PLACEMENT)
    again, kept = settled(tiny, Queue({"old": 1, "new": 5, "newest": 9}))
    assert again.placed == placed and not any("no node is left" in line for line in kept.lines)
    _, kept = settled(tiny, Queue({"newest": 9}))
    assert sum("no node is left of the kind" in line for line in kept.lines) == 3


@pytest.mark.parametrize(
    ("status", "begun", "told", "said"),
    [
        (None, 2, "the machine failed it: tried once more", "it was lost"),
        (-9, 2, "killed by signal 9: tried once more", "killed by signal 9"),
        (74, 2, "the machine failed it: tried once more", "left with exit status 74, and said nothing"),
        (CLAIMED, 2, "another process had it, and left it: begun again", "left with exit status 75"),
        (GONE, 4, "the cluster asked it to leave; it goes on from its checkpoint", "the cluster asked it to leave too often"),
        (2, 1, "", "left with exit status 2, and said nothing"),
        (0, 1, "", "with exit status 0 and without a result"),
    ],
)
def test_what_is_begun_once_more_is_told_and_bounded(tiny: Project, status: int | None, begun: int, told: str, said: str) -> None:
    queue = Queue({"": 1}, leaves=[status] * 99)
    crew, kept = settled(tiny, queue, seeds="0", arms="none", tries=2, goes_on=3)
    assert len(queue.begun) == begun
    assert len(kept.lines) == begun - 1 and all(told in line for line in kept.lines)
    assert kept.endings[1].failed and said in kept.endings[1].said and len(crew.failed) == 1


def test_a_run_that_another_process_has_costs_no_try(tiny: Project) -> None:
    """It was free when it was handed on; the other process took it, and is stopped before its end."""
    with ExitStack() as other:

        class Raced(Queue):
            def left(self) -> list[Left]:
                if self.tasks and len(self.begun) == 1:
                    other.enter_context(claimed(crew.rows[1].folder.claim, crew.rows[1].folder.path))
                    self.leaves = [CLAIMED]
                elif crew.elsewhere:
                    other.close()
                return super().left()

        queue, kept = Raced({"": 1}), Kept()
        plan = make_plan(tiny.composer(), ["baseline=tiny", "seed=0"], "")
        crew = RemoteCrew(plan, plan.rows, freeze(plan, tiny.root), kept, Remote(at_once=1, tries=1, goes_on=0), queue)
        while crew.busy(0):
            crew.turn()
    assert len(queue.begun) == 2 and crew.tries[1] == 1
    assert kept.lines == ["[1/1] baseline `tiny`, seed 0: another process trains it; waiting for it"]
    assert kept.endings[1].said == "left with exit status 2, and said nothing"


def test_a_node_finds_the_sweeps_code_first_and_its_own_modules_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, own = tmp_path / "the code", tmp_path / "own"
    said = f"{code}{os.pathsep}{own}"
    monkeypatch.setenv("PYTHONPATH", str(own))
    code.mkdir()
    assert asking("import os; print(os.environ['PYTHONPATH'])", code, "cpu")() == said
    slurm = SlurmJobs(read_settings(OfSlurm, "slurm", CHECKOUT, []), {"kind": "cpu", "threads": 1}, code, tmp_path)
    for jobs in (slurm, LocalJobs(read_settings(OfJobs, "slurm_local", CHECKOUT, []), code, tmp_path)):
        done = subprocess.run(
            ["bash", "-c", f"{jobs.python} -c 'import os; print(os.environ[\"PYTHONPATH\"])'"], capture_output=True, text=True
        )
        assert done.stdout.strip() == said, done.stderr


def test_a_job_says_its_arm_so_that_another_processor_may_train_it(tiny: Project) -> None:
    queue = Queue({"": 9})
    crew, _ = settled(tiny, queue)
    for task in queue.begun:
        job, row = read_json(task.job), crew.rows[task.number]
        assert (job["arm_id"], job["identity"], job["job"]["config"]["seed"]) == (row.arm_id, row.identity, row.job.seed)


def test_a_run_of_other_bits_is_found_by_its_arm_and_seed_and_one_of_another_arm_is_not(tiny: Project) -> None:
    rows = make_plan(tiny.composer(), ["baseline=tiny", "hooks=none,grad_clip", "seed=0"], "").rows
    run(rows[0].job, Console())
    (folder,) = run_folders(tiny.root)
    there = replace(rows[0], identity="e" * 64)  # as this machine's bits would have it, had another one trained it
    assert found(there) is not None and result_of(there) is not None
    assert found(replace(there, arm_id=folder.path.parent.name[-6:] + "0" * 58)) is None
    assert found(rows[1]) is None


def test_a_run_that_the_plan_does_not_promise_is_refused_on_its_node(tiny: Project) -> None:
    (row,) = make_plan(tiny.composer(), ["baseline=tiny", "seed=0"], "").rows
    with pytest.raises(StoreError, match="this would be another run"):
        run(row.job, Console(), Promise(row.identity, "0" * 64))
    run(row.job, Console(), Promise("0" * 64, row.arm_id))
    assert len(run_folders(tiny.root)) == 1
