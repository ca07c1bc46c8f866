"""The report in a terminal of 60 columns and up. A narrow one shows fewer columns, and the sentences hold the rest.

The answer first: what is compared, the table, each arm's reading. Then the rules and counts, what to type, what is shown apart. A long
list is only counted here; Markdown shows it. Colour is a help for the eye only: the words say it all.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.text import Text

from lab.results.facts import ArmFacts, Facts, SectionFacts
from lab.results.forms.cells import sheets
from lab.results.forms.grid import grid, sheet_grid
from lab.results.forms.prose import NEXT, advice, apart_and_waiting, next_commands, opening_lines, pairing_in_common, title, weighty
from lab.results.forms.table import table
from lab.store.plain import plain

LONG = 12  # entries of a list, or commands, that are still shown
# lists that a reader of the verdicts can do without; every other one tells of trouble
QUIET = ("Certificates", "Exploring", "Seeds outside the pinned list", "Pairs across bits", "Same arm and seed again", "Other requests")


def to_terminal(facts: Facts, width: int = 100, brief: str = "") -> str:
    """What `print_report` shows on a terminal of this width, without colour."""
    stream = io.StringIO()
    print_report(facts, Console(file=stream, width=width, force_terminal=False, color_system=None, legacy_windows=False), brief)
    return stream.getvalue()


def print_report(facts: Facts, console: Console, brief: str = "") -> None:
    """To a terminal; only commands may be wider than it is, so that they can be copied.

    `brief`: the file that holds everything else; then only the verdicts are told, what alters how they are read, and what went wrong.
    """
    first, rules = opening_lines(facts.head)
    say(console, first)
    several = len(facts.sections) > 1
    for section in facts.sections:
        print_section(facts, section, [] if several else rules, console, brief)
    if several and not brief:
        console.print()
        say(console, rules)
    print_lists(trouble(facts.lists) if brief else facts.lists, console)
    if brief:
        console.print()
        console.print(Text(f"everything else: {plain(brief)}"), soft_wrap=True)


def print_section(facts: Facts, section: SectionFacts, rules: list[str], console: Console, brief: str) -> None:
    """One cohort. `rules`: lines of the report's head that are told with it."""
    if heading := title(section, facts):
        console.print()
        say(console, [heading], style="bold")
    first, others = opening_lines(section.head)
    say(console, first)
    if rows := table(facts.rules, section):
        console.print(grid(rows, console.width))
    print_readings(facts, section, console, brief)
    print_sheets(section, console)
    if not brief and (counts := [*rules, *others]):
        console.print()
        say(console, counts)
    for why, typed in advice(section).items():
        print_commands(why, typed, console)
    if not brief:
        print_commands(NEXT, next_commands(section), console)
    print_lists(trouble(section.lists) if brief else pairing_in_common(section) | section.lists, console)


def print_readings(facts: Facts, section: SectionFacts, console: Console, brief: str) -> None:
    """A paragraph per arm, its remarks below it; arms that only wait for their first look have one together."""
    alone, together = apart_and_waiting(section, facts.rules)
    for number, arm in enumerate(alone):
        if number:
            console.print()
        print_arm(arm, console, brief)
    for number, words in enumerate(together, start=len(alone)):
        if number:
            console.print()
        say(console, [words])


def print_sheets(section: SectionFacts, console: Console) -> None:
    """The tables of studies of cells, each with its sentences below it."""
    for sheet in sheets(section):
        console.print()
        say(console, [sheet.title], style="bold")
        names, made = sheet_grid(sheet, console.width)
        say(console, names)
        console.print(made)
        say(console, sheet.texts)


def print_arm(arm: ArmFacts, console: Console, brief: str) -> None:
    say(console, [arm.reading])
    if remarks := weighty(arm) if brief else arm.remarks:
        for line in Text(plain(" ".join(remarks)), style="dim").wrap(console, console.width - 2):
            console.print(Text("  ") + line, soft_wrap=True)


def trouble(lists: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The lists that tell of something that went wrong."""
    return {heading: entries for heading, entries in lists.items() if not heading.startswith(QUIET)}


def print_commands(lead: str, commands: Iterable[str], console: Console) -> None:
    """Unwrapped: a command that is cut in two can't be copied."""
    if typed := list(commands):
        console.print()
        say(console, [lead])
        if len(typed) > LONG:
            say(console, [f"  {len(typed)} commands: --format md shows them"])
            return
        for command in typed:
            console.print(Text(f"  {plain(command)}"), soft_wrap=True)


def print_lists(lists: Mapping[str, Iterable[str]], console: Console) -> None:
    for heading, entries in lists.items():
        shown = list(entries)
        console.print()
        say(console, [heading], style="bold")
        if len(shown) > LONG:
            say(console, [f"  {len(shown)} entries: --format md shows them"])
            continue
        for entry in shown:
            for number, line in enumerate(Text(plain(entry)).wrap(console, console.width - 4)):
                console.print(Text("    " if number else "  - ") + line, soft_wrap=True)


def say(console: Console, lines: Iterable[str], style: str = "") -> None:
    for line in lines:
        console.print(Text(plain(line), style=style), soft_wrap=False)
