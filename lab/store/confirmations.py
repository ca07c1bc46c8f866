"""Reads runs/<baseline>/confirmations.jsonl: what was meant to be confirmed, each reading of a test range, and what came out.

Rows are sealed and only ever added (lab/confirm/journal.py): `declared` before the first run, `reading` before the range is read,
`confirmed` last. Each names the seal of the row before it, so that a row which was taken out is missed by the next one; rows that were
cut off at the end are missed by nobody. What doesn't bear its seal is counted, and believed nowhere. Writes nothing, judges nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.canonical import SEAL, seal_holds
from lab.files import read_rows

NAME = "confirmations.jsonl"
BEFORE = "before"  # a row's key: the seal of the row before it
NOTHING = ""  # before the first row


@dataclass(frozen=True)
class Confirmations:
    """The confirmations of one baseline: its file's rows, and how many lines of it can't be believed, or are missing."""

    path: Path
    rows: tuple[dict[str, Any], ...]
    damaged: int

    def of_kind(self, kind: str, **wanted: object) -> list[dict[str, Any]]:
        """The rows of a kind with these values, oldest first."""
        return [row for row in self.rows if row.get("kind") == kind and all(row.get(key) == value for key, value in wanted.items())]

    def declared(self, lock: str, change_id: str) -> dict[str, Any] | None:
        """What was declared of a change under a lock: the first time, as nobody declares it twice."""
        return next(iter(self.of_kind("declared", lock=lock, change_id=change_id)), None)

    def confirmed(self, name: str) -> dict[str, Any] | None:
        return next(iter(self.of_kind("confirmed", id=name)), None)


def place(runs: Path, baseline: str) -> Path:
    """Where the confirmations of a baseline lie; `runs` is the store."""
    return runs / baseline / NAME


def read_confirmations(path: Path) -> Confirmations:
    """The rows that are as they were written. A file that isn't there has none."""
    rows, unread = read_rows(path)
    whole = tuple(row for row in rows if seal_holds(row))
    before = [NOTHING, *map(seal_of, rows)]
    gaps = sum(seal_holds(row) and row.get(BEFORE) != seal for row, seal in zip(rows, before, strict=False))
    return Confirmations(path, whole, len(rows) - len(whole) + max(unread, gaps))  # a line that can't be read is a gap too


def seal_of(row: dict[str, Any]) -> str:
    """A row's seal as it stands there, whether it holds or not."""
    return str(row.get(SEAL, NOTHING))


def last_seal(path: Path) -> str:
    """What the next row names as the one before it."""
    rows, _ = read_rows(path)
    return seal_of(rows[-1]) if rows else NOTHING


def readings(runs: Path, text: str) -> tuple[list[dict[str, Any]], int]:
    """Every reading of the test range of a text (its fingerprint: bytes and cuts), over all baselines; and how many lines can't be read."""
    found = [read_confirmations(path) for path in sorted(runs.glob(f"*/{NAME}"))]
    return [row for each in found for row in each.of_kind("reading", text=text)], sum(each.damaged for each in found)
