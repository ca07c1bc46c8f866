"""How large a model is, and how much it computes for a token. Counts products of matrices and nothing else, and runs nothing.

A module with a matrix is taken to apply it once to each token: 2 * rows * columns. One that does otherwise says so itself, by
`matrix_flops()` (a lookup: 0); one that mixes positions has `mixing_flops(positions)`, for a token that looks at so many. Both
are of a forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import nn

# Forward once; backward once for the gradient of what was multiplied and once for that of the matrix.
PASSES_OF_TRAINING = 3


@dataclass(frozen=True)
class Flops:
    """What one module computes for one training token, forward and backward, in floating-point operations.

    Mixing is counted in both conventions: `full` as if each token looked at all T positions (what published counts and most
    kernels without a mask do), `causal` at those that it may see, (T + 1) / 2 on average.
    """

    module: str
    matrix: float
    mixing_full: float
    mixing_causal: float

    @property
    def full(self) -> float:
        return self.matrix + self.mixing_full

    @property
    def causal(self) -> float:
        return self.matrix + self.mixing_causal


def parameters(model: nn.Module) -> dict[str, int]:
    """`total` counts every parameter once (a tied matrix is one); `embedding` is the part in lookup tables."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    tables = ("embedding.weight", "position.weight")
    return {"total": sum(sizes.values()), "embedding": sum(size for name, size in sizes.items() if name in tables)}


def flops_per_token(model: nn.Module, T: int) -> list[Flops]:
    """Of each module that multiplies matrices, in the order of the model, for training on sequences of T tokens.

    The root's own part (a tied head) stands under the empty path.
    """
    counted = [
        Flops(
            path,
            PASSES_OF_TRAINING * matrix_flops(module),
            PASSES_OF_TRAINING * mixing_flops(module, T),
            PASSES_OF_TRAINING * mixing_flops(module, (T + 1) / 2),
        )
        for path, module in model.named_modules()
    ]
    return [each for each in counted if each.full > 0]


def total(counted: Iterable[Flops]) -> Flops:
    """The sum, under the name `total`."""
    parts = list(counted)
    return Flops(
        "total", sum(each.matrix for each in parts), sum(each.mixing_full for each in parts), sum(each.mixing_causal for each in parts)
    )


def matrix_flops(module: nn.Module) -> float:
    """For a token in a forward pass, in the matrices of this very module."""
    declared: Callable[[], float] | None = getattr(module, "matrix_flops", None)
    if declared is not None:
        return declared()
    return sum(2 * parameter.numel() for parameter in module.parameters(recurse=False) if parameter.ndim >= 2)


def mixing_flops(module: nn.Module, positions: float) -> float:
    """For a token in a forward pass that looks at this many positions."""
    declared: Callable[[float], float] | None = getattr(module, "mixing_flops", None)
    return 0 if declared is None else declared(positions)
