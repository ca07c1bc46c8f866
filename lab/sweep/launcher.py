"""Settles the rows of a plan on this machine: finds them, or trains them in fresh processes, several at once.

A run that fails stops no other. One that another process trains is waited for, and found when it's done; one that the machine failed
is tried once more. Which runs were beside each other changes no bit: each keeps its own thread count.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from lab.errors import Interrupted, LabError
from lab.files import write_json
from lab.runner import CLAIMED, MACHINE, find
from lab.store.claim import is_claimed
from lab.store.console import outcome
from lab.store.runs import read_result
from lab.store.twins import folder_of
from lab.sweep.children import Children, Gone, Said
from lab.sweep.found import find_all
from lab.sweep.plan import Plan, Row, choice_of
from lab.sweep.slots import slots_of
from lab.sweep.snapshot import code_of
from lab.sweep.watcher import Ending, Failed, Watcher, position

TICK_SECONDS = 0.2
ELSEWHERE_SECONDS = 1.0  # between two looks at a run that another process trains
TRIES = 2
LEAVE_SECONDS = 30.0  # after a signal: a run that hasn't left by then is killed


def launch(plan: Plan, rows: Sequence[Row], folder: Path, watcher: Watcher, what: str = "the sweep") -> list[Failed]:
    """Settle these rows of a frozen plan. Returns those that failed; raises Interrupted when a signal asked to stop `what`."""
    if not rows:
        return []
    try:
        watcher.begin(plan, rows)
        with signals() as asked, closing(Children(code_of(folder))) as children:
            crew = Crew(plan, rows, folder, watcher, children)
            crew.find()
            while crew.busy(len(asked)):
                crew.turn()
    finally:
        watcher.end()
    if asked:
        raise Interrupted(f"{what} was stopped\ntype the same again to go on: finished runs are kept, the others continue where they were")
    return crew.failed


@contextmanager
def signals() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM, as they come: each run is told of each of them, and checkpoints at the first, leaves at once at the second."""
    asked: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def found(result: Mapping[str, Any]) -> Ending:
    return Ending("found", f"found, not trained again: {outcome(result)}")


class Crew:
    """The slots of this machine with the runs in them, and the rows that wait for one."""

    def __init__(self, plan: Plan, rows: Sequence[Row], folder: Path, watcher: Watcher, children: Children) -> None:
        self.plan, self.folder, self.watcher, self.children = plan, folder, watcher, children
        self.rows = {row.number: row for row in rows}
        self.waiting = deque(self.rows)
        self.elsewhere: dict[int, float] = {}  # rows that another process trains: when to look again
        self.free = deque(slots_of(rows[0].job.config["device"]))
        self.taken: dict[int, dict[str, str]] = {}  # slots by row
        self.tries = dict.fromkeys(self.rows, 0)
        self.errors: dict[int, str] = {}  # the first line of what a row's process last complained of, warnings apart
        self.failed: list[Failed] = []
        self.told, self.leave_by = 0, float("inf")

    def busy(self, asked: int) -> bool:
        """Whether there's still something to do, when so many signals asked to stop. Nothing begins after the first."""
        if asked > self.told:
            self.waiting.clear()
            self.elsewhere.clear()
            # SIGTERM, since an interrupt that meets a run in its imports would show a traceback
            self.children.signal(signal.SIGKILL if asked > 1 else signal.SIGTERM)
            self.told, self.leave_by = asked, min(self.leave_by, time.monotonic() + LEAVE_SECONDS)
        elif time.monotonic() > self.leave_by:  # stopped, or stuck: its last checkpoint stands
            self.children.signal(signal.SIGKILL)
        return bool(self.waiting or self.elsewhere or self.children)

    def turn(self) -> None:
        """Fill the free slots, then wait a moment for what the runs say."""
        self.waiting.extendleft(self.due())
        while self.waiting and self.free and self.children.ready:
            self.settle(self.rows[self.waiting.popleft()])
        for event in self.children.events(TICK_SECONDS):
            if isinstance(event, Said):
                self.hear(event)
            else:
                self.reap(event)
        self.watcher.tick()

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
        try:
            choice = choice_of(row)
            result = find(row.job, choice)
            if result is not None:
                self.end(row, found(result))
            elif is_claimed(folder_of(choice, row.folder).claim):
                self.leave(row)
            else:
                self.begin(row)
        except LabError as error:
            self.end(row, Ending("failed", str(error)))
        except OSError as error:
            self.end(row, Ending("failed", f"the machine failed this run: {error}"))

    def leave(self, row: Row) -> None:
        """Another process trains this row: look again later, and say so once."""
        if row.number not in self.elsewhere:
            self.watcher.waits(row, f"{position(self.plan, row)} {row.name}: another process trains it; waiting for it", elsewhere=True)
        self.elsewhere[row.number] = time.monotonic() + ELSEWHERE_SECONDS

    def begin(self, row: Row) -> None:
        """Start a row's process in a free slot."""
        job, slot = self.folder / "jobs" / f"{row.number}.json", self.free[0]
        kept = {"identity": row.identity, "position": position(self.plan, row), "code": str(self.children.code.resolve())}
        write_json(job, {"job": asdict(row.job)} | kept)
        self.children.start(row.number, job.resolve(), row.job.config["device"], slot)
        self.taken[row.number] = self.free.popleft()
        self.elsewhere.pop(row.number, None)
        self.errors.pop(row.number, None)
        self.tries[row.number] += 1
        self.watcher.started(row)

    def hear(self, said: Said) -> None:
        row = self.rows[said.number]
        label = f"{position(self.plan, row)} {row.name}: "
        if said.error and said.text.startswith(label) and not said.text.startswith(f"{label}warning: "):
            self.errors[said.number] = said.text.removeprefix(label)
        self.watcher.line(row, said.text, error=said.error)

    def reap(self, gone: Gone) -> None:
        """A row's process ended: the row too, or once more."""
        row = self.rows[gone.number]
        self.free.append(self.taken.pop(gone.number))
        said = self.errors.get(gone.number, "")
        told = bool(said)
        if gone.status < 0 and not self.told:
            said, told = f"killed by signal {-gone.status}", False
        if gone.status == 0:
            return self.finish(row)
        if self.told:
            return self.end(row, Ending("stopped", said))
        if gone.status == CLAIMED and is_claimed(folder_of(choice_of(row), row.folder).claim):
            self.tries[gone.number] -= 1
            return self.leave(row)
        if (gone.status < 0 or gone.status in (CLAIMED, MACHINE)) and self.tries[gone.number] < TRIES:
            again = "the machine failed it: tried once more" if told else f"{said or 'the machine failed it'}: tried once more"
            self.watcher.waits(row, f"{position(self.plan, row)} {row.name}: {again}", elsewhere=False)
            self.waiting.append(gone.number)
            return None
        said = said or f"left with exit status {gone.status}, and said nothing"
        return self.end(row, Ending("failed", said, self.tries[gone.number], told))

    def finish(self, row: Row) -> None:
        """A process says that its run has an outcome: so it has a result, or something else ended it."""
        try:
            result = read_result(folder_of(choice_of(row), row.folder))
            self.end(row, Ending(str(result["status"]), outcome(result), self.tries[row.number]))
        except LabError as error:
            why = "something in this run ended its process, with exit status 0 and without a result"
            self.end(row, Ending("failed", f"{why}: {str(error).splitlines()[0]}", self.tries[row.number]))

    def end(self, row: Row, ending: Ending) -> None:
        self.elsewhere.pop(row.number, None)
        if ending.failed:
            self.failed.append(Failed(row, ending.said.splitlines()[0]))
        self.watcher.ended(row, ending)
