"""One baseline's report: built once as data, printed to a terminal or as Markdown. Trains nothing, imports no torch.

Nothing in it depends on the day, the machine or the place of the project, so the same runs give the same bytes.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lab.ablate.certificate import read_findings
from lab.results.collect import load
from lab.results.footing import trained_elsewhere
from lab.results.lineup import line_up
from lab.results.pin import read_pin
from lab.results.reading import Word
from lab.results.record import LeftOut
from lab.results.sections import COLUMNS, Report, commands, head, lists, readings, rows
from lab.results.smallest_effect import find_smallest_effect
from lab.results.twice import refuted, unequal_twins
from lab.results.verdict import judge
from lab.store.plain import plain

# a help for the eye only: the words say it all
COLOURS: dict[Word, str] = {"better": "green", "worse": "red", "unstable": "red", "stabler": "green", "identical": "yellow"}
NOTHING = "Nothing to judge yet. To train arms beside the baseline, for example:"


def build(root: Path, baseline: str) -> Report:
    """The report on a baseline from conf/baseline/ and runs/ under the project's root. Raises PinError without a good lock.

    Writes one thing, once: an automatic D is frozen in runs/<baseline>/measured.json when the baseline's first look is complete.
    """
    pin = read_pin(root, baseline)
    lab = load(root / "runs")
    findings, damaged = read_findings(root / "runs", baseline)
    lineup = line_up(lab, pin, findings)
    effect = find_smallest_effect(pin, root / "runs", lineup.baseline, lineup.cohort)
    directories = {request.directory for request in lab.asked if request.baseline == baseline}
    mine = [run for run in lab.found if run.directory in directories]
    left_out = [item for item in lab.left_out if item.name.startswith(f"{baseline}/") or item.name in directories or hides_requests(item)]
    left_out += [LeftOut(name, why) for name, why in damaged]
    unequal = (*unequal_twins(lab.found, mine), *refuted(lineup))
    verdicts, elsewhere = judge(lineup, pin, effect, unequal), trained_elsewhere(lab, pin)
    return Report(pin, effect, lineup, verdicts, len(mine), tuple(each.line for each in unequal), tuple(left_out), elsewhere)


def hides_requests(item: LeftOut) -> bool:
    """Whether what couldn't be read may hold a request for any baseline: lost lines of requests, or a folder that isn't listed."""
    return not PurePosixPath(item.name).name.startswith("seed=")


def print_report(report: Report, console: Console) -> None:
    """To a terminal of any width from 60 columns; a narrow one shows fewer columns, and the sentences hold the rest."""
    for line in head(report):
        console.print(Text(plain(line)))
    console.print()
    shown = [index for index, column in enumerate(COLUMNS) if console.width >= column.narrow]
    if table := rows(report):
        grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for index in shown:
            grid.add_column(COLUMNS[index].name, justify="right" if COLUMNS[index].right else "left", overflow="fold")
        styles = [""] * (len(table) - len(report.verdicts)) + [COLOURS.get(verdict.word, "") for verdict in report.verdicts]
        for row, style in zip(table, styles, strict=True):
            grid.add_row(*(Text(plain(row[index]), style=style if COLUMNS[index].name == "verdict" else "") for index in shown))
        console.print(grid)
    for line in readings(report):
        console.print(Text(plain(line)))
        console.print()
    if typed := commands(report):
        console.print(Text(NOTHING))
        for command in typed:
            console.print(Text(f"  {plain(command)}"), soft_wrap=True)
    for heading, entries in lists(report).items():
        console.print(Text(heading, style="bold"))
        for entry in entries:
            console.print(Padding(Text(f"- {entry}"), (0, 0, 0, 2)), soft_wrap=False)


def to_markdown(report: Report) -> str:
    """The same report as Markdown."""
    parts = [f"# Baseline {escape(report.pin.name)}", "\n".join(f"- {escape(line)}" for line in head(report))]
    if table := rows(report):
        ruler = ["---:" if column.right else ":---" for column in COLUMNS]
        lines = [[column.name for column in COLUMNS], ruler, *([escape(cell) for cell in row] for row in table)]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    if sentences := readings(report):
        parts.append("\n".join(f"- {escape(line)}" for line in sentences))
    if typed := commands(report):
        parts.append("\n".join([NOTHING, "", *(f"    {plain(command)}" for command in typed)]))
    parts += [f"## {heading}\n\n" + "\n".join(f"- {escape(entry)}" for entry in entries) for heading, entries in lists(report).items()]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, in a paragraph or a table's cell."""
    safe = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    safe = re.sub(r"([\\`*\[\]|~#$])", r"\\\1", safe)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", safe)
