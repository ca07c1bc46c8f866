"""A component's value outside what its option file accepts is told at once, in one message."""

from __future__ import annotations

import pytest

from lab.config.ranges import check_range
from lab.errors import ConfigError
from tests.conftest import Project

NORM = "# A norm with limits.\n_target_: lab.model.norm.rmsnorm.RMSNorm\neps: 1.0e-5  # small\n_range_: {eps: [0, 0.1]}\n"


@pytest.mark.parametrize(
    ("value", "allowed", "word"),
    [
        (2.0, [0, 1], "eps=2 is out of range: from 0 to 1"),
        (-1, [0, None], "eps=-1 is out of range: at least 0"),
        (3, [None, 2], "eps=3 is out of range: at most 2"),
        ([0.9, 1.5], [0, 1], "eps[1]=1.5 is out of range: from 0 to 1"),
        ("many", [0, 1], "eps is 'many', but must be a number"),
        (True, [0, 1], "eps is 'true', but must be a number"),
        ("meen", ["mean", "sum"], "eps=meen: allowed are mean, sum: did you mean mean?"),
    ],
)
def test_what_is_outside_is_told(value: object, allowed: list[object], word: str) -> None:
    with pytest.raises(ConfigError) as told:
        check_range("eps", value, allowed)
    assert str(told.value) == word


@pytest.mark.parametrize(("value", "allowed"), [(0, [0, 1]), (1.0, [0, 1]), (1e9, [0, None]), (None, [0, 1]), ("sum", ["sum"]), (5, None)])
def test_limits_themselves_null_and_keys_without_a_range_pass(value: object, allowed: list[object] | None) -> None:
    check_range("eps", value, allowed)


def test_a_typed_value_outside_its_options_range_is_refused_and_the_range_reaches_no_composition(project: Project) -> None:
    (project.root / "conf/model/norm/bounded.yaml").write_text(NORM)
    composition = project.composer().compose(("model/norm=bounded", "model.norm.eps=0.1"))
    assert composition.resolved["model"]["norm"] == {"_target_": "lab.model.norm.rmsnorm.RMSNorm", "eps": 0.1}
    with pytest.raises(ConfigError, match=r"model\.norm\.eps=0\.2 is out of range: from 0 to 0\.1"):
        project.composer().compose(("model/norm=bounded", "model.norm.eps=0.2"))


def test_a_hooks_range_holds_at_its_node(project: Project) -> None:
    path = project.root / "conf/hooks/grad_clip.yaml"
    lines = [line for line in path.read_text().splitlines() if "_range_" not in line]
    path.write_text("\n".join(lines) + "\n  _range_: {max_norm: [0, 100]}\n")
    assert project.composer().compose(("hooks=grad_clip",)).resolved["hooks"]["grad_clip"].keys() == {"_target_", "max_norm"}
    with pytest.raises(ConfigError, match=r"hooks\.grad_clip\.max_norm=101 is out of range"):
        project.composer().compose(("hooks=grad_clip", "hooks.grad_clip.max_norm=101"))


@pytest.mark.parametrize(
    ("ranges", "found"),
    [
        ("{eps: [0]}", "the _range_ of eps is '[0]'"),
        ("[0, 1]", "_range_ is '[0,1]', but must be a mapping"),
        ("3", "_range_ is '3', but must be a mapping"),
        ("null", "_range_ is 'null', but must be a mapping"),
        ("{eps: 3}", "the _range_ of eps is '3'"),
        ("{eps: []}", "the _range_ of eps is '[]'"),
        ("{eps: [a, 1]}", "the _range_ of eps is '[a,1]'"),
        ("{eps: [1, 0]}", "the _range_ of eps is '[1,0]'"),
        ("{eps: [0, 1, 2]}", "the _range_ of eps is '[0,1,2]'"),
        ("{eps: [false, true]}", "the _range_ of eps is '[false,true]'"),
        ('{eps: ["${model.d_model}", 1]}', "the _range_ of eps is '[${model.d_model},1]'"),
        ('{eps: ["${model.d_model}"]}', "the _range_ of eps is '[${model.d_model}]'"),
        ("{epz: [0, 1]}", "_range_ names epz, which isn't there: did you mean eps?"),
        ("{_target_: [a, b]}", "_range_ names _target_, which isn't there"),
    ],
)
def test_a_faulty_range_names_its_file_and_the_right_form(project: Project, ranges: str, found: str) -> None:
    (project.root / "conf/model/norm/odd.yaml").write_text(NORM.replace("{eps: [0, 0.1]}", ranges))
    with pytest.raises(ConfigError) as told:
        project.composer().compose(("model/norm=odd",))
    assert f"conf/model/norm/odd.yaml: {found}" in str(told.value)
    assert "_range_: {KEY: [LOW, HIGH]}" in str(told.value)
    project.composer().compose(())  # nobody else's matter


@pytest.mark.parametrize("words", [("model=odd",), ("hooks=z2",), ("hooks=[grad_clip,z2]",)])
def test_a_range_that_stands_at_no_component_is_told(project: Project, words: tuple[str, ...]) -> None:
    nano = (project.root / "conf/model/nano.yaml").read_text()
    (project.root / "conf/model/odd.yaml").write_text(nano + "_range_: {n_layers: [1, 4]}\n")
    hook = (project.root / "conf/hooks/z_loss.yaml").read_text().replace("z_loss:", "z2:")
    (project.root / "conf/hooks/z2.yaml").write_text(hook + "_range_: {weight: [0, 1]}\n")
    with pytest.raises(
        ConfigError, match=r"conf/(model/odd|hooks/z2)\.yaml: a _range_ stands where no component is[\s\S]*component's node"
    ):
        project.composer().compose(words)


def test_a_range_in_a_groups_option_that_spells_out_its_component_is_checked(project: Project) -> None:
    path = project.root / "conf/data/text.yaml"
    (project.root / "conf/data/odd.yaml").write_text(path.read_text() + "  _range_: {size: [0, 1]}\n")
    with pytest.raises(ConfigError, match=r"conf/data/odd\.yaml: _range_ names size"):
        project.composer().compose(("data=odd", "data.path=text.txt"))
