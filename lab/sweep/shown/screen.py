"""One screen for a whole sweep, redrawn in place; plain lines where no terminal is. Shows; starts, stops and decides nothing.

What it shows is kept in course.py, read in tail.py and drawn in picture.py. It draws only when the launcher calls: it has no thread,
and a sweep whose terminal is gone goes on without a screen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from rich.console import Group
from rich.live import Live
from rich.text import Text

from lab.store.console import Console, discard
from lab.store.plain import plain
from lab.sweep.plan import Plan, Row
from lab.sweep.shown.course import Course
from lab.sweep.shown.picture import Standing, picture
from lab.sweep.shown.tail import Losses, steps_of
from lab.sweep.watcher import Ending, Lines, Watcher, position

REDRAW_SECONDS = 0.25
MOST_SHARE = 0.02  # of one core that redraws may take from the runs; a large picture is drawn less often
MOST_LINES = 20  # printed above the picture between two redraws; a run that floods its standard error stops no other
MOST_LINE = 2000  # signs of one line


class Judging(Protocol):
    """Who judges beside the sweep, in a process of its own (judged.py): verdicts need pandas, and the sweep's own process has none."""

    @property
    def asked(self) -> bool:
        """Whether an answer is still to come."""

    def ask(self) -> None:
        """Judge what is there now. Returns at once."""

    def answer(self) -> Mapping[str, Standing] | None:
        """The newest verdicts, by arm; None before the first."""

    def close(self) -> None:
        """Leave no process behind. It may be asked again."""


def watcher_of(console: Console, judging: Judging | None = None) -> Watcher:
    """A screen in a terminal that can redraw; else plain lines, also where colours are forced on a file."""
    if console.rich.is_interactive and console.rich.file.isatty():
        return Screen(console, judging)
    return Lines(console)


class Screen:
    """A Watcher that draws. `clock`: seconds that only go forward."""

    def __init__(self, console: Console, judging: Judging | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.console, self.judging, self.clock = console, judging, clock
        self.course, self.losses = Course(), Losses()
        self.standings: Sequence[Standing] = ()
        self._live: Live | None = None
        self._next = float("-inf")  # when it may draw again
        self._asked: int | None = None
        self._above: list[str] = []  # lines to print above the picture at the next redraw
        self._left_out = 0

    def begin(self, plan: Plan, rows: Sequence[Row]) -> None:
        self.course.begin(plan, rows, self.clock())
        if self._live is None:
            self._live = Live(
                console=self.console.rich,
                auto_refresh=False,
                transient=False,
                vertical_overflow="crop",
                redirect_stderr=self.console.errors.is_terminal,
            )
            self.safely(self._live, self._live.start)
        self.draw()

    def started(self, row: Row) -> None:
        self.course.started(row, self.clock())

    def waits(self, row: Row, text: str, *, elsewhere: bool) -> None:
        self.course.waits(row, elsewhere=elsewhere)
        if not elsewhere:
            self.print(text)

    def line(self, row: Row, text: str, *, error: bool) -> None:
        """Errors only: what else a run says stands in its run.log."""
        if error:
            self.print(text)

    def ended(self, row: Row, ending: Ending) -> None:
        self.course.ended(row, ending, self.clock())
        if ending.failed and not ending.told:
            assert self.course.plan is not None
            self.print(f"{position(self.course.plan, row)} {row.name}: {ending.said}")
        self.tick()

    def tick(self) -> None:
        if self.clock() >= self._next:
            if self._live is not None:
                self.judge()
            self.draw()

    def end(self) -> None:
        """The last picture stays, and the terminal is given back, whatever happened."""
        self.course.end(self.clock())
        live = self._live
        try:
            self.take()
            self.draw()
        finally:
            self._live = None
            if live is not None:
                self.safely(live, live.stop)
            if self.judging is not None:
                self._asked = None if self.judging.asked else self._asked
                self.judging.close()

    # -- what the calls above are made of

    def judge(self) -> None:
        """Ask for verdicts at each look that has become complete, and take those that have come."""
        if self.judging is None:
            return
        look = self.course.complete_look
        if look is not None and (self._asked is None or look > self._asked):
            self._asked = look
            self.judging.ask()
        self.take()

    def take(self) -> None:
        """The verdicts, where new ones have come."""
        found = None if self.judging is None else self.judging.answer()
        if found is not None:
            self.standings = list(found.values())

    def print(self, text: str) -> None:
        """A message above the picture, at the next redraw."""
        for line in text.splitlines():
            if len(self._above) < MOST_LINES:
                self._above.append(plain(line)[:MOST_LINE])
            else:
                self._left_out += 1

    def draw(self) -> None:
        """What was said since the last time, above the picture; then the picture as it is now."""
        live, now = self._live, self.clock()
        if live is not None:
            seen = self.losses.look((row, self.course.baselines.get(row.job.seed)) for row in self.course.trains)
            self.course.see(
                {row.number: seen[row.number].step / max(1, steps_of(row.job)) for row in self.course.trains if row.number in seen}, now
            )
            lines = picture(self.course, seen, self.standings, now, (live.console.width, live.console.height))
            live.update(Group(*lines))
        self.print_above(live)
        if self._live is not None:
            self.safely(self._live, self._live.refresh)
        took = self.clock() - now
        self._next = now + took + max(REDRAW_SECONDS, took / MOST_SHARE)

    def print_above(self, live: Live | None) -> None:
        """What waits to be printed; to where errors were sent, where that isn't this terminal."""
        above, left_out = self._above, self._left_out
        self._above, self._left_out = [], 0
        if left_out:
            above.append(f"and {left_out:,} more lines, not shown")
        if above and live is not None and self.console.errors.is_terminal:
            self.safely(live, lambda: live.console.print(Text("\n".join(above))))
        elif above:
            try:
                self.console.show(self.console.errors, "\n".join(above))
            except OSError:  # a terminal that is gone, or a full disk
                self.console.errors.quiet = True
                discard(self.console.errors.file)

    def safely(self, live: Live, act: Callable[[], None]) -> None:
        """Write to a terminal that may be gone: that ends no sweep, and what comes after it is written to nowhere."""
        try:
            act()
        except (OSError, SystemExit):  # rich leaves with SystemExit on a broken pipe
            self._live = None
            live.console.quiet = True
            discard(live.console.file)
            live.stop()  # gives sys.stdout back
