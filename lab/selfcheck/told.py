"""The self-check as a person reads it, on a terminal of 80 columns. Makes text of numbers; measures nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lab.results.pin import Pin
from lab.results.reading import Verdict
from lab.results.wording import counted, interval, percent, signed, size
from lab.selfcheck.noise import GROWN, Claims, Drift, Noise, Spread, grown_at

CALM = 1000  # times less variance: beyond it the ratio tells of rounding alone
POINTS = 8  # of the curve that are shown
INDEPENDENT = 2 / math.sqrt(math.pi)  # the mean |difference| of two independent normal runs, in their sd


def text_of(noise: Noise, size_of_nudge: float) -> str:
    """The whole self-check."""
    arms = counted(len(noise.verdicts), "null arm")
    parts = [
        [
            f"A/A check of baseline `{noise.rules.name}`: {arms} beside it at {counted(len(noise.seeds), 'seed')}, paired by seed.",
            f"Each moves every initial weight by {size_of_nudge:g} of itself, up or down by a draw: nothing that could matter.",
            noise.section.title,
        ],
        ["What the report says of them", *reported(noise)],
        ["How often it claims a difference where there is none", *rates(noise)],
        ["How chaotic this baseline is", *chaos(noise)],
        ["The smallest effect that it can find", *reach(noise)],
    ]
    return "\n\n".join(
        "\n".join([lines[0], *(f"  {line}" for line in lines[1:])]) if number else "\n".join(lines) for number, lines in enumerate(parts)
    )


def reported(noise: Noise) -> list[str]:
    """Each null arm's verdict, as `python -m lab report` gives it."""
    family = max((each.family for each in noise.verdicts), default=0)
    header = ("arm", "n", f"difference, {noise.rules.unit}", "p", "Holm", "verdict")
    rows = [row(noise.draws[each.evidence.arm.arm_id], each) for each in noise.verdicts]
    lines = [*columns([header, *rows]), f"Holm: p corrected over the {counted(family, 'arm')} of study `selfcheck`."]
    if noise.diverged:
        lines.append(f"{counted(noise.diverged, 'run')} diverged: no quality is concluded where one did.")
    if any(each.evidence.look is None for each in noise.verdicts):
        lines.append(f"No verdict before the first look, {noise.rules.looks[0]} seeds: --seeds {noise.rules.looks[0]} takes it.")
    return lines


def row(draw: int, verdict: Verdict) -> tuple[str, ...]:
    evidence = verdict.evidence
    estimate = evidence.estimate
    difference = "-" if estimate is None else signed(estimate.mean, estimate)
    if estimate is not None and estimate.low is not None:
        difference += f" ({interval(estimate)})"
    return f"draw {draw}", str(evidence.stable), difference, written(evidence.p), written(verdict.p), verdict.said


def written(p: float | None) -> str:
    return "-" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def rates(noise: Noise) -> list[str]:
    """The claims with their exact intervals, and whether they are enough to estimate alpha."""
    alpha, against = noise.rules.alpha, noise.uncorrected
    if not against.of:
        return ["Nothing was judged: no arm stands at a look with a p."]
    lines = [
        f"corrected by Holm, as reported:    {rate(noise.holm)}",
        f"uncorrected, each arm by itself:   {rate(against)}; {size(alpha * against.of)} expected",
        f"uncorrected, all pairs of arms:    {rate(noise.pairs)}; {size(alpha * noise.pairs.of)} expected",
        "All arms are compared with the same runs of the baseline, and pairs share more:",
        "they are not independent, so the true rate may lie further off than an interval says.",
    ]
    if against.of < noise.needed:
        return [
            *lines,
            f"Too few to estimate {alpha:g}: {counted(against.of, 'arm')} of the {noise.needed} that it takes",
            f"(from there on the exact interval of a rate of {alpha:g} is at most {2 * alpha:g} wide).",
        ]
    inside = against.low <= alpha <= against.high
    return [*lines, f"{alpha:g} lies {'inside' if inside else 'OUTSIDE'} the uncorrected interval."]


def rate(found: Claims) -> str:
    return f"{found.claimed} of {found.of}, 95 % interval {found.low:.2f} to {found.high:.2f}"


def chaos(noise: Noise) -> list[str]:
    """How far runs of one seed come apart, beside how far seeds do."""
    spread, unit = noise.spread, noise.rules.unit
    if spread is None:
        return ["Not measured: fewer than two seeds finished in every arm, or all differences are equal."]
    lines = columns(
        [
            (f"sd of a run over {counted(spread.seeds, 'seed')}", f"{spread.run:.2g} {unit}"),
            ("sd of an A/A difference", f"{spread.difference:.2g} {unit}"),
            ("what pairing by seed buys", bought(spread)),
        ]
    )
    return lines + growth(noise.drift)


def bought(spread: Spread) -> str:
    """In words where the figures would only show rounding: runs of one seed that hardly differ."""
    if spread.ratio >= CALM:
        return "practically all of the variance: runs of one seed hardly differ"
    return f"{spread.ratio:.3g} times less variance (correlation {spread.correlation:+.2f})"


def growth(drift: Sequence[Drift]) -> list[str]:
    """The mean |difference| along the curve."""
    if not drift:
        return ["The curves have no step in common at which seeds differ."]
    step = grown_at(drift)
    passed = (
        "It never passes" if step is None else f"From step {step} on it is above" if stays(drift, step) else f"At step {step} it passes"
    )
    return [
        "mean |difference| of two runs of one seed along the curve, in the sd over seeds:",
        *columns([("step", *(str(each.step) for each in some(drift))), ("share", *(in_percent(each.share) for each in some(drift)))]),
        f"{passed} {percent(GROWN)}; runs of different seeds would show {percent(INDEPENDENT)}.",
    ]


def stays(drift: Sequence[Drift], step: int) -> bool:
    return all(each.share >= GROWN for each in drift if each.step >= step)


def in_percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 or share == 0 else f"{100 * share:.1f} %" if share >= 0.001 else "< 0.1 %"


def some(drift: Sequence[Drift]) -> list[Drift]:
    """A few points, evenly spread, the first and the last among them."""
    count = min(POINTS, len(drift))
    places = [round(index * (len(drift) - 1) / max(1, count - 1)) for index in range(count)]
    return [drift[place] for place in places]


def reach(noise: Noise) -> list[str]:
    """What this noise leaves to be found at the pinned looks, against D."""
    if noise.spread is None:
        return ["Not known without the noise."]
    rules, effect = noise.rules, noise.section.effect
    looks = columns([("seeds", *(str(each.look) for each in noise.reach)), (rules.unit, *(f"{each.effect:.2g}" for each in noise.reach))])
    said = [
        f"with 80 % power at each pinned look, from the noise of {counted(noise.spread.seeds, 'seed')} (a real change may add its own):"
    ]
    if effect.value is None:
        return [*said, *looks, f"D: none. {effect.origin}"]
    return [*said, *looks, f"D = {size(effect.value)} {rules.unit}: {against_d(noise, effect.value)}", *settled(noise, rules)]


def against_d(noise: Noise, effect: float) -> str:
    first = next((each.look for each in noise.reach if each.effect <= effect), None)
    if first is None:
        return f"smaller than what {noise.reach[-1].look} seeds, the last look, would find."
    return f"found from {counted(first, 'seed')} on."


def settled(noise: Noise, rules: Pin) -> list[str]:
    if noise.settles is None:
        return [f"'No difference' is out of reach: its interval would be too wide for D at {rules.looks[-1]} seeds too."]
    return [f"'No difference' can be told from {counted(noise.settles, 'seed')} on."]


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in columns, the first to the left, the others to the right but for the last words of a verdict."""
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() for cells in rows]
