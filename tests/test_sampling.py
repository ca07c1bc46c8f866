"""Sampled text: repeatable from its stream, within the context, without a trace."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lab import streams
from lab.sampling import choose, continue_tokens
from tests.train.tiny import parts


def write(model, temperature=None, key=1, count=40):
    generator = None if temperature is None else streams.generator(key)
    return continue_tokens(model, [0], count=count, context=16, temperature=temperature, generator=generator)


def test_the_same_stream_writes_the_same_text_and_another_another(tmp_path):
    model = parts(tmp_path).model
    assert write(model, 0.8) == write(model, 0.8) != write(model, 0.8, key=2)


def test_a_text_may_be_longer_than_the_context(tmp_path):
    assert len(write(parts(tmp_path).model)) == 40


def test_sampling_leaves_no_trace(tmp_path):
    model, before = parts(tmp_path).model, torch.get_rng_state()
    write(model, 0.8)
    assert model.training and torch.equal(before, torch.get_rng_state())


def test_greedy_takes_the_likeliest_and_a_low_temperature_nearly_always_too():
    logits_V = torch.tensor([0.0, 3.0, 1.0])
    assert choose(logits_V, None, None) == 1
    assert {choose(logits_V, 0.01, streams.generator(key)) for key in range(20)} == {1}
    assert {choose(logits_V, 100.0, streams.generator(key)) for key in range(50)} == {0, 1, 2}


class Broken(nn.Module):
    def forward(self, tokens_BT):
        return torch.full((*tokens_BT.shape, 3), float("nan"))


@pytest.mark.parametrize("temperature", [None, 0.8])
def test_a_broken_model_writes_nothing(temperature):
    assert write(Broken(), temperature) == []
