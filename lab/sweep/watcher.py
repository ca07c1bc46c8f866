"""Who is told how a sweep goes: a screen, or plain lines. The launcher tells; what is shown is decided here and in shown/screen.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lab.store.console import Console
from lab.sweep.plan import Plan, Row


@dataclass(frozen=True)
class Ending:
    """How a row ended, for this sweep."""

    status: str  # found, finished, diverged, failed, or stopped: asked to leave, and checkpointed
    said: str  # one line: what came out, or the error
    tries: int = 1
    told: bool = False  # the run's own process has printed it

    @property
    def failed(self) -> bool:
        return self.status == "failed"


@dataclass(frozen=True)
class Failed:
    """A row without an outcome, and why, in one line."""

    row: Row
    said: str


def position(plan: Plan, row: Row) -> str:
    """Which of the plan's runs a row is: `[3/24]`."""
    return f"[{row.number}/{len(plan.rows)}]"


class Watcher(Protocol):
    """Called in the sweep's own process, one call at a time."""

    def begin(self, plan: Plan, rows: Sequence[Row]) -> None:
        """These rows of the plan are settled now; with `until=decided` once for each look."""

    def started(self, row: Row) -> None:
        """A process begins on this row, or begins on it again."""

    def waits(self, row: Row, text: str, *, elsewhere: bool) -> None:
        """No process of this sweep works on the row now: another one trains it (`elsewhere`), or it waits to be tried once more."""

    def line(self, row: Row, text: str, *, error: bool) -> None:
        """The run's process printed a line (without its end): `error` where on standard error."""

    def ended(self, row: Row, ending: Ending) -> None:
        """The row has its outcome, was found, or failed."""

    def tick(self) -> None:
        """Some five times a second while runs go on."""

    def end(self) -> None:
        """All rows of `begin` ended, or the sweep was asked to stop. Also after an exception."""


class Lines:
    """What the runs' processes print, as it comes; and what they couldn't say themselves."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.plan: Plan | None = None

    def begin(self, plan: Plan, rows: Sequence[Row]) -> None:
        self.plan = plan

    def started(self, row: Row) -> None: ...

    def waits(self, row: Row, text: str, *, elsewhere: bool) -> None:
        self.line(row, text, error=not elsewhere)

    def line(self, row: Row, text: str, *, error: bool) -> None:
        self.console.show(self.console.errors if error else self.console.rich, text)

    def ended(self, row: Row, ending: Ending) -> None:
        """Found or failed without a process that could say so, or by its death; whatever else ended has printed it."""
        assert self.plan is not None
        if ending.status == "found":
            self.line(row, f"{position(self.plan, row)} {row.name}: {ending.said}", error=False)
        elif ending.failed and not ending.told:
            self.line(row, f"{position(self.plan, row)} {row.name}: {ending.said}", error=True)

    def tick(self) -> None: ...

    def end(self) -> None: ...
