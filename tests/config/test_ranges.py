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
