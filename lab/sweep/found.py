"""The rows of a plan whose runs are there already, found all at once: the store is listed once, and many files are read beside each other.

Each is verified as any found run is, and gets its request. One that can't be used is left to whoever settles rows one by one, to say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.store.layout import RunFolder
from lab.store.runs import append_request, next_number, verify
from lab.store.twins import listed
from lab.sweep.plan import Row, choice_of

AT_ONCE = 8  # what is waited for is hashing, which takes the cores, and the disk, which syncs many lines as quickly as one
Found = tuple[RunFolder, dict[str, Any]]


def find_all(rows: Sequence[Row]) -> dict[int, dict[str, Any]]:
    """The results of the rows whose runs are there, by row number; each has this request from here on."""
    if not rows:
        return {}
    root = Path(rows[0].job.root)
    known = listed(root)

    def found(row: Row) -> Found | None:
        with suppress(LabError, OSError):
            folder = choice_of(row, known).folder
            return (folder, verify(folder)) if folder is not None and folder.result.exists() else None
        return None

    def asked(row: Row, folder: RunFolder, number: int) -> bool:
        with suppress(OSError):
            append_request(folder, row.job.request, number)
            return True
        return False

    with ThreadPoolExecutor(AT_ONCE) as pool:
        there = [(row, *each) for row, each in zip(rows, pool.map(found, rows), strict=True) if each is not None]
        if not there:
            return {}
        try:
            first = next_number(root, len(there))
        except OSError:
            return {}
        numbers = range(first, first + len(there))
        added = pool.map(asked, [row for row, _, _ in there], [folder for _, folder, _ in there], numbers)
        return {row.number: result for (row, _, result), whole in zip(there, added, strict=True) if whole}
