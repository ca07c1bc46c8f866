"""How well a model predicts a fixed text. Draws no random number, keeps no state, moves no weight.

Every token but the first is predicted once, and its cost is summed in float64: no mean of batch means, no sample of the text.
Always in fp32, so that the measure is a function of the weights alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy.typing as npt
import torch
from torch import Tensor, nn

from lab.numerics import bits_per_byte, perplexity
from lab.train.loss import cross_entropy

# B batch  T position  V vocabulary


@dataclass(frozen=True)
class Evaluation:
    """What a text cost: nats over all its tokens, and how many tokens and bytes of text those were."""

    nats: float
    tokens: int
    bytes: int

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens

    @property
    def bits_per_byte(self) -> float:
        return bits_per_byte(self.nats, self.bytes)

    @property
    def perplexity(self) -> float:
        return perplexity(self.nats_per_token)


def evaluate(model: nn.Module, blocks: Iterable[tuple[Tensor, Tensor]], bytes_per_token: npt.ArrayLike) -> Evaluation:
    """The cost of a text given as blocks of (inputs_BT, targets_BT). `bytes_per_token` has an entry for each of V tokens.

    The model is back in the mode that it was in, also after an error.
    """
    bytes_V = torch.as_tensor(bytes_per_token, dtype=torch.int64)
    nats = torch.zeros((), dtype=torch.float64)
    tokens = text_bytes = 0
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for inputs_BT, targets_BT in blocks:
                logits_BTV = model(inputs_BT).float()
                nats += cross_entropy(logits_BTV, targets_BT, reduction="none").double().sum()
                tokens += targets_BT.numel()
                text_bytes += int(bytes_V[targets_BT].sum())
    finally:
        model.train(was_training)
    return Evaluation(nats.item(), tokens, text_bytes)
