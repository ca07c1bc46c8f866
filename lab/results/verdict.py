"""What the report concludes about each arm, by the rules of its study. Pure: evidence in, verdicts out; no text but the reading.

In this order: refused, identical, before the first look, unstable or stabler (any divergence bars a plain better or no difference),
better or worse, no difference, cannot tell. "p > 0.05" never becomes "no difference": only an interval inside (-D, D) does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lab.results.evidence import Evidence, apart, gather, look_ahead
from lab.results.lineup import Arm, Lineup
from lab.results.pin import Pin
from lab.results.reading import DECIDED, Verdict, Word, read
from lab.results.sequential import holm, level_in_force
from lab.results.smallest_effect import SmallestEffect
from lab.results.studies import effect_of, rules_of
from lab.results.twice import Unequal, doubts_on

SCREENING = "screening"  # the study of single runs
DOUBTFUL = "the declaration of its study is damaged, so its family may be larger"


def judge(lineup: Lineup, pin: Pin, smallest_effect: SmallestEffect, unequal: Sequence[Unequal] = ()) -> tuple[Verdict, ...]:
    """A verdict with its reading for each arm of the lineup, in its order, then for those that are refused.

    `unequal` are runs that ought to be equal and aren't.
    """
    studies = {arm.study for arm in (*lineup.arms, *(item.arm for item in lineup.refused))}
    rules = {study: rules_of(pin, lineup.declarations.get(study)) for study in studies}
    evidence = [gather(arm, lineup.baseline, rules[arm.study]) for arm in lineup.arms]
    known = members(evidence, lineup.families)
    adjusted = adjust(known, lineup.families)
    rivals = {study: tuple(p for _, p in known[study]) for study in studies}
    refused = [(apart(item.arm, rules[item.arm.study]), item.why) for item in lineup.refused]
    verdicts = []
    for item, why in (*((each, "") for each in evidence), *refused):
        study = item.arm.study
        own = rules[study]
        effect = effect_of(own, pin, smallest_effect).value
        family, p = len(lineup.families[study]), None if why else adjusted.get(item.arm.arm_id)
        word = "refused" if why else conclude(item, p, family, own, effect)
        doubts = doubts_on(item, lineup, unequal) + (DOUBTFUL,) * (study in lineup.doubtful_families)
        verdict = Verdict(
            evidence=item,
            word=word,
            negligible=word in ("better", "worse") and item.estimate is not None and inside(item.estimate.low, item.estimate.high, effect),
            p=p,
            family=family,
            rivals=rivals[study],
            rules=own,
            smallest_effect=effect,
            outlook=look_ahead(item, own, effect, decided=word in DECIDED),
            screening=study == SCREENING,
            doubts=doubts,
            why=why,
            reading="",
        )
        verdicts.append(replace(verdict, reading=read(verdict)))
    return tuple(verdicts)


def members(evidence: Sequence[Evidence], families: Mapping[str, frozenset[str]]) -> dict[str, list[tuple[Arm, float]]]:
    """Per study the arms that have a sequential p. An arm that was asked for in several counts in all of them."""
    known = [(item.arm, item.p) for item in evidence if item.p is not None]
    return {study: [(arm, p) for arm, p in known if arm.arm_id in family] for study, family in families.items()}


def adjust(known: Mapping[str, Sequence[tuple[Arm, float]]], families: Mapping[str, frozenset[str]]) -> dict[str, float]:
    """Holm over each study: for every arm the p in the study of its first request, in which it is judged."""
    adjusted: dict[str, float] = {}
    for study, arms in known.items():
        for (arm, _), p in zip(arms, holm([p for _, p in arms], len(families[study])), strict=True):
            if arm.study == study:
                adjusted[arm.arm_id] = p
    return adjusted


def conclude(evidence: Evidence, p: float | None, family: int, pin: Pin, smallest_effect: float | None) -> Word:
    """The first rule that holds, of an arm that may be compared."""
    # before any look: bit-equality is no estimate, so it has no chance of error that the looks would hold down
    if evidence.identical:
        return "identical"
    if evidence.look is None:
        return "before the first look"
    if evidence.diverged:
        return conclude_divergence(evidence, family, pin)
    estimate = evidence.estimate
    if estimate is None or estimate.low is None or estimate.high is None:
        return "cannot tell"
    return conclude_quality(estimate.mean, estimate.low, estimate.high, p, pin, smallest_effect)


def conclude_divergence(evidence: Evidence, family: int, pin: Pin) -> Word:
    """Whether one diverges more often, at the looks' level and Bonferroni over the family; quality is not concluded."""
    if min(1.0, family * evidence.p_diverges) >= level_in_force(pin.alpha, pin.looks):
        return "cannot tell"
    return "unstable" if evidence.diverged_arm > evidence.diverged_baseline else "stabler"


def conclude_quality(mean: float, low: float, high: float, p: float | None, pin: Pin, smallest_effect: float | None) -> Word:
    """What a difference with its interval of today and its corrected p comes to, where nothing diverged."""
    if p is not None and p < pin.alpha and not low <= 0 <= high:
        return "better" if (mean < 0) == (pin.direction == "lower") else "worse"
    return "no difference" if inside(low, high, smallest_effect) else "cannot tell"


def inside(low: float | None, high: float | None, smallest_effect: float | None) -> bool:
    """Whether the whole interval lies inside (-D, D)."""
    return low is not None and high is not None and smallest_effect is not None and -smallest_effect < low and high < smallest_effect
