"""A sweep that was cut off, found by its words: it goes on with the plan and the code that it was begun with. Changes nothing on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.ablate.codemap import LAB
from lab.ablate.lock import load_pin
from lab.config.compose import Composer
from lab.errors import LabError, StoreError
from lab.files import read_json, sha256_file, sha256_of
from lab.request import Job
from lab.store.layout import RunFolder
from lab.store.machine import bits_of_machine
from lab.store.runs import status_of
from lab.store.twins import Listed, folder_of, listed
from lab.sweep.frozen import MULTIRUN, about_sweep, conf_digest, words_of
from lab.sweep.looks import is_over
from lab.sweep.manner import Manner, read_manner
from lab.sweep.plan import Plan, Row, choice_of, make_plan
from lab.sweep.remote.engines import require_settings
from lab.sweep.snapshot import CODE, digest

LARGEST = 1 << 28  # bytes of a plan: a thousand runs are some 20 MB
NAMED = 3  # edited files that are named


def plan_or_thaw(
    root: Path, typed: Sequence[str], command: str, say: Callable[[str], None], *, replay: bool = False
) -> tuple[Plan, Path | None]:
    """The plan of a sweep: of an unfinished one of the same words as it was frozen, with its folder; else made now. Raises LabError."""
    manner, _ = read_manner(typed)
    require_settings(manner, root)
    folder = cut_off(root, typed, say) if manner.plan == "found" else None
    if folder is None:
        return make_plan(Composer(root), typed, command, say, replay=replay), None
    plan = replace(thaw(folder, root), manner=manner)
    say(f"goes on with {folder.relative_to(root).as_posix()}: its plan and its code, as they were frozen when it began")
    edited = edits(folder, root)
    if edited:
        say(f"  edited since, and not in it: {', '.join(edited)}; to plan anew with today's files: hydra.sweeper.plan=new")
    return plan, folder


def cut_off(root: Path, typed: Sequence[str], say: Callable[[str], None]) -> Path | None:
    """The newest sweep of these words, where it was cut off: some of its runs have no outcome, and none failed by itself.

    What failed is tried again with today's files: whoever types the same again has mended something.
    """
    wanted = words_of(typed)
    there = [(about["number"], folder, about) for folder in (root / MULTIRUN).glob("*_*") if (about := about_sweep(folder)) is not None]
    mine = [each for each in there if wanted in each[2]["words"] and wanted]
    if not mine:
        return None
    _, folder, about = max(mine, key=lambda each: each[0])
    if not is_as_it_was(folder, about):
        say(f"{folder.relative_to(root).as_posix()} isn't as it was frozen: planned anew")
        return None
    plan = thaw(folder, root)
    if all(row.status in ("finished", "diverged") for row in plan.rows) or is_over(folder, plan.id):
        return None
    if any(row.status == "failed" and failed_by_itself(row) for row in plan.rows):
        return None
    if about["bits"] != sha256_of(bits_of_machine(plan.rows[0].job.config["device"])):
        say(f"torch, the processor or their settings aren't those of {folder.relative_to(root).as_posix()}: planned anew")
        return None
    return folder if is_pinned(plan, root) else None


def failed_by_itself(row: Row) -> bool:
    """Whether a run's own code failed it. What the machine failed is tried again as it was."""
    try:
        return read_json(row.folder.failure).get("machine") is not True
    except (OSError, ValueError):
        return True


def is_as_it_was(folder: Path, about: dict[str, Any]) -> bool:
    try:
        return bool(about["plan"] == sha256_file(folder / "plan.json") and about["code"] == digest(folder / CODE))
    except OSError:
        return False


def is_pinned(plan: Plan, root: Path) -> bool:
    """Whether the plan's baseline is still pinned as it was; one whose files are being edited now is, until it's pinned again."""
    try:
        return load_pin(root, plan.baseline).sha256 == plan.lock
    except LabError:
        return True


def thaw(folder: Path, root: Path) -> Plan:
    """The plan in a sweep's folder, each row with the status that it has now."""
    kept = read_json(folder / "plan.json", LARGEST)
    tuples = {name: tuple(kept[name]) for name in ("arms", "seeds")} | {"looks": None if kept["looks"] is None else tuple(kept["looks"])}
    manner = Manner(**kept["manner"] | {"settings": tuple(kept["manner"]["settings"])})
    known = listed(root)
    rows = tuple(thawed_row(each, root, known) for each in kept["rows"])
    plain = {name: value for name, value in kept.items() if name not in ("schema", "sentence")}
    return Plan(**plain | tuples | {"manner": manner, "rows": rows})


def thawed_row(kept: dict[str, Any], root: Path, known: Listed) -> Row:
    """One row. Its project may have been moved since, so the job's root is this one."""
    job = Job(**kept["job"] | {"root": str(root)})
    rest = {name: value for name, value in kept.items() if name not in ("job", "directory", "joined")}
    row = Row(**rest, job=job, joined=tuple(kept["joined"]), folder=RunFolder(root / kept["directory"]), status="missing")
    return Row(**vars(row) | status_now(row, known))


def status_now(row: Row, known: Listed) -> dict[str, Any]:
    """Where a row's run is now, and its status."""
    try:
        choice = choice_of(row, known)
        return {"folder": folder_of(choice, row.folder), "status": status_of(choice.folder) if choice.folder else "missing"}
    except StoreError:  # it stops no other run: what is wrong with it is said when its turn comes
        return {"status": "damaged"}


def edits(folder: Path, root: Path) -> list[str]:
    """What was edited since a sweep was frozen: the first few files of the code, and conf/."""
    code, now = folder / CODE, LAB.parent
    places = {path.relative_to(code) for path in code.rglob("*.py")} | {path.relative_to(now) for path in LAB.rglob("*.py")}
    moved = sorted(place.as_posix() for place in places if not same(code / place, (now if place.parts[0] == LAB.name else root) / place))
    about = about_sweep(folder)
    conf = ["conf/"] if about is not None and about["conf"] != conf_digest(root) else []
    return moved[:NAMED] + ([f"{len(moved) - NAMED} more of lab/"] if len(moved) > NAMED else []) + conf


def same(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()
