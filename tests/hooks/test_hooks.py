"""Each hook that changes a run does exactly what it says, and each alone."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from lab.errors import ConfigError
from lab.files import read_rows
from lab.hooks.ema import EMA
from lab.hooks.length_warmup import LengthWarmup
from lab.hooks.nudge import Nudge
from lab.model.site import sites
from lab.train.loss import cross_entropy
from tests.hooks.worlds import OPTIONS, with_hook
from tests.train.tiny import HOOKS, parts, train

CLIP, Z = {"grad_clip": HOOKS["grad_clip"]}, {"z_loss": HOOKS["z_loss"]}


def hooks(**values):
    """Hooks at their options' values but for those given: `hooks(sam={"rho": 0.1})`."""
    return {name: OPTIONS[name] | changed for name, changed in values.items()}


def gradients(folder, hooks, *, step=0, **changes):
    """One update: the state after it, and the gradients that reached the optimizer, by parameter name."""
    made, seen = parts(folder, hooks=hooks, **changes), {}
    made.loop.state.step = step
    named = dict(made.model.named_parameters())
    made.loop.state.optimizer.register_step_pre_hook(lambda *_: seen.update({name: each.grad.clone() for name, each in named.items()}))
    made.loop.update(*made.batches.batch(0))
    return made.loop.state, seen


def norm(tensors):
    return torch.stack([each.norm() for each in tensors.values()]).norm().item()


def weights(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def equal(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


def close(a, b, atol=1e-6):
    return all(torch.allclose(a[name], b[name], atol=atol) for name in a | b)


# -- the order


def test_the_order_in_which_hooks_are_typed_moves_no_bit(tmp_path):
    orders = [dict(sorted(HOOKS.items(), reverse=reverse)) for reverse in (False, True)]
    made = [parts(tmp_path, hooks=hooks).loop.hooks for hooks in orders]
    assert list(orders[0]) != list(orders[1])
    assert list(made[0]) == list(made[1])


def test_observers_speak_first_then_the_second_pass_then_noise_and_clipping_last(tmp_path):
    named = {name: {} for name in ("grad_clip", "grad_noise", "sam", "update_ratios", "gradient_norms")}
    assert list(parts(tmp_path, hooks=hooks(**named)).loop.hooks) == ["gradient_norms", "update_ratios", "sam", "grad_noise", "grad_clip"]


def test_an_option_that_calls_a_hook_an_observer_against_its_class_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the class says observes = False, its option says True"):
        parts(tmp_path, hooks={"grad_clip": HOOKS["grad_clip"] | {"observes": True}})


# -- hooks that change gradients


def test_grad_clip_scales_all_gradients_to_its_norm_and_keeps_their_direction(tmp_path):
    plain_state, plain = gradients(tmp_path, {})
    state, clipped = gradients(tmp_path, CLIP)
    assert norm(plain) == pytest.approx(plain_state.gradient_norm) and norm(plain) > 0.3
    assert norm(clipped) == pytest.approx(0.3)
    assert state.gradient_norm == plain_state.gradient_norm, "the row shows the norm before clipping"
    assert all(torch.allclose(plain[name] / norm(plain), clipped[name] / 0.3, atol=1e-6) for name in plain)


def test_grad_clip_leaves_a_small_gradient_untouched(tmp_path):
    assert equal(gradients(tmp_path, {})[1], gradients(tmp_path, hooks(grad_clip={"max_norm": 100.0}))[1])


@pytest.mark.parametrize("step", [0, 7])
def test_grad_noise_has_the_annealed_deviation(tmp_path, step):
    _, plain = gradients(tmp_path, {}, step=step)
    _, noisy = gradients(tmp_path, hooks(grad_noise={"eta": 0.04, "gamma": 0.55}), step=step)
    noise = torch.cat([(noisy[name] - plain[name]).flatten() for name in plain])
    deviation = (0.04 / (1 + step) ** 0.55) ** 0.5
    assert noise.std().item() == pytest.approx(deviation, rel=0.02)
    assert abs(noise.mean().item()) < 4 * deviation / len(noise) ** 0.5


def test_grad_noise_is_another_at_each_step_and_parameter_and_the_same_in_a_deeper_model(tmp_path):
    loud = hooks(grad_noise={"eta": 1e6, "gamma": 0.0})  # so loud that nothing else is left of a gradient
    _, first = gradients(tmp_path, loud)
    _, second = gradients(tmp_path, loud, step=1)
    _, deeper = gradients(tmp_path, loud, model__n_layers=3)
    assert not torch.allclose(first["blocks.0.mlp.up.weight"], second["blocks.0.mlp.up.weight"], rtol=0.01)
    assert not torch.allclose(first["blocks.0.mlp.up.weight"], first["blocks.1.mlp.up.weight"], rtol=0.01)
    assert all(torch.allclose(first[name], deeper[name], atol=1.0) for name in first)


def test_clipping_comes_after_noise(tmp_path):
    _, seen = gradients(tmp_path, hooks(grad_noise={"eta": 0.04}, grad_clip={"max_norm": 0.3}))
    assert norm(seen) == pytest.approx(0.3)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_sam_takes_the_gradient_uphill_of_the_weights_with_the_same_dropout(tmp_path, dropout):
    state, seen = gradients(tmp_path, hooks(sam={"rho": 0.1}), model__dropout=dropout)
    made = parts(tmp_path, model__dropout=dropout)
    batch = made.batches.batch(0)

    def gradients_here():
        made.loop.dropout.begin(0, 0)
        made.model.zero_grad()
        loss = cross_entropy(made.model(batch[0]), batch[1])
        loss.backward()
        return loss.item(), {name: each.grad.clone() for name, each in made.model.named_parameters()}

    loss, first = gradients_here()
    with torch.no_grad():
        for name, parameter in made.model.named_parameters():
            parameter.add_(first[name] * 0.1 / norm(first))
    _, second = gradients_here()
    assert state.loss == loss and state.gradient_norm == pytest.approx(norm(first)), "the row shows the first pass"
    assert close(seen, second) and not close(seen, first, atol=1e-4)


def test_sam_puts_the_weights_back_to_the_bit(tmp_path):
    made, seen = parts(tmp_path, hooks=hooks(sam={"rho": 0.5})), {}
    before = weights(made.model)
    made.loop.state.optimizer.register_step_pre_hook(lambda *_: seen.update(weights(made.model)))
    made.loop.update(*made.batches.batch(0))
    assert equal(seen, before)


def test_sam_with_no_radius_is_a_plain_step_also_with_noise_at_sites_and_micro_batches(tmp_path):
    changes = {"model__dropout": 0.2, "device__micro_batch": 2}
    _, plain = gradients(tmp_path, hooks(activation_noise={}), **changes)
    _, again = gradients(tmp_path, hooks(activation_noise={}, sam={"rho": 0.0}), **changes)
    assert equal(plain, again)


def test_gradient_scale_scales_what_lies_before_its_site_and_nothing_after(tmp_path):
    before = ("embedding", "position", "blocks.0")
    _, plain = gradients(tmp_path, {}, model__tie_embeddings=False)
    _, scaled = gradients(tmp_path, hooks(gradient_scale={"scale": 0.25, "site": "blocks.0.stream"}), model__tie_embeddings=False)
    assert equal(scaled, {name: each * (0.25 if name.startswith(before) else 1) for name, each in plain.items()})
    assert {name.split(".")[0] for name in plain if not name.startswith(before)} == {"blocks", "final_norm", "head"}


# -- hooks that change weights


@pytest.mark.parametrize(("decay", "warmup"), [(0.5, 0), (0.9, 0), (0.9, 4)])
def test_ema_is_the_average_that_one_would_make_by_hand(tmp_path, decay, warmup):
    made = parts(tmp_path, hooks=hooks(ema={"decay": decay, "warmup": warmup}))
    average = weights(made.model)
    for step in range(5):
        made.loop.update(*made.batches.batch(step))
        kept = min(decay, (step + 1) / (warmup + step + 1))
        average = {name: kept * average[name] + (1 - kept) * each for name, each in weights(made.model).items()}
    found = made.loop.hooks["ema"].evaluation_weights(made.loop.state)
    assert close(found, average)
    assert not close(found, weights(made.model), atol=1e-3), "it is the raw weights: this test could not fail"


def test_ema_leaves_the_training_as_it_is_and_the_raw_weights_are_judged_beside(tmp_path):
    plain, averaged = train(tmp_path / "plain"), train(tmp_path / "averaged", **with_hook("ema", decay=0.7))
    assert averaged.digests["weights"] == plain.digests["weights"] != averaged.digests["judged_weights"]
    own, beside = (read_rows(tmp_path / name / "metrics.jsonl")[0] for name in ("plain", "averaged"))

    def column(rows, name):
        return [row[name] for row in rows if name in row]

    for kind in ("curve", "validation"):
        raw, judged = column(beside, f"{kind}_raw_bits_per_byte"), column(beside, f"{kind}_bits_per_byte")
        assert raw == column(own, f"{kind}_bits_per_byte") and judged[-1] != raw[-1]
    assert column(beside, "curve_bits_per_byte")[0] == column(own, "curve_bits_per_byte")[0], "before the first step they are the same"


def test_ema_keeps_copies(tmp_path):
    hook, model = EMA(decay=0.0, warmup=0), parts(tmp_path).model
    hook.attach(model, None)
    assert all(each.data_ptr() != hook.average[name].data_ptr() for name, each in model.named_parameters())


def test_nudge_moves_every_weight_by_its_last_bits_and_none_by_more(tmp_path):
    made = parts(tmp_path, hooks=hooks(nudge={}))
    before = weights(made.model)
    made.loop.hooks["nudge"].batch(made.loop.state)
    moved = {name: (each.double() / before[name].double() - 1).abs() for name, each in weights(made.model).items()}
    assert all((before[name] != 0).all() for name in before)
    assert min(each.min() for each in moved.values()) > 0
    assert max(each.max() for each in moved.values()) < 1e-7 + 2**-24
    signs = torch.cat([(each > before[name]).double().flatten() for name, each in weights(made.model).items()])
    assert signs.mean().item() == pytest.approx(0.5, abs=0.02)


def test_nudge_moves_the_initial_weights_only_and_another_seed_otherwise(tmp_path):
    made = parts(tmp_path, hooks=hooks(nudge={}))
    before = weights(made.model)
    made.loop.state.step = 1
    made.loop.hooks["nudge"].batch(made.loop.state)
    assert equal(weights(made.model), before)
    made.loop.state.step = 0
    moved = []
    for seed in (0, 1):
        made.model.load_state_dict(before)
        made.loop.state.seed = seed
        made.loop.hooks["nudge"].batch(made.loop.state)
        moved.append(weights(made.model))
    assert not equal(*moved)


def test_another_draw_of_nudge_has_other_signs_at_the_same_seed(tmp_path):
    made = parts(tmp_path, hooks=hooks(nudge={}))
    before = weights(made.model)
    moved = []
    for draw in (0, 0, 1):
        made.model.load_state_dict(before)
        Nudge(size=1e-7, draw=draw).batch(made.loop.state)
        moved.append(weights(made.model))
    assert equal(moved[0], moved[1])
    signs = [torch.cat([(each > before[name]).double().flatten() for name, each in one.items()]) for one in moved]
    assert (signs[0] == signs[2]).double().mean().item() == pytest.approx(0.5, abs=0.02)


# -- hooks that change the loss


def test_z_loss_adds_a_loss_of_its_own_that_the_training_loss_does_not_show(tmp_path):
    plain_state, plain = gradients(tmp_path, {})
    state, penalised = gradients(tmp_path, Z)
    assert state.loss == plain_state.loss
    with torch.no_grad():
        logits_BTV = parts(tmp_path).model(state.inputs_BT)
    assert state.auxiliary["z_loss"] == pytest.approx(1e-2 * logits_BTV.logsumexp(-1).square().mean().item(), rel=1e-5)
    assert not equal(plain, penalised)


def test_label_smoothing_trains_as_torchs_does_and_logs_the_plain_loss(tmp_path):
    state, seen = gradients(tmp_path, hooks(label_smoothing={"share": 0.1}))
    made = parts(tmp_path)
    inputs_BT, targets_BT = made.batches.batch(0)
    logits_BTV = made.model(inputs_BT)
    smoothed = F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), label_smoothing=0.1)
    smoothed.backward()
    assert close(seen, {name: each.grad for name, each in made.model.named_parameters()})
    plain = cross_entropy(logits_BTV, targets_BT).item()
    assert state.loss == plain and state.auxiliary["label_smoothing"] == pytest.approx(smoothed.item() - plain, abs=1e-6)
    assert not close(seen, gradients(tmp_path, {})[1], atol=1e-3)


# -- hooks that change the forward pass


def test_attention_at_temperature_1_moves_no_bit(tmp_path):
    plain = train(tmp_path / "plain", device__attention="written")
    warm = train(tmp_path / "warm", **with_hook("attention_temperature", temperature=1.0))
    assert warm.digests == plain.digests


@pytest.mark.parametrize("training", [True, False])
def test_attention_at_temperature_one_half_is_that_of_doubled_queries(tmp_path, training):
    made = parts(tmp_path, **with_hook("attention_temperature", temperature=0.5))
    plain = parts(tmp_path, device__attention="written")
    with torch.no_grad():
        for model in (made.model, plain.model):
            for block in model.blocks:
                block.attention.query.weight.mul_(20)  # initial scores are so small that no temperature would show
        before = plain.model(plain.batches.batch(0)[0])
        for block in plain.model.blocks:
            block.attention.query.weight.mul_(2)
        logits = [each.model.train(training)(plain.batches.batch(0)[0]) for each in (made, plain)]
    assert torch.allclose(*logits, atol=1e-6) and not torch.allclose(before, logits[0], atol=1e-4)


@pytest.mark.parametrize("name", ["attention_temperature", "attention_entropy"])
def test_a_hook_on_scores_or_weights_is_refused_on_the_fused_path_with_the_way_out(tmp_path, name):
    with pytest.raises(ConfigError, match=r"add device\.attention=written"):
        parts(tmp_path, hooks=hooks(**{name: {}}))


@pytest.mark.parametrize("name", ["activation_noise", "gradient_scale", "activation_stats"])
def test_a_site_that_is_not_there_is_refused_with_those_that_are(tmp_path, name):
    with pytest.raises(ConfigError, match=r"no site matches 'blocks.9.stream'[\s\S]*blocks.1.stream"):
        parts(tmp_path, hooks=hooks(**{name: {"site": "blocks.9.stream"}}))


def test_activation_noise_multiplies_by_its_deviation_around_1(tmp_path):
    made = parts(tmp_path, hooks=hooks(activation_noise={"std": 0.1}))
    hook = made.loop.hooks["activation_noise"]
    hook.batch(made.loop.state)
    factor = hook.noisy("blocks.0.mlp.hidden", torch.ones(64, 1000))
    assert factor.mean().item() == pytest.approx(1, abs=0.002) and factor.std().item() == pytest.approx(0.1, rel=0.02)
    assert torch.equal(hook.noisy("blocks.0.mlp.hidden", torch.full((64, 1000), 2.0)), 2 * factor)


def test_activation_noise_is_another_at_each_step_micro_batch_and_site(tmp_path):
    made = parts(tmp_path, hooks=hooks(activation_noise={}))
    hook, state, x = made.loop.hooks["activation_noise"], made.loop.state, torch.ones(8)
    hook.batch(state)
    drawn = []
    for state.step in (0, 1):
        for state.micro_batch in (0, 1):
            drawn += [hook.noisy(path, x) for path in ("blocks.0.mlp.hidden", "blocks.1.mlp.hidden")]
    assert len({tuple(each.tolist()) for each in drawn}) == 8


def test_activation_noise_is_there_in_training_and_not_in_evaluation(tmp_path):
    made, plain = parts(tmp_path, hooks=hooks(activation_noise={"std": 0.5})), parts(tmp_path)
    inputs_BT, _ = made.batches.batch(0)
    made.loop.hooks["activation_noise"].batch(made.loop.state)
    with torch.no_grad():
        assert not torch.equal(made.model(inputs_BT), plain.model(inputs_BT))
        assert torch.equal(made.model.eval()(inputs_BT), plain.model.eval()(inputs_BT))
    assert len(sites(plain.model)["blocks.0.mlp.hidden"].forward_functions) == 0


# -- hooks that change the batch


@pytest.mark.parametrize(
    ("whole", "start", "share", "lengths"),
    [
        (64, 8, 0.4, [8, 16, 32, 32, 64, 64, 64, 64, 64, 64]),
        (16, 8, 0.0, [16] * 10),
        (12, 1, 0.9, [1, 2, 3, 4, 4, 6, 6, 6, 6, 12]),
        (13, 8, 0.5, [13] * 10),  # a prime has no pieces
        (4, 8, 0.5, [4] * 10),  # shorter than the start
    ],
)
def test_length_warmup_grows_over_its_share_of_the_budget_by_divisors(whole, start, share, lengths):
    hook = LengthWarmup(start=start, share=share)
    assert [hook.length(whole, step, 10) for step in range(10)] == lengths


def test_length_warmup_keeps_every_token_of_a_step_once_and_its_target(tmp_path):
    made = parts(tmp_path, hooks=hooks(length_warmup={"start": 4, "share": 0.5}))
    seen = []
    for step in range(12):
        inputs_BT, targets_BT = made.batches.batch(step)
        made.loop.update(inputs_BT, targets_BT)
        state = made.loop.state
        seen.append(state.inputs_BT.shape[1])
        assert torch.equal(state.inputs_BT.flatten(), inputs_BT.flatten()) and torch.equal(state.targets_BT.flatten(), targets_BT.flatten())
        assert state.tokens == 64 * (step + 1)
    assert seen == sorted(seen) and set(seen) == {4, 8, 16}


def test_length_warmup_takes_as_many_steps_and_tokens_as_without(tmp_path):
    plain, warmed = train(tmp_path / "plain"), train(tmp_path / "warmed", **with_hook("length_warmup"))
    assert (warmed.step, warmed.tokens) == (plain.step, plain.tokens)
    assert math.isfinite(warmed.metrics["validation_bits_per_byte"])
