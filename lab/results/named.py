"""Which arm a user means by a word: its label in either spelling, or some of its arm_id. Judges nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lab.errors import StoreError
from lab.results.collect import Lab
from lab.results.record import Request, Run
from lab.results.wording import shown
from lab.store.plain import plain

LEAST_HEX = 6


@dataclass(frozen=True)
class NamedArm:
    """One change that was asked for under a baseline; `runs` are of all its code maps, newest request last."""

    label: str
    arm_id: str  # of the newest request
    change_id: str
    requests: tuple[Request, ...]  # oldest first
    runs: tuple[Run, ...]


def arms_of(lab: Lab, baseline: str, lock: str | None = None) -> list[NamedArm]:
    """Every arm that was ever asked for under a baseline, in the order of its newest request. `lock`: under this pin alone."""
    runs = {run.directory: run for run in lab.found}
    groups: dict[tuple[str, str], list[Request]] = {}
    for request in lab.asked:
        run = runs.get(request.directory)
        if request.baseline == baseline and request.changes and run is not None and lock in (None, request.lock):
            groups.setdefault((run.change_id, run.arm_id if request.edit else ""), []).append(request)
    named = []
    for (change_id, _), requests in groups.items():
        mine = tuple(dict.fromkeys(request.directory for request in requests))
        newest = requests[-1]
        found = tuple(runs[directory] for directory in mine)
        named.append(NamedArm(newest.label, runs[newest.directory].arm_id, change_id, tuple(requests), found))
    return sorted(named, key=lambda arm: arm.requests[-1].number)


def arm_named(arms: Iterable[NamedArm], word: str, baseline: str) -> NamedArm:
    """The one arm that fits a word. Raises StoreError when none or several fit, with what there is."""
    arms = list(arms)
    marked = re.fullmatch(r"(.+) \(([0-9a-f]{6})\)", word)  # as the report tells arms of one label apart
    label, head = (marked[1], marked[2]) if marked else (word, "")
    fitting = [arm for arm in arms if shown(arm.label) == shown(label) and has_id(arm, head)]
    if not fitting and len(word) >= LEAST_HEX and re.fullmatch(r"[0-9a-f]+", word):
        fitting = [arm for arm in arms if has_id(arm, word)]
    if len(fitting) == 1:
        return fitting[0]
    listed = "\n".join(f"  {plain(shown(arm.label))} ({arm.arm_id[:LEAST_HEX]})" for arm in fitting or arms) or "  none yet"
    if fitting:
        raise StoreError(f"{len(fitting)} arms of baseline `{baseline}` fit {word!r}; name one by its id\n{listed}")
    raise StoreError(f"no arm of baseline `{baseline}` fits {word!r}; these were asked for:\n{listed}")


def has_id(arm: NamedArm, head: str) -> bool:
    return any(run.arm_id.startswith(head) for run in arm.runs)
