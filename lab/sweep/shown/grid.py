"""Arms x seeds as a terminal shows them: a cell for each run, in as few signs as there is room for. Reads and decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rich.cells import cell_len
from rich.text import Text

from lab.store.plain import plain
from lab.sweep.plan import Row
from lab.sweep.show import ranges
from lab.sweep.shown.course import OUTCOMES, Course
from lab.sweep.shown.fitted import Section, fitting, shortened
from lab.sweep.shown.tail import Against, steps_of

# of each state its sign where there is little room, and its colour; a running run's sign is its tenth, or its percent
STATES = {
    "running": ("0-9", "bold cyan"),
    "failed": ("X", "bold red"),
    "diverged": ("!", "yellow"),
    "elsewhere": ("@", "blue"),
    "stopped": ("/", "yellow"),
    "waiting": (".", "dim"),
    "finished": ("+", "green"),
    "found": ("=", "green"),
}
SAID = {"elsewhere": "in another process"}  # states whose name says too little among counts
# width of a cell, gap before it, and signs that a long label keeps: the first that fits is taken
CELLS = ((9, 1, 20), (2, 1, 16), (1, 1, 16), (1, 0, 12))
LOW = 5  # lines below which the signs go unexplained
COUNTED_LABEL = 24  # signs of a label beside counts


def grid(course: Course, losses: Mapping[int, Against], width: int) -> Section:
    """A cell for each run, as wide as the terminal allows; where even signs don't fit, each arm's runs are counted."""
    arms: dict[str, dict[int, Row]] = {}
    for row in course.rows:
        arms.setdefault(row.arm_id, {})[row.job.seed] = row
    if not arms:
        return Section(0, lambda _: [])
    seeds = sorted({seed for rows in arms.values() for seed in rows})
    names = {row.arm_id: plain(row.job.label) for row in course.rows}
    longest = max(cell_len(name) for name in names.values())
    fits = [(cell, gap) for cell, gap, kept in CELLS if min(longest, kept) + 1 + len(seeds) * (cell + gap) <= width]
    cell, gap = fits[0] if fits else (0, 0)
    room = min(longest, width - 1 - len(seeds) * (cell + gap) if cell else COUNTED_LABEL)
    signs = legend(course, cell, width) if 0 < cell < CELLS[0][0] else []

    def draw(height: int) -> list[Text]:
        shown, hidden, below = list(arms), list[str](), signs if height >= LOW else []
        if 1 + len(arms) + len(below) > height:
            body = max(0, height - 2 - len(below))
            urgent = sorted(arms, key=lambda arm: urgency(course, arms[arm]))
            shown, hidden = urgent[:body], urgent[body:]
        lines = [seeds_line(seeds, room, cell, gap)]
        for arm in shown:
            line = Text(f"{shortened(names[arm], room)} ")
            if cell:
                put_cells(line, [arms[arm].get(seed) for seed in seeds], course, losses, (cell, gap))
            else:
                line.append(counted(course, arms[arm].values()))
            lines.append(line)
        if hidden:
            rest = counted(course, [row for arm in hidden for row in arms[arm].values()])
            lines.append(Text(f"and {len(hidden)} more arm{'s' * (len(hidden) != 1)}: {rest}", style="dim"))
        return [fitting(line, width) for line in (*lines, *below)]

    return Section(1 + len(arms) + len(signs), draw)


def urgency(course: Course, rows: Mapping[int, Row]) -> int:
    """What is shown first: arms in which something runs or failed, then those that wait, then those that are done."""
    states = {course.state[row.number] for row in rows.values()}
    return 0 if states & {"running", "failed"} else 1 if states - set(OUTCOMES) else 2


def seeds_line(seeds: Sequence[int], room: int, cell: int, gap: int) -> Text:
    """Which column is which seed; where signs stand side by side, the seeds from the first to the last."""
    if not cell:
        return Text(f"{len(seeds)} seeds: {ranges(seeds)}", style="bold")
    if max(len(str(seed)) for seed in seeds) > cell:
        return Text(f"{shortened('arm', room)} {' ' * gap}seeds {ranges(seeds)}", style="bold")
    named = cell >= len("seed ") + max(len(str(seed)) for seed in seeds)
    return Text(
        shortened("arm", room) + " " + "".join(" " * gap + (f"seed {seed}" if named else str(seed)).rjust(cell) for seed in seeds),
        style="bold",
    )


def put_cells(line: Text, rows: Sequence[Row | None], course: Course, losses: Mapping[int, Against], form: tuple[int, int]) -> None:
    """One arm's runs, a cell each; cells of one colour beside each other are one piece, so that a redraw stays cheap."""
    cell, gap = form
    piece, colour = "", ""
    for row in rows:
        state = None if row is None else course.state[row.number]
        style = "" if state is None else STATES[state][1]
        if style != colour and piece:
            line.append(piece, style=colour)
            piece = ""
        colour = style
        text = "" if row is None or state is None else cell_text(row, state, losses.get(row.number), cell)
        piece += " " * gap + text.rjust(cell)
    line.append(piece, style=colour)


def cell_text(row: Row, state: str, loss: Against | None, width: int) -> str:
    """A run in so many signs."""
    if state != "running":
        return state if width >= CELLS[0][0] else STATES[state][0]
    percent = 0 if loss is None else percent_of(row, loss)
    if width >= CELLS[0][0]:
        return "starting" if loss is None else f"{percent} %"
    return str(percent) if width == 2 else str(percent // 10)


def percent_of(row: Row, loss: Against) -> int:
    """Of a run that isn't through: whatever is left, it's never 100."""
    return min(99, 100 * loss.step // max(1, steps_of(row.job)))


def legend(course: Course, cell: int, width: int) -> list[Text]:
    """What the signs mean, of those that are there."""
    lines = [Text("  ")]
    for state, (sign, style) in STATES.items():
        if course.counts[state]:
            percent = state == "running" and cell > 1
            sign = "0-99" if percent else sign
            words = "running, in %" if percent else "running, in tenths" if state == "running" else SAID.get(state, state)
            if lines[-1].cell_len + len(f"{sign} {words}") > width:
                lines.append(Text("  "))
            lines[-1].append(sign, style=style)
            lines[-1].append(f" {words}  ")
    return lines


def counted(course: Course, rows: Iterable[Row]) -> str:
    """`12 running, 3 waiting`, in the order of what one wants to know."""
    found = Counter(course.state[row.number] for row in rows)
    return ", ".join(f"{found[state]:,} {SAID.get(state, state)}" for state in STATES if found[state])
