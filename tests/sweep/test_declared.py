"""Studies declared by hand: what a file of conf/study makes of a sweep and of a single run, and every way in which it can be wrong."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from lab.errors import ConfigError, LabError, OneChangeError
from lab.files import read_json, read_rows
from lab.store.layout import run_folders
from lab.store.studies import read_declarations
from lab.sweep.declared import read_study
from lab.sweep.frozen import declare_family, freeze, require_declarable
from lab.sweep.plan import Plan, make_plan
from tests.conftest import Project

STUDY = """\
question: which of these two
  matters for the tiny one?
baseline: tiny
arms:
  - model/norm=rmsnorm
  - trainer/optimizer=lion trainer.optimizer.lr=3e-4   # with a rate of its own
looks: [2, 3]
smallest_effect: 4e-3
"""


def write(project: Project, text: str, name: str = "parts") -> None:
    path = project.root / "conf" / "study" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


@pytest.fixture(scope="module")
def planned(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which nothing is trained, only planned."""
    root = tmp_path_factory.mktemp("declared") / "tiny"
    shutil.copytree(tiny_template, root)
    return Project(root)


@pytest.fixture
def project(planned: Project) -> Project:
    """The same, with the study as it should be."""
    write(planned, STUDY)
    return planned


def plan(project: Project, *typed: str) -> Plan:
    return make_plan(project.composer(), typed, "python run.py --multirun ...")


def test_a_study_is_its_baseline_and_every_arm_at_the_seeds_of_its_first_look(project: Project) -> None:
    made = plan(project, "study=parts")
    arms = ["baseline", "model/norm=rmsnorm", "trainer/optimizer=lion,lr=0.0003"]
    assert [(row.job.label, row.job.seed) for row in made.rows] == [(arm, seed) for seed in (0, 1) for arm in arms]
    assert (made.study, made.baseline, made.looks, made.smallest_effect) == ("parts", "tiny", (2, 3), 0.004)
    assert made.question == "which of these two matters for the tiny one?"
    assert made.sentence() == "one factor at a time: baseline and 2 arms x 2 seeds = 6 runs"
    assert {row.job.request["study"] for row in made.rows} == {"parts"}


def test_seeds_and_what_makes_no_arm_may_stand_beside_a_study(project: Project) -> None:
    made = plan(
        project, "baseline=tiny", "study=parts", "seed=1,5", "note=after the talk, again", "trainer.log_every=1", "device.threads=1"
    )
    assert made.seeds == (1, 5) and {row.job.request["note"] for row in made.rows} == {"after the talk, again"}
    assert [row.job.label for row in plan(project, "study=parts").rows[:3]] == [row.job.label for row in made.rows[:3]]


def test_its_arms_are_the_runs_that_a_listed_sweep_would_make(project: Project) -> None:
    by_hand, listed = plan(project, "study=parts", "seed=0"), plan(project, "baseline=tiny", "model/norm=layernorm,rmsnorm", "seed=0")
    identities = [[row.identity for row in each.rows] for each in (by_hand, listed)]
    assert identities[0][:2] == identities[1]


def test_a_name_without_a_file_still_names_a_sweeps_family(project: Project) -> None:
    made = plan(project, "baseline=tiny", "study=anything at all", "hooks=none,grad_clip")
    assert (made.study, made.by_hand, made.question) == ("anything at all", False, "")
    for odd in ("../baseline/tiny", "a/b", "..", "'a, b'", "parts2"):
        assert read_study(project.composer(), odd) is None


def test_the_plan_and_the_declaration_keep_the_question_the_looks_and_d(tiny: Project) -> None:
    write(tiny, STUDY)
    made = plan(tiny, "study=parts")
    kept = read_json(freeze(made, tiny.root) / "plan.json")
    assert (kept["question"], kept["by_hand"], kept["looks"], kept["smallest_effect"]) == (made.question, True, [2, 3], 0.004)
    require_declarable(made, tiny.root)
    assert read_declarations(tiny.root / "runs", "tiny") == ([], []), "a plan declares nothing"
    declare_family(made, tiny.root)
    (declared,), _ = read_declarations(tiny.root / "runs", "tiny")
    assert (declared.name, declared.question, declared.by_hand) == ("parts", made.question, True)
    assert (declared.looks, declared.smallest_effect) == ((2, 3), 0.004)
    assert [(arm.label, arm.change_id) for arm in declared.arms] == [(row.job.label, row.change_id) for row in made.rows[1:3]]
    declare_family(plan(tiny, "study=parts", "seed=3"), tiny.root)  # more seeds: the same study

    write(tiny, STUDY.replace("4e-3", "0.1"))
    other = plan(tiny, "study=parts")
    assert other.id != made.id
    before = tiny.files()
    for refuse in (require_declarable, declare_family):
        with pytest.raises(ConfigError, match=r"smallest_effect: 0.004, now 0.1\n.*another name: study=NAME"):
            refuse(other, tiny.root)
    assert tiny.files() == before


@pytest.mark.parametrize("name", ["screening", "confirm", "selfcheck"])
def test_the_names_of_single_runs_and_of_verbs_are_no_study_by_hand(project: Project, name: str) -> None:
    write(project, STUDY, name)
    try:
        with pytest.raises(ConfigError, match=rf"conf/study/{name}.yaml: study `{name}`: that name is the lab's own"):
            read_study(project.composer(), name)
    finally:
        (project.root / "conf" / "study" / f"{name}.yaml").unlink()


# -- what is wrong in a file, told with its name before anything starts

WRONG = {
    "an unknown key": (("looks:", "look:"), r"conf/study/parts.yaml, look: unknown key: did you mean looks\?\n.*question, baseline, arms"),
    "no question": (("question: which of these two\n  matters for the tiny one?\n", ""), "parts.yaml, question: it is missing"),
    "a question that is none": (("which of these two\n  matters for the tiny one?", "3"), "question: 3 is not a text"),
    "arms in one line": (("arms:\n  - model/norm=rmsnorm\n  - ", "arms: "), "arms: .* is not a list with a line for each arm"),
    "an arm that is a mapping": (("- model/norm=rmsnorm", "- model/norm: rmsnorm"), "arms: .* is not a list with a line for each arm"),
    "an arm with two changes": (
        ("norm=rmsnorm", "norm=rmsnorm hooks=ema"),
        r"(?s)parts.yaml, arm 1 \(model/norm=rmsnorm hooks=ema\): .*2 changes",
    ),
    "an arm twice": (("model/norm=rmsnorm", "trainer/optimizer=lion trainer.optimizer.lr=0.0003"), r"arm 2 \(.*\): it is arm 1 again"),
    "an arm that changes nothing": (("norm=rmsnorm", "norm=layernorm"), "arm 1 .*: it changes nothing in baseline `tiny`"),
    "an arm that isn't there": (("norm=rmsnorm", "norm=rmsnrm"), "(?s)arm 1 .*no option 'rmsnrm'.*did you mean rmsnorm"),
    "an arm with a seed": (("norm=rmsnorm", "norm=rmsnorm seed=3"), "(?s)arm 1 .*seed makes no arm"),
    "an arm of another baseline": (("norm=rmsnorm", "norm=rmsnorm baseline=demo"), "(?s)arm 1 .*baseline makes no arm"),
    "an arm of another protocol": (("model/norm=rmsnorm", "trainer.tokens=2560"), "(?s)arm 1 .*trainer.tokens makes no arm"),
    "an arm that lists": (("norm=rmsnorm", "norm=rmsnorm,none"), "(?s)arm 1 .*lists several values"),
    "an arm that explores": (("norm=rmsnorm", "norm=rmsnorm explore=true"), "(?s)arm 1 .*explore makes no arm"),
    "an open quote": (("norm=rmsnorm", "norm='rmsnorm"), "arm 1: .*can't be split into words"),
    "a baseline that isn't pinned": (("baseline: tiny", "baseline: nosuch"), "parts.yaml, baseline: there is no baseline `nosuch`"),
    "looks that fall": (("[2, 3]", "[3, 2]"), r"parts.yaml, looks: judgement.looks=\[3,2\] must rise"),
    "looks beyond the seeds": (("[2, 3]", "[2, 9]"), "parts.yaml, looks: judgement.seeds lists 4 seeds, the last look needs 9"),
    "a look that is no list": (("[2, 3]", "8"), "looks: 8 is not a list of whole numbers"),
    "a look that is no number": (("[2, 3]", "[two]"), r"looks: \[two\] is not a list of whole numbers"),
    "a D of nothing": (("4e-3", "0"), "smallest_effect: 0 is not a positive number"),
    "a D in words": (("4e-3", "small"), "smallest_effect: small is not a positive number"),
    "broken YAML": (("arms:", "arms: ["), "parts.yaml, line .* isn't valid YAML"),
    "aliases": (("[2, 3]", "&a [2, 3]\nquestion2: *a"), "is a YAML alias"),
    "a list at the top": ((STUDY, "- a\n"), "must hold `key: value` lines"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_file_is_told_by_name_before_anything_starts(planned: Project, what: str) -> None:
    (old, new), message = WRONG[what]
    assert old in STUDY
    write(planned, STUDY.replace(old, new))
    before = planned.files()
    with pytest.raises(ConfigError, match=message) as wrong:
        plan(planned, "study=parts")
    assert "parts.yaml" in str(wrong.value) and planned.files() == before
    (planned.root / "conf" / "study" / "parts.yaml").unlink()  # since every file in conf/ is looked at


def test_a_file_of_that_name_that_is_none_is_no_study_of_a_sweep(planned: Project) -> None:
    folder = planned.root / "conf" / "study"
    (folder / "hollow.yaml").mkdir(parents=True)
    (folder / "loose.yaml").symlink_to("nowhere")
    for name in ("hollow", "loose"):
        with pytest.raises(ConfigError, match=f"conf/study/{name}.yaml isn't a plain file"):
            plan(planned, "baseline=tiny", f"study={name}", "hooks=none,ema")
    (folder / "hollow.yaml").rmdir()
    (folder / "loose.yaml").unlink()


REFUSED = {
    "hooks=none,ema": r"hooks can't be listed beside study=parts: its arms stand in conf/study/parts.yaml",
    "model/norm=rmsnorm": "model/norm=rmsnorm beside study=parts would change its baseline",
    "trainer.tokens=2560": "trainer.tokens=2560 beside study=parts would change its baseline",
    "explore=true trainer.tokens=2560": "beside study=parts would change its baseline",
    "baseline=demo": "baseline=demo: study `parts` is about baseline `tiny`",
    "note=a,b": "note can't be listed: it makes no arm",
    "note=choice(a,b)": "note can't be listed",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_would_change_a_declared_study_is_refused(project: Project, words: str) -> None:
    with pytest.raises(LabError, match=REFUSED[words]) as refused:
        plan(project, "study=parts", *words.split())
    assert isinstance(refused.value, (ConfigError, OneChangeError)) and refused.value.exit_status == 2


@pytest.mark.parametrize("word", ["study=", "study=[a,b]", "study={a: b}", "+study=a", "study=null", "study=a,b"])
def test_a_study_has_one_name(project: Project, word: str) -> None:
    with pytest.raises(ConfigError, match="study"):
        plan(project, "baseline=tiny", word, "hooks=none,ema")


# -- as typed


def test_a_single_run_and_a_sweep_of_a_declared_study_as_typed(tiny: Project) -> None:
    """Through Hydra itself, which would take the folder conf/study for a group of options."""
    write(tiny, STUDY.replace("  - trainer/optimizer=lion trainer.optimizer.lr=3e-4   # with a rate of its own\n", "  - hooks=ema\n"))
    before = tiny.files()
    refused = tiny.python("run.py", "study=parts", "hooks=grad_clip", status=2).stderr
    assert "hooks=grad_clip is no arm of study `parts`" in refused and "  model/norm=rmsnorm\n  hooks=ema" in refused
    assert "`screening`" in tiny.python("run.py", "baseline=tiny", "study=other", "hooks=grad_clip", status=2).stderr
    shown = tiny.python("run.py", "--cfg", "job", "study=parts").stdout
    assert "study: parts" in shown and "tokens: 1280" in shown, "the study's baseline is composed"
    assert tiny.files() == before

    note = "won't hurt, I think"
    tiny.python("run.py", "study=parts", "model/norm=rmsnorm", f"note={note}")
    (folder,) = run_folders(tiny.root)
    (request,) = read_rows(folder.requests)[0]
    assert (request["baseline"], request["study"], request["label"], request["note"]) == ("tiny", "parts", "model/norm=rmsnorm", note)
    (declared,), _ = read_declarations(tiny.root / "runs", "tiny")
    assert len(declared.arms) == 2 and declared.by_hand, "the whole family is declared, though only one of it was trained"

    said = tiny.python("run.py", "--multirun", "study=parts", "seed=0", f"why={note}").stdout
    assert "baseline and 2 arms x 1 seed = 3 runs" in said and said.count("found, not trained again") == 1
    requests = [read_rows(each.requests)[0][-1] for each in run_folders(tiny.root)]
    assert [(each["study"], each["why"]) for each in requests] == [("parts", note)] * 3
    (command,) = {each["command"] for each in requests}
    assert shlex.split(command)[2:] == ["--multirun", "study=parts", "seed=0", "why='won\\'t hurt, I think'"]


def offered(project: Project, line: str) -> list[str]:
    line = f"python run.py {line}"
    return project.python("run.py", "-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line))).stdout.split()


def test_completion_offers_the_declared_studies_and_goes_on_behind_one(project: Project) -> None:
    assert set(offered(project, "study=")) == {"study=ingredients", "study=parts"}
    assert "hooks=grad_clip" in offered(project, "study=parts hooks=gr")
    help_text = project.python("run.py", "--help").stdout
    assert [line for line in help_text.splitlines() if line.split()[:3] == ["study", "ingredients,", "parts"]]
