"""Lines of text that fit a terminal: cut, shortened, aligned, and counted where they don't. Knows no sweep.

Names come from outside: what makes a line of one makes it printable, and nothing here reads markup.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from lab.store.plain import plain


@dataclass(frozen=True)
class Section:
    """A part of the picture: the lines that it would take, and its lines when it gets fewer."""

    wanted: int
    draw: Callable[[int], list[Text]]


def share(room: int, wanted: Sequence[int]) -> list[int]:
    """Lines for each: what one doesn't want, the others get."""
    given = [0] * len(wanted)
    left, waiting = room, len(wanted)
    for place in sorted(range(len(wanted)), key=lambda each: wanted[each]):
        given[place] = min(wanted[place], left // waiting)
        left, waiting = left - given[place], waiting - 1
    return given


def listed(
    cells: Sequence[tuple[str, ...]],
    width: int,
    right: Sequence[int],
    more: Callable[[int], str],
    spared: int | None = None,
    styles: Sequence[str] = (),
) -> Section:
    """A table whose first column gives way; column `spared` goes where a name would be left with too little. styles: of the last column."""
    if len(cells) < 2:
        return Section(0, lambda _: [])
    texts = [tuple(plain(each) for each in line) for line in cells]
    widths = [max(cell_len(line[column]) for line in texts) for column in range(len(texts[0]))]
    longest = max(cell_len(line[0]) for line in texts[1:])
    kept = [column for column in range(1, len(widths)) if column != spared or sum(widths[1:]) + 2 * len(widths[1:]) + longest <= width]
    room = max(8, min(widths[0], width - sum(widths[column] + 2 for column in kept)))
    lines = []
    for number, line in enumerate(texts):
        made = Text(shortened(line[0], room), style="" if number else "bold")
        for column in kept:
            text = line[column].rjust(widths[column]) if column in right else line[column].ljust(widths[column])
            made.append("  ")
            made.append(text, style=styles[number] if styles and column == kept[-1] else "")
        lines.append(fitting(made, width))
    return Section(len(lines), lambda height: cut(lines, height, more))


def cut(lines: Sequence[Text], height: int, more: Callable[[int], str]) -> list[Text]:
    """As many lines as there is room for, and how many are left out."""
    if len(lines) <= height:
        return list(lines)
    shown = max(0, height - 1)
    return [*lines[:shown], Text(more(len(lines) - shown), style="dim")]


def shortened(name: str, room: int) -> str:
    """A name in exactly this many columns; a longer one keeps its beginning, and more of its end: there names differ."""
    if cell_len(name) <= room:
        return set_cell_size(name, room)
    tail = max(0, (room - 2) * 2 // 3)
    return set_cell_size(name, max(0, room - 2 - tail)) + ".." + set_cell_size(name[::-1], tail)[::-1]


def fitting(line: Text, width: int) -> Text:
    """A line of at most this width, and never two."""
    line.rstrip()
    if line.cell_len > width:
        line.truncate(width - 2)
        line.append("..")
    line.no_wrap = True
    return line
