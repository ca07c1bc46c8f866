"""Every optimizer that conf/ offers: it learns, it follows its groups and its rate, and a resume goes on to the bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from lab.build import factory
from lab.checkpoint import Checkpoint, latest, save
from lab.config.options import without_ranges
from lab.errors import ConfigError
from lab.model.matrix import Embedding, Linear
from lab.model.norm.layernorm import LayerNorm
from lab.train.groups import parameter_groups
from lab.train.optimizer.memory import memory, remember
from tests.conftest import CHECKOUT

OPTIONS = {path.stem: without_ranges(yaml.safe_load(path.read_text())) for path in (CHECKOUT / "conf/trainer/optimizer").glob("*.yaml")}
DECAY = {"matrices": True, "embeddings": True, "vectors": False}
RATE = {"matrices": 1.0, "embeddings": 1.0, "vectors": 1.0}
needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="Muon came with torch 2.9")


def mark(name: str) -> Any:
    return pytest.param(name, marks=needs_muon) if name == "muon" else name


every = pytest.mark.parametrize("option", [mark(name) for name in sorted(OPTIONS)])
decoupled = pytest.mark.parametrize("option", [mark(name) for name in ("adamw", "lion", "muon")])
both = pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])


class World(nn.Module):
    """A model with a parameter of every group, and two matrices of unlike shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.up, self.norm, self.down, self.head = (
            Embedding(7, 8),
            Linear(8, 16),
            LayerNorm(16, eps=1e-5),
            Linear(16, 8),
            Linear(8, 7),
        )
        draw = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=draw))

    def forward(self, tokens_T: Tensor) -> Tensor:
        return self.head(self.down(self.norm(self.up(self.embedding(tokens_T)))))


def made(option: str, model: nn.Module, *, fused: bool = True, decay: Any = DECAY, rate: Any = RATE, **values: Any) -> Optimizer:
    """The optimizer of an option file, with some of its values changed."""
    groups = parameter_groups(model.named_parameters(), decay, rate)
    return factory(OPTIONS[option] | values, [])(groups, fused=fused)


def gradients(model: World, step: int) -> None:
    """Gradients of the cross-entropy on this step's own text."""
    draw = torch.Generator().manual_seed(step)
    tokens_T = torch.randint(7, (33,), generator=draw)
    model.zero_grad()
    F.cross_entropy(model(tokens_T[:-1]), tokens_T[1:]).backward()


def no_gradients(model: World) -> None:
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)


def take(model: World, optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        gradients(model, step)
        optimizer.step()


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@every
@both
def test_it_brings_every_parameter_nearer_to_a_quadratics_minimum(option, fused):
    model = World()
    optimizer = made(option, model, fused=fused, decay=dict.fromkeys(DECAY, False))
    first = {name: each.norm() for name, each in weights(model).items()}
    for _ in range(50):
        model.zero_grad()
        torch.stack([parameter.square().sum() / 2 for parameter in model.parameters()]).sum().backward()
        optimizer.step()
    assert all(each.norm() < 0.995 * first[name] for name, each in weights(model).items())


@every
@both
def test_a_run_that_is_saved_and_taken_up_ends_at_the_same_bits(tmp_path, option, fused):
    whole = World()
    take(whole, made(option, whole, fused=fused), range(6))

    first = World()
    optimizer = made(option, first, fused=fused)
    take(first, optimizer, range(3))
    save(tmp_path, Checkpoint(3, {"model": first.state_dict(), "optimizer": memory(optimizer, first)}, {}), "me")
    found, _ = latest(tmp_path, "me")
    second = World()
    fresh = made(option, second, fused=fused)
    second.load_state_dict(found.state["model"])
    remember(fresh, second, found.state["optimizer"])
    take(second, fresh, range(3, 6))

    assert same(weights(second), weights(whole))


@every
def test_a_forgotten_memory_would_show(option):
    """Else the test above couldn't fail."""
    whole, forgetful = World(), World()
    take(whole, made(option, whole), range(6))
    take(forgetful, made(option, forgetful), range(3))
    take(forgetful, made(option, forgetful), range(3, 6))
    assert not same(weights(forgetful), weights(whole))


@every
def test_a_rate_that_is_set_between_two_steps_is_the_next_steps(option):
    model = World()
    optimizer = made(option, model)
    take(model, optimizer, range(2))
    before = weights(model)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    take(model, optimizer, range(2, 3))
    assert same(weights(model), before)


@every
def test_a_step_draws_nothing_from_torchs_global_generator(option):
    model = World()
    before = torch.get_rng_state()
    take(model, made(option, model), range(2))
    assert torch.equal(torch.get_rng_state(), before)


@every
@pytest.mark.parametrize("frozen", ["matrices", "embeddings", "vectors"])
def test_a_groups_share_multiplies_its_rate_and_a_share_of_none_freezes_it(option, frozen):
    model, plain = World(), World()
    rate = {name: 0.0 if name == frozen else 2.0 for name in RATE}
    optimizer, at_one = made(option, model, rate=rate), made(option, plain)
    assert [group["lr"] for group in optimizer.param_groups] == [rate[group["name"]] * group["lr"] for group in at_one.param_groups]
    before = weights(model)
    take(model, optimizer, range(2))
    after = weights(model)
    for group in parameter_groups(model.named_parameters(), DECAY, RATE):
        moved = {name for name, _ in group.named_parameters if not torch.equal(before[name], after[name])}
        assert moved == (set() if group.name == frozen else {name for name, _ in group.named_parameters})


@decoupled
@pytest.mark.parametrize("decaying", ["matrices", "embeddings", "vectors"])
def test_decay_pulls_on_the_groups_that_decay_and_on_nothing_else(option, decaying):
    model = World()
    rate = {"matrices": 1.0, "embeddings": 0.5, "vectors": 2.0}
    optimizer = made(option, model, decay={name: name == decaying for name in DECAY}, rate=rate, weight_decay=0.25)
    before = weights(model)
    no_gradients(model)
    optimizer.step()
    after = weights(model)
    for group in optimizer.param_groups:
        kept = 1 - group["lr"] * 0.25 if group["name"] == decaying else 1.0
        for name, parameter in model.named_parameters():
            if any(parameter is each for each in group["params"]):
                torch.testing.assert_close(after[name], before[name] * kept, rtol=1e-6, atol=0)
                assert torch.equal(after[name], before[name]) == (group["name"] != decaying)


@decoupled
def test_decay_leaves_the_gradients_share_of_an_update_alone(option):
    free, decaying = World(), World()
    before = weights(free)
    optimizer = made(option, decaying, decay=dict.fromkeys(DECAY, True), weight_decay=0.25)
    take(free, made(option, free, weight_decay=0.0), range(1))
    take(decaying, optimizer, range(1))
    rates = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in decaying.named_parameters():
        pulled = weights(free)[name] - weights(decaying)[name]
        torch.testing.assert_close(pulled, before[name] * rates[id(parameter)] * 0.25, rtol=1e-2, atol=1e-6)


def test_sgds_decay_enters_the_momentum():
    model = World()
    optimizer = made("sgd", model, lr=0.5, momentum=0.5, nesterov=False, weight_decay=0.1)
    before = weights(model)["up.weight"]
    for _ in range(2):
        no_gradients(model)
        optimizer.step()
    once = before * (1 - 0.5 * 0.1)
    torch.testing.assert_close(weights(model)["up.weight"], once - 0.5 * (0.5 * 0.1 * before + 0.1 * once))


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(ConfigError, match="requires a momentum"):
        made("sgd", World(), momentum=0.0, nesterov=True)


@both
def test_adamw_trains_as_torchs_own_in_two_groups_to_the_bit(fused):
    """As the first releases called it: everything with two dimensions decays, nothing else does."""
    ours, theirs = World(), World()
    take(ours, made("adamw", ours, fused=fused, lr=1e-2), range(5))
    groups = [
        {"params": [each for each in theirs.parameters() if each.ndim >= 2], "weight_decay": 0.1},
        {"params": [each for each in theirs.parameters() if each.ndim < 2], "weight_decay": 0.0},
    ]
    take(theirs, AdamW(groups, lr=1e-2, betas=(0.9, 0.99), eps=1e-8, fused=fused), range(5))
    assert same(weights(ours), weights(theirs))


def test_lion_moves_by_the_papers_formula():
    model, lr, decay = World(), 0.01, 0.5
    optimizer = made("lion", model, lr=lr, weight_decay=decay, betas=[0.9, 0.99], decay=dict.fromkeys(DECAY, True))
    expected = weights(model)
    momentum = {name: torch.zeros_like(each) for name, each in expected.items()}
    for step in range(3):
        gradients(model, step)
        for name, parameter in model.named_parameters():
            direction = (0.9 * momentum[name] + 0.1 * parameter.grad).sign()
            expected[name] = expected[name] - lr * (direction + decay * expected[name])
            momentum[name] = 0.99 * momentum[name] + 0.01 * parameter.grad
        optimizer.step()
    for name, each in weights(model).items():
        torch.testing.assert_close(each, expected[name], rtol=1e-5, atol=1e-6)


@needs_muon
def test_muon_is_for_the_matrices_and_adamw_for_the_rest():
    model = World()
    optimizer = made("muon", model)
    take(model, optimizer, range(1))
    held = memory(optimizer, model)["state"]
    assert {name for name, state in held.items() if "momentum_buffer" in state} == {"up.weight", "down.weight"}
    assert {name for name, state in held.items() if "exp_avg" in state} == {"embedding.weight", "norm.weight", "head.weight"}


@needs_muon
@pytest.mark.parametrize(("scale", "size"), [("match_rms_adamw", 0.2 * 16**0.5), ("original", 2**0.5)])
def test_muons_update_of_a_matrix_is_nearly_orthogonal(scale, size):
    model = World()
    before = weights(model)["up.weight"]
    model.up.weight.grad = torch.randn((16, 8), generator=torch.Generator().manual_seed(0))
    made("muon", model, scale=scale, lr=0.1, weight_decay=0.0).step()
    stretches = torch.linalg.svdvals(before - weights(model)["up.weight"]) / (0.1 * size)
    assert stretches.min() > 0.5 and stretches.max() < 1.5, stretches


@needs_muon
@pytest.mark.parametrize("left", ["up", "norm"])
def test_muon_trains_a_model_that_has_parameters_for_one_half_only(left):
    model = World()
    for name in [name for name, _ in model.named_children()]:
        if name != left:
            delattr(model, name)
    before = weights(model)
    optimizer = made("muon", model)
    no_gradients(model)
    for parameter in model.parameters():
        parameter.grad += torch.arange(parameter.numel()).reshape(parameter.shape)
    optimizer.step()
    assert not same(weights(model), before)


def test_an_older_torch_without_muon_says_so_and_the_way_out(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(ConfigError, match=r"torch 2\.9.*choose another trainer/optimizer"):
        made("muon", World())
