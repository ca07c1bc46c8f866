"""Run directories into records and tidy pandas frames. Reads runs/ as it lies there; judges nothing, imports no torch.

    lab = load("runs")
    lab.runs       one row per run directory (RUN_COLUMNS, then one column per further metric)
    lab.arms       one row per baseline, arm and cohort (ARM_COLUMNS)
    lab.requests   one row per request, oldest first (REQUEST_COLUMNS)
    lab.metrics    one row per run, step and metric (METRIC_COLUMNS); read from the disk when first asked for, as it is large
    lab.rows(...)  the same of some runs and some metrics
    lab.left_out   what could not be read, and why

One damaged run never hides the others: it is left out by name. Writes nothing but its index, in a large store (index.py). pandas is
imported by the first frame that is asked for.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lab.results.documents import Documents, read_documents
from lab.results.fields import said
from lab.results.index import Index
from lab.results.record import DOCUMENTS, LeftOut, Request, Run, Unreadable

if TYPE_CHECKING:
    import pandas as pd

NOT_ARMS = frozenset({"certificates", "studies"})  # what else lies in a baseline's folder


@dataclass
class Lab:
    """What lies under runs/. `found` and `asked` are the same facts as plain records, for the code that judges."""

    folder: Path
    found: tuple[Run, ...]
    asked: tuple[Request, ...]
    left_out: list[LeftOut] = field(default_factory=list)  # `metrics` adds the damaged lines that it meets

    def __repr__(self) -> str:
        """One line: what is there, or that nothing can be."""
        if not self.folder.is_dir():
            return f"Lab(no such folder: {self.folder.absolute()})"
        baselines = len({run.directory.partition("/")[0] for run in self.found} | {request.baseline for request in self.asked})
        counts = [(len(self.found), "run"), (baselines, "baseline")]
        said = ", ".join(f"{count} {noun}{'s' * (count != 1)}" for count, noun in counts)
        return f"Lab({said}, {len(self.left_out)} left out; {self.folder.absolute()})"

    @cached_property
    def runs(self) -> pd.DataFrame:
        from lab.results.frames import run_frame

        return run_frame(self.found)

    @cached_property
    def requests(self) -> pd.DataFrame:
        from lab.results.frames import request_frame

        return request_frame(self.asked)

    @cached_property
    def arms(self) -> pd.DataFrame:
        from lab.results.frames import arm_frame

        return arm_frame(self.runs)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        from lab.results.rows import metric_frame

        return metric_frame(self.folder, self.found, None, self.leave_out)

    def rows(self, directories: Collection[str], metrics: Collection[str]) -> pd.DataFrame:
        """What `metrics` holds of these runs and these metrics alone, read from the disk each time."""
        from lab.results.rows import metric_frame

        wanted = set(directories)
        return metric_frame(self.folder, [run for run in self.found if run.directory in wanted], set(metrics), self.leave_out)

    def documents(self, run: Run) -> Documents | None:
        """Bytes and nats of each document of a run's final evaluation; None where it has none, and where they are damaged (left out)."""
        try:
            return read_documents(self.folder / run.directory, run.documents)
        except Unreadable as error:
            self.leave_out(LeftOut(f"{run.directory}/{DOCUMENTS}", str(error)))
            return None

    def leave_out(self, item: LeftOut) -> None:
        """Name what was met on demand; once, however often it is asked for."""
        if item not in self.left_out:
            self.left_out.append(item)


def load(runs: Path | str) -> Lab:
    """Read every run directory under `runs`. A folder that isn't there reads as an empty store."""
    folder = Path(runs)
    found: list[Run] = []
    asked: list[Request] = []
    left_out: list[LeftOut] = []
    with no_collector():
        index = Index(folder)
        for directory in run_folders(folder, left_out):
            reading = index.read(directory)
            asked += reading.requests
            left_out += reading.left_out
            if reading.run is not None:
                found.append(reading.run)
        index.write()
    return Lab(folder, tuple(found), tuple(sorted(asked, key=lambda request: (request.number, request.directory))), left_out)


@contextmanager
def no_collector() -> Iterator[None]:
    """Without Python's search for cycles, which nothing here makes: over so many new objects it took a fifth of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


# not lab.store.layout.run_folders: that takes a project's root, and skips an unlistable folder unnamed
def run_folders(folder: Path, left_out: list[LeftOut]) -> Iterator[str]:
    """<baseline>/<arm>/seed=... in the order of their names, the same on every machine."""
    for baseline in folders(folder, "", left_out):
        for arm in folders(folder, baseline, left_out):
            if arm not in NOT_ARMS:
                inside = f"{baseline}/{arm}"
                yield from (f"{inside}/{name}" for name in folders(folder, inside, left_out) if name.startswith("seed="))


def folders(root: Path, parent: str, left_out: list[LeftOut]) -> list[str]:
    """The names of the folders in a folder but the hidden ones (caches); one that can't be listed is left out by name."""
    try:
        with os.scandir(root / parent) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        left_out.append(LeftOut(parent or ".", said(error)))
        return []
