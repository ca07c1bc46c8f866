"""The rows of many runs as one long frame. Reads metrics.jsonl alone; what is damaged there is left out, counted and named.

Most files are whole, and are read in one go; wherever that refuses, or meets anything but plain numbers, the reader that goes line
by line decides (`lab.files.read_rows`), so both give the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import orjson

from lab.files import read_rows
from lab.results.directory import lines_left_out
from lab.results.fields import LARGEST_INTEGER, number, said, whole
from lab.results.record import LeftOut, Run

if TYPE_CHECKING:
    import pandas as pd

METRIC_COLUMNS = {**dict.fromkeys(("directory", "identity"), "category"), "step": "int64", "metric": "category", "value": "float64"}
NONFINITE = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}
LARGEST = 1e300
Names = tuple[str, ...]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """The numbers of one run: parallel arrays of steps, codes of metrics and values, in the order of the lines and of the names in each."""

    steps: Ints
    codes: npt.NDArray[np.int32]
    values: Floats


@dataclass
class Codes:
    """A number for each name of a metric, counted up as they are met; and for each set of names that a line may have."""

    names: dict[str, int] = field(default_factory=dict)
    shapes: dict[Names, npt.NDArray[np.int32]] = field(default_factory=dict)

    def of(self, shape: Names) -> npt.NDArray[np.int32]:
        if shape not in self.shapes:
            self.shapes[shape] = self.each(shape)
        return self.shapes[shape]

    def each(self, names: Names) -> npt.NDArray[np.int32]:
        return np.array([self.names.setdefault(name, len(self.names)) for name in names], np.int32)


def metric_frame(folder: Path, runs: Sequence[Run], metrics: Collection[str] | None, leave_out: Callable[[LeftOut], None]) -> pd.DataFrame:
    """One row per run, step and metric (METRIC_COLUMNS), of these runs and metrics; None: of all metrics."""
    import pandas as pd

    codes, found = Codes(), []
    for run in runs:
        rows = rows_of(folder, run, codes, leave_out)
        if metrics is not None:
            kept = np.array([name in metrics for name in codes.names], bool)[rows.codes] if len(rows.codes) else np.zeros(0, bool)
            rows = Rows(rows.steps[kept], rows.codes[kept], rows.values[kept])
        found.append(rows)
    lengths = [len(rows.values) for rows in found]
    identities = list(dict.fromkeys(run.identity for run in runs))  # a twin has its first run's
    place = {identity: index for index, identity in enumerate(identities)}
    columns = {
        "directory": categories(np.repeat(np.arange(len(runs), dtype=np.int32), lengths), [run.directory for run in runs]),
        "identity": categories(np.repeat(np.array([place[run.identity] for run in runs], np.int32), lengths), identities),
        "step": np.concatenate([np.zeros(0, np.int64), *(rows.steps for rows in found)]),
        "metric": categories(np.concatenate([np.zeros(0, np.int32), *(rows.codes for rows in found)]), list(codes.names)),
        "value": np.concatenate([np.zeros(0), *(rows.values for rows in found)]),
    }
    return pd.DataFrame(columns, copy=False)


def categories(codes: npt.NDArray[np.int32], names: list[str]) -> pd.Categorical:
    """Text by numbers, since millions of rows repeat a few texts."""
    import pandas as pd

    return pd.Categorical.from_codes(codes, categories=pd.Index(names, dtype="str"))


def rows_of(folder: Path, run: Run, codes: Codes, leave_out: Callable[[LeftOut], None]) -> Rows:
    """The numbers of one run; a file that can't be opened, and lines that can't be used, are left out by name."""
    path = folder / run.directory / "metrics.jsonl"
    try:
        quick = at_once(path.read_bytes(), codes) if path.exists() else None
        if quick is not None:
            return quick
        lines, damaged = read_rows(path)
    except (OSError, RecursionError) as error:
        leave_out(LeftOut(f"{run.directory}/metrics.jsonl", said(error)))
        lines, damaged = [], 0
    placed = [line for line in lines if whole(line.get("step")) is not None]
    if damaged := damaged + len(lines) - len(placed):
        leave_out(LeftOut(f"{run.directory}/metrics.jsonl", lines_left_out(damaged)))
    told = [(line["step"], name, value) for line in placed for name, value in numbers_of(line)]
    steps, names, values = zip(*told, strict=True) if told else ((), (), ())
    return Rows(np.array(steps, np.int64), codes.each(names), np.array(values, np.float64))


def numbers_of(line: dict[str, Any]) -> Iterator[tuple[str, float | None]]:
    """The numbers of one line of metrics.jsonl; a non-finite one comes back as itself."""
    odd = line["nonfinite"] if isinstance(line.get("nonfinite"), dict) else {}
    for name, value in line.items():
        if name == "step" or not (value is None or isinstance(value, (int, float))):
            continue
        known = number(value)
        yield name, known if known is not None else NONFINITE.get(str(odd.get(name)))


def at_once(content: bytes, codes: Codes) -> Rows | None:
    """A whole file of lines that hold plain numbers and nothing else; None for any other."""
    lines = parse_at_once(content)
    if lines is None:
        return None
    try:
        steps = [line.pop("step") for line in lines]
    except KeyError:
        return None
    flat = list(chain.from_iterable(line.values() for line in lines))
    if set(map(type, steps)) != {int} or not set(map(type, flat)) <= {int, float}:
        return None
    values = np.array(flat, np.float64)
    if min(steps) < 0 or max(steps) > LARGEST_INTEGER or not (np.abs(values) <= LARGEST).all():
        return None
    shapes = list(map(tuple, lines))
    lengths = list(map(len, lines))
    named = np.tile(codes.of(shapes[0]), len(lines)) if len(set(shapes)) == 1 else np.concatenate([codes.of(shape) for shape in shapes])
    return Rows(np.repeat(np.array(steps, np.int64), lengths), named, values)


def parse_at_once(content: bytes) -> list[dict[str, Any]] | None:
    """JSON objects, one a line, parsed as one list. None where that might be anything but what each line says for itself.

    Each line begins and ends with a brace and none has a list, so no object goes on over the end of a line; as many objects as lines
    then means one on each.
    """
    lines = content.count(b"\n")
    if not (content.startswith(b"{") and content.endswith(b"}\n") and content.count(b"}\n{") == lines - 1):
        return None
    if b"[" in content or b"\r" in content:
        return None
    try:
        rows: list[dict[str, Any]] = orjson.loads(b"[%b]" % content[:-1].replace(b"\n", b","))
    except orjson.JSONDecodeError:
        return None
    return rows if len(rows) == lines else None
