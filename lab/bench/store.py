"""How quickly a large store is listed, judged and drawn: `lab bench --store`. Makes a store up in a temporary folder, and measures it.

Each measurement is a fresh process, its start and its imports included. Cold is without the index, warm with it; both find the files in
the system's memory, since nobody but the system's owner can put them out of it. Touches no store of the user's.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from lab.bench.ask import NO_ROOM, no_folder, tell, temporary_folder
from lab.bench.made import make_rows, make_store, shape_of
from lab.errors import ConfigError, StoreError
from lab.results.index import INDEX, RACY_NS, SMALLEST

SCHEMA = 1
Say = Callable[[str], None]


def bench_store(runs: int = 10_000, curve_runs: int = 2_000, rows: int = 500, say: Say = tell, times: int = 3) -> dict[str, Any]:
    """Time a store of so many finished runs, and the rows of another. Raises LabError; leaves nothing on the disk.

    Each is measured `times` times, cold and warm in turn, so that a slow minute of the machine slows both.
    """
    if min(runs, curve_runs, rows, times) < 1:
        raise ConfigError(f"--runs {runs}: nothing would be timed\ngive a number above 0")
    with temporary_folder() as folder:
        try:
            judging = bench_judging(Path(folder) / "judged", runs, say, times)
            drawing = bench_curves(Path(folder) / "curves", curve_runs, rows, say, times)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise no_folder(error) from error
    return {"schema": SCHEMA, "judging": judging, "curves": drawing}


def bench_judging(root: Path, runs: int, say: Say, times: int) -> dict[str, Any]:
    """Every run listed and every arm judged, without an index and with one."""
    shape = shape_of(runs)
    say(f"making {shape.runs:,} runs: {shape.baselines} baselines, each with {shape.arms} arms of {shape.seeds} seeds")
    names = make_store(root, shape)
    if shape.runs >= SMALLEST:
        time.sleep(RACY_NS / 1e9)  # an index holds nothing that was written just now
    cold, warm = [], []
    for _ in range(times):
        shutil.rmtree(root / "runs" / INDEX.parent, ignore_errors=True)
        cold.append(fresh("judged", root, *names))
        warm.append(fresh("judged", root, *names))
    index = root / "runs" / INDEX
    found = {"shape": asdict(shape) | {"runs": shape.runs}, "cold": told(cold), "warm": told(warm)}
    for name in ("cold", "warm"):
        say(f"{name}: {words(found[name], times)}")
    return found | {"index_bytes": index.stat().st_size if index.exists() else None}


def bench_curves(root: Path, runs: int, rows: int, say: Say, times: int) -> dict[str, Any]:
    """Every row of many runs in one frame."""
    shape = shape_of(runs)
    say(f"making {shape.runs:,} runs with {rows:,} rows each")
    make_store(root, shape)
    make_rows(root, shape.runs, rows)
    found = told([fresh("curves", root) for _ in range(times)])
    say(f"curves: {words(found, times)}; {found['rows']:,} numbers, {found['frame_bytes'] / 1e6:,.0f} MB")
    return {"shape": {"runs": shape.runs, "rows": rows}} | found


def fresh(what: str, root: Path, *names: str) -> dict[str, Any]:
    """One measurement in a process of its own; `whole` is what its starter waited."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "lab.bench.fresh", what, str(root), *names], capture_output=True, text=True, check=False)
    whole = time.perf_counter() - began
    if done.returncode:
        raise StoreError(
            f"the made store couldn't be measured:\n{done.stderr.strip()}\nthis is a fault of the lab's: please tell its authors"
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"seconds": {"whole": whole} | found["seconds"]}


def told(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Several measurements as one: the medians, every whole time, the highest peak of memory."""
    parts = {part: median(each["seconds"][part] for each in measured) for part in measured[0]["seconds"]}
    wholes = [each["seconds"]["whole"] for each in measured]
    processor = median(each["processor_seconds"] for each in measured)
    peak = max(each["peak_memory_bytes"] for each in measured)
    times = {"seconds": parts, "wholes": wholes, "processor_seconds": processor, "peak_memory_bytes": peak}
    return measured[-1] | times


def words(found: dict[str, Any], times: int) -> str:
    parts = dict(found["seconds"])
    whole = parts.pop("whole")
    listed = ", ".join(f"{part} {seconds:.2f}" for part, seconds in parts.items())
    return (
        f"{whole:.2f} s ({listed}; {found['processor_seconds']:.2f} s of the processor), at most {found['peak_memory_bytes'] / 1e6:,.0f} MB"
        f" (median of {times})"
    )
