"""Declared studies: which arms somebody meant to compare, by which looks and which D, written down before the first run of them.

Owns runs/<baseline>/studies/: one sealed file for each study and lock. A declaration holds for good: its looks, its D and its
question never change, and its family only grows. Knows names and digests; composes nothing, judges nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from lab.errors import ConfigError, StoreError
from lab.files import make_folder, read_rows, read_sealed, sealed, write_json
from lab.store.declaration import CURVE, Declaration, DeclaredArm, Factor, parse_declaration
from lab.store.layout import run_folders, store
from lab.store.plain import plain
from lab.store.runs import newest_number

# A name that is a file's name as it is, on a disk that knows no capital letters too.
SAFE = re.compile(r"[a-z0-9][a-z0-9._=+-]{0,59}")
COUNTER = ".requests"  # lab/store/runs.py counts there
CONFIRM = "confirm"  # what `lab confirm` asks for
OF_VERBS = frozenset({"screening", CONFIRM, "selfcheck"})  # the study of single runs, and those that a verb names itself


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

    Raises ConfigError where it contradicts what was declared or takes a name that isn't free, and StoreError where what was declared
    can't be read.
    """
    if declaration.by_hand:
        require_free(declaration.name)
    folder = studies(store(root), declaration.baseline)
    path = folder / file_name(declaration.name, declaration.lock)
    with locked(folder):
        earlier = read_earlier(path, declaration)
        now = first(root, declaration) if earlier is None else grown(earlier, declaration)
        if any(arm.after is None for arm in now.arms if earlier is None or arm not in earlier.arms):
            now = stamped(now, earlier.arms if earlier is not None else (), newest_request(root))
        if now != earlier:
            write_json(path, sealed(now.record()))
    return now


def require_free(name: str) -> None:
    """A study by hand doesn't take a name under which runs are asked for without it. Raises ConfigError."""
    if name in OF_VERBS:
        raise ConfigError(f"study `{name}`: that name is the lab's own ({', '.join(sorted(OF_VERBS))})\ngive the study another name")


def stamped(now: Declaration, known: Iterable[DeclaredArm], newest: int) -> Declaration:
    """A declaration whose new arms tell before which requests they were declared: only those may be judged by its rules."""
    known = set(known)
    return replace(now, arms=tuple(arm if arm in known else replace(arm, after=newest) for arm in now.arms))


def newest_request(root: Path) -> int:
    """The number of the newest request, by the store's counter where it has one; else by the requests themselves."""
    try:
        text = (store(root) / COUNTER).read_text(errors="replace").strip()
    except FileNotFoundError:
        text = ""
    return int(text) if text.isdigit() and len(text) < 19 else newest_number(root)


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
    return replace(earlier, arms=(*earlier.arms, *added), factors=longer(earlier, new) if new.of_cells else earlier.factors)


def longer(earlier: Declaration, new: Declaration) -> tuple[Factor, ...]:
    """The factors with the values that a curve got since; those of a factorial are equal."""
    pairs = zip(earlier.factors, new.factors, strict=True)
    return tuple(replace(old, levels=tuple(dict.fromkeys((*old.levels, *now.levels)))) for old, now in pairs)


def contradictions(earlier: Declaration, new: Declaration) -> list[str]:
    """In what a declaration may not differ from the one that stands, a line each."""
    old_labels, new_labels = ({arm.label for arm in each.arms} for each in (earlier, new))
    known = {arm.change_id for arm in earlier.arms}
    fresh = [arm.label for arm in new.arms if arm.change_id not in known and arm.label not in old_labels]
    gone = [arm.label for arm in earlier.arms if arm.label not in new_labels and arm.change_id not in {each.change_id for each in new.arms}]
    if earlier.by_hand and not new.by_hand:  # a sweep of some of its arms is part of the study
        return [f"arms: {listed(fresh)} not among the {len(old_labels)} declared in conf/study"] if fresh else []
    odd = [f"{name}: {said(old)}, now {said(now)}" for name, old, now in rules_of_both(earlier, new) if old != now]
    if earlier.design != new.design:
        return [*odd, f"design: {earlier.design}, now {new.design}"]
    if factors_said(earlier) != factors_said(new):
        odd.append(f"factors: {factors_said(earlier)}, now {factors_said(new)}")
    places, others = labels_of_cells(earlier), labels_of_cells(new)
    moved = [levels for levels, label in others.items() if levels in places and places[levels] != label]
    odd += [f"{plain(', '.join(levels))}: {plain(places[levels])}, now {plain(others[levels])}" for levels in moved]
    if new.by_hand and earlier.by_hand and (fresh or gone):
        odd.append("arms: " + "; ".join([f"now also {listed(fresh)}"] * bool(fresh) + [f"without {listed(gone)}"] * bool(gone)))
    if new.by_hand and not earlier.by_hand:
        odd.append("declared: by a sweep, now by hand in conf/study")
    return odd


def rules_of_both(earlier: Declaration, new: Declaration) -> list[tuple[str, Any, Any]]:
    names = ("question", "looks", "smallest_effect")
    return [(name, getattr(earlier, name), getattr(new, name)) for name in names]


def labels_of_cells(declaration: Declaration) -> dict[tuple[str, ...], str]:
    """Of each cell its label; the one that was declared as no arm is the baseline."""
    found = {arm.levels: arm.label for arm in declaration.arms} if declaration.of_cells else {}
    rest = [levels for levels in product(*(each.levels for each in declaration.factors)) if levels not in found]
    return found | ({rest[0]: "baseline"} if declaration.of_cells and len(rest) == 1 else {})


def factors_said(declaration: Declaration) -> str:
    """What may not differ of a study's factors: all of a factorial's; of a curve the key and what is beside it."""
    levels = declaration.design != CURVE
    told = [
        (each, f"={listed(each.levels)}" * levels, f" beside {listed(each.beside)}" * bool(each.beside)) for each in declaration.factors
    ]
    return ", ".join(f"{plain(each.key)}{values}{beside}" for each, values, beside in told)


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
