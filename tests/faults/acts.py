"""What must survive a fault: a save, rows, a request, a finish. Each with the world before it, and what a reader finds after it.

Beside ours the naive ways of the same: what one writes without thinking, kept so that each fault is seen to do harm.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from lab.checkpoint import Checkpoint, digest, latest, save
from lab.files import append_line, read_rows, sealed, write_json
from lab.store.layout import RunFolder
from lab.store.metrics import RunFiles
from lab.store.runs import read_result, status_of

ME = "a" * 64
RESULT = {"schema": 1, "identity": ME, "status": "finished", "metrics": {"loss": 2.5}, "cost": {"seconds": 1.0}, "digests": {}}
OLD_ROWS, NEW_ROWS = 10, 13
NUMBERS = 1 << 16  # of each checkpoint: enough to be cut in the middle


@dataclass(frozen=True)
class Act:
    """`before` makes the world, `do` is what a fault interrupts, `found` says what a reader makes of what is left."""

    before: Callable[[Path], None]
    do: Callable[[Path], None]
    found: Callable[[Path], str]
    old: str
    new: tuple[str, ...]

    def left(self, folder: Path) -> str:
        """What a reader finds now: `old`, one of `new`, or else what is wrong."""
        try:
            return self.found(folder)
        except Exception as error:  # whatever a reader raises is a bad case, to be counted
            return f"{type(error).__name__}: {error}"

    def survived(self, folder: Path) -> bool:
        return self.left(folder) in (self.old, *self.new)


def state(step: int) -> dict[str, Any]:
    """A state that no other step has."""
    return {"w": torch.full((NUMBERS,), float(step)), "optimizer": [{"step": torch.tensor(step), "lr": 1 / step}]}


def row(number: int) -> dict[str, Any]:
    return {"step": number, "loss": 1 / (number + 1)}


# -- a checkpoint, the third of a run


def save_at(step: int) -> Callable[[Path], None]:
    return lambda folder: save(folder, Checkpoint(step, state(step), {}), ME)


def two_saves(folder: Path) -> None:
    save_at(5)(folder)
    save_at(10)(folder)


def newest(folder: Path) -> str:
    """The step of the newest whole checkpoint; nothing but a whole one may be seen, so a warning is a fault as well."""
    found, warnings = latest(folder, ME)
    if found is None or warnings:
        return f"{warnings or 'none'}"
    same = digest(found.state) == digest(state(found.step)) and found.state["optimizer"][0]["lr"] == 1 / found.step
    return f"step {found.step}" if same else f"a mixture at step {found.step}"


def naive_save_at(step: int) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "step").write_text(str(step))
        with (folder / "model").open("wb") as stream:
            stream.write(safetensors.torch.save({"w": state(step)["w"]}))

    return write


def naive_newest(folder: Path) -> str:
    step, w = int((folder / "step").read_text()), safetensors.torch.load((folder / "model").read_bytes())["w"]
    return f"step {step}" if w.equal(state(step)["w"]) else f"a mixture at step {step}"


# -- rows, and their sync


def add_rows(start: int, end: int) -> Callable[[Path], None]:
    def add(folder: Path) -> None:
        files = RunFiles(folder)
        for number in range(start, end):
            files.metrics.append_row(row(number))
        files.sync()
        files.close()

    return add


def rows_found(folder: Path) -> str:
    """How many rows there are, in their order; what a cut write left at the end is no row and hides none."""
    rows, damaged = read_rows(folder / "metrics.jsonl")
    return f"{len(rows)} rows" if rows == [row(number) for number in range(len(rows))] and damaged <= 1 else f"other rows: {rows}"


def naive_rows(_: int, end: int) -> Callable[[Path], None]:
    """The history as one list, written anew each time."""
    return lambda folder: (folder.mkdir(exist_ok=True), (folder / "history").write_text(json.dumps([row(each) for each in range(end)])))[1]


def naive_rows_found(folder: Path) -> str:
    return f"{len(json.loads((folder / 'history').read_text()))} rows"


def requests_found(folder: Path) -> str:
    rows, damaged = read_rows(folder / "requests.jsonl")
    return f"{len(rows)} rows" if damaged <= 1 and rows == [row(number) for number in range(len(rows))] else f"other rows: {rows}"


# -- the finish


def opened(folder: Path) -> None:
    write_json(folder / "manifest.json", sealed({"schema": 1, "identity": ME}))


def stopped(folder: Path) -> None:
    opened(folder)
    add_rows(0, OLD_ROWS)(folder)


def finish(folder: Path) -> None:
    write_json(folder / "result.json", sealed(RESULT))


def finished(folder: Path) -> str:
    run = RunFolder(folder)
    status = status_of(run)
    return status if status == "stopped" or read_result(run) == sealed(RESULT) else "another result"


def naive_finish(folder: Path) -> None:
    with (folder / "result.json").open("w") as stream:
        json.dump(sealed(RESULT), stream, indent=1)
        stream.write("\n")


COUNTS = tuple(f"{count} rows" for count in range(OLD_ROWS + 1, NEW_ROWS + 1))
ACTS = {
    "a save": Act(two_saves, save_at(15), newest, "step 10", ("step 15",)),
    "a run's rows": Act(add_rows(0, OLD_ROWS), add_rows(OLD_ROWS, NEW_ROWS), rows_found, f"{OLD_ROWS} rows", COUNTS),
    "a request": Act(
        lambda folder: (folder.mkdir(), append_line(folder / "requests.jsonl", row(0)))[1],
        lambda folder: append_line(folder / "requests.jsonl", row(1)),
        requests_found,
        "1 rows",
        ("2 rows",),
    ),
    "a finish": Act(stopped, finish, finished, "stopped", ("finished",)),
}
NAIVE = {
    "a save": Act(naive_save_at(10), naive_save_at(15), naive_newest, "step 10", ("step 15",)),
    "a run's rows": Act(naive_rows(0, OLD_ROWS), naive_rows(0, NEW_ROWS), naive_rows_found, f"{OLD_ROWS} rows", (f"{NEW_ROWS} rows",)),
    "a finish": Act(stopped, naive_finish, finished, "stopped", ("finished",)),
}
