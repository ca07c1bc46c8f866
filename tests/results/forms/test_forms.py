"""What all forms of a report share: the same numbers, the same bytes when rebuilt, and which form a name or a file asks for."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import ConfigError
from lab.results.facts import VERDICTS, Facts
from lab.results.forms import FORMATS, form_of
from lab.results.forms.table import COLUMNS, table

from . import worlds

WORLDS = (worlds.every_verdict, worlds.two_cohorts, worlds.hostile, worlds.empty)
TABLES = ("terminal", "md", "html", "latex")


def made(name: str, facts: Facts) -> str:
    return FORMATS[name].make(facts, worlds.curves(facts))


def bare(text: str) -> str:
    """A form's text without its escapes: what a reader sees of numbers and words."""
    text = re.sub(r"<[^>]*>", " ", text).replace("&lt;", "<").replace("&gt;", ">")
    return text.replace(r"$\times$", "x").replace("$", "").replace("\\_", "_").replace("\\", "")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("world", WORLDS)
def test_the_same_facts_give_the_same_bytes_in_every_form(name: str, world: Callable[[], Facts]) -> None:
    text = made(name, world())
    assert text == made(name, world())
    assert text.endswith("\n")


@pytest.mark.parametrize("name", TABLES)
def test_every_number_of_the_table_stands_in_every_form(name: str) -> None:
    facts = worlds.every_verdict()
    wide = {"arm", "n", "difference", "interval", "verdict", "p", "parameters"}
    text = " ".join(bare(made(name, facts)).split())
    for row in table(facts.rules, facts.sections[0]):
        for column, cell in zip(COLUMNS, row.texts, strict=True):
            if column.key in wide and (name != "terminal" or column.narrow <= 100):
                wrapped = ("arm", "verdict", "n") if name == "terminal" else ("arm", "verdict")
                assert " ".join(cell.split()) in text or column.key in wrapped, (name, column.key, cell)


def test_a_world_has_every_verdict() -> None:
    assert tuple(arm.verdict for arm in worlds.every_verdict().sections[0].arms if arm.said != "better, negligible") == VERDICTS


@pytest.mark.parametrize("name", FORMATS)
def test_no_escape_and_no_bidirectional_mark_reaches_a_reader(name: str) -> None:
    text = made(name, worlds.hostile())
    assert not {"\x1b", "\u202e", "\u202c"} & set(text)


@pytest.mark.parametrize(("name", "out", "form"), [
    (None, None, "terminal"),
    ("md", None, "md"),
    (None, "report.md", "md"),
    (None, "there/report.html", "html"),
    (None, "a.b.csv", "csv"),
    (None, "report.tex", "latex"),
    ("json", "report.json", "json"),
    (None, "report.txt", "terminal"),
])  # fmt: skip
def test_a_files_name_decides_the_form_where_no_name_is_given(name: str | None, out: str | None, form: str) -> None:
    assert form_of(name, None if out is None else Path(out)) == form


def test_a_file_that_names_no_form_is_refused_with_the_endings_that_do() -> None:
    with pytest.raises(ConfigError, match=r"\.html \(html\)"):
        form_of(None, Path("report.pdf"))


def test_a_form_and_a_file_that_disagree_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"report\.md doesn't end in \.json"):
        form_of("json", Path("report.md"))


def test_naming_the_forms_loads_none_of_their_libraries() -> None:
    heavy = "{'pandas', 'scipy', 'rich', 'jinja2', 'matplotlib', 'torch'}"
    code = f"import sys, lab.results.forms, lab.results.curves; sys.exit(str({heavy} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert done.stderr.strip() == ""
