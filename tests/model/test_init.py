"""Schemes of first weights: how large, never which draws."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.model.tiny import model, option, tokens_BT


def stds(**changes) -> dict[str, float]:
    return {name: parameter.std().item() for name, parameter in model(**changes).named_parameters() if parameter.ndim >= 2}


def test_normal_gives_every_matrix_the_same_size():
    assert all(std == pytest.approx(0.05, rel=0.1) for std in stds(init=option("init", "normal", std=0.05), tie_embeddings=False).values())


@pytest.mark.parametrize("width", [32, 128])
def test_mup_sizes_follow_the_width(width):
    found = stds(d_model=width, init=option("init", "mup", gain=2.0, table_std=0.03), tie_embeddings=False)
    for name, std in found.items():
        inputs = 4 * width if name.endswith("down.weight") else width
        wanted = 0.03 if name in ("embedding.weight", "position.weight") else 1 / width if name == "head.weight" else 2 / inputs**0.5
        assert std == pytest.approx(wanted, rel=0.1), name


def test_with_zero_outputs_the_logits_are_those_of_the_embedding_alone():
    each = model(init=option("init", "zero_output"))
    embedded_BTD = each.position(each.embedding(tokens_BT()))
    assert torch.equal(each(tokens_BT()), F.linear(each.final_norm(embedded_BTD), each.embedding.weight))


def test_with_zero_outputs_a_head_of_its_own_finds_all_tokens_equally_likely():
    logits_BTV = model(init=option("init", "zero_output"), tie_embeddings=False)(tokens_BT())
    assert logits_BTV.abs().max() == 0


def test_with_zero_outputs_every_block_still_learns_from_the_first_step():
    each = model(init=option("init", "zero_output"))
    each(tokens_BT()).square().sum().backward()
    moved = {name for name, parameter in each.named_parameters() if parameter.grad.abs().max() > 0}
    assert {f"blocks.{i}.{name}.weight" for i in (0, 1) for name in ("attention.output", "mlp.down")} <= moved


@pytest.mark.parametrize("scheme", ["normal", "mup", "zero_output"])
def test_a_scheme_changes_the_scale_and_never_the_draws(scheme):
    base = dict(model().named_parameters())
    for name, parameter in model(init=option("init", scheme)).named_parameters():
        if parameter.ndim >= 2 and parameter.abs().max() > 0:
            share = parameter / base[name]
            assert torch.allclose(share, share.mean(), rtol=1e-4), name
