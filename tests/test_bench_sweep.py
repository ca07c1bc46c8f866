"""The bench of a sweep times what a user types, against the same runs one after the other, and leaves nothing behind."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from lab.ablate.baseline import pin
from lab.bench import said
from lab.bench.sweep import ARMS, FEWEST, NANO, SEEDS, Study, bench_sweep, found, jobs_of, make_project, tallies_of, training_of, words_of
from lab.cli import main
from lab.config.compose import Composer
from lab.errors import ConfigError, LabError, StoreError
from lab.request import Identifier
from lab.sweep.plan import make_plan
from lab.train.stopwatch import WARM_UP_STEPS
from tests.conftest import CHECKOUT, TINY, Project

STEPS = 20


def tiny_study(project: Project, **told: Any) -> Study:
    """One arm on two seeds of the tiny model: its budget and its cadence are the bench's."""
    kept = [
        word for word in TINY if not word.startswith(("judgement.", "trainer.tokens=", "trainer.evaluation.every=", "trainer.checkpoint"))
    ]
    settings = [f"data.path={project.root / 'text.txt'}" if word.startswith("data.path=") else word for word in kept]
    return Study(**{"steps": STEPS, "seeds": 2, "arms": ("hooks=grad_clip",), "per_step": 64} | told, settings=tuple(settings))


@pytest.fixture(scope="module")
def template(tiny_template: Path) -> Project:
    return Project(tiny_template)


@pytest.mark.soak  # three starts of torch and a whole sweep
def test_a_sweep_is_timed_against_the_same_runs_and_both_give_the_same_bits(
    template: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before, told = template.files(), []
    measured = bench_sweep(template.root, tiny_study(template), told.append)
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured
    assert measured["study"] == {"arms": 1, "seeds": 2, "runs": 4, "steps": STEPS, "equal_bits": 4, "evaluation": 10, "checkpoint": 5}
    sweep, one = measured["sweep"], measured["one_by_one"]
    assert len(one["parts"]) == 2 and math.isclose(one["seconds"], sum(one["parts"]))
    assert 0 < one["training_seconds"] < one["seconds"] and 0 < sweep["training_seconds"] < sweep["slots"] * sweep["seconds"]
    outside = sweep["outside"]
    assert 0 < outside["runs"] < 1 and 0 < outside["sweep"] < 1 and math.isclose(outside["share"], outside["runs"] + outside["sweep"])
    assert math.isclose(measured["ratio"], one["seconds"] / sweep["seconds"])
    assert math.isclose(sweep["runs_per_hour"] * sweep["seconds"], 3600 * 4)
    assert told[2] == "the sweep" and told[3].startswith(f"it took {sweep['seconds']:.1f} s")
    assert "weights bit-equal both ways: 4 of 4" in told[-1]
    assert template.files() == before and not list(tmp_path.glob("lab-bench-*")), "nothing is left behind"


def test_the_standard_study_is_the_baseline_and_seven_arms_of_nano_on_five_seeds(tmp_path: Path) -> None:
    study = Study()
    assert (study.runs, SEEDS, len(ARMS)) == (40, 5, 7) and {"model=nano", "device.threads=1"} <= set(NANO)
    shutil.copytree(CHECKOUT / "conf", tmp_path / "conf")
    pin(Composer(tmp_path), "bench", study.pinned())
    tallies = tallies_of(tmp_path, study)
    jobs = jobs_of(tallies, tmp_path, study)
    assert len(jobs) == 40 and len({(job.label, job.seed) for job in jobs}) == 40
    assert all(len(job.changes) == (job.label != "baseline") for job in jobs)
    assert {job.config["trainer"]["tokens"] for job in jobs} == {1000 * 12 * 64}
    assert {(job.config["trainer"]["evaluation"]["every"], job.config["trainer"]["checkpoint"]["every"]) for job in jobs} == {(500, 250)}
    assert {job.config["device"]["threads"] for job in jobs} == {1}
    assert words_of(study, tallies)[1:] == [
        "model/norm=layernorm,rmsnorm",
        "model/mlp=gelu,swiglu,relu2",
        "model/position=learned,rope",
        "model/init=gpt2,zero_output",
        "hooks=none,grad_clip,z_loss",
    ]


def test_the_words_of_the_sweep_mean_the_runs_that_are_trained_one_by_one(tiny: Project) -> None:
    study = tiny_study(tiny)
    pin(tiny.composer(), "bench", study.pinned())
    tallies = tallies_of(tiny.root, study)
    identifier = Identifier(tiny.root)
    alone = {identifier.identify(job).identity for job in jobs_of(tallies, tiny.root, study)}
    assert {row.identity for row in make_plan(tiny.composer(), words_of(study, tallies), "").rows} == alone and len(alone) == study.runs


SIX = Study(steps=20, seeds=2, arms=ARMS[:2])  # its number of runs


def result(seconds: float = 10.0, training: float = 8.5, steps: int = 20, weights: str = "a") -> dict[str, Any]:
    return {"cost": {"seconds": seconds, "training_seconds": training}, "steps": steps, "digests": {"weights": weights}}


def test_a_runs_first_steps_count_as_long_as_the_others() -> None:
    assert training_of([result(training=17.0, steps=20), result(training=8.5, steps=20)]) == pytest.approx(30.0)
    assert FEWEST > WARM_UP_STEPS


def test_the_share_outside_training_is_of_all_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.bench.sweep.cores", lambda: 2)
    results = {name: result() for name in "abcdef"}
    told: list[str] = []
    measured = found(SIX, results, results, 40.0, [{"seconds": 30.0}, {"seconds": 33.0}], told.append)
    outside = measured["sweep"]["outside"]
    assert outside["share"] == pytest.approx(1 - 60 / 80) and outside["sweep"] == pytest.approx(1 - 60 / 80)
    assert outside["runs"] == pytest.approx(0.0) and measured["ratio"] == pytest.approx(63 / 40)
    assert told == [said.sweep(measured)] and "1.57 times as fast" in told[0] and "25.0% of the slots' time" in told[0]


@pytest.mark.parametrize(
    ("swept", "alone", "why"),
    [
        ("abcde", "abcdef", "the sweep trained 5 runs and one process 6, of 6; 0 differ"),
        ("abcdef", "abcdeg", "1 differ in their bits"),
        ("abcdeF", "abcdef", "1 differ in their bits"),
    ],
    ids=["a run too few", "another run", "other bits"],
)
def test_a_sweep_that_trains_anything_else_is_no_figure(swept: str, alone: str, why: str) -> None:
    results = [{name.lower(): result(weights=name) for name in each} for each in (swept, alone)]
    with pytest.raises(StoreError, match=why):
        found(SIX, results[0], results[1], 40.0, [{"seconds": 30.0}], print)


def test_what_fails_is_told_with_its_last_words(template: Project, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"(?s)the bench stopped: python -m lab pin bench \.\.\. left with exit status 2\n.*nosuch"):
        make_project(template.root, tmp_path / "copy", Study(settings=("model=nosuch",)))
    with pytest.raises(ConfigError, match=r"--steps 3: a run's first 3 steps aren't timed\ngive 6 at least"):
        bench_sweep(template.root, Study(steps=3), print)


def test_another_composition_than_the_standard_one_is_refused(template: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(template.root), "bench", "model=small", "--sweep"]) == 2
    assert "--sweep times one standard study" in capsys.readouterr().err
