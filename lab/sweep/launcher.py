"""Settles the rows of a plan on this machine: finds them, or trains them in fresh processes, several at once.

A run that fails stops no other; what becomes of each is crew.py's. Which runs were beside each other changes no bit: each keeps its own
thread count.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from lab.errors import Interrupted
from lab.files import write_json
from lab.runner import find
from lab.store.claim import is_claimed
from lab.store.runs import read_result
from lab.store.twins import folder_of
from lab.sweep.children import Children, Said
from lab.sweep.crew import Crew
from lab.sweep.plan import Plan, Row, choice_of
from lab.sweep.slots import slots_of
from lab.sweep.snapshot import code_of
from lab.sweep.watcher import Failed, Watcher, position

TICK_SECONDS = 0.2
TRIES = 2
LEAVE_SECONDS = 30.0  # after a signal: a run that hasn't left by then is killed


def launch(plan: Plan, rows: Sequence[Row], folder: Path, watcher: Watcher, what: str = "the sweep") -> list[Failed]:
    """Settle these rows of a frozen plan. Returns those that failed; raises Interrupted when a signal asked to stop `what`."""
    if not rows:
        return []
    try:
        watcher.begin(plan, rows)
        with signals() as asked, closing(Children(code_of(folder))) as children:
            crew = LocalCrew(plan, rows, folder, watcher, children)
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


class LocalCrew(Crew):
    """The slots of this machine with the runs in them, and the rows that wait for one."""

    def __init__(self, plan: Plan, rows: Sequence[Row], folder: Path, watcher: Watcher, children: Children) -> None:
        super().__init__(plan, rows, folder, watcher, TRIES)
        self.children = children
        self.free = deque(slots_of(rows[0].job.config["device"]))
        self.taken: dict[int, dict[str, str]] = {}  # slots by row
        self.leave_by = float("inf")

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
            row = self.rows[event.number]
            if isinstance(event, Said):
                self.hear(row, event.text, error=event.error)
            else:
                self.free.append(self.taken.pop(event.number))
                self.reap(row, event.status)
        self.watcher.tick()

    def look(self, row: Row) -> tuple[dict[str, Any] | None, bool]:
        choice = choice_of(row)
        result = find(row.job, choice)
        return result, result is None and is_claimed(folder_of(choice, row.folder).claim)

    def published(self, row: Row) -> dict[str, Any] | None:
        folder = folder_of(choice_of(row), row.folder)
        return read_result(folder) if folder.result.exists() else None

    def begin(self, row: Row) -> None:
        """Start a row's process in a free slot."""
        job, slot = self.folder / "jobs" / f"{row.number}.json", self.free[0]
        kept = {"identity": row.identity, "position": position(self.plan, row), "code": str(self.children.code.resolve())}
        write_json(job, {"job": asdict(row.job)} | kept)
        self.children.start(row.number, job.resolve(), row.job.config["device"], slot)
        self.taken[row.number] = self.free.popleft()
        self.begun(row)
