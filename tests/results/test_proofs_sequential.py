"""Adding seeds until decided, proved by simulation: whole studies of eight arms that share a baseline, looks at 5, 8, 12 and 20 seeds.

An arm stops when it is decided; all arms of its study are judged again at every look, and a claim counts whenever it was made.
"""

from __future__ import annotations

import numpy as np
import pytest

from lab.results.statistics import Floats
from tests.figures import Figures
from tests.results.simulated import ARMS, BETTER, FOLLOWED, LOOKS, NO_DIFFERENCE, WORSE, Standing, ever, family, follow, rules

NAME = f"{FOLLOWED}, {ARMS} arms"
STUDIES = 20_000
SEED = 11


def differences_of(random: np.random.Generator, effect: float | Floats, studies: int) -> Floats:
    arms, baseline = family(random, studies, LOOKS[-1], effect)
    return arms - baseline


def studies_of(effect: float | Floats, d: float, count: int = STUDIES) -> list[Standing]:
    """The looks of `count` studies whose arms have this effect (or these), in units of the differences' standard deviation."""
    return follow(differences_of(np.random.default_rng(SEED), effect, count), rules(LOOKS, d))


@pytest.mark.parametrize("d", [0.1, 1.0, 2.0])
def test_a_study_of_equal_arms_claims_nothing_oftener_than_alpha(figures: Figures, d: float):
    """With a D that keeps all arms to the last look, and with larger ones that stop most of them before."""
    claimed = ever(studies_of(0.0, d), BETTER, WORSE).any(axis=1)
    figures.at_most(f"{NAME}, all equal: any false claim, D = {d:g} s_d", float(claimed.mean()), 0.05)


@pytest.mark.parametrize("effect", [0.7, 2.0])
def test_arms_that_do_differ_leave_the_equal_ones_their_protection(figures: Figures, effect: float):
    """Four of each: what Holm spares the sure arms it must not take from the others."""
    claimed = ever(studies_of(np.array([0.0] * 4 + [effect] * 4)[:, None], 0.1), BETTER, WORSE)[:, :4].any(axis=1)
    figures.at_most(f"{NAME}, 4 equal: any false claim, beside 4 of {effect:g} s_d", float(claimed.mean()), 0.05)


@pytest.mark.parametrize("d", [0.5, 1.0, 2.0])
def test_a_true_effect_of_d_is_neither_turned_round_nor_called_no_difference(figures: Figures, d: float):
    looks = studies_of(d, d)
    figures.at_most(f"{NAME} of effect D: any in the wrong direction, D = {d:g} s_d", float(ever(looks, BETTER).any(axis=1).mean()), 0.001)
    figures.at_most(f"{NAME} of effect D: false 'no difference', D = {d:g} s_d", float(ever(looks, NO_DIFFERENCE).mean()), 0.05)


@pytest.mark.parametrize("effect", [0.0, 0.5, 1.0, 2.0])
def test_the_interval_at_stopping_covers_the_truth(figures: Figures, effect: float):
    end = studies_of(effect, 1.0)[-1]
    covered = np.abs(end.mean - effect) <= end.half
    figures.at_least(f"{NAME}: coverage at stopping, effect {effect:g} s_d, D = 1 s_d", float(covered.mean()), 0.95)


def test_seeds_are_saved_where_the_answer_is_plain_and_spent_where_it_is_not():
    assert studies_of(3.0, 1.0, 1_000)[-1].seeds.mean() < 8
    assert studies_of(0.3, 0.1, 1_000)[-1].seeds.mean() > 19


@pytest.mark.soak
def test_the_same_holds_over_three_hundred_thousand_studies(figures: Figures):
    random, batches = np.random.default_rng(SEED + 1), 15
    pin = rules(LOOKS, 0.5)
    null, true = ([follow(differences_of(random, effect, STUDIES), pin) for _ in range(batches)] for effect in (0.0, 0.5))
    claimed, wrong = (
        np.mean([ever(looks, *codes).any(axis=1) for looks in kind]) for kind, codes in ((null, (BETTER, WORSE)), (true, (BETTER,)))
    )
    figures.at_most(f"{NAME}, all equal: any false claim, {STUDIES * batches} studies", float(claimed), 0.05)
    figures.at_most(f"{NAME} of effect D: any in the wrong direction, {STUDIES * batches} studies", float(wrong), 0.001)
