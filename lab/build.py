"""From a configuration and prepared data to the parts of a run. The last room that sees a config: parts get plain arguments."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from lab import streams
from lab.data.batches import Batches
from lab.data.prepare import PreparedData
from lab.data.tokenfile import TokenFile
from lab.device import autocast
from lab.errors import ConfigError
from lab.model.block import Components
from lab.model.dropout import DropoutKeys, KeyedDropout
from lab.model.gpt import GPT
from lab.model.init.draws import initialise
from lab.train.groups import parameter_groups
from lab.train.hook import in_order
from lab.train.loop import Loop
from lab.train.state import TrainingState
from lab.train.stopwatch import Stopwatch

NOT_ARGUMENTS = ("_target_", "observes")


@dataclass(frozen=True)
class Parts:
    """What an experiment is made of."""

    model: nn.Module
    loop: Loop
    batches: Batches
    micro_batches: int
    """how many backward passes make one step"""


def build(config: Mapping[str, Any], data: PreparedData, clock: Callable[[], float]) -> Parts:
    """Every part of the run that a resolved, checked configuration describes; its weights are at their first values.

    `clock` gives seconds, for the stopwatch.
    """
    seed, trainer, device = config["seed"], config["trainer"], config["device"]
    made = partial(factory, trusted=config["trusted_modules"])
    dropout = DropoutKeys(seed)
    place = torch.device(device["kind"])
    model = build_model(config["model"], device["attention"], data.tokenizer.vocabulary, seed, dropout, made).to(place)
    groups = parameter_groups(model.named_parameters(), trainer["decay"], trainer["rate"])
    state = TrainingState(
        model,
        made(trainer["optimizer"])(groups, fused=device["fused_optimizer"]),
        steps=trainer["tokens"] // (trainer["batch_size"] * config["model"]["context"]),
        seed=seed,
        tokenizer=data.tokenizer,
        forward_in=partial(autocast, place, trainer["precision"]),
    )
    loop = Loop(
        state,
        made(trainer["schedule"])(),
        build_hooks(config["hooks"], made),
        dropout,
        Stopwatch(clock),
        micro_batch=device["micro_batch"],
        ceiling=trainer["divergence_ceiling"],
        compiled=device["compile"],
    )
    train_T = TokenFile.open(data.train.path)
    batches = Batches(train_T, config["model"]["context"], trainer["batch_size"], partial(streams.key, seed, "data"))
    return Parts(model, loop, batches, -(-trainer["batch_size"] // (device["micro_batch"] or trainer["batch_size"])))


def build_hooks(hooks: Mapping[str, Any], made: Callable[[Mapping[str, Any]], Callable[..., Any]]) -> dict[str, Any]:
    """The hooks, in the order in which they speak.

    Whether a hook only observes is said by its class and by its option, and both must say the same: an observer isn't counted.
    """
    built = {}
    for name, node in hooks.items():
        built[name] = made(node)()
        says = getattr(built[name], "observes", None)
        if says is not node.get("observes", False):
            raise ConfigError(
                f"hooks.{name}: the class says observes = {says}, its option says {node.get('observes', False)}\n"
                f"make conf/hooks/{name}.yaml say what {node['_target_']} says"
            )
    return in_order(built)


def build_model(
    model: Mapping[str, Any],
    attention_path: str,
    vocabulary: int,
    seed: int,
    dropout: DropoutKeys,
    made: Callable[[Mapping[str, Any]], Callable[..., Any]],
) -> GPT:
    """A model with its first weights; every draw comes from the seed and the parameter's name."""
    gpt = GPT(
        vocabulary=vocabulary,
        context=model["context"],
        width=model["d_model"],
        layers=model["n_layers"],
        heads=model["n_heads"],
        tied=model["tie_embeddings"],
        components=Components(
            norm=made(model["norm"]),
            mlp=made(model["mlp"]),
            position=made(model["position"]),
            attention=partial(made(model["attention"]), path=attention_path),
            dropout=partial(KeyedDropout, share=model["dropout"], keys=dropout),
        ),
    )
    initialise(gpt, made(model["init"])(), seed=seed, layers=model["n_layers"])
    return gpt


def factory(node: Mapping[str, Any], trusted: Sequence[str]) -> Callable[..., Any]:
    """What a component's `_target_` names, with the component's keys as its keyword arguments.

    The configuration was checked for trust where it was composed; that it was is our promise to the user.
    """
    module, _, name = node["_target_"].rpartition(".")
    assert any(f"{module}.".startswith(f"{each}.") for each in ("lab", *trusted)), f"{module} isn't trusted"
    try:
        target = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, SyntaxError) as error:
        raise ConfigError(f"{node['_target_']} can't be loaded: {error}\ncheck `_target_` in its option file, and that module") from error
    values = {key: value for key, value in node.items() if key not in NOT_ARGUMENTS}

    def make(*arguments: Any, **more: Any) -> Any:
        try:
            return target(*arguments, **values, **more)
        except (TypeError, ValueError) as error:
            given = ", ".join(f"{key}={each}" for key, each in values.items()) or "no values"
            raise ConfigError(f"{error}\n{node['_target_']} was given {given}") from error

    return make
