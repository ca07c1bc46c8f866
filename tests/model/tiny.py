"""A tiny model of any ingredients, by the options that conf/ offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from lab.build import build_model, factory
from lab.config.options import OptionFiles
from lab.model.dropout import DropoutKeys
from lab.model.gpt import GPT
from tests.conftest import CHECKOUT
from tests.train.tiny import tiny

VOCABULARY = 50
FILES = OptionFiles(CHECKOUT / "conf")


def trusted_modules(conf: Path) -> list[str]:
    """The modules beside lab that an option of this conf/ may name."""
    found: list[str] = yaml.safe_load((conf / "config.yaml").read_text())["trusted_modules"]
    return found


TRUSTED = trusted_modules(FILES.conf)


def option(group: str, name: str, **changes: Any) -> dict[str, Any]:
    """What conf/model/GROUP/NAME.yaml declares, with keys changed."""
    return FILES.values_of(f"model/{group}", name) | changes


def model(path: str = "fused", **changes: Any) -> GPT:
    """A model of 2 layers, 2 heads, width 32 and context 16, with leaves or ingredients of the configuration changed."""
    config = tiny(**{f"model__{name}": value for name, value in changes.items()})["model"]
    return build_model(config, path, VOCABULARY, 0, DropoutKeys(0), lambda node: factory(node, TRUSTED))


def tokens_BT(rows: int = 3, length: int = 16) -> Tensor:
    return torch.arange(rows * length).remainder(VOCABULARY).view(rows, length)
