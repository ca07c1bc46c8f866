"""What a hook may see of the run, and change where the contract says so. One object for a whole sitting, updated in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lab.data.tokenizers import Tokenizer
from lab.model.site import sites


@dataclass
class TrainingState:
    """`step` counts the updates that are done: during the forward pass of the first one it is 0."""

    # B batch  T position
    model: nn.Module
    optimizer: Optimizer
    steps: int
    seed: int = 0
    """for streams of a hook's own: `streams.key(state.seed, "hooks", NAME, state.step, ...)`"""
    step: int = 0
    tokens: int = 0
    """training tokens seen"""
    sequences: int | None = None
    """how many of the batch's sequences one backward pass takes; None: all"""
    micro_batch: int = 0
    """the number, within this step's batch, of the one in the forward or backward pass: for a draw at a site"""
    learning_rate: float = 0.0
    """of the first parameter group, at this step"""
    inputs_BT: Tensor | None = None
    targets_BT: Tensor | None = None
    loss: float = float("nan")
    """of this step's batch, nats per token, without auxiliary losses"""
    auxiliary: dict[str, float] = field(default_factory=dict)
    """what each hook added to the loss, by its name"""
    gradients: list[Tensor] = field(default_factory=list)
    gradient_norm: float = float("nan")
    """L2, over all parameters, before any hook changed it"""
    speaking: str = ""
    """the name of the hook that is called now"""
    records: dict[str, float] = field(default_factory=dict)
    """what hooks measured since the last row was written"""
    texts: list[tuple[str, str]] = field(default_factory=list)
    """what hooks wrote since: a heading and a text"""
    folder: Path | None = None
    """the run's directory, for an observer that keeps files of its own; None where there is none"""
    tokenizer: Tokenizer | None = None
    forward_in: Callable[[], AbstractContextManager[Any]] = torch.enable_grad
    """the precision of the forward pass, as a context"""
    again: Callable[[], None] | None = None
    """the loop's second pass"""
    gradients_changed: bool = False

    def scale_gradients(self, share: float) -> None:
        """Multiply every gradient in place."""
        torch._foreach_mul_(self.gradients, share)

    def norm_now(self) -> float:
        """The gradient's L2 norm as it stands, after the hooks that spoke before; `gradient_norm` where none changed anything."""
        return norm_of(self.gradients).item() if self.gradients_changed else self.gradient_norm

    def loss_and_gradients(self) -> None:
        """Gradients of the same batch at the weights as they are now, with the same dropout masks; only within `gradients`.

        They take the place of `gradients`. `loss` and `gradient_norm` stay those of the first pass.
        """
        assert self.again is not None, "there is no loop to run a second pass"
        self.again()

    def record(self, values: Mapping[str, float]) -> None:
        """Numbers for this step's row of metrics.jsonl, each under `HOOK.name`."""
        self.records |= {f"{self.speaking}.{name}": value for name, value in values.items()}

    def write(self, heading: str, text: str) -> None:
        """A text for samples.txt."""
        self.texts.append((f"{self.speaking}, {heading}", text))

    def due(self, every: int) -> bool:
        """Whether something that an observer does every so many steps, and at the last, is due in the update to step + 1.

        Ask before the update (in `batch`, `loss` or `gradients`): in `after_step` the step has been counted.
        """
        return (self.step + 1) % every == 0 or self.step + 1 == self.steps

    def look_at(self, readers: Mapping[str, Callable[[Tensor], None]]) -> None:
        """Run this step's batch through the model once more and hand the activation at each site (by its path) to its reader.

        Without gradients, without dropout, never compiled: an observer sees what the model does and changes no bit of it. Of a
        batch that is trained in parts, the first part: the whole might not fit the device.
        """
        assert self.inputs_BT is not None, "there is no batch yet"
        known = sites(self.model)
        handles = [known[path].on_forward(reader, in_evaluation=True) for path, reader in readers.items()]
        self.model.eval()
        try:
            with torch.no_grad(), self.forward_in():
                self.model.forward(self.inputs_BT[: self.sequences])  # not model(...): that could be compiled, and would be compiled anew
        finally:
            self.model.train()
            for handle in handles:
                handle.remove()


def norm_of(tensors: list[Tensor]) -> Tensor:
    """The L2 norm over all entries of some tensors, a tensor without dimensions."""
    return torch.stack(torch._foreach_norm(tensors)).norm()
