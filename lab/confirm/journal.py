"""Owns runs/<baseline>/confirmations.jsonl: what was meant to be confirmed, each reading of a test range, and what came out.

Rows are only ever added, each sealed: `declared` before its first run, `reading` before the range is read (a crash after it is a reading
all the same), `confirmed` last. Reads no text and no run, judges nothing.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lab.canonical import seal_holds
from lab.errors import StoreError
from lab.files import append_line, make_folder, read_rows, sealed
from lab.store.layout import store

NAME = "confirmations.jsonl"


@dataclass(frozen=True)
class Journal:
    """The confirmations of one baseline: its file's rows, and how many lines of it can't be believed."""

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


def place(root: Path, baseline: str) -> Path:
    return store(root) / baseline / NAME


def read_journal(path: Path) -> Journal:
    """The rows that are as they were written. A file that isn't there has none."""
    rows, damaged = read_rows(path)
    whole = tuple(row for row in rows if seal_holds(row))
    return Journal(path, whole, damaged + len(rows) - len(whole))


def add(path: Path, kind: str, **told: object) -> dict[str, Any]:
    """Add a row, dated and sealed, and put it on the disk."""
    make_folder(path.parent)
    row = sealed({"kind": kind, "at": datetime.now(timezone.utc).isoformat(timespec="seconds")} | told)
    append_line(path, row)
    return row


def readings(root: Path, text: str) -> tuple[list[dict[str, Any]], int]:
    """Every reading of the test range of a text (its fingerprint: bytes and cuts), over all baselines; and how many lines can't be read."""
    journals = [read_journal(path) for path in sorted(store(root).glob(f"*/{NAME}"))]
    return [row for each in journals for row in each.of_kind("reading", text=text)], sum(each.damaged for each in journals)


def require_whole(journal: Journal, root: Path) -> None:
    """Raise StoreError where lines are damaged: one of them may be this very confirmation."""
    if journal.damaged:
        lines = f"{journal.damaged} line{'s' * (journal.damaged != 1)}"
        raise StoreError(
            f"{journal.path.relative_to(root).as_posix()} is damaged or was edited in {lines}\n"
            f"bring it back from a copy: what was read of the test range can't be counted without it"
        )


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """No other process confirms anything in this store while the block runs. Raises StoreError where one does."""
    make_folder(store(root))
    descriptor = os.open(store(root) / ".confirm", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StoreError("another process confirms an arm in this store\nwait for it, then type the same again") from None
    finally:
        os.close(descriptor)


def told(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Some values of a row, to carry them over to another one."""
    return {name: row[name] for name in names}
