"""A run's growing files: rows of measurements and sampled text. Appends, counts and cuts; interprets nothing, imports no torch.

The contract for readers of rows: one JSON object per line. A number that isn't finite is null, and the row's "nonfinite" says
what it was: {"step": 7, "loss": null, "nonfinite": {"loss": "nan"}} (or "inf", "-inf").
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from lab.errors import StoreError
from lab.files import hash_head, make_folder, sync_data, sync_folder, write_all

SYNC_SECONDS = 5.0
Value = float | int | str | None


def unowned() -> None:
    """The guard of files that nobody can take over."""


class AppendFile:
    """One file that only grows, but for `truncate`; made if it isn't there. Each `append` is one write, so lines never interleave.

    `guard` is called before each change, and raises where the file is another process's by now (a claim's `require`).
    """

    def __init__(self, path: Path, guard: Callable[[], None] = unowned) -> None:
        self.path, self.guard = path, guard
        guard()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._digest = hash_head(path, os.fstat(self._descriptor).st_size)
        self._synced = time.monotonic()

    def append(self, text: str) -> None:
        """Add text at the end. It is on the disk after `sync`, or at the latest with an append 5 s later."""
        self.guard()
        data = text.encode()
        write_all(self._descriptor, data)
        self._digest.update(data)
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()

    def sync(self) -> int:
        """Make all that was appended survive a power cut, and return the file's size: the offset that a checkpoint records."""
        sync_data(self._descriptor)
        self._synced = time.monotonic()
        return os.fstat(self._descriptor).st_size

    def digest(self) -> str:
        """SHA-256 of all that the file should hold, in 64 hex digits: what a checkpoint records beside the offset."""
        return self._digest.hexdigest()

    def truncate(self, offset: int, digest: str | None = None) -> None:
        """Cut the file back to an offset that `sync` returned. Raises StoreError when it is shorter, or differs from its digest."""
        self.guard()
        size = os.fstat(self._descriptor).st_size
        if size < offset:
            raise StoreError(
                f"{self.path} has {size} bytes, and the checkpoint counts {offset}: rows were lost after they were written.\n"
                f"Move the run's folder away and start it again."
            )
        head = hash_head(self.path, offset)
        if digest not in (None, head.hexdigest()):
            raise StoreError(
                f"the first {offset} bytes of {self.path} aren't what they were when the checkpoint counted them: damaged or edited.\n"
                f"Restore the file from a copy, or move the run's folder away and start it again."
            )
        os.ftruncate(self._descriptor, offset)
        self._digest = head

    def close(self) -> None:
        os.close(self._descriptor)


class RowFile(AppendFile):
    """An AppendFile of JSON lines."""

    def append_row(self, row: Mapping[str, Value]) -> None:
        """Add one row, its keys in their order."""
        self.append(encode_row(row))


class RunFiles:
    """The growing files of one run, which a checkpoint counts together."""

    def __init__(self, folder: Path, guard: Callable[[], None] = unowned) -> None:
        make_folder(folder)
        self.metrics = RowFile(folder / "metrics.jsonl", guard)
        self.timing = RowFile(folder / "timing.jsonl", guard)
        self.samples = AppendFile(folder / "samples.txt", guard)
        self.weights = AppendFile(folder / "weights.jsonl", guard)
        self._all = {file.path.name: file for file in (self.metrics, self.timing, self.samples, self.weights)}
        sync_folder(folder)

    def sync(self) -> dict[str, int]:
        """Put all rows on the disk; the offset of each file, by its name."""
        return {name: file.sync() for name, file in self._all.items()}

    def digests(self) -> dict[str, str]:
        """What each file should hold, by its name."""
        return {name: file.digest() for name, file in self._all.items()}

    def truncate(self, offsets: Mapping[str, int] | None, digests: Mapping[str, str] | None = None) -> None:
        """Cut each file back to its offset, once what stands before it is seen to have its digest; None empties them."""
        for name, file in self._all.items():
            file.truncate(0 if offsets is None else offsets[name], None if digests is None else digests[name])

    def close(self) -> None:
        for file in self._all.values():
            file.close()


def encode_row(row: Mapping[str, Value]) -> str:
    """The line of a row, with its line end."""
    nonfinite = {name: str(float(value)) for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)}
    plain: dict[str, object] = {name: None if name in nonfinite else value for name, value in row.items()}
    if nonfinite:
        plain["nonfinite"] = nonfinite
    return json.dumps(plain, separators=(",", ":"), allow_nan=False) + "\n"
