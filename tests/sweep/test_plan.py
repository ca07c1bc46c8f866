"""A sweep's plan: which arms and seeds some words make, what is refused, and what is frozen. Nothing is trained here."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lab.ablate.rule import count_changes
from lab.config.compose import Composer
from lab.errors import ConfigError, LabError, OneChangeError
from lab.files import read_json
from lab.request import job_of
from lab.store.abilities import cores
from lab.sweep.frozen import freeze
from lab.sweep.plan import Plan, make_plan, require_something
from lab.sweep.show import remarks
from tests.conftest import Project


@pytest.fixture(scope="module")
def planned(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which nothing is trained, only planned."""
    root = tmp_path_factory.mktemp("planned") / "tiny"
    shutil.copytree(tiny_template, root)
    return Project(root)


@pytest.fixture(scope="module")
def composer(planned: Project) -> Composer:
    return planned.composer()


def plan(composer: Composer, *typed: str) -> Plan:
    return make_plan(composer, ["baseline=tiny", *typed], "python run.py --multirun ...")


def runs(made: Plan) -> list[tuple[str, int]]:
    return [(row.job.label, row.job.seed) for row in made.rows]


# -- which arms and seeds


def test_two_lists_are_one_factor_at_a_time_and_not_the_grid(composer: Composer) -> None:
    made = plan(composer, "hooks=none,grad_clip", "model/norm=layernorm,rmsnorm", "seed=range(2)")
    arms = ["baseline", "hooks=grad_clip", "model/norm=rmsnorm"]
    assert runs(made) == [(arm, seed) for seed in (0, 1) for arm in arms]
    assert made.sentence() == "one factor at a time: baseline and 2 arms x 2 seeds = 6 runs, not the 8 of the grid"
    assert [row.number for row in made.rows] == [1, 2, 3, 4, 5, 6] and {row.status for row in made.rows} == {"missing"}
    assert len({row.identity for row in made.rows}) == 6
    assert len({row.cohort for row in made.rows}) == 1


ARMS = {
    # words: arms beside the baseline, seeds
    "hooks=grad_clip,z_loss": (["hooks=grad_clip", "hooks=z_loss"], [0, 1]),
    "model/norm=rmsnorm,layernorm": (["model/norm=rmsnorm"], [0, 1]),
    "trainer.optimizer.lr=1e-3,0.001,3e-3,0.003": (["trainer.optimizer.lr=0.003"], [0, 1]),
    "model.n_layers=range(1,4)": (["model.n_layers=2", "model.n_layers=3"], [0, 1]),
    "model/norm=glob(*)": (["model/norm=none", "model/norm=rmsnorm"], [0, 1]),
    "hooks=choice(none,grad_clip,[grad_clip])": (["hooks=grad_clip"], [0, 1]),
    "change=none,wide": (["change=wide"], [0, 1]),
    "": ([], [0, 1]),
    "seed=3,1,3": ([], [3, 1]),
    "seed=range(2,8,3)": ([], [2, 5]),
    "hooks=grad_clip,none seed=7 note=hello trainer.log_every=1": (["hooks=grad_clip"], [7]),
    "model/norm=layernorm hooks=none,grad_clip trainer.optimizer.lr=0.001": (["hooks=grad_clip"], [0, 1]),
    "explore=true hooks=none,grad_clip": (["hooks=grad_clip"], [0, 1]),
}


@pytest.mark.parametrize("words", ARMS)
def test_the_baseline_is_always_there_every_arm_once_and_the_first_looks_seeds_unless_typed(composer: Composer, words: str) -> None:
    arms, seeds = ARMS[words]
    made = plan(composer, *words.split())
    assert (list(made.arms), list(made.seeds)) == (arms, seeds)
    assert runs(made) == [(arm, seed) for seed in seeds for arm in ["baseline", *arms]]
    assert not any(row.job.exploring for row in made.rows)


def test_each_job_is_what_its_own_command_would_be(composer: Composer) -> None:
    made = plan(composer, "hooks=none,grad_clip", "seed=4", "note=why not")
    baseline, arm = (row.job for row in made.rows)
    assert arm.overrides == ["baseline=tiny", "note=why not", "hooks=grad_clip", "seed=4"]
    assert (arm.config["seed"], arm.config["note"], list(arm.config["hooks"])) == (4, "why not", ["grad_clip"])
    assert (baseline.config["hooks"], baseline.changes, len(arm.changes)) == ({}, [], 1)
    (alone,) = plan(composer, "seed=4").rows
    assert alone.identity == made.rows[0].identity


# -- what is refused, before anything is written

REFUSED = {
    "hooks=grad_clip model/norm=layernorm,rmsnorm": "hooks=grad_clip alone would change .* make it an arm: hooks=none,grad_clip\n",
    "trainer.optimizer.lr=0.1 hooks=none,grad_clip": "make it an arm: trainer.optimizer.lr=0.001,0.1\n.*lab pin NAME baseline=tiny",
    "model/norm=rmsnorm seed=0,1": "make it an arm: model/norm=layernorm,rmsnorm\n",
    "change=wide seed=0,1": "make it an arm: change=none,wide\n",
    "hooks=none,[grad_clip,z_loss]": "makes 2 changes .*\n.*hooks.grad_clip.*\n.*hooks.z_loss",
    "explore=true hooks=none,[grad_clip,z_loss]": "explores, and a sweep is for verdicts",
    "explore=true trainer.tokens=2560 hooks=none,grad_clip": "explores, and a sweep is for verdicts",
    "trainer.tokens=2560 hooks=none,grad_clip": "not comparable",
    "trainer.tokens=1280,2560": "trainer.tokens can't be listed: it makes no arm",
    "trainer.log_every=1,2": "trainer.log_every can't be listed",
    "note=a,b": "note can't be listed: it makes no arm\nfor a comma in one text, quote it for Hydra too: \"note='a,b'\"",
    "device.threads=1,2": "device.threads can't be listed",
    "explore=true,false": "explore can't be listed",
    "trainer=default,fast": "trainer can't be listed",
    "model.dropout=interval(0,1)": r"an interval lists no values\nname them: model.dropout=a,b,c",
    "seed=interval(0,3)": "an interval lists no values",
    "seed=-1": "a seed is a whole number from 0 to 2147483647",
    "seed=0,x": "a seed is a whole number",
    "seed=2147483648": "a seed is a whole number",
    "seed=range(0,2,0.5)": "a seed is a whole number",
    "hooks=none,grad_clip hooks=z_loss": "hooks is given twice\nlist its values together",
    "model/norm=layernorm,nope": "model/norm has no option 'nope'",
    "model/norms=layernorm,rmsnorm": "unknown key model/norms.*model/norm",
    "model.n_heads=2,3": "n_heads",
    "trusted_modules=[os],[sys]": "trusted_modules",
    "hooks=": "hooks has no option",
    "study=ingredient": "no conf/study/ingredient.yaml: did you mean ingredients\\?\\na study that no file declares lists its arms",
    "study=mine seed=0,1": "no conf/study/mine.yaml\\na study that no file declares lists its arms: .* study=mine hooks=none,grad_clip$",
    "study=selfcheck hooks=none,grad_clip": "study=selfcheck is made by a verb.*\\ntype python -m lab selfcheck",
    "study=confirm": "type python -m lab confirm ARM",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_makes_no_fair_comparison_is_refused_before_anything_is_written(planned: Project, composer: Composer, words: str) -> None:
    before = planned.files()
    with pytest.raises(LabError, match=f"(?s){REFUSED[words]}") as refused:
        plan(composer, *words.split())
    assert isinstance(refused.value, (ConfigError, OneChangeError)) and refused.value.exit_status == 2
    assert planned.files() == before


def test_a_second_baseline_cannot_be_listed(composer: Composer) -> None:
    with pytest.raises(ConfigError, match="baseline can't be listed"):
        make_plan(composer, ["baseline=tiny,default", "hooks=none,grad_clip"], "")


# -- the study, and what is frozen


def study(composer: Composer, *typed: str) -> str:
    return plan(composer, *typed).study


def test_a_study_is_the_arms_declared_together_whatever_the_seeds(composer: Composer) -> None:
    typed = ("hooks=none,grad_clip", "model/norm=layernorm,rmsnorm")
    name = study(composer, *typed, "seed=range(2)")
    assert name.startswith("sweep-")
    assert study(composer, *typed, "seed=range(3)") == study(composer, *reversed(typed)) == name
    assert study(composer, typed[0]) != name
    made = plan(composer, *typed, "study=clipping")
    assert made.study == "clipping" and {row.job.study for row in made.rows} == {"clipping"}
    assert {row.job.request["study"] for row in made.rows} == {"clipping"}


def test_a_study_of_its_baseline_alone_is_one_where_the_code_was_edited_or_single_runs_fall(composer: Composer) -> None:
    assert study(composer, "study=screening", "seed=0,1") == "screening"
    made = plan(composer, "study=mine", "hooks=none,grad_clip")
    code = replace(made.rows[0].job, label="code=12345678", changes=[{"kind": "code"}])
    edited = replace(made.rows[0], job=code)
    require_something(replace(made, rows=(edited,)), composer)
    require_something(replace(made, rows=made.rows[:1], untried=True), composer)
    with pytest.raises(ConfigError, match=r"no conf/study/mine\.yaml"):
        require_something(replace(made, rows=made.rows[:1]), composer)


EXPLORES_NOTHING = "explore=true changes nothing here: one change is an ordinary run, and enters the verdicts of study `mine`"


def test_explore_that_explores_nothing_says_so_with_the_study_in_which_the_run_counts(composer: Composer) -> None:
    made = plan(composer, "study=mine", "explore=true", "hooks=none,grad_clip")
    assert remarks(made) == [EXPLORES_NOTHING]
    assert "no change is the baseline's own run" in " ".join(made.rows[0].job.held)
    assert remarks(plan(composer, "study=mine", "hooks=none,grad_clip")) == []
    several = count_changes(composer, ("baseline=tiny", "explore=true", "hooks=grad_clip", "model/norm=rmsnorm"))
    assert not any("explore=" in word for word in job_of(several, composer.root, "").held)


def frozen(project: Project, typed: Sequence[str]) -> tuple[Plan, Path]:
    made = plan(project.composer(), *typed)
    return made, freeze(made, project.root)


def test_the_plan_is_frozen_once_a_row_for_each_run(tiny: Project) -> None:
    typed = ("hooks=none,grad_clip", "seed=0,1", "note='a, b'")
    made, folder = frozen(tiny, typed)
    assert folder.parent == tiny.root / "multirun" and folder.name.endswith(f"_{made.id}")
    with (folder / "plan.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [(row["number"], row["arm"], row["seed"]) for row in table] == [
        ("1", "baseline", "0"),
        ("2", "hooks=grad_clip", "0"),
        ("3", "baseline", "1"),
        ("4", "hooks=grad_clip", "1"),
    ]
    assert [row["identity"] for row in table] == [row.identity for row in made.rows]
    assert table[1]["directory"].startswith("runs/tiny/hooks=grad_clip-") and table[1]["overrides"].endswith("hooks=grad_clip seed=0")
    kept = read_json(folder / "plan.json")
    assert [row["job"] for row in kept["rows"]] == [json.loads(json.dumps(asdict(row.job))) for row in made.rows]
    assert (kept["study"], kept["baseline"], kept["sentence"]) == (made.study, "tiny", made.sentence())

    written = (folder / "plan.json").stat().st_mtime_ns
    assert frozen(tiny, typed)[1] == folder and (folder / "plan.json").stat().st_mtime_ns == written
    more, other = frozen(tiny, ("hooks=none,grad_clip", "seed=range(3)"))
    assert other != folder and more.study == made.study


def test_a_plan_holds_what_was_composed_whatever_becomes_of_conf(tiny: Project) -> None:
    made, folder = frozen(tiny, ("hooks=none,grad_clip", "seed=0"))
    option = tiny.root / "conf" / "hooks" / "grad_clip.yaml"
    option.write_text(option.read_text().replace("max_norm: 1.0", "max_norm: 5.0"))
    kept = read_json(folder / "plan.json")
    assert kept["rows"][1]["job"]["config"]["hooks"]["grad_clip"]["max_norm"] == 1.0
    later, other = frozen(tiny, ("hooks=none,grad_clip", "seed=0"))
    assert other != folder and later.rows[1].identity != made.rows[1].identity


def test_a_sweep_says_where_its_runs_have_more_threads_than_there_are_cores(composer: Composer) -> None:
    (said,) = remarks(plan(composer, "hooks=none,grad_clip", f"device.threads={cores() + 1}"))
    assert said.startswith(f"device.threads={cores() + 1}, and {cores()} cores are here: slower")


def test_a_hook_that_only_watches_makes_no_arm_and_that_is_said(composer: Composer) -> None:
    with pytest.raises(ConfigError, match=r"hooks=gradient_norms only watches, so it makes no arm\nto watch every run:"):
        plan(composer, "hooks=none,gradient_norms")
    watched = plan(composer, "hooks=gradient_norms", "model/norm=layernorm,rmsnorm", "seed=0")
    assert [list(row.job.config["hooks"]) for row in watched.rows] == [["gradient_norms"], ["gradient_norms"]]
