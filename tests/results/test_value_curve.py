"""A declared curve in the report: the metric against one number, its optimum, and the warnings; never a verdict."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lab.results.facts_of_cells import CurveFacts
from lab.results.optimum import curvature_and_optimum, find_optimum
from lab.store.declaration import CURVE, DeclaredArm, Factor
from lab.store.studies import declare

from .grids import LR, Value, curve, declaration
from .store import BASE, WOBBLE, Store

RATES = (1e-3, 1e-4, 3e-4, 3e-3)  # the baseline's first


def bowl(best: float, noise: float = 1.0) -> Value:
    """A parabola in log(value) with its least at `best`."""

    def value(levels: tuple[str, ...], seed: int) -> float:
        x = math.log10(float(levels[0]))
        return BASE[seed] + 0.05 * (x - math.log10(best)) ** 2 + noise * WOBBLE[(seed + round(10 * x)) % len(WOBBLE)]

    return value


def told(store: Store) -> CurveFacts:
    (found,) = store.facts().sections[0].value_curves
    return found


def test_the_points_stand_by_value_with_their_means_and_intervals(store: Store) -> None:
    curve(store, dict.fromkeys(RATES, bowl(5e-4)), 5)
    found = told(store)
    assert [point.value for point in found.points] == sorted(RATES)
    assert [point.baseline for point in found.points] == [False, False, True, False]
    first = found.points[0]
    values = [run.value for run in first.runs if run.value is not None]
    assert first.n == len(values) == 5 and first.mean == pytest.approx(np.mean(values))
    half = 2.776445 * np.std(values, ddof=1) / math.sqrt(5)  # Student's t with 4 degrees of freedom
    assert (first.low, first.high) == (pytest.approx(first.mean - half), pytest.approx(first.mean + half))


def test_the_optimum_of_a_bowl_in_log_value_is_found_without_any_verdict(store: Store) -> None:
    curve(store, dict.fromkeys(RATES, bowl(5e-4, 0.2)), 5)
    found = told(store)
    assert found.optimum is not None
    assert found.optimum.scale == "log" and found.optimum.low < 5e-4 < found.optimum.high
    assert found.optimum.seeds == (0, 1, 2, 3, 4) and found.optimum.values == tuple(sorted(RATES))
    assert (found.best, found.warnings) == (3e-4, ())
    assert found.reading.startswith("trainer.optimizer.lr: best of the tried values 0.0003, 2.1") and found.reading.endswith("No verdicts.")
    assert store.section().verdicts == () and store.report().unread == ()


def test_a_best_at_the_edge_of_the_grid_is_warned_of(store: Store) -> None:
    curve(store, dict.fromkeys(RATES, bowl(1e-2, 0.2)), 3)
    found = told(store)
    assert found.best == 3e-3
    assert found.warnings[0] == "The best value is the largest that was tried: the optimum may lie beyond it. Add values there."
    assert found.warnings[1].startswith("The optimum lies outside of the fitted values (0.0001 to 0.003)")


def test_a_value_at_which_a_seed_diverged_is_no_part_of_the_fit_and_is_told(store: Store) -> None:
    good = bowl(5e-4, 0.2)
    metric = dict.fromkeys((*RATES, 3e-5), good) | {1e-2: lambda levels, seed: None if seed == 1 else good(levels, seed)}
    curve(store, metric, 3)
    found = told(store)
    assert found.optimum is not None and 1e-2 not in found.optimum.values and found.optimum.seeds == (0, 1, 2)
    assert (found.points[-1].n, found.points[-1].diverged) == (2, 1)
    assert "trainer.optimizer.lr=0.01: diverged on seed 1" in found.warnings


def test_a_curve_that_bends_the_wrong_way_on_a_seed_has_no_optimum(store: Store) -> None:
    good = bowl(5e-4, 0.0)
    curve(store, dict.fromkeys(RATES, lambda levels, seed: 4 - good(levels, seed) if seed == 2 else good(levels, seed)), 3)
    assert told(store).optimum is None
    assert told(store).warnings[0] == "No optimum: the curve bends the right way on 2 of 3 seeds. Try a wider grid."


def test_too_few_seeds_or_values_give_no_optimum_and_say_why(store: Store) -> None:
    curve(store, dict.fromkeys(RATES, bowl(5e-4)), 2)
    assert told(store).optimum is None
    assert told(store).warnings[0] == "No optimum yet: 2 seeds with all 4 values, and it needs 3."
    following = told(store).next
    assert following is not None and following.pending == (2,)


def test_a_named_curve_grows_by_values_and_by_nothing_else(store: Store) -> None:
    declare(store.root, declaration(store, "rates", [Factor(LR, ("0.001", "0.0001", "0.0003", "0.003"))], CURVE))
    longer = declare(store.root, declaration(store, "rates", [Factor(LR, ("0.001", "0.003", "0.01", "0.03"))], CURVE))
    assert longer.factors == (Factor(LR, ("0.001", "0.0001", "0.0003", "0.003", "0.01", "0.03")),)
    assert [arm.levels for arm in longer.arms] == [("0.0001",), ("0.0003",), ("0.003",), ("0.01",), ("0.03",)]
    assert isinstance(longer.arms[0], DeclaredArm)


def test_the_best_point_asked_for_as_an_arm_is_corrected_over_all_points(store: Store) -> None:
    curve(store, dict.fromkeys(RATES, bowl(5e-4, 0.2)), 3)
    label = f"{LR}=0.0003"
    for folder in store.root.glob("runs/demo/*/seed=*"):
        if label in (folder / "manifest.json").read_text():
            store.ask(folder, label, study="alone")
    verdict = store.verdict(label)
    assert (verdict.evidence.arm.study, verdict.family) == ("alone", 3)


def test_a_parabola_is_met_exactly_on_either_scale() -> None:
    x = np.array([1.0, 2.0, 4.0, 5.0])
    bend, place = curvature_and_optimum(x, 3 * (x - 2.7) ** 2 + 1)
    assert bend > 0 and place == pytest.approx(2.7)
    seeds = np.array([(np.log(x) - np.log(best)) ** 2 for best in (2.0, 2.1, 1.9)])
    found = find_optimum([1.0, 2.0, 4.0, 5.0], seeds, "lower", 0.05)
    assert found.log and found.place == pytest.approx((2.0 * 2.1 * 1.9) ** (1 / 3))
    assert not find_optimum([0.0, 2.0, 4.0, 5.0], seeds, "lower", 0.05).log
    assert not find_optimum([4.0, 5.0, 6.0, 12.0], seeds, "lower", 0.05).log  # a factor 3, not more


def test_where_higher_is_better_the_hill_is_the_optimum() -> None:
    x = np.array([1.0, 1.5, 2.0, 2.5])
    seeds = np.array([-((x - best) ** 2) for best in (1.7, 1.8, 1.9)])
    assert find_optimum(list(x), seeds, "higher", 0.05).place == pytest.approx(1.8)
    assert find_optimum(list(x), seeds, "lower", 0.05).place is None
