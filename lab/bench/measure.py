"""The two measurements of `lab bench`: one composition whole, or two against each other. Gives plain data, prints nothing.

A machine's speed drifts while it's measured, and others work on it. So what is compared is measured in turns, and compared
turn by turn: steps with products of matrices (MFU), one composition with the other (A B B A ...).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import comb
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from lab.bench import overhead, said
from lab.bench.limit import MatmulLimit, data_sheet_peak
from lab.bench.side import Side, Step
from lab.data.prepare import PreparedData

SCHEMA = 1
ROUNDS = 10  # turns, where there are as many steps
EVALUATIONS = 3
Tell = Callable[[str], None]


def one(config: Mapping[str, Any], data: PreparedData, folder: Path, steps: int, tell: Tell) -> dict[str, Any]:
    """How fast one composition trains, where a step's time goes, and how near that is to what the device can multiply."""
    tell(f"assembling; then {steps} timed steps, in turns with the model's products of matrices")
    side = Side(config, data, folder / "a")
    try:
        side.warm_up()
        sizes = turns(steps)
        batch = config["device"]["micro_batch"] or config["trainer"]["batch_size"]
        limit = MatmulLimit(side.model, batch * config["model"]["context"], config["trainer"]["precision"])
        evaluated, blocks = [], []
        for number, size in enumerate(sizes):
            spent = side.block(size)
            blocks.append(spent)
            limit.measure(seconds_of(spent))
            if number < EVALUATIONS:
                evaluated.append(overhead.evaluate_curve(side))
            tell(f"turn {number + 1} of {len(sizes)}: {median(each.seconds for each in spent):.4g} s a step")
        tell("measuring what is paid beside the updates")
        middle = median(side.seconds)
        found = {
            "schema": SCHEMA,
            **side.about(),
            **side.speed(middle, quartiles(side.seconds)),
            "peak_memory_bytes": side.peak_memory_bytes,
            "flops_per_token": side.flops_per_token(),
            "matmul": matmul(limit),
            "mfu": mfu(side, limit, blocks),
            "data_sheet": data_sheet(side),
            "overheads": overheads(side, middle, median(evaluated), folder),
        }
        tell(said.one(found))
        return found
    finally:
        side.close()


def turns(steps: int) -> list[int]:
    """Steps cut into turns of nearly the same size, none of them empty."""
    number = min(ROUNDS, steps)
    return [steps // number + (turn < steps % number) for turn in range(number)]


def seconds_of(steps: Sequence[Step]) -> float:
    """All of them together."""
    return sum(each.seconds for each in steps)


def quartiles(values: Sequence[float]) -> list[float]:
    """The first and the third."""
    return [float(each) for each in np.quantile(values, (0.25, 0.75))]


def interval_of_median(values: Sequence[float]) -> list[float] | None:
    """At least 95 % sure to hold the median of what the values are drawn from, whatever its shape; None below six values.

    Between the k-th value from below and from above, with the largest k at which fewer than k of n fair coins fall on one
    side in 2.5 % of cases at most (David and Nagaraja 2003, section 7.1).
    """
    n, ordered = len(values), sorted(values)
    below, k = 0.0, 0
    while (below := below + comb(n, k) / 2**n) <= 0.025:
        k += 1
    return [ordered[k - 1], ordered[n - k]] if k > 0 else None


def matmul(limit: MatmulLimit) -> dict[str, Any]:
    """The limit and what it was read from."""
    shapes = [
        {"product": each.kind, "rows": each.rows, "inner": each.inner, "columns": each.columns, "flops_per_second": each.rate}
        for each in limit.products
    ]
    return {"flops_per_second": limit.best.rate, "taken": "each product's median over the turns; of these the best", "products": shapes}


def mfu(side: Side, limit: MatmulLimit, blocks: Sequence[Sequence[Step]]) -> dict[str, Any]:
    """The share of the device's matmul rate that training reaches: the median over turns of its steps against its own rate."""
    best = limit.best
    reached: dict[str, list[float]] = {"full": [], "causal": []}
    for steps, seconds in zip(blocks, best.seconds, strict=True):
        for name, rate in side.flops_per_second(steps).items():
            reached[name].append(rate / (best.flops / seconds))
    return {name: median(each) for name, each in reached.items()} | {"full_quartiles": quartiles(reached["full"])}


def data_sheet(side: Side) -> dict[str, float | None]:
    """The maker's peak, and MFU against it; None where the device isn't in the table."""
    about = side.about()["device"]
    peak = data_sheet_peak(about["name"], about["precision"])
    shares = {f"mfu_{name}": rate for name, rate in side.flops_per_second(side.timed).items()}
    return {"flops_per_second": peak} | {name: None if peak is None else value / peak for name, value in shares.items()}


def overheads(side: Side, step_seconds: float, evaluation: float, folder: Path) -> dict[str, Any]:
    """What is paid beside the updates' own work. `evaluation` is seconds per token.

    Evaluations and proofs (what a replay and the pairing need) are shares of a whole run, the others of a step.
    """
    sites = overhead.sites_without_hooks(side)
    spent = overhead.logging_norms_progress(side, step_seconds, folder / "rows")
    tokens = overhead.scheduled_tokens(side)
    evaluating, training = tokens * evaluation, side.state.steps * step_seconds
    proving = overhead.proofs(side, folder / "rows")
    return {
        "sites_without_hooks": {"share": sites / step_seconds, "seconds": sites},
        "logging_norms_progress": {"share": sum(spent.values()) / step_seconds, "seconds": sum(spent.values()), "parts": spent},
        "evaluations": {
            "share": evaluating / (evaluating + training),
            "seconds": evaluating,
            "tokens": tokens,
            "seconds_per_token": evaluation,
            "training_seconds": training,
        },
        "proofs": {"share": sum(proving.values()) / (evaluating + training), "seconds": sum(proving.values()), "parts": proving},
    }


def two(configs: Sequence[Mapping[str, Any]], datas: Sequence[PreparedData], folder: Path, steps: int, tell: Tell) -> dict[str, Any]:
    """How many times as long A takes for a token as B, measured in pairs of neighbouring turns: A B, B A, A B, ..."""
    tell(f"assembling both; then {steps} timed steps of each, in turns A B B A")
    sides: list[Side] = []
    try:
        for name, config, data in zip("ab", configs, datas, strict=True):
            sides.append(Side(config, data, folder / name))
        for side in sides:
            side.warm_up()
        ratios = []
        for number, size in enumerate(turns(steps)):
            spent = {which: seconds_of(sides[which].block(size)) / sides[which].tokens_per_step for which in ((0, 1), (1, 0))[number % 2]}
            ratios.append(spent[0] / spent[1])
        found = {
            name: side.about() | side.speed(median(side.seconds), quartiles(side.seconds)) for name, side in zip("ab", sides, strict=True)
        }
    finally:
        for side in sides:
            side.close()
    ratio = {"median": median(ratios), "interval": interval_of_median(ratios), "quartiles": quartiles(ratios), "pairs": ratios}
    tell(said.ratio(ratio))
    return {"schema": SCHEMA, "ratio": ratio, **found}
