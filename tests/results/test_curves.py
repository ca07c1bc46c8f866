"""The learning curves of a report: which seeds enter, which steps, and what happens to torn, missing and diverged ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.results.collect import load
from lab.results.curves import Curve, curves

from .store import Store

STEPS = (0, 50, 100)


def write(folder: Path, values: Mapping[int, float | None], metric: str = "curve_bits_per_byte") -> None:
    """metrics.jsonl as the training wing writes it: a row per step, the evaluation only at some."""
    rows = [{"step": step, "tokens": step * 64, "loss": 1.0} | ({metric: value} if value else {}) for step, value in values.items()]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def falling(seed: int, shift: float = 0.0) -> dict[int, float]:
    return {step: 4.0 - step / 50 + shift + seed / 100 for step in STEPS}


def found(store: Store) -> tuple[Curve, ...]:
    (section,) = curves(load(store.root / "runs"), store.facts()).values()
    return section


def told(store: Store, count: int = 3, **told: Any) -> None:
    """A baseline and an arm with their curves."""
    for seed, folder in enumerate(store.baseline(count, cost={"flops_per_token": 6000.0})):
        write(folder, falling(seed))
    for seed, folder in enumerate(store.shifted("hooks=ema", count, -0.05, **told)):
        write(folder, falling(seed, -0.5))


def test_a_curve_is_the_mean_of_the_seeds_with_their_range(store: Store) -> None:
    told(store)
    base, arm = found(store)
    assert (base.label, base.baseline, arm.label, arm.baseline) == ("baseline", True, "hooks=ema", False)
    assert [point.step for point in arm.points] == list(STEPS)
    last = base.points[-1]
    assert (last.low, last.high, last.n) == (2.0, 2.02, 3)
    assert last.mean == pytest.approx(2.01)
    assert arm.points[-1].mean == pytest.approx(1.51)


def test_the_axes_are_steps_tokens_flops_and_seconds(store: Store) -> None:
    told(store)
    base, arm = found(store)
    last = base.points[-1]
    assert (last.tokens, last.flops, last.seconds) == (6400, 6400 * 6000.0, 50.0)
    assert arm.points[-1].flops is None  # its runs don't tell


def test_only_steps_that_all_seeds_have_are_on_the_curve(store: Store) -> None:
    told(store)
    short = next((store.root / "runs/demo").glob("*/seed=1-*"))
    write(short, {0: 4.0, 75: 3.0, 100: 2.0})
    assert {tuple(point.step for point in curve.points) for curve in found(store)} == {(0, 100), STEPS}


def test_a_seed_that_was_not_judged_is_not_on_the_curve(store: Store) -> None:
    told(store, count=5)  # the one look is at three seeds
    assert {point.n for curve in found(store) for point in curve.points} == {3}


def test_before_the_first_look_every_finished_run_is_on_the_curve(store: Store) -> None:
    told(store, count=2)
    assert {point.n for curve in found(store) for point in curve.points} == {2}


def test_a_diverged_seed_cuts_nobody_elses_curve(store: Store) -> None:
    told(store)
    for seed, folder in enumerate(store.arm("hooks=hot", [None, 2.1, 2.2])):
        write(folder, {0: 4.0} if seed == 0 else falling(seed))
    (hot,) = [curve for curve in found(store) if curve.label == "hooks=hot"]
    assert [(point.step, point.n) for point in hot.points] == [(step, 2) for step in STEPS]


def test_where_every_seed_diverged_they_are_the_curve_up_to_the_first(store: Store) -> None:
    told(store)
    for seed, folder in enumerate(store.arm("hooks=hot", [None, None, None])):
        write(folder, {step: value for step, value in falling(seed).items() if step < 100 - 50 * (seed == 2)})
    (hot,) = [curve for curve in found(store) if curve.label == "hooks=hot"]
    assert [(point.step, point.n) for point in hot.points] == [(0, 3)]


def test_torn_missing_and_odd_rows_hide_no_other_run(store: Store) -> None:
    told(store)
    folders = sorted((store.root / "runs/demo").glob("*/seed=*"))
    (folders[0] / "metrics.jsonl").unlink()
    with (folders[1] / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": "x", "curve_bits_per_byte": 1}\n{"step": 60, "curve_bits_per_byte": null}\n{"step": 7')
    assert sorted(point.n for curve in found(store) for point in curve.points) == [2, 2, 2, 3, 3, 3]


def test_a_pin_that_judges_nats_has_curves_of_nats(store: Store) -> None:
    store.pin(metric="nats_per_token")
    for seed, folder in enumerate(store.baseline(3)):
        write(folder, falling(seed), "curve_nats_per_token")
    assert [curve.metric for curve in found(store)] == ["curve_nats_per_token"]


def test_without_rows_there_is_no_curve(store: Store) -> None:
    store.baseline(3)
    assert found(store) == ()


def test_what_an_arm_is_compared_with_is_the_baseline_on_the_same_seeds(store: Store) -> None:
    for seed, folder in enumerate(store.baseline(3)):
        write(folder, falling(seed, shift=[0.0, 0.0, 9.0][seed]))  # a hard seed, which the arm doesn't have
    for seed, folder in enumerate(store.shifted("hooks=ema", 2, -0.05)):
        write(folder, falling(seed, 0.25))
    base, arm = found(store)
    assert arm.points[-1].mean < base.points[-1].mean  # the plain means say better
    assert [point.difference for point in arm.points] == pytest.approx([0.25] * len(STEPS))
    assert {point.difference for point in base.points} == {None}


def test_an_arm_that_shares_no_finished_seed_with_the_baseline_is_compared_with_nothing(store: Store) -> None:
    for folder in store.arm("baseline", [2.1, None], seeds=[0, 1]):
        write(folder, falling(0))
    for folder in store.arm("hooks=ema", [2.0], seeds=[1]):
        write(folder, falling(1))
    assert {point.difference for curve in found(store) for point in curve.points} == {None}
