"""Every number of an arm with its name, for the reader who wants them all. Leaves out what isn't known; makes no sentence of any."""

from __future__ import annotations

from collections.abc import Callable

from lab.results.facts import ArmFacts, BaselineFacts, Cost, RulesFacts
from lab.results.forms.table import interval, interval_of, level, p_value, ratio, signed

Numbers = tuple[tuple[str, str], ...]
COSTS: tuple[tuple[str, str, Callable[[Cost], float | None]], ...] = (
    ("parameters", ",.0f", lambda cost: cost.parameters),
    ("FLOPs per token", ",.0f", lambda cost: cost.flops_per_token),
    ("seconds per step (indicative)", ".3g", lambda cost: cost.seconds_per_step),
    ("tokens per second (indicative)", ",.0f", lambda cost: cost.tokens_per_second),
    ("bytes per token of the training text", ".4g", lambda cost: cost.bytes_per_token),
)


def numbers(arm: ArmFacts, rules: RulesFacts, smallest: float | None) -> Numbers:
    """Names and texts, in the order of a report: effect, pairing, planning, stability, cost."""
    told = (*effect(arm, rules, smallest), *pairing(arm), *planning(arm, rules), *sensitivity(arm, rules), *cost(arm))
    first = (("study", arm.study), ("arm", arm.arm_id[:12] or None))
    return tuple((name, text) for name, text in (*first, *told) if text is not None)


def baseline_numbers(baseline: BaselineFacts, rules: RulesFacts) -> Numbers:
    """The same of the baseline."""
    told = (
        ("arm", baseline.arm_id[:12]),
        ("mean", known(baseline.mean, level(baseline.mean), rules.unit)),
        *((name, quantity(of(baseline.cost), None, form)) for name, form, of in COSTS),
    )
    return tuple((name, text) for name, text in told if text is not None)


def effect(arm: ArmFacts, rules: RulesFacts, smallest: float | None) -> list[tuple[str, str | None]]:
    ends = interval_of(arm)
    return [
        ("mean of the arm", known(arm.mean, level(arm.mean), rules.unit)),
        ("mean of the baseline on the same seeds", known(arm.mean_baseline, level(arm.mean_baseline), rules.unit)),
        ("difference", known(arm.difference, signed(arm.difference, arm.decimals), rules.unit)),
        ("interval", known(ends, interval(ends, arm.decimals), rules.unit)),
        ("smallest effect of interest, D", known(smallest, f"{smallest or 0:.2g}", rules.unit)),
        (f"p, sequential and Holm-adjusted over {arm.family}", known(arm.p, p_value(arm.p))),
        ("sign-flip p, as a check", known(arm.sign_flip, p_value(arm.sign_flip))),
    ]


def pairing(arm: ArmFacts) -> list[tuple[str, str | None]]:
    return [
        ("spread of the paired differences", known(arm.spread, f"{arm.spread or 0:.2g}")),
        ("variance without pairing / with it", known(arm.gain, f"{arm.gain or 0:.1f}")),
        ("correlation of the pairs", known(arm.correlation, f"{arm.correlation or 0:+.2f}")),
    ]


def planning(arm: ArmFacts, rules: RulesFacts) -> list[tuple[str, str | None]]:
    return [
        ("smallest effect that this design finds (80 % power)", known(arm.detectable, f"{arm.detectable or 0:.2g}", rules.unit)),
        ("seeds that would likely settle it against D", known(arm.likely, str(arm.likely))),
        ("the same, cautiously", known(arm.cautious, str(arm.cautious))),
        ("chance of a decision at the last look", known(arm.chance, f"{100 * (arm.chance or 0):.0f} %")),
    ]


def sensitivity(arm: ArmFacts, rules: RulesFacts) -> list[tuple[str, str | None]]:
    counts, texts, spread = arm.stability, arm.documents, arm.variance
    told: list[tuple[str, str | None]] = [
        (
            f"without seed {each.seed}",
            f"{each.verdict}: {signed(each.difference, arm.decimals)}, {interval((each.low, each.high), arm.decimals)} {rules.unit}",
        )
        for each in arm.fragile
    ]
    if spread is not None:
        told.append(("spread over seeds, arm / baseline", f"{spread.ratio:.2f}x, p {p_value(spread.p)} (Pitman-Morgan)"))
    if counts.n:
        told.append(("diverged", f"{counts.arm} of {counts.n}, baseline {counts.baseline} of {counts.n}; exact p {p_value(counts.p)}"))
    if texts is not None and texts.error is not None:
        beside = "" if texts.seed_error is None else f"; over seeds {texts.seed_error:.2g}"
        told.append((f"standard error over {texts.count} documents", f"{texts.error:.2g}{beside} {rules.unit}"))
    return told


def cost(arm: ArmFacts) -> list[tuple[str, str | None]]:
    told: list[tuple[str, str | None]] = []
    if arm.compute is not None:
        told.append(("difference as a share of the baseline's steps", f"{100 * arm.compute.steps_share:+.1f} %"))
        told.append(("extra FLOPs per token", known(arm.compute.flops_share, f"{100 * (arm.compute.flops_share or 0):+.1f} %")))
    return told + [(name, quantity(of(arm.cost), of(arm.ratio), form)) for name, form, of in COSTS]


def quantity(value: float | None, share: float | None, form: str) -> str | None:
    """A cost, with its ratio to the baseline's where that is known."""
    if value is None:
        return None
    return f"{value:{form}}" + ("" if share is None else f", {ratio(share)} the baseline's")


def known(value: object, text: str, unit: str = "") -> str | None:
    """The text, where there is a value."""
    return None if value is None else f"{text} {unit}".rstrip()
