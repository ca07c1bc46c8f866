"""One update, from a batch to new weights. Knows no files; experiment.py decides what happens between updates.

A run that blows up is an outcome, not an error: `update` returns the reason and leaves the weights as they were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from lab.errors import ConfigError
from lab.model.dropout import DropoutKeys
from lab.model.site import sites
from lab.train.hook import Outputs, methods, refuse_unheard
from lab.train.loss import cross_entropy
from lab.train.schedule import Schedule
from lab.train.state import TrainingState, norm_of
from lab.train.stopwatch import Stopwatch

# B batch  T position  V vocabulary


class Loop:
    """Everything that an update needs. `state` is what hooks see, `watch` tells where a step's time goes.

    micro_batch  sequences in one backward pass; None takes the whole batch
    ceiling      a training loss above this is a divergence, nats per token
    compiled     torch compiles the model, after the hooks have registered; what they do inside it isn't timed then
    """

    def __init__(
        self,
        state: TrainingState,
        schedule: Schedule,
        hooks: Mapping[str, Any],
        dropout: DropoutKeys,
        watch: Stopwatch,
        *,
        micro_batch: int | None,
        ceiling: float,
        compiled: bool,
    ) -> None:
        refuse_unheard(hooks)
        self.state = state
        self.schedule = schedule
        self.hooks = hooks
        self.dropout = dropout
        self.watch = watch
        self.micro_batch = micro_batch
        self.ceiling = ceiling
        self.peaks = [group["lr"] for group in state.optimizer.param_groups]
        self.parameters = list(state.model.parameters())
        self.device = self.parameters[0].device
        self.losses = methods(hooks, "loss")
        self.speakers = {method: methods(hooks, method) for method in ("batch", "gradients", "after_step")}
        state.again, state.sequences = self.second_pass, micro_batch
        for name, attach in methods(hooks, "attach"):
            self.attach(name, attach, timed=not compiled)
        if compiled:
            state.model.compile()  # not torch.compile(model), which would rename every parameter
        state.model.train()

    def attach(self, name: str, attach: Callable[..., None], *, timed: bool) -> None:
        """Let a hook register on the model's sites; the time of what it registers is the hook's."""
        known, observes = sites(self.state.model), self.hooks[name].observes
        before = {path: {*site.forward_functions, *site.backward_functions} for path, site in known.items()}
        attach(self.state.model, self.state.optimizer)
        for path, site in known.items() if timed else ():
            for key in site.forward_functions.keys() - before[path]:
                function, in_evaluation = site.forward_functions[key]
                site.forward_functions[key] = self.told(name, function, observes), in_evaluation
            for key in site.backward_functions.keys() - before[path]:
                site.backward_functions[key] = self.told(name, site.backward_functions[key], observes)

    def told(self, name: str, function: Callable[..., Any], observes: bool) -> Callable[..., Any]:
        """What a hook registered at a site, with its time counted as the hook's, and held to its promise where it only observes."""

        def called(x: Tensor) -> Any:
            self.state.speaking = name
            with self.watch.hook(name):
                result = function(x)
            if observes and result is not None:
                raise ConfigError(
                    f"hooks.{name} says that it only observes, and replaces an activation or a gradient\nlet it return nothing"
                )
            return result

        called.__qualname__ = f"hooks.{name}: {getattr(function, '__qualname__', type(function).__name__)}"
        return called

    def update(self, inputs_BT: Tensor, targets_BT: Tensor) -> str | None:
        """Train on one batch. None, or why the run has diverged; then no weight has moved and `state.step` stands still."""
        state, watch = self.state, self.watch
        state.inputs_BT, state.targets_BT = inputs_BT.to(self.device), targets_BT.to(self.device)
        watch.lap("data")
        self.call("batch")
        if not state.inputs_BT.numel() == state.targets_BT.numel() == inputs_BT.numel():
            raise ConfigError(
                f"a hook's `batch` made {state.inputs_BT.numel()} inputs and {state.targets_BT.numel()} targets of a step's "
                f"{inputs_BT.numel()} tokens: runs are compared at equal tokens\nreorder or reshape them, and fill up what is filtered out"
            )
        state.tokens += inputs_BT.numel()
        self.set_rate()
        state.loss, state.auxiliary = self.forward_backward()
        state.gradients_changed = False
        diverged = self.divergence()
        watch.lap("rest")
        if diverged is None:
            self.call("gradients")
            diverged = self.broken_by_hooks()
        if diverged is None:
            watch.lap("rest")
            state.optimizer.step()
            watch.lap("optimizer")
            state.step += 1
            self.call("after_step")
        state.optimizer.zero_grad(set_to_none=True)
        state.gradients = []
        return diverged

    def call(self, method: str) -> None:
        """Let each hook that has this method speak, in their order."""
        for name, speak in self.speakers[method]:
            self.hear(name, method, speak)
            if method == "gradients" and not self.hooks[name].observes:
                self.state.gradients_changed = True

    def hear(self, name: str, method: str, speak: Callable[..., Any], *more: Any) -> None:
        """One call of a hook, timed as its own. Raises ConfigError where it says that it only observes and changed something."""
        self.state.speaking = name
        before = self.footprint() if self.hooks[name].observes else None
        with self.watch.hook(name):
            speak(self.state, *more)
        if before is not None and self.footprint() != before:
            raise ConfigError(
                f"hooks.{name} says that it only observes, and its `{method}` changed weights, gradients, the batch or the optimizer\n"
                "let it read only, or say `observes = False`: then it counts as a change"
            )

    def footprint(self) -> list[Any]:
        """What an observer has to leave alone, as torch's counters of changes in place tell it (not those through `.data`)."""
        tensors = [self.state.inputs_BT, self.state.targets_BT, *self.parameters, *(each.grad for each in self.parameters)]
        numbers = [value for group in self.state.optimizer.param_groups for value in group.values() if isinstance(value, (int, float))]
        return [(id(each), each._version) for each in tensors if each is not None] + numbers

    def set_rate(self) -> None:
        """Set this step's learning rate in every group."""
        rates = self.rates(self.state.step)
        for group, rate in zip(self.state.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self.state.learning_rate = rates[0]

    def rates(self, step: int) -> list[float]:
        """The learning rate of each group in the update from `step` on."""
        share = self.schedule.rate(step, self.state.steps)
        return [peak * share for peak in self.peaks]

    def forward_backward(self) -> tuple[float, dict[str, float]]:
        """The mean loss over the batch, summed over its micro-batches, each weighted by its share of the tokens, and its gradients.

        Returns the loss and what each hook added to it. The numbers are fetched once, after the last backward pass: a device
        that computes on its own isn't made to wait in between.
        """
        state, watch = self.state, self.watch
        assert state.inputs_BT is not None and state.targets_BT is not None
        size = self.micro_batch or len(state.inputs_BT)
        measured: list[Tensor] = []
        shares: list[float] = []
        for number, (inputs_BT, targets_BT) in enumerate(zip(state.inputs_BT.split(size), state.targets_BT.split(size), strict=True)):
            share = len(inputs_BT) / len(state.inputs_BT)
            state.micro_batch = number
            self.dropout.begin(state.step, number)
            with state.forward_in():
                logits_BTV = state.model(inputs_BT)
            outputs = Outputs(inputs_BT, targets_BT, logits_BTV.float())
            loss = cross_entropy(outputs.logits_BTV, targets_BT)
            parts = [loss, *(self.auxiliary_loss(name, auxiliary, outputs) for name, auxiliary in self.losses)]
            measured += [part.detach().float() for part in parts]
            shares.append(share)
            watch.lap("forward")
            (sum(parts[1:], loss) * share).backward()
            watch.lap("backward")
        state.gradients = [each.grad for each in self.parameters if each.grad is not None]
        *values, state.gradient_norm = torch.stack([*measured, norm_of(state.gradients)]).tolist()
        width = 1 + len(self.losses)
        totals = [sum(share * value for share, value in zip(shares, values[part::width], strict=True)) for part in range(width)]
        return totals[0], dict(zip((name for name, _ in self.losses), totals[1:], strict=True))

    def auxiliary_loss(self, name: str, loss: Callable[..., Tensor], outputs: Outputs) -> Tensor:
        """What a hook adds to the loss, timed as its own."""
        self.state.speaking = name
        with self.watch.hook(name):
            return loss(self.state, outputs)

    def second_pass(self) -> None:
        """Fresh gradients at the weights as they are now; the first pass's loss and norm stay."""
        state, norm, speaking = self.state, self.state.gradient_norm, self.state.speaking
        state.optimizer.zero_grad(set_to_none=True)
        self.forward_backward()
        state.gradient_norm, state.speaking, state.gradients_changed = norm, speaking, True

    def broken_by_hooks(self) -> str | None:
        """Why what the hooks made of the gradients can't be used, or None: a second pass may blow up where the first did not."""
        if not self.state.gradients_changed:
            return None
        norm = self.state.norm_now()
        return None if math.isfinite(norm) else f"the gradient norm after the hooks is {norm}"

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
