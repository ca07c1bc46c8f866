"""The named places of a composition's model, with what passes there: `lab sites`. Builds the model, trains nothing.

A hook's `site` is one of these paths, or a pattern of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn

from lab.build import build_model, factory
from lab.data.tokenizers import Learns
from lab.device import autocast, prepare_device
from lab.model.dropout import DropoutKeys
from lab.model.site import absent_sites, sites
from lab.request import Identifier, part

# B batch  T position

NAMES = {"float32": "fp32", "bfloat16": "bf16"}


@dataclass(frozen=True)
class Place:
    """A site, the shape that passes it in one forward pass of this composition, and its type."""

    path: str
    shape: tuple[int, ...]
    dtype: str


def print_sites(root: Path, config: Mapping[str, Any]) -> None:
    """A line for each site, then those that the model would have under another setting."""
    device = config["device"]
    place = prepare_device(device["kind"], device["threads"], device["deterministic"])
    model = model_of(root, config).to(place)
    batch = device["micro_batch"] or config["trainer"]["batch_size"]
    tokens_BT = torch.zeros(batch, config["model"]["context"], dtype=torch.int64, device=place)
    found = places(model, tokens_BT, partial(autocast, place, config["trainer"]["precision"]))
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("site", overflow="fold")
    table.add_column("shape", no_wrap=True)
    table.add_column("type", no_wrap=True)
    for each in found:
        table.add_row(Text(each.path), Text(" x ".join(map(str, each.shape))), Text(each.dtype))
    console.print(table)
    elsewhere = absent_sites(model)
    for way in sorted(set(elsewhere.values())):
        console.print(Text(f"with {way} also", style="bold"))
        for path in (path for path, its in elsewhere.items() if its == way):
            console.print(Text(f"  {path}", overflow="fold"))
    console.print(Text("a hook's `site` is one of these, or a pattern of them: blocks.*.mlp.hidden"))


def model_of(root: Path, config: Mapping[str, Any]) -> nn.Module:
    """The model of a settled composition."""
    seed, made = config["seed"], partial(factory, trusted=config["trusted_modules"])
    return build_model(config["model"], config["device"]["attention"], vocabulary_of(root, config), seed, DropoutKeys(seed), made)


def vocabulary_of(root: Path, config: Mapping[str, Any]) -> int:
    """The number of tokens. A tokenizer that learns has none before its text is read."""
    tokenizer = part(config["data"]["tokenizer"])
    if isinstance(tokenizer, Learns):
        tokenizer = Identifier(root).data(config).tokenizer
    return int(tokenizer.vocabulary)


def places(model: nn.Module, tokens_BT: Tensor, forward_in: Callable[[], Any]) -> list[Place]:
    """Each site that a batch passes, in the order in which it passes them."""
    found: list[Place] = []

    def reader(path: str) -> Callable[[Tensor], None]:
        return lambda x: found.append(Place(path, tuple(x.shape), NAMES.get(str(x.dtype).removeprefix("torch."), str(x.dtype))))

    for path, site in sites(model).items():
        site.on_forward(reader(path), in_evaluation=True)
    model.eval()
    with torch.no_grad(), forward_in():
        model(tokens_BT)
    return found
