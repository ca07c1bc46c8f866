"""A declared curve in the report: the metric against one number, its optimum, and the warnings; never a verdict."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from lab.errors import ConfigError
from lab.files import read_sealed, sealed, write_json
from lab.results.facts_of_cells import CurveFacts
from lab.results.optimum import curvature_and_optimum, find_optimum
from lab.store.declaration import CURVE, Declaration, DeclaredArm, Factor
from lab.store.studies import declare, file_name, read_declarations

from .grids import LR, Value, curve, declaration
from .store import BASE, BITS, WOBBLE, Store, digest

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


# -- what a curve must not hide


def test_the_optimum_and_the_means_are_over_pinned_seeds_that_all_values_have(store: Store) -> None:
    """The baseline has more seeds, one value has an unpinned one, and they would move every mean."""
    store.pin(looks=[3], seeds=[0, 1, 2, 3])
    curve(store, dict.fromkeys(RATES, bowl(5e-4, 0.2)), 3)
    before = told(store)
    for value in RATES:
        store.run("baseline" if value == 1e-3 else f"{LR}={value:g}", 9, 2.0 + 500 * value, changes=int(value != 1e-3), study="other")
    store.run("baseline", 3, 9.0, changes=0, study="other")
    after = told(store)
    assert after.optimum == before.optimum and after.optimum is not None and after.optimum.seeds == (0, 1, 2)
    assert [(each.n, each.mean) for each in after.points] == [(each.n, each.mean) for each in before.points]


def test_an_interval_that_reaches_beyond_the_fitted_values_is_warned_of(store: Store) -> None:
    bowls = [bowl(best, 0.2) for best in (2e-4, 5e-4, 2e-3)]
    curve(store, dict.fromkeys(RATES, lambda levels, seed: bowls[seed](levels, seed)), 3)
    found = told(store)
    assert found.optimum is not None
    assert 1e-4 < found.optimum.value < 3e-3 and found.optimum.low < 1e-4 and found.optimum.high > 3e-3
    assert "The optimum's interval reaches beyond the fitted values (0.0001 to 0.003). Add values there." in found.warnings


NORM_OF = "hooks.grad_clip.max_norm"
NORMS = Factor(NORM_OF, ("0.1", "0.3", "1.0", "3.0"), ("hooks=grad_clip",))


def of_a_hook(store: Store, factor: Factor = NORMS, prefix: str = "hooks=grad_clip,max_norm=") -> Declaration:
    """A curve of which the baseline has no value."""
    arms = tuple(DeclaredArm(f"{prefix}{level}", digest("change", f"{prefix}{level}"), levels=(level,)) for level in factor.levels)
    return Declaration("norms", store.name, store.lock, "", False, arms, design=CURVE, factors=(factor,))


def train(store: Store, declared: Declaration, other: str) -> None:
    """Three seeds of each point, those of one value on another machine."""
    for arm in declare(store.root, declared).arms:
        bits = BITS | ({"cpu": "another"} if arm.levels == (other,) else {})
        values = [BASE[seed] + 0.01 * math.log(float(arm.levels[0])) ** 2 for seed in range(3)]
        store.arm(arm.label, values, study="norms", cell={"design": CURVE, "levels": {NORM_OF: arm.levels[0]}}, bits=bits)


@pytest.mark.parametrize(("seeds", "beside"), [(3, "the baseline"), (0, "hooks=grad_clip,max_norm=0.1")])
def test_a_value_under_other_bits_is_told_where_the_baseline_is_no_point(store: Store, seeds: int, beside: str) -> None:
    store.baseline(seeds)
    train(store, of_a_hook(store), "1.0")
    assert [line for line in told(store).warnings if "bits" in line] == [
        f"hooks=grad_clip,max_norm=1.0: under other bits than {beside} on seeds 0, 1, 2"
    ]


def test_a_curve_whose_declaration_is_gone_still_counts(store: Store) -> None:
    curve(store, dict.fromkeys(RATES, bowl(5e-4, 0.2)), 3)
    label = f"{LR}=0.0003"
    for folder in store.root.glob("runs/demo/*/seed=*"):
        if label in (folder / "manifest.json").read_text():
            store.ask(folder, label, study="alone")
    (store.root / "runs" / "demo" / "studies" / file_name("rates", store.lock)).unlink()
    assert (store.verdict(label).family, store.verdict(label).evidence.arm.also, store.report().tried) == (3, ("rates",), 3)
    declare(store.root, declaration(store, "rates", [Factor(LR, ("0.001", "0.0003", "0.0001"))], CURVE))  # a smaller one in its place
    assert (store.verdict(label).family, store.report().tried) == (3, 3)


# -- what a curve is declared with


def test_a_curve_reads_back_with_what_is_beside_it_and_an_older_one_without(store: Store) -> None:
    declared = declare(store.root, of_a_hook(store))
    assert read_declarations(store.root / "runs", "demo") == ([declared], [])
    path = store.root / "runs" / "demo" / "studies" / file_name("norms", store.lock)
    content = read_sealed(path)
    del content["factors"][0]["beside"]
    write_json(path, sealed(content))
    ((older,), damaged) = read_declarations(store.root / "runs", "demo")
    assert (older.factors[0].beside, damaged) == ((), [])
    content["factors"][0]["beside"] = ["hooks=grad_clip", 3]
    write_json(path, sealed(content))
    assert read_declarations(store.root / "runs", "demo")[1] == [(f"demo/studies/{path.name}", "'factors': not as it is written")]


def test_a_curve_with_something_else_beside_it_is_another_study(store: Store) -> None:
    declare(store.root, of_a_hook(store))
    grown = declare(store.root, of_a_hook(store, replace(NORMS, levels=("10.0", "0.1"))))
    assert grown.factors == (replace(NORMS, levels=(*NORMS.levels, "10.0")),)
    with pytest.raises(ConfigError, match=r"beside hooks=grad_clip, now hooks.grad_clip.max_norm beside hooks=grad_clip, hooks=ema"):
        declare(store.root, of_a_hook(store, replace(NORMS, beside=("hooks=grad_clip", "hooks=ema"))))


def test_a_value_that_is_known_as_another_arm_is_another_study(store: Store) -> None:
    declare(store.root, of_a_hook(store))
    with pytest.raises(ConfigError, match=r"0.1: hooks=grad_clip,max_norm=0.1, now other,max_norm=0.1"):
        declare(store.root, of_a_hook(store, replace(NORMS, levels=("0.1", "10.0")), "other,max_norm="))
    on_other_text = replace(of_a_hook(store), arms=(DeclaredArm("hooks=grad_clip,max_norm=0.1", digest("other text"), levels=("0.1",)),))
    assert len(declare(store.root, on_other_text).arms) == 5
