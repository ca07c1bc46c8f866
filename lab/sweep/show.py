"""A plan as a person reads it: each arm's seeds with their state, and what is left to pay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab.errors import StoreError
from lab.store.console import duration
from lab.store.layout import run_folders
from lab.store.plain import plain
from lab.store.runs import read_result, status_of
from lab.sweep.plan import Plan, Row
from lab.sweep.slots import slots_of

WIDEST_ARM = 32  # columns for an arm's label; a longer one is folded


def print_plan(plan: Plan) -> None:
    """The plan in words, a row for each arm, and the cost of what is missing."""
    console = Console(highlight=False)
    console.print(Text(f"{plan.sentence()} (study `{plan.study}`)"))
    if plan.question:
        console.print(Text(f"question: {plain(plan.question)}"))
    if plan.looks is not None or plan.smallest_effect is not None:
        console.print(Text(f"in place of the pin's: {', '.join(rules_said(plan))}"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("arm", overflow="fold")
    arms = {label: {row.job.seed: row.status for row in plan.rows if row.job.label == label} for label in labels(plan)}
    columns = [max(len(f"seed {seed}"), *(len(states.get(seed, "")) for states in arms.values())) for seed in plan.seeds]
    if min(WIDEST_ARM, max(map(len, arms))) + sum(width + 2 for width in columns) <= console.width:
        for seed in plan.seeds:
            table.add_column(f"seed {seed}")
        for label, states in arms.items():
            table.add_row(Text(label), *(states.get(seed, "") for seed in plan.seeds))
    else:  # cut cells would say nothing
        table.add_column(f"runs at {len(plan.seeds)} seeds", overflow="fold")
        for label, states in arms.items():
            table.add_row(Text(label), counts(states))
    console.print(table)
    for each in remarks(plan):
        console.print(Text(f"  {each}"))
    if missing_of(plan):
        console.print(left_to_train(plan))
    else:  # an arm that was trained under another pin is told of once a sweep has asked for it under this one
        console.print(
            f"nothing to train; next: python run.py --multirun with the same words, or python -m lab report --baseline {plan.baseline}"
        )


def remarks(plan: Plan) -> list[str]:
    """What is to be known of its runs before they start, each said once; of its baseline only what holds for it alone."""
    rows = [row for row in plan.rows if row.job.changes] or plan.rows
    return list(dict.fromkeys(word for row in rows for word in row.job.held if word.startswith(("seed ", "explore=", "device.threads="))))


def missing_of(plan: Plan) -> list[Row]:
    """The runs without an outcome."""
    return [row for row in plan.rows if row.status not in ("finished", "diverged")]


def left_to_train(plan: Plan) -> str:
    """How many runs are still to be trained, and how long that will take where it can be known."""
    rows = missing_of(plan)
    missing, running = len(rows), sum(row.status == "running" for row in rows)
    if not missing:
        return f"nothing to train: all {len(plan.rows)} runs are there"
    seconds = seconds_of_a_run(plan)
    cost = "their cost is unknown until one has finished" if seconds is None else about(plan, missing, seconds)
    most = "at most " if plan.untried or plan.manner.until == "decided" else ""  # an inert edit leaves the baseline's runs as they are
    others = f"; {running} of them train{'s' * (running == 1)} now, in another process" if running else ""
    return f"{most}{missing} of {len(plan.rows)} runs to train: {cost}{others}"


def about(plan: Plan, missing: int, seconds: float) -> str:
    """How long so many runs of so many seconds take where this sweep runs them; on a cluster nobody here knows how many run at once."""
    if plan.manner.launcher != "local":
        return f"about {duration(seconds * missing)}, if they ran here one after the other"
    at_once = min(missing, len(slots_of(plan.rows[0].job.config["device"])))
    beside = f", {at_once} at once" if at_once > 1 else ""
    return f"about {duration(seconds * ceil(missing / at_once))} on this machine{beside}"


def labels(plan: Plan) -> list[str]:
    """The arms in the order in which they run."""
    return list(dict.fromkeys(row.job.label for row in plan.rows))


def rules_said(plan: Plan) -> list[str]:
    """What a study was declared with, where the pin has it otherwise."""
    looks, smallest = plan.looks, plan.smallest_effect
    said = [] if looks is None else [f"looks at {', '.join(map(str, looks))} seeds"]
    return said + ([] if smallest is None else [f"D = {smallest:g}"])


def counts(states: Mapping[int, str]) -> str:
    """An arm's seeds by their state: `finished 3 (seeds 0-2), missing 1 (seed 3)`."""
    by_state: dict[str, list[int]] = {}
    for seed, state in states.items():
        by_state.setdefault(state, []).append(seed)
    return ", ".join(
        f"{state} {len(seeds)} ({'seed' if len(seeds) == 1 else 'seeds'} {ranges(seeds)})" for state, seeds in by_state.items()
    )


def ranges(seeds: Sequence[int]) -> str:
    """Seeds in short: `0-7, 9`."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def seconds_of_a_run(plan: Plan) -> float | None:
    """The mean duration of the finished runs of this baseline, and of this plan under another one, in seconds; None without any."""
    root = Path(plan.rows[0].job.root)
    seconds = []
    found = [row.folder for row in plan.rows if row.status == "finished"]
    for folder in {each.path: each for each in [*run_folders(root, plan.baseline), *found]}.values():
        with suppress(StoreError):  # a damaged run costs nothing to know
            if status_of(folder) == "finished":
                seconds.append(read_result(folder)["cost"]["seconds"])
    return fmean(seconds) if seconds else None
