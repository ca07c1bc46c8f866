"""The report as Markdown: everything in it, and nothing from outside that becomes markup."""

from __future__ import annotations

import pytest

from lab.results.forms.markdown import escape, opening, to_markdown
from lab.results.forms.table import COLUMNS

from . import worlds


def test_readings_remarks_commands_and_lists_are_there() -> None:
    page = to_markdown(worlds.two_cohorts())
    assert page.startswith("# Baseline demo\n\n- Baseline demo (lock 1234abcd)")
    assert "\n- model/norm=rmsnorm: better, on this validation text (5 seeds).\n  - Pairing divided the variance by 4.1.\n" in page
    assert "\n    python run.py --multirun baseline=demo seed=3,4\n" in page
    assert "## Left out\n\n- demo/abc123/seed=3-0123456789ab: no manifest.json\n" in page
    assert "### Pairing with the baseline\n\n- model.norm=rmsnorm: 41 of 43 tensors start equal" in page


def test_an_arm_shows_its_hypothesis_its_configuration_its_seeds_and_what_was_typed() -> None:
    page = to_markdown(worlds.every_verdict())
    mine = page.partition("### model.norm=rmsnorm\n")[2].partition("\n### ")[0]
    assert "a norm without a mean costs less" in mine
    assert "model.norm: layernorm -&gt; rmsnorm" in mine
    assert "seed 0: finished, 2.0510 against 2.1010: -0.0500" in mine
    assert "python run.py --multirun baseline=demo model/norm=rmsnorm 'seed=range(5)'" in mine


def test_a_divergence_and_a_failure_are_told_with_their_reason() -> None:
    page = to_markdown(worlds.every_verdict())
    assert "seed 0: diverged at step 40 (the loss is not finite), - against 2.1010: -" in page
    assert "seed 2: failed (no space left on device)" in page


def test_every_row_of_the_table_has_every_cell_whatever_the_names_hold() -> None:
    for line in to_markdown(worlds.hostile()).splitlines():
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") == len(COLUMNS) + 1


def test_hostile_names_stay_text() -> None:
    prose = [line for line in to_markdown(worlds.hostile()).splitlines() if not line.startswith("    ")]
    assert not [line for line in prose if "<" in line.replace("<!-- -->", "") or line == "# head"]


@pytest.mark.parametrize(("text", "safe"), [
    ("a_b _c_ *d*", "a_b \\_c\\_ \\*d\\*"),
    ("$x$ #a ~y~", "\\$x\\$ \\#a \\~y\\~"),
    ("[a](b)", "\\[a\\](b)"),
    ("<b>&", "&lt;b&gt;&amp;"),
    ("ask @user", "ask @<!-- -->user"),
    ("see https://a.b or www.a.b", "see https:<!-- -->//a.b or www<!-- -->.a.b"),
    ("like :boom: and #12", "like :<!-- -->boom: and \\#<!-- -->12"),
    ("a: b, 3 @ 4", "a: b, 3 @ 4"),
])  # fmt: skip
def test_what_markdown_reads_as_markup_is_escaped(text: str, safe: str) -> None:
    assert escape(text) == safe


@pytest.mark.parametrize(
    ("text", "safe"), [("- a", "\\- a"), ("1. a", "1\\. a"), ("---", "\\---"), ("+", "\\+"), ("    a", "a"), ("-0.5 a", "-0.5 a")]
)
def test_a_line_cannot_open_a_list_a_ruler_or_code(text: str, safe: str) -> None:
    assert opening(text) == safe
