"""The cells of the verdict table: texts for the eye, raw values to sort by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.results.forms.table import COLUMNS, NONE, Cell, Row, interval_of, p_value, pieces, ratio, signed, table

from . import worlds


def cells(row: Row) -> dict[str, Cell]:
    return {column.key: cell for column, cell in zip(COLUMNS, row.cells, strict=True)}


def one(**told: object) -> dict[str, Cell]:
    facts = worlds.facts(worlds.section(replace(worlds.arm("hooks=ema"), **told)))
    return cells(table(facts.rules, facts.sections[0])[1])


def test_the_baseline_comes_first_with_its_own_cost_as_the_measure() -> None:
    facts = worlds.every_verdict()
    first = cells(table(facts.rules, facts.sections[0])[0])
    assert (first["arm"].text, first["n"].text, first["mean"].text, first["parameters"].text) == ("baseline", "5", "2.1074", "1.00x")
    assert first["difference"] == Cell(NONE, None)


def test_a_baselines_run_outside_the_pinned_seeds_is_not_counted() -> None:
    base = worlds.baseline()
    stray = replace(base, runs=(*base.runs, worlds.run("baseline", 99), worlds.run("baseline", 7, status="failed")))
    facts = worlds.facts(worlds.section(baseline=stray))
    assert cells(table(facts.rules, facts.sections[0])[0])["n"].text == "5"


def test_without_a_baseline_there_are_only_arms() -> None:
    facts = worlds.facts(worlds.section(worlds.arm("hooks=ema"), baseline=None))
    assert [row.arm is not None for row in table(facts.rules, facts.sections[0])] == [True]


def test_an_interval_before_the_first_look_is_not_shown() -> None:
    young = worlds.waiting()
    assert young.low is not None
    assert interval_of(young) is None
    assert one(look=None)["interval"] == Cell(NONE, None)


def test_a_difference_has_the_decimals_that_it_deserves() -> None:
    assert one(difference=-0.00412345, decimals=5)["difference"] == Cell("-0.00412", -0.00412345)
    assert one(low=-0.0111, high=0.0029, decimals=3)["interval"].text == "-0.011 to +0.003"


@pytest.mark.parametrize(("p", "text"), [(None, "-"), (0.0, "< 0.001"), (0.00099, "< 0.001"), (0.001, "0.001"), (1.0, "1.000")])
def test_a_small_p_is_told_as_small(p: float | None, text: str) -> None:
    assert p_value(p) == text


def test_what_is_missing_is_a_dash_and_sorts_last() -> None:
    assert (ratio(None), signed(None, 3)) == (NONE, NONE)
    bare = cells(table(worlds.rules(), worlds.section(worlds.refused()))[1])
    assert {key for key, cell in bare.items() if cell.raw is None} == {key for key, cell in bare.items() if cell.text == NONE}
    assert bare["verdict"] == Cell("refused", 0)


def test_verdicts_sort_in_the_order_of_the_rules() -> None:
    facts = worlds.every_verdict()
    found = [cells(row)["verdict"].raw for row in table(facts.rules, facts.sections[0]) if row.arm is not None]
    assert found == sorted(found, key=lambda each: each if isinstance(each, int) else -1)


def test_a_label_is_shown_by_dots_and_made_printable() -> None:
    assert one(label="model/norm=a/b\x1b")["arm"].text == "model.norm=a/b\\x1b"


def test_a_divergence_is_counted_beside_n_also_on_a_seed_that_was_not_judged() -> None:
    arm = worlds.arm("hooks=ema")
    beyond = (worlds.run("hooks=ema", 6, status="diverged"), worlds.run("hooks=ema", 99, status="diverged"))  # 99 isn't pinned
    assert one()["n"] == Cell("5", 5)
    assert one(runs=(*arm.runs, *beyond))["n"] == Cell("5 (+1 diverged)", 5)
    hot = worlds.diverged()
    assert one(runs=hot.runs)["n"].text == "5 (3 diverged)"
    assert one(runs=(*hot.runs, *beyond))["n"].text == "5 (3, +1 diverged)"


def test_a_divergence_of_the_baseline_is_counted_beside_its_n() -> None:
    base = worlds.baseline(runs=(worlds.run("baseline", 0), worlds.run("baseline", 1, status="diverged")))
    assert cells(table(worlds.rules(), worlds.section(baseline=base))[0])["n"].text == "2 (1 diverged)"


@pytest.mark.parametrize(("name", "parts"), [
    ("trainer.optimizer.lr=0.0003", ["trainer.", "optimizer.", "lr=", "0.0003"]),
    ("model.tie_embeddings=a/b,c", ["model.", "tie_", "embeddings=", "a/", "b,", "c"]),
    ("plain", ["plain"]),
])  # fmt: skip
def test_a_name_may_break_after_a_sign_but_not_within_a_number(name: str, parts: list[str]) -> None:
    assert pieces(name) == parts
