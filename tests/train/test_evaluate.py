"""The measure: by hand on a tiny text, whatever the grouping, to the last token, without a trace."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from lab.data.batches import blocks
from lab.train.evaluate import evaluate
from tests.train.tiny import parts

TOKENS = np.array([0, 2, 1, 2, 0, 1, 1, 2, 2, 1, 0, 2], dtype=np.uint8)
BYTES = [0, 1, 3]


class Chances(nn.Module):
    """Predicts 0, 1, 2 with chances 1/2, 1/4, 1/4, whatever it sees."""

    def forward(self, tokens_BT):
        return torch.tensor([0.5, 0.25, 0.25]).log().expand(*tokens_BT.shape, 3)


def test_bits_per_byte_by_hand():
    """Targets: two 0 at 1 bit, four 1 and five 2 at 2 bits: 20 bits for 4 * 1 + 5 * 3 = 19 bytes; the marks' bits count."""
    found = evaluate(Chances(), blocks(TOKENS, 4, 2), BYTES)
    assert (found.tokens, found.bytes) == (11, 19)
    assert found.bits_per_byte == pytest.approx(20 / 19)
    assert found.nats_per_token == pytest.approx(20 * math.log(2) / 11)
    assert found.perplexity == pytest.approx(2 ** (20 / 11))


def test_the_nats_of_each_document_by_hand():
    """The text: mark 2 1 2 | mark 1 1 2 2 1 | mark 2. The first mark is only an input, each other is paid by the document it opens."""
    found = evaluate(Chances(), blocks(TOKENS, 4, 2), BYTES, mark=0).documents
    assert found.bytes == [7, 9, 3]
    assert found.nats == pytest.approx([6 * math.log(2), 11 * math.log(2), 3 * math.log(2)])


@pytest.mark.parametrize(("block", "batch"), [(1, 1), (2, 3), (5, 1), (16, 4), (200, 1)])
def test_documents_add_up_to_the_whole_wherever_the_blocks_cut_them(tmp_path, block, batch):
    """Neighbouring marks are documents without text. The total keeps its bits."""
    model = parts(tmp_path, model__context=256).model
    tokens = np.array([0, 5, 9, 3, 0, 7, 0, 0, *range(1, 90), 0, 4], dtype=np.uint8)
    lengths = np.minimum(np.arange(128), 1)
    plain = evaluate(model, blocks(tokens, block, batch), lengths)
    found = evaluate(model, blocks(tokens, block, batch), lengths, mark=0)
    assert (found.nats, found.tokens, found.bytes) == (plain.nats, plain.tokens, plain.bytes)
    assert plain.documents is None
    assert found.documents.bytes == [3, 1, 0, 89, 1]
    assert math.fsum(found.documents.nats) == pytest.approx(found.nats, rel=1e-13)
    assert min(found.documents.nats) > 0


def test_a_text_of_one_document_is_one_entry(tmp_path):
    tokens = np.array([0, *range(1, 60)], dtype=np.uint8)
    found = evaluate(parts(tmp_path).model, blocks(tokens, 16, 2), np.ones(128, dtype=int), mark=0)
    assert found.documents.bytes == [found.bytes]
    assert found.documents.nats == pytest.approx([found.nats], rel=1e-13)


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
def test_the_grouping_moves_nothing_but_rounding_and_the_ragged_tail_counts(tmp_path, batch):
    model = parts(tmp_path).model
    tokens = np.arange(16 * 9 + 6, dtype=np.uint8) % 97
    found, expected = (evaluate(model, blocks(tokens, 16, size), np.ones(128)) for size in (batch, 4))
    assert found.tokens == len(tokens) - 1
    assert found.nats == pytest.approx(expected.nats, rel=1e-6)


def test_evaluation_leaves_no_trace(tmp_path):
    """Not in the mode, the random numbers, the dropout calls or the next step's bits."""
    losses = []
    for look in (False, True):
        made = parts(tmp_path, model__dropout=0.2)
        made.loop.update(*made.batches.batch(0))
        before = torch.get_rng_state()
        if look:
            evaluate(made.model, blocks(TOKENS, 4, 2), np.ones(128))
        assert made.model.training and torch.equal(before, torch.get_rng_state())
        made.loop.update(*made.batches.batch(1))
        losses.append(made.loop.state.loss)
    assert losses[0] == losses[1]


def test_the_mode_comes_back_after_an_error(tmp_path):
    model = parts(tmp_path).model
    with pytest.raises(IndexError):
        evaluate(model, blocks(np.full(9, 200, dtype=np.uint8), 4, 2), np.ones(256))
    assert model.training
