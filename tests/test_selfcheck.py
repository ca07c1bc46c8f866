"""The self-check: its numbers on stores that were made up, and the whole of it once, on real runs of the tiny project."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lab.ablate.baseline import pin
from lab.errors import ConfigError
from lab.files import read_rows
from lab.runner import run
from lab.selfcheck import selfcheck
from lab.selfcheck.ask import plan_of_nulls
from lab.selfcheck.noise import Drift, Noise, comparisons_needed, exact_interval, grown_at, measure
from lab.selfcheck.told import rates, some, text_of
from lab.store.console import Console
from lab.store.layout import run_folders
from lab.store.studies import read_declarations
from tests.conftest import Project
from tests.results.store import CODE, Store, digest

# -- numbers


@pytest.mark.parametrize(("claimed", "of"), [(0, 1), (0, 3), (1, 3), (3, 3), (3, 60), (4, 88), (88, 88)])
def test_the_interval_of_a_rate_is_the_exact_one(claimed: int, of: int) -> None:
    expected = stats.binomtest(claimed, of).proportion_ci(0.95, method="exact")
    assert exact_interval(claimed, of) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_without_a_comparison_every_rate_is_possible() -> None:
    assert exact_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("alpha", "needed"), [(0.05, 88), (0.1, 42)])
def test_enough_comparisons_are_those_whose_interval_is_no_wider_than_twice_alpha(alpha: float, needed: int) -> None:
    assert comparisons_needed(alpha) == needed
    widths = [np.ptp(exact_interval(round(alpha * n), n)) for n in range(1, needed + 1)]
    assert widths[-1] <= 2 * alpha < min(widths[:-1])


NULLS = [f"hooks=nudge,draw={draw}" for draw in range(3)]
STEPS = (0, 25, 50, 75, 100)


def made(
    tmp_path: Path, shared: float, shift: float = 0.0, seeds: int = 8, looks: tuple[int, ...] = (8,), **judgement: object
) -> tuple[Store, np.ndarray]:
    """A baseline and three null arms; of the variance of a run over seeds, 0.01 ** 2, this share is common to the runs of one seed.

    The first null arm is shifted. Returns the store, and the metric by arm and seed.
    """
    store = Store(tmp_path)
    store.pin(looks=list(looks), **judgement)
    draw = np.random.default_rng(3)
    common, own = draw.standard_normal(seeds), draw.standard_normal((4, seeds))
    values = 2.1 + 0.01 * (math.sqrt(shared) * common + math.sqrt(1 - shared) * own)
    values[1] += shift
    for label, row in zip(["baseline", *NULLS], values, strict=True):
        store.arm(label, [float(value) for value in row], study="selfcheck")
    store.declare("selfcheck", *NULLS)
    return store, values


def noise_of(store: Store, seeds: int = 8) -> Noise:
    return measure(store.report(), [digest(label, CODE) for label in NULLS], range(seeds))


def test_the_spread_of_runs_and_of_their_differences_is_pooled_over_all_of_them(tmp_path: Path) -> None:
    store, values = made(tmp_path, shared=0.8)
    spread = noise_of(store).spread
    assert spread is not None and spread.seeds == 8
    pairs = [(a, b) for a in range(4) for b in range(a)]
    assert spread.run == pytest.approx(math.sqrt(np.mean([np.var(row, ddof=1) for row in values])))
    assert spread.difference == pytest.approx(math.sqrt(np.mean([np.var(values[a] - values[b], ddof=1) for a, b in pairs])))
    assert spread.ratio == pytest.approx(2 * spread.run**2 / spread.difference**2) and 2 < spread.ratio < 20
    assert spread.correlation == pytest.approx(0.8, abs=0.2)


def test_a_chaotic_baseline_gains_nothing_by_pairing(tmp_path: Path) -> None:
    spread = noise_of(made(tmp_path, shared=0.0)[0]).spread
    assert spread is not None and spread.ratio == pytest.approx(1, abs=0.5) and abs(spread.correlation) < 0.4


def test_null_arms_are_judged_by_the_report_and_what_it_claims_is_counted(tmp_path: Path) -> None:
    noise = noise_of(made(tmp_path, shared=0.8, shift=-0.05)[0])
    assert [each.word for each in noise.verdicts] == ["better", *[each.word for each in noise.verdicts[1:]]]
    assert (noise.holm.claimed, noise.holm.of) == (1, 3) and noise.holm.high == pytest.approx(0.9057, abs=1e-4)
    assert noise.uncorrected.claimed >= 1 and noise.pairs.of == 6 and noise.pairs.claimed >= 3, "it differs from every other arm"
    text = text_of(noise, 1e-7)
    assert "draw 0  8  -0.0" in text and "better" in text
    assert "corrected by Holm, as reported:    1 of 3, 95 % interval 0.01 to 0.91" in text
    assert "Too few to estimate 0.05: 3 arms of the 88 that it takes" in text
    assert max(map(len, text.splitlines())) <= 100


def test_holm_makes_a_false_claim_rarer_and_both_are_shown(tmp_path: Path) -> None:
    """A p between 0.05 / 3 and 0.05: alone it would be claimed, in its family it isn't."""
    for shift in np.linspace(0.004, 0.016, 25):
        store, _ = made(tmp_path / f"{shift:.5f}", shared=0.8, shift=float(shift))
        noise = noise_of(store)
        p = noise.verdicts[0].evidence.p
        if p is not None and 0.02 < p < 0.045:
            break
    assert (noise.uncorrected.claimed, noise.holm.claimed) == (1, 0)
    assert "1 of 3" in text_of(noise, 1e-7).partition("uncorrected, each arm")[2].splitlines()[0]


def test_with_enough_arms_it_says_whether_alpha_lies_in_the_interval(tmp_path: Path) -> None:
    noise = noise_of(made(tmp_path, shared=0.8)[0])
    enough = replace(noise, needed=3)
    assert rates(enough)[-1] == "0.05 lies inside the uncorrected interval."
    wrong = replace(enough, uncorrected=replace(noise.uncorrected, low=0.2, high=0.9))
    assert "OUTSIDE" in rates(wrong)[-1]


def test_before_the_first_look_nothing_is_counted_and_the_way_there_is_told(tmp_path: Path) -> None:
    noise = noise_of(made(tmp_path, shared=0.8, seeds=4)[0], seeds=4)
    text = text_of(noise, 1e-7)
    assert "before the first look" in text and "--seeds 8 takes it" in text and "Nothing was judged" in text
    assert noise.spread is not None and "sd of an A/A difference" in text


def test_a_diverged_null_arm_is_counted_and_its_seed_enters_no_spread(tmp_path: Path) -> None:
    store, _ = made(tmp_path, shared=0.8, seeds=7)
    for label in ("baseline", *NULLS[:2]):
        store.run(label, 7, 2.1, study="selfcheck")
    store.run(NULLS[2], 7, None, status="diverged", study="selfcheck")
    noise = noise_of(store)
    assert noise.diverged == 1 and noise.spread is not None and noise.spread.seeds == 7
    assert noise.uncorrected.of == 2 and "1 run diverged" in text_of(noise, 1e-7)


@pytest.mark.parametrize(
    ("smallest", "said"), [(0.1, "found from 5 seeds on"), (0.0001, "smaller than what 8 seeds, the last look, would find")]
)
def test_what_the_noise_leaves_to_be_found_is_held_against_d(tmp_path: Path, smallest: float, said: str) -> None:
    noise = noise_of(made(tmp_path, shared=0.8, looks=(5, 8), smallest_effect=smallest)[0])
    assert noise.spread is not None and [each.look for each in noise.reach] == [5, 8]
    factors = [each.effect / noise.spread.difference for each in noise.reach]
    assert 1.9 < factors[0] < 2.1 and 1.2 < factors[1] < 1.4, "at the level in force for two looks, above 1.68 and 1.16 at the plain one"
    text = text_of(noise, 1e-7)
    assert said in text
    assert ("out of reach" in text) == (smallest < 0.01) == (noise.settles is None)


# -- the curve


def write_curves(store: Store, apart: dict[int, float]) -> None:
    """Curves whose runs of one seed are this far apart at each step, beside seeds whose sd is 0.01."""
    seeds = np.random.default_rng(1).standard_normal(8)
    for folder in run_folders(store.root):
        manifest = json.loads(folder.manifest.read_text())
        number = ["baseline", *NULLS].index(manifest["label"])
        rows = [
            {"step": step, "curve_bits_per_byte": 3 + 0.01 * seeds[manifest["seed"]] + distance * (-1) ** manifest["seed"] * number}
            for step, distance in apart.items()
        ]
        folder.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_difference_is_followed_along_the_curve_in_the_seeds_sd(tmp_path: Path) -> None:
    store, _ = made(tmp_path, shared=0.8)
    write_curves(store, dict(zip(STEPS, (0.0, 1e-6, 1e-4, 0.004, 0.02), strict=True)))
    noise = noise_of(store)
    assert [each.step for each in noise.drift] == list(STEPS)
    shares = [each.share for each in noise.drift]
    assert shares[0] == 0 and shares == sorted(shares)
    # |d| is 1, 2, 3, 1, 2, 1 times the distance; the sd of the seeds is near 0.01 while the distance is small
    assert shares[2] == pytest.approx(10 / 6 * 1e-4 / (0.01 * np.std(np.random.default_rng(1).standard_normal(8), ddof=1)), rel=0.05)
    assert grown_at(noise.drift) == 75
    assert "From step 75 on it is above 50 %" in text_of(noise, 1e-7)


def test_a_curve_that_stays_together_never_passes_half() -> None:
    assert grown_at([Drift(0, 0.0), Drift(10, 0.4)]) is None
    assert grown_at([Drift(0, 0.0), Drift(10, 0.6), Drift(20, 0.3)]) == 10


def test_a_long_curve_is_shown_by_a_few_points_with_both_ends() -> None:
    drift = [Drift(step, random.Random(step).random()) for step in range(101)]
    shown = some(drift)
    assert len(shown) == 8 and (shown[0].step, shown[-1].step) == (0, 100)
    assert some(drift[:3]) == drift[:3]


# -- the whole of it


def test_null_arms_go_through_the_whole_pipeline(tiny: Project, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of_nulls(tiny.root, "tiny", 2, None, print)
    assert [row.job.label for row in plan.rows[:3]] == ["baseline", "hooks=nudge,size=1e-07,draw=0", "hooks=nudge,size=1e-07,draw=1"]
    for row in plan.rows[:-1]:  # here, and not in a process each: the last one shows that a sweep's process does it too
        run(row.job, Console())
    said: list[str] = []
    text = selfcheck(tiny.root, "tiny", 2, 2, said.append)
    assert said[0] == "one factor at a time: baseline and 2 arms x 2 seeds = 6 runs" and said[1].startswith("study `selfcheck`, plan in")
    assert "A/A check of baseline `tiny`: 2 null arms beside it at 2 seeds" in text and "draw 1  2 " in text
    assert "uncorrected, all pairs of arms:    0 of 3" in text or "1 of 3" in text
    assert "step   0 " in text and "sd of an A/A difference" in text and "D = " in text
    requests = [read_rows(folder.requests)[0][-1] for folder in run_folders(tiny.root)]
    assert len(requests) == 6 and {each["study"] for each in requests} == {"selfcheck"}
    assert {each["command"] for each in requests} == {"python -m lab selfcheck --baseline tiny --arms 2 --seeds 2"}
    (declared,), _ = read_declarations(tiny.root / "runs", "tiny")
    assert [arm.label for arm in declared.arms] == [row.job.label for row in plan.rows[1:3]]

    capsys.readouterr()
    assert selfcheck(tiny.root, "tiny", 2, 2, said.append) == text
    assert capsys.readouterr().out.count("found, not trained again") == 6


def test_the_nudge_stands_beside_the_baselines_own_hooks(tiny: Project) -> None:
    pin(tiny.composer(), "clipped", ("baseline=tiny", "hooks=grad_clip", "hooks.grad_clip.max_norm=0.5"))
    plan = plan_of_nulls(tiny.root, "clipped", 1, None, print)
    baseline, null = (row.job.config["hooks"] for row in plan.rows[:2])
    assert null["grad_clip"] == baseline["grad_clip"] and null["grad_clip"]["max_norm"] == 0.5 and list(null) == ["grad_clip", "nudge"]
    assert (null["nudge"]["size"], null["nudge"]["draw"]) == (1e-7, 0)


def test_what_cannot_be_checked_is_refused_before_anything_is_written(tiny: Project) -> None:
    pin(tiny.composer(), "nudged", ("baseline=tiny", "hooks=nudge"))
    before = tiny.files()
    for baseline, arms, seeds, why in (
        ("tiny", 0, None, "at least one null arm"),
        ("tiny", 2, 1, "from 2 to the 4 that baseline `tiny` pins"),
        ("tiny", 2, 5, "from 2 to the 4"),
        ("nudged", 2, None, "has the hook nudge itself"),
        ("nosuch", 2, None, "there is no baseline `nosuch`"),
    ):
        with pytest.raises(ConfigError if baseline != "nosuch" else Exception, match=why):
            selfcheck(tiny.root, baseline, arms, seeds, print)
    assert tiny.files() == before
