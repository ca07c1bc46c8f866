"""Which parameters are trained alike: matrices, embeddings, vectors. Knows names and dimensions, no optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

EMBEDDINGS = ("embedding.weight", "position.weight", "head.weight")
"""The tables that a token or a position indexes: each step's gradient touches few of their rows, so they may want a rate of their own."""

NAMES = ("matrices", "embeddings", "vectors")
"""In the order in which an optimizer gets them; the first group's rate is the one that a run logs."""


@dataclass(frozen=True, eq=False)
class ParameterGroup:
    """Parameters that share a learning rate and a decay.

    decays  whether weight decay pulls on them
    rate    their share of the learning rate
    """

    name: str
    named_parameters: tuple[tuple[str, nn.Parameter], ...]
    decays: bool
    rate: float

    def settings(self, *, lr: float, weight_decay: float) -> dict[str, Any]:
        """As torch's optimizers take a group; `lr` and `weight_decay` are those of the whole optimizer."""
        return {
            "name": self.name,
            "params": [parameter for _, parameter in self.named_parameters],
            "lr": lr * self.rate,
            "weight_decay": weight_decay if self.decays else 0.0,
        }


def parameter_groups(
    named_parameters: Iterable[tuple[str, nn.Parameter]], decay: Mapping[str, bool], rate: Mapping[str, float]
) -> list[ParameterGroup]:
    """The groups that have parameters; inside a group the model's order stays. `decay` and `rate` go by the names of NAMES."""
    members: dict[str, list[tuple[str, nn.Parameter]]] = {name: [] for name in NAMES}
    for name, parameter in named_parameters:
        members[group_of(name, parameter)].append((name, parameter))
    return [ParameterGroup(name, tuple(each), decay[name], rate[name]) for name, each in members.items() if each]


def group_of(name: str, parameter: nn.Parameter) -> str:
    """The name of a parameter's group. A vector (a norm's weight) is one whatever it's called."""
    if parameter.ndim < 2:
        return "vectors"
    return "embeddings" if name in EMBEDDINGS else "matrices"
