"""The forms in which a report is read, by name. Each is made from `Facts` (and the curves); none judges.

A form's libraries are imported when it's made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import ConfigError
from lab.results.facts import Facts

if TYPE_CHECKING:
    from rich.console import Console

    from lab.results.curves import Curve

Curves = Mapping[str, Sequence["Curve"]]


@dataclass(frozen=True)
class Form:
    """How a form is made, and how its file's name ends."""

    suffix: str
    make: Callable[[Facts, Curves], str]


def make_terminal(facts: Facts, curves: Curves) -> str:
    from lab.results.forms.terminal import to_terminal

    return to_terminal(facts)


def make_markdown(facts: Facts, curves: Curves) -> str:
    from lab.results.forms.markdown import to_markdown

    return to_markdown(facts)


def make_html(facts: Facts, curves: Curves) -> str:
    from lab.results.forms.page import page

    return page(facts, curves)


def make_csv(facts: Facts, curves: Curves) -> str:
    from lab.results.forms.separated import to_csv

    return to_csv(facts)


def make_json(facts: Facts, curves: Curves) -> str:
    from lab.results.forms.as_json import to_json

    return to_json(facts)


def make_latex(facts: Facts, curves: Curves) -> str:
    from lab.results.forms.latex import to_latex

    return to_latex(facts)


FORMATS = {
    "terminal": Form(".txt", make_terminal),
    "md": Form(".md", make_markdown),
    "html": Form(".html", make_html),
    "csv": Form(".csv", make_csv),
    "json": Form(".json", make_json),
    "latex": Form(".tex", make_latex),
}


def form_of(name: str | None, out: Path | None) -> str:
    """Which form was asked for: by name, else by the file's name, else the terminal's. Raises ConfigError where the two disagree."""
    if out is None:
        return name or "terminal"
    fitting = [each for each, form in FORMATS.items() if form.suffix == out.suffix.lower()]
    if name is not None and name not in fitting:
        raise ConfigError(f"--out {out} doesn't end in {FORMATS[name].suffix}, as --format {name} does")
    if not fitting:
        known = ", ".join(f"{form.suffix} ({each})" for each, form in FORMATS.items())
        raise ConfigError(f"--out {out}: its ending names no form of a report; one of {known}\nname a file: --out report.md")
    return fitting[0]


def print_report(facts: Facts, console: Console, brief: str = "") -> None:
    """To a terminal, as wide as it is and in its colours. `brief`: where everything else is read, if only the verdicts are wanted here."""
    from lab.results.forms.terminal import print_report as show

    show(facts, console, brief)
