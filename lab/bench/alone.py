"""Runs one after the other, in one process that has torch loaded: what a sweep is timed against. Started by name, with a file of jobs.

Owns how a bench starts a child in a project of its own. Reads and compares no result.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab.ablate.codemap import LAB
from lab.errors import LabError, StoreError
from lab.files import read_json, write_json
from lab.processes import with_code
from lab.request import Job


def must(root: Path, *words: str) -> None:
    """`python WORDS` in a project, silent. Raises StoreError with its last lines where it fails."""
    done = subprocess.run(
        [sys.executable, *words], cwd=root, env=with_code(LAB.parent), capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise StoreError(f"the bench stopped: python {' '.join(words[:4])} ... left with exit status {done.returncode}\n{last}")


def run_alone(root: Path, jobs: Sequence[Job], file: Path) -> dict[str, Any]:
    """Train jobs one after the other in one process. Its seconds, counted from when torch was loaded."""
    write_json(file, {"jobs": [asdict(job) for job in jobs]})
    must(root, "-m", __name__, str(file))
    return read_json(file.with_suffix(".seconds"))


def main(file: Path) -> int:
    """The process in which they train, one after the other."""
    from lab.runner import run  # here: who only asks for the bench needs neither
    from lab.store.console import Console

    jobs = [Job(**each) for each in read_json(file)["jobs"]]
    importlib.import_module("lab.experiment")  # by name: it loads torch
    began = time.perf_counter()
    try:
        for job in jobs:
            run(job, Console())
    except LabError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    write_json(file.with_suffix(".seconds"), {"seconds": time.perf_counter() - began})
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
