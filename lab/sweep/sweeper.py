"""`python run.py --multirun ...`: plan, check, freeze, run, report. The parent of a sweep never imports torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.config import words
from lab.config.compose import Composer
from lab.errors import LabError
from lab.files import write_file
from lab.store.console import Console
from lab.sweep.frozen import declare_family, freeze
from lab.sweep.launcher import launch
from lab.sweep.plan import Plan, Row, make_plan
from lab.sweep.show import left_to_train


class SweepFailed(LabError):
    """Some runs of a sweep failed; the others are finished."""

    exit_status = 1


def sweep(typed: list[str], root: Path) -> None:
    """Run a sweep to its report. Raises LabError: before anything is written when an arm is refused, else at the end."""
    console = Console()
    command = " ".join(["python run.py --multirun", *(words.shell(each) for each in typed)])
    plan = make_plan(Composer(root), typed, command, console.say, replay=True)
    folder, failed = carry_out(plan, root, console.say)
    report(plan, root, folder, console)
    refuse_failed(plan, failed, root)


def report(plan: Plan, root: Path, folder: Path, console: Console) -> None:
    """The verdicts on the screen, and in the sweep's folder as Markdown and as a page; this machine's cohort first."""
    from lab.results.collect import load  # pandas: only when there is something to report
    from lab.results.curves import curves
    from lab.results.forms import FORMATS, print_report
    from lab.results.report import build
    from lab.results.telling import tell

    lab = load(root / "runs")
    facts = tell(build(root, plan.baseline, here=lambda known: plan.cohort, lab=lab))
    print_report(facts, console.rich, brief=(folder / "report.html").relative_to(root).as_posix())
    sys.stdout.flush()
    drawn = curves(lab, facts)
    for form in ("md", "html"):
        write_file(folder / f"report{FORMATS[form].suffix}", FORMATS[form].make(facts, drawn))


def carry_out(plan: Plan, root: Path, say: Callable[[str], None]) -> tuple[Path, list[Row]]:
    """Declare the plan's family, freeze it, and train what is missing. Returns its folder and the runs that failed."""
    declare_family(plan, root)
    folder = freeze(plan, root)
    say(plan.sentence())
    for each in remarks(plan):
        say(f"  {each}")
    say(f"study `{plan.study}`, plan in {folder.relative_to(root).as_posix()}/plan.csv")
    say(left_to_train(plan))
    return folder, launch(plan, folder)


def remarks(plan: Plan) -> list[str]:
    """What is to be known of its runs before they start, each said once; of its baseline only what holds for it alone."""
    rows = [row for row in plan.rows if row.job.changes] or plan.rows
    return list(dict.fromkeys(word for row in rows for word in row.job.held if word.startswith(("seed ", "explore="))))


def refuse_failed(plan: Plan, failed: Sequence[Row], root: Path) -> None:
    """Raise SweepFailed where runs of a plan failed, naming each."""
    if failed:
        names = "\n".join(f"  {row.job.label} seed {row.job.seed}: {row.folder.path.relative_to(root).as_posix()}" for row in failed)
        raise SweepFailed(f"{len(failed)} of {len(plan.rows)} runs failed:\n{names}\ntype the same again to train what is missing")
