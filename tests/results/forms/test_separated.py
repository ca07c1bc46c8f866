"""The report as CSV: read back it gives the numbers of the facts to the bit, and no cell is a formula."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import fields, replace

from lab.results.facts import ArmFacts, Facts
from lab.results.forms.separated import WHERE, columns, to_csv
from tests.docs_examples.page import DOCS

from . import worlds


def rows(facts: Facts) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(facts), newline="")))


def test_there_is_a_row_per_arm_and_cohort() -> None:
    assert [(row["cohort"][0], row["label"]) for row in rows(worlds.two_cohorts())] == [
        ("c", "model/norm=rmsnorm"),
        ("d", "model/norm=rmsnorm"),
    ]


def test_numbers_come_back_to_the_bit() -> None:
    facts = worlds.facts(worlds.section(worlds.arm("hooks=ema", difference=-0.1 / 3)))
    (row,), (arm,) = rows(facts), facts.sections[0].arms
    assert float(row["difference"]) == arm.difference
    assert float(row["ratio_parameters"]) == arm.ratio.parameters
    assert int(row["stability_n"]) == arm.stability.n
    assert (row["screening"], row["here"], row["sign_flip"]) == ("false", "true", "")


def test_every_scalar_of_an_arm_has_a_column_also_where_it_is_missing() -> None:
    assert {field.name for field in fields(ArmFacts)} - set(columns()) == {
        *("remarks", "marks", "next", "fragile", "variance", "stability", "documents", "compute", "cost", "ratio", "pairs", "runs"),
        *("moves", "pairing", "commands", "off_schedule"),
    }
    refused = rows(worlds.facts(worlds.section(worlds.refused())))[0]
    assert (refused["difference"], refused["variance_p"], refused["next_seeds"], refused["n"]) == ("", "", "", "0")


def test_the_page_names_the_columns_that_stand_before_the_arms_own() -> None:
    told = (DOCS / "the-report.md").read_text().partition("## CSV")[2].partition("Then every")[0]
    assert tuple(re.findall(r"`(\w+)`", told)) == WHERE


def test_lines_end_as_the_standard_has_it_and_none_is_cut() -> None:
    text = to_csv(worlds.hostile())
    assert text.count("\n") == text.count("\r\n") == 1 + len(worlds.HOSTILE)


def test_a_name_that_a_spreadsheet_would_run_is_guarded_and_a_number_is_not() -> None:
    found = rows(worlds.hostile())
    assert found[-1]["label"] == "'=HYPERLINK(1+1)"
    assert found[0]["difference"] == "-0.004"
    assert not [cell for row in found for cell in row.values() if cell.startswith(("=", "+", "@"))]


def test_an_arm_stands_under_the_rules_of_its_study() -> None:
    study = replace(worlds.section().studies[0], rules=worlds.rules(looks=(8,)), smallest_effect=0.01)
    (row,) = rows(worlds.facts(worlds.section(worlds.arm("hooks=ema"), studies=(study,))))
    assert (row["looks"], row["smallest_effect"]) == ("8", "0.01")
