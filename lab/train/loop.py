"""One update, from a batch to new weights. Knows no files and no clock; experiment.py decides what happens between updates.

A run that blows up is an outcome, not an error: `update` returns the reason and leaves the weights as they were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lab.model.dropout import DropoutKeys
from lab.train.hook import Outputs, methods, refuse_unheard
from lab.train.loss import cross_entropy
from lab.train.schedule import Schedule
from lab.train.state import TrainingState

# B batch  T position  V vocabulary


def fp32() -> AbstractContextManager[Any]:
    return nullcontext()


def bf16() -> AbstractContextManager[Any]:
    return torch.autocast("cpu", torch.bfloat16)


PRECISIONS = {"fp32": fp32, "bf16": bf16}


class Loop:
    """Everything that an update needs, and the state that hooks see.

    micro_batch  sequences in one backward pass; None takes the whole batch
    precision    `fp32`, or `bf16` for the forward and backward pass (the loss and the weights stay fp32)
    ceiling      a training loss above this is a divergence, nats per token
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        schedule: Schedule,
        hooks: Mapping[str, Any],
        dropout: DropoutKeys,
        *,
        steps: int,
        micro_batch: int | None,
        precision: str,
        ceiling: float,
    ) -> None:
        assert precision in PRECISIONS, f"precision {precision!r}: known are {', '.join(PRECISIONS)}"
        refuse_unheard(hooks)
        self.state = TrainingState(model, optimizer, steps)
        self.schedule = schedule
        self.hooks = hooks
        self.dropout = dropout
        self.micro_batch = micro_batch
        self.forward_in = PRECISIONS[precision]
        self.ceiling = ceiling
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        self.parameters = list(model.parameters())
        self.losses = methods(hooks, "loss")
        for _, attach in methods(hooks, "attach"):
            attach(model, optimizer)
        model.train()

    def update(self, inputs_BT: Tensor, targets_BT: Tensor) -> str | None:
        """Train on one batch. None, or why the run has diverged; then no weight has moved and `state.step` stands still."""
        state = self.state
        state.inputs_BT, state.targets_BT = inputs_BT, targets_BT
        self.call("batch")
        state.tokens += state.inputs_BT.numel()
        self.set_rate()
        self.forward_backward()
        diverged = self.divergence()
        if diverged is None:
            self.call("gradients")
            state.optimizer.step()
            state.step += 1
            self.call("after_step")
        state.optimizer.zero_grad(set_to_none=True)
        state.gradients = []
        return diverged

    def call(self, method: str) -> None:
        """Let each hook that has this method speak, in the order of the configuration."""
        for _, speak in methods(self.hooks, method):
            speak(self.state)

    def set_rate(self) -> None:
        """Set this step's learning rate in every group, as a share of the group's peak."""
        share = self.schedule.rate(self.state.step, self.state.steps)
        for group, peak in zip(self.state.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * share
        self.state.learning_rate = self.peaks[0] * share

    def forward_backward(self) -> None:
        """Gradients of the mean loss over the batch, summed over its micro-batches, each weighted by its share of the tokens."""
        state = self.state
        assert state.inputs_BT is not None and state.targets_BT is not None
        size = self.micro_batch or len(state.inputs_BT)
        state.loss, state.auxiliary = 0.0, {name: 0.0 for name, _ in self.losses}
        for number, (inputs_BT, targets_BT) in enumerate(zip(state.inputs_BT.split(size), state.targets_BT.split(size), strict=True)):
            share = len(inputs_BT) / len(state.inputs_BT)
            self.dropout.begin(state.step, number)
            with self.forward_in():
                logits_BTV = state.model(inputs_BT)
            outputs = Outputs(inputs_BT, targets_BT, logits_BTV.float())
            loss = cross_entropy(outputs.logits_BTV, targets_BT)
            state.loss += share * loss.item()
            for name, auxiliary_loss in self.losses:
                auxiliary = auxiliary_loss(state, outputs)
                state.auxiliary[name] += share * auxiliary.item()
                loss = loss + auxiliary
            (loss * share).backward()
        state.gradients = [each.grad for each in self.parameters if each.grad is not None]
        state.gradient_norm = torch.stack(torch._foreach_norm(state.gradients)).norm().item()

    def divergence(self) -> str | None:
        """Why this step can't be taken, or None. Asked at every step, whatever the cadence of logging."""
        loss, norm = self.state.loss, self.state.gradient_norm
        if not math.isfinite(loss):
            return f"the training loss is {loss}"
        if loss > self.ceiling:
            return f"the training loss is {loss:.4g} nats per token, above the ceiling of {self.ceiling:g}"
        if not math.isfinite(norm):
            return f"the gradient norm is {norm}"
        return None
