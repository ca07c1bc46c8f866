"""What is to be replayed, made ready before torch is loaded: the run verified, its text prepared, the environment set. No torch."""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.ablate.certificate import Finding, map_hash, write_finding
from lab.ablate.codemap import code_map, require_fresh
from lab.ablate.reference import Reference
from lab.config.diff import flatten, moved, say
from lab.config.identity import of_role
from lab.config.options import read_yaml
from lab.data.prepare import PreparedData
from lab.edits import Edits
from lab.errors import OneChangeError, StoreError
from lab.files import read_json, sha256_of
from lab.request import Identifier, Job, on_this_machine
from lab.store.layout import RunFolder, store
from lab.store.machine import bits_of_machine, set_variables
from lab.store.runs import verify


@dataclass(frozen=True)
class Original:
    """A finished or diverged run, verified, and what its configuration means today."""

    folder: RunFolder
    manifest: dict[str, Any]
    result: dict[str, Any]
    config: dict[str, Any]
    """as it was frozen, without observers: they change no bit"""
    data: PreparedData


@dataclass(frozen=True)
class Difference:
    """The first thing that isn't bit-equal: where, what, and both values."""

    at: str
    what: str
    was: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.at}: {self.what} was {say(self.was)}, is {say(self.now)}"


def original(folder: RunFolder, identifier: Identifier, path: str | None = None) -> Original:
    """A run as it can be replayed. Raises StoreError when it is damaged or has no outcome yet.

    `path` is where its text lies now; None: where it lay.
    """
    if not folder.result.exists():
        raise StoreError(f"{folder.path} has no result: only a finished or diverged run can be replayed\nlet it finish: the same command")
    result, manifest = verify(folder), read_json(folder.manifest)
    saved = read_yaml(folder.config)
    hooks = {name: hook for name, hook in saved["hooks"].items() if hook.get("observes") is not True}
    data = saved["data"] if path is None else saved["data"] | {"path": path}
    config = on_this_machine(saved | {"hooks": hooks, "data": data})
    return Original(folder, manifest, result, config, identifier.data(config))


def replay(first: Original, tell: Callable[[str], None]) -> Difference | None:
    """Train a whole run again and compare. None: bit-identical. Nothing is written into the store."""
    set_variables(first.config["device"])
    require_fresh(code_map(first.config))
    with tempfile.TemporaryDirectory(prefix="lab-replay-", ignore_cleanup_errors=True) as scratch:
        again = importlib.import_module("lab.replay.again")  # by name: it loads torch
        found: Difference | None = again.whole(first, Path(scratch), tell)
    return found


def replay_said(root: Path, folder: RunFolder, tell: Callable[[str], None], path: str | None = None) -> str:
    """What a replay of a whole run came to. Raises StoreError where it isn't bit-identical, naming what of its fingerprints moved."""
    first = original(folder, Identifier(root), path)
    moves = moved_parts(first)
    if moves:
        tell(f"{len(moves)} of its fingerprints' parts are others today; training it again all the same")
    difference = replay(first, tell)
    if difference is None:
        result = first.result
        return (
            f"bit-identical: {result['step']:,} steps, every logged loss, the final evaluation, weights and optimizer of {folder.path.name}"
        )
    listed = "\n".join(f"  {move}" for move in moves) or "  nothing that a fingerprint holds: this machine doesn't repeat itself"
    raise StoreError(f"{folder.path.name} isn't bit-identical\n  {difference}\nwhat moved since it was trained:\n{listed}")


def certify_said(root: Path, job: Job, tell: Callable[[str], None]) -> str:
    """What an edit of the code is to a baseline. Raises StoreError where it moves it, OneChangeError where the job isn't the baseline."""
    if job.changes:
        raise OneChangeError(f"{job.label} is a change: only the baseline itself is replayed\nleave it out")
    edits, identified = Edits(root, tell), Identifier(root).identify(job)
    reference = edits.reference(identified)
    if not reference.runs:
        return f"baseline `{job.baseline}` has no finished run in this cohort: there's nothing to excuse, and today's code becomes its code"
    if any(run.code == reference.code for run in reference.runs):
        return f"nothing that baseline `{job.baseline}` executes was edited since its runs (code {map_hash(reference.code)[:8]})"
    if not reference.excused and reference.finding is None:
        reference = edits.certify(identified)
    if not reference.excused:
        raise StoreError(moved_baseline(reference))
    found = reference.finding
    how = (
        "other certificates join it with theirs" if found is None else f"{found.words()}, replayed from {found.run} ({found.seconds:.1f} s)"
    )
    return f"certificate: {how}\nedited: {', '.join(reference.modules)}"


def moved_baseline(reference: Reference) -> str:
    """Why an edit isn't excused."""
    if reference.finding is None:
        return "none of the baseline's runs can be replayed here: other versions, processor or variables\nreplay it where they were trained"
    return f"today's code moves the baseline: {reference.finding.words()}\nedited: {', '.join(reference.modules)}"


def moved_parts(first: Original) -> list[str]:
    """What of a run's fingerprints is another one today: code by module, bits by part, tokens. A line each."""
    today = bits_of_machine(first.config["device"]) | {"leaves": of_role("bits", first.config)}
    code = code_map(first.config)
    lines = [
        f"bits: {move.path} was {say(move.old)}, is {say(move.new)}" for move in moved(flatten(first.manifest["bits"]), flatten(today))
    ]
    lines += [
        f"code: {move.path} was {str(move.old)[:8]}, is {str(move.new)[:8]}"
        for move in moved(modules(first.manifest["code"]), modules(code))
    ]
    if first.manifest["tokens"] != first.data.token_digest:
        lines.append(f"data: the tokens were {first.manifest['tokens'][:8]}, are {first.data.token_digest[:8]}")
    return lines


def modules(code: Mapping[str, str]) -> dict[str, Any]:
    """A code map as leaves: a module's dots aren't a path's."""
    return dict(code)


def certify(asked: Mapping[str, Any]) -> Finding:
    """Replay both ends of a baseline run under today's code, what every step draws, and the other seeds' draws; keep the finding."""
    began = time.monotonic()
    identifier, runs = Identifier(Path(asked["root"])), store(Path(asked["root"]))
    first, *others = (original(RunFolder(Path(each)), identifier, asked["path"]) for each in (asked["run"], *asked["others"]))
    set_variables(first.config["device"])
    require_code(first, asked)
    with tempfile.TemporaryDirectory(prefix="lab-replay-", ignore_cleanup_errors=True) as scratch:
        again = importlib.import_module("lab.replay.again")  # by name: it loads torch
        spans, difference = again.ends(first, others, Path(scratch))
    require_code(first, asked)
    finding = Finding(
        baseline=asked["baseline"],
        change_id=asked["change_id"],
        cohort=asked["cohort"],
        bits=sha256_of(first.manifest["bits"]),
        run=first.folder.path.relative_to(runs).as_posix(),
        seed=first.manifest["seed"],
        old=first.manifest["code"],
        new=asked["code"],
        spans=spans,
        other_seeds=[each.manifest["seed"] for each in others],
        difference=None if difference is None else asdict(difference),
        seconds=round(time.monotonic() - began, 2),
    )
    write_finding(runs, finding)
    return finding


def require_code(first: Original, asked: Mapping[str, Any]) -> None:
    """Raise StoreError where the code isn't the one that was asked about: it was edited meanwhile, or Python took an older form."""
    code = code_map(first.config | {"trusted_modules": asked["trusted_modules"]})
    if code != asked["code"]:
        raise StoreError("lab/ was edited while the baseline was replayed\ntype the same again")
    require_fresh(code)
