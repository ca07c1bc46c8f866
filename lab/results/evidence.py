"""What is known about one arm: its pairs with the baseline, the look it stands at, its numbers, and what the next look costs.

Looks go by the pinned, ordered seeds: look n is complete when the first n of them have an outcome in both arms. Pairs that lie between
looks, or beyond the last, are counted and shown, never judged. Concludes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lab.results.facts import OffSchedule
from lab.results.lineup import Arm
from lab.results.pairs import Outside, Pair, lies_outside, make_pair, mean, stable_values
from lab.results.pin import Pin
from lab.results.planning import cautious_factor, chance_of_decision, detectable_effect, look_that_settles
from lab.results.sequential import level_in_force, sequential_p
from lab.results.statistics import Paired, mcnemar, paired


@dataclass(frozen=True)
class NextLook:
    """What it takes to reach the next pinned look."""

    seeds: int
    pending: tuple[int, ...]
    seconds: float | None  # of training, by the mean cost of the arm's and the baseline's own runs; None: not known yet


@dataclass(frozen=True)
class Evidence:
    """One arm against its baseline at its largest complete look; `look` is None before the first."""

    arm: Arm
    look: int | None
    first_look: int
    pairs: tuple[Pair, ...]  # the judged ones; before the first look: those that are there
    waiting: tuple[int, ...]  # pinned seeds with a pair, beyond the judged look
    outside: Outside
    off_schedule: OffSchedule | None  # what they come to together with the judged ones
    extra: tuple[int, ...]  # seeds outside the pinned list: shown apart, never judged
    common: tuple[int, ...]  # every seed with an outcome in both, whatever the looks
    identical: bool  # bit-equal on each of them, one of the pinned list at least
    estimate: Paired | None  # over the stable pairs
    mean_arm: float | None
    mean_baseline: float | None
    p: float | None  # sequential; None where it can't be given (divergence, no spread, before the first look)
    nominal: Mapping[int, float]  # the plain p at each look taken so far
    next: NextLook | None  # None: this was the last look

    @property
    def further(self) -> bool:
        """Whether the arm has an outcome on a pinned seed that isn't among the judged pairs."""
        return any(
            run.done and seed not in self.extra and seed not in {pair.seed for pair in self.pairs} for seed, run in self.arm.runs.items()
        )

    @property
    def diverged_arm(self) -> int:
        return sum(pair.arm is None for pair in self.pairs)

    @property
    def diverged_baseline(self) -> int:
        return sum(pair.baseline is None for pair in self.pairs)

    @property
    def diverged_outside(self) -> bool:
        return bool(self.outside.diverged or self.outside.diverged_baseline)

    @property
    def diverged(self) -> bool:
        """Whether anything diverged on a pinned seed, at the judged look or outside of it: either bars a plain word."""
        return bool(self.diverged_arm or self.diverged_baseline or self.diverged_outside)

    @property
    def stable(self) -> int:
        return sum(pair.stable for pair in self.pairs)

    @property
    def sharpest(self) -> int | None:
        """The look with the smallest nominal p."""
        return min(self.nominal, key=lambda n: self.nominal[n], default=None)

    @property
    def values(self) -> tuple[list[float], list[float]]:
        """The metric of the arm and of the baseline on the judged seeds where both are stable, in the pinned order."""
        return stable_values(self.pairs)

    @property
    def not_paired(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part for pair in self.pairs for part in pair.not_paired))

    @property
    def untold(self) -> tuple[int, ...]:
        """Judged seeds whose pairing nobody counted. An edit of the code has none where no baseline run of its seed stood beside it."""
        return () if self.arm.is_edit else tuple(pair.seed for pair in self.pairs if not pair.told)

    @property
    def across_bits(self) -> int:
        return sum(not pair.same_bits for pair in self.pairs)

    @property
    def p_diverges(self) -> float:
        """McNemar's exact p on the seeds where just one of the two diverged."""
        only_arm = sum(pair.arm is None and pair.baseline is not None for pair in self.pairs)
        return mcnemar(only_arm, sum(pair.baseline is None and pair.arm is not None for pair in self.pairs))


def gather(arm: Arm, baseline: Arm | None, pin: Pin) -> Evidence:
    """The evidence on one arm, by the looks of these rules. Without a baseline there are no pairs."""
    base = baseline.runs if baseline else {}
    both = {seed: pair for seed in arm.runs if seed in base and (pair := make_pair(arm.runs[seed], base[seed], pin.measure)) is not None}
    complete = next((n for n, seed in enumerate(pin.seeds) if seed not in both), len(pin.seeds))
    looks = [n for n in pin.looks if n <= complete]
    look = looks[-1] if looks else None
    judged = tuple(both[seed] for seed in pin.seeds[: look or pin.looks[0]] if seed in both)
    outside = lies_outside(arm, [seed for seed in pin.seeds if seed not in {pair.seed for pair in judged}], both, pin.measure)
    level = level_in_force(pin.alpha, pin.looks)
    arm_values, base_values = stable_values(judged)
    nominal = nominal_p([both[seed] for seed in pin.seeds[:complete]], looks, level)
    following = next((n for n in pin.looks if n > (look or 0)), None)
    barred = len(arm_values) < len(judged) or outside.diverged or outside.diverged_baseline
    return Evidence(
        arm=arm,
        look=look,
        first_look=pin.looks[0],
        pairs=judged,
        waiting=tuple(seed for seed in pin.seeds[look or pin.looks[0] :] if seed in both),
        outside=outside,
        off_schedule=between_looks([both[seed] for seed in pin.seeds[:following] if seed in both], look, following),
        extra=tuple(seed for seed, run in sorted(arm.runs.items()) if seed not in pin.seeds and run.done),
        common=tuple(sorted(both)),
        identical=any(seed in pin.seeds for seed in both) and all(pair.identical for pair in both.values()),
        estimate=paired(arm_values, base_values, level) if arm_values else None,
        mean_arm=mean(arm_values),
        mean_baseline=mean(base_values),
        p=sequential_p(list(nominal.values()), pin.looks) if nominal and not barred else None,
        nominal=nominal,
        next=next_look(following, arm, baseline, pin.seeds, both) if following is not None else None,
    )


def apart(arm: Arm, pin: Pin) -> Evidence:
    """The evidence on an arm that may not be compared: none. No look brings it nearer to a verdict."""
    return replace(gather(arm, None, pin), next=None)


def between_looks(there: Sequence[Pair], look: int | None, following: int | None) -> OffSchedule | None:
    """The pairs up to the next look (beyond the last: all), where they are more than the judged ones."""
    if look is None or len(there) <= look:
        return None
    arm, base = stable_values(there)
    difference = mean(a - b for a, b in zip(arm, base, strict=True))
    return OffSchedule(n=len(there), of=following, difference=difference, stable=len(arm))


def nominal_p(pairs: Sequence[Pair], looks: Iterable[int], level: float) -> dict[int, float]:
    """The plain p at each complete look; a look with a divergence or without spread has none."""
    nominal = {}
    for n in looks:
        arm, base = stable_values(pairs[:n])
        if len(arm) == n and (p := paired(arm, base, level).p) is not None:
            nominal[n] = p
    return nominal


def next_look(n: int, arm: Arm, baseline: Arm | None, seeds: Sequence[int], both: dict[int, Pair]) -> NextLook:
    """The seeds that look n waits for, and the seconds to train what they lack."""
    pending = tuple(seed for seed in seeds[:n] if seed not in both)
    seconds = 0.0
    for one in (arm, baseline):
        runs = one.runs if one else {}
        lacking = sum(seed not in runs or not runs[seed].done for seed in pending)
        each = mean(run.cost.get("seconds") for run in runs.values() if run.status == "finished")
        if lacking and each is None:
            return NextLook(n, pending, None)
        seconds += lacking * (each or 0.0)
    return NextLook(n, pending, seconds)


@dataclass(frozen=True)
class Outlook:
    """What this design can find, the look that would likely settle the arm against D, and the chance that the last one does."""

    detectable: float | None  # in the metric's unit: found with 80 % power at the judged look
    likely: int | None  # None: more than the last look
    cautious: int | None
    known: bool  # whether likely and cautious could be computed at all
    chance: float | None  # of a decision at the last look; None there, and where it can't be computed


def look_ahead(evidence: Evidence, pin: Pin, smallest_effect: float | None, decided: bool) -> Outlook:
    """The observed effect never enters: planning from it would be post-hoc power. A divergence bars what there is to plan for."""
    spread = evidence.estimate.spread if evidence.estimate else None
    if evidence.estimate is None or spread is None or evidence.look is None or evidence.diverged:
        return Outlook(None, None, None, known=False, chance=None)
    n, level, last = evidence.stable, level_in_force(pin.alpha, pin.looks), pin.looks[-1]
    detectable = detectable_effect(n, level) * spread
    if smallest_effect is None or decided:
        return Outlook(detectable, None, None, known=False, chance=None)
    later = [look for look in pin.looks if look > n]
    likely = look_that_settles(later, spread, level, smallest_effect)
    cautious = look_that_settles(later, spread * cautious_factor(n), level, smallest_effect)
    chance = chance_of_decision(n, evidence.estimate.mean, spread, last, level, smallest_effect) if later else None
    return Outlook(detectable, likely, cautious, known=True, chance=chance)
