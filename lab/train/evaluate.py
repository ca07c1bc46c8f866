"""How well a model predicts a fixed text. Draws no random number, keeps no state, moves no weight.

Every token but the first is predicted once, and its cost is summed in float64: no mean of batch means, no sample of the text.
Always in fp32, so that the measure is a function of the weights alone. What each document cost is summed beside, where it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lab.device import device_of
from lab.numerics import bits_per_byte, perplexity
from lab.train.loss import cross_entropy

# B batch  T position  V vocabulary


@dataclass(frozen=True)
class Documents:
    """What each document of a text cost, in their order: its nats, and its bytes. The mark that opens it is paid too, but the first."""

    nats: list[float]
    bytes: list[int]

    def add(self, costs: npt.NDArray[np.float64], opens: npt.NDArray[np.bool_], lengths: npt.NDArray[np.int64]) -> None:
        """Go on with the next targets: the nats of each, whether it is a mark, which opens the next document, and its bytes of text."""
        place = opens.cumsum()
        count = int(place[-1]) + 1
        nats = np.bincount(place, weights=costs, minlength=count)
        sizes = np.bincount(place, weights=lengths, minlength=count).astype(np.int64)  # exact: float64 counts to 2 ** 53
        self.nats[-1] += float(nats[0])
        self.bytes[-1] += int(sizes[0])
        self.nats.extend(nats[1:].tolist())
        self.bytes.extend(sizes[1:].tolist())


@dataclass(frozen=True)
class Evaluation:
    """What a text cost: nats over all its tokens, and how many tokens and bytes of text those were."""

    nats: float
    tokens: int
    bytes: int
    documents: Documents | None = None

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens

    @property
    def bits_per_byte(self) -> float:
        return bits_per_byte(self.nats, self.bytes)

    @property
    def perplexity(self) -> float:
        return perplexity(self.nats_per_token)


def evaluate(
    model: nn.Module, blocks: Iterable[tuple[Tensor, Tensor]], bytes_per_token: npt.ArrayLike, mark: int | None = None
) -> Evaluation:
    """The cost of a text given as blocks of (inputs_BT, targets_BT). `bytes_per_token` has an entry for each of V tokens.

    With `mark`, the token that opens a document, the cost of each document too; the blocks then come in the order of the text, which
    begins with a mark. The whole is summed as it is without: not by document, which would move its last bits.
    The model is back in the mode that it was in, also after an error.
    """
    bytes_V = torch.as_tensor(bytes_per_token, dtype=torch.int64)
    nats = torch.zeros((), dtype=torch.float64)
    tokens = text_bytes = 0
    documents = None if mark is None else Documents([0.0], [0])
    device = device_of(model)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for inputs_BT, targets_BT in blocks:
                # not model(...), which may be compiled: the measure is of the weights, not of how they were trained
                logits_BTV = model.forward(inputs_BT.to(device)).float()
                costs = cross_entropy(logits_BTV, targets_BT.to(device), reduction="none")
                each = costs.cpu().double()  # on the CPU, since not every device has float64
                nats += each.sum()
                tokens += targets_BT.numel()
                lengths_BT = bytes_V[targets_BT]
                text_bytes += int(lengths_BT.sum())
                if documents is not None:
                    documents.add(
                        each.numpy(),
                        targets_BT.flatten().eq(mark).numpy(),  # type: ignore[arg-type]  # documents are told by a mark
                        lengths_BT.flatten().numpy(),
                    )
    finally:
        model.train(was_training)
    return Evaluation(nats.item(), tokens, text_bytes, documents)


@contextmanager
def weighing(model: nn.Module, weights: Mapping[str, Tensor] | None) -> Iterator[None]:
    """The model with other weights, by parameter name, while the block runs; afterwards its own again, to the bit. None changes nothing."""
    own = {name: parameter.data for name, parameter in model.named_parameters() if weights is not None and name in weights}
    try:
        for name, parameter in model.named_parameters():
            if name in own and weights is not None:
                assert weights[name].shape == parameter.shape, f"{name} has another shape than its parameter"
                parameter.data = weights[name].to(parameter.data)
        yield
    finally:
        for name, parameter in model.named_parameters():
            if name in own:
                parameter.data = own[name]
