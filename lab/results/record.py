"""One run directory read into one `Run`, and its requests. Says why when it can't; judges nothing, knows no other run.

Everything here was written by another process, perhaps cut short, so nothing is trusted: a field of the wrong type makes the
directory unreadable (`Unreadable`, with the reason), never a crash and never a guess.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.files import read_json, read_rows, read_sealed, sha256_of
from lab.store.manifest import pairing_is_sound

SCHEMA = 1
LARGEST_INTEGER = 2**63 - 1
PARTS = {"bits": "bits", "cohort": "cohort_parts", "factors": "factors"}  # by their keys in a manifest


class Unreadable(Exception):
    """A file of a run that can't be used, and why. Never leaves this wing: the reader turns it into a `LeftOut`."""


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

    @property
    def done(self) -> bool:
        """Finished or diverged: an outcome. Failed and unfinished runs are pending."""
        return self.status in ("finished", "diverged")


def read_run(folder: Path, directory: str) -> Run:
    """The run in `folder`; `directory` is its name relative to runs/. Raises Unreadable with the reason."""
    manifest = read_object(folder / "manifest.json", read_sealed)
    require_schema(manifest, "manifest.json")
    if not pairing_is_sound(manifest.get("pairing")):
        raise Unreadable("manifest.json: 'pairing' isn't as it is written")
    identity = text(manifest, "identity", "manifest.json")
    result = read_object(folder / "result.json", read_sealed) if (folder / "result.json").exists() else None
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
        code={str(module): str(digest) for module, digest in code.items()},
        bits=sha256_of(manifest.get("bits")),
        parts={name: table(manifest, key, "manifest.json") for name, key in PARTS.items()},
        cohort_name=", ".join(named),
        steps=whole(manifest.get("steps")),
        tokens_per_step=whole(manifest.get("tokens_per_step")),
        parameters=numbers(sizes.get("parameters")),
        pairing=manifest.get("pairing"),
        **outcome,
    )


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
    edit = len(changes) == 1 and isinstance(changes[0], dict) and changes[0].get("kind") == "code"
    return Request(number=number, changes=len(changes), exploring=exploring, edit=edit, directory=directory, **texts)


def read_object(path: Path, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """A JSON object, or Unreadable with the file's name (never its place on this machine) and the reason."""
    try:
        return read(path)
    except FileNotFoundError as error:
        raise Unreadable(f"no {path.name}") from error
    except ValueError as error:
        raise Unreadable(str(error).replace(str(path), path.name)) from error
    except (OSError, RecursionError) as error:
        raise Unreadable(f"{path.name}: {said(error)}") from error


def said(error: BaseException) -> str:
    """What the system said, without the path."""
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def require_schema(value: dict[str, Any], name: str) -> None:
    if value.get("schema") != SCHEMA:
        raise Unreadable(f"{name}: schema {value.get('schema')!r}, this version reads {SCHEMA}")


def text(value: dict[str, Any], key: str, name: str) -> str:
    found = value.get(key)
    if not isinstance(found, str):
        raise Unreadable(f"{name}: {key!r} isn't text")
    return found


def table(value: dict[str, Any], key: str, name: str) -> dict[str, Any]:
    found = value.get(key)
    if not isinstance(found, dict):
        raise Unreadable(f"{name}: {key!r} isn't a table")
    return found


def whole(value: Any) -> int | None:
    """A whole number that a table can hold, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_INTEGER else None


def number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e300 or not math.isfinite(value):
        return None
    return float(value)


def numbers(values: Any) -> dict[str, float | None]:
    """The numbers of a table; text and nested tables are dropped, non-finite numbers are None."""
    if not isinstance(values, dict):
        return {}
    return {str(key): number(value) for key, value in values.items() if value is None or isinstance(value, (int, float))}
