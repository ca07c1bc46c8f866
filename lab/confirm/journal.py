"""Writes runs/<baseline>/confirmations.jsonl: what was meant to be confirmed, each reading of a test range, and what came out.

Rows are only ever added, each sealed: `declared` before its first run, `reading` before the range is read (a crash after it is a reading
all the same), `confirmed` last. They are read by lab/store/confirmations.py. Reads no text and no run, judges nothing.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lab.errors import StoreError
from lab.files import append_line, make_folder, sealed
from lab.store.confirmations import BEFORE, Confirmations, last_seal
from lab.store.layout import store


def add(path: Path, kind: str, **told: object) -> dict[str, Any]:
    """Add a row, dated, sealed and tied to the one before it, and put it on the disk."""
    make_folder(path.parent)
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    row = sealed({"kind": kind, "at": at, BEFORE: last_seal(path)} | told)
    append_line(path, row)
    return row


def require_whole(journal: Confirmations, root: Path) -> None:
    """Raise StoreError where lines are damaged: one of them may be this very confirmation."""
    if journal.damaged:
        lines = f"{journal.damaged} line{'s' * (journal.damaged != 1)}"
        raise StoreError(
            f"{journal.path.relative_to(root).as_posix()} is damaged or was edited in {lines}, or they were taken out\n"
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
