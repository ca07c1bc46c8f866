"""Runs that ought to be equal and aren't: twins of one identity, and runs that refute a certificate. Names them; judges nothing.

What they say stands beside each verdict that rests on such runs, or on code that a refuted certificate joins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.ablate.certificate import clashing_modules, map_hash
from lab.results.evidence import Evidence
from lab.results.lineup import Lineup
from lab.results.record import Run

DIGESTS = ("weights", "judged_weights", "optimizer")


@dataclass(frozen=True)
class Unequal:
    """Several directories of what ought to be one run, and in what they differ."""

    directories: tuple[str, ...]
    told: str
    refutes: bool  # a certificate, and not only the promise that a run repeats to the bit

    @property
    def line(self) -> str:
        return f"{' and '.join(self.directories)}: {self.told}{', although certificates join their code' if self.refutes else ''}"


def unequal_twins(found: Iterable[Run], mine: Iterable[Run]) -> list[Unequal]:
    """Directories of one identity that came to another end: the promise of bit-equality broke."""
    wanted = {run.identity for run in mine}
    twins: dict[str, list[Run]] = {}
    for run in found:
        if run.identity in wanted and run.trained:
            twins.setdefault(run.identity, []).append(run)
    return those_that_differ(twins.values(), refutes=False)


def refuted(lineup: Lineup) -> list[Unequal]:
    """Runs of the baseline at one seed, under one set of bits, that differ although certificates join their code.

    Runs of an edit of the code are runs of the baseline too where its code is joined.
    """
    if lineup.reference is None or lineup.baseline is None:
        return []
    joined = {map_hash(code) for code in lineup.reference.maps}
    again: dict[tuple[int, str], list[Run]] = {}
    for arm in (lineup.baseline, *(arm for arm in lineup.arms if arm.is_edit)):
        for run in (*arm.runs.values(), *arm.surplus):
            if run.trained and map_hash(run.code) in joined:
                again.setdefault((run.seed, run.bits), []).append(run)
    return those_that_differ(again.values(), refutes=True)


def those_that_differ(groups: Iterable[list[Run]], refutes: bool) -> list[Unequal]:
    return [
        Unequal(tuple(sorted(run.directory for run in group)), told, refutes)
        for group in groups
        if len(group) > 1 and (told := differing(group))
    ]


def differing(runs: Sequence[Run]) -> str:
    """What differs between runs that ought to be one, in words; empty where nothing does. Their rows aren't looked at: cadences differ."""
    ends = {(run.status, run.diverged_step) for run in runs}
    if len(ends) > 1:
        return "they ended " + " and ".join(sorted("diverged at step " + str(step) if step else status for status, step in ends))
    digests = {name: {run.trained.get(name) for run in runs} for name in DIGESTS}
    found = [f"unequal {name.replace('_', ' ')}" for name, values in digests.items() if len(values) > 1]
    if not found and runs[0].status == "finished":
        found = [f"unequal metrics of equal weights ({', '.join(names)})"] if (names := unequal_metrics(runs)) else []
    return ", ".join(found)


def unequal_metrics(runs: Sequence[Run]) -> list[str]:
    """Those that all of them have: an observer may measure more."""
    shared = set(runs[0].metrics).intersection(*(run.metrics for run in runs))
    return sorted(name for name in shared if len({run.metrics[name] for run in runs}) > 1)


def doubts_on(evidence: Evidence, lineup: Lineup, unequal: Iterable[Unequal]) -> tuple[str, ...]:
    """What a verdict's reader must know of unequal runs: it counts one of them, or rests on code that they say isn't inert."""
    unequal = tuple(unequal)
    if lineup.baseline is None or not unequal:
        return ()
    arm, baseline = evidence.arm, lineup.baseline
    theirs = [baseline.runs[pair.seed] for pair in evidence.pairs]
    judged = theirs + [arm.runs[pair.seed] for pair in evidence.pairs]
    # an edit of the code is compared whatever its code, so it rests on no certificate; its own runs may refute one
    resting, refuting = (theirs, [*theirs, *arm.runs.values()]) if arm.is_edit else (judged, judged)
    base = next(iter(baseline.runs.values())).code
    rests = any(each.refutes for each in unequal) and any(clashing_modules(run.code, base) for run in resting)
    doubts = []
    for each in unequal:
        if each.refutes and (rests or among(refuting, each)):
            doubts.append("runs refute a certificate that joins its code")
        elif not each.refutes and among(judged, each):
            doubts.append("a run of it was trained twice, to unequal ends")
    return tuple(dict.fromkeys(doubts))


def among(runs: Iterable[Run], unequal: Unequal) -> bool:
    return any(run.directory in unequal.directories for run in runs)
