"""Which arm a user means by a word: its label in either spelling, or some of its arm_id. Judges nothing."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.errors import ConfigError
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


def arm_named(arms: Iterable[NamedArm], word: str, baseline: str, lab: Lab | None = None) -> NamedArm:
    """The one arm that fits a word. Raises ConfigError when none or several fit, with what there is; with `lab` also in other baselines."""
    arms = list(arms)
    fitting = fitting_of(arms, word)
    if len(fitting) == 1:
        return fitting[0]
    listed = "\n".join(f"  {plain(shown(arm.label))} ({arm.arm_id[:LEAST_HEX]})" for arm in fitting or arms) or "  none yet"
    if fitting:
        raise ConfigError(f"{len(fitting)} arms of baseline `{baseline}` fit {word!r}; name one by its id\n{listed}")
    elsewhere = [] if lab is None else [plain(name) for name in others(lab, baseline) if fitting_of(arms_of(lab, name), word)]
    found = f"\nit is in baseline `{'`, `'.join(elsewhere)}`: add --baseline {elsewhere[0]}" if elsewhere else ""
    raise ConfigError(f"no arm of baseline `{baseline}` fits {word!r}; these were asked for:\n{listed}{found}")


def fitting_of(arms: Iterable[NamedArm], word: str) -> list[NamedArm]:
    """The arms that a word may mean: those of its label, or where none has it those of its id."""
    arms = list(arms)
    marked = re.fullmatch(r"(.+) \(([0-9a-f]{6})\)", word)  # as the report tells arms of one label apart
    label, head = (marked[1], marked[2]) if marked else (word, "")
    fitting = [arm for arm in arms if shown(arm.label) == shown(label) and has_id(arm, head)]
    if not fitting and len(word) >= LEAST_HEX and re.fullmatch(r"[0-9a-f]+", word):
        fitting = [arm for arm in arms if has_id(arm, word)]
    return fitting


def words_for(arms: Sequence[NamedArm]) -> list[str]:
    """To each arm the word that names it alone, as a shell takes it: its label, with its id where another has that label too."""
    labels = [shown(arm.label) for arm in arms]
    count = Counter(labels)
    words = []
    for arm, label in zip(arms, labels, strict=True):
        named = label if count[label] == 1 else f"{label} ({arm.arm_id[:LEAST_HEX]})"
        words.append(shlex.quote(named) if plain(named) == named else arm.arm_id[:LEAST_HEX])
    return words


def others(lab: Lab, baseline: str) -> list[str]:
    """The other baselines of a store."""
    return sorted({request.baseline for request in lab.asked} - {baseline})


def has_id(arm: NamedArm, head: str) -> bool:
    return any(run.arm_id.startswith(head) for run in arm.runs)
