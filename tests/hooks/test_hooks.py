"""What each hook does to a step."""

from __future__ import annotations

import pytest
import torch

from lab.errors import ConfigError
from tests.train.tiny import HOOKS, parts

CLIP, Z = {"grad_clip": HOOKS["grad_clip"]}, {"z_loss": HOOKS["z_loss"]}


def gradients(folder, hooks):
    made, seen = parts(folder, hooks=hooks), []
    made.loop.state.optimizer.register_step_pre_hook(lambda *_: seen.extend(each.grad.clone() for each in made.model.parameters()))
    made.loop.update(*made.batches.batch(0))
    return made.loop.state, seen


def norm(tensors):
    return torch.stack([each.norm() for each in tensors]).norm().item()


def test_grad_clip_scales_all_gradients_to_its_norm_and_keeps_their_direction(tmp_path):
    plain_state, plain = gradients(tmp_path, {})
    state, clipped = gradients(tmp_path, CLIP)
    assert norm(plain) == pytest.approx(plain_state.gradient_norm) and norm(plain) > 0.3
    assert norm(clipped) == pytest.approx(0.3)
    assert state.gradient_norm == plain_state.gradient_norm, "the row shows the norm before clipping"
    assert all(torch.allclose(a / norm(plain), b / 0.3, atol=1e-6) for a, b in zip(plain, clipped, strict=True))


def test_grad_clip_leaves_a_small_gradient_untouched(tmp_path):
    _, plain = gradients(tmp_path, {})
    _, clipped = gradients(tmp_path, {"grad_clip": HOOKS["grad_clip"] | {"max_norm": 100.0}})
    assert all(torch.equal(a, b) for a, b in zip(plain, clipped, strict=True))


def test_z_loss_adds_a_loss_of_its_own_that_the_training_loss_does_not_show(tmp_path):
    plain_state, plain = gradients(tmp_path, {})
    state, penalised = gradients(tmp_path, Z)
    assert state.loss == plain_state.loss
    with torch.no_grad():
        logits_BTV = parts(tmp_path).model(state.inputs_BT)
    assert state.auxiliary["z_loss"] == pytest.approx(1e-2 * logits_BTV.logsumexp(-1).square().mean().item(), rel=1e-5)
    assert any(not torch.equal(a, b) for a, b in zip(plain, penalised, strict=True))


def test_the_order_in_which_hooks_are_typed_moves_no_bit(tmp_path):
    orders = [dict(sorted(HOOKS.items(), reverse=reverse)) for reverse in (False, True)]
    made = [parts(tmp_path, hooks=hooks).loop.hooks for hooks in orders]
    assert list(orders[0]) != list(orders[1])
    assert list(made[0]) == list(made[1])


def test_an_option_that_calls_a_hook_an_observer_against_its_class_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the class says observes = False, its option says True"):
        parts(tmp_path, hooks={"grad_clip": HOOKS["grad_clip"] | {"observes": True}})
