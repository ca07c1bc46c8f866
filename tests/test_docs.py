"""What the docs claim: every command in README.md, in conf/ and in the messages of --help can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from lab.ablate.refusal import require_one_change
from lab.ablate.rule import count_changes
from lab.cli import parser
from lab.config.compose import Composer
from lab.errors import OneChangeError
from lab.sweep.plan import distinct, judge_values, sort_words
from tests.conftest import CHECKOUT, Project, copy_of_the_project

SOURCES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md")), *sorted((CHECKOUT / "conf").rglob("*.yaml"))]


def commands(path: Path) -> list[str]:
    """The commands that a file shows: lines of code, and what stands between backticks."""
    text = path.read_text()
    found = re.findall(r"^(?: {4,}|# +)?(python (?:run\.py|-m lab).*?)(?=  |\s+#|$)", text, flags=re.MULTILINE)
    found += re.findall(r"`(python (?:run\.py|-m lab)[^`]*)`", text)
    return [" ".join(each.split()) for each in found]


SHOWN = sorted({each for path in SOURCES for each in commands(path)})
REFUSED = {"python run.py model/norm=rmsnorm trainer.optimizer.lr=3e-3", "python run.py trainer=fast"}
PLACEHOLDERS = ("NAME", "KEY=", "GROUP=", "...", "RUN")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which the README's own pins have been made."""
    made = copy_of_the_project(tmp_path_factory.mktemp("docs") / "project")
    (made.root / "my.txt").write_text("some text\n" * 400)
    for command in SHOWN:
        if command.startswith("python -m lab pin") and not any(mark in command for mark in PLACEHOLDERS):
            made.python("-m", "lab", *shlex.split(command)[3:])
    return made


def test_the_readme_shows_commands() -> None:
    assert len(SHOWN) >= 15


@pytest.mark.parametrize("command", [each for each in SHOWN if not any(mark in each for mark in PLACEHOLDERS)])
def test_a_command_that_the_docs_show_can_be_typed(project: Project, command: str) -> None:
    _, first, *words = shlex.split(command)
    composer = Composer(project.root, project.root)
    if first == "-m":
        arguments = parser().parse_args(words[1:])
        assert arguments.run
        words = arguments.overrides if words[1] == "plan" else []
    words = [each for each in words if not each.startswith("-") and each != "job"]
    fixed, listed, _ = sort_words(words, composer) if "--multirun" in command or "plan" in command else (words, {}, [])
    tallies = distinct(
        [count_changes(composer, tuple(fixed)), *(each for key in listed for each in judge_values(composer, fixed, key, listed[key]))]
    )
    for tally in tallies:
        if command in REFUSED:
            with pytest.raises(OneChangeError):
                require_one_change(tally)
        else:
            require_one_change(tally)
