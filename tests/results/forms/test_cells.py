"""Factorials and curves in every form of the report: the same strings, and names that want to be markup shown as they are."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest

from lab.results import facts_of_cells
from lab.results.facts import Facts
from lab.results.facts_of_cells import (
    CellFacts,
    CurveFacts,
    EffectFacts,
    FactorFacts,
    FactorialFacts,
    OptimumFacts,
    PendingSeeds,
    PointFacts,
)
from lab.results.figures import write_figures
from lab.results.forms import FORMATS
from lab.results.forms.cells import sheets
from lab.results.forms.latex import escape as latex
from lab.results.forms.markdown import escape as markdown
from lab.results.forms.terminal import to_terminal
from tests.docs_examples.page import DOCS

from . import worlds

AGAIN = "python run.py --multirun hydra.sweeper.design=factorial model/norm=layernorm,rmsnorm hooks=none,ema seed=3"


def effect(name: str, kind: str = "main", verdict: str = "better") -> EffectFacts:
    told = {"decimals": 4, "p": 0.0123, "family": 3, "spread": 0.001, "detectable": 0.002, "stop": "decided"}
    numbers = {"look": 5, "n": 5, "left_out": (), "difference": -0.0123, "low": -0.0145, "high": -0.0101}
    return EffectFacts(name, kind, verdict, verdict, f"{name} ({kind}): {verdict}.", **numbers, **told)


def factorial(name: str = "model/norm=rmsnorm", level: str = "rmsnorm") -> FactorialFacts:
    factors = (FactorFacts("model/norm", "layernorm", (level,)), FactorFacts("hooks", "none", ("ema",)))
    cells = (CellFacts("baseline", "ab", ("layernorm", "none"), 3, 2.1012, ()), CellFacts(name, "cd", (level, "ema"), 0, None, ()))
    effects = (effect(name), effect(f"{name} x hooks=ema", "interaction", "cannot tell"))
    return FactorialFacts("grid", factors, effects, cells, ("a cell: diverged on seed 1",), PendingSeeds(8, (3,), AGAIN))


def curve() -> CurveFacts:
    points = (PointFacts(0.001, True, 5, 0, 2.1012, 2.0911, 2.1113, ()), PointFacts(0.003, False, 4, 1, 2.2, None, None, ()))
    optimum = OptimumFacts(0.0012, 0.0009, 0.0017, "log", (0, 1, 2), (0.0003, 0.001, 0.003, 0.01))
    return CurveFacts("rates", "trainer.optimizer.lr", points, 0.001, optimum, "trainer.optimizer.lr: best 0.001.", ("At the edge.",), None)


def world(name: str = "model/norm=rmsnorm") -> Facts:
    section = worlds.section(worlds.arm("hooks=ema"))
    return worlds.facts(replace(section, factorials=(factorial(name, name),), value_curves=(curve(),)))


@pytest.mark.parametrize("form", ["terminal", "md", "html", "latex"])
def test_a_form_shows_each_effect_each_cell_and_each_point(form: str) -> None:
    made = to_terminal(world(), width=140) if form == "terminal" else FORMATS[form].make(world(), {})
    text = " ".join(made.replace("$", "").split())
    for part in ("model.norm=rmsnorm x hooks=ema", "interaction", "cannot tell", "-0.0123", "-0.0145 to -0.0101", "0.012"):
        assert part in text, part
    for part in ("2.1012", "layernorm", "0.001", "2.101", "2.091 to 2.111", "4 (1 diverged)", "baseline, best"):
        assert part in text, part
    if form != "latex":  # a paper's table has a caption, and its sentences are the author's
        assert all(part in text for part in ("At the edge.", "a cell: diverged on seed 1"))


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_table_of_effects_breaks_no_word_on_a_narrow_terminal(width: int) -> None:
    wide = replace(
        factorial(), effects=(*factorial().effects, effect(f"{'model/norm=rmsnorm'} x hooks=ema", "interaction", "no interaction"))
    )
    text = to_terminal(worlds.facts(replace(worlds.section(), factorials=(wide,), value_curves=())), width)
    lines = text[text.index("Effects of") : text.index("Cells of")].splitlines()
    table = "\n".join(lines)
    assert all(len(line) <= width for line in lines)
    for word in ("effect", "difference", "verdict", "-0.0145 to -0.0101" if width > 60 else "-0.0123", "interaction"):
        assert word in table, word
    assert ("  2: model.norm=rmsnorm x hooks=ema" in lines) == (width < 100)
    cells = [line.split() for line in lines if "-0.0123" in line]
    assert [cell[0] for cell in cells] == (["1", "2", "3"] if width < 100 else ["model.norm=rmsnorm"] * 3)


@pytest.mark.parametrize("form", ["terminal", "md"])
def test_the_command_of_the_next_look_stands_among_the_others(form: str) -> None:
    assert AGAIN in FORMATS[form].make(world(), {})


@pytest.mark.parametrize("name", worlds.HOSTILE)
def test_a_hostile_level_is_shown_and_is_no_markup(name: str) -> None:
    told = list(sheets(world(name).sections[0]))
    assert not [text for sheet in told for row in sheet.rows for text in row if not text.isprintable()]
    page, text, paper = (FORMATS[form].make(world(name), {}) for form in ("html", "md", "latex"))
    assert "<script>alert" not in page and "<img" not in page
    shown = told[1].rows[1][0]
    assert markdown(shown) in text and latex(shown) in paper
    assert "\x1b" not in to_terminal(world(name))


def test_csv_has_a_row_for_each_effect_and_value_and_tells_their_kind() -> None:
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"].make(world(), {}), newline="")))
    assert [row["kind"] for row in rows] == ["arm", "main", "interaction", "value", "value"]
    assert (rows[1]["label"], rows[1]["difference"], rows[1]["p"], rows[1]["arm_id"]) == ("model/norm=rmsnorm", "-0.0123", "0.0123", "")
    assert (rows[3]["label"], rows[3]["mean"], rows[3]["verdict"]) == ("trainer.optimizer.lr=0.001", "2.1012", "")


def test_json_holds_them_field_by_field() -> None:
    section = json.loads(FORMATS["json"].make(world(), {}))["sections"][0]
    assert section["factorials"][0]["effects"][1]["verdict"] == "cannot tell"
    assert section["value_curves"][0]["optimum"]["scale"] == "log"


@pytest.mark.parametrize("kind", [each for each in vars(facts_of_cells).values() if is_dataclass(each)])
def test_the_pages_explain_every_field_and_no_other(kind: type) -> None:
    text = "".join((DOCS / name).read_text() for name in ("designs.md", "the-report.md"))
    rows = re.findall(rf"^\| {kind.__name__} \|([^|]*)\|", text, flags=re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(field.name for field in fields(kind))


def test_a_curve_is_drawn_the_same_twice_and_one_without_a_mean_is_not(tmp_path: Path) -> None:
    facts = world()
    both = [write_figures(tmp_path / name, facts, {facts.sections[0].cohort: ()}) for name in ("a", "b")]
    assert [path.name for path in both[0][2:]] == ["value-curve1.png", "value-curve1.svg"]
    assert [path.read_bytes() for path in both[0]] == [path.read_bytes() for path in both[1]]
    untrained = replace(curve(), points=(PointFacts(0.001, True, 0, 0, None, None, None, ()),), optimum=None)
    bare = worlds.facts(replace(facts.sections[0], value_curves=(untrained,)))
    assert [path.name for path in write_figures(tmp_path / "c", bare, {facts.sections[0].cohort: ()})] == ["forest.png", "forest.svg"]
