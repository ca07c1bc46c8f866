"""One factor at a time, the design of a sweep that names none: each listed value makes an arm beside the baseline."""

from __future__ import annotations

from math import prod

from lab.ablate.rule import count_changes
from lab.config.compose import Composer
from lab.sweep.arms import distinct, judge_values, refuse_single_values
from lab.sweep.designs.laid import Laid, Words


def lay(composer: Composer, words: Words) -> Laid:
    """The baseline and an arm for each listed value that changes something. Raises OneChangeError for a value that changes more."""
    start = count_changes(composer, tuple(words.fixed))
    refuse_single_values(start, words.listed)
    judged = {key: judge_values(composer, words.fixed, key, values) for key, values in words.listed.items()}
    arms = distinct([start, *(tally for tallies in judged.values() for tally in tallies)])
    return Laid(tuple(arms), grid=prod(len(distinct(tallies)) for tallies in judged.values()))
