"""One run directory read into one `Run`, and its requests. Says why when it can't; judges nothing, knows no other run.

Everything here was written by another process, perhaps cut short, so nothing is trusted: a field of the wrong type makes the
directory unreadable (`Unreadable`, with the reason), never a crash and never a guess.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.files import read_json, read_rows, read_shared, sha256_of
from lab.results.fields import (
    LARGEST_INTEGER,
    SCHEMA,
    Unreadable,
    number,
    numbers,
    read_object,
    require_schema,
    said,
    table,
    text,
    whole,
)
from lab.store.manifest import pairing_is_sound

__all__ = [
    "LARGEST_INTEGER",
    "SCHEMA",
    "LeftOut",
    "Request",
    "Run",
    "Unreadable",
    "number",
    "parse_request",
    "read_requests",
    "read_run",
]
DOCUMENTS = "documents.json"
PARTS = {"bits": "bits", "cohort": "cohort_parts", "factors": "factors"}  # by their keys in a manifest
DIGESTS: dict[int, tuple[Any, str]] = {}  # of parts, by their place in memory; each is held, so that its place stays its own


@dataclass(frozen=True)
class LeftOut:
    """A directory or file that was not read (wholly), and why. Paths are relative to runs/."""

    name: str
    why: str


@dataclass(frozen=True)
class Request:
    """Somebody asked for a run. `number` counts up over the whole store: it is the only order of requests."""

    number: int
    baseline: str
    lock: str
    label: str
    changes: int
    study: str
    exploring: bool
    edit: bool  # its one change is an edit of the code
    directory: str
    command: str = ""  # as typed; this and what follows for a reader alone, empty where the line has none
    note: str = ""
    why: str = ""  # of a named intervention
    at: str = ""  # UTC; shown, never an order
    cell: str = ""  # the design of the study that it is a cell of: then it asks for no verdict, whatever its changes


@dataclass(frozen=True)
class Run:
    """One arm at one seed as it lies on disk. `metrics` holds None where the number was not finite."""

    directory: str
    baseline: str
    label: str
    arm_id: str
    change_id: str  # an arm without its code: equal for one change under several code maps
    cohort: str
    identity: str
    seed: int
    status: str
    code: dict[str, str] = field(repr=False)
    bits: str
    parts: dict[str, dict[str, Any]] = field(repr=False)  # what bits, cohort and factors are made of, to tell in what two runs differ
    cohort_name: str
    steps: int | None
    tokens_per_step: int | None
    metrics: dict[str, float | None]
    parameters: dict[str, float | None]
    cost: dict[str, float | None]
    weights: str | None  # the judged ones
    trained: dict[str, str]  # digests that two runs of one identity must share
    pairing: dict[str, Any] | None  # with the baseline that it was first asked for; None: the baseline itself, or not told
    diverged_step: int | None
    reason: str | None
    bytes_per_token: float | None = None  # of the training text; None in runs of before it was written
    documents: str | None = None  # the digest of documents.json when the run finished; None where it has none, or didn't tell

    @property
    def done(self) -> bool:
        """Finished or diverged: an outcome. Failed and unfinished runs are pending."""
        return self.status in ("finished", "diverged")


def read_run(folder: Path, directory: str) -> Run:
    """The run in `folder`; `directory` is its name relative to runs/. Raises Unreadable with the reason."""
    manifest = read_object(folder / "manifest.json", read_shared)
    require_schema(manifest, "manifest.json")
    if not pairing_is_sound(manifest.get("pairing")):
        raise Unreadable("manifest.json: 'pairing' isn't as it is written")
    identity = text(manifest, "identity", "manifest.json")
    result = read_object(folder / "result.json", read_shared) if os.path.exists(f"{folder}/result.json") else None  # noqa: PTH110 - half the time
    outcome = read_outcome(result, identity) if result is not None else read_no_outcome(folder)
    code = table(manifest, "code", "manifest.json")
    seed = whole(manifest.get("seed"))
    if seed is None:
        raise Unreadable("manifest.json: 'seed' isn't a whole number")
    sizes = result if result is not None and isinstance(result.get("parameters"), dict) else manifest
    if result is not None and result.get("status") == "finished":
        require_whole_budget(manifest, result)
    parts = table(manifest, "cohort_parts", "manifest.json")
    named = (f"{word}{parts[key]}" for key, word in (("device", ""), ("device_class", ""), ("torch", "torch ")) if key in parts)
    return Run(
        directory=directory,
        baseline=text(manifest, "baseline", "manifest.json"),
        label=text(manifest, "label", "manifest.json"),
        arm_id=text(manifest, "arm_id", "manifest.json"),
        change_id=text(manifest, "change_id", "manifest.json"),
        cohort=text(manifest, "cohort", "manifest.json"),
        identity=identity,
        seed=seed,
        code=code if all(isinstance(digest, str) for digest in code.values()) else {name: str(digest) for name, digest in code.items()},
        bits=digest_of_part(manifest.get("bits")),
        parts={name: table(manifest, key, "manifest.json") for name, key in PARTS.items()},
        cohort_name=", ".join(named),
        steps=whole(manifest.get("steps")),
        tokens_per_step=whole(manifest.get("tokens_per_step")),
        parameters=numbers(sizes.get("parameters")),
        pairing=manifest.get("pairing"),
        bytes_per_token=per_token if (per_token := number(manifest.get("bytes_per_token"))) and per_token > 0 else None,
        **outcome,
    )


def digest_of_part(part: Any) -> str:
    """SHA-256 of a manifest's part; `read_shared` gives one object for all that are equal, so its place tells it."""
    known = DIGESTS.get(id(part))
    if known is None:
        if len(DIGESTS) >= 1024:
            DIGESTS.clear()
        known = DIGESTS[id(part)] = part, sha256_of(part)
    return known[1]


def read_outcome(result: dict[str, Any], identity: str) -> dict[str, Any]:
    """The fields of a Run that result.json decides."""
    require_schema(result, "result.json")
    if result.get("identity") != identity:
        raise Unreadable("result.json belongs to another run: its identity isn't the manifest's")
    if result.get("status") not in ("finished", "diverged"):
        raise Unreadable(f"result.json: status is {result.get('status')!r}, not 'finished' or 'diverged'")
    table(result, "metrics", "result.json")
    digests = result["digests"] if isinstance(result.get("digests"), dict) else {}
    diverged = result["diverged"] if isinstance(result.get("diverged"), dict) else {}
    weights = digests.get("judged_weights", digests.get("weights"))  # the former where a hook gave other weights to judge
    # what the optimizer remembers of a step that diverged is nobody's result
    shared = ("weights", "judged_weights", "optimizer") if result["status"] == "finished" else ("weights", "judged_weights")
    return {
        "status": result["status"],
        "metrics": numbers(result["metrics"]),
        "cost": numbers(result.get("cost")),
        "weights": weights if isinstance(weights, str) else None,
        "trained": {name: str(digests[name]) for name in shared if name in digests},
        "documents": written if isinstance(written := digests.get(DOCUMENTS), str) else None,
        "diverged_step": whole(diverged.get("step")),
        "reason": str(diverged["reason"]) if "reason" in diverged else None,
    }


def require_whole_budget(manifest: dict[str, Any], result: dict[str, Any]) -> None:
    """A finished run was trained to the end of its budget, else its schedule and its tokens aren't the others'."""
    steps, per_step = whole(manifest.get("steps")), whole(manifest.get("tokens_per_step"))
    for key, end in (("step", steps), ("tokens", None if steps is None or per_step is None else steps * per_step)):
        if result.get(key) != end:
            raise Unreadable(f"result.json: finished at {key} {result.get(key)} of {end}")


def read_no_outcome(folder: Path) -> dict[str, Any]:
    """The same fields for a run without result.json: failed if it says so, else unfinished."""
    status, reason = "unfinished", None
    if (folder / "failure.json").exists():
        status = "failed"
        try:
            reason = str(read_object(folder / "failure.json", read_json).get("error"))
        except Unreadable as error:
            reason = str(error)
    return {"status": status, "metrics": {}, "cost": {}, "weights": None, "trained": {}, "diverged_step": None, "reason": reason}


def read_requests(folder: Path, directory: str) -> tuple[list[Request], int]:
    """The requests of one run, and how many lines had to be left out. Raises Unreadable when the file can't be opened."""
    try:
        rows, damaged = read_rows(folder / "requests.jsonl")
    except (OSError, RecursionError) as error:
        raise Unreadable(f"requests.jsonl: {said(error)}") from error
    requests = [request for row in rows if (request := parse_request(row, directory)) is not None]
    return requests, damaged + len(rows) - len(requests)


def parse_request(row: dict[str, Any], directory: str) -> Request | None:
    """One line of requests.jsonl, or None when a field is missing or of the wrong type."""
    number, changes, exploring = whole(row.get("number")), row.get("changes"), row.get("exploring")
    words = {key: row.get(key) for key in ("baseline", "lock", "label", "study")}
    if number is None or not isinstance(changes, list) or not isinstance(exploring, bool):
        return None
    if not all(isinstance(word, str) for word in words.values()):
        return None
    texts = {key: str(word) for key, word in words.items()}
    texts |= {key: found if isinstance(found := row.get(key), str) else "" for key in ("command", "note", "why", "at")}
    cell = row.get("cell")
    if cell is not None:  # a cell that can't be read as one must not pass for an arm
        if not isinstance(cell, dict) or not isinstance(cell.get("design"), str) or not cell["design"]:
            return None
        texts["cell"] = cell["design"]
    edit = len(changes) == 1 and isinstance(changes[0], dict) and changes[0].get("kind") == "code"
    return Request(number=number, changes=len(changes), exploring=exploring, edit=edit, directory=directory, **texts)
