"""FLOPs per token, against torch's own counter, which sees every product of matrices that runs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lab.model.count import flops_per_token, total
from tests.model.tiny import VOCABULARY, model, option, tokens_BT

SWIGLU, RELU2, ROPE = option("mlp", "swiglu"), option("mlp", "relu2"), option("position", "rope")
MULTI_QUERY = option("attention", "gqa", kv_heads=1, qk_norm=True, logit_cap=30.0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_embeddings": False},
        {"mlp": SWIGLU},
        {"attention": MULTI_QUERY},
        {"attention": MULTI_QUERY, "mlp": RELU2, "position": ROPE, "norm": option("norm", "rmsnorm"), "tie_embeddings": False},
        {"n_layers": 3, "n_heads": 4, "d_model": 48, "position": option("position", "none"), "norm": option("norm", "none")},
    ],
    ids=lambda changes: ",".join(changes) or "plain",
)
@pytest.mark.parametrize("T", [16, 7])
def test_the_count_is_that_of_torch(changes, T):
    """On the written path: the counter sees no product inside the fused kernel on a CPU."""
    each = model("written", **changes)
    with FlopCounterMode(display=False) as counter:
        logits_BTV = each(tokens_BT(3, T))
        F.cross_entropy(logits_BTV.flatten(0, 1), tokens_BT(3, T).flatten()).backward()
    assert total(flops_per_token(each, T)).full * 3 * T == counter.get_total_flops()


def test_the_path_of_attention_does_not_change_the_count():
    assert flops_per_token(model("fused"), 16) == flops_per_token(model("written"), 16)


def test_each_module_stands_under_its_own_path():
    by_module = {each.module: each for each in flops_per_token(model(), 16)}
    assert by_module["blocks.1.mlp.up"].matrix == 6 * 32 * 128
    assert by_module["blocks.0.attention.query"].matrix == 6 * 32 * 32
    assert by_module[""].matrix == 6 * 32 * VOCABULARY
    assert "embedding" not in by_module and "position" not in by_module


def test_a_causal_token_looks_at_half_of_the_positions_and_itself():
    mixing = [each for each in flops_per_token(model(), 16) if each.mixing_full]
    assert [each.module for each in mixing] == ["blocks.0.attention", "blocks.1.attention"]
    assert all(each.mixing_full == 3 * 4 * 16 * 32 and each.mixing_causal == 3 * 4 * 8.5 * 32 for each in mixing)


def test_a_component_of_ones_own_is_counted_by_its_matrices():
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix = nn.Parameter(torch.ones(5, 7))
            self.vector = nn.Parameter(torch.ones(7))

    assert total(flops_per_token(Own(), 4)).full == 3 * 2 * 5 * 7
