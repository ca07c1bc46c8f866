"""A sweep as one picture in a terminal of 60 columns and up: never wider, never higher than it is given. Draws; reads and decides nothing.

Above, what is done and how long it takes; then arms x seeds, the runs that train now beside their baseline, what failed, and the
verdicts. What has no room is counted, and what runs or failed comes before what doesn't. Names come from outside: they are made
printable and are never markup. Colour is a help for the eye only: each state has its sign and its word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from rich.cells import cell_len
from rich.text import Text

from lab.store.console import duration
from lab.store.plain import plain
from lab.sweep.shown.course import OUTCOMES, Course, Failure
from lab.sweep.shown.fitted import Section, cut, fitting, listed, share, shortened
from lab.sweep.shown.grid import SAID, STATES, grid, percent_of
from lab.sweep.shown.tail import Against

WORDS = {"better": "green", "stabler": "green", "worse": "red", "unstable": "red", "identical": "yellow", "refused": "yellow"}
OPEN = ("before the first look", "cannot tell")
LEAST = 3  # lines of a section that still say something
MOST_WIDTH = 120  # of a line in a wide terminal: eyes lose longer ones


class Standing(Protocol):
    """One arm's verdict at its last complete look."""

    @property
    def label(self) -> str: ...
    @property
    def word(self) -> str: ...
    @property
    def said(self) -> str: ...  # the word as a table shows it
    @property
    def estimate(self) -> float | None: ...  # arm - baseline
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def decimals(self) -> int: ...
    @property
    def unit(self) -> str: ...
    @property
    def n(self) -> int: ...


def picture(course: Course, losses: Mapping[int, Against], standings: Sequence[Standing], now: float, size: tuple[int, int]) -> list[Text]:
    """The picture's lines for a terminal of this width and height."""
    width, height = min(size[0], MOST_WIDTH), size[1] - 1  # the line below is the cursor's, once it ends
    head = heading(course, now, width)
    # in the order in which they are drawn; the last to go in a low terminal has the lowest number
    ranked = [
        (0, grid(course, losses, width)),
        (2, running(course, losses, width)),
        (1, failures(course.failures, width)),
        (3, verdicts(standings, width)),
    ]
    sections = [(rank, each) for rank, each in ranked if each.wanted]
    if len(head) + sum(1 + each.wanted for _, each in sections) <= height:
        return [*head, *(line for _, each in sections for line in (Text(), *each.draw(each.wanted)))]
    room = max(1, height - len(head))
    while len(sections) > 1 and room // len(sections) < LEAST:
        sections.remove(max(sections, key=lambda each: each[0]))
    given = share(room, [each.wanted for _, each in sections])
    lines = [line for lines, (_, each) in zip(given, sections, strict=True) for line in each.draw(lines)]
    return [*head, *lines][: max(1, height)]


# -- what is done, and how long it takes


def heading(course: Course, now: float, width: int) -> list[Text]:
    """Counts, speed and time, in as few lines as they need."""
    counts = course.counts
    done = sum(counts[state] for state in OUTCOMES)
    apart = [f"{counts[state]:,} {state}" for state in ("found", "diverged") if counts[state]]
    first = f"{done:,} of {len(course.rows):,} runs done" + (f" ({', '.join(apart)})" if apart else "")
    others = [f"{counts[state]:,} {SAID.get(state, state)}" for state in STATES if state not in OUTCOMES and counts[state]]
    lines = [Text.assemble((first, "bold"))]
    for phrase in (*others, *pace(course, now)):
        lines[-1].append(",")
        if lines[-1].cell_len + len(f" {phrase},") > width:
            lines.append(Text())
        else:
            lines[-1].append(" ")
        lines[-1].append(phrase, style="bold red" if phrase.endswith(" failed") else "")
    return [fitting(line, width) for line in lines]


def pace(course: Course, now: float) -> list[str]:
    """Runs per hour and the time that is left, or what isn't known of it yet."""
    rate, left, counts = course.runs_per_hour(), course.seconds_left(now), course.counts
    said = [] if rate is None else [f"{rate:,.0f} runs per hour" if rate >= 10 else f"{rate:.1f} runs per hour"]
    if course.ended_at is not None:
        return [*said, f"took {duration(course.elapsed(now))}"]
    if counts["waiting"] + counts["running"] + counts["elsewhere"] == 0:
        return said
    if left is None:
        return [*said, "time left: known once a run has got somewhere"]
    return [*said, f"about {duration(left)} left"]


# -- the runs that train now, what failed, and the verdicts


def running(course: Course, losses: Mapping[int, Against], width: int) -> Section:
    """The loss of each now, and its difference from the baseline's of the same seed at the same step: a glimpse, and no verdict."""
    rows = [] if course.ended_at is not None else course.trains
    cells = [("run", "seed", "at", "loss, nats", "minus baseline's")]
    for row in rows:
        loss = losses.get(row.number)
        percent = "starting" if loss is None else f"{percent_of(row, loss)} %"
        cells.append((row.job.label, str(row.job.seed), percent, "" if loss is None else f"{loss.loss:.4f}", against(loss)))
    return listed(cells, width, right=(1, 2, 3), more=lambda hidden: f"and {hidden} more that run")


def against(loss: Against | None) -> str:
    """A difference, and at which step where that isn't now."""
    if loss is None or loss.difference is None:
        return "" if loss is None else loss.why
    return f"{loss.difference:+.4f}" + (f" at step {loss.common:,}" if loss.common != loss.step else "")


def failures(failed: Sequence[Failure], width: int) -> Section:
    """One line each, the newest first."""
    lines = []
    for each in reversed(failed):
        label = plain(each.row.job.label)
        line = Text.assemble(("failed ", "bold red"), f"{shortened(label, min(cell_len(label), width // 3))}, seed {each.row.job.seed}: ")
        said = first_line(each.said).removeprefix(each.row.name).lstrip()
        line.append(plain(said) + (f" ({each.tries} tries)" if each.tries > 1 else ""))
        lines.append(fitting(line, width))
    return Section(len(lines), lambda height: cut(lines, height, lambda hidden: f"and {hidden} more that failed"))


def first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason was given")


def verdicts(standings: Sequence[Standing], width: int) -> Section:
    """The verdict table, as short as can be, what is concluded first: the closing report has the rest."""
    if not standings:
        return Section(0, lambda _: [])
    told = sorted(standings, key=lambda each: each.word in OPEN)
    cells = [(f"at the last look, {told[0].unit}", "n", "difference", "interval", "verdict")]
    for each in told:
        low, high = each.low, each.high
        between = "-" if low is None or high is None else f"{low:+.{each.decimals}f} to {high:+.{each.decimals}f}"
        estimate = "-" if each.estimate is None else f"{each.estimate:+.{each.decimals}f}"
        cells.append((each.label, str(each.n), estimate, between, each.said))
    styles = ["", *(WORDS.get(each.word, "") for each in told)]
    return listed(cells, width, right=(1, 2, 3), more=lambda hidden: f"and {hidden} more arms", spared=3, styles=styles)
