"""Sites: where hooks look at activations and gradients, or replace them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lab.errors import ConfigError
from lab.model.site import Site, find_sites, sites
from tests.model.tiny import model, option, tokens_BT

WRITTEN = [
    "embedded",
    *(
        f"blocks.{i}.{name}"
        for i in (0, 1)
        for name in ("attention.scores", "attention.weights", "attention.mixed", "mlp.hidden", "stream")
    ),
    "final",
    "logits",
]


def trained(each, tokens=None) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits and gradients of one backward pass."""
    logits_BTV = each(tokens_BT() if tokens is None else tokens)
    each.zero_grad()
    logits_BTV.square().sum().backward()
    return logits_BTV.detach(), {name: parameter.grad for name, parameter in each.named_parameters()}


def same(a, b) -> bool:
    return torch.equal(a[0], b[0]) and all(torch.equal(a[1][name], b[1][name]) for name in a[1])


def test_the_paths_of_sites_are_a_contract():
    assert sorted(sites(model("written"))) == sorted(WRITTEN)
    assert sorted(sites(model("fused"))) == sorted(path for path in WRITTEN if not path.endswith(("scores", "weights")))


@pytest.mark.parametrize("mlp", ["gelu", "swiglu", "relu2"])
def test_every_mlp_has_the_site_of_its_hidden_layer(mlp):
    assert "blocks.1.mlp.hidden" in sites(model(mlp=option("mlp", mlp)))


def test_shapes_are_those_of_the_legend():
    each, shapes = model("written"), {}
    for path, site in sites(each).items():
        site.on_forward(lambda x, path=path: shapes.update({path: tuple(x.shape)}), in_evaluation=True)
    each(tokens_BT(3, 5))
    assert {path: shapes[path] for path in ("embedded", "final", "logits")} == {
        "embedded": (3, 5, 32),
        "final": (3, 5, 32),
        "logits": (3, 5, 50),
    }
    block = {path.removeprefix("blocks.0."): shape for path, shape in shapes.items() if path.startswith("blocks.0.")}
    assert block == {
        "attention.scores": (3, 2, 5, 5),
        "attention.weights": (3, 2, 5, 5),
        "attention.mixed": (3, 5, 32),
        "mlp.hidden": (3, 5, 128),
        "stream": (3, 5, 32),
    }


@pytest.mark.parametrize("path", ["fused", "written"])
def test_reading_everywhere_moves_no_bit(path):
    each, seen = model(path), []
    before = trained(each)
    for site in sites(each).values():
        site.on_forward(lambda x: seen.append(x.mean().item()), in_evaluation=True)
        site.on_backward(lambda gradient: seen.append(gradient.mean().item()))
    assert same(before, trained(each))
    assert len(seen) == 2 * len(sites(each))


def test_the_weights_are_rows_of_shares_and_the_future_gets_none():
    each, seen = model("written"), []
    find_sites(each, "blocks.0.attention.weights")["blocks.0.attention.weights"].on_forward(seen.append, in_evaluation=False)
    each(tokens_BT())
    (weights_BNTS,) = seen
    assert torch.allclose(weights_BNTS.sum(-1), torch.ones(3, 2, 16))
    assert weights_BNTS.triu(1).abs().max() == 0


def test_scores_that_a_function_replaces_are_still_masked():
    each = model("written")
    for site in find_sites(each, "*.scores").values():
        site.on_forward(lambda scores: torch.ones_like(scores), in_evaluation=True)
    changed_BT = tokens_BT()
    changed_BT[:, 10:] = 7
    assert torch.allclose(each(tokens_BT())[:, :10], each(changed_BT)[:, :10], atol=1e-6)


def test_what_a_function_returns_replaces_the_activation_in_both_directions():
    site = Site()
    site.on_forward(lambda x: 3 * x, in_evaluation=False)
    site.on_backward(lambda gradient: gradient + 10)
    x = torch.ones(2, requires_grad=True)
    y = site(x)
    y.sum().backward()
    assert y.tolist() == [3, 3] and x.grad.tolist() == [33, 33]


def test_functions_run_in_the_order_of_their_registration_until_removed():
    site = Site()
    site.on_forward(lambda x: x + 1, in_evaluation=False)
    doubling = site.on_forward(lambda x: 2 * x, in_evaluation=False)
    assert site(torch.zeros(1)).item() == 2
    doubling.remove()
    assert site(torch.zeros(1)).item() == 1


def test_removed_functions_leave_the_model_as_it_was():
    each = model()
    before = trained(each)
    handles = [site.on_forward(lambda x: 2 * x, in_evaluation=True) for site in sites(each).values()]
    handles += [site.on_backward(lambda gradient: 2 * gradient) for site in sites(each).values()]
    assert not same(before, trained(each))
    for handle in handles:
        handle.remove()
    assert same(before, trained(each))


def test_in_evaluation_only_those_that_asked_for_it_are_called():
    site, called = Site(), []
    site.on_forward(lambda x: called.append("training only"), in_evaluation=False)
    site.on_forward(lambda x: called.append("always"), in_evaluation=True)
    site.eval()(torch.ones(1))
    assert called == ["always"]


def test_a_replaced_gradient_reaches_only_what_lies_before_the_site():
    each = model()
    before = trained(each)[1]
    sites(each)["blocks.0.stream"].on_backward(torch.zeros_like)
    after = trained(each)[1]
    assert all(torch.equal(after[name], before[name]) for name in before if name.startswith(("blocks.1", "final_norm")))
    assert all(after[name].abs().max() == 0 for name in before if name.startswith("blocks.0"))


def test_a_replacement_of_another_shape_is_refused():
    site = Site()
    site.on_forward(lambda x: x.sum(), in_evaluation=False)
    with pytest.raises(ConfigError, match=r"\(2, 3\).*returned a tensor of shape \(\)"):
        site(torch.ones(2, 3))


def test_a_pattern_finds_its_sites_and_an_unknown_one_lists_them():
    each = model()
    assert list(find_sites(each, "blocks.*.mlp.hidden")) == ["blocks.0.mlp.hidden", "blocks.1.mlp.hidden"]
    with pytest.raises(ConfigError, match=r"(?s)no site matches 'mlp\.hiden'.*blocks\.1\.mlp\.hidden"):
        find_sites(each, "mlp.hiden")


@pytest.mark.parametrize("pattern", ["blocks.0.attention.scores", "*.weights"])
def test_under_the_fused_path_the_sites_of_the_written_one_say_how_to_get_them(pattern):
    with pytest.raises(ConfigError, match=r"add device\.attention=written"):
        find_sites(model("fused"), pattern)
    assert find_sites(model("written"), pattern)


def test_a_compiled_model_hears_its_hooks_also_when_another_one_was_compiled_before():
    """torch's compiler once took an empty table of functions for empty in every later model of the process."""
    outputs = []
    for times in (1.0, 10.0):
        site = Site()
        if times != 1.0:
            site.on_forward(lambda x, times=times: x * times, in_evaluation=True)
        compiled = torch.compile(site, backend="eager")
        outputs.append(compiled(torch.ones(3))[0].item())
    torch._dynamo.reset()
    assert outputs == [1.0, 10.0]
