"""What a launcher beyond this machine needs of an engine: kinds of node, jobs that begin there, and the word when one is gone.

Owns no engine: lab/sweep/remote/on_ray.py and lab/sweep/remote/jobs.py do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

ANY = ""  # the kind of a node where nobody asks for one


@dataclass(frozen=True)
class Task:
    """One row's job in an engine's hands: the files that a node reads and writes, all of them on the shared folder."""

    number: int
    job: Path
    code: Path  # the folder with the lab/ that it runs
    kind: str  # of node

    @property
    def out(self) -> Path:
        return self.job.with_suffix(".out")

    @property
    def err(self) -> Path:
        return self.job.with_suffix(".err")


@dataclass(frozen=True)
class Left:
    """A task isn't there any more: with this exit status (negative: the signal that killed it), or lost with its node, and how."""

    number: int
    status: int | None
    why: str = ""


class Engine(Protocol):
    """Called in the sweep's own process, one call at a time. Raises LabError where the engine itself fails."""

    def kinds(self) -> dict[str, int]:
        """The kinds of node that are there now, and how many runs each has room for. A kind is what can move a run's bits."""

    def begin(self, task: Task) -> None:
        """Train a job on some node of its kind, now or when there is room. Never begins it a second time by itself."""

    def left(self) -> list[Left]:
        """The tasks that have gone since the last call."""

    def stop(self, *, at_once: bool) -> None:
        """Ask all tasks to checkpoint and leave; `at_once`: kill them. Those that didn't begin yet never do."""

    def close(self) -> None:
        """Let go of the engine. It goes on running: others may use it."""
