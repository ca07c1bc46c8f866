"""What was read as tidy pandas frames, of the same columns and types whatever there is. Reads no file; docs/the-frames.md explains."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from lab.results.record import Request, Run

METRICS = (
    "validation_bits_per_byte",
    "validation_nats_per_token",
    "validation_perplexity",
    "half_curve_bits_per_byte",
    "final_curve_bits_per_byte",
)
COSTS = ("seconds", "training_seconds", "tokens_per_second", "seconds_per_step", "peak_memory_bytes", "flops_per_token")
RUN_COLUMNS = {
    **dict.fromkeys(("directory", "baseline", "label", "arm_id", "cohort", "identity"), "string"),
    "seed": "Int64",
    "status": "string",  # finished, diverged, failed, unfinished
    "duplicate": "boolean",  # the same identity stands in an earlier row: it counts once
    "steps": "Int64",
    "tokens_per_step": "Int64",
    "bytes_per_token": "float64",
    **dict.fromkeys(("parameters_total", "parameters_embedding"), "float64"),
    **dict.fromkeys(COSTS, "float64"),
    **dict.fromkeys(("weights", "bits"), "string"),  # digests: the judged weights; what must be equal for bit-equality
    "diverged_step": "Int64",
    "reason": "string",  # why it diverged or failed
    **dict.fromkeys(METRICS, "float64"),
}
STATUSES = ("finished", "diverged", "failed", "unfinished")
ARM_COLUMNS = {
    **dict.fromkeys(("baseline", "arm_id", "cohort", "label"), "string"),
    **dict.fromkeys(STATUSES, "Int64"),  # how many seeds
    **{f"{name}_mean": "float64" for name in METRICS},  # over the finished seeds
    "validation_bits_per_byte_std": "float64",
    "parameters_total": "float64",
    **{f"{name}_mean": "float64" for name in COSTS},
}
REQUEST_COLUMNS = {
    "number": "Int64",
    **dict.fromkeys(("baseline", "lock", "label", "study"), "string"),
    "changes": "Int64",  # how many
    "exploring": "boolean",
    **dict.fromkeys(("directory", "command", "note", "why", "at"), "string"),
}


def run_frame(found: Iterable[Run]) -> pd.DataFrame:
    """A row per run directory (RUN_COLUMNS), then a column for each further metric."""
    seen: set[str] = set()
    rows = []
    for run in found:
        rows.append(run_row(run, duplicate=run.identity in seen))
        seen.add(run.identity)
    more = sorted({name for row in rows for name in row} - set(RUN_COLUMNS))
    return frame(rows, {**RUN_COLUMNS, **dict.fromkeys(more, "float64")})


def request_frame(asked: Iterable[Request]) -> pd.DataFrame:
    """A row per request (REQUEST_COLUMNS)."""
    return frame([vars(request) for request in asked], REQUEST_COLUMNS)


def arm_frame(runs: pd.DataFrame) -> pd.DataFrame:
    """A row per baseline, arm and cohort (ARM_COLUMNS), from the frame of runs."""
    groups = runs[~runs["duplicate"]].groupby(["baseline", "arm_id", "cohort"], sort=True)
    return frame([arm_row(key, group) for key, group in groups], ARM_COLUMNS)


def frame(rows: Iterable[dict[str, Any]], columns: dict[str, str]) -> pd.DataFrame:
    """A frame with exactly these columns and types, also when there are no rows."""
    return pd.DataFrame(list(rows), columns=list(columns)).astype(columns)


def run_row(run: Run, duplicate: bool) -> dict[str, Any]:
    row = {name: value for name, value in vars(run).items() if name in RUN_COLUMNS}
    sizes = {name: size for part, size in run.parameters.items() if (name := f"parameters_{part}") in RUN_COLUMNS}
    costs = {name: cost for name, cost in run.cost.items() if name in COSTS}
    return {**run.metrics, **sizes, **costs, **row, "duplicate": duplicate}


def arm_row(key: tuple[Any, ...], group: pd.DataFrame) -> dict[str, Any]:
    finished = group[group["status"] == "finished"]
    return {
        **dict(zip(("baseline", "arm_id", "cohort"), key, strict=True)),
        "label": group["label"].iloc[0],
        **{status: int((group["status"] == status).sum()) for status in STATUSES},
        **{f"{name}_mean": finished[name].mean() for name in (*METRICS, *COSTS)},
        "validation_bits_per_byte_std": finished["validation_bits_per_byte"].std(),
        "parameters_total": group["parameters_total"].max(),
    }
