"""One run: the same bits every time, through kills and resumes; what it writes; how it ends."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from lab.checkpoint import latest
from lab.errors import ConfigError, Interrupted, StoreError
from lab.files import read_rows, read_sealed, sha256_file
from lab.numerics import bits_per_byte
from lab.store.metrics import encode_row
from tests.train.tiny import CONTEXT, HOOKS, IDENTITY, STEPS, Crash, CrashAt, after, tiny, train

VARIANTS = {
    "plain": {},
    "dropout": {"model__dropout": 0.2},
    "hooks": {"hooks": HOOKS},
    "micro-batches": {"device__micro_batch": 1, "model__dropout": 0.2},
    "bf16": {"trainer__precision": "bf16", "device__attention": "written", "model__dropout": 0.2, "hooks": HOOKS},
}


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("metrics.jsonl", "samples.txt", "documents.json")}


def rows(folder: Path, key: str) -> list[dict]:
    return [row for row in read_rows(folder / "metrics.jsonl")[0] if key in row]


# -- the same bits


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_that_is_stopped_and_crashed_and_resumed_gives_the_same_bits(tmp_path, variant):
    """Stopped by a signal after the first step, cut off in steps 2, 5 and 10, stopped at the last: then let through."""
    changes = VARIANTS[variant]
    straight = train(tmp_path / "straight", **changes)
    folder = tmp_path / "broken"
    with pytest.raises(Interrupted, match="stopped at step 1 of 12"):
        train(folder, stop=after(1), **changes)
    for step in (2, 5, 10):
        with pytest.raises(Crash):
            train(folder, progress=CrashAt(step), **changes)
    with pytest.raises(Interrupted, match="stopped at step 11"):
        train(folder, stop=after(2), **changes)
    with pytest.raises(Interrupted, match="stopped at step 12"):
        train(folder, stop=after(1), **changes)
    resumed = train(folder, **changes)
    assert resumed.digests == straight.digests
    assert resumed.metrics == straight.metrics
    assert files(folder) == files(tmp_path / "straight")


def test_a_stop_in_the_final_evaluation_loses_nothing(tmp_path):
    straight = train(tmp_path / "straight")
    with pytest.raises(Interrupted):
        train(tmp_path / "broken", stop=after(STEPS + 2))
    assert train(tmp_path / "broken").digests == straight.digests


def test_a_run_that_is_cut_before_its_first_checkpoint_says_that_it_starts_over(tmp_path):
    straight = train(tmp_path / "straight")
    with pytest.raises(Crash):
        train(tmp_path / "broken", progress=CrashAt(2))
    progress = CrashAt(-1)
    assert train(tmp_path / "broken", progress=progress).digests == straight.digests
    assert progress.warnings == ["this run ended before its first checkpoint: it starts from the beginning"]


def test_a_fresh_process_gives_the_same_bits(tmp_path):
    code = (
        "import sys, json; from pathlib import Path; from tests.train.tiny import *;"
        "print(json.dumps(train(Path(sys.argv[1]), hooks=HOOKS, model__dropout=0.1).digests))"
    )
    here = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "other")], cwd=here, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == train(tmp_path / "here", hooks=HOOKS, model__dropout=0.1).digests


def test_the_global_generator_is_neither_used_nor_moved(tmp_path):
    before = torch.get_rng_state()
    first = train(tmp_path / "first", model__dropout=0.2, hooks=HOOKS)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(12345)
    assert train(tmp_path / "second", model__dropout=0.2, hooks=HOOKS).digests == first.digests


def test_another_seed_is_another_run(tmp_path):
    assert train(tmp_path / "a").digests["weights"] != train(tmp_path / "b", seed=1).digests["weights"]


def test_another_cadence_changes_no_training_row_and_no_weight(tmp_path):
    seldom = train(tmp_path / "seldom", model__dropout=0.2)
    often = train(
        tmp_path / "often", model__dropout=0.2, trainer__evaluation__every=1, trainer__sampling__every=1, trainer__checkpoint__every=1
    )
    training = [[json.dumps(row) for row in rows(tmp_path / name, "loss")] for name in ("seldom", "often")]
    assert training[0] == training[1]
    assert len(rows(tmp_path / "often", "curve_bits_per_byte")) == STEPS + 1
    assert seldom.digests["weights"] == often.digests["weights"]


def test_an_observing_hook_is_bit_inert(tmp_path):
    plain = train(tmp_path / "plain")
    watched = train(tmp_path / "watched", hooks={"watch": {"_target_": "tests.train.test_loop.Watch", "observes": True}})
    assert watched.digests == plain.digests


# -- what it writes


class Meddler:
    """Says that it only observes, and meddles when it hears of an evaluation."""

    observes = True

    def __init__(self, *, weights):
        self.weights = weights

    def evaluated(self, state, found):
        found.clear()
        if self.weights:
            with torch.no_grad():
                state.model.final_norm.weight.mul_(0.5)


def test_an_observer_of_evaluations_changes_neither_what_was_measured_nor_the_weights(tmp_path):
    plain = train(tmp_path / "plain")
    hook = {"_target_": "tests.test_experiment.Meddler", "observes": True, "weights": False}
    assert train(tmp_path / "heard", hooks={"meddler": hook}).digests == plain.digests
    with pytest.raises(ConfigError, match=r"hooks\.meddler says that it only observes, and its `evaluated` changed"):
        train(tmp_path / "meddled", hooks={"meddler": hook | {"weights": True}})


def test_metrics_have_a_row_for_each_measure_that_is_due(tmp_path):
    train(tmp_path / "run")
    assert [row["step"] for row in rows(tmp_path / "run", "loss")] == [2, 4, 6, 8, 10, 12]
    assert [row["step"] for row in rows(tmp_path / "run", "curve_bits_per_byte")] == [0, 4, 6, 8, 12]
    (last,) = rows(tmp_path / "run", "validation_bits_per_byte")
    assert last["validation_perplexity"] == pytest.approx(math.exp(last["validation_nats_per_token"]))
    assert all(row["tokens"] == row["step"] * 64 for row in rows(tmp_path / "run", "tokens"))
    assert list(rows(tmp_path / "run", "loss")[0]) == ["step", "tokens", "loss", "lr", "gradient_norm"]


def test_a_number_that_is_none_is_null_in_its_row_and_named():
    assert encode_row({"step": 7, "loss": math.nan, "lr": math.inf, "low": -math.inf, "fine": 0.5}) == (
        '{"step":7,"loss":null,"lr":null,"low":null,"fine":0.5,"nonfinite":{"loss":"nan","lr":"inf","low":"-inf"}}\n'
    )


def test_the_outcome_says_what_the_rows_say_and_can_be_written_as_json(tmp_path):
    outcome = train(tmp_path / "run")
    json.dumps(asdict(outcome), allow_nan=False)
    curve = {row["step"]: row["curve_bits_per_byte"] for row in rows(tmp_path / "run", "curve_bits_per_byte")}
    assert (outcome.status, outcome.step, outcome.steps, outcome.tokens, outcome.diverged) == ("finished", 12, 12, 768, None)
    assert outcome.metrics["half_curve_bits_per_byte"] == curve[6]
    assert outcome.metrics["final_curve_bits_per_byte"] == curve[12]
    assert outcome.metrics["train_loss"] == rows(tmp_path / "run", "loss")[-1]["loss"]
    assert outcome.metrics["validation_bits_per_byte"] == rows(tmp_path / "run", "validation_bits_per_byte")[0]["validation_bits_per_byte"]
    assert all(value is not None and value > 0 for value in outcome.cost.values())


def test_what_each_document_cost_is_kept_of_the_judged_weights(tmp_path):
    outcome = train(tmp_path / "run", hooks={"ema": {"_target_": "lab.hooks.ema.EMA", "decay": 0.9, "warmup": 0}})
    found = read_sealed(tmp_path / "run" / "documents.json")
    assert outcome.digests["documents.json"] == sha256_file(tmp_path / "run" / "documents.json")
    assert (found["schema"], len(found["bytes"]), len(found["nats"])) == (1, 1, 1)
    judged, raw = (rows(tmp_path / "run", key)[-1][key] for key in ("validation_bits_per_byte", "validation_raw_bits_per_byte"))
    cost = bits_per_byte(sum(found["nats"]), sum(found["bytes"]))
    assert cost == pytest.approx(judged, rel=1e-12)
    assert cost != pytest.approx(raw, rel=1e-6)


def test_the_price_of_a_token_is_counted_at_the_contexts_length(tmp_path):
    """Layers of width 32: 12 * 32 * 32 weights each, and a tied head of 128 tokens; three passes, two operations a weight."""
    prices = [train(tmp_path / name, model__n_layers=layers).cost["flops_per_token"] for name, layers in (("two", 2), ("one", 1))]
    attention = 3 * 2 * 2 * 32 * (CONTEXT + 1) / 2
    assert prices[0] - prices[1] == 3 * 2 * 12 * 32 * 32 + attention
    assert prices[1] - (prices[0] - prices[1]) == 3 * 2 * 32 * 128


def test_samples_are_written_by_step_and_a_run_without_samples_has_none(tmp_path):
    train(tmp_path / "run")
    heads = [line for line in (tmp_path / "run" / "samples.txt").read_text().splitlines() if line.startswith("=== ")]
    assert heads == [f"=== step {step}, {kind} ===" for step in (5, 10, 12) for kind in ("greedy", "temperature 0.8")]
    train(tmp_path / "silent", trainer__sampling__tokens=0)
    assert (tmp_path / "silent" / "samples.txt").read_bytes() == b""


def test_each_hooks_loss_has_a_column(tmp_path):
    train(tmp_path / "run", hooks=HOOKS)
    assert all(row["z_loss"] > 0 for row in rows(tmp_path / "run", "loss"))


def test_the_final_weights_and_the_checkpoint_before_the_last_steps_stay(tmp_path):
    train(tmp_path / "run")
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoint").glob("*.json"))
    assert names == ["step-00000006.json", "step-00000012.json"], "its last steps can be trained again"
    assert latest(tmp_path / "run" / "checkpoint", IDENTITY)[0].step == 12


# -- how it ends


def test_it_learns_a_repetitive_text(tmp_path):
    outcome = train(tmp_path / "run", trainer__tokens=64 * 300, trainer__optimizer__lr=3e-3, trainer__checkpoint__every=100)
    assert outcome.metrics["train_loss"] < 1.5 < math.log(128)
    assert outcome.metrics["final_curve_bits_per_byte"] < outcome.metrics["half_curve_bits_per_byte"]


def test_a_huge_learning_rate_is_an_outcome(tmp_path):
    outcome = train(tmp_path / "run", trainer__optimizer__lr=1e6)
    assert outcome.status == "diverged" and outcome.step < STEPS
    assert outcome.diverged["step"] == outcome.step + 1 and "training loss" in outcome.diverged["reason"]
    assert outcome.metrics["validation_bits_per_byte"] is None
    assert "documents.json" not in outcome.digests and not (tmp_path / "run" / "documents.json").exists()
    json.dumps(asdict(outcome), allow_nan=False)
    assert train(tmp_path / "again", trainer__optimizer__lr=1e6).digests == outcome.digests


def test_a_loss_that_is_no_number_is_named_in_its_row(tmp_path):
    outcome = train(tmp_path / "run", trainer__optimizer__lr=1e38, trainer__divergence_ceiling=1e30)
    assert outcome.status == "diverged" and "is nan" in outcome.diverged["reason"]
    last = rows(tmp_path / "run", "loss")[-1]
    assert last["loss"] is None and last["nonfinite"]["loss"] == "nan" and last["step"] == outcome.diverged["step"]


def test_weights_that_break_in_the_last_step_are_a_divergence(tmp_path):
    outcome = train(tmp_path / "run", hooks={"breaker": {"_target_": "tests.train.test_loop.Breaker"}})
    assert (outcome.status, outcome.diverged["step"]) == ("diverged", STEPS)
    assert "final evaluation" in outcome.diverged["reason"]
    assert not (tmp_path / "run" / "documents.json").exists(), "its costs are no numbers"
    assert outcome.metrics["half_curve_bits_per_byte"] is not None


def test_a_damaged_checkpoint_is_told_and_the_older_gives_the_same_bits(tmp_path):
    straight = train(tmp_path / "straight")
    with pytest.raises(Crash):
        train(tmp_path / "broken", progress=CrashAt(8))
    (tmp_path / "broken" / "checkpoint" / "step-00000006.safetensors").write_bytes(b"damaged")
    progress = CrashAt(-1)
    assert train(tmp_path / "broken", progress=progress).digests == straight.digests
    assert len(progress.warnings) == 1 and "step-00000006.json is damaged" in progress.warnings[0]


def test_rows_that_a_checkpoint_counts_and_the_disk_lost_are_an_error(tmp_path):
    with pytest.raises(Crash):
        train(tmp_path / "run", progress=CrashAt(8))
    (tmp_path / "run" / "metrics.jsonl").write_bytes(b"")
    with pytest.raises(StoreError, match=r"metrics.jsonl has 0 bytes, and the checkpoint counts \d+"):
        train(tmp_path / "run")


def test_a_part_from_a_module_that_is_not_trusted_is_our_bug(tmp_path):
    assert "tests" in tiny()["trusted_modules"]
    with pytest.raises(AssertionError, match=r"tests\.train\.tiny isn't trusted"):
        train(tmp_path / "run", hooks=HOOKS, trusted_modules=[])
