"""One update: its golden numbers, its micro-batches, its divergence, and the hooks that it calls."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lab.errors import ConfigError
from lab.model.site import find_sites
from lab.train.hook import METHODS, in_order, refuse_unheard
from tests.train.tiny import HOOKS, parts


def step(folder, number=0, **changes):
    """The loop after one update on batch `number`, with the gradients that the optimizer saw."""
    made = parts(folder, **changes)
    seen = {}
    made.loop.state.optimizer.register_step_pre_hook(
        lambda *_: seen.update({name: each.grad.clone() for name, each in made.model.named_parameters()})
    )
    assert made.loop.update(*made.batches.batch(number)) is None
    return made, seen


GOLDEN = (
    "The same seed gave other numbers. Either something that decides training was changed (initial draws, the order of the data, "
    "the model, the loss, the optimizer): then no earlier run can be compared, and the change must be named. Or this torch build "
    "computes differently by more than rounding."
)


def test_golden_step(tmp_path):
    """Loss and gradient norm of the tiny configuration's first two steps, as they were when this was written."""
    made, _ = step(tmp_path)
    state = made.loop.state
    assert (state.loss, state.gradient_norm) == pytest.approx((4.8539252, 1.2620131), abs=1e-5), GOLDEN
    made.loop.update(*made.batches.batch(1))
    assert (state.loss, state.gradient_norm) == pytest.approx((4.6300797, 1.2566656), abs=1e-4), GOLDEN


@pytest.mark.parametrize("size", [1, 2, 3])
def test_micro_batches_give_the_whole_batchs_gradient_also_when_ragged(tmp_path, size):
    whole, gradient = step(tmp_path, hooks={"z_loss": HOOKS["z_loss"]})
    split, gradients = step(tmp_path, hooks={"z_loss": HOOKS["z_loss"]}, device__micro_batch=size)
    assert split.loop.state.loss == pytest.approx(whole.loop.state.loss, rel=1e-6)
    assert split.loop.state.auxiliary == pytest.approx(whole.loop.state.auxiliary, rel=1e-5)
    for name, expected in gradient.items():
        assert torch.allclose(gradients[name], expected, atol=1e-6, rtol=1e-4), name


def test_bf16_is_near_fp32_and_keeps_fp32_weights(tmp_path):
    full, half = step(tmp_path)[0], step(tmp_path, trainer__precision="bf16", device__attention="written")[0]
    assert full.loop.state.loss != half.loop.state.loss
    assert full.loop.state.loss == pytest.approx(half.loop.state.loss, rel=1e-2)
    assert {each.dtype for each in half.model.parameters()} == {torch.float32}


def test_a_divergence_is_told_and_moves_no_weight(tmp_path):
    made = parts(tmp_path, trainer__divergence_ceiling=0.5)
    before = {name: each.clone() for name, each in made.model.named_parameters()}
    reason = made.loop.update(*made.batches.batch(0))
    assert reason is not None and "above the ceiling of 0.5" in reason
    assert made.loop.state.step == 0
    assert all(torch.equal(each, before[name]) for name, each in made.model.named_parameters())


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_number_that_is_none_is_found_in_the_loss_and_in_the_gradient(tmp_path, where):
    made = parts(tmp_path)
    with torch.no_grad():
        if where == "forward":
            made.model.embedding.weight[0, 0] = float("nan")
        else:
            made.model.final_norm.weight.fill_(0)
    if where == "backward":
        made.model.blocks[1].mlp.down.weight.register_hook(lambda gradient: gradient * float("inf"))
    reason = made.loop.update(*made.batches.batch(0))
    assert reason in ("the training loss is nan", "the gradient norm is nan"), reason


def test_decay_pulls_on_matrices_only(tmp_path):
    matrices, embeddings, vectors = parts(tmp_path).loop.state.optimizer.param_groups
    assert {each.ndim for each in matrices["params"] + embeddings["params"]} == {2}
    assert matrices["weight_decay"] == embeddings["weight_decay"] == 0.1
    assert {each.ndim for each in vectors["params"]} == {1} and vectors["weight_decay"] == 0.0


def test_every_group_follows_the_schedule(tmp_path):
    made = parts(tmp_path)
    made.loop.state.step = 11
    made.loop.update(*made.batches.batch(11))
    assert [group["lr"] for group in made.loop.state.optimizer.param_groups] == pytest.approx([1e-3, 1e-3, 1e-3])


class Recorder:
    observes = False

    def __init__(self):
        self.heard = []

    def __getattr__(self, name):
        if name not in METHODS:
            raise AttributeError(name)
        return lambda *_: self.heard.append(name) or torch.zeros(())


def test_hooks_are_called_in_the_contracts_order(tmp_path):
    hook = {"recorder": {"_target_": "tests.train.test_loop.Recorder"}}
    made = parts(tmp_path, hooks=hook)
    made.loop.update(*made.batches.batch(0))
    heard = made.loop.hooks["recorder"].heard
    assert [each for each in heard if each != "state_dict"] == ["attach", "batch", "loss", "gradients", "after_step"]


class Misspelt:
    observes = False

    def gradient(self, state): ...


class Averaging:
    observes = True

    def evaluation_weights(self, state): ...


class Shy:
    def gradients(self, state): ...


@pytest.mark.parametrize(
    ("hook", "word"),
    [
        (Misspelt(), "none of the methods"),
        (Averaging(), "says that it only observes, and has `evaluation_weights`"),
        (Shy(), "must say `observes"),
    ],
)
def test_a_hook_that_would_not_be_heard_is_refused(hook, word):
    with pytest.raises(ConfigError, match=word):
        refuse_unheard({"mine": hook})


def test_two_hooks_that_both_give_the_weights_to_judge_are_refused():
    judging = type("Judging", (), {"observes": False, "evaluation_weights": lambda self, state: {}})
    with pytest.raises(ConfigError, match=r"hooks a and b both give the weights to judge"):
        refuse_unheard({"a": judging(), "b": judging()})


class Named:
    """A hook that writes its name down when it is called."""

    def __init__(self, name, heard, observes=False, order=None):
        self.name, self.heard, self.observes = name, heard, observes
        if order is not None:
            self.order = order

    def gradients(self, state):
        self.heard.append(self.name)


def test_observers_speak_first_and_the_others_by_order_and_name():
    hooks = {"b": Named("b", []), "last": Named("last", [], order=10), "a": Named("a", []), "first": Named("first", [], order=-1)}
    assert list(in_order({**hooks, "z": Named("z", [], observes=True)})) == ["z", "first", "a", "b", "last"]


class Doubling:
    """Doubles the gradients, and looks at the norm before and after."""

    observes = False

    def gradients(self, state):
        self.before = state.norm_now()
        state.scale_gradients(2.0)


class Listening:
    observes = False
    order = 1

    def gradients(self, state):
        self.heard = state.norm_now()


def test_a_later_hook_sees_the_norm_of_the_gradient_as_it_stands(tmp_path):
    hooks = {name: {"_target_": f"tests.train.test_loop.{name.title()}"} for name in ("doubling", "listening")}
    made, _ = step(tmp_path, hooks=hooks)
    assert made.loop.hooks["doubling"].before == made.loop.state.gradient_norm
    assert made.loop.hooks["listening"].heard == pytest.approx(2 * made.loop.state.gradient_norm)


class Again:
    """Asks for the gradients a second time, at the same weights, in the middle of the step."""

    observes = False

    def gradients(self, state):
        self.first = [each.clone() for each in state.gradients]
        state.scale_gradients(0.0)
        state.loss_and_gradients()
        self.second = [each.clone() for each in state.gradients]


@pytest.mark.parametrize("changes", [{}, {"model__dropout": 0.3}, {"device__micro_batch": 2, "model__dropout": 0.3}], ids=str)
def test_a_second_pass_at_the_same_weights_gives_the_same_gradients_with_the_same_masks(tmp_path, changes):
    made, _ = step(tmp_path, hooks={"again": {"_target_": "tests.train.test_loop.Again"}}, **changes)
    plain, _ = step(tmp_path, **changes)
    hook = made.loop.hooks["again"]
    assert all(torch.equal(a, b) for a, b in zip(hook.first, hook.second, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(made.model.parameters(), plain.model.parameters(), strict=True))
    assert (made.loop.state.loss, made.loop.state.gradient_norm) == (plain.loop.state.loss, plain.loop.state.gradient_norm)


class Dropper:
    observes = False

    def batch(self, state):
        state.inputs_BT, state.targets_BT = state.inputs_BT[:1], state.targets_BT[:1]


def test_a_hook_that_drops_tokens_is_refused_since_runs_are_compared_at_equal_tokens(tmp_path):
    with pytest.raises(ConfigError, match="16 inputs and 16 targets of a step's 64 tokens"):
        step(tmp_path, hooks={"dropper": {"_target_": "tests.train.test_loop.Dropper"}})


class Liar:
    """Says that it only observes."""

    observes = True

    def __init__(self, *, what):
        self.what = what

    def attach(self, model, optimizer):
        if self.what == "site":
            find_sites(model, "final")["final"].on_forward(lambda x: 2 * x, in_evaluation=False)

    def gradients(self, state):
        with torch.no_grad():
            match self.what:
                case "gradient":
                    state.gradients[0].mul_(0.5)
                case "weight":
                    state.model.final_norm.weight.add_(1e-3)
                case "rate":
                    state.optimizer.param_groups[0]["lr"] = 0.0
                case "batch":
                    state.inputs_BT = state.inputs_BT.flip(0)


@pytest.mark.parametrize("what", ["gradient", "weight", "rate", "batch", "site"])
def test_an_observer_that_changes_something_is_refused(tmp_path, what):
    hook = {"_target_": "tests.train.test_loop.Liar", "what": what, "observes": True}
    with pytest.raises(ConfigError, match=r"hooks\.liar says that it only observes"):
        step(tmp_path, hooks={"liar": hook})
    step(tmp_path, hooks={"liar": hook | {"what": "nothing"}})


class Recording:
    """Records after a second pass, beside a hook with a loss."""

    observes = False

    def gradients(self, state):
        state.loss_and_gradients()
        state.record({"seen": 1.0})


def test_a_second_pass_leaves_the_word_with_the_hook_that_asked_for_it(tmp_path):
    hooks = {"recording": {"_target_": "tests.train.test_loop.Recording"}, "z_loss": HOOKS["z_loss"]}
    assert step(tmp_path, hooks=hooks)[0].loop.state.records == {"recording.seen": 1.0}


class Huge:
    observes = False

    def gradients(self, state):
        state.scale_gradients(1e30)


@pytest.mark.parametrize("also", [{}, {"grad_clip": HOOKS["grad_clip"]}], ids=["alone", "clipped"])
def test_a_gradient_that_a_hook_blew_up_is_a_divergence_and_clipping_hides_nothing(tmp_path, also):
    made = parts(tmp_path, hooks={"huge": {"_target_": "tests.train.test_loop.Huge"}} | also)
    assert made.loop.update(*made.batches.batch(0)) == "the gradient norm after the hooks is inf"
    assert made.loop.state.step == 0


class Reader:
    """Looks at a site in a pass of its own, and records what it saw."""

    observes = True

    def gradients(self, state):
        self.seen = []
        state.look_at({"blocks.1.mlp.hidden": self.seen.append})
        state.record({"largest": self.seen[0].abs().max().item()})


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_looking_at_a_site_moves_no_bit(tmp_path, dropout):
    made, _ = step(tmp_path, hooks={"reader": {"_target_": "tests.train.test_loop.Reader", "observes": True}}, model__dropout=dropout)
    plain, _ = step(tmp_path, model__dropout=dropout)
    assert made.loop.state.records == {"reader.largest": made.loop.hooks["reader"].seen[0].abs().max().item()}
    assert made.loop.hooks["reader"].seen[0].shape == (4, 16, 128)
    assert all(torch.equal(a, b) for a, b in zip(made.model.parameters(), plain.model.parameters(), strict=True))
    assert made.model.training and not made.model.blocks[1].mlp.hidden.forward_functions


def test_a_hook_cannot_take_a_columns_name():
    with pytest.raises(ConfigError, match=r"hooks\.loss: .* column"):
        refuse_unheard({"loss": Misspelt()})


def test_dropout_changes_training_and_repeats(tmp_path):
    losses = [step(tmp_path, model__dropout=share)[0].loop.state.loss for share in (0.0, 0.3, 0.3)]
    assert losses[0] != losses[1] == losses[2]


def test_a_model_in_the_loop_is_in_training_mode(tmp_path):
    assert isinstance(parts(tmp_path).model, nn.Module) and parts(tmp_path).model.training


class Watch:
    """Reads everything that it may."""

    observes = True

    def gradients(self, state):
        self.norms = [each.norm().item() for each in state.gradients]

    def after_step(self, state):
        self.weights = {name: each.detach().norm().item() for name, each in state.model.named_parameters()}


class Breaker:
    """Breaks the weights after the last update."""

    observes = False

    def after_step(self, state):
        if state.step == state.steps:
            state.model.final_norm.weight.data.fill_(float("nan"))
