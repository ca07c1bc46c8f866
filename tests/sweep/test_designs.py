"""What each design makes of a sweep's words, what it refuses, and what its study is declared with. Nothing is trained here but once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.ablate.baseline import pin
from lab.cli import main
from lab.config.compose import Composer
from lab.errors import ConfigError, LabError, OneChangeError
from lab.files import read_rows
from lab.request import job_of
from lab.results.report import build
from lab.results.telling import tell
from lab.runner import run
from lab.store.console import Console
from lab.store.declaration import CURVE, FACTORIAL, Factor
from lab.store.layout import run_folders
from lab.sweep.asked import Asked, ask
from lab.sweep.designs import DESIGNS
from lab.sweep.designs.factorial import MOST_CELLS
from lab.sweep.designs.list_of_arms import MOST, as_typed, with_arms_as_words
from lab.sweep.frozen import declaration_of, declare_family
from lab.sweep.manner import CHOICES
from lab.sweep.plan import Plan, make_plan
from tests.conftest import TINY, Project

TOO_MANY = "hooks=none,grad_clip,ema,z_loss,label_smoothing,sam"
NORM, HOOKS, RATE = "model/norm=layernorm,rmsnorm", "hooks=none,grad_clip", "trainer.optimizer.lr=1e-4,3e-4,1e-3,3e-3"


@pytest.fixture(scope="module")
def planned(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with the baseline `tiny`, and one with three hooks, in which nothing is trained."""
    root = tmp_path_factory.mktemp("designs") / "tiny"
    shutil.copytree(tiny_template, root)
    pin(Composer(root, root), "many", (*TINY, "hooks=[grad_clip,ema,z_loss,gradient_norms]"))
    return Project(root)


@pytest.fixture(scope="module")
def composer(planned: Project) -> Composer:
    return planned.composer()


def asked(composer: Composer, design: str, *typed: str, baseline: str = "tiny") -> Asked:
    return ask(composer, [f"baseline={baseline}", f"hydra.sweeper.design={design}", *typed])


def labels(found: Asked) -> list[str]:
    return [tally.label for tally in found.tallies]


def plan(composer: Composer, *typed: str) -> Plan:
    return make_plan(composer, ["baseline=tiny", *typed], "python run.py --multirun ...")


def refused(composer: Composer, design: str, *typed: str, baseline: str = "tiny") -> str:
    with pytest.raises(LabError) as error:
        asked(composer, design, *typed, baseline=baseline)
    return str(error.value)


def test_the_table_has_every_design_that_can_be_typed() -> None:
    assert tuple(DESIGNS) == CHOICES["design"]


# -- factorial


def test_a_factorial_is_every_combination_with_its_levels_the_baseline_first(composer: Composer) -> None:
    found = asked(composer, "factorial", NORM, HOOKS)
    assert labels(found) == ["baseline", "model/norm=rmsnorm", "hooks=grad_clip", "model/norm=rmsnorm+hooks=grad_clip"]
    assert [tuple(place["levels"].values()) for place in found.places] == [
        ("none", "layernorm"),
        ("none", "rmsnorm"),
        ("grad_clip", "layernorm"),
        ("grad_clip", "rmsnorm"),
    ]


def test_a_cell_is_a_request_that_says_so_and_an_arm_of_several_changes_is_still_refused(composer: Composer) -> None:
    found = asked(composer, "factorial", NORM, HOOKS)
    tally, place = found.placed[3]
    job = job_of(tally, composer.root, "python run.py ...", "grid", 0, place)
    assert job.request["cell"] == {"design": FACTORIAL, "levels": {"hooks": "grad_clip", "model/norm": "rmsnorm"}}
    assert (len(job.changes), job.exploring) == (2, False)
    for cell in (None, {"design": CURVE, "levels": {}}):
        with pytest.raises(OneChangeError, match="makes 2 changes"):
            job_of(tally, composer.root, "python run.py ...", "grid", 0, cell)


def test_a_one_factor_sweep_is_asked_for_as_it_ever_was(composer: Composer) -> None:
    made = plan(composer, HOOKS)
    assert all("cell" not in row.job.request for row in made.rows)
    declared = declaration_of(made)
    assert declared is not None and not declared.of_cells and "design" not in declared.record()


def test_the_study_of_a_factorial_is_declared_with_its_factors_however_they_were_typed(composer: Composer) -> None:
    made = plan(composer, "hydra.sweeper.design=factorial", NORM, HOOKS)
    declared = declaration_of(made)
    assert declared is not None
    assert declared.design == FACTORIAL
    assert declared.factors == (Factor("hooks", ("none", "grad_clip")), Factor("model/norm", ("layernorm", "rmsnorm")))
    assert [arm.levels for arm in declared.arms] == [("none", "rmsnorm"), ("grad_clip", "layernorm"), ("grad_clip", "rmsnorm")]
    again = plan(composer, "hydra.sweeper.design=factorial", "hooks=[grad_clip],none", "model/norm=rmsnorm,layernorm")
    assert (made.study, declaration_of(again)) == (again.study, declared)
    assert made.sentence() == "full factorial: baseline and 3 cells x 2 seeds = 8 runs"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([NORM], "only model/norm lists values"),
        ([], "none is listed"),
        (["model/norm=rmsnorm,none", HOOKS], "the baseline's level (layernorm) isn't listed"),
        (["trainer.optimizer.lr=1e-3,0.001", HOOKS], "and 0.001 alone is listed"),
        (["hooks=none,[grad_clip,ema]", NORM], "makes 2 changes"),
        (["explore=true", NORM, HOOKS], "a cell feeds effects"),
        (["trainer.tokens=640", NORM, HOOKS], "not comparable"),
        (["model/norm=rmsnorm", HOOKS, RATE], "alone would change the baseline arm"),
        (["trainer.optimizer.lr=0.001,2,3,4,5,6,7,8", "model.n_layers=range(1,7)", TOO_MANY], f"{MOST_CELLS} is the most"),
        (["study=ingredients"], "leave one of the two out"),
    ],
)
def test_factors_that_cannot_be_crossed_are_refused(composer: Composer, words: Sequence[str], says: str) -> None:
    assert says in refused(composer, "factorial", *words)


def test_factors_of_which_one_swallows_the_other_are_refused(planned: Project) -> None:
    (planned.root / "conf" / "change" / "two.yaml").write_text("# @package _global_\nwhy: a test\nmodel:\n  n_layers: 2\n")
    said = refused(planned.composer(), "factorial", "change=none,two", "model.n_layers=1,2")
    assert "is the same run as change=none model.n_layers=1: these factors don't cross" in said


# -- list


def test_a_list_is_exactly_the_named_interventions(composer: Composer) -> None:
    assert labels(asked(composer, "list", "change=wide")) == ["baseline", "change=wide"]


def test_a_list_is_exactly_the_arms_of_a_file_in_either_spelling(
    composer: Composer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "arms.yaml").write_text("- model/norm=rmsnorm\n- [trainer/optimizer=lion, trainer.optimizer.lr=3.0e-4]\n")
    monkeypatch.chdir(tmp_path)  # where the shell stands
    found = asked(composer, "list", "hydra.sweeper.arms=arms.yaml", "change=wide")
    assert labels(found) == ["baseline", "change=wide", "model/norm=rmsnorm", "trainer/optimizer=lion,lr=0.0003"]
    assert found.places == ()


def test_all_that_is_wrong_with_a_files_arms_is_told_together(composer: Composer, tmp_path: Path) -> None:
    lines = ["model/norm=rmsnorm", "model/norm=rmsnorm", "model/norm=rmsnorm hooks=ema", "model/norm=layernorm", "seed=3", "hooks=emma"]
    (tmp_path / "arms.yaml").write_text("".join(f"- {line}\n" for line in [*lines, "hooks=ema,z_loss"]))
    said = refused(composer, "list", f"hydra.sweeper.arms={tmp_path / 'arms.yaml'}")
    for part in ("6 of its arms", "it is arm 1 again", "makes 2 changes", "changes nothing", "seed makes no arm", "ema", "lists several"):
        assert part in said, part


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model/norm: rmsnorm\n", "holds no list"),
        ("[]\n", "holds no list"),
        ("- model/norm: rmsnorm\n- 3\n- []\n- ''\n- 'hooks=\"'\n", "5 of its arms aren't words"),
        ("- [a, [b]]\n", "not a text or a list of texts"),
        ("- &a [x]\n- *a\n", "YAML alias"),
        ("- !!python/object:os.system x\n", "can't be read"),
        ("- {\n", "can't be read"),
        ("- hooks=ema\n" * (MOST + 1), f"{MOST} is the most"),
    ],
)
def test_a_file_that_is_no_list_of_arms_is_refused(composer: Composer, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "arms.yaml").write_text(text)
    assert says in refused(composer, "list", f"hydra.sweeper.arms={tmp_path / 'arms.yaml'}")


def test_a_list_without_arms_or_with_other_lists_is_refused(composer: Composer) -> None:
    assert "names no arm" in refused(composer, "list")
    assert "it tries exactly its own arms" in refused(composer, "list", HOOKS)
    assert "there is no such file" in refused(composer, "list", "hydra.sweeper.arms=nowhere.yaml")


def test_the_flag_stands_for_the_words() -> None:
    assert with_arms_as_words(["--arms", "my arms.yaml", "seed=1"]) == [
        "seed=1",
        "hydra.sweeper.design=list",
        "hydra.sweeper.arms='my arms.yaml'",
    ]
    assert with_arms_as_words(["hydra.sweeper.design=list", "--arms=a.yaml"]) == [
        "hydra.sweeper.design=list",
        "hydra.sweeper.arms='a.yaml'",
    ]
    assert with_arms_as_words(["hooks=none,ema"]) == ["hooks=none,ema"]
    for typed in (
        ["seed=1", "--arms=my arms.yaml"],
        ["hooks=none,ema"],
        ["hydra.sweeper.design=list", "change=wide"],
        ["hydra.sweeper.arms=null"],
    ):
        assert as_typed(with_arms_as_words(typed), Path.cwd()) == typed
    words = with_arms_as_words(["--arms", "seed=wide.yaml"])  # as typed in a folder of the project, and outside
    assert as_typed(words, Path.cwd().parent) == [f"--arms={Path.cwd().name}/seed=wide.yaml"]
    assert as_typed(words, Path("/elsewhere")) == [f"--arms={Path.cwd()}/seed=wide.yaml"]
    for words in (["--arms"], ["--arms", "a", "--arms", "b"], ["--arms=a", "hydra.sweeper.arms=b"]):
        with pytest.raises(ConfigError, match="takes one file"):
            with_arms_as_words(words)


def test_the_flag_is_understood_by_plan_and_by_a_sweep(planned: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "arms.yaml"
    file.write_text("- model/norm=rmsnorm\n")
    assert main(["--root", str(planned.root), "plan", "--arms", str(file), "baseline=tiny", "seed=0"]) == 0
    assert "exactly the listed arms: baseline and 1 arm x 1 seed = 2 runs" in capsys.readouterr().out
    assert main(["--root", str(planned.root), "plan", "--multirun", "--arms", str(file), "baseline=tiny", "seed=0"]) == 0, "pasted whole"
    file.write_text("- model/norm=rmsnorm\n- model/norm=rmsnorm hooks=ema\n")
    said = planned.python("run.py", "--multirun", "--arms", str(file), "baseline=tiny", status=2).stderr
    assert "1 of its arms can't be tried" in said and "arm 2 (model/norm=rmsnorm hooks=ema): refused: this run makes 2 changes" in said
    said = planned.python("run.py", "--arms", str(file), "baseline=tiny", status=2).stderr
    assert said == "--arms lists the arms of a sweep, and this is one run\nadd --multirun, or leave it out\n"


# -- leave one out


def test_each_hook_of_the_baseline_is_left_out_in_turn_and_observers_stay(composer: Composer) -> None:
    found = asked(composer, "leave_one_out", baseline="many")
    gone = [sorted({"grad_clip", "ema", "z_loss", "gradient_norms"} - set(tally.composition.hooks)) for tally in found.tallies]
    assert gone == [[], ["grad_clip"], ["ema"], ["z_loss"]]


@pytest.mark.parametrize("word", ["hooks=ema,z_loss", "hooks=[ema,z_loss]"])
def test_only_the_named_hooks_are_left_out(composer: Composer, word: str) -> None:
    found = asked(composer, "leave_one_out", word, baseline="many")
    assert ["ema" in tally.composition.hooks for tally in found.tallies] == [True, False, True]


def test_what_cannot_be_left_out_is_refused_with_the_way_out(composer: Composer) -> None:
    assert "has no hooks to leave out" in refused(composer, "leave_one_out")
    assert "python -m lab pin NAME" in refused(composer, "leave_one_out")
    assert "did you mean ema?" in refused(composer, "leave_one_out", "hooks=emma,z_loss", baseline="many")
    assert "can't be listed" in refused(composer, "leave_one_out", NORM, baseline="many")


# -- curve


def test_a_curve_is_a_point_for_each_value_and_the_baselines_own(composer: Composer) -> None:
    found = asked(composer, "curve", "trainer.optimizer.lr=1e-4,3e-4,3e-3,1e-2")
    assert [place["levels"]["trainer.optimizer.lr"] for place in found.places] == ["0.001", "0.0001", "0.0003", "0.003", "0.01"]
    declared = declaration_of(plan(composer, "hydra.sweeper.design=curve", RATE))
    assert declared is not None
    assert (declared.design, [arm.levels for arm in declared.arms]) == (CURVE, [("0.0001",), ("0.0003",), ("0.003",)])
    assert declared.factors == (Factor("trainer.optimizer.lr", ("0.001", "0.0001", "0.0003", "0.003")),)


def test_what_stands_beside_a_curves_values_goes_with_each_of_them(composer: Composer) -> None:
    found = asked(composer, "curve", "hooks=grad_clip", "hooks.grad_clip.max_norm=0.1,0.3,1,3")
    assert labels(found)[:2] == ["baseline", "hooks=grad_clip,max_norm=0.1"]
    assert [bool(place) for place in found.places] == [False, True, True, True, True]  # the baseline has no such value
    assert all(len(tally.changes) == 1 for tally in found.tallies[1:])


def test_what_stands_beside_a_curves_values_is_declared_with_it_in_one_spelling(composer: Composer) -> None:
    curve = ("hydra.sweeper.design=curve", "hooks.grad_clip.max_norm=0.1,0.3,1,3", "study=norms")
    declared = declaration_of(plan(composer, *curve, "hooks=grad_clip"))
    assert declared is not None and declared.factors[0].beside == ("hooks=grad_clip",)
    assert declaration_of(plan(composer, *curve, "hooks=[grad_clip]")) == declared


def test_a_curve_beside_the_baselines_own_option_keeps_the_baselines_point(composer: Composer) -> None:
    """And is the same curve as without it."""
    alone, typed = plan(composer, "hydra.sweeper.design=curve", RATE), ["hydra.sweeper.design=curve", "trainer/optimizer=adamw", RATE]
    assert declaration_of(plan(composer, *typed)) == declaration_of(alone)
    places = asked(composer, "curve", "trainer/optimizer=adamw", RATE).places
    assert [place["levels"]["trainer.optimizer.lr"] for place in places] == ["0.001", "0.0001", "0.0003", "0.003"]


def test_a_curve_counts_the_baselines_value_among_its_fewest(composer: Composer) -> None:
    assert len(asked(composer, "curve", "trainer.optimizer.lr=1e-4,3e-4,3e-3").places) == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "none is listed"),
        ([RATE, HOOKS], "found trainer.optimizer.lr, hooks"),
        (["trainer.optimizer.lr=1e-4,3e-4,1e-3"], "has 3 different values"),
        (["trainer.optimizer.lr=1e-4,0.0001,3e-4,1e-3"], "has 3 different values"),
        ([NORM], "a curve is over numbers"),
        ([RATE, "model/norm=rmsnorm"], "makes 2 changes"),
        ([RATE, "hydra.sweeper.until=decided"], "hydra.sweeper.until=decided waits for"),
    ],
)
def test_a_curve_that_is_none_is_refused(composer: Composer, words: Sequence[str], says: str) -> None:
    assert says in refused(composer, "curve", *words)


# -- the same values as arms and as a curve


def test_the_same_runs_as_arms_and_as_a_curve_are_two_studies(composer: Composer) -> None:
    assert plan(composer, RATE).study != plan(composer, "hydra.sweeper.design=curve", RATE).study


def test_a_factorial_that_was_trained_is_reported_by_its_effects(tiny: Project) -> None:
    """From the words to the report, with real runs; a second time all is found, and nothing in it is an arm."""
    words = ["baseline=tiny", "hydra.sweeper.design=factorial", NORM, HOOKS, "seed=0"]
    made = make_plan(tiny.composer(), words, " ".join(["python run.py --multirun", *words]))
    declare_family(made, tiny.root)
    for row in (*made.rows, made.rows[3]):
        assert run(row.job, Console())["status"] == "finished"
    requests = [each for folder in run_folders(tiny.root) for each in read_rows(folder.requests)[0]]
    assert len(requests) == 5 and all(each["cell"]["design"] == FACTORIAL for each in requests)
    section = tell(build(tiny.root, "tiny")).sections[0]
    (study,) = section.factorials
    assert section.arms == () and study.notes == () and study.study == made.study
    assert [(each.name, each.look, each.n) for each in study.effects] == [
        ("hooks=grad_clip", None, 1),
        ("model/norm=rmsnorm", None, 1),
        ("hooks=grad_clip x model/norm=rmsnorm", None, 1),
    ]
    means = {each.levels: each.mean or 0.0 for each in study.cells}
    clipped = [means["grad_clip", norm] - means["none", norm] for norm in ("layernorm", "rmsnorm")]
    assert study.effects[0].difference == pytest.approx(sum(clipped) / 2)
    assert study.effects[2].difference == pytest.approx(clipped[1] - clipped[0])
