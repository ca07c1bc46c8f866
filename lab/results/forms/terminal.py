"""The report in a terminal of 60 columns and up. A narrow one shows fewer columns, and the sentences hold the rest.

Short first: a table and a paragraph per arm. A long list is only counted here; Markdown shows it. Colour is a help for the eye only:
the words say it all.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab.results.facts import Facts, SectionFacts
from lab.results.forms.prose import NEXT, advice, next_commands, pairing_in_common, paragraph, title
from lab.results.forms.table import COLUMNS, table
from lab.store.plain import plain

COLOURS = {"better": "green", "worse": "red", "unstable": "red", "stabler": "green", "identical": "yellow", "refused": "yellow"}
LONG = 12  # entries of a list, or commands, that are still shown


def to_terminal(facts: Facts, width: int = 100) -> str:
    """What `print_report` shows on a terminal of this width, without colour."""
    stream = io.StringIO()
    print_report(facts, Console(file=stream, width=width, force_terminal=False, color_system=None, legacy_windows=False))
    return stream.getvalue()


def print_report(facts: Facts, console: Console) -> None:
    """To a terminal; only commands may be wider than it is, so that they can be copied."""
    say(console, facts.head)
    for section in facts.sections:
        if heading := title(section, facts):
            console.print()
            say(console, [heading], style="bold")
        say(console, section.head)
        print_table(facts, section, console)
        for number, arm in enumerate(section.arms):
            if number:
                console.print()
            say(console, [paragraph(arm)])
        for why, typed in advice(section).items():
            print_commands(why, typed, console)
        print_commands(NEXT, next_commands(section), console)
        print_lists(pairing_in_common(section) | section.lists, console)
    print_lists(facts.lists, console)


def print_table(facts: Facts, section: SectionFacts, console: Console) -> None:
    rows = table(facts.rules, section)
    if not rows:
        return
    wanted = [index for index, column in enumerate(COLUMNS) if console.width >= column.narrow]
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for index in wanted:
        grid.add_column(COLUMNS[index].name, justify="right" if COLUMNS[index].right else "left", overflow="fold")
    for row in rows:
        style = COLOURS.get(row.arm.verdict, "") if row.arm is not None else ""
        grid.add_row(*(Text(row.texts[index], style=style if COLUMNS[index].key == "verdict" else "") for index in wanted))
    console.print(grid)


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
