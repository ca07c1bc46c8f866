"""`python run.py --multirun ...`: plan, check, freeze, run, report. The parent of a sweep never imports torch."""

from __future__ import annotations

import sys
from pathlib import Path

from lab.config import words
from lab.config.compose import Composer
from lab.errors import LabError
from lab.files import write_file
from lab.store.console import Console
from lab.sweep.launcher import launch
from lab.sweep.plan import freeze, make_plan


class SweepFailed(LabError):
    """Some runs of a sweep failed; the others are finished."""

    exit_status = 1


def sweep(typed: list[str], root: Path) -> None:
    """Run a sweep to its report. Raises LabError: before anything is written when an arm is refused, else at the end."""
    console = Console()
    command = " ".join(["python run.py --multirun", *(words.shell(each) for each in typed)])
    plan = make_plan(Composer(root), typed, command, console.say, replay=True)
    folder = freeze(plan, root)
    console.say(plan.sentence())
    for each in dict.fromkeys(word for row in plan.rows for word in row.job.held if word.startswith("seed ")):
        console.say(f"  {each}")
    console.say(f"study `{plan.study}`, plan in {folder.relative_to(root).as_posix()}/plan.csv")
    failed = launch(plan, folder)
    from lab.results.report import build, print_report, to_markdown  # pandas: only when there is something to report

    report = build(root, plan.baseline)
    write_file(folder / "report.md", to_markdown(report))
    print_report(report, console.rich)
    sys.stdout.flush()
    if failed:
        names = "\n".join(f"  {row.job.label} seed {row.job.seed}: {row.folder.path.relative_to(root).as_posix()}" for row in failed)
        raise SweepFailed(f"{len(failed)} of {len(plan.rows)} runs failed:\n{names}\ntype the same again to train what is missing")
