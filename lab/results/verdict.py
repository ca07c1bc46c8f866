"""What the report concludes about each arm, by the rules of the pin. Pure: evidence in, verdicts out, no file and no text but the reading.

In this order: identical, before the first look, unstable or stabler (any divergence bars a plain better or no difference), better or
worse, no difference, cannot tell. "p > 0.05" never becomes "no difference": only an interval inside (-D, D) does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lab.results.evidence import Evidence, gather, look_ahead
from lab.results.lineup import Lineup
from lab.results.pin import Pin
from lab.results.reading import Verdict, Word, read
from lab.results.smallest_effect import SmallestEffect
from lab.results.statistics import holm, level_in_force
from lab.results.twice import Unequal, doubts_on
from lab.results.wording import contains_zero

SCREENING = "screening"  # the study of single runs


def judge(lineup: Lineup, pin: Pin, smallest_effect: SmallestEffect, unequal: Sequence[Unequal] = ()) -> tuple[Verdict, ...]:
    """A verdict with its reading for each arm of the lineup, in its order; `unequal` are runs that ought to be equal and aren't."""
    evidence = [gather(arm, lineup.baseline, pin) for arm in lineup.arms]
    adjusted = adjust(evidence, lineup.families)
    verdicts = []
    for item in evidence:
        family = len(lineup.families[item.arm.study])
        p = adjusted.get(item.arm.arm_id)
        word = conclude(item, p, family, pin, smallest_effect.value)
        negligible = word in ("better", "worse") and inside(item, smallest_effect.value)
        outlook = look_ahead(item, pin, smallest_effect.value)
        doubts = doubts_on(item, lineup, unequal)
        verdict = Verdict(item, word, negligible, p, family, outlook, item.arm.study == SCREENING, doubts, reading="")
        verdicts.append(replace(verdict, reading=read(verdict, pin, smallest_effect.value)))
    return tuple(verdicts)


def adjust(evidence: Sequence[Evidence], families: Mapping[str, frozenset[str]]) -> dict[str, float]:
    """Holm over each study. An arm that was asked for in several is judged in that of its first request, and counts in all."""
    adjusted: dict[str, float] = {}
    for study, family in families.items():
        known = [(item.arm, item.p) for item in evidence if item.arm.arm_id in family and item.p is not None]
        for (arm, _), p in zip(known, holm([p for _, p in known], len(family)), strict=True):
            if arm.study == study:
                adjusted[arm.arm_id] = p
    return adjusted


def conclude(evidence: Evidence, p: float | None, family: int, pin: Pin, smallest_effect: float | None) -> Word:
    """The first rule that holds."""
    # before any look: bit-equality is no estimate, so it has no chance of error that the looks would hold down
    if evidence.identical:
        return "identical"
    if evidence.look is None:
        return "before the first look"
    if evidence.diverged_arm or evidence.diverged_baseline:
        return conclude_divergence(evidence, family, pin)
    estimate = evidence.estimate
    if estimate is None or estimate.low is None or estimate.high is None:
        return "cannot tell"
    if p is not None and p < pin.alpha and not contains_zero(estimate):
        return "better" if (estimate.mean < 0) == (pin.direction == "lower") else "worse"
    return "no difference" if inside(evidence, smallest_effect) else "cannot tell"


def conclude_divergence(evidence: Evidence, family: int, pin: Pin) -> Word:
    """Whether one diverges more often, at the looks' level and Bonferroni over the family; quality is not concluded."""
    if min(1.0, family * evidence.p_diverges) >= level_in_force(pin.alpha, pin.looks):
        return "cannot tell"
    return "unstable" if evidence.diverged_arm > evidence.diverged_baseline else "stabler"


def inside(evidence: Evidence, smallest_effect: float | None) -> bool:
    """Whether the whole interval lies inside (-D, D)."""
    estimate = evidence.estimate
    if estimate is None or estimate.low is None or estimate.high is None or smallest_effect is None:
        return False
    return -smallest_effect < estimate.low and estimate.high < smallest_effect
