"""Declared studies: which arms somebody meant to compare, by which looks and which D, written down before the first run of them.

Owns runs/<baseline>/studies/: one sealed file for each study and lock. A declaration holds for good: its looks, its D and its
question never change, and its family only grows. Knows names and digests; composes nothing, judges nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from lab.errors import ConfigError, StoreError
from lab.files import make_folder, read_rows, read_sealed, sealed, write_json
from lab.store.layout import run_folders, store
from lab.store.plain import plain

SCHEMA = 1
LARGEST = 1e300  # a whole number in JSON may be too large for a float
# A name that is a file's name as it is, on a disk that knows no capital letters too.
SAFE = re.compile(r"[a-z0-9][a-z0-9._=+-]{0,59}")
FIELDS = {"schema", "name", "baseline", "lock", "question", "by_hand", "arms", "looks", "smallest_effect", "asked_before"}


@dataclass(frozen=True)
class DeclaredArm:
    """One arm as it was declared: its label, and what it is without its code."""

    label: str
    change_id: str


@dataclass(frozen=True)
class Declaration:
    """One study under one lock. None for looks or smallest_effect: the pin's own."""

    name: str
    baseline: str
    lock: str
    question: str
    by_hand: bool  # by a file of conf/study: its arms are all that it will ever have
    arms: tuple[DeclaredArm, ...]
    looks: tuple[int, ...] | None = None
    smallest_effect: float | None = None
    asked_before: int = 0  # requests for arms of it that were there before its rules: these weren't fixed before the data. Counted here


def studies(runs: Path, baseline: str) -> Path:
    """Where the declarations of a baseline lie; `runs` is the store."""
    return runs / baseline / "studies"


def file_name(study: str, lock: str) -> str:
    """NAME-<lock8>.json; a name that is none for a file is made one, and told apart by 8 hex of itself."""
    if not SAFE.fullmatch(study):
        slug = re.sub(r"[^a-z0-9._=+-]+", "_", study.lower()).strip("._-")[:50] or "study"
        study = f"{slug}-{hashlib.sha256(study.encode(errors='backslashreplace')).hexdigest()[:8]}"
    return f"{study}-{lock[:8]}.json"


def declare(root: Path, declaration: Declaration) -> Declaration:
    """Write a study down, or add its new arms to what was declared under this name and lock. Returns what stands now.

    Raises ConfigError where it contradicts what was declared, and StoreError where that can't be read.
    """
    folder = studies(store(root), declaration.baseline)
    path = folder / file_name(declaration.name, declaration.lock)
    with locked(folder):
        earlier = read_earlier(path, declaration)
        now = first(root, declaration) if earlier is None else grown(earlier, declaration)
        if now != earlier:
            write_json(path, sealed({"schema": SCHEMA} | asdict(now)))
    return now


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone in a folder while the block runs: of two sweeps that declare at once neither loses the other's arms."""
    make_folder(folder)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_earlier(path: Path, declaration: Declaration) -> Declaration | None:
    if not path.exists():
        return None
    try:
        earlier = parse_declaration(read_sealed(path), declaration.baseline)
        if (earlier.name, earlier.lock) != (declaration.name, declaration.lock):
            raise ValueError(f"it declares study {earlier.name!r} under lock {earlier.lock[:8]}")
    except (OSError, ValueError, RecursionError) as error:
        told = str(error).replace(str(path), path.name)
        raise StoreError(
            f"the declaration of study `{plain(declaration.name)}` can't be used: {plain(told)}\n"
            f"bring back runs/{declaration.baseline}/studies/{path.name} from a copy, or give the study another name: study=NAME"
        ) from None
    return earlier


def first(root: Path, declaration: Declaration) -> Declaration:
    """A declaration of a new study; where it brings rules of its own, with the count of what was asked for before them."""
    if declaration.looks is None and declaration.smallest_effect is None:
        return declaration
    about = {"baseline": declaration.baseline, "lock": declaration.lock, "study": declaration.name, "exploring": False}
    rows = [row for folder in run_folders(root) for row in read_rows(folder.requests)[0] if row.get("changes")]
    return replace(declaration, asked_before=sum(all(row.get(name) == value for name, value in about.items()) for row in rows))


def grown(earlier: Declaration, new: Declaration) -> Declaration:
    """What was declared, with the new arms. An arm of the same label with another change_id is the same one on another text."""
    added = tuple(dict.fromkeys(arm for arm in new.arms if arm.change_id not in {each.change_id for each in earlier.arms}))
    if odd := contradictions(earlier, new):
        study = plain(new.name)
        raise ConfigError(
            f"study `{study}` was declared with other things than it has now, under this lock of baseline `{new.baseline}`:\n"
            + "".join(f"  {line}\n" for line in odd)
            + "what was declared before its data stays; give the new one another name: study=NAME"
        )
    return replace(earlier, arms=(*earlier.arms, *added))


def contradictions(earlier: Declaration, new: Declaration) -> list[str]:
    """In what a declaration may not differ from the one that stands, a line each."""
    old_labels, new_labels = ({arm.label for arm in each.arms} for each in (earlier, new))
    known = {arm.change_id for arm in earlier.arms}
    fresh = [arm.label for arm in new.arms if arm.change_id not in known and arm.label not in old_labels]
    gone = [arm.label for arm in earlier.arms if arm.label not in new_labels and arm.change_id not in {each.change_id for each in new.arms}]
    if earlier.by_hand and not new.by_hand:  # a sweep of some of its arms is part of the study
        return [f"arms: {listed(fresh)} not among the {len(old_labels)} declared in conf/study"] if fresh else []
    odd = [f"{name}: {said(old)}, now {said(now)}" for name, old, now in rules_of_both(earlier, new) if old != now]
    if new.by_hand and earlier.by_hand and (fresh or gone):
        odd.append("arms: " + "; ".join([f"now also {listed(fresh)}"] * bool(fresh) + [f"without {listed(gone)}"] * bool(gone)))
    if new.by_hand and not earlier.by_hand:
        odd.append("declared: by a sweep, now by hand in conf/study")
    return odd


def rules_of_both(earlier: Declaration, new: Declaration) -> list[tuple[str, Any, Any]]:
    names = ("question", "looks", "smallest_effect")
    return [(name, getattr(earlier, name), getattr(new, name)) for name in names]


def said(value: Any) -> str:
    if value is None or value == "":
        return "none of its own"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else plain(str(value))


def listed(labels: Iterable[str]) -> str:
    return ", ".join(plain(label) for label in dict.fromkeys(labels))


def read_declarations(runs: Path, baseline: str) -> tuple[list[Declaration], list[tuple[str, str]]]:
    """Every declaration of a baseline, under whatever lock, by the order of their files; and what can't be read: its path, and why."""
    found, damaged = [], []
    folder = studies(runs, baseline)
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    except FileNotFoundError:
        return [], []
    except OSError as error:
        return [], [(folder.relative_to(runs).as_posix(), error.strerror or type(error).__name__)]
    for path in paths:
        try:
            declaration = parse_declaration(read_sealed(path), baseline)
            if path.name != file_name(declaration.name, declaration.lock):
                raise ValueError(f"{path.name} isn't the name of what it declares: {declaration.name!r} under lock {declaration.lock[:8]}")
            found.append(declaration)
        except (OSError, ValueError, RecursionError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
            damaged.append((path.relative_to(runs).as_posix(), why.replace(str(path), path.name)))
    return found, damaged


def parse_declaration(content: Mapping[str, Any], baseline: str) -> Declaration:
    """What a file in this baseline's folder declares. Raises ValueError for anything that `declare` doesn't write."""
    if content.get("schema") != SCHEMA:
        raise ValueError(f"schema {content.get('schema')!r}, this version reads {SCHEMA}")
    texts = ("name", "baseline", "lock", "question")
    odd = [name for name in texts if not isinstance(content.get(name), str)]
    odd += [] if isinstance(content.get("by_hand"), bool) else ["by_hand"]
    odd += [] if are_arms(content.get("arms")) else ["arms"]
    odd += [] if are_looks(content.get("looks")) else ["looks"]
    odd += [] if is_effect(content.get("smallest_effect")) else ["smallest_effect"]
    odd += [] if is_count(content.get("asked_before")) else ["asked_before"]
    odd += sorted(FIELDS - content.keys() - set(odd))
    if odd:
        raise ValueError(f"{', '.join(map(repr, odd))}: not as {'it is' if len(odd) == 1 else 'they are'} written")
    if content["baseline"] != baseline:
        raise ValueError(f"it is about baseline {content['baseline']!r}, and lies with those of {baseline!r}")
    arms = tuple(DeclaredArm(arm["label"], arm["change_id"]) for arm in content["arms"])
    looks = None if content["looks"] is None else tuple(content["looks"])
    return Declaration(
        **{name: content[name] for name in texts},
        by_hand=content["by_hand"],
        arms=arms,
        looks=looks,
        smallest_effect=content["smallest_effect"],
        asked_before=content["asked_before"],
    )


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def are_arms(value: Any) -> bool:
    keys = ("label", "change_id")
    return isinstance(value, list) and all(isinstance(arm, dict) and all(isinstance(arm.get(key), str) for key in keys) for arm in value)


def are_looks(value: Any) -> bool:
    """None, or rising numbers of seeds, as a pin's judgement has them."""
    if value is None:
        return True
    if not isinstance(value, list) or not value or not all(isinstance(n, int) and not isinstance(n, bool) for n in value):
        return False
    return value[0] >= 2 and all(a < b for a, b in pairwise(value)) and value[-1] < 2**31


def is_effect(value: Any) -> bool:
    """None, or a D: a positive number."""
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < LARGEST)
