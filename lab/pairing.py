"""What a run and its baseline share at one seed: first weights, training data, dropout masks. Looked up, not inferred from the settings.

The baseline's model and batches are made again beside the run's own, and compared by value: "41 of 43 tensors bit-equal". Reads
the run's parts and draws from no stream of theirs. Only what the loop is handed counts: a hook that reorders a batch or moves a
weight in the first step is that run's change. Sees no dropout that isn't a module (a call of `F.dropout` in a component).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from lab import streams
from lab.build import Parts, build_model, factory
from lab.data.batches import Batches
from lab.data.prepare import PreparedData
from lab.data.tokenfile import TokenFile
from lab.files import read_json, read_rows
from lab.model.dropout import DropoutKeys, KeyedDropout
from lab.trace import DRAWS, WEIGHTS, draws, short_digest

STRETCH = 1 << 14  # windows compared together: bounds the memory of a long run
CLOSE = 1e-5  # of the largest value: one draw at two scales, each rounded to float32, agrees to about 1e-7


def pairing(
    config: Mapping[str, Any], baseline: Mapping[str, Any], parts: Parts, data: PreparedData, baseline_data: PreparedData
) -> dict[str, Any]:
    """What the run of `config` has in common with one of `baseline`.

    config, baseline  resolved compositions; of the baseline's device node nothing is read
    parts             the run's, as assembled: before its first step, and before a checkpoint is taken up

    initial   of        tensors of the run's model, each in one of the next four
              equal     how many have the baseline's name, shape and bits
              same_draws, other, only_here   names; and beside them `only_baseline`
    data      of, same  batches or windows (`unit`) that the run trains on, and how many of them the baseline has in the same place
    dropout   of        sites that drop; `keyed` are drawn by key, `shared` by keys that the baseline has too. Where the batch has
                        another shape, equal keys give other masks.
    """
    model = first_model(baseline, baseline_data.tokenizer.vocabulary)
    return {
        "initial": initial(parts.model, model),
        "data": training_data(config, baseline, parts, data, baseline_data),
        "dropout": dropout(parts.model, model),
    }


def pairing_with_run(parts: Parts, folder: Path) -> dict[str, Any]:
    """The same of a run whose change is the code, with a baseline run of its seed, by the digests that this one left."""
    was, now = read_json(folder / DRAWS), draws(parts, {})
    (first, *_), _ = read_rows(folder / WEIGHTS)
    theirs: dict[str, str] = first["weights"]
    mine = {name: short_digest(parameter) for name, parameter in parts.model.named_parameters()}
    alike = [was["per"] == now["per"] and old == new for old, new in zip(was["batches"], now["batches"], strict=False)]
    shared = set(was["sites"]) & set(now["sites"]) if was["masks"] == now["masks"] else set()
    return {
        "initial": {
            "of": len(mine),
            "equal": sum(theirs.get(name) == digest for name, digest in mine.items()),
            "same_draws": [],
            "other": [name for name, digest in mine.items() if name in theirs and theirs[name] != digest],
            "only_here": [name for name in mine if name not in theirs],
            "only_baseline": [name for name in theirs if name not in mine],
        },
        "data": {"unit": "batches", "of": now["steps"], "same": min(now["steps"], now["per"] * sum(alike))},
        "dropout": dropout(parts.model, parts.model) | {"shared": len(shared)},
    }


def first_model(config: Mapping[str, Any], vocabulary: int) -> nn.Module:
    """The model of a configuration with its first weights, on the CPU, without hooks.

    The attention path moves no weight. Always the written one: the fused one refuses some attentions (a cap on scores), and the
    run may use it where its baseline can't.
    """
    made = partial(factory, trusted=config["trusted_modules"])
    return build_model(config["model"], "written", vocabulary, config["seed"], DropoutKeys(config["seed"]), made)


# -- first weights


def initial(model: nn.Module, baseline: nn.Module) -> dict[str, Any]:
    """Each tensor of a model beside the baseline's of that name; names in the models' order."""
    mine, theirs = dict(model.named_parameters()), dict(baseline.named_parameters())
    kinds: dict[str, list[str]] = {"equal": [], "same_draws": [], "other": []}
    for name in mine.keys() & theirs.keys():
        kinds[kinship(mine[name].detach().cpu(), theirs[name].detach())].append(name)
    return {
        "of": len(mine),
        "equal": len(kinds["equal"]),
        "same_draws": [name for name in mine if name in kinds["same_draws"]],
        "other": [name for name in mine if name in kinds["other"]],
        "only_here": [name for name in mine if name not in theirs],
        "only_baseline": [name for name in theirs if name not in mine],
    }


def kinship(a: Tensor, b: Tensor) -> str:
    """How two tensors of one name are related: `equal` in every bit, `same_draws` at another size or scale, or `other`.

    Same draws: on the block that both have (the first so many of each dimension) one is a multiple of the other.
    """
    if a.shape == b.shape and a.dtype == b.dtype and torch.equal(as_bytes(a), as_bytes(b)):
        return "equal"
    if a.ndim != b.ndim:
        return "other"
    block = tuple(slice(min(sizes)) for sizes in zip(a.shape, b.shape, strict=True))
    return "same_draws" if proportional(a[block].double(), b[block].double()) else "other"


def as_bytes(x: Tensor) -> Tensor:
    """To compare bits: as numbers 0 equals -0, and NaN isn't itself."""
    return x.reshape(-1).view(torch.uint8)


def proportional(a: Tensor, b: Tensor) -> bool:
    """Whether a is a multiple of b. Of single values, and of zeros, that says nothing: these must be equal."""
    if a.numel() == 1 or not a.any() or not b.any():
        return torch.equal(a, b)
    factor = (a * b).sum() / b.square().sum()
    return bool((a - factor * b).abs().max() <= CLOSE * a.abs().max())


# -- training data


def training_data(
    config: Mapping[str, Any], baseline: Mapping[str, Any], parts: Parts, data: PreparedData, baseline_data: PreparedData
) -> dict[str, Any]:
    """How much of what the run trains on stands at the same place in the baseline's order.

    By batches; where these have another size by windows, which have one order at any batch size. Windows of another length or
    of other tokens are never the same.
    """
    context, size = baseline["model"]["context"], baseline["trainer"]["batch_size"]
    unit, width = ("batches", size) if config["trainer"]["batch_size"] == size else ("windows", 1)
    windows = parts.loop.state.steps * config["trainer"]["batch_size"]
    same = 0
    if config["model"]["context"] == context and data.train.sha256 == baseline_data.train.sha256:
        theirs = Batches(TokenFile.open(baseline_data.train.path), context, size, partial(streams.key, baseline["seed"], "data"))
        baseline_windows = baseline["trainer"]["tokens"] // (size * context) * size
        same = equal_groups(parts.batches, theirs, min(windows, baseline_windows), width)
    return {"unit": unit, "of": windows // width, "same": same}


def equal_groups(mine: Batches, theirs: Batches, windows: int, width: int) -> int:
    """How many groups of `width` windows, of the first so many, start at the same tokens in both orders."""
    stretch = max(1, STRETCH // width) * width
    same = 0
    for first in range(0, windows, stretch):
        count = min(stretch, windows - first)
        equal_B = mine.offsets(first, count) == theirs.offsets(first, count)
        same += int(equal_B.reshape(-1, width).all(axis=1).sum())
    return same


# -- dropout


def dropout(model: nn.Module, baseline: nn.Module) -> dict[str, Any]:
    """The sites of a model that drop; torch's own draw from the global generator, so nothing pairs them."""
    mine, theirs = keyed_sites(model), keyed_sites(baseline)
    unkeyed = sum(isinstance(module, _DropoutNd) and module.p > 0 for module in model.modules())
    return {"of": len(mine) + unkeyed, "keyed": len(mine), "shared": sum(site in theirs for site in mine)}


def keyed_sites(model: nn.Module) -> list[tuple[str, int]]:
    """Path and seed of each site that draws its masks by key: with step, micro-batch and call they are the key."""
    return [(module.path, module.keys.seed) for module in model.modules() if isinstance(module, KeyedDropout) and module.share > 0]
