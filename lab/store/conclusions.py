"""What people concluded of an arm, in their words: runs/<baseline>/conclusions.jsonl, append-only. Judges nothing, changes no verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from lab.files import append_line, make_folder, read_rows
from lab.store.layout import store

FILE = "conclusions.jsonl"


@dataclass(frozen=True)
class Conclusion:
    """One sentence of somebody's, and what the report said of the arm when it was written."""

    at: str  # UTC
    arm_id: str
    change_id: str  # the arm without its code: the words stand for the change
    label: str
    verdict: str
    text: str


def conclude(root: Path, baseline: str, arm_id: str, change_id: str, label: str, verdict: str, text: str) -> Conclusion:
    """Append a conclusion, durably. Earlier ones stay: a mind that was changed is worth reading too."""
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    made = Conclusion(at, arm_id, change_id, label, verdict, text)
    folder = store(root) / baseline
    make_folder(folder)
    append_line(folder / FILE, asdict(made))
    return made


def read_conclusions(runs: Path, baseline: str) -> tuple[list[Conclusion], int]:
    """Those of one baseline, oldest first, and how many lines could not be used."""
    try:
        rows, damaged = read_rows(runs / baseline / FILE)
    except FileNotFoundError:
        return [], 0
    names = tuple(Conclusion.__dataclass_fields__)
    sound = [row for row in rows if all(isinstance(row.get(name), str) for name in names)]
    return [Conclusion(**{name: row[name] for name in names}) for row in sound], damaged + len(rows) - len(sound)
