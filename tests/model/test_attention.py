"""Attention: both paths compute the same, and each setting does what its paper says."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from lab.errors import ConfigError
from lab.model.attention.core import SelfAttention
from lab.model.attention.gqa import GroupedQueryAttention
from lab.model.attention.mha import MultiHeadAttention
from lab.model.position.rope import RotaryPosition
from lab.model.site import sites
from tests.model.tiny import model, option, tokens_BT

# B batch  T position  D width
WIDTH, HEADS, CONTEXT = 32, 4, 16
PLAIN = {"qk_norm": False, "qk_norm_eps": 1e-6, "logit_cap": None}
X_BTD = torch.randn(3, 12, WIDTH, generator=torch.Generator().manual_seed(0))


def attention(kv_heads: int = HEADS, path: str = "written", **settings) -> SelfAttention:
    """An attention layer whose weights depend on nothing but their names and shapes."""
    each = GroupedQueryAttention(WIDTH, HEADS, CONTEXT, kv_heads=kv_heads, path=path, **(PLAIN | settings))
    fill(each)
    return each


def fill(each: SelfAttention) -> None:
    for number, (_, parameter) in enumerate(sorted(each.named_parameters())):
        draw = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
        parameter.data.copy_(draw * 0.3 + (parameter.ndim == 1))


def at(each: SelfAttention, name: str, x_BTD: Tensor = X_BTD, **arguments) -> Tensor:
    """What a site sees."""
    seen: list[Tensor] = []
    sites(each)[name].on_forward(seen.append, in_evaluation=True)
    each(x_BTD, **arguments)
    return seen[-1].detach()


@pytest.mark.parametrize("rotary", [False, True], ids=["", "rope"])
@pytest.mark.parametrize("qk_norm", [False, True], ids=["", "qk_norm"])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_fused_and_written_agree_in_value_and_gradient(kv_heads, qk_norm, rotary):
    turn = RotaryPosition(CONTEXT, WIDTH, HEADS, base=1e4).turn if rotary else None
    values, gradients = [], []
    for path in ("fused", "written"):
        each, x_BTD = attention(kv_heads, path, qk_norm=qk_norm), X_BTD.clone().requires_grad_()
        values.append(each(x_BTD, turn))
        values[-1].square().sum().backward()
        gradients.append([x_BTD.grad, *(parameter.grad for parameter in each.parameters())])
    assert (values[0] - values[1]).abs().max() < 1e-5 * values[0].abs().max()
    for fused, written in zip(*gradients, strict=True):
        assert (fused - written).abs().max() < 1e-5 * fused.abs().max()


@pytest.mark.parametrize("path", ["fused", "written"])
def test_as_many_kv_heads_as_heads_is_multi_head_attention_to_the_bit(path):
    plain = MultiHeadAttention(WIDTH, HEADS, CONTEXT, path=path, **PLAIN)
    fill(plain)
    assert torch.equal(plain(X_BTD), attention(HEADS, path)(X_BTD))


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_grouped_queries_equal_multi_head_attention_with_the_shared_heads_repeated(kv_heads):
    grouped, plain = attention(kv_heads), attention(HEADS)
    for name in ("key", "value"):
        shared = getattr(grouped, name).weight.data.view(kv_heads, -1, WIDTH)
        getattr(plain, name).weight.data.copy_(shared.repeat_interleave(HEADS // kv_heads, 0).flatten(0, 1))
    for name in ("query", "output"):
        getattr(plain, name).weight.data.copy_(getattr(grouped, name).weight.data)
    assert torch.allclose(grouped(X_BTD), plain(X_BTD), atol=1e-5)
    assert grouped.key.weight.shape == (WIDTH // HEADS * kv_heads, WIDTH)


def test_normed_queries_and_keys_have_unit_mean_square_before_their_weight():
    each = attention(qk_norm=True)
    for norm in (each.query_norm, each.key_norm):
        norm.weight.data.fill_(1)
        seen: list[Tensor] = []
        norm.register_forward_hook(lambda module, given, result, seen=seen: seen.append(result))
        each(X_BTD)
        assert torch.allclose(seen[0].square().mean(-1), torch.ones(3, 12, HEADS), atol=1e-4)
    assert each.query_norm.weight.shape == (WIDTH // HEADS,)


def test_normed_scores_do_not_grow_with_the_queries():
    small, large = attention(qk_norm=True), attention(qk_norm=True)
    large.query.weight.data *= 100
    assert torch.allclose(at(small, "scores"), at(large, "scores"), atol=1e-3)


def test_a_cap_bounds_the_scores_and_hardly_moves_small_ones():
    plain, capped, wide = (at(attention(logit_cap=cap), "scores") for cap in (None, 0.5, 1e4))
    assert plain.abs().max() > 1 and capped.abs().max() <= 0.5
    assert torch.allclose(capped, 0.5 * (plain / 0.5).tanh(), atol=1e-6)
    assert torch.allclose(wide, plain, atol=1e-3)


def test_scores_are_those_of_the_paper():
    each = attention()
    query, key = (matrix(X_BTD).view(3, 12, HEADS, -1).transpose(1, 2) for matrix in (each.query, each.key))
    assert torch.allclose(at(each, "scores"), query @ key.transpose(-2, -1) / (WIDTH / HEADS) ** 0.5, atol=1e-5)


def test_a_rotary_position_turns_queries_and_keys_alike():
    each, rotary = attention(2), RotaryPosition(CONTEXT, WIDTH, HEADS, base=1e4)
    same_everywhere = X_BTD[:, :1].expand(-1, 12, -1)
    scores_BNTS = at(each, "scores", same_everywhere, turn=rotary.turn)
    for distance in range(12):
        diagonal = scores_BNTS.diagonal(-distance, -2, -1)
        assert torch.allclose(diagonal, diagonal[..., :1].expand_as(diagonal), atol=1e-4)
    assert scores_BNTS[0, 0, 11].std() > 1e-3


def test_a_cap_under_the_fused_path_says_where_it_works():
    with pytest.raises(ConfigError, match=r"device\.attention=written"):
        model("fused", attention=option("attention", "mha", logit_cap=30.0))


def test_kv_heads_that_do_not_divide_the_heads_are_refused():
    with pytest.raises(ConfigError, match="kv_heads=3 doesn't divide the 2 heads"):
        model(attention=option("attention", "gqa", kv_heads=3))


def test_a_norm_of_queries_leaves_the_draws_of_the_matrices_equal():
    plain, normed = (dict(model(attention=option("attention", "mha", qk_norm=each)).named_parameters()) for each in (False, True))
    assert set(normed) - set(plain) == {f"blocks.{i}.attention.{name}_norm.weight" for i in (0, 1) for name in ("query", "key")}
    assert all(torch.equal(plain[name], normed[name]) for name in plain)


def test_the_model_hands_its_position_s_turn_to_attention():
    turned, plain = (partial(model, position=option("position", name)) for name in ("rope", "none"))
    assert not torch.allclose(turned()(tokens_BT()), plain()(tokens_BT()), atol=1e-4)
