"""Text from a model, token by token. Randomness comes as an argument; the text starts at the document mark."""

from __future__ import annotations

import torch
from torch import nn

from lab.device import device_of

# B batch  T position  V vocabulary


def continue_tokens(
    model: nn.Module, tokens: list[int], *, count: int, context: int, temperature: float | None, generator: torch.Generator | None
) -> list[int]:
    """`count` tokens that follow `tokens` (at least one), of which the model sees the last `context`.

    temperature  None takes the likeliest token each time; else logits are divided by it and `generator` draws

    Fewer than `count` when the model's logits are no finite numbers.
    """
    assert tokens, "there must be a token to continue from"
    assert (temperature is None) == (generator is None), "a temperature needs a generator, and only it does"
    written: list[int] = []
    device = device_of(model)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for _ in range(count):
                seen_BT = torch.tensor([(tokens + written)[-context:]], device=device)
                logits_V = model.forward(seen_BT)[0, -1].float().cpu()  # not model(...): each length would be compiled anew
                if not logits_V.isfinite().all():
                    break
                written.append(choose(logits_V, temperature, generator))
    finally:
        model.train(was_training)
    return written


def choose(logits_V: torch.Tensor, temperature: float | None, generator: torch.Generator | None) -> int:
    """The next token: the likeliest, or a draw."""
    if temperature is None:
        return int(logits_V.argmax())
    chances_V = (logits_V.double() / temperature).softmax(-1)
    return int(torch.multinomial(chances_V, 1, generator=generator))
