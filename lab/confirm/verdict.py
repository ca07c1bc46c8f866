"""What a confirmation concludes, and its words: one hypothesis, one look, the plain level. Numbers in, text out; reads nothing.

The same words and rules as the report's, but for the correction: nothing was chosen here and nobody looks twice, so neither Holm nor
looks apply. Any divergence bars what is said of quality, as there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lab.results.pin import Pin
from lab.results.statistics import Paired, mcnemar, paired
from lab.results.verdict import conclude_quality, inside
from lab.results.wording import counted, difference, interval, level_name, p_value, seed_list, shown, size
from lab.store.plain import plain


@dataclass(frozen=True)
class Side:
    """One run on a fresh seed: whether it diverged, its metric on the test range (None: that wasn't read for it, as either of its pair
    diverged), and the digest of the weights that are judged."""

    diverged: bool
    value: float | None
    weights: str


@dataclass(frozen=True)
class Confirmed:
    """The conclusion on pairs of runs, seed by seed. `p` is the plain paired t's."""

    word: str
    estimate: Paired | None
    diverged_arm: int
    diverged_baseline: int
    p_diverges: float

    @property
    def p(self) -> float | None:
        return self.estimate.p if self.estimate else None


def at_one_look(pin: Pin, count: int) -> Pin:
    """The pin's rules for a look that was planned once, at this many seeds."""
    return replace(pin, looks=(count,))


def conclude(arm: Sequence[Side], baseline: Sequence[Side], pin: Pin, smallest_effect: float | None) -> Confirmed:
    """The first rule that holds, of the report's: identical, unstable or stabler, better or worse, no difference, cannot tell."""
    pairs = list(zip(arm, baseline, strict=True))
    stable = [(a.value, b.value) for a, b in pairs if a.value is not None and b.value is not None]
    estimate = paired([a for a, _ in stable], [b for _, b in stable], pin.alpha) if stable else None
    lost = sum(a.diverged for a in arm), sum(b.diverged for b in baseline)
    p_diverges = mcnemar(sum(a.diverged and not b.diverged for a, b in pairs), sum(b.diverged and not a.diverged for a, b in pairs))
    if len(stable) == len(pairs) and all(a == b for a, b in pairs):
        word = "identical"
    elif any(lost):
        word = "cannot tell" if p_diverges >= pin.alpha else "unstable" if lost[0] > lost[1] else "stabler"
    elif estimate is None or estimate.low is None or estimate.high is None:
        word = "cannot tell"
    else:
        word = conclude_quality(estimate.mean, estimate.low, estimate.high, estimate.p, pin, smallest_effect)
    return Confirmed(word, estimate, *lost, p_diverges)


def say(row: Mapping[str, Any], found: Confirmed, pin: Pin, read: Mapping[str, int]) -> str:
    """The paragraph of a confirmation. `read`: how often its test range was read by then, by this arm, and by now in this store."""
    seeds = row["seeds"]
    effect = row["smallest_effect"]
    known = f"D = {size(effect)}: {row['origin']}" if effect is not None else f"D is unknown: {row['origin']}"
    negligible = found.word in ("better", "worse") and found.estimate and inside(found.estimate.low, found.estimate.high, effect)
    apart = f" (not paired in {' and '.join(row['not_paired'])})" if row["not_paired"] else ""
    lines = [
        f"{plain(shown(row['label']))} ({row['arm_id'][:6]}): {found.word}{', negligible' if negligible else ''}{apart}.",
        f"  {body(found, at_one_look(pin, len(seeds)), effect)}",
        f"  {how_often(row, read)}",
        f"  {seed_list(seeds)}: neither pinned nor trained before. One hypothesis, one look: the plain level, nothing to correct for.",
        f"  {plain(known)}",
    ]
    return "\n".join(lines)


def body(found: Confirmed, pin: Pin, effect: float | None) -> str:
    """The numbers, and what they settle."""
    estimate, n = found.estimate, pin.looks[0]
    if found.word == "identical":
        return f"Weights and metric are bit-equal to the baseline's on {counted(n, 'fresh seed')}: the change did nothing."
    if found.diverged_arm or found.diverged_baseline:
        counts = f"{found.diverged_arm} of {n} runs diverged here, {found.diverged_baseline} of {n} in the baseline"
        quality = f" When both were stable: {numbers(estimate, pin)}." if estimate else ""
        return f"{counts} (exact p {p_value(found.p_diverges, 'unknown')}; with so few seeds it finds little); no plain verdict.{quality}"
    assert estimate is not None, "where nothing diverged every seed has a pair"
    said = f"{numbers(estimate, pin)}, p {p_value(estimate.p, 'unknown')}"
    if found.word == "cannot tell":
        zero = "it includes zero" if estimate.low is not None else "there is no interval"
        beyond = (
            f" and effects larger than D = {size(effect)}" if effect is not None else ", and without D 'no difference' can't be concluded"
        )
        return f"{said}; {zero}{beyond}."
    if found.word == "no difference":
        return f"{said}; the whole interval lies inside (-D, D)."
    return f"{said}."


def numbers(estimate: Paired, pin: Pin) -> str:
    if estimate.low is None:
        return f"{difference(estimate, pin)} (no interval from {counted(estimate.n, 'seed')})"
    return f"{difference(estimate, pin)}, {level_name(pin)} {interval(estimate)} ({counted(estimate.n, 'seed')})"


def times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def how_often(row: Mapping[str, Any], read: Mapping[str, int]) -> str:
    """How untouched the range still was."""
    if not read["then"]:
        return "The test range wasn't read: no seed is stable in both."
    mine = times(read["arm"]) + (": a reading that was broken off counts" if read["arm"] > 1 else "")
    said = f"On the test range ({row['bytes']:,} bytes), read {times(read['then'])} in this store (this arm: {mine})"
    said += f"; {times(read['now'])} by now." if read["now"] != read["then"] else "."
    return said + (" Each further reading makes it a little less untouched." if read["now"] > 1 else "")
