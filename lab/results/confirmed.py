"""What the journal says of confirmations: one that was declared and is still to be finished, and what a finished one came to.

Reads runs/<baseline>/confirmations.jsonl as it is kept; concludes nothing anew (lab/confirm does that, once) and trains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.results.collect import Lab
from lab.results.fields import said
from lab.results.wording import counted, decimals, p_value, seed_list
from lab.store.confirmations import NAME, place, read_confirmations, readings


@dataclass(frozen=True)
class Told:
    """One confirmation of a change: a heading, and a sentence."""

    change_id: str
    title: str
    text: str


@dataclass(frozen=True)
class Around:
    """What a confirmation is told with: its baseline, today's lock (None: the pin can't be read), its metric's unit, and how a shell
    names an arm, by its change_id."""

    baseline: str
    lock: str | None
    unit: str
    words: Mapping[str, str]


def confirmations_of(lab: Lab, around: Around) -> tuple[list[Told], list[str]]:
    """The confirmations of one baseline, oldest first, and what of them can't be read."""
    try:
        kept = read_confirmations(place(lab.folder, around.baseline))
    except OSError as error:
        return [], [f"{around.baseline}/{NAME}: {said(error)}"]
    found: list[Told] = []
    odd = kept.damaged
    for declared in kept.of_kind("declared"):
        try:
            row = kept.confirmed(declared["id"])
            found.append(confirmed(lab, row, around) if row is not None else begun(lab, declared, around))
        except (KeyError, TypeError, ValueError, OSError):
            odd += 1
    return found, [f"{around.baseline}/{NAME}: {counted(odd, 'damaged line')} left out"] if odd else []


def begun(lab: Lab, declared: Mapping[str, Any], around: Around) -> Told:
    """One without its conclusion: how far it came, and how it goes on."""
    seeds, change = seeds_of(declared), str(declared["change_id"])
    done = {run.directory: run for run in lab.found if run.done and run.seed in seeds}
    arm = {run.seed for run in done.values() if run.change_id == change}
    plain = {
        done[each.directory].seed for each in lab.asked if each.directory in done and each.baseline == around.baseline and not each.changes
    }
    there = f"{len(arm & plain)} of {counted(len(seeds), 'pair')} there"
    if declared["lock"] != around.lock:
        rest = "it was declared under another pin, and isn't gone on with under this one"
    else:
        rest = f"python -m lab confirm {around.words.get(change, 'ARM')}{flag(around.baseline)} goes on"
    return Told(change, f"confirmation declared {day(declared)}", f"on {seed_list(seeds)}: {there}; {rest}")


def confirmed(lab: Lab, row: Mapping[str, Any], around: Around) -> Told:
    """A finished one, in the words and numbers that were kept of it; how often its range was read is counted anew."""
    known = row["estimate"]
    numbers = "" if known is None else f", {numbers_of(known, around.unit)}, p {p_value(row['p'], 'unknown')}"
    read, damaged = readings(lab.folder, row["text"])
    times = "once" if len(read) == 1 else f"{len(read)} times"
    perhaps = ", perhaps more often: lines are damaged" if damaged else ""
    ranged = f"the test range was read {times} in this store by now{perhaps}" if row["readings"] else "the test range wasn't read"
    then = "" if row["lock"] == around.lock else " under another pin"
    return Told(str(row["change_id"]), f"confirmed {day(row)}{then}", f"{row['verdict']} on {seed_list(seeds_of(row))}{numbers}; {ranged}")


def numbers_of(known: Mapping[str, Any], unit: str) -> str:
    """The difference and its interval, with the decimals that it deserves."""
    mean, low, high = known["mean"], known["low"], known["high"]
    if low is None or high is None:
        return f"{mean:+.{decimals(abs(mean))}f} {unit}".strip()
    places = decimals((high - low) / 2)
    return f"{mean:+.{places}f} {unit or 'in its metric'} ({low:+.{places}f} to {high:+.{places}f})"


def seeds_of(row: Mapping[str, Any]) -> list[int]:
    return [int(seed) for seed in row["seeds"]]


def day(row: Mapping[str, Any]) -> str:
    return str(row["at"])[:10]


def flag(baseline: str) -> str:
    """The words that name a baseline, where one has to."""
    return "" if baseline == "default" else f" --baseline {baseline}"
