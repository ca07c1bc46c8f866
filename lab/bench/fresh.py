"""What a made store costs to read, measured in the process that this starts as: `python -m lab.bench.fresh WORD ROOT BASELINE...`.

Prints one JSON object: seconds of each part, processor seconds in all, the process's peak memory, and how much was read. Times nothing
else: the process is fresh, so imports count, and nothing is left from a measurement before.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from lab.bench.memory import peak_memory_bytes


def judged(root: Path, baselines: list[str]) -> dict[str, Any]:
    """Every run listed, and the report of each baseline built."""
    began = time.perf_counter()
    from lab.results.collect import load
    from lab.results.report import build

    imported = time.perf_counter()
    lab = load(root / "runs")
    loaded = time.perf_counter()
    reports = [build(root, name, lab=lab) for name in baselines]
    built = time.perf_counter()
    verdicts = sum(len(section.verdicts) for report in reports for section in report.sections)
    seconds = {"imports": imported - began, "load": loaded - imported, "judge": built - loaded}
    return {"seconds": seconds, "runs": len(lab.found), "verdicts": verdicts, "left_out": len(lab.left_out)}


def curves(root: Path, _: list[str]) -> dict[str, Any]:
    """Every row of every run in one frame."""
    began = time.perf_counter()
    import pandas

    from lab.results.collect import load
    from lab.results.rows import metric_frame

    imported = time.perf_counter()
    lab = load(root / "runs")
    loaded = time.perf_counter()
    frame: pandas.DataFrame = metric_frame(lab.folder, lab.found, None, lab.leave_out)
    seconds = {"imports": imported - began, "load": loaded - imported, "frame": time.perf_counter() - loaded}
    frame_bytes = int(frame.memory_usage(deep=True).sum())
    return {"seconds": seconds, "runs": len(lab.found), "rows": len(frame), "frame_bytes": frame_bytes, "left_out": len(lab.left_out)}


def main(words: list[str]) -> None:
    what, root, *baselines = words
    found = {"judged": judged, "curves": curves}[what](Path(root), baselines)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    measured = {"processor_seconds": spent.ru_utime + spent.ru_stime, "peak_memory_bytes": peak_memory_bytes()}
    print(json.dumps(found | measured))


if __name__ == "__main__":
    main(sys.argv[1:])
