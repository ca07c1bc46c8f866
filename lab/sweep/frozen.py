"""What a plan leaves on disk before its first run: plan.csv and plan.json, and the family of its study. Trains nothing."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from lab.files import read_json, write_file, write_json
from lab.store.declaration import Declaration, DeclaredArm
from lab.store.layout import store
from lab.store.studies import declare, file_name, grown, read_earlier, studies
from lab.sweep.plan import Plan

COLUMNS = ("number", "arm", "seed", "identity", "directory", "overrides")


def freeze(plan: Plan, root: Path) -> Path:
    """Write plan.csv and plan.json into the sweep's folder, or find the folder of the same plan. Returns the folder."""
    found = sorted((root / "multirun").glob(f"*_{plan.id}"))
    folder = found[-1] if found else root / "multirun" / f"{date.today().isoformat()}_{plan.id}"
    if (folder / "plan.json").exists() and read_json(folder / "plan.json").get("id") == plan.id:
        return folder
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in plan.rows:
        directory = each.folder.path.relative_to(root).as_posix()
        writer.writerow([each.number, each.job.label, each.job.seed, each.identity, directory, " ".join(each.job.overrides)])
    write_file(folder / "plan.csv", text.getvalue())
    rows = [{"number": each.number, "identity": each.identity, "job": asdict(each.job)} for each in plan.rows]
    kept: dict[str, Any] = {"schema": 1, "id": plan.id, "study": plan.study, "baseline": plan.baseline, "sentence": plan.sentence()}
    kept |= {"question": plan.question, "by_hand": plan.by_hand, "looks": plan.looks, "smallest_effect": plan.smallest_effect}
    write_json(folder / "plan.json", kept | {"rows": rows})
    return folder


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
        DeclaredArm(row.job.label, row.change_id)
        for row in plan.rows
        if row.job.changes and all(change["kind"] != "code" for change in row.job.changes)
    )
    if not arms:
        return None
    return Declaration(
        name=plan.study,
        baseline=plan.baseline,
        lock=plan.lock,
        question=plan.question,
        by_hand=plan.by_hand,
        arms=tuple(arms),
        looks=plan.looks,
        smallest_effect=plan.smallest_effect,
    )
