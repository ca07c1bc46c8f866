"""The numbers that stand beside a verdict: fragility, spread, stability, documents, compute, cost. Concludes nothing, makes no text.

Each is None where it can't be had: too few seeds, a divergence, nothing measured, another metric than the one it is defined for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy import special

from lab.config.diff import flatten, moved, say
from lab.results.evidence import Evidence
from lab.results.facts import ComputeAdjusted, Cost, Documents, Move, Stability, Variance, Without
from lab.results.lineup import Arm
from lab.results.pairs import mean
from lab.results.pin import Pin
from lab.results.reading import Verdict
from lab.results.record import Run
from lab.results.sequential import holm, level_in_force, sequential_p
from lab.results.smallest_effect import fall_of_second_half
from lab.results.statistics import critical_t, document_error, leave_one_out, sign_flip, variance_change
from lab.results.verdict import conclude_quality, inside

JUDGED_BY_SEEDS = ("better", "worse", "no difference", "cannot tell")
ROUNDING = 1e-12  # more than float64 makes of equal differences
ReadDocuments = Callable[[Run], "tuple[list[int], list[float]] | None"]  # bytes and nats by document, as a run's directory tells them


@dataclass(frozen=True)
class Beside:
    """All numbers beside one verdict."""

    fragile: tuple[Without, ...]
    variance: Variance | None
    stability: Stability
    sign_flip: float | None
    documents: Documents | None
    compute: ComputeAdjusted | None
    cost: Cost
    baseline_cost: Cost
    ratio: Cost


def stand_beside(verdict: Verdict, baseline: Arm | None, read: ReadDocuments) -> Beside:
    """The numbers beside one verdict, over its judged seeds; costs of an arm without any over all its runs with an outcome."""
    evidence = verdict.evidence
    seeds = [pair.seed for pair in evidence.pairs]
    cost, base = (cost_of(arm.runs[seed] for seed in seeds or done_seeds(arm)) if arm else cost_of(()) for arm in (evidence.arm, baseline))
    ratio = ratio_of(cost, base)
    arm_values, base_values = evidence.values
    differences = [a - b for a, b in zip(arm_values, base_values, strict=True)]
    varies = evidence.estimate is not None and evidence.estimate.spread is not None
    judged = evidence.look is not None and varies and not evidence.diverged
    return Beside(
        fragile=fragile(verdict),
        variance=variance(evidence) if judged else None,
        stability=stability(evidence),
        sign_flip=sign_flip(differences) if judged else None,
        documents=documents(evidence, baseline, verdict.rules, read),
        compute=compute_adjusted(evidence, baseline, verdict.rules, ratio),
        cost=cost,
        baseline_cost=base,
        ratio=ratio,
    )


def done_seeds(arm: Arm) -> list[int]:
    return [seed for seed, run in arm.runs.items() if run.done]


def fragile(verdict: Verdict) -> tuple[Without, ...]:
    """Each judged seed without which the verdict would be another, and the estimate without it, at the full n's critical value."""
    evidence, rules = verdict.evidence, verdict.rules
    if verdict.word not in JUDGED_BY_SEEDS or evidence.look is None or evidence.diverged or evidence.look not in evidence.nominal:
        return ()
    level = level_in_force(rules.alpha, rules.looks)
    arm, base = evidence.values
    d = [a - b for a, b in zip(arm, base, strict=True)]
    by_look = {n: leave_one_out(d[:n], level) for n in evidence.nominal}
    families = [(list(each.known), each.family) for each in verdict.corrections]  # the other arms stay as they are
    for others, _ in families:
        if evidence.p is not None:
            others.remove(evidence.p)

    def corrected(index: int) -> float:
        """The sequential p of all looks without one seed, once Holm has seen it among the other arms' of each study."""
        nominal = [p_without(n, *by_look[n][index], level) if index < len(by_look[n]) else p for n, p in evidence.nominal.items()]
        p = sequential_p(nominal, rules.looks)
        return max(holm([p, *others], family)[0] for others, family in families)

    found = []
    for index, (seed, (centre, low, high)) in enumerate(zip(seeds_of(evidence), by_look[evidence.look], strict=False)):
        if high - low <= ROUNDING:  # without this seed nothing varies, and no certainty is read from that
            continue
        # where zero lies inside it claims nothing; what crossed before is no 'no difference' either
        plainly = low <= 0 <= high and not inside(low, high, verdict.smallest_effect)
        p = None if plainly else corrected(index)
        word = conclude_quality(centre, low, high, p, rules, verdict.smallest_effect)
        if word != verdict.word:
            found.append(Without(seed, word, centre, low, high))
    return tuple(found)


def seeds_of(evidence: Evidence) -> list[int]:
    return [pair.seed for pair in evidence.pairs if pair.stable]


def p_without(n: int, centre: float, low: float, high: float, level: float) -> float:
    """The plain p of an estimate from n - 1 pairs, with the degrees of freedom of all n, as its interval has them."""
    half = (high - low) / 2
    return float(2 * special.stdtr(n - 1, -abs(centre) / half * critical_t(n, level))) if half > ROUNDING else 1.0


def variance(evidence: Evidence) -> Variance | None:
    found = variance_change(*evidence.values)
    return Variance(ratio=found[0], p=found[1]) if found is not None else None


def stability(evidence: Evidence) -> Stability:
    return Stability(len(evidence.pairs), evidence.diverged_arm, evidence.diverged_baseline, evidence.p_diverges)


def documents(evidence: Evidence, baseline: Arm | None, pin: Pin, read: ReadDocuments) -> Documents | None:
    """The standard error of the difference over the documents of the validation text.

    None where the metric isn't bits per byte, where a pair diverged, and where not every pair tells its documents, the same ones.
    """
    if baseline is None or evidence.diverged or pin.metric != "bits_per_byte":
        return None
    told = [
        (ours, theirs) for seed in seeds_of(evidence) if (ours := read(evidence.arm.runs[seed])) and (theirs := read(baseline.runs[seed]))
    ]
    if not told or len(told) < len(evidence.pairs):  # another set of seeds would be another difference
        return None
    sizes = told[0][0][0]
    if any(each[0] != sizes for pair in told for each in pair):
        return None
    arm, base = (np.array([pair[side][1] for pair in told]) for side in (0, 1))
    estimate = evidence.estimate
    seeds = estimate.spread / estimate.n**0.5 if estimate is not None and estimate.spread is not None else None
    return Documents(len(sizes), document_error(arm, base, np.array(sizes, float)), seeds)


def compute_adjusted(evidence: Evidence, baseline: Arm | None, pin: Pin, ratio: Cost) -> ComputeAdjusted | None:
    """The difference as a share of the baseline's steps, by the slope that D is read from: what the second half of its steps brought."""
    if baseline is None or evidence.estimate is None or (pin.metric, pin.direction) != ("bits_per_byte", "lower"):
        return None
    fall = mean(fall_of_second_half([baseline.runs[seed] for seed in seeds_of(evidence)]).values())
    if fall is None or fall <= 0:
        return None
    seconds = ratio.seconds_per_step if paces_differ(evidence.arm, baseline, seeds_of(evidence)) else None
    extra = [None if value is None else value - 1 for value in (ratio.flops_per_token, seconds)]
    return ComputeAdjusted(-evidence.estimate.mean / (2 * fall), *extra)  # half of the steps brought the fall


def paces_differ(arm: Arm, baseline: Arm, seeds: Iterable[int]) -> bool:
    """Whether every run of the one was quicker than every run of the other. Else the machine's other work explains a difference as well."""
    seeds = list(seeds)
    ours, theirs = ([one.runs[seed].cost.get("seconds_per_step") for seed in seeds] for one in (arm, baseline))
    known = [[pace for pace in each if pace is not None] for each in (ours, theirs)]
    return all(known) and (max(known[0]) < min(known[1]) or max(known[1]) < min(known[0]))


def cost_of(runs: Iterable[Run]) -> Cost:
    """Means over runs, of what each of them says."""
    runs = list(runs)
    return Cost(
        parameters=mean(run.parameters.get("total") for run in runs),
        flops_per_token=mean(run.cost.get("flops_per_token") for run in runs),
        seconds_per_step=mean(run.cost.get("seconds_per_step") for run in runs),
        tokens_per_second=mean(run.cost.get("tokens_per_second") for run in runs),
        bytes_per_token=mean(run.bytes_per_token for run in runs),
    )


def ratio_of(arm: Cost, baseline: Cost) -> Cost:
    pairs = {name: (value, getattr(baseline, name)) for name, value in vars(arm).items()}
    return Cost(**{name: ours / theirs if ours is not None and theirs else None for name, (ours, theirs) in pairs.items()})


def moves_of(arm: Arm, baseline: Arm | None) -> tuple[Move, ...]:
    """The factors in which an arm differs from its baseline, told between their first runs."""
    runs = [next(iter(one.runs.values()), None) if one else None for one in (baseline, arm)]
    if runs[0] is None or runs[1] is None:
        return ()
    old, new = (flatten(run.parts["factors"]) for run in runs if run)
    return tuple(Move(move.path, say(move.old), say(move.new)) for move in moved(old, new))
