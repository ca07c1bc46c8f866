"""What the report concludes about each arm, by the rules of its study. Pure: evidence in, verdicts out; no text but the reading.

In this order: refused, identical, before the first look, unstable or stabler (any divergence bars a plain better or no difference),
better or worse (what crossed at an earlier look and includes zero today is neither, and no "no difference" either), no difference,
cannot tell. "p > 0.05" never becomes "no difference": only an interval inside (-D, D) does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from lab.results.evidence import Evidence, apart, gather, look_ahead
from lab.results.lineup import Arm, Lineup
from lab.results.pin import Pin
from lab.results.reading import DECIDED, Correction, Verdict, Word, read
from lab.results.sequential import holm, level_in_force
from lab.results.smallest_effect import SmallestEffect
from lab.results.studies import effect_of, rules_of
from lab.results.twice import Unequal, doubts_on

SCREENING = "screening"  # the study of single runs
TORN = "lines of its requests are damaged, so its family may be larger"
DOUBTFUL = "the declaration of its study is damaged or gone, so its family may be larger"


def judge(
    lineup: Lineup, pin: Pin, smallest_effect: SmallestEffect, unequal: Sequence[Unequal] = (), elsewhere: Collection[str] = ()
) -> tuple[Verdict, ...]:
    """A verdict with its reading for each arm of the lineup, in its order, then for those that are refused.

    `unequal` are runs that ought to be equal and aren't; `elsewhere` the directories of those that were asked for under another pin first.
    """
    studies = {arm.study for arm in (*lineup.arms, *(item.arm for item in lineup.refused))}
    rules = {study: rules_of(pin, lineup.declarations.get(study)) for study in studies}
    evidence = [gather(arm, lineup.baseline, rules[arm.study]) for arm in lineup.arms]
    known = members(evidence, lineup.families)
    adjusted = adjust(known, lineup.families)
    corrections = {study: Correction(len(family), tuple(p for _, p in known[study])) for study, family in lineup.families.items()}
    refused = [(apart(item.arm, rules[item.arm.study]), item.why) for item in lineup.refused]
    verdicts = []
    for item, why in (*((each, "") for each in evidence), *refused):
        study = item.arm.study
        own = rules[study]
        effect = effect_of(own, pin, smallest_effect).value
        p, family = corrected(item.arm, {} if why else adjusted, lineup.families)
        word = "refused" if why else conclude(item, p, own, effect)
        verdict = Verdict(
            evidence=item,
            word=word,
            negligible=word in ("better", "worse") and item.estimate is not None and inside(item.estimate.low, item.estimate.high, effect),
            p=p,
            family=family,
            corrections=tuple(corrections[each] for each in item.arm.studies),
            rules=own,
            smallest_effect=effect,
            outlook=look_ahead(item, own, effect, decided=word in DECIDED),
            screening=study == SCREENING,
            doubts=(*doubts_on(item, lineup, unequal), *doubts_on_family(item.arm, lineup), *there_before(item, elsewhere)),
            why=why,
            reading="",
        )
        verdicts.append(replace(verdict, reading=read(verdict)))
    return tuple(verdicts)


def members(evidence: Sequence[Evidence], families: Mapping[str, frozenset[str]]) -> dict[str, list[tuple[Arm, float]]]:
    """Per study the arms that have a sequential p. An arm that was asked for in several counts in all of them."""
    known = [(item.arm, item.p) for item in evidence if item.p is not None]
    return {study: [(arm, p) for arm, p in known if study in arm.studies] for study in families}


def adjust(known: Mapping[str, Sequence[tuple[Arm, float]]], families: Mapping[str, frozenset[str]]) -> dict[tuple[str, str], float]:
    """Holm over each study: of every study and arm of it the corrected p."""
    return {
        (study, arm.arm_id): p
        for study, arms in known.items()
        for (arm, _), p in zip(arms, holm([p for _, p in arms], len(families[study])), strict=True)
    }


def corrected(arm: Arm, adjusted: Mapping[tuple[str, str], float], families: Mapping[str, frozenset[str]]) -> tuple[float | None, int]:
    """The largest p over all studies that the arm counts in, and the size of that family; of the largest where there is no p.

    The largest, since an arm must not escape a family by being asked for in a smaller one, first or later.
    """
    known = [(adjusted[study, arm.arm_id], -place, study) for place, study in enumerate(arm.studies) if (study, arm.arm_id) in adjusted]
    if not known:
        return None, max(len(families[study]) for study in arm.studies)
    p, _, study = max(known)
    return p, len(families[study])


def doubts_on_family(arm: Arm, lineup: Lineup) -> tuple[str, ...]:
    """Why the family may be larger than it is counted."""
    return (DOUBTFUL,) * any(study in lineup.doubtful_families for study in arm.studies) + (TORN,) * arm.torn


def there_before(evidence: Evidence, elsewhere: Collection[str]) -> tuple[str, ...]:
    """How many of the arm's judged runs were asked for under another pin before this one asked: their numbers may have been known."""
    count = sum(evidence.arm.runs[pair.seed].directory in elsewhere for pair in evidence.pairs)
    return (f"{count} of its runs {'was' if count == 1 else 'were'} there before this pin",) if count else ()


def conclude(evidence: Evidence, p: float | None, pin: Pin, smallest_effect: float | None) -> Word:
    """The first rule that holds, of an arm that may be compared."""
    # before any look: bit-equality is no estimate, so it has no chance of error that the looks would hold down
    if evidence.identical:
        return "identical"
    if evidence.look is None:
        return "before the first look"
    if evidence.diverged:
        return conclude_divergence(evidence, pin)
    estimate = evidence.estimate
    if estimate is None or estimate.low is None or estimate.high is None:
        return "cannot tell"
    return conclude_quality(estimate.mean, estimate.low, estimate.high, p, pin, smallest_effect)


def conclude_divergence(evidence: Evidence, pin: Pin) -> Word:
    """Whether one diverges more often at the judged look, at the level in force and arm by arm; quality is not concluded.

    Not at alpha: over four looks an arm that diverges as often would then be called so with a chance of 0.07 (test_proofs_judge.py).
    """
    if evidence.p_diverges >= level_in_force(pin.alpha, pin.looks):
        return "cannot tell"
    return "unstable" if evidence.diverged_arm > evidence.diverged_baseline else "stabler"


def conclude_quality(mean: float, low: float, high: float, p: float | None, pin: Pin, smallest_effect: float | None) -> Word:
    """What a difference with its interval of today and its corrected p comes to, where nothing diverged."""
    if p is not None and p < pin.alpha:
        if low <= 0 <= high:
            return "cannot tell"  # it crossed at an earlier look, and today doesn't confirm that
        return "better" if (mean < 0) == (pin.direction == "lower") else "worse"
    return "no difference" if inside(low, high, smallest_effect) else "cannot tell"


def inside(low: float | None, high: float | None, smallest_effect: float | None) -> bool:
    """Whether the whole interval lies inside (-D, D)."""
    return low is not None and high is not None and smallest_effect is not None and -smallest_effect < low and high < smallest_effect
