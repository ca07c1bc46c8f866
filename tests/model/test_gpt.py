"""The model: names, sizes, what its components share, what they may not see."""

from __future__ import annotations

import pytest
import torch

from lab import streams
from lab.model import count
from tests.model.tiny import VOCABULARY, model, option, tokens_BT

RMSNORM, SWIGLU, NO_POSITION = option("norm", "rmsnorm"), option("mlp", "swiglu"), option("position", "none")


def test_parameter_names_are_the_contract():
    assert [name for name, _ in model(n_layers=1, mlp=SWIGLU, tie_embeddings=False).named_parameters()] == [
        "embedding.weight",
        "position.weight",
        "blocks.0.norm1.weight",
        "blocks.0.attention.query.weight",
        "blocks.0.attention.key.weight",
        "blocks.0.attention.value.weight",
        "blocks.0.attention.output.weight",
        "blocks.0.norm2.weight",
        "blocks.0.mlp.gate.weight",
        "blocks.0.mlp.up.weight",
        "blocks.0.mlp.down.weight",
        "final_norm.weight",
        "head.weight",
    ]


def test_a_tied_head_is_registered_once_under_the_embeddings_name():
    tied, untied = model(), model(tie_embeddings=False)
    assert "head.weight" not in tied.state_dict()
    assert count.parameters(untied)["total"] - count.parameters(tied)["total"] == VOCABULARY * 32
    assert count.parameters(tied)["embedding"] == VOCABULARY * 32 + 16 * 32


def test_the_mask_is_in_no_checkpoint():
    assert set(model("written").state_dict()) == {name for name, _ in model().named_parameters()}


@pytest.mark.parametrize(
    "changes",
    [{"norm": RMSNORM}, {"d_model": 48}, {"n_layers": 4}, {"mlp": SWIGLU}, {"position": NO_POSITION}, {"tie_embeddings": False}],
    ids=lambda changes: ",".join(changes),
)
def test_another_component_leaves_the_draws_of_every_common_parameter_equal(changes):
    """The claim is on the unit draws; a deeper model scales those that write to the stream differently."""
    base, other = dict(model().named_parameters()), dict(model(**changes).named_parameters())
    common = [name for name in base if name in other and base[name].ndim >= 2]
    assert len(common) >= 10
    layers = {0: 2, 1: changes.get("n_layers", 2)}
    for name in common:
        units = []
        for each, parameters in enumerate((base, other)):
            scale = 0.02 / (2 * layers[each]) ** 0.5 if name.endswith(("attention.output.weight", "mlp.down.weight")) else 0.02
            rows, columns = parameters[name].shape
            unit = streams.unit_rows(0, name, rows, columns)
            assert torch.equal(parameters[name], unit * scale), name
            units.append(unit)
        rows, columns = (min(a, b) for a, b in zip(units[0].shape, units[1].shape, strict=True))
        assert torch.equal(units[0][:rows, :columns], units[1][:rows, :columns]), name


def test_a_norm_starts_at_one():
    assert all((parameter == 1).all() for name, parameter in model().named_parameters() if parameter.ndim == 1)


def test_fused_and_written_attention_agree_in_value_and_gradient():
    logits, gradients = [], []
    for path in ("fused", "written"):
        each = model(path)
        logits_BTV = each(tokens_BT())
        logits_BTV.square().sum().backward()
        logits.append(logits_BTV.detach())
        gradients.append({name: parameter.grad for name, parameter in each.named_parameters()})
    assert (logits[0] - logits[1]).abs().max() < 1e-5
    for name, gradient in gradients[0].items():
        scale = gradient.abs().max()
        assert (gradient - gradients[1][name]).abs().max() <= 1e-5 * scale, name


@pytest.mark.parametrize("path", ["fused", "written"])
def test_a_position_sees_no_later_token(path):
    each, changed_BT = model(path), tokens_BT()
    changed_BT[:, 10:] = 7
    before, after = each(tokens_BT()), each(changed_BT)
    assert torch.allclose(before[:, :10], after[:, :10], atol=1e-6)
    assert not torch.allclose(before[:, 10:], after[:, 10:], atol=1e-3)


def test_without_a_position_the_model_has_no_parameter_for_one_and_still_runs():
    each = model(position=NO_POSITION)
    assert not any("position" in name for name in each.state_dict())
    assert each(tokens_BT(2, 5)).shape == (2, 5, VOCABULARY)


@pytest.mark.parametrize("width", [128, 192, 256])
def test_swiglu_has_the_parameters_of_a_gelu_of_the_same_expansion(width):
    plain, gated = (count.parameters(model(d_model=width, mlp=mlp))["total"] for mlp in (option("mlp", "gelu"), SWIGLU))
    assert abs(gated / plain - 1) < 0.01


def test_building_a_model_draws_nothing_from_the_global_generator():
    before = torch.get_rng_state()
    model(tie_embeddings=False, mlp=SWIGLU)
    assert torch.equal(before, torch.get_rng_state())
