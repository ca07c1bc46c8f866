"""Finding runs by what they are, and saying in which state one is. Reads the small files of a run; no metric, no torch."""

from __future__ import annotations

import fcntl
import os
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lab.errors import StoreError
from lab.files import append_line, read_rows, read_sealed, sha256_file, sync_data, write_all
from lab.store.claim import is_claimed
from lab.store.layout import RunFolder, run_folders, store
from lab.store.manifest import SCHEMA

MEASURED_IN_MEMORY = ("weights", "optimizer", "judged_weights")  # digests of tensors, whatever file holds them
LARGEST = 1e300


def status_of(folder: RunFolder) -> str:
    """finished, diverged, failed, running or stopped: derived from what lies in the directory."""
    if folder.result.exists():
        return str(read_result(folder)["status"])
    if is_claimed(folder.claim):
        return "running"
    return "failed" if folder.failure.exists() else "stopped"


def read_result(folder: RunFolder) -> dict[str, Any]:
    """A run's result. Raises StoreError when it is damaged or belongs to another run."""
    try:
        result, manifest = read_sealed(folder.result), read_sealed(folder.manifest)
        identity = manifest["identity"]
    except (ValueError, KeyError, OSError) as error:
        raise StoreError(f"{folder.path} is damaged: {error}\nmove it away, and the same command trains it again") from None
    whole = all(isinstance(result.get(part), dict) for part in ("metrics", "cost", "digests"))
    numbers = whole and all(value is None or is_number(value) for part in ("metrics", "cost") for value in result[part].values())
    known = result.get("identity") == identity and result.get("status") in ("finished", "diverged")
    if result.get("schema") != SCHEMA:
        why = f"result.json has schema {result.get('schema')!r}, this version reads {SCHEMA}"
    elif not (known and numbers and is_number(result["cost"].get("seconds"))):
        why = "result.json isn't that of its manifest"
    else:
        return result
    raise StoreError(f"{folder.path} is damaged: {why}\nmove it away, and the same command trains it again")


def is_number(value: Any) -> bool:
    """A finite number that a float and a table's cell can hold."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LARGEST


def verify(folder: RunFolder) -> dict[str, Any]:
    """A finished run's result, after hashing every file that it names. Raises StoreError naming the file that moved."""
    result = read_result(folder)
    for name, digest in result["digests"].items():
        if name in MEASURED_IN_MEMORY:
            continue
        path = folder.path / name
        if not path.is_file() or sha256_file(path) != digest:
            state = "isn't what it was when the run finished" if path.is_file() else "is missing"
            raise StoreError(f"{path} {state}\nmove {folder.path} away, and the same command trains it again")
    return result


def find_identity(root: Path, identity: str) -> RunFolder | None:
    """The directory of a run, whatever baseline it was first asked for; None when there is none.

    Raises StoreError when a directory of this name has a damaged manifest: training into it would spoil both.
    """
    name = re.compile(rf"seed=\d+-{identity[:12]}(\.\d+)?")
    for folder in run_folders(root):
        if name.fullmatch(folder.path.name) and folder.manifest.exists():
            try:
                found = read_sealed(folder.manifest).get("identity")
            except (ValueError, OSError) as error:
                raise StoreError(f"{folder.path} is damaged: {error}\nmove it away, and the same command trains it again") from None
            if found == identity:
                return folder
    return None


def find_run(root: Path, word: str) -> RunFolder:
    """The run that a user means: a path, its whole identity, or some of its id or folder name.

    A whole name wins over a part of others. Raises StoreError when none or several fit.
    """
    path = Path(word)
    word = word.removeprefix("./").removeprefix("runs/").rstrip("/")
    if path.is_dir() and (path / "manifest.json").exists():
        return RunFolder(path.resolve())
    if re.fullmatch(r"[0-9a-f]{64}", word) and (found := find_identity(root, word)) is not None:
        return found
    names = {folder.path.relative_to(store(root)).as_posix(): folder for folder in run_folders(root)}
    fitting = [folder for name, folder in names.items() if word in (name, folder.path.name, folder.path.name.rpartition("-")[2])]
    fitting = fitting or [folder for name, folder in names.items() if word in name]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise StoreError(f"no run fits {word!r}\n`python -m lab runs` lists them")
    listed = "\n".join(f"  {folder.path.relative_to(store(root)).as_posix()}" for folder in fitting[:10])
    listed += f"\n  and {len(fitting) - 10} more" * (len(fitting) > 10)
    raise StoreError(f"{len(fitting)} runs fit {word!r}; say more of the name or the id\n{listed}")


def add_request(root: Path, folder: RunFolder, request: dict[str, Any]) -> None:
    """Append a request to a run, numbered in the order in which this store was asked."""
    append_request(folder, request, next_number(root))


def append_request(folder: RunFolder, request: dict[str, Any], number: int) -> None:
    """Append a request to a run, with a number that `next_number` gave."""
    append_line(folder.requests, {"number": number, "at": datetime.now(timezone.utc).isoformat(timespec="seconds")} | request)


def next_number(root: Path, how_many: int = 1) -> int:
    """The store-wide number of a request, or the first of so many: counts up, safe between processes, and never taken from a clock."""
    store(root).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(store(root) / ".requests", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        text = os.pread(descriptor, 30, 0).decode(errors="replace").strip()
        number = (int(text) if text.isdigit() else newest_number(root)) + 1
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        write_all(descriptor, f"{number + how_many - 1}\n".encode())
        sync_data(descriptor)
    finally:
        os.close(descriptor)
    return number


def newest_number(root: Path) -> int:
    """The highest number in the store: the counter is a cache, the requests are the truth."""
    numbers = [row.get("number", 0) for folder in run_folders(root) for row in read_rows(folder.requests)[0]]
    return max((number for number in numbers if isinstance(number, int)), default=0)
