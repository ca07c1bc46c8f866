"""How fast this device multiplies the model's own matrices: the denominator of MFU. And the GPU makers' data-sheet peaks.

The limit is the rate of the best of these shapes, on this device, in this dtype, with these threads. Knows no training.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from lab.device import PRECISIONS, synchronize
from lab.model.count import matrix_flops

# I inputs  O outputs of a matrix  M tokens of a backward pass

# How long a product is computed at a time: a call takes microseconds, and a clock and a scheduler have their grain. In between,
# all products together take as long as the steps that they alternate with, so that a crowd on the machine meets both alike.
LEAST_SECONDS, MOST_SECONDS = 0.01, 0.1

# Dense peaks in FLOP/s from NVIDIA's data sheets, bf16 on tensor cores with sums in fp32, fp32 without TF32, by the driver's name.
# T4 has no bf16. Variants of another clock or width (PCIe, NVL, laptop) are other names, and None where they aren't listed.
PEAKS: dict[str, dict[str, float | None]] = {
    r"NVIDIA A100.*": {"bf16": 312e12, "fp32": 19.5e12},
    r"NVIDIA H100 80GB HBM3": {"bf16": 989e12, "fp32": 67e12},
    r"NVIDIA H100 PCIe": {"bf16": 756e12, "fp32": 51e12},
    r"NVIDIA H200": {"bf16": 989e12, "fp32": 67e12},
    r"NVIDIA L4": {"bf16": 121e12, "fp32": 30.3e12},
    r"(Tesla|NVIDIA) T4": {"bf16": None, "fp32": 8.1e12},
    r"NVIDIA GeForce RTX 3090": {"bf16": 71e12, "fp32": 35.6e12},
    r"NVIDIA GeForce RTX 4090": {"bf16": 165e12, "fp32": 82.6e12},
}


def data_sheet_peak(name: str, precision: str) -> float | None:
    """What the maker promises for this device and precision, FLOP/s; None for one that isn't listed."""
    return next((peaks[precision] for pattern, peaks in PEAKS.items() if re.fullmatch(pattern, name)), None)


@dataclass(frozen=True)
class Product:
    """One product of matrices as training computes it, `[rows, inner] @ [inner, columns]`, and the seconds that it took in each round."""

    kind: str
    rows: int
    inner: int
    columns: int
    multiply: Callable[[], Tensor]
    seconds: list[float]

    @property
    def flops(self) -> int:
        return 2 * self.rows * self.inner * self.columns

    @property
    def rate(self) -> float:
        """FLOP/s, the median over the rounds."""
        return self.flops / median(self.seconds)


class MatmulLimit:
    """Times the products of a model's distinct matrices: the forward one, the input's gradient, the weight's gradient."""

    def __init__(self, model: nn.Module, tokens: int, precision: str) -> None:
        self.device = next(model.parameters()).device
        self.dtype = PRECISIONS[precision] or torch.float32
        self.products = [product for shape in matrix_shapes(model) for product in self.of_matrix(*shape, tokens)]

    def of_matrix(self, outputs: int, inputs: int, tokens: int) -> list[Product]:
        """The three products of one matrix, laid out in memory as autograd has them."""
        x_MI, w_OI, gradient_MO = (self.operand(*shape) for shape in ((tokens, inputs), (outputs, inputs), (tokens, outputs)))
        y_MO, x_gradient_MI, w_gradient_OI = (torch.empty_like(each) for each in (gradient_MO, x_MI, w_OI))
        return [
            Product("forward", tokens, inputs, outputs, lambda: torch.mm(x_MI, w_OI.t(), out=y_MO), []),
            Product("input_gradient", tokens, outputs, inputs, lambda: torch.mm(gradient_MO, w_OI, out=x_gradient_MI), []),
            Product("weight_gradient", outputs, tokens, inputs, lambda: torch.mm(gradient_MO.t(), x_MI, out=w_gradient_OI), []),
        ]

    def operand(self, rows: int, columns: int) -> Tensor:
        """Numbers with mixed bits: zeros take less power, and so a higher clock, than a training has."""
        return torch.rand(rows, columns, generator=torch.Generator().manual_seed(0)).to(self.device, self.dtype)

    def measure(self, seconds: float) -> None:
        """One round: each product several times, in `seconds` altogether where that is neither too short nor too long."""
        each = min(max(seconds / len(self.products), LEAST_SECONDS), MOST_SECONDS)
        for product in self.products:
            calls = 1 if not product.seconds else max(1, round(each / product.seconds[-1]))
            if not product.seconds:
                product.multiply()  # what the library sets up for a shape at its first call
            synchronize(self.device)
            began = time.perf_counter()
            for _ in range(calls):
                product.multiply()
            synchronize(self.device)
            product.seconds.append((time.perf_counter() - began) / calls)

    @property
    def best(self) -> Product:
        return max(self.products, key=lambda product: product.rate)


def matrix_shapes(model: nn.Module) -> list[tuple[int, int]]:
    """Rows (outputs) and columns (inputs) of each distinct matrix that tokens are multiplied with, also a tied head's."""
    every = {tuple(each.shape) for each in model.parameters() if each.ndim == 2}
    found: dict[tuple[int, int], None] = {}
    for module in model.modules():
        flops = matrix_flops(module)
        own = {tuple(each.shape) for each in module.parameters(recurse=False) if each.ndim == 2}
        for outputs, inputs in sorted(own or every) if flops > 0 else ():
            if own or 2 * outputs * inputs == flops:
                found[outputs, inputs] = None
    return list(found)
