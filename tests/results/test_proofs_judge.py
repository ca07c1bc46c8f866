"""The report's judge itself on simulated studies: it concludes what was proved for arrays, and never hides a divergence."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from lab.results.pin import Pin
from lab.results.reading import DECIDED, Verdict
from lab.results.smallest_effect import SmallestEffect
from lab.results.statistics import Floats
from lab.results.verdict import judge
from tests.figures import Figures
from tests.results.in_memory import BASELINE, arm, arm_of, lineup, run
from tests.results.simulated import ALPHA, ARMS, CODE, FOLLOWED, LOOKS, family, follow, rules

STUDIES = 100
PLAIN = {"better", "worse", "no difference", "identical"}


def judged(pin: Pin, baseline: list[float | None], arms: list[list[float | None]]) -> tuple[Verdict, ...]:
    told = lineup(arm(BASELINE, baseline), [arm(f"arm{number}", values) for number, values in enumerate(arms)])
    return judge(told, pin, SmallestEffect(pin.smallest_effect, "pinned"))


def by_the_judge(pin: Pin, arms: Floats, baseline: Floats) -> list[tuple[Verdict, ...]]:
    """One study through the judge, look by look; an arm that is decided gets no more seeds."""
    seeds, looks = [0] * len(arms), []
    for n in pin.looks:
        running = [not looks or verdict.word not in DECIDED for verdict in (looks[-1] if looks else [None] * len(arms))]
        seeds = [n if runs else before for runs, before in zip(running, seeds, strict=True)]
        looks.append(judged(pin, list(baseline[0]), [list(values[:count]) for values, count in zip(arms, seeds, strict=True)]))
    return looks


def unlike_the_proof(seed: int, studies: int, d: float) -> tuple[int, Counter[str]]:
    """How many verdicts of the judge aren't those of the arrays, and how often it gave each word; asserts that the numbers agree.

    The arms differ by nothing, by D, by twice D and by much, so that every word is given.
    """
    effects = d * np.array([0.0, 0.0, 0.0, 1.0, -1.0, 2.0, -4.0, 0.0])[:, None]
    arms, baseline = family(np.random.default_rng(seed), studies, LOOKS[-1], effects)
    pin = rules(LOOKS, d)
    proved = follow(arms - baseline, pin)
    unlike, seen = 0, Counter[str]()
    for study in range(studies):
        for standing, verdicts in zip(proved, by_the_judge(pin, arms[study], baseline[study]), strict=True):
            unlike += sum(CODE[verdict.word] != code for verdict, code in zip(verdicts, standing.word[study], strict=True))
            seen.update(verdict.word for verdict in verdicts)
            assert [verdict.p for verdict in verdicts] == pytest.approx(standing.p[study])
            estimates = [verdict.evidence.estimate for verdict in verdicts]
            assert [each and each.n for each in estimates] == standing.seeds[study].tolist()
            assert [each and each.mean for each in estimates] == pytest.approx(standing.mean[study])
            assert [each and each.half_width for each in estimates] == pytest.approx(standing.half[study])
    return unlike, seen


@pytest.mark.parametrize("d", [0.5, 1.0])
def test_the_judge_concludes_what_was_proved_verdict_by_verdict(figures: Figures, d: float):
    unlike, seen = unlike_the_proof(21, STUDIES, d)
    assert min(seen[word] for word in CODE) >= 10
    figures.at_most(f"the judge: verdicts unlike those proved, of {STUDIES * ARMS * len(LOOKS)}, D = {d:g} s_d", unlike, 0)


@pytest.mark.soak
def test_the_judge_concludes_the_same_over_two_thousand_studies(figures: Figures):
    unlike, _ = unlike_the_proof(25, 2_000, 0.7)
    figures.at_most(f"the judge: verdicts unlike those proved, of {2_000 * ARMS * len(LOOKS)}", unlike, 0)


def with_divergences(random: np.random.Generator, values: Floats, rate: float) -> list[float | None]:
    return [None if random.random() < rate else float(value) for value in values]


def test_no_divergence_is_hidden_whatever_its_pattern(figures: Figures):
    """Random patterns in arm and baseline, from one seed to all of them, and arms that are far better, far worse or equal."""
    random, pin = np.random.default_rng(22), rules(LOOKS, 1.0)
    hidden, ran, seen = 0, 0, Counter[str]()
    for _ in range(80):
        n, effect = int(random.choice([3, 5, 6, 8, 12, 20])), random.choice([0.0, -5.0, 5.0], ARMS)[:, None]
        arms, baseline = family(random, 1, n, effect)
        rates = random.choice([0.0, 0.05, 0.3, 0.9, 1.0], ARMS)
        base = with_divergences(random, baseline[0, 0], random.choice([0.0, 0.0, 0.1, 1.0]))
        for verdict in judged(pin, base, [with_divergences(random, row, rate) for row, rate in zip(arms[0], rates, strict=True)]):
            evidence, seen[verdict.word] = verdict.evidence, seen[verdict.word] + 1
            if not evidence.diverged_arm and not evidence.diverged_baseline:
                continue
            of = len(evidence.pairs)
            counts = f"{evidence.diverged_arm} of {of} runs diverged here, {evidence.diverged_baseline} of {of} in the baseline"
            ran, hidden = ran + 1, hidden + (verdict.word in PLAIN or counts not in verdict.reading)
    assert ran > 300
    assert all(seen[word] > 5 for word in ("better", "worse", "unstable", "stabler", "cannot tell", "before the first look"))
    figures.at_most(f"the judge: plain or without counts, of {ran} arms with a divergence", hidden, 0)


def test_one_divergence_bars_every_plain_word_on_whichever_seed_it_falls():
    pin, random = rules((5,), 10.0), np.random.default_rng(23)
    arms, baseline = family(random, 1, 5, effect=-3.0, arms=1)
    values: list[float | None] = [float(value) for value in arms[0, 0]]
    base: list[float | None] = [float(value) for value in baseline[0, 0]]
    assert judged(pin, base, [values])[0].word in PLAIN
    for seed in range(5):
        holed = [None if each == seed else value for each, value in enumerate(values)]
        assert judged(pin, base, [holed])[0].word == "cannot tell"
        assert judged(pin, [None if each == seed else value for each, value in enumerate(base)], [values])[0].word == "cannot tell"


def test_an_arm_that_diverges_as_often_as_the_baseline_is_seldom_called_unstable(figures: Figures):
    """By chance alone, at one look or several, in any of eight arms."""
    random, pin, claims, studies = np.random.default_rng(24), rules(LOOKS, 1.0), 0, 200
    for _ in range(studies):
        arms, baseline = family(random, 1, LOOKS[-1])
        base = with_divergences(random, baseline[0, 0], 0.4)
        own = [with_divergences(random, row, 0.4) for row in arms[0]]
        claims += any(verdict.word in ("unstable", "stabler") for n in LOOKS for verdict in judged(pin, base, [row[:n] for row in own]))
    figures.at_most(f"{FOLLOWED}, {ARMS} arms that diverge as often: any false 'unstable' or 'stabler'", claims / studies, ALPHA)


def test_an_arm_that_is_bit_equal_to_the_baseline_is_identical_and_one_that_only_diverges_like_it_is_not():
    """A divergence at the same step with the same weights is the same run; the same seeds lost are not."""
    pin = rules((5,), 1.0)
    values = [2.1, 2.2, None, 2.3, 2.05]
    base = arm_of(BASELINE, [run(BASELINE, seed, value, weights=f"w{seed}") for seed, value in enumerate(values)])
    same = arm_of("dead", [run("dead", seed, value, weights=f"w{seed}") for seed, value in enumerate(values)])
    alike = arm_of("alike", [run("alike", seed, value) for seed, value in enumerate(values)])
    dead, other = judge(lineup(base, [same, alike]), pin, SmallestEffect(1.0, "pinned"))
    assert (dead.word, other.word) == ("identical", "cannot tell")
    for verdict in (dead, other):
        assert "1 of 5 runs diverged here, 1 of 5 in the baseline" in verdict.reading
