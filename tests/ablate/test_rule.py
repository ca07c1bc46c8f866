"""The rule of one change: command lines and what they count."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.ablate.baseline import pin
from lab.ablate.refusal import require_one_change
from lab.ablate.rule import Tally, count_changes
from lab.config.compose import Composer
from lab.errors import LabError, OneChangeError
from tests.conftest import Project, copy_of_the_project

# Options that only these tests need: an outer option that brings a nested one, an optimizer with other keys, an observer.
EXTRA = {
    "model/llama.yaml": (
        "defaults:\n  - init: gpt2\n  - norm: rmsnorm\n  - mlp: swiglu\n  - position: none\n  - attention: mha\n  - _self_\n"
        "n_layers: 4\nn_heads: 4\nd_model: 128\ncontext: 256\ndropout: 0.0\ntie_embeddings: true\n"
    ),
    "model/twin.yaml": (  # another option that moves no leaf
        "defaults:\n  - init: gpt2\n  - norm: layernorm\n  - mlp: gelu\n  - position: learned\n  - attention: mha\n  - _self_\n"
        "n_layers: 4\nn_heads: 4\nd_model: 128\ncontext: 256\ndropout: 0.0\ntie_embeddings: true\n"
    ),
    "trainer/optimizer/sgd.yaml": "_target_: lab.train.optimizer.sgd.sgd\nlr: 0.1\nmomentum: 0.9\n",
    "trainer/detailed.yaml": "defaults:\n  - default\n  - _self_\nevaluation: {every: 10}\nlog_every: 1\n",
    "hooks/watch.yaml": "watch:\n  _target_: lab.hooks.watch.Watch\n  observes: true\n  every: 10\n",
    "hooks/clash.yaml": "grad_clip:\n  _target_: lab.hooks.grad_clip.GradClip\n  max_norm: 2.0\n",
    "change/tuned.yaml": (
        "# @package _global_\ndefaults:\n  - override /trainer/optimizer: sgd\nwhy: sgd wants its own rate\n"
        "trainer:\n  optimizer:\n    lr: 0.5\n"
    ),
    "change/nothing.yaml": "# @package _global_\nwhy: moves only a nuisance\ntrainer:\n  log_every: 5\n",
    "change/clashing.yaml": "# @package _global_\ndefaults:\n  - override /hooks: clash\nwhy: clash\n",
    "change/long.yaml": "# @package _global_\nwhy: moves the budget\ntrainer:\n  tokens: 4096000\n",
}


@pytest.fixture(scope="module")
def rule(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with more options, and two baselines: `default`, and `tuned`, which pins values inside components and a hook."""
    project = copy_of_the_project(tmp_path_factory.mktemp("rule") / "project")
    for name, text in EXTRA.items():
        (project.root / "conf" / name).write_text(text)
    (project.root / "text.txt").write_text("some text\n")
    words = ("trainer.optimizer.lr=3e-3", "trainer.optimizer.betas=[0.9,0.95]", "hooks=grad_clip", "hooks.grad_clip.max_norm=0.5")
    pin(project.composer(), "tuned", words)
    pin(project.composer(), "shorter", ("data=text", "data.path=text.txt", "model.context=64"))
    return project


@pytest.fixture(scope="module")
def composer(rule: Project) -> Composer:
    return rule.composer()


COUNTS = {
    # nothing: the baseline, another seed of it, nuisances, bits, values that it has already
    "": 0,
    "seed=3": 0,
    "baseline=default": 0,
    "model=nano": 0,
    "model/norm=layernorm": 0,
    "trainer.optimizer.lr=1e-3": 0,
    "trainer.optimizer.lr=0.001": 0,
    "trainer.optimizer.lr=0.0010": 0,
    "model.d_model=128 model.n_heads=4": 0,
    "note=hello seed=7": 0,
    "trainer.log_every=1 trainer.evaluation.every=7 trainer.checkpoint.every=9": 0,
    "trainer=detailed": 0,
    "trainer.sampling.tokens=0": 0,
    "device.threads=1": 0,
    "device.attention=written device.micro_batch=2": 0,
    "model=twin": 0,
    "hooks=none": 0,
    "hooks=watch": 0,
    "change=none": 0,
    "change=nothing": 0,
    "trainer.evaluation.block=256": 0,
    # one: an option, a leaf, a hook, a named intervention, and what belongs to it
    "model/norm=rmsnorm": 1,
    "model=small": 1,
    "model=llama": 1,
    "model=llama model/norm=rmsnorm": 1,
    "model=llama model/norm=layernorm": 1,
    "model.norm.eps=1e-6": 1,
    "model/norm=rmsnorm model.norm.eps=1e-6": 1,
    "trainer/optimizer=sgd": 1,
    "trainer/optimizer=sgd trainer.optimizer.lr=0.3": 1,
    "trainer/optimizer=sgd trainer.optimizer.lr=0.3 trainer.optimizer.momentum=0.8": 1,
    "trainer.optimizer.betas=[0.9,0.95]": 1,
    "hooks=grad_clip": 1,
    "hooks=grad_clip hooks.grad_clip.max_norm=0.5": 1,
    "hooks=[grad_clip]": 1,
    "hooks=[grad_clip,watch]": 1,
    "trainer.batch_size=16": 1,
    "trainer.precision=bf16": 1,
    "data/tokenizer=bytes": 1,
    "model.tie_embeddings=false": 1,
    "change=wide": 1,
    "change=tuned": 1,
    "change=tuned trainer.optimizer.momentum=0.8": 1,
    "model.context=512 trainer.evaluation.block=256": 1,
    "model=small trainer.log_every=2 seed=4 device.threads=1": 1,
    # more
    "model/norm=rmsnorm trainer.optimizer.lr=3e-3": 2,
    "model.d_model=256 model/mlp=swiglu": 2,
    "model.n_layers=2 model.d_model=64 model.n_heads=2": 3,
    "model=small model.dropout=0.1": 2,
    "model=llama model/mlp=gelu model.n_layers=3": 2,
    "model=llama model.norm.eps=1e-6": 1,
    "hooks=[grad_clip,z_loss]": 2,
    "hooks=[z_loss,grad_clip] hooks.z_loss.weight=1e-3": 2,
    "change=wide model/norm=rmsnorm": 2,
    "change=wide trainer.optimizer.lr=2e-3": 2,
    "trainer/optimizer=sgd trainer.optimizer.lr=0.3 model.dropout=0.1": 2,
    "model/norm=rmsnorm model/mlp=swiglu model/position=none": 3,
    # from a baseline that pins values inside components
    "baseline=tuned": 0,
    "baseline=tuned hooks=grad_clip": 0,
    "baseline=tuned hooks=none": 1,
    "baseline=tuned hooks=z_loss": 2,
    "baseline=tuned hooks=[grad_clip,z_loss]": 1,
    "baseline=tuned hooks.grad_clip.max_norm=1": 1,
    "baseline=tuned trainer/optimizer=sgd": 1,
    "baseline=tuned trainer/optimizer=sgd trainer.optimizer.lr=0.3": 1,
    "baseline=tuned trainer.optimizer.lr=1e-3": 1,
    "baseline=tuned trainer.optimizer.lr=3e-3": 0,
    "baseline=tuned model=small": 1,
    "baseline=tuned change=tuned": 1,
    "baseline=shorter model=small": 1,
    "baseline=shorter model/mlp=swiglu": 1,
}


def of(composer: Composer, line: str) -> Tally:
    return count_changes(composer, tuple(line.split()))


@pytest.mark.parametrize("line", COUNTS)
def test_a_command_line_makes_this_many_changes(composer: Composer, line: str) -> None:
    tally = of(composer, line)
    assert len(tally.changes) == COUNTS[line], [change.path for change in tally.changes]
    assert not tally.incomparable
    if COUNTS[line] > 1:
        with pytest.raises(OneChangeError, match=f"makes {COUNTS[line]} changes"):
            require_one_change(tally)
    else:
        require_one_change(tally)


def test_at_least_forty_command_lines_are_counted() -> None:
    assert len(COUNTS) >= 40


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("trainer=fast", "trainer.tokens"),
        ("trainer.tokens=1.024e6", "trainer.tokens"),
        ("data.validation_fraction=0.1", "data.validation_fraction"),
        ("trainer.evaluation.metric=nats_per_token", "trainer.evaluation.metric"),
        ("trainer.evaluation.bytes=5000", "trainer.evaluation.bytes"),
        ("trainer.divergence_ceiling=9", "trainer.divergence_ceiling"),
        ("data=text data.path=text.txt", "data.corpus._target_"),
        ("model.context=128", "trainer.evaluation.block"),
        ("judgement.alpha=0.1", "judgement.alpha"),
        ("judgement.looks=[3]", "judgement.looks"),
        ("change=long", "trainer.tokens"),
    ],
)
def test_another_protocol_is_refused_with_the_pin_command(composer: Composer, line: str, path: str) -> None:
    tally = of(composer, line)
    assert path in {move.path for move in tally.incomparable}
    with pytest.raises(OneChangeError, match="python -m lab pin NAME") as refusal:
        require_one_change(tally)
    assert path in str(refusal.value)


def test_a_refusal_names_each_change_with_both_values_where_it_came_from_and_the_ways_out(composer: Composer) -> None:
    with pytest.raises(OneChangeError) as refusal:
        require_one_change(of(composer, "model/norm=rmsnorm trainer.optimizer.lr=3e-3"))
    text = str(refusal.value)
    assert "makes 2 changes to baseline `default`" in text
    assert "model/norm             layernorm -> rmsnorm   command line" in text
    assert "trainer.optimizer.lr   0.001 -> 0.003         command line" in text
    assert "\n  python run.py model/norm=rmsnorm\n  python run.py trainer.optimizer.lr=3e-3\n" in text
    assert "conf/change/" in text
    assert "explore=true" in text


def test_a_refusal_on_another_baseline_names_it_in_its_commands(composer: Composer) -> None:
    with pytest.raises(OneChangeError) as refusal:
        require_one_change(of(composer, "baseline=tuned model=small model.dropout=0.1"))
    assert "\n  python run.py baseline=tuned model=small\n  python run.py baseline=tuned model.dropout=0.1\n" in str(refusal.value)


@pytest.mark.parametrize("line", [line for line, count in COUNTS.items() if count > 1])
def test_each_way_out_of_a_refusal_is_a_run_with_one_change(composer: Composer, line: str) -> None:
    with pytest.raises(OneChangeError) as refusal:
        require_one_change(of(composer, line))
    commands = [row.strip() for row in str(refusal.value).splitlines() if row.startswith("  python run.py ")]
    assert len(commands) == COUNTS[line]
    for command in commands:
        tally = of(composer, command.removeprefix("python run.py ").replace("'", ""))
        assert len(tally.changes) == 1, command


def test_a_group_change_lists_the_leaves_that_it_moves(composer: Composer) -> None:
    (change,) = of(composer, "model=small").changes
    assert {move.path: (move.old, move.new) for move in change.moves} == {
        "model.n_layers": (4, 6),
        "model.n_heads": (4, 6),
        "model.d_model": (128, 192),
    }


def test_a_pinned_context_holds_when_the_model_is_swapped(composer: Composer) -> None:
    tally = of(composer, "baseline=shorter model=small")
    assert tally.composition.leaves["model.context"] == 64


def test_a_swapped_optimizer_comes_with_its_own_values_not_the_pinned_ones(composer: Composer) -> None:
    tally = of(composer, "baseline=tuned trainer/optimizer=sgd")
    assert tally.composition.resolved["trainer"]["optimizer"] == {
        "_target_": "lab.train.optimizer.sgd.sgd",
        "lr": 0.1,
        "momentum": 0.9,
    }


def test_a_removed_hook_leaves_no_value_behind(composer: Composer) -> None:
    assert of(composer, "baseline=tuned hooks=none").composition.hooks == {}


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("seed=4", "baseline"),
        ("model/norm=rmsnorm", "model/norm=rmsnorm"),
        ("trainer.optimizer.lr=3e-3", "trainer.optimizer.lr=0.003"),
        ("++trainer.batch_size=1_6", "trainer.batch_size=16"),
        ("hooks=grad_clip hooks.grad_clip.max_norm=5e-1", "hooks=grad_clip,max_norm=0.5"),
        ("hooks=grad_clip hooks.grad_clip.max_norm=0.5", "hooks=grad_clip,max_norm=0.5"),
        ("trainer/optimizer=sgd trainer.optimizer.lr=0.3", "trainer/optimizer=sgd,lr=0.3"),
        ("change=wide", "change=wide"),
        ("baseline=tuned hooks=none", "hooks=none"),
        ("baseline=tuned hooks=[grad_clip,z_loss]", "hooks=[grad_clip,z_loss]"),
    ],
)
def test_the_label_is_what_would_be_typed_after_the_baseline(composer: Composer, line: str, label: str) -> None:
    assert of(composer, line).label == label


def test_a_derived_value_that_is_held_is_listed(composer: Composer) -> None:
    tally = of(composer, "model.context=512 trainer.evaluation.block=256")
    assert [move.path for move in tally.held] == ["trainer.evaluation.block"]


def test_the_refusal_of_a_moved_derived_value_says_how_to_hold_it(composer: Composer) -> None:
    with pytest.raises(OneChangeError, match=r"add trainer\.evaluation\.block=256"):
        require_one_change(of(composer, "model.context=512"))


@pytest.mark.parametrize(
    ("line", "exploring"),
    [
        ("explore=true", False),
        ("explore=true model/norm=rmsnorm", False),
        ("explore=true model/norm=rmsnorm model.dropout=0.1", True),
        ("explore=true trainer=fast", True),
    ],
)
def test_whether_a_request_explores_is_decided_by_its_content(composer: Composer, line: str, exploring: bool) -> None:
    tally = of(composer, line)
    assert tally.exploring is exploring
    require_one_change(tally)


@pytest.mark.parametrize("line", ["hooks=[grad_clip,clash]", "hooks=clash", "change=clashing"])
def test_a_hook_option_that_writes_another_key_is_refused(composer: Composer, line: str) -> None:
    with pytest.raises(LabError, match=r"conf/hooks/clash\.yaml writes hooks\.grad_clip"):
        of(composer, line)


def test_a_class_typed_without_its_option_is_refused(composer: Composer) -> None:
    with pytest.raises(LabError, match="a class comes with its option"):
        of(composer, "model.norm._target_=lab.model.norm.rmsnorm.RMSNorm")


def test_a_hook_called_an_observer_since_the_pin_still_counts(project: Project) -> None:
    pin(project.composer(), "clipped", ("hooks=grad_clip",))
    path = project.root / "conf/hooks/grad_clip.yaml"
    path.write_text(path.read_text().replace("max_norm: 1.0", "max_norm: 0.5\n  observes: true"))
    with pytest.raises(OneChangeError, match="edited since"):
        require_one_change(count_changes(project.composer(), ("baseline=clipped",)))


def test_minus_zero_is_zero(composer: Composer) -> None:
    tally = of(composer, "model.dropout=-0.0")
    assert (tally.label, str(tally.composition.resolved["model"]["dropout"])) == ("baseline", "0.0")


@pytest.mark.parametrize("line", ["trainer.batch_size=7", "model.context=300", "trainer.tokens=1000000"])
def test_a_budget_that_is_no_whole_number_of_steps_is_refused(composer: Composer, line: str) -> None:
    with pytest.raises(LabError, match="is no whole number of steps"):
        of(composer, line)


# -- edits of conf/ since the pin


@pytest.mark.parametrize(
    ("name", "old", "new", "counted"),
    [
        ("model/nano.yaml", "n_layers: 4 ", "n_layers: 5 ", True),
        ("trainer/optimizer/adamw.yaml", "lr: 1.0e-3", "lr: 2.0e-3", True),
        ("trainer/optimizer/adamw.yaml", "lr: 1.0e-3", "lr: 0.001", False),
        ("trainer/default.yaml", "log_every: 10", "log_every: 20", False),
        ("model/nano.yaml", "# GPT with", "# A GPT with", False),
        ("model/norm/rmsnorm.yaml", "eps: 1.0e-5", "eps: 1.0e-6", False),
    ],
)
def test_an_edited_option_counts_as_drift_when_the_baseline_uses_the_leaf(
    project: Project, name: str, old: str, new: str, counted: bool
) -> None:
    path = project.root / "conf" / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    tally = count_changes(project.composer(), ())
    if not counted:
        require_one_change(tally)
        return
    with pytest.raises(OneChangeError, match="edited since") as refusal:
        require_one_change(tally)
    assert f"conf/{name}" in str(refusal.value)


def refusal_after(project: Project, name: str, old: str, new: str, line: str) -> str:
    """What a command line is told after an edit of a file in conf/."""
    path = project.root / "conf" / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(OneChangeError) as refusal:
        require_one_change(count_changes(project.composer(), tuple(line.split())))
    return str(refusal.value)


@pytest.mark.parametrize("line", ["", "model/norm=rmsnorm", "trainer=detailed_eval", "hooks=grad_clip model.n_layers=2"])
@pytest.mark.parametrize(
    ("name", "old", "new", "row", "file"),
    [
        ("trainer/default.yaml", "tokens: 2048000 ", "tokens: 4096000 ", "trainer.tokens   2048000 -> 4096000", "trainer/default.yaml"),
        ("model/nano.yaml", "context: 256 ", "context: 128 ", "trainer.evaluation.block   256 -> 128", "trainer/default.yaml"),
        ("data/stdlib.yaml", "test_fraction: 0.02 ", "# ", "data.test_fraction   0.02 -> 0.05", "data/stdlib.yaml"),
    ],
)
def test_an_edited_protocol_value_is_told_as_drift(project: Project, name: str, old: str, new: str, row: str, file: str, line: str) -> None:
    text = refusal_after(project, name, old, new, line)
    assert "conf/ was edited since" in text and "python -m lab pin default --again" in text
    assert " ".join(row.split()) in " ".join(text.split()) and f"conf/{file}, edited since the pin" in text
    assert "pin another baseline" not in text and "type the value" not in text


@pytest.mark.parametrize("line", ["trainer.tokens=4096000", "trainer=fast", "trainer.evaluation.metric=nats_per_token"])
def test_a_typed_protocol_value_beside_drift_is_the_users_own(project: Project, line: str) -> None:
    text = refusal_after(project, "trainer/default.yaml", "tokens: 2048000 ", "tokens: 4096000 ", line)
    assert "is not comparable with" in text and "python -m lab pin NAME" in text
    assert ("conf/trainer/default.yaml, edited since the pin" in text) is ("metric" in line)


def test_an_edit_in_the_file_that_an_option_starts_from_is_found_there(project: Project) -> None:
    pin(project.composer(), "quick", ("trainer=fast",))
    text = refusal_after(project, "trainer/default.yaml", "divergence_ceiling: ", "divergence_ceiling: 1", "baseline=quick")
    assert "conf/trainer/default.yaml, edited since the pin" in text


def test_drift_beside_a_typed_change_is_refused_with_its_file(project: Project) -> None:
    path = project.root / "conf/model/nano.yaml"
    path.write_text(path.read_text().replace("n_layers: 4 ", "n_layers: 5 "))
    with pytest.raises(OneChangeError, match=r"conf/model/nano\.yaml, edited since the pin"):
        require_one_change(count_changes(project.composer(), ("model/norm=rmsnorm",)))


def test_typing_the_pinned_value_over_a_drifted_one_is_the_baseline_again(project: Project) -> None:
    path = project.root / "conf/model/nano.yaml"
    path.write_text(path.read_text().replace("n_layers: 4 ", "n_layers: 5 "))
    tally = count_changes(project.composer(), ("model.n_layers=4",))
    require_one_change(tally)
    assert tally.label == "baseline"


def test_conf_written_in_another_order_is_the_same(project: Project) -> None:
    path = project.root / "conf/trainer/optimizer/adamw.yaml"
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    path.write_text("\n".join(reversed(lines)) + "\n")
    tally = count_changes(project.composer(), ())
    require_one_change(tally)
    assert tally.label == "baseline"


def test_nothing_but_conf_is_read_and_nothing_is_written(rule: Project) -> None:
    before = rule.files()
    for line in ("", "model=small", "model/norm=rmsnorm model.dropout=0.1", "trainer=fast"):
        count_changes(Composer(rule.root, Path("/")), tuple(line.split()))
    assert rule.files() == before
