"""The verdict table as a terminal shows it: which columns fit, and where a name may be broken. Makes no number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from lab.results.forms.cells import Sheet
from lab.results.forms.table import COLUMNS, Row, pieces

COLOURS = {"better": "green", "worse": "red", "unstable": "red", "stabler": "green", "identical": "yellow", "refused": "yellow"}
SPARED = ("tokens_per_second", "flops_per_token", "parameters", "mean")  # columns that go, in this order, before a name is broken
EDGES, GAP = 2, 2  # what the table adds to its columns: at both ends, and between two
WRAPPED = {"n": 0, "verdict": len("no difference")}  # columns that take two lines before a name does, and their least width
SPARED_OF_SHEETS = ("kind", "p (Holm)", "interval")  # of a table of effects: its sentences hold them
LEAST = 16  # signs of a name that stay on a line, whatever else must be broken for it


def grid(rows: Sequence[Row], width: int) -> Table:
    """The table for a terminal of this width."""
    longest = widest(rows, 0)
    widths = columns_that_fit(rows, width, longest)
    room = min(longest, max(LEAST, width - needed(widths, 0)))
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for index, fixed in widths.items():
        column = COLUMNS[index]
        across = room if index == 0 else fixed if column.key in WRAPPED else None
        made.add_column(column.name, justify="right" if column.right else "left", overflow="fold", width=across)
    for row in rows:
        style = COLOURS.get(row.arm.verdict, "") if row.arm is not None else ""
        texts = {COLUMNS[index].key: row.texts[index] for index in widths} | {"arm": broken(row.texts[0], room)}
        made.add_row(*(Text(text, style=style if key == "verdict" else "") for key, text in texts.items()))
    return made


def sheet_grid(sheet: Sheet, width: int) -> tuple[list[str], Table]:
    """A table of cells for a terminal of this width, and the lines before it: its names by number, where they have no room in it."""
    columns = list(zip(sheet.columns, *sheet.rows, strict=True))
    sizes = {column[0]: max(map(cell_len, column)) for column in columns}
    if not sheet.right[-1]:  # words, which may be broken between them
        sizes[columns[-1][0]] = max(cell_len(word) for text in columns[-1] for word in (text.split() or [""]))
    numbered = not sheet.right[0] and room_for_names(sizes, width) < min(LEAST, sizes[columns[0][0]])
    for key in SPARED_OF_SHEETS if numbered else ():
        if room_for_names(sizes, width) < cell_len(columns[0][0]):
            sizes.pop(key, None)
    room = max(LEAST, room_for_names(sizes, width))
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    kept: list[list[str]] = []
    for (name, *texts), right in zip(columns, sheet.right, strict=True):
        if name in sizes:
            first = not kept
            whole = (right or name in SPARED_OF_SHEETS) and not first
            made.add_column(Text(broken(name, room)), justify="right" if right else "left", overflow="fold", no_wrap=whole)
            names = [str(number) for number in range(1, len(texts) + 1)] if numbered else [broken(text, room) for text in texts]
            kept.append(names if first else texts)
    for row in zip(*kept, strict=True):
        made.add_row(*map(Text, row))
    return [f"  {number}: {row[0]}" for number, row in enumerate(sheet.rows, 1)] if numbered else [], made


def room_for_names(sizes: Mapping[str, int], width: int) -> int:
    """What the other columns leave for the first one."""
    return width - EDGES - sum(size + GAP for size in list(sizes.values())[1:])


def columns_that_fit(rows: Sequence[Row], width: int, longest: int) -> dict[int, int]:
    """The columns for this width, and how wide each is: with the least that must go for the longest name to stand on one line."""
    widths = {index: widest(rows, index) for index, column in enumerate(COLUMNS) if width >= column.narrow}
    for key in SPARED:
        if needed(widths, longest) > width:
            widths = {index: each for index, each in widths.items() if COLUMNS[index].key != key}
    for key in WRAPPED:
        for index in widths:
            if COLUMNS[index].key == key and needed(widths, longest) > width:
                widths[index] = min(widths[index], max(WRAPPED[key], longest_word(rows, index)))
    return widths


def needed(widths: Mapping[int, int], names: int) -> int:
    """The width of the whole table, with names of this length."""
    return EDGES + names + sum(each + GAP for index, each in widths.items() if index)


def widest(rows: Sequence[Row], index: int) -> int:
    return max(cell_len(text) for text in (COLUMNS[index].name, *(row.texts[index] for row in rows)))


def longest_word(rows: Sequence[Row], index: int) -> int:
    return max(cell_len(word) for row in rows for word in row.texts[index].split())


def broken(name: str, room: int) -> str:
    """A name on lines that fit, broken after a dot, a sign or a slash; a piece that is longer is left to be cut."""
    lines = [""]
    for piece in pieces(name):
        if lines[-1] and cell_len(lines[-1] + piece.rstrip()) > room:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)
