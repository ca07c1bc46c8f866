"""`python run.py --multirun ...`: plan, check, freeze, run, report. The parent of a sweep imports neither torch nor pandas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lab.config import words
from lab.errors import LabError, MachineError
from lab.store.console import Console
from lab.sweep import launcher, told
from lab.sweep.decided import JUDGED_BY_ARM, require_decidable, until_decided
from lab.sweep.designs.list_of_arms import as_typed
from lab.sweep.frozen import declare_family, freeze
from lab.sweep.judged import Judging
from lab.sweep.plan import Plan
from lab.sweep.remote import launcher as remote
from lab.sweep.remote.engines import require_ready
from lab.sweep.show import left_to_train, remarks
from lab.sweep.shown.screen import watcher_of
from lab.sweep.thawed import plan_or_thaw
from lab.sweep.watcher import Failed, Watcher


class SweepFailed(LabError):
    """Some runs of a sweep failed; the others are finished."""

    exit_status = 1


def sweep(typed: list[str], root: Path) -> None:
    """Run a sweep to its report. Raises LabError: before anything is written when an arm is refused, else at the end."""
    console = Console()
    command = " ".join(["python run.py --multirun", *(words.shell(each) for each in as_typed(typed, root))])
    plan, begun = plan_or_thaw(root, typed, command, console.say, replay=True)
    judging = Judging(plan, root) if plan.manner.design in JUDGED_BY_ARM else None
    try:
        folder, failed = carry_out(plan, root, console.say, watcher_of(console, judging), typed, begun)
    except OSError as error:
        raise MachineError(f"the sweep can't be written down or carried out: {error}\nput that right; the same command goes on") from error
    told.report(plan, root, folder)
    refuse_failed(plan, failed, root)


def carry_out(
    plan: Plan, root: Path, say: Callable[[str], None], watcher: Watcher, typed: Sequence[str] = (), begun: Path | None = None
) -> tuple[Path, list[Failed]]:
    """Declare the plan's family, freeze it, and train what is missing. Returns its folder (`begun`: it is frozen there) and what failed."""
    if plan.manner.until == "decided":
        require_decidable(plan)
    require_ready(plan.manner, root)
    declare_family(plan, root)
    folder = begun or freeze(plan, root, typed)
    say(plan.sentence())
    for each in remarks(plan):
        say(f"  {each}")
    say(f"study `{plan.study}`, plan in {folder.relative_to(root).as_posix()}/plan.csv")
    say(left_to_train(plan))
    launch = launcher.launch if plan.manner.launcher == "local" else remote.launch
    if plan.manner.until == "decided":
        return folder, until_decided(plan, folder, root, lambda rows: launch(plan, rows, folder, watcher), say)
    return folder, launch(plan, plan.rows, folder, watcher)


def refuse_failed(plan: Plan, failed: Sequence[Failed], root: Path) -> None:
    """Raise SweepFailed where runs of a plan failed, naming each with its error."""
    if failed:
        rows = [(each.row, each.said) for each in sorted(failed, key=lambda each: each.row.number)]
        names = "\n".join(
            f"  {row.job.label} seed {row.job.seed}: {row.folder.path.relative_to(root).as_posix()}\n    {said}" for row, said in rows
        )
        what = "failed" if not any(said.startswith("undecided: ") for _, said in rows) else "failed, or can't be judged"
        raise SweepFailed(f"{len(failed)} of {len(plan.rows)} runs {what}:\n{names}\ntype the same again to train what is missing")
