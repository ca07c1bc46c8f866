"""The rows of a plan until each has its outcome: found, left to whoever trains it, begun, begun once more, or failed.

What this machine's launcher (launcher.py) and a cluster's (remote/launcher.py) have in common, and they are made of it: where a run is
looked for and how it begins is theirs, and all that is decided stands here once. Starts no process.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.runner import CLAIMED, MACHINE
from lab.store.console import outcome
from lab.sweep.found import find_all
from lab.sweep.plan import Plan, Row
from lab.sweep.watcher import Ending, Failed, Watcher, position

ELSEWHERE_SECONDS = 1.0  # between two looks at a run that another process trains
MOST_MEETINGS = 1  # of a row with other processes that had its run and left it


class Crew(ABC):
    """A plan's rows in somebody's hands, and those that wait. `most_tries`: how often a row is begun where the machine fails it."""

    def __init__(self, plan: Plan, rows: Sequence[Row], folder: Path, watcher: Watcher, most_tries: int) -> None:
        self.plan, self.folder, self.watcher, self.most_tries = plan, folder, watcher, most_tries
        self.rows = {row.number: row for row in rows}
        self.waiting = deque(self.rows)
        self.elsewhere: dict[int, float] = {}  # rows that another process trains: when to look again
        self.tries, self.meetings = Counter[int](), Counter[int]()
        self.errors: dict[int, str] = {}  # the first line of what a row's run last complained of, warnings apart
        self.failed: list[Failed] = []
        self.told = 0  # signals that were passed on

    @abstractmethod
    def look(self, row: Row) -> tuple[dict[str, Any] | None, bool]:
        """The result of a row's run, which has its request now; else whether another process trains it. Raises LabError, OSError."""

    @abstractmethod
    def published(self, row: Row) -> dict[str, Any] | None:
        """The result that a run has just left; None without one. Raises LabError."""

    @abstractmethod
    def begin(self, row: Row) -> None:
        """Train a row, now or when there is room. Raises LabError, OSError."""

    def goes_on(self, row: Row, status: int | None) -> bool:
        """Whether a row that left like this was asked to by whoever has the machines, and so waits to go on."""
        return False

    def find(self) -> None:
        """End the rows whose runs are there already, all at once."""
        for number, result in find_all(list(self.rows.values())).items():
            self.waiting.remove(number)
            self.end(self.rows[number], found(result))

    def due(self) -> list[int]:
        """The rows that another process had, to be looked at again."""
        due = [number for number, when in self.elsewhere.items() if when <= time.monotonic() and number not in self.waiting]
        for number in due:
            self.elsewhere[number] = time.monotonic() + ELSEWHERE_SECONDS
        return due

    def settle(self, row: Row) -> None:
        """Find a row's run, leave it to whoever trains it, or begin on it."""
        if not self.tended(row):
            try:
                self.begin(row)
            except (LabError, OSError) as error:
                self.end(row, failed(error))

    def tended(self, row: Row) -> bool:
        """Whether a row needs no process of ours now: found, trained elsewhere, or ended by what is wrong with it."""
        try:
            result, elsewhere = self.look(row)
        except (LabError, OSError) as error:
            self.end(row, failed(error))
            return True
        if result is not None:
            self.end(row, found(result))
        elif elsewhere:
            self.leave(row)
        return result is not None or elsewhere

    def leave(self, row: Row) -> None:
        """Another process trains this row: look again later, and say so once."""
        if row.number not in self.elsewhere:
            self.wait(row, "another process trains it; waiting for it", elsewhere=True)
        self.elsewhere[row.number] = time.monotonic() + ELSEWHERE_SECONDS

    def wait(self, row: Row, why: str, *, elsewhere: bool) -> None:
        self.watcher.waits(row, f"{position(self.plan, row)} {row.name}: {why}", elsewhere=elsewhere)

    def begun(self, row: Row) -> None:
        """A process has this row from here on."""
        self.elsewhere.pop(row.number, None)
        self.errors.pop(row.number, None)
        self.tries[row.number] += 1
        self.watcher.started(row)

    def hear(self, row: Row, text: str, *, error: bool) -> None:
        """A row's run printed a line."""
        label = f"{position(self.plan, row)} {row.name}: "
        if error and text.startswith(label) and not text.startswith(f"{label}warning: "):
            self.errors[row.number] = text.removeprefix(label)
        self.watcher.line(row, text, error=error)

    def reap(self, row: Row, status: int | None, why: str = "") -> None:
        """A row's process is gone, with this status (negative: killed by that signal; None: lost, and `why`): the row too, or once more."""
        if status == 0:
            return self.finish(row)
        if status is not None and status < 0 and not self.told:
            why = f"killed by signal {-status}"
        told = not why and row.number in self.errors
        said = why or self.errors.get(row.number, "")
        if self.told:
            return self.end(row, Ending("stopped", said))
        if status == CLAIMED:
            return self.met_another(row)
        if self.goes_on(row, status):
            return self.waiting.append(row.number)
        lost = status is None or status < 0 or status == MACHINE
        if lost and self.tries[row.number] < self.most_tries:
            again = "the machine failed it" if told or not said else said
            self.wait(row, f"{again}: tried once more", elsewhere=False)
            return self.waiting.append(row.number)
        said = said or ("it was lost" if status is None else f"left with exit status {status}, and said nothing")
        return self.end(row, Ending("failed", said, self.tries[row.number], told))

    def met_another(self, row: Row) -> None:
        """Another process had this row's run a moment ago: it is found, waited for, or begun again where that one left it."""
        self.tries[row.number] -= 1  # the machine failed nothing
        self.meetings[row.number] += 1
        if self.tended(row):
            return
        if self.meetings[row.number] <= MOST_MEETINGS:
            self.wait(row, "another process had it, and left it: begun again", elsewhere=False)
            self.waiting.append(row.number)
        else:
            said = f"left with exit status {CLAIMED}, as where another process trains it, and none does"
            self.end(row, Ending("failed", said, self.meetings[row.number]))

    def finish(self, row: Row) -> None:
        """A process says that its run has an outcome: so there is a result, or something else ended it."""
        tries = self.tries[row.number]
        try:
            result = self.published(row)
        except (LabError, OSError) as error:
            return self.end(row, replace(failed(error), tries=tries))
        if result is None:
            why = "something in this run ended its process, with exit status 0 and without a result"
            return self.end(row, Ending("failed", why, tries))
        return self.end(row, Ending(str(result["status"]), outcome(result), tries))

    def end(self, row: Row, ending: Ending) -> None:
        self.elsewhere.pop(row.number, None)
        if ending.failed:
            self.failed.append(Failed(row, ending.said.splitlines()[0]))
        self.watcher.ended(row, ending)


def found(result: Mapping[str, Any]) -> Ending:
    return Ending("found", f"found, not trained again: {outcome(result)}")


def failed(error: LabError | OSError) -> Ending:
    return Ending("failed", str(error) if isinstance(error, LabError) else f"the machine failed this run: {error}")
