"""Simulated seeds, and the report's own rules over many of them at once.

The numbers come from the report's functions (`differences`, `p_of_smallest`, `holm_adjusted`, `level_in_force`), the words from
`conclude_quality`, on which `judge` ends. What `judge` does between them is done again here for arrays (which arm stands at which look,
what its family is); test_proofs_judge.py holds it against `judge` itself, verdict by verdict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab.results.pin import Pin
from lab.results.sequential import holm_adjusted, level_in_force, p_of_smallest
from lab.results.statistics import Floats, critical_t, differences
from lab.results.verdict import conclude_quality

ALPHA = 0.05
ARMS = 8
LOOKS = (5, 8, 12, 20)
FOLLOWED = f"looks {', '.join(map(str, LOOKS))}"
WORDS = ("cannot tell", "better", "worse", "no difference")
CANNOT_TELL, BETTER, WORSE, NO_DIFFERENCE = range(4)
CODE = {word: code for code, word in enumerate(WORDS)}

Codes = NDArray[np.int8]


def rules(looks: tuple[int, ...], smallest_effect: float) -> Pin:
    """A pin of these looks and this D, for a metric that is better when lower."""
    return Pin("demo", "0" * 64, "bits_per_byte", "lower", ALPHA, smallest_effect, looks, tuple(range(looks[-1])))


def family(random: np.random.Generator, studies: int, n: int, effect: float | Floats = 0.0, arms: int = ARMS) -> tuple[Floats, Floats]:
    """The values of `arms` arms on n seeds, shape (studies, arms, n), and of the one baseline that they share, (studies, 1, n).

    Noise of a seed that all have in common, and each its own; differences have a standard deviation of 1.
    """
    common = random.standard_normal((studies, 1, n))
    baseline = common + math.sqrt(0.5) * random.standard_normal((studies, 1, n))
    return common + effect + math.sqrt(0.5) * random.standard_normal((studies, arms, n)), baseline


def words(mean: Floats, half: Floats, p: Floats, pin: Pin) -> Codes:
    """The report's word for each arm without divergence: its difference, half its interval of today, its corrected p."""
    rows = zip(mean.ravel().tolist(), (mean - half).ravel().tolist(), (mean + half).ravel().tolist(), p.ravel().tolist(), strict=True)
    found = [CODE[conclude_quality(*row, pin, pin.smallest_effect)] for row in rows]
    return np.array(found, np.int8).reshape(mean.shape)


@dataclass(frozen=True)
class Standing:
    """How the arms of many studies stand after a look; every field has shape (studies, arms)."""

    word: Codes
    p: Floats  # sequential, and corrected over the study
    mean: Floats  # of the look at which the arm was stopped, or of this one
    half: Floats
    seeds: NDArray[np.int64]  # trained until then


def follow(d: Floats, pin: Pin, planned: int = 0) -> list[Standing]:
    """Seeds are added until an arm is decided, at the pinned looks only. All arms of a study are judged again at every look.

    `planned` arms more are in the family, and nothing of them is trained.
    """
    level, shape = level_in_force(pin.alpha, pin.looks), d.shape[:-1]
    smallest, mean, half, seeds = np.ones(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64)
    running, standings = np.ones(shape, bool), []
    for n in pin.looks:
        today, spread, p = differences(d[running, :n])
        mean[running], half[running], seeds[running] = today, critical_t(n, level) * spread / math.sqrt(n), n
        smallest[running] = np.minimum(smallest[running], p)
        adjusted = holm_adjusted(p_of_smallest(smallest, pin.looks), shape[-1] + planned)
        standings.append(Standing(words(mean, half, adjusted, pin), adjusted, mean.copy(), half.copy(), seeds.copy()))
        running = standings[-1].word == CANNOT_TELL
    return standings


def ever(standings: list[Standing], *codes: int) -> NDArray[np.bool_]:
    """Whether an arm was given one of these words at any look."""
    return np.any([np.isin(standing.word, codes) for standing in standings], axis=0)
