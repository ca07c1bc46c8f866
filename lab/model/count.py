"""How large a model is."""

from __future__ import annotations

from torch import nn


def parameters(model: nn.Module) -> dict[str, int]:
    """`total` counts every parameter once (a tied matrix is one); `embedding` is the part in lookup tables."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    tables = ("embedding.weight", "position.weight")
    return {"total": sum(sizes.values()), "embedding": sum(size for name, size in sizes.items() if name in tables)}
