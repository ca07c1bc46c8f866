"""Runs without end, for a power cut: each tells what it was told is on the disk, and what must be there after the cut.

What is told goes to a file on another disk than the one that is cut, a line a fact: {"run": 3, "step": 4, "at": SECONDS}. What is told
after the cut began doesn't count: then the system answers for a disk that is gone (XFS says of a folder whose changes it has given up
that there's nothing to sync), and on a machine without power nobody would hear it.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import count
from pathlib import Path

import safetensors.torch

from lab.files import sync_folder
from lab.store.metrics import RunFiles
from tests.faults.acts import add_rows, finish, finished, newest, opened, row, rows_found, save_at, state

STEPS = 4  # of each run, a row and a checkpoint each; then the next run begins


def told_by(folder: Path) -> Path:
    """Where the runs in a folder of the cut disk tell their facts: beside the mount."""
    return folder.parent.with_name(f"{folder.name}.told")


def tell(folder: Path, **fact: float) -> None:
    """One write: the fact is there whole or not at all."""
    fact["at"] = time.monotonic()
    descriptor = os.open(told_by(folder), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (json.dumps(fact) + "\n").encode())
    os.close(descriptor)


def ours(folder: Path) -> None:
    for number in count():
        run = folder / str(number)
        opened(run)
        files = RunFiles(run)
        for step in range(1, STEPS + 1):
            files.metrics.append_row(row(step - 1))
            files.sync()
            tell(folder, run=number, rows=step)
            save_at(step)(run / "checkpoint")
            tell(folder, run=number, step=step)
        files.close()
        finish(run)
        tell(folder, run=number, finished=1)


def naive(folder: Path) -> None:
    """Checkpoints written beside their place and renamed over it, and the folder synced: only their content isn't."""
    for number in count():
        run = folder / str(number)
        run.mkdir(parents=True)
        for step in range(1, STEPS + 1):
            add_rows(step - 1, step)(run)
            tell(folder, run=number, rows=step)
            (run / "new").write_bytes(safetensors.torch.save({"w": state(step)["w"]}))
            (run / "new").replace(run / "model")
            sync_folder(run)
            tell(folder, run=number, step=step)


def naive_newest(run: Path) -> str:
    w = safetensors.torch.load((run / "model").read_bytes())["w"]
    return f"step {int(w[0])}" if w.equal(state(int(w[0]))["w"]) else "a mixture"


LOOPS: dict[str, Callable[[Path], None]] = {"ours": ours, "naive": naive}
NEWEST: dict[str, Callable[[Path], str]] = {"ours": lambda run: newest(run / "checkpoint"), "naive": naive_newest}


def lost(kind: str, folder: Path, cut_at: float) -> dict[str, str]:
    """For each run that told something before the cut: what of it isn't there whole now, or nothing."""
    facts: dict[int, dict[str, int]] = defaultdict(dict)
    for line in told_by(folder).read_text().splitlines():
        fact = json.loads(line)
        if fact.pop("at") < cut_at:
            facts[fact.pop("run")] |= fact
    found = {}
    for number, fact in facts.items():
        try:
            found[f"run {number}"] = missing(kind, folder / str(number), fact)
        except Exception as error:  # whatever a reader raises is a bad case, to be counted
            found[f"run {number}"] = f"{type(error).__name__}: {error}"
    return found


def missing(kind: str, run: Path, fact: dict[str, int]) -> str:
    rows = rows_found(run)
    if not rows.endswith(" rows") or int(rows.split()[0]) < fact["rows"]:
        return f"{fact['rows']} rows were told, found: {rows}"
    if "step" in fact:
        step = NEWEST[kind](run)
        if not step.startswith("step ") or int(step.split()[1]) < fact["step"]:
            return f"a checkpoint at step {fact['step']} was told, found: {step}"
    if "finished" in fact and finished(run) != "finished":
        return "its result was told, it isn't there"
    return ""
