"""The two measurements of `lab bench`: one composition whole, or two against each other. Gives plain data, prints nothing.

A machine's speed drifts while it's measured, and others work on it. So what is compared is measured in turns, and compared
turn by turn: steps with products of matrices (MFU), one composition with the other (A B B A ...).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from lab.bench import overhead
from lab.bench.limit import MatmulLimit, data_sheet_peak
from lab.bench.side import Side
from lab.data.prepare import PreparedData
from lab.model import count

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
        evaluated, step_seconds = [], []
        for number, size in enumerate(sizes):
            spent = side.block(size)
            step_seconds.append(median(spent))
            limit.measure(sum(spent))
            if number < EVALUATIONS:
                evaluated.append(overhead.evaluate_curve(side))
            tell(f"turn {number + 1} of {len(sizes)}: {step_seconds[-1]:.4g} s a step")
        tell("measuring what is paid beside the updates")
        middle = median(side.seconds)
        return {
            "schema": SCHEMA,
            **side.about(),
            **side.speed(middle, quartiles(side.seconds)),
            "peak_memory_bytes": side.peak_memory_bytes,
            "flops_per_token": side.flops_per_token(),
            "matmul": matmul(limit),
            "mfu": mfu(side, limit, step_seconds),
            "data_sheet": data_sheet(side, middle),
            "overheads": overheads(side, middle, median(evaluated), folder),
        }
    finally:
        side.close()


def turns(steps: int) -> list[int]:
    """Steps cut into turns of nearly the same size, none of them empty."""
    number = min(ROUNDS, steps)
    return [steps // number + (turn < steps % number) for turn in range(number)]


def quartiles(values: Sequence[float]) -> list[float]:
    """The first and the third."""
    return [float(each) for each in np.quantile(values, (0.25, 0.75))]


def matmul(limit: MatmulLimit) -> dict[str, Any]:
    """The limit and what it was read from."""
    shapes = [
        {"product": each.kind, "rows": each.rows, "inner": each.inner, "columns": each.columns, "flops_per_second": each.rate}
        for each in limit.products
    ]
    return {"flops_per_second": limit.best.rate, "taken": "each product's median over the turns; of these the best", "products": shapes}


def mfu(side: Side, limit: MatmulLimit, step_seconds: Sequence[float]) -> dict[str, Any]:
    """The share of the device's matmul rate that training reaches: the median over turns of its step against its own rate."""
    whole, best = count.total(side.flops), limit.best
    reached = [side.tokens_per_step / seconds / (best.flops / its) for seconds, its in zip(step_seconds, best.seconds, strict=True)]
    return {"full": whole.full * median(reached), "causal": whole.causal * median(reached)} | {
        "full_quartiles": [whole.full * each for each in quartiles(reached)]
    }


def data_sheet(side: Side, step_seconds: float) -> dict[str, float | None]:
    """The maker's peak, and MFU against it; None where the device isn't in the table."""
    about = side.about()["device"]
    peak = data_sheet_peak(about["name"], about["precision"])
    rate = side.tokens_per_step / step_seconds
    whole = count.total(side.flops)
    shares = {"mfu_full": whole.full * rate, "mfu_causal": whole.causal * rate}
    return {"flops_per_second": peak} | {name: None if peak is None else value / peak for name, value in shares.items()}


def overheads(side: Side, step_seconds: float, evaluation: float, folder: Path) -> dict[str, Any]:
    """What is paid beside the updates' own work. `evaluation` is seconds per token; its share is of a whole run, the others' of a step."""
    sites = overhead.sites_without_hooks(side)
    spent = overhead.logging_norms_progress(side, step_seconds, folder / "rows")
    tokens = overhead.scheduled_tokens(side)
    evaluating, training = tokens * evaluation, side.state.steps * step_seconds
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
            spent = {which: sum(sides[which].block(size)) / sides[which].tokens_per_step for which in ((0, 1), (1, 0))[number % 2]}
            ratios.append(spent[0] / spent[1])
        found = {
            name: side.about() | side.speed(median(side.seconds), quartiles(side.seconds)) for name, side in zip("ab", sides, strict=True)
        }
    finally:
        for side in sides:
            side.close()
    middle, spread = median(ratios), quartiles(ratios)
    tell(
        f"A takes {middle:.2f} times as long as B for a token "
        f"(median of {len(ratios)} pairs; half of them lie from {spread[0]:.2f} to {spread[1]:.2f})"
    )
    return {"schema": SCHEMA, "ratio": {"median": middle, "quartiles": spread, "pairs": ratios}, **found}
