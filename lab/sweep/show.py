"""A plan as a person reads it: each arm's seeds with their state, and what is left to pay."""

from __future__ import annotations

from contextlib import suppress
from statistics import fmean

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab.errors import StoreError
from lab.store.console import duration
from lab.store.layout import run_folders
from lab.store.runs import read_result, status_of
from lab.sweep.plan import Plan


def print_plan(plan: Plan) -> None:
    """The plan in words, a row for each arm, and the cost of what is missing."""
    console = Console(highlight=False)
    console.print(Text(f"{plan.sentence()} (study `{plan.study}`)"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("arm", overflow="fold")
    for seed in plan.seeds:
        table.add_column(f"seed {seed}")
    for label in dict.fromkeys(row.job.label for row in plan.rows):
        states = {row.job.seed: row.status for row in plan.rows if row.job.label == label}
        table.add_row(Text(label), *(states.get(seed, "") for seed in plan.seeds))
    console.print(table)
    missing = [row for row in plan.rows if row.status not in ("finished", "diverged")]
    if not missing:
        console.print(f"nothing to train; next: python -m lab report --baseline {plan.baseline}")
        return
    seconds = seconds_of_a_run(plan)
    cost = (
        "their cost is unknown until one has finished" if seconds is None else f"about {duration(seconds * len(missing))} on this machine"
    )
    most = "at most " if plan.untried else ""  # an inert edit leaves the baseline's runs as they are
    console.print(f"{most}{len(missing)} of {len(plan.rows)} runs to train: {cost}")


def seconds_of_a_run(plan: Plan) -> float | None:
    """The mean duration of this baseline's finished runs, in seconds; None without any."""
    root = plan.rows[0].identified.folder.path.parents[3]
    seconds = []
    for folder in run_folders(root, plan.baseline):
        with suppress(StoreError):  # a damaged run costs nothing to know
            if status_of(folder) == "finished":
                seconds.append(read_result(folder)["cost"]["seconds"])
    return fmean(seconds) if seconds else None
