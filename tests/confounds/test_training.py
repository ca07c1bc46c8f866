"""Confounds that training itself rules out: what is judged is the last weights, whole, without dropout, at the end of the schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lab import checkpoint
from lab.data.batches import blocks
from lab.data.tokenfile import TokenFile
from lab.experiment import assemble
from lab.files import read_rows
from lab.numerics import bits_per_byte
from lab.train.evaluate import evaluate
from lab.train.loss import cross_entropy
from tests.cases import Cases
from tests.train.tiny import BATCH, CONTEXT, IDENTITY, parts, text, tiny, train

Count = Callable[[str], Cases]


def judged_again(folder: Path, *, training: bool = False, **changes: Any) -> float:
    """Bits per byte of the last checkpoint's weights on the validation text, measured by hand."""
    data = text(folder.parent / "cache")
    made = assemble(tiny(**changes), data)
    found, _ = checkpoint.latest(folder / "checkpoint", IDENTITY)
    assert found is not None and found.step == made.loop.state.steps
    made.model.load_state_dict(found.state["model"])
    made.model.train(training)
    nats, count = 0.0, 0
    lengths = data.tokenizer.bytes_per_token()
    with torch.no_grad():
        for number, (inputs_BT, targets_BT) in enumerate(blocks(TokenFile.open(data.validation.path), CONTEXT, BATCH)):
            made.loop.dropout.begin(found.step, number)
            costs = cross_entropy(made.model(inputs_BT).float(), targets_BT, reduction="none")
            nats, count = nats + costs.double().sum().item(), count + int(lengths[targets_BT.numpy()].sum())
    return bits_per_byte(nats, count)


def test_a_ragged_last_evaluation_batch_changes_nothing(tmp_path: Path, cases: Count) -> None:
    """The naive way, a mean of batch means, gives every grouping another number."""
    ours, naive = cases("groupings of an evaluation's blocks"), cases("groupings of an evaluation's blocks")
    model = parts(tmp_path).model.eval()
    tokens = np.arange(CONTEXT * 9 + 6, dtype=np.uint8) % 97

    def mean_of_means(batch: int) -> float:
        with torch.no_grad():
            means = [cross_entropy(model(inputs_BT), targets_BT).item() for inputs_BT, targets_BT in blocks(tokens, CONTEXT, batch)]
        return sum(means) / len(means)

    whole = evaluate(model, blocks(tokens, CONTEXT, 9), np.ones(128))
    for batch in (1, 2, 3, 4, 7, 100):
        found = evaluate(model, blocks(tokens, CONTEXT, batch), np.ones(128))
        ours.check(f"{batch} blocks at a time", found.tokens == len(tokens) - 1 and math.isclose(found.nats, whole.nats, rel_tol=1e-6))
        naive.check(f"{batch} blocks at a time", math.isclose(mean_of_means(batch), whole.nats_per_token, rel_tol=1e-6))
    ours.all_good(at_least=6)
    naive.some_bad(at_least=3)


def test_dropout_is_off_where_a_run_is_judged(tmp_path: Path) -> None:
    outcome = train(tmp_path / "run", model__dropout=0.5)
    judged = outcome.metrics["validation_bits_per_byte"]
    assert judged == pytest.approx(judged_again(tmp_path / "run", model__dropout=0.5), rel=1e-9)
    assert abs(judged_again(tmp_path / "run", training=True, model__dropout=0.5) - judged) > 1e-3, "dropout would have shown"


def test_the_last_weights_are_judged_and_not_the_best(tmp_path: Path) -> None:
    """A rate that never falls and is far too high: the best point of the curve lies before the end."""
    wild = {"trainer__optimizer": tiny()["trainer"]["optimizer"] | {"lr": 0.5}, "trainer__evaluation": EVERY_STEP}
    wild |= {"trainer__schedule": {"_target_": "lab.train.schedule.constant.Constant", "warmup": 0.0}, "trainer__divergence_ceiling": 1e6}
    outcome = train(tmp_path / "run", **wild)
    rows, _ = read_rows(tmp_path / "run" / "metrics.jsonl")
    curve = [row["curve_bits_per_byte"] for row in rows if "curve_bits_per_byte" in row]
    assert len(curve) == 13 and min(curve) < curve[-1], "the best point is before the last one"
    assert outcome.metrics["validation_bits_per_byte"] == pytest.approx(judged_again(tmp_path / "run", **wild), rel=1e-9)
    assert outcome.metrics["final_curve_bits_per_byte"] == curve[-1]


EVERY_STEP = tiny()["trainer"]["evaluation"] | {"every": 1}


def test_the_metric_is_that_of_the_last_step_in_the_rows_too(tmp_path: Path) -> None:
    outcome = train(tmp_path / "run")
    rows, _ = read_rows(tmp_path / "run" / "metrics.jsonl")
    judged = [row for row in rows if "validation_bits_per_byte" in row]
    assert [(row["step"], row["validation_bits_per_byte"]) for row in judged] == [(12, outcome.metrics["validation_bits_per_byte"])]
    assert (outcome.step, outcome.steps, outcome.tokens) == (12, 12, 12 * BATCH * CONTEXT)


@pytest.mark.parametrize(("batch", "steps"), [(4, 12), (4, 24), (8, 6)])
def test_the_schedule_ends_where_the_budget_ends_and_warm_up_moves_with_the_steps(tmp_path: Path, batch: int, steps: int) -> None:
    """In share of the budget, so another batch size or budget truncates no schedule and shortens no warm-up."""
    schedule = tiny()["trainer"]["schedule"] | {"warmup": 0.5}
    changes = {"trainer__batch_size": batch, "trainer__tokens": steps * batch * CONTEXT, "trainer__schedule": schedule}
    train(tmp_path / "run", trainer__log_every=1, **changes)
    rows, _ = read_rows(tmp_path / "run" / "metrics.jsonl")
    rates = [row["lr"] for row in rows if "lr" in row]
    assert len(rates) == steps and rates.index(max(rates)) == pytest.approx(steps / 2, abs=1)
    assert rates[-1] == min(rates[steps // 2 :]) == pytest.approx(1e-3, rel=1e-6), "the last update has the last rate"


def test_micro_batches_see_the_same_batch_and_give_the_same_loss_but_for_rounding(tmp_path: Path) -> None:
    losses = []
    for size in (None, 1, 2):
        made = parts(tmp_path, device__micro_batch=size)
        made.loop.update(*made.batches.batch(0))
        losses.append(made.loop.state.loss)
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)


def test_averaged_weights_are_judged_with_the_raw_ones_beside(tmp_path: Path) -> None:
    """A legal change of what is judged: the record says so by a metric and a digest that other runs lack."""
    hooks = {"ema": {"_target_": "lab.hooks.ema.EMA", "decay": 0.9, "warmup": 0}}
    averaged, plain = train(tmp_path / "averaged", hooks=hooks), train(tmp_path / "plain")
    assert averaged.metrics["validation_raw_bits_per_byte"] == plain.metrics["validation_bits_per_byte"]
    assert averaged.metrics["validation_bits_per_byte"] != plain.metrics["validation_bits_per_byte"]
    assert averaged.digests["judged_weights"] != averaged.digests["weights"] == plain.digests["weights"]
    assert "judged_weights" not in plain.digests


def test_the_order_in_which_hooks_are_typed_moves_no_bit(tmp_path: Path) -> None:
    """It isn't counted as a change, so it may not be one: noise that is clipped isn't what a clipped gradient with noise is."""
    clip = {"_target_": "lab.hooks.grad_clip.GradClip", "max_norm": 0.3}
    noise = {"_target_": "lab.hooks.grad_noise.GradNoise", "eta": 0.01, "gamma": 0.55}
    one = train(tmp_path / "one", hooks={"grad_clip": clip, "grad_noise": noise})
    other = train(tmp_path / "other", hooks={"grad_noise": noise, "grad_clip": clip})
    assert one.digests == other.digests
