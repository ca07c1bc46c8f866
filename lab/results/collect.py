"""Run directories into tidy pandas frames. Reads runs/ as it lies there; writes nothing, judges nothing, imports no torch.

    lab = load("runs")
    lab.runs       one row per run directory (RUN_COLUMNS, then one column per further metric)
    lab.arms       one row per baseline, arm and cohort (ARM_COLUMNS)
    lab.requests   one row per request, oldest first (REQUEST_COLUMNS)
    lab.metrics    one row per run, step and metric (METRIC_COLUMNS); read from the disk when first asked for, as it is large
    lab.left_out   what could not be read, and why

One damaged run never hides the others: it is left out by name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from lab.files import read_rows
from lab.results.record import LeftOut, Request, Run, Unreadable, number, read_requests, read_run, said, whole

NOT_ARMS = frozenset({"certificates"})
METRICS = (
    "validation_bits_per_byte",
    "validation_nats_per_token",
    "validation_perplexity",
    "half_curve_bits_per_byte",
    "final_curve_bits_per_byte",
)
COSTS = ("seconds", "training_seconds", "tokens_per_second", "seconds_per_step", "peak_memory_bytes")
RUN_COLUMNS = {
    **dict.fromkeys(("directory", "baseline", "label", "arm_id", "cohort", "identity"), "string"),
    "seed": "Int64",
    "status": "string",  # finished, diverged, failed, unfinished
    "duplicate": "boolean",  # the same identity stands in an earlier row: it counts once
    "steps": "Int64",
    "tokens_per_step": "Int64",
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
    "directory": "string",
}
METRIC_COLUMNS = {**dict.fromkeys(("directory", "identity"), "string"), "step": "Int64", "metric": "string", "value": "float64"}
NONFINITE = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


@dataclass
class Lab:
    """What lies under runs/. `found` and `asked` are the same facts as plain records, for the code that judges."""

    folder: Path
    found: tuple[Run, ...]
    asked: tuple[Request, ...]
    left_out: list[LeftOut] = field(default_factory=list)  # `metrics` adds the damaged lines that it meets

    @cached_property
    def runs(self) -> pd.DataFrame:
        seen: set[str] = set()
        rows = []
        for run in self.found:
            rows.append(run_row(run, duplicate=run.identity in seen))
            seen.add(run.identity)
        more = sorted({name for run in self.found for name in run.metrics} - set(RUN_COLUMNS))
        return frame(rows, {**RUN_COLUMNS, **dict.fromkeys(more, "float64")})

    @cached_property
    def requests(self) -> pd.DataFrame:
        return frame([vars(request) for request in self.asked], REQUEST_COLUMNS)

    @cached_property
    def arms(self) -> pd.DataFrame:
        runs = self.runs[~self.runs["duplicate"]]
        groups = runs.groupby(["baseline", "arm_id", "cohort"], sort=True)
        return frame([arm_row(key, group) for key, group in groups], ARM_COLUMNS)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        rows: list[dict[str, Any]] = []
        for run in self.found:
            try:
                lines, damaged = read_rows(self.folder / run.directory / "metrics.jsonl")
            except (OSError, RecursionError) as error:
                self.left_out.append(LeftOut(f"{run.directory}/metrics.jsonl", said(error)))
                continue
            unplaced = [line for line in lines if whole(line.get("step")) is None]
            if damaged + len(unplaced):
                self.left_out.append(LeftOut(f"{run.directory}/metrics.jsonl", lines_left_out(damaged + len(unplaced))))
            rows += [row for line in lines if whole(line.get("step")) is not None for row in metric_rows(run, line)]
        return frame(rows, METRIC_COLUMNS)


def load(runs: Path | str) -> Lab:
    """Read every run directory under `runs`. A folder that isn't there reads as an empty store."""
    folder = Path(runs)
    found: list[Run] = []
    asked: list[Request] = []
    left_out: list[LeftOut] = []
    for path in run_folders(folder, left_out):
        directory = path.relative_to(folder).as_posix()
        try:
            requests, damaged = read_requests(path, directory)
            asked += requests
            if damaged:
                left_out.append(LeftOut(f"{directory}/requests.jsonl", lines_left_out(damaged)))
        except Unreadable as error:
            left_out.append(LeftOut(f"{directory}/requests.jsonl", str(error)))
        try:
            found.append(read_run(path, directory))
        except Unreadable as error:
            left_out.append(LeftOut(directory, str(error)))
    return Lab(folder, tuple(found), tuple(sorted(asked, key=lambda request: (request.number, request.directory))), left_out)


# not lab.store.layout.run_folders: that takes a project's root, would read certificates, and skips an unlistable folder unnamed
def run_folders(folder: Path, left_out: list[LeftOut]) -> Iterator[Path]:
    """runs/<baseline>/<arm>/seed=.../ in the order of their names, the same on every machine."""
    for baseline in folders(folder, folder, left_out):
        for arm in folders(baseline, folder, left_out):
            if arm.parent == baseline and arm.name not in NOT_ARMS:
                yield from (path for path in folders(arm, folder, left_out) if path.name.startswith("seed="))


def folders(parent: Path, root: Path, left_out: list[LeftOut]) -> list[Path]:
    """The folders in a folder but the hidden ones (caches); one that can't be listed is left out by name."""
    try:
        entries = [Path(entry.path) for entry in os.scandir(parent) if entry.is_dir() and not entry.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        left_out.append(LeftOut(parent.relative_to(root).as_posix(), said(error)))
        return []
    return sorted(entries, key=lambda path: path.name)


def lines_left_out(count: int) -> str:
    return f"{count} damaged or cut {'line' if count == 1 else 'lines'} left out"


def frame(rows: Iterable[dict[str, Any]], columns: dict[str, str]) -> pd.DataFrame:
    """A frame with exactly these columns and types, also when there are no rows."""
    return pd.DataFrame(list(rows), columns=list(columns)).astype(columns)


def run_row(run: Run, duplicate: bool) -> dict[str, Any]:
    row = {name: value for name, value in vars(run).items() if name in RUN_COLUMNS}
    sizes = {f"parameters_{name}": size for name, size in run.parameters.items()}
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


def metric_rows(run: Run, line: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One line of metrics.jsonl, one row per number; a non-finite number comes back as itself."""
    odd = line["nonfinite"] if isinstance(line.get("nonfinite"), dict) else {}
    for name, value in line.items():
        if name == "step" or not (value is None or isinstance(value, (int, float))):
            continue
        known = number(value)
        value = known if known is not None else NONFINITE.get(str(odd.get(name)))
        yield {"directory": run.directory, "identity": run.identity, "step": line["step"], "metric": name, "value": value}
