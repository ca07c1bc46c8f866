"""What a plan leaves on disk before its first run: itself, the code that it runs, and the family of its study. Trains nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import date
from pathlib import Path
from typing import Any

from lab.config import words
from lab.errors import StoreError
from lab.files import make_folder, read_sealed, sealed, sha256_file, sha256_of, write_file, write_json
from lab.store.claim import is_claimed
from lab.store.declaration import Declaration
from lab.store.layout import store
from lab.store.machine import bits_of_machine
from lab.store.studies import declare, file_name, grown, read_earlier, studies
from lab.sweep.designs.laid import declared_arm, design_of, factors_of
from lab.sweep.designs.list_of_arms import ARMS
from lab.sweep.plan import Plan, Row
from lab.sweep.snapshot import CODE, digest, digest_now, take

MULTIRUN, TEXT = "multirun", "data.path="
COLUMNS = ("number", "arm", "seed", "identity", "directory", "overrides")


def freeze(plan: Plan, root: Path, typed: Sequence[str] = ()) -> Path:
    """Write a plan, and the code that it runs, into the sweep's folder, or find the folder of the same plan. Returns the folder.

    `typed`: the words that the same sweep is found by (lab/sweep/thawed.py). What makes the folder whole, sweep.json, comes last.
    """
    found = sorted((root / MULTIRUN).glob(f"*_{plan.id}"))
    folder = found[-1] if found else root / MULTIRUN / f"{date.today().isoformat()}_{plan.id}"
    config = plan.rows[0].job.config
    trusted = config["trusted_modules"]
    if is_whole(folder, plan.id) and digest(folder / CODE) == digest_now(root, trusted):
        remember(folder, typed)
        return folder
    if (folder / CODE).is_dir():
        require_idle(plan, folder)
    make_folder(folder)
    code = take(folder, root, trusted)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in plan.rows:
        directory = each.folder.path.relative_to(root).as_posix()
        writer.writerow([each.number, each.job.label, each.job.seed, each.identity, directory, " ".join(each.job.overrides)])
    write_file(folder / "plan.csv", text.getvalue())
    kept: dict[str, Any] = {"schema": 1, "sentence": plan.sentence()} | {each.name: getattr(plan, each.name) for each in fields(plan)}
    write_json(folder / "plan.json", kept | {"manner": asdict(plan.manner), "rows": [kept_row(each, root) for each in plan.rows]})
    about = {"schema": 1, "id": plan.id, "number": next_number(root), "words": [words_of(typed)], "code": code, "conf": conf_digest(root)}
    about |= {"bits": sha256_of(bits_of_machine(config["device"])), "plan": sha256_file(folder / "plan.json")}
    write_json(folder / "sweep.json", sealed(about))
    return folder


def require_idle(plan: Plan, folder: Path) -> None:
    """Raise StoreError while a run of this plan trains: it executes the code that would be replaced."""
    running = [row for row in plan.rows if is_claimed(row.folder.claim)]
    if running:
        raise StoreError(
            f"{folder.name} runs now with the code that it was begun with, and lab/ was edited since: {running[0].name} trains\n"
            f"wait for it, or stop it; then type the same again"
        )


def remember(folder: Path, typed: Sequence[str]) -> None:
    """Other words may ask for the same runs: from here on the sweep is found by them too."""
    about = about_sweep(folder)
    assert about is not None, "the folder is whole"
    if words_of(typed) not in about["words"]:
        write_json(folder / "sweep.json", sealed(about | {"words": [*about["words"], words_of(typed)]}))


def is_whole(folder: Path, plan_id: str) -> bool:
    """Whether a folder holds this plan, all of it."""
    about = about_sweep(folder)
    return about is not None and about["id"] == plan_id and about["plan"] == sha256_file(folder / "plan.json")


def about_sweep(folder: Path) -> dict[str, Any] | None:
    """What sweep.json says; None where it isn't there, or isn't whole: such a sweep is planned anew."""
    try:
        return read_sealed(folder / "sweep.json")
    except (OSError, ValueError):
        return None


def kept_row(row: Row, root: Path) -> dict[str, Any]:
    """A row as plan.json has it: all but its status, which is looked up when it's asked for."""
    kept = {each.name: getattr(row, each.name) for each in fields(row) if each.name not in ("job", "folder", "status")}
    return kept | {"directory": row.folder.path.relative_to(root).as_posix(), "job": asdict(row.job)}


def words_of(typed: Sequence[str]) -> list[str]:
    """The words of a sweep in one order, without the one that says where its plan comes from; a file of arms with its content."""
    return sorted(from_anywhere(each) for each in typed if not each.startswith("hydra.sweeper.plan="))


def from_anywhere(word: str) -> str:
    """A word that names a file seen from the shell's folder, as it is seen from everywhere; of a file of arms its content too."""
    if not word.startswith((ARMS, TEXT)):
        return word
    path = Path(str(words.parse([word])[0].value())).absolute()
    if word.startswith(TEXT):
        return f"{TEXT}{path}"
    return f"{ARMS}{path} {sha256_file(path) if path.is_file() else 'not there'}"


def next_number(root: Path) -> int:
    """Sweeps are counted, since no clock says which of them is the newest."""
    numbers = [about["number"] for folder in (root / MULTIRUN).glob("*_*") if (about := about_sweep(folder)) is not None]
    return max(numbers, default=0) + 1


def conf_digest(root: Path) -> str:
    """SHA-256 of every file in conf/, with its place."""
    return sha256_of({path.relative_to(root).as_posix(): sha256_file(path) for path in sorted((root / "conf").rglob("*.yaml"))})


def declare_family(plan: Plan, root: Path) -> None:
    """Write down every arm of the plan before the first of them is trained: a sweep that stops half way has its whole family."""
    declaration = declaration_of(plan)
    if declaration is not None:
        declare(root, declaration)


def require_declarable(plan: Plan, root: Path) -> None:
    """Raise what `declare_family` would, and write nothing."""
    declaration = declaration_of(plan)
    if declaration is not None:
        path = studies(store(root), declaration.baseline) / file_name(declaration.name, declaration.lock)
        earlier = read_earlier(path, declaration)
        if earlier is not None:
            grown(earlier, declaration)


def declaration_of(plan: Plan) -> Declaration | None:
    """What a plan declares: its study with its arms; None where it compares none.

    An edit of the code is no arm of a plan: it is found out beside the baseline, and counts from its request on.
    """
    arms = dict.fromkeys(
        declared_arm(row.job.label, row.change_id, row.job.cell)
        for row in plan.rows
        if row.job.changes and all(change["kind"] != "code" for change in row.job.changes)
    )
    if not arms:
        return None
    cells = [row.job.cell for row in plan.rows]
    return Declaration(
        name=plan.study,
        baseline=plan.baseline,
        lock=plan.lock,
        question=plan.question,
        by_hand=plan.by_hand,
        arms=tuple(arms),
        looks=plan.looks,
        smallest_effect=plan.smallest_effect,
        design=design_of(cells),
        factors=factors_of(cells),
    )
