"""The code that a sweep runs: a copy of lab/ and of the project's trusted modules in the sweep's folder, made before its first run.

Every run of the sweep executes this copy, also one that is resumed next morning: an edit meanwhile changes nothing that was planned.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from lab.ablate.codemap import LAB, file_of

CODE = "code"
LEFT_OUT = shutil.ignore_patterns(".*", "*.tmp")


def code_of(folder: Path) -> Path:
    """Where a sweep's runs import the lab from: its copy; the lab that runs now where none was made."""
    copy = folder / CODE
    return copy if copy.is_dir() else LAB.parent


def take(folder: Path, root: Path, trusted: Iterable[str]) -> str:
    """Copy the code into a sweep's folder, whole or not at all. Returns its digest. Raises OSError.

    Compiled files come along, so that nothing is compiled again. Of the trusted modules those of this project: what pip installed
    is nobody's to edit.
    """
    place = folder / CODE
    if place.is_dir():
        return digest(place)
    beside = folder / f".{CODE}-{os.getpid()}.tmp"
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(LAB, beside / LAB.name, ignore=LEFT_OUT)
    for name in sorted({each.partition(".")[0] for each in trusted}):
        source = file_of(name)
        home = root / name if source is None else source.parent if source.name == "__init__.py" else source
        if not home.resolve().is_relative_to(root.resolve()) or not home.exists():
            continue
        if home.is_dir():
            shutil.copytree(home, beside / name, ignore=LEFT_OUT)
        else:
            shutil.copy2(home, beside / home.name)
    found = digest(beside)
    try:
        beside.rename(place)
    except OSError:  # another process of the same sweep was first
        shutil.rmtree(beside)
        return digest(place)
    return found


def digest(code: Path) -> str:
    """SHA-256 of every source in a copy, with its place: 64 hex digits."""
    found = hashlib.sha256()
    for path in sorted(code.rglob("*.py")):
        content = path.read_bytes()
        found.update(f"{path.relative_to(code).as_posix()} {len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()
