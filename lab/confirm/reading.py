"""The reading of a test range: asked for by the parent, made in a process of its own, which alone loads torch. Judges nothing.

The order is the point: every run is verified first, then the reading is written down, then the range is read, once for all runs.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.ablate.codemap import LAB, code_map, require_fresh
from lab.confirm.journal import add
from lab.data.untouched import Untouched, untouched
from lab.errors import MachineError, StoreError
from lab.files import read_json, write_json
from lab.processes import with_code
from lab.replay.ask import Original, original
from lab.request import Identifier, read_corpus
from lab.store.layout import RunFolder, cache
from lab.store.machine import set_variables


def ask(root: Path, runs: Sequence[RunFolder], journal: Path, row: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """What each run's judged weights cost on the test range (`nats`, `tokens`, `bytes`), and the bytes that were read.

    `row` is written into `journal` as the reading, right before it. Raises MachineError where the process fails, with what it said.
    """
    with tempfile.TemporaryDirectory(prefix="lab-confirm-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        asked = {"root": str(root), "runs": [str(run.path) for run in runs], "journal": str(journal), "row": dict(row)}
        write_json(scratch / "asked.json", asked | {"scratch": folder})
        words = [sys.executable, "-m", "lab.confirm", str(scratch / "asked.json")]
        done = subprocess.run(words, cwd=root, env=with_code(LAB.parent), stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise MachineError(f"the test range could not be read:\n{done.stderr.strip()[-2000:]}")
        found = read_json(scratch / "found.json")
    return found["runs"], found["bytes"]


def read_range(asked: Mapping[str, Any]) -> None:
    """In a process of its own: verify, write the reading down, read, and evaluate run by run. Raises LabError."""
    root, scratch = Path(asked["root"]), Path(asked["scratch"])
    identifier = Identifier(root)
    runs = [verified(RunFolder(Path(each)), identifier, asked["row"]["text"]) for each in asked["runs"]]
    first = runs[0].config
    set_variables(first["device"])
    for run in runs:
        require_fresh(code_map(run.config))
    measure = importlib.import_module("lab.confirm.measure")  # by name: it loads torch
    add(Path(asked["journal"]), "reading", **asked["row"])
    documents = read_corpus(first["data"], cache(root)).documents
    ranges: dict[str, Untouched] = {}
    for run in runs:
        limit = run.config["trainer"]["evaluation"]["bytes"]
        if run.data.token_digest not in ranges:  # an arm may have a tokenizer of its own
            ranges[run.data.token_digest] = untouched(documents, run.data.split, limit, run.data.tokenizer)
    costs = [measure.cost(run, ranges[run.data.token_digest], scratch / str(number)) for number, run in enumerate(runs)]
    write_json(scratch / "found.json", {"runs": costs, "bytes": max(each.n_bytes for each in ranges.values())})


def verified(folder: RunFolder, identifier: Identifier, text: str) -> Original:
    """A finished run, every file of it hashed, on the text that the reading is counted for. Raises StoreError."""
    run = original(folder, identifier)
    if run.data.text != text or run.data.token_digest != run.manifest["tokens"]:
        raise StoreError(f"the text of {folder.path.name} isn't what it was trained on\nput it back where it lay")
    return run
