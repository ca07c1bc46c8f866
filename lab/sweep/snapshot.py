"""The code that a sweep runs: a copy of lab/ and of the project's trusted modules in the sweep's folder, made before its first run.

Every run of the sweep executes this copy, also one that is resumed next morning: an edit meanwhile changes nothing that was planned.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from lab.ablate.codemap import LAB, file_of
from lab.errors import StoreError
from lab.files import write_json
from lab.store.manifest import WHEN_COPIED, git_state

CODE = "code"
LEFT_OUT = shutil.ignore_patterns(".*", "*.tmp")


def code_of(folder: Path) -> Path:
    """Where a sweep's runs import the lab from: its copy. Raises StoreError without one."""
    if not (folder / CODE).is_dir():
        raise StoreError(f"{folder / CODE} is gone: the code that this sweep's runs execute\ntype the same again, and it is copied anew")
    return folder / CODE


def sources(root: Path, trusted: Iterable[str]) -> dict[str, Path]:
    """What is copied, by its name in the copy: lab/, and the trusted modules of this project (what pip installed is nobody's to edit)."""
    found = {LAB.name: LAB}
    for name in sorted({each.partition(".")[0] for each in trusted}):
        source = file_of(name)
        home = root / name if source is None else source.parent if source.name == "__init__.py" else source
        if home.exists() and home.resolve().is_relative_to(root.resolve()):
            found[home.name] = home
    return found


def take(folder: Path, root: Path, trusted: Iterable[str]) -> str:
    """Copy the code into a sweep's folder, whole or not at all; a copy of other code gives way. Returns its digest. Raises OSError.

    Compiled files come along, so that nothing is compiled again.
    """
    place, wanted = folder / CODE, digest_now(root, trusted)
    if place.is_dir() and digest(place) == wanted:
        return wanted
    beside, aside = (folder / f".{CODE}-{os.getpid()}{end}.tmp" for end in ("", "-old"))
    shutil.rmtree(beside, ignore_errors=True)
    for name, source in sources(root, trusted).items():
        if source.is_dir():
            shutil.copytree(source, beside / name, ignore=LEFT_OUT)
        else:
            shutil.copy2(source, beside / name)
    git = git_state(root)
    write_json(beside / WHEN_COPIED, {"git": None if git is None else asdict(git)})  # what the runs' manifests say
    found = digest(beside)
    with suppress(FileNotFoundError):
        place.rename(aside)
    try:
        beside.rename(place)
    except OSError:  # another process of the same sweep was first
        shutil.rmtree(beside)
        found = digest(place)
    shutil.rmtree(aside, ignore_errors=True)
    return found


def digest(code: Path) -> str:
    """SHA-256 of every source in a copy, with its place: 64 hex digits."""
    return digest_of({path.relative_to(code).as_posix(): path for path in code.rglob("*.py")})


def digest_now(root: Path, trusted: Iterable[str]) -> str:
    """The digest that a copy made now would have."""
    files: dict[str, Path] = {}
    for name, source in sources(root, trusted).items():
        if source.is_dir():
            found = (path for path in source.rglob("*.py") if not any(part.startswith(".") for part in path.relative_to(source).parts))
            files |= {f"{name}/{path.relative_to(source).as_posix()}": path for path in found}
        elif source.suffix == ".py":
            files[name] = source
    return digest_of(files)


def digest_of(files: Mapping[str, Path]) -> str:
    found = hashlib.sha256()
    for name, path in sorted(files.items()):
        content = path.read_bytes()
        found.update(f"{name} {len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()
