"""A sweep ends with what it was begun with: conf/, lab/ and trusted modules are edited meanwhile, and nothing planned moves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest

from lab.canonical import canonical_json
from lab.files import read_json
from lab.store.layout import run_folders
from lab.sweep.frozen import freeze
from lab.sweep.manner import Manner
from lab.sweep.plan import make_plan
from lab.sweep.snapshot import digest
from lab.sweep.thawed import cut_off, plan_or_thaw, thaw
from tests.cases import Cases
from tests.conftest import CHECKOUT, Project
from tests.sweep.witness import Watched, alive, until, watched

EDITS = {
    "lab/train/loop.py": ("share = self", "share = 0.5 * self"),
    "witness.py": ("self.seconds = seconds", "raise ValueError('edited')"),
    "conf/trainer/optimizer/adamw.yaml": ("weight_decay: 0.1 ", "weight_decay: 0.2 "),
}


@dataclass(frozen=True)
class Own(Watched):
    """A watched project whose commands run its own lab/."""

    def sweep(self, *words: str, log: Path | None = None) -> subprocess.Popen[bytes]:
        os.environ["PYTHONPATH"] = str(self.root / "own")  # of what is started: this process has its modules
        try:
            return super().sweep(*words, log=log)
        finally:
            del os.environ["PYTHONPATH"]

    def edit(self) -> None:
        for file, (old, new) in EDITS.items():
            path = self.root / ("own" if file.startswith("lab/") else "") / file
            assert path.read_text().count(old) == 1, f"{old!r} in {file}"
            path.write_text(path.read_text().replace(old, new))


def own(tiny_template: Path, root: Path) -> Own:
    made = watched(tiny_template, root, 30, 0.03)
    shutil.copytree(CHECKOUT / "lab", root / "own" / "lab", ignore=shutil.ignore_patterns("__pycache__"))
    return Own(made.root)


def test_edits_while_a_sweep_runs_and_while_it_is_cut_off_change_nothing_that_was_planned(
    tiny_template: Path, tmp_path: Path, cases: Callable[[str], Cases]
) -> None:
    reference = own(tiny_template, tmp_path / "reference")
    words = reference.words("device.workers=1", rates=1)
    with reference.sweep(*words) as process:
        assert process.wait(120) == 0, reference.said()
    expected = reference.digests()
    counted = cases(
        "edits of lab/, of a trusted module and of conf/ while a sweep runs, and while it is cut off: runs with the planned bits"
    )

    while_it_runs = own(tiny_template, tmp_path / "runs")
    with while_it_runs.sweep(*words) as process:
        until(lambda: len(while_it_runs.sittings()) == 1)
        while_it_runs.edit()
        process.wait(120)
    for run, digests in while_it_runs.digests().items():
        counted.check(f"{run}, edited while it ran", digests == expected[run])

    cut = own(tiny_template, tmp_path / "cut")
    with cut.sweep(*words) as process:
        until(lambda: len(cut.sittings()) == 2)
        process.kill()
    until(lambda: not any(alive(pid) for pids in cut.sittings().values() for pid in pids))
    cut.edit()
    planned = cut.python("-m", "lab", "plan", *words[2:], PYTHONPATH=str(cut.root / "own")).stdout
    with cut.sweep(*words) as process:
        assert process.wait(120) == 0, cut.said()
    for run, digests in cut.digests().items():
        counted.check(f"{run}, edited while it was cut off", digests == expected[run])
    counted.all_good(8)
    folder = next((cut.root / "multirun").iterdir())
    goes_on = f"goes on with multirun/{folder.name}: its plan and its code, as they were frozen when it began"
    for said in (planned, cut.said()):
        assert goes_on in said, said
        assert (
            "edited since, and not in it: lab/train/loop.py, witness.py, conf/; to plan anew with today's files: hydra.sweeper.plan=new"
            in said
        )
    assert re.search(r"^baseline +finished +", planned, re.MULTILINE) and "missing" in planned
    assert sum("goes on from step" in each.log.read_text() for each in run_folders(cut.root)) == 1


@pytest.fixture
def frozen(tiny: Project) -> tuple[Project, list[str], Path]:
    typed = ["baseline=tiny", "hooks=none,grad_clip", "seed=0"]
    return tiny, typed, freeze(make_plan(tiny.composer(), typed, ""), tiny.root, typed)


def test_a_plan_comes_back_as_it_was_frozen(frozen: tuple[Project, list[str], Path]) -> None:
    project, typed, folder = frozen
    back, made = thaw(folder, project.root), make_plan(project.composer(), typed, "")
    assert replace(back, rows=()) == replace(made, rows=())
    assert [[canonical_json(asdict(row.job)), str(replace(row, job=None))] for row in back.rows] == [
        [canonical_json(asdict(row.job)), str(replace(row, job=None))] for row in made.rows
    ]
    assert digest(folder / "code") == read_json(folder / "sweep.json")["code"]
    assert not list(folder.glob(".*"))


def test_a_sweep_is_found_by_its_words_in_any_order_and_only_while_it_is_cut_off(frozen: tuple[Project, list[str], Path]) -> None:
    project, typed, folder = frozen
    said: list[str] = []
    assert cut_off(project.root, typed[::-1], said.append) == folder
    assert cut_off(project.root, [*typed, "hydra.sweeper.plan=found"], said.append) == folder
    assert cut_off(project.root, [*typed[:-1], "seed=1"], said.append) is None
    assert cut_off(project.root, [], said.append) is None and not said
    project.python("run.py", "--multirun", *typed)
    assert cut_off(project.root, typed, said.append) is None, "all its runs have an outcome"


def test_other_words_for_the_same_runs_find_the_same_sweep_and_carry_it_out_their_own_way(frozen: tuple[Project, list[str], Path]) -> None:
    project, typed, folder = frozen
    other = [*typed[:2], "seed=range(1)"]
    assert cut_off(project.root, other, print) is None
    for _ in range(2):
        assert freeze(make_plan(project.composer(), other, ""), project.root, other) == folder
    assert cut_off(project.root, other, print) == cut_off(project.root, typed, print) == folder
    thawed, _ = plan_or_thaw(project.root, [*other, "hydra.sweeper.plan=found"], "", print)
    assert (thawed.id, thawed.manner) == (folder.name[-8:], Manner())


@pytest.mark.skipif(shutil.which("git") is None, reason="not run: no git here")
def test_a_runs_manifest_has_the_commit_that_its_code_was_copied_at(tiny: Project) -> None:
    def git(*words: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        return subprocess.run(["git", *identity, *words], cwd=tiny.root, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "one")
    typed, first = ["baseline=tiny", "seed=0"], git("rev-parse", "HEAD")
    freeze(make_plan(tiny.composer(), typed, ""), tiny.root, typed)
    git("commit", "-qm", "two", "--allow-empty")
    tiny.python("run.py", "--multirun", *typed)
    (folder,) = run_folders(tiny.root)
    assert read_json(folder.manifest)["git"]["commit"] == first != git("rev-parse", "HEAD")


@pytest.mark.parametrize("file", ["plan.json", "code/lab/experiment.py", "sweep.json"])
def test_a_sweep_that_is_not_as_it_was_frozen_is_planned_anew(frozen: tuple[Project, list[str], Path], file: str) -> None:
    project, typed, folder = frozen
    with (folder / file).open("a") as stream:
        stream.write("\n# edited\n")
    said: list[str] = []
    assert cut_off(project.root, typed, said.append) is None
    assert file == "sweep.json" or said == [f"multirun/{folder.name} isn't as it was frozen: planned anew"]
    assert freeze(make_plan(project.composer(), typed, ""), project.root, typed) == folder
    assert cut_off(project.root, typed, said.append) == folder, "it was frozen anew, in the same place"


def test_a_baseline_that_was_pinned_again_and_other_settings_of_torch_are_planned_anew(
    frozen: tuple[Project, list[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, typed, folder = frozen
    said: list[str] = []
    with monkeypatch.context() as set_:
        set_.setenv("MKL_CBWR", "COMPATIBLE")
        assert cut_off(project.root, typed, said.append) is None
    assert said == [f"torch, the processor or their settings aren't those of multirun/{folder.name}: planned anew"]
    project.python("-m", "lab", "pin", "tiny", "--again", "baseline=tiny", "trainer.optimizer.lr=0.002")
    assert cut_off(project.root, typed, said.append) is None
