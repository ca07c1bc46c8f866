"""The report as LaTeX, by TeX's rules: every special character escaped, every group closed, every row whole."""

from __future__ import annotations

import re

import pytest

from lab.results.forms.latex import escape, number, to_latex

from . import worlds


def is_sound(text: str) -> bool:
    """Whether no special character is left to TeX: outside of commands, groups and the signs of numbers."""
    rest = re.sub(r"\\text[a-z]+\{\}|\\[#$%&_{}]", "", text).replace("{''}", "").replace("-{}", "-")
    return not set(re.sub(r"\{([\[\]*])\}", "", rest)) & set('\\{}#$%&_^~<>|"`[]*')


@pytest.mark.parametrize(
    "text", [*worlds.HOSTILE, "a--b---c", "100% \\input{/etc/passwd} \\\\[2ex] *", "漢字 é ü \u2028", "\\\\", "{[", "^^M"]
)
def test_nothing_from_outside_is_read_by_tex(text: str) -> None:
    assert is_sound(escape(text))


def test_what_a_plain_document_has_no_sign_for_is_written_by_its_code() -> None:
    assert escape("漢 é") == "\\textbackslash{}u6f22 é"


def test_two_hyphens_stay_two_hyphens() -> None:
    assert escape("--again") == "-{}-again"


@pytest.mark.parametrize(("text", "set_as"), [
    ("-0.0040", "$-$0.0040"),
    ("-0.011 to +0.003", "$-$0.011 to $+$0.003"),
    ("< 0.001", "$<$ 0.001"),
    ("1.02x", r"1.02$\times$"),
    ("-", "-"),
])  # fmt: skip
def test_a_number_has_tex_signs(text: str, set_as: str) -> None:
    assert number(text) == set_as


def test_every_row_has_as_many_cells_as_its_table_has_columns() -> None:
    for facts in (worlds.hostile(), worlds.every_verdict(), worlds.two_cohorts()):
        tables = re.findall(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", to_latex(facts), flags=re.DOTALL)
        assert len(tables) == 2 * len(facts.sections)
        for spec, body in tables:
            rows = [line for line in body.splitlines() if line.endswith(r" \\")]
            assert len(rows) >= 3
            assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(spec) - 1}


def test_groups_and_environments_are_closed() -> None:
    text = to_latex(worlds.hostile())
    braces = re.sub(r"\\[{}]", "", text)
    assert braces.count("{") == braces.count("}")
    assert re.findall(r"\\begin\{(\w+)\}", text) == ["table", "tabular", "tabular"]
    assert re.findall(r"\\end\{(\w+)\}", text) == ["tabular", "tabular", "table"]


def test_no_row_starts_with_what_a_row_break_would_take() -> None:
    starred = worlds.facts(worlds.section(worlds.arm("[1ex]"), worlds.arm("*")))
    assert not re.search(r"\\\\\s*[\[*]", to_latex(starred))


def test_the_caption_says_what_was_judged_and_how() -> None:
    caption = re.findall(r"\\caption\{(.*)\}", to_latex(worlds.every_verdict()))[0]
    for part in ("baseline demo", "validation bits per byte", "D = 0.005", "alpha 0.05", "looks at 5, 8, 12, 20 seeds", "lower is better"):
        assert part in caption


def test_with_nothing_to_show_there_is_no_float() -> None:
    assert to_latex(worlds.empty()) == "% \\usepackage{booktabs}\n"
