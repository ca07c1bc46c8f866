"""One layer: mix positions, then think at each position; both read a normalised stream and add to the raw one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from lab.model.site import Site

# B batch  T position  D width


@dataclass(frozen=True)
class Components:
    """How each part of a model is made. A component is one of these callables, from a file of its own."""

    norm: Callable[[int], nn.Module]
    """width -> `[..., D] -> [..., D]`"""
    mlp: Callable[[int], nn.Module]
    """width -> `[B, T, D] -> [B, T, D]`"""
    position: Callable[[int, int, int], nn.Module]
    """context, width, heads -> `[B, T, D] -> [B, T, D]`; it may have a method `turn` for queries and keys"""
    attention: Callable[[int, int, int], nn.Module]
    """width, heads, context -> `[B, T, D], turn -> [B, T, D]`"""
    dropout: Callable[[str], nn.Module]
    """the site's path -> any shape to the same"""


class Block(nn.Module):
    """`[B, T, D] -> [B, T, D]`. Dropout stands where a sub-block writes to the stream.

    There is none on the attention weights: torch's fused attention could only draw it from the global generator.
    """

    def __init__(self, path: str, width: int, heads: int, context: int, components: Components) -> None:
        super().__init__()
        self.norm1 = components.norm(width)
        self.attention = components.attention(width, heads, context)
        self.attention_dropout = components.dropout(f"{path}.attention_dropout")
        self.norm2 = components.norm(width)
        self.mlp = components.mlp(width)
        self.mlp_dropout = components.dropout(f"{path}.mlp_dropout")
        self.stream = Site()

    def forward(self, x_BTD: Tensor, turn: Callable[[Tensor], Tensor] | None) -> Tensor:
        x_BTD = x_BTD + self.attention_dropout(self.attention(self.norm1(x_BTD), turn))
        return self.stream(x_BTD + self.mlp_dropout(self.mlp(self.norm2(x_BTD))))
