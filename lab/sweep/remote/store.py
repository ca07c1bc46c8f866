"""Where the run of a plan's row lies when another machine may have trained it: there it has other bits, and so another identity.

What stays is the arm and the seed. Reads manifests; trains and writes nothing but the request that a found run gets.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.files import read_sealed
from lab.runner import find
from lab.store.claim import is_claimed
from lab.store.layout import RunFolder, store
from lab.store.runs import read_result
from lab.store.twins import Choice, choose_first, folder_of
from lab.sweep.plan import Row, choice_of


def found(row: Row) -> dict[str, Any] | None:
    """The result of a row's run, of this machine's bits or any, verified; its request is added. None: there is none. Raises LabError."""
    for choice in choices(row):
        result = find(row.job, choice)
        if result is not None:
            return result
    return None


def result_of(row: Row) -> dict[str, Any] | None:
    """The result that a node has just published for a row; None without one. Raises StoreError."""
    done = [each.folder for each in choices(row) if each.folder is not None and each.folder.result.exists()]
    return read_result(done[0]) if done else None


def trained_elsewhere(row: Row) -> bool:
    """Whether some process holds the claim of this row's run, here or on another machine."""
    folders = [folder_of(each, row.folder) for each in choices(row)]
    return any(is_claimed(folder.claim) for folder in folders)


def choices(row: Row) -> Iterator[Choice]:
    """The directory of the run with the bits that the plan names, then that of each other one of its arm and seed."""
    yield choice_of(row)
    known = {row.identity, *row.joined}
    for identity in sorted(set(of_arm(row)) - known):
        yield choose_first(Path(row.job.root), (identity,), row.job.config)


def of_arm(row: Row) -> Iterator[str]:
    """The identities of all runs of a row's arm and seed."""
    for path in store(Path(row.job.root)).glob(f"*/*-{row.arm_id[:6]}/seed={row.job.seed}-*"):
        try:
            manifest = read_sealed(RunFolder(path).manifest)
        except (OSError, ValueError):  # `lab runs` tells of it; where it's this row's own, `choice_of` has raised
            continue
        if manifest["arm_id"] == row.arm_id:
            yield manifest["identity"]
