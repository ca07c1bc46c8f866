"""The designs of a sweep, by the word of `hydra.sweeper.design`: which arms or cells its words make. One file each; this is their table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.config.compose import Composer
from lab.sweep.designs import curve, factorial, leave_one_out, list_of_arms, one_factor
from lab.sweep.designs.laid import Laid, Words


@dataclass(frozen=True)
class Design:
    """One way to make arms of words."""

    lay: Callable[[Composer, Words], Laid]
    words: str  # how the sentence of a plan begins
    noun: str = "arm"  # what there is beside the baseline


DESIGNS = {
    "one_factor": Design(one_factor.lay, "one factor at a time"),
    "factorial": Design(factorial.lay, "full factorial", "cell"),
    "list": Design(list_of_arms.lay, "exactly the listed arms"),
    "leave_one_out": Design(leave_one_out.lay, "one hook left out at a time"),
    "curve": Design(curve.lay, "one number over its values, no verdicts", "value"),
}
