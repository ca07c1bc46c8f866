"""`lab bench`: what it measures, what it compares, what it leaves behind. Speeds aren't asserted, only what must hold at any speed."""

from __future__ import annotations

import json
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from lab.bench import said
from lab.bench.limit import MatmulLimit, data_sheet_peak, matrix_shapes
from lab.bench.measure import interval_of_median, turns
from lab.bench.overhead import scheduled_tokens
from lab.bench.side import Side
from lab.cli import main
from lab.files import read_rows
from lab.hooks.length_warmup import LengthWarmup
from lab.model import count
from lab.train.stopwatch import WARM_UP_STEPS
from tests.conftest import Project
from tests.train.tiny import BATCH, CONTEXT, parts, text, tiny, train


class Bench:
    """`lab bench WORDS` in the tiny project, in this process: its JSON, and what it told."""

    def __init__(self, project: Project, captured: pytest.CaptureFixture[str]) -> None:
        self.project, self.captured, self.told = project, captured, ""

    def __call__(self, *words: str) -> dict[str, Any]:
        status = main(["--root", str(self.project.root), "bench", *words])
        said = self.captured.readouterr()
        self.told = said.err
        assert status == 0, said.err
        found: dict[str, Any] = json.loads(said.out)
        return found

    def refused(self, *words: str) -> str:
        """Its message, where it has to refuse."""
        assert main(["--root", str(self.project.root), "bench", *words]) == 2
        said = self.captured.readouterr()
        assert said.out == ""
        return said.err


@pytest.fixture
def bench(tiny: Project, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tiny, capsys)


def test_one_composition_is_measured_whole_and_leaves_nothing_but_prepared_data(bench: Bench) -> None:
    before = bench.project.files()
    found = bench("baseline=tiny", "hooks=grad_clip", "--steps", "7", "model.n_layers=2")
    assert {each for each in bench.project.files() - before if not each.startswith("runs/.cache/")} <= {"runs", "runs/.cache"}
    assert found["schema"] == 1 and found["overrides"] == ["baseline=tiny", "hooks=grad_clip", "model.n_layers=2"]
    assert found["device"]["kind"] == "cpu" and found["device"]["threads"] == 1 and found["device"]["attention"] == "fused"

    step = found["step_seconds"]
    assert step["steps"] == 7 and 0 < step["quartiles"][0] <= step["median"] <= step["quartiles"][1]
    assert found["tokens_per_second"] == pytest.approx(64 / step["median"])
    assert list(found["split"]) == ["data", "forward", "backward", "optimizer", "hooks", "rest"]
    assert sum(each["share"] for each in found["split"].values()) == pytest.approx(1, abs=1e-6)
    assert sum(each["seconds"] for each in found["split"].values()) == pytest.approx(step["median"])
    assert all(each["share"] > 0 for each in found["split"].values())
    assert found["hooks"]["grad_clip"]["share"] == pytest.approx(found["split"]["hooks"]["share"])
    assert found["peak_memory_bytes"] > 1 << 20 and found["data_sheet"]["flops_per_second"] is None

    assert 0 < found["mfu"]["causal"] < found["mfu"]["full"] < 1.2
    best = max(each["flops_per_second"] for each in found["matmul"]["products"])
    assert found["matmul"]["flops_per_second"] == best > 0

    overheads = found["overheads"]
    assert set(overheads) == {"sites_without_hooks", "logging_norms_progress", "evaluations", "proofs"}
    assert all(each["share"] > 0 and each["seconds"] > 0 for each in overheads.values()) and overheads["evaluations"]["share"] < 1
    assert set(overheads["proofs"]["parts"]) == {"draws", "weights", "pairing", "checkpoint", "digests"}
    assert set(overheads["logging_norms_progress"]["parts"]) == {"rows", "gradient_norm", "progress", "stopwatch"}


def test_its_flops_are_those_of_the_matrices_and_of_the_mixing(bench: Bench) -> None:
    flops = bench("baseline=tiny", "--steps", "1")["flops_per_token"]
    layer, head, mixing = 4 * 16 * 16 + 2 * 16 * 64, 257 * 16, 4 * 16 * 16
    assert flops["full"] == 3 * (2 * (layer + head) + mixing)
    assert flops["causal"] == 3 * (2 * (layer + head) + mixing * 17 / 32)
    assert flops["full"] == sum(each["matrix"] + each["mixing_full"] for each in flops["modules"])


def test_each_step_is_counted_at_the_length_of_its_sequences(bench: Bench) -> None:
    warmup = ("baseline=tiny", "hooks=length_warmup", "hooks.length_warmup.start=4", "hooks.length_warmup.share=1")
    steps = 7
    lengths = [LengthWarmup(start=4, share=1).length(16, step, 20) for step in range(WARM_UP_STEPS, WARM_UP_STEPS + steps)]
    assert set(lengths) == {4, 8}, "one length alone would hide a mean that isn't one"
    flops = bench(*warmup, "--steps", str(steps))["flops_per_token"]
    matrices = 3 * 2 * (4 * 16 * 16 + 2 * 16 * 64 + 257 * 16)
    assert flops["lengths"] == [4, 8]
    assert flops["full"] == pytest.approx(matrices + 3 * 4 * 16 * sum(lengths) / steps)
    assert flops["causal"] == pytest.approx(matrices + 3 * 4 * 16 * sum((each + 1) / 2 for each in lengths) / steps)

    once = bench(*warmup, "--steps", "1")
    rate = once["tokens_per_second"] / once["matmul"]["flops_per_second"]
    assert once["flops_per_token"]["full"] == matrices + 3 * 4 * 16 * 4
    assert once["mfu"]["full"] == pytest.approx(once["flops_per_token"]["full"] * rate)
    assert once["mfu"]["causal"] == pytest.approx(once["flops_per_token"]["causal"] * rate)


def test_two_compositions_are_compared_pair_by_pair(bench: Bench) -> None:
    wide = "baseline=tiny model.d_model=128"
    found = bench("baseline=tiny", "--steps", "12", "--against", wide, "model.n_layers=3")
    assert found["against"] == [*wide.split(), "model.n_layers=3"]
    ratio = found["ratio"]
    assert len(ratio["pairs"]) == 10 and all(each > 0 for each in ratio["pairs"])
    assert min(ratio["pairs"]) <= ratio["quartiles"][0] <= ratio["median"] <= ratio["quartiles"][1] <= max(ratio["pairs"])
    assert ratio["median"] < 1, "a model with a hundred times as many parameters took no longer"
    assert found["a"]["step_seconds"]["steps"] == found["b"]["step_seconds"]["steps"] == 12
    assert f"A takes {ratio['median']:.2f} times as long as B for a token (median of 10 pairs" in bench.told
    assert not [path for path in bench.project.files() if path.startswith("runs/") and not path.startswith("runs/.cache")]


def test_each_side_has_its_own_threads(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    step = Side.step
    monkeypatch.setattr(Side, "step", lambda side: (seen.append(torch.get_num_threads()), step(side))[1])
    bench("baseline=tiny", "--steps", "2", "--against", "baseline=tiny device.threads=2")
    assert seen == [1] * WARM_UP_STEPS + [2] * WARM_UP_STEPS + [1, 2, 2, 1]


def test_a_comparison_is_of_tokens_and_not_of_steps(bench: Bench) -> None:
    ratio = bench("baseline=tiny", "trainer.batch_size=20", "--steps", "10", "--against", "baseline=tiny trainer.batch_size=1")["ratio"]
    assert ratio["median"] < 1, "a batch of twenty costs more for a token than a batch of one"


def test_another_precision_and_micro_batches_are_measured_as_they_train(bench: Bench) -> None:
    found = bench("baseline=tiny", "--steps", "2", "trainer.precision=bf16", "device.attention=auto", "device.micro_batch=2")
    assert found["device"] | {"precision": "bf16", "attention": "written", "micro_batch": 2} == found["device"]
    assert {each["inner"] for each in found["matmul"]["products"] if each["product"] == "weight_gradient"} == {2 * 16}


MISTAKES = {
    ("model.widht=3",): "model.widht",
    ("baseline=tiny", "--steps", "0"): "--steps 0: nothing would be timed\ngive a number above 0",
    ("baseline=tiny", "--against", "baseline=tiny model.d_model=17"): "model.d_model",
    ("baseline=tiny", "--against", "note='open"): "can't be cut into words: No closing quotation",
    ("baseline=tiny", "trainer.divergence_ceiling=0.01"): "this composition diverges at step 0: the training loss is",
    ("baseline=tiny", "model.attention.logit_cap=5", "device.attention=fused"): "add device.attention=written",
}


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_a_mistake_is_told_in_words(bench: Bench, words: tuple[str, ...]) -> None:
    assert MISTAKES[words] in bench.refused(*words)


def test_without_a_place_for_temporary_files_it_says_how_to_name_one(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert "export TMPDIR=FOLDER" in bench.refused("baseline=tiny", "--steps", "1")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="not run: this system has no /dev/full")
def test_a_full_disk_is_told_with_the_way_out(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full" / "a").mkdir(parents=True)
    (tmp_path / "full" / "a" / "metrics.jsonl").symlink_to("/dev/full")
    monkeypatch.setattr(tempfile, "TemporaryDirectory", lambda **_: nullcontext(str(tmp_path / "full")))
    said = bench.refused("baseline=tiny", "--steps", "1")
    assert "No space left on device" in said and "export TMPDIR=FOLDER" in said


def test_a_mistake_is_told_before_torch_is_loaded(tiny: Project) -> None:
    done = tiny.python("-X", "importtime", "-m", "lab", "bench", "baseline=tiny", "--against", "nope=1", status=2)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "lab.bench.ask" in imported and "torch" not in imported


def test_turns_are_nearly_equal_and_never_empty() -> None:
    assert turns(40) == [4] * 10 and turns(3) == [1, 1, 1] and turns(12) == [2, 2] + [1] * 8


def test_the_evaluations_that_it_reckons_with_are_those_that_a_run_makes(tmp_path: Path) -> None:
    side = Side(tiny(), text(tmp_path / "cache"), tmp_path / "side")
    side.close()
    train(tmp_path / "run")
    rows, _ = read_rows(tmp_path / "run" / "metrics.jsonl")
    points = sum("curve_bits_per_byte" in row for row in rows)
    assert points > 3, "a run with few evaluations would hide a mistake"
    assert scheduled_tokens(side) == points * (side.data.curve.n_tokens - 1) + side.data.validation.n_tokens - 1


@pytest.mark.parametrize("tied", [True, False])
def test_the_limit_is_measured_on_the_products_that_training_computes(tmp_path: Path, tied: bool) -> None:
    model = parts(tmp_path, model__tie_embeddings=tied).model
    vocabulary = model.get_parameter("embedding.weight").shape[0]
    assert set(matrix_shapes(model)) == {(32, 32), (128, 32), (32, 128), (vocabulary, 32)}
    limit = MatmulLimit(model, BATCH * CONTEXT, "fp32")
    limit.measure(0.0)
    per_token = {(rows, columns): 2 * rows * columns for rows, columns in matrix_shapes(model)}
    assert sum(each.flops for each in limit.products) == 3 * BATCH * CONTEXT * sum(per_token.values())
    assert all(tuple(each.multiply().shape) == (each.rows, each.columns) for each in limit.products)
    assert limit.best.rate == max(each.rate for each in limit.products)
    assert count.total(count.flops_per_token(model, CONTEXT)).matrix > 0 and torch.get_num_threads() == 1


def test_a_gpu_has_its_makers_peak_and_a_stranger_has_none() -> None:
    assert data_sheet_peak("NVIDIA A100-SXM4-80GB", "bf16") == 312e12
    assert data_sheet_peak("NVIDIA H100 80GB HBM3", "bf16") == 989e12 > (data_sheet_peak("NVIDIA H100 PCIe", "bf16") or 0)
    assert data_sheet_peak("Tesla T4", "bf16") is None and data_sheet_peak("Tesla T4", "fp32") == 8.1e12
    assert data_sheet_peak("NVIDIA L40S", "bf16") is None and data_sheet_peak("NVIDIA GeForce RTX 4090 Laptop GPU", "fp32") is None


@pytest.mark.parametrize(
    ("count", "places"), [(5, None), (6, (0, 5)), (10, (1, 8)), (20, (5, 14))], ids=lambda value: str(value).replace(" ", "")
)
def test_the_interval_of_a_median_is_the_one_that_tables_give(count: int, places: tuple[int, int] | None) -> None:
    values = [float(each) for each in range(count)]
    assert interval_of_median(values[::-1]) == (None if places is None else [values[each] for each in places])


@pytest.mark.parametrize(
    ("interval", "words"),
    [([0.9, 1.1], "can't be told from these"), ([1.4, 1.6], "95 % interval 1.40 to 1.60)"), (None, "too few for an interval")],
)
def test_a_ratio_is_told_with_what_so_many_pairs_can_tell(interval: list[float] | None, words: str) -> None:
    told = said.ratio({"median": 1.5, "interval": interval, "pairs": [1.5] * 10})
    assert told.startswith("A takes 1.50 times as long as B") and words in told
    assert ("can't be told" in told) is (interval == [0.9, 1.1])
