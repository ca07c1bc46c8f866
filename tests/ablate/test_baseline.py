"""Pins: what is written, what is held, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.ablate.baseline import pin
from lab.ablate.lock import load_pin, lock_path, option_path
from lab.ablate.rule import count_changes
from lab.config.compose import Composer
from lab.errors import PinError
from lab.files import read_json, write_json
from tests.conftest import Project

WORDS = {
    "plain": ("trainer.optimizer.lr=3e-3",),
    "groups": ("model=small", "model/norm=rmsnorm", "data/tokenizer=bytes"),
    "hooks": ("hooks=[grad_clip,z_loss]", "hooks.z_loss.weight=1e-3"),
    "named": ("change=wide",),
    "budget": ("trainer=fast", "judgement.looks=[3]", "judgement.smallest_effect=0.01"),
    "derived": ("model.context=64",),
    "held": ("model.context=512", "trainer.evaluation.block=128"),
    "text": ("data=text", "data.path=text.txt"),
}


@pytest.mark.parametrize("kind", WORDS)
def test_a_pinned_baseline_composes_to_what_was_typed(project: Project, kind: str) -> None:
    (project.root / "text.txt").write_text("some text\n")
    typed = project.composer().compose(WORDS[kind])
    pin(project.composer(), "mine", WORDS[kind])
    again = project.composer().compose(("baseline=mine",))
    nuisances = {"change", "why"}
    assert {k: v for k, v in again.leaves.items() if k not in nuisances} == {k: v for k, v in typed.leaves.items() if k not in nuisances}
    assert again.unresolved["trainer"] == typed.unresolved["trainer"]
    assert count_changes(project.composer(), ("baseline=mine",)).label == "baseline"


def test_a_pin_can_start_from_another_baseline(project: Project) -> None:
    pin(project.composer(), "first", ("trainer.optimizer.lr=3e-3", "hooks=grad_clip"))
    pin(project.composer(), "second", ("baseline=first", "model/norm=rmsnorm"))
    leaves = project.composer().compose(("baseline=second",)).leaves
    assert (leaves["trainer.optimizer.lr"], leaves["hooks.grad_clip.max_norm"]) == (3e-3, 1.0)
    assert leaves["model.norm._target_"].endswith("RMSNorm")


def test_the_option_is_short_and_holds_only_what_differs_and_the_judgement(project: Project) -> None:
    pin(project.composer(), "mine", ("trainer.optimizer.lr=3e-3", "model/norm=rmsnorm"))
    lines = [line for line in option_path(project.root, "mine").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[:5] == ["defaults:", "  - override /model/norm: rmsnorm", "trainer:", "  optimizer:", "    lr: 0.003"]
    assert lines[5] == "judgement:"


def test_a_path_typed_in_a_folder_below_is_kept_relative_to_the_project(project: Project) -> None:
    below = project.root / "texts" / "deep"
    below.mkdir(parents=True)
    (below / "a.txt").write_text("some text\n")
    pin(Composer(project.root, below), "mine", ("data=text", "data.path=a.txt"))
    assert "path: texts/deep/a.txt" in option_path(project.root, "mine").read_text()
    found = Composer(project.root, Path("/")).compose(("baseline=mine",)).resolved["data"]["path"]
    assert Path(found) == below / "a.txt"


def test_the_lock_holds_no_path_so_that_it_is_the_same_on_every_machine(project: Project) -> None:
    locks = []
    for folder in ("here", "there"):
        (project.root / folder).mkdir()
        (project.root / folder / "text.txt").write_text("some text\n")
        made, _ = pin(Composer(project.root, project.root / folder), "mine", ("data=text", "data.path=text.txt"))
        locks.append(made.sha256)
        assert str(project.root) not in lock_path(project.root, "mine").read_text()
        option_path(project.root, "mine").unlink()
        lock_path(project.root, "mine").unlink()
    assert locks[0] == locks[1]


def test_the_path_in_a_pinned_option_may_be_edited_and_nothing_else(project: Project) -> None:
    (project.root / "text.txt").write_text("some text\n")
    made, _ = pin(project.composer(), "mine", ("data=text", "data.path=text.txt", "model.context=64"))
    option = option_path(project.root, "mine")
    option.write_text(option.read_text().replace("path: text.txt", "path: elsewhere.txt") + "# a remark\n")
    assert load_pin(project.root, "mine").sha256 == made.sha256
    option.write_text(option.read_text().replace("context: 64", "context: 65"))
    with pytest.raises(PinError, match="was edited since it was pinned"):
        load_pin(project.root, "mine")


@pytest.mark.parametrize("key", ["name", "file_digest", "choices", "overrides", "composition", "sha256"])
def test_any_edit_of_a_lock_is_refused(project: Project, key: str) -> None:
    path = lock_path(project.root, "default")
    content = read_json(path)
    content[key] = {**content[key], "x": "y"} if isinstance(content[key], dict) else ["x"] if isinstance(content[key], list) else "0" * 64
    write_json(path, content)
    with pytest.raises(PinError, match=r"was edited|python -m lab pin default --again"):
        load_pin(project.root, "default")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": 99}'])
def test_a_damaged_lock_says_how_to_get_it_back(project: Project, text: str) -> None:
    lock_path(project.root, "default").write_text(text)
    with pytest.raises(PinError, match="python -m lab pin default --again"):
        load_pin(project.root, "default")


def test_an_existing_name_is_refused(project: Project) -> None:
    with pytest.raises(PinError, match="pinned already"):
        pin(project.composer(), "default", ())


@pytest.mark.parametrize("name", ["", "none", "Up", "../x", "a/b", ".hidden", "x" * 50, "a b"])
def test_a_name_that_cannot_be_a_folder_is_refused(project: Project, name: str) -> None:
    before = project.files()
    with pytest.raises(PinError, match="can't name a baseline"):
        pin(project.composer(), name, ())
    assert project.files() == before


def test_pinning_again_keeps_the_old_lock_and_tells_what_moved(project: Project) -> None:
    old = lock_path(project.root, "default").read_text()
    made, moves = pin(project.composer(), "default", ("model.n_layers=3",), again=True)
    assert [(move.path, move.old, move.new) for move in moves] == [("model.n_layers", 4, 3)]
    assert (project.root / "conf/baseline/default.lock.1.old.json").read_text() == old
    assert made.sha256 != read_json(project.root / "conf/baseline/default.lock.1.old.json")["sha256"]


def test_pinning_again_after_an_edit_of_conf_takes_the_edit_in(project: Project) -> None:
    path = project.root / "conf/model/nano.yaml"
    path.write_text(path.read_text().replace("n_layers: 4 ", "n_layers: 5 "))
    _, moves = pin(project.composer(), "default", (), again=True)
    assert [move.path for move in moves] == ["model.n_layers"]
    assert count_changes(project.composer(), ()).label == "baseline"


def test_a_lock_that_lacks_a_newer_field_is_filled_with_its_default(project: Project) -> None:
    path = lock_path(project.root, "default")
    content = read_json(path)
    del content["composition"]["model"]["dropout"]
    from lab.ablate.lock import lock_hash

    parts = {key: content[key] for key in ("file_digest", "choices", "overrides", "composition")}
    write_json(path, content | {"sha256": lock_hash("default", **parts)})
    assert count_changes(project.composer(), ()).label == "baseline"
    assert len(count_changes(project.composer(), ("model.dropout=0.1",)).changes) == 1


def test_pinning_again_what_is_the_same_changes_no_file(project: Project) -> None:
    pin(project.composer(), "mine", ("model.n_layers=3",))
    before = {path.name: path.read_bytes() for path in (project.root / "conf/baseline").iterdir()}
    _, moves = pin(project.composer(), "mine", (), again=True)
    assert moves == []
    assert {path.name: path.read_bytes() for path in (project.root / "conf/baseline").iterdir()} == before


def test_an_edited_lock_can_be_pinned_again(project: Project) -> None:
    lock_path(project.root, "default").write_text("{")
    pin(project.composer(), "default", (), again=True)
    assert load_pin(project.root, "default").judgement["looks"] == [5, 8, 12, 20]
    assert (project.root / "conf/baseline/default.lock.1.old.json").read_text() == "{"
