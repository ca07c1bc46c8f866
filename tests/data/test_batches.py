"""Batches: the permutation, the order of samples, and the blocks of an evaluation."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from lab.data.batches import CHUNK, Batches, blocks, permute
from lab.data.tokenfile import TokenFile
from lab.errors import DataError

COUNTS = [*range(1, 40), 63, 64, 65, 97, 127, 128, 251, 255, 256, 257, 1000, 1009, 1024, 1025, 4096, 4097, 7919, 65_537]


@pytest.mark.parametrize("count", COUNTS)
def test_a_permutation_sends_every_index_to_a_place_of_its_own(count: int) -> None:
    for key in (0, 1, 2**63 - 1):
        assert np.array_equal(np.sort(permute(np.arange(count), count, key)), np.arange(count))


def test_a_place_does_not_depend_on_what_is_asked_beside_it() -> None:
    index = np.arange(1000)
    whole = permute(index, 1000, 7)
    assert [int(permute(index[at : at + 1], 1000, 7)[0]) for at in range(0, 1000, 13)] == whole[::13].tolist()
    assert np.array_equal(permute(index.reshape(10, 100), 1000, 7), whole.reshape(10, 100))
    assert permute(index[:0], 1000, 7).shape == (0,)


def test_the_permutation_is_pinned() -> None:
    print("golden: another order here moves every run's data order")
    assert permute(np.arange(12), 12, 0).tolist() == [1, 10, 9, 3, 5, 11, 2, 8, 7, 4, 0, 6]
    assert permute(np.arange(4), 10**15, 2**62 + 1).tolist() == [498195385814225, 327377108672305, 604020795933764, 803558193545270]


def test_another_key_is_another_order() -> None:
    orders = {permute(np.arange(1000), 1000, key).tobytes() for key in range(200)}
    assert len(orders) == 200


@pytest.mark.parametrize("count", [3, 4])
def test_a_short_permutation_takes_every_order_about_as_often(count: int) -> None:
    orders = [tuple(permute(np.arange(count), count, key).tolist()) for key in range(1200)]
    expected = 1200 / len(list(itertools.permutations(range(count))))
    counts = np.unique(np.array([hash(order) for order in orders]), return_counts=True)[1]
    assert len(counts) == 1200 / expected
    assert abs(counts - expected).max() < 5 * expected**0.5


def test_neighbours_are_scattered() -> None:
    count = 10_007
    order = permute(np.arange(count), count, 3)
    steps = np.abs(np.diff(order))
    # the mean distance of two random places is a third of the range; its standard error is about 0.24 % of the range
    assert abs(steps.mean() / count - 1 / 3) < 0.012
    assert abs(np.corrcoef(np.arange(count), order)[0, 1]) < 0.05


def tokens_of(size: int) -> np.ndarray:
    """Tokens that tell their own place."""
    return np.arange(size, dtype=np.uint16)


def key(epoch: int) -> int:
    return 1234 + 7 * epoch


@pytest.mark.parametrize(("size", "context"), [(20, 10), (29, 10), (30, 10), (257, 8), (1000, 7), (50, 1)])
def test_an_epoch_reads_each_of_its_windows_once(size: int, context: int) -> None:
    batches = Batches(tokens_of(size), context, 2, key)
    phases = set()
    for epoch in range(5):
        offsets = np.sort(batches.offsets(epoch * batches.per_epoch, batches.per_epoch))
        assert (np.diff(offsets) == context).all()
        assert 0 <= offsets[0] < context
        assert offsets[-1] + context + 1 <= size
        phases.add(int(offsets[0]))
    assert len(phases) > 1 or context == 1


def test_a_target_is_the_next_token() -> None:
    inputs, targets = Batches(tokens_of(1000), 16, 4, key).batch(3)
    assert inputs.shape == targets.shape == (4, 16)
    assert inputs.dtype == targets.dtype == torch.int64
    assert inputs.is_contiguous() and targets.is_contiguous()
    assert torch.equal(targets, inputs + 1)
    assert torch.equal(inputs[:, 1:], targets[:, :-1])


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8, 24])
def test_another_batch_size_sees_the_same_samples_in_the_same_order(batch_size: int) -> None:
    # 5 windows an epoch, so that batches lie across epochs
    whole = Batches(tokens_of(100), 16, 24, key).batch(0)
    batches = Batches(tokens_of(100), 16, batch_size, key)
    parts = [batches.batch(step) for step in range(24 // batch_size)]
    for one, many in zip(whole, zip(*parts, strict=True), strict=True):
        assert torch.equal(one, torch.cat(many))


def test_a_step_needs_no_step_before_it(tmp_path: Path) -> None:
    TokenFile.write(tmp_path / "t", tokens_of(500), 500)
    tokens = TokenFile.open(tmp_path / "t")
    running = Batches(tokens, 8, 4, key)
    past = [running.batch(step) for step in range(40)]
    resumed = Batches(tokens, 8, 4, key)
    for step in (39, 7, 0):
        assert torch.equal(resumed.batch(step)[0], past[step][0])
    assert torch.equal(resumed.samples(10**15, 3)[0], running.samples(10**15, 3)[0])


@pytest.mark.parametrize("size", [100, 20_000])
def test_places_are_the_same_however_many_are_asked_at_once(size: int) -> None:
    batches = Batches(tokens_of(size), 8, 4, key)
    first = 2 * CHUNK - 10
    whole = batches.offsets(first, 2 * CHUNK)
    single = [int(Batches(tokens_of(size), 8, 4, key).offsets(first + place, 1)[0]) for place in (0, 9, 10, CHUNK + 9, CHUNK + 10)]
    assert single == whole[[0, 9, 10, CHUNK + 9, CHUNK + 10]].tolist()
    assert batches.offsets(CHUNK, 0).shape == (0,)
    for place in (2 * CHUNK - 5, 5, CHUNK - 3):
        assert np.array_equal(batches.offsets(first + place, 5), whole[place : place + 5])


def test_the_places_that_are_kept_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Batches(tokens_of(1000), 8, 4, key).offsets(0, 4)[0] = 0


def test_the_first_samples_are_pinned() -> None:
    print("golden: another place here moves every run's data")
    assert Batches(tokens_of(1000), 8, 4, key).offsets(122, 6).tolist() == [687, 343, 936, 912, 360, 280]


def test_epochs_and_keys_differ_in_order() -> None:
    batches = Batches(tokens_of(1000), 10, 4, key)
    first, second = batches.offsets(0, 99), batches.offsets(99, 99)
    assert not np.array_equal(first // 10, second // 10)
    assert not np.array_equal(first, Batches(tokens_of(1000), 10, 4, lambda epoch: epoch).offsets(0, 99))


def test_tokens_too_few_for_a_window_and_a_phase_are_refused() -> None:
    assert Batches(tokens_of(20), 10, 1, key).per_epoch == 1
    with pytest.raises(DataError, match=r"19 tokens; windows of model.context=10 need at least 20"):
        Batches(tokens_of(19), 10, 1, key)


@pytest.mark.parametrize("size", [2, 3, 8, 9, 10, 16, 17, 18, 100])
@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_an_evaluation_predicts_every_token_but_the_first_once(size: int, batch: int) -> None:
    seen = []
    for inputs, targets in blocks(tokens_of(size), 8, batch):
        assert inputs.shape == targets.shape
        assert inputs.dtype == targets.dtype == torch.int64
        assert len(inputs) <= batch
        assert inputs.shape[1] == 8 or len(inputs) == 1
        assert torch.equal(targets, inputs + 1)
        seen += targets.reshape(-1).tolist()
    assert seen == list(range(1, size))


def test_another_evaluation_batch_only_groups_the_same_blocks() -> None:
    def rows(batch: int) -> list[list[int]]:
        return [row.tolist() for inputs, _ in blocks(tokens_of(101), 8, batch) for row in inputs]

    assert rows(1) == rows(3) == rows(50)
    assert [len(row) for row in rows(3)] == [8] * 12 + [4]
