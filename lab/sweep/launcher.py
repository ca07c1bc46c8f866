"""Runs the rows of a plan one after the other, each in a fresh process. A run that fails stops no other."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from lab.errors import Interrupted, LabError
from lab.files import write_json
from lab.runner import tell_found
from lab.store.console import Console
from lab.sweep.plan import Plan, Row, choice_of


def launch(plan: Plan, folder: Path, what: str = "the sweep") -> list[Row]:
    """Train what is missing. Returns the rows that failed; raises Interrupted when a signal asked to stop `what`."""
    failed: list[Row] = []
    with forwarding() as running:
        for row in plan.rows:
            position = f"[{row.number}/{len(plan.rows)}]"
            try:
                if tell_found(row.job, choice_of(row), Console(position=position)):
                    continue
                status = train_apart(row, folder / "jobs" / f"{row.number}.json", position, running)
            except LabError as error:
                Console(position=position).error(str(error))
                status = error.exit_status
            except OSError as error:
                Console(position=position).error(f"the machine failed this run: {error}")
                status = 1
            if running.asked:
                raise Interrupted(
                    f"{what} was stopped\ntype the same again to go on: finished runs are kept, the last continues where it was"
                )
            if status != 0:
                failed.append(row)
    return failed


def train_apart(row: Row, job: Path, position: str, running: Running) -> int:
    """One run in a process of its own. Returns its exit status (negative: the signal that killed it)."""
    write_json(job, {"job": asdict(row.job), "identity": row.identity, "position": position})
    running.process = subprocess.Popen([sys.executable, "-m", "lab.runner", str(job), str(os.getpid())], start_new_session=True)
    try:
        if running.asked:  # while it was being started
            running.process.terminate()
        status = running.process.wait()
    finally:
        running.process = None
    if status < 0 and not running.asked:
        Console(position=position).error(
            f"{row.job.label} seed {row.job.seed} was killed by signal {-status}\ntype the same again to go on"
        )
    return status


class Running:
    """The child that trains now, and whether the sweep was asked to stop."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.asked = False

    def ask(self, _number: int, _frame: FrameType | None) -> None:
        """Pass a signal on. The child checkpoints and leaves; a second signal kills it.

        Always SIGTERM: an interrupt that meets the child in its imports would show a traceback.
        """
        self.asked = True
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()


@contextmanager
def forwarding() -> Iterator[Running]:
    """Ctrl-C and SIGTERM reach the child through us, once each: it stands in a session of its own."""
    running = Running()
    before = {number: signal.signal(number, running.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield running
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
