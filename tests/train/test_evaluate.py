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
