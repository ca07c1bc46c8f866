"""What a composition must satisfy after Hydra has composed it: known keys, right types, components whole, constraints kept.

Hydra accepts `+model.typo=3` and the last of two equal keys in silence, so all of this is checked here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from itertools import pairwise
from typing import Any, get_args

from lab.config.diff import flatten, node, say
from lab.config.options import OptionFiles
from lab.config.ranges import check_limits, check_range, nearest, require
from lab.config.schema import Leaf, TrainingConfig, components, kinds, leaves
from lab.errors import ConfigError


def refuse_resolvers(raw: Mapping[str, Any]) -> None:
    """`${oc.env:KEY}`, `${now:}` and their like: a secret or a clock would end up in the saved configuration."""
    for path, value in flatten(raw).items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and re.search(r"\$\{[^}]*:", text):
                raise ConfigError(
                    f"{path} is {text!r}: resolvers are not allowed in a run's configuration\nwrite the value, or ${{another.key}}"
                )


def refuse_missing(raw: Mapping[str, Any]) -> None:
    """`???` in an option file: the user has to give this value."""
    for path, value in flatten(raw).items():
        if value == "???":
            purpose = leaves()[path].doc if path in leaves() else "it has no default"
            raise ConfigError(f"{path} must be given ({purpose})\nadd {path}=VALUE")


def plain_numbers(tree: Any, path: str = "") -> Any:
    """One spelling for each number, in place: -0.0 is 0.0. Raises ConfigError for one that isn't finite."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            tree[key] = plain_numbers(value, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, list):
        tree[:] = [plain_numbers(value, path) for value in tree]
    elif isinstance(tree, float):
        require(math.isfinite(tree), f"{path}={tree}: a number must be finite")
        return tree + 0.0
    return tree


def whole_numbers(raw: dict[str, Any], schema: Any = TrainingConfig) -> None:
    """`1e6` where the schema wants a whole number: 1000000, in place. What isn't whole is left for the schema to refuse."""
    for name, kind in kinds(schema).items():
        value = raw.get(name)
        if isinstance(value, dict) and is_dataclass(kind):
            whole_numbers(value, kind)
        elif isinstance(value, float) and value.is_integer() and (kind is int or int in get_args(kind)):
            raw[name] = int(value)


def refuse_unknown_keys(raw: Mapping[str, Any]) -> None:
    """Keys that the schema lacks, with the nearest one that it has."""
    known, inside = leaves(), components()
    for path in flatten_with_empty(raw):
        if path in known or any(path.startswith(at + ".") or path == at for at in inside):
            continue
        if any(each.startswith(path + ".") for each in known):
            continue  # a node of the schema, given as a whole or empty
        raise ConfigError(f"unknown key {path}{nearest(path, known)}\n`python run.py --cfg job` shows every key")


def flatten_with_empty(raw: Mapping[str, Any]) -> list[str]:
    """Paths of all leaves, counting an empty mapping as one."""
    paths: list[str] = []
    for key, value in raw.items():
        if isinstance(value, Mapping) and value:
            paths += [f"{key}.{rest}" for rest in flatten_with_empty(value)]
        else:
            paths.append(str(key))
    return paths


def check_components(resolved: dict[str, Any], choices: Mapping[str, str], files: OptionFiles) -> None:
    """Each component has just the keys that its option file declares, with values of the declared types."""
    for at in component_nodes(resolved):
        here = node(resolved, at)
        declared = files.declared(at, choices)
        if declared is None:
            raise ConfigError(
                f"{at} has no option file that declares it\nadd conf/{at.replace('.', '/')}.yaml with its `_target_` and keys"
            )
        if not isinstance(here, dict) or "_target_" not in here:
            raise ConfigError(f"{at} needs a `_target_`\nchoose an option: {', '.join(files.groups.get(at.replace('.', '/'), []))}")
        check_trusted(at, here["_target_"], resolved["trusted_modules"])
        require(
            here["_target_"] == declared.get("_target_"),
            f"{at}._target_ is {here['_target_']}, its option's is {declared.get('_target_')}: a class comes with its option\n"
            f"choose another option, or add one under conf/{at.split('.')[0]}/",
        )
        extra, missing = sorted(here.keys() - declared.keys()), sorted(declared.keys() - here.keys())
        if extra:
            own = ", ".join(sorted(declared.keys() - {"_target_"})) or "no keys"
            raise ConfigError(f"unknown key {at}.{extra[0]}{nearest(extra[0], declared)}\n{here['_target_']} takes: {own}")
        if missing:
            raise ConfigError(f"{at}.{missing[0]} is missing: its option file declares it")
        ranges = files.ranges(at, choices)
        for key, value in here.items():
            here[key] = as_declared(f"{at}.{key}", value, declared[key])
            check_range(f"{at}.{key}", here[key], ranges.get(key))
            if declared[key] is None and type(value) is int and any(isinstance(limit, float) for limit in ranges.get(key, ())):
                here[key] = float(value)  # null is of no type, so the limits' tells: 30 and 30.0 are one setting


def component_nodes(tree: Mapping[str, Any]) -> list[str]:
    """The paths of all component nodes of a composition, each hook one."""
    return [at for at in components() if at != "hooks"] + [f"hooks.{name}" for name in tree["hooks"]]


def as_declared(path: str, value: Any, declared: Any) -> Any:
    """The value in the declared value's type. Raises ConfigError when it doesn't fit."""
    if declared is None or (isinstance(declared, str) and "${" in declared):
        return value
    if isinstance(declared, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(declared) is int and isinstance(value, float) and value.is_integer():
        return int(value)  # 1e6
    if isinstance(declared, list) and isinstance(value, list):
        require(
            len(value) == len(declared), f"{path}={say(value)} has {len(value)} entries, its option has {len(declared)}: {say(declared)}"
        )
        return [as_declared(f"{path}[{i}]", each, declared[0] if declared else None) for i, each in enumerate(value)]
    if type(value) is not type(declared) or (isinstance(value, float) and value != value):
        raise ConfigError(
            f"{path} is {say(value)!r}, but must be {KINDS.get(type(declared), 'of its default type')} (default: {say(declared)})"
        )
    return value


KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", list: "a list", dict: "a mapping"}


def check_trusted(at: str, target: str, trusted: list[str]) -> None:
    """`_target_` names code that will be called: only ours, and what the project's config.yaml lists."""
    if not isinstance(target, str) or not any(target.startswith(f"{module}.") for module in ("lab", *trusted)):
        raise ConfigError(
            f"{at}._target_ is {target!r}: only parts of `lab` and of the modules listed under trusted_modules in conf/config.yaml\n"
            f"add its module there to trust it"
        )


@cache
def bounded() -> dict[str, Leaf]:
    return {path: each for path, each in leaves().items() if each.choices or each.low is not None or each.high is not None}


def check_constraints(config: Mapping[str, Any]) -> None:
    """Ranges and choices of single leaves, then what must hold between several."""
    for path, each in bounded().items():
        value = node(config, path)
        if value is None or isinstance(value, Mapping):
            continue
        if each.choices and value not in each.choices:
            raise ConfigError(f"{path}={say(value)}: allowed are {', '.join(each.choices)}{nearest(str(value), each.choices)}")
        check_limits(path, value, each.low, each.high, each.unit)
    model, trainer, data = config["model"], config["trainer"], config["data"]
    require(
        model["d_model"] % model["n_heads"] == 0, f"model.d_model={model['d_model']} isn't a multiple of model.n_heads={model['n_heads']}"
    )
    require(model["dropout"] < 1, "model.dropout=1 would drop everything: it must be below 1")
    block = trainer["evaluation"]["block"]
    require(
        block <= model["context"],
        f"trainer.evaluation.block={block} is longer than model.context={model['context']}: the model can't read such a block",
    )
    step = trainer["batch_size"] * model["context"]
    few = f"trainer.tokens={trainer['tokens']} is less than two steps of {step} tokens (batch_size x context)\ntake a smaller batch"
    require(trainer["tokens"] >= 2 * step, few)
    require(trainer["tokens"] % step == 0, uneven_budget(trainer["tokens"], trainer["batch_size"], model["context"]))
    micro = config["device"]["micro_batch"]
    if micro == trainer["batch_size"]:
        config["device"]["micro_batch"] = None  # the same bits, one spelling
    require(
        micro is None or trainer["batch_size"] % micro == 0,
        f"trainer.batch_size={trainer['batch_size']} isn't a multiple of device.micro_batch={micro}",
    )
    held_out = data["validation_fraction"] + data["test_fraction"]
    require(data["validation_fraction"] > 0 and held_out < 1, "data.validation_fraction must be above 0 and leave text to train on")
    check_judgement(config["judgement"])


def check_attention(config: Mapping[str, Any]) -> None:
    """What needs the attention written out isn't asked for under the fused kernel. `device.attention` must be settled (not auto)."""
    if config["device"]["attention"] != "fused":
        return
    needs = [f"hooks.{name}.site={hook['site']}" for name, hook in config["hooks"].items() if names_scores(hook.get("site"))]
    if config["model"]["attention"].get("logit_cap") is not None:
        needs.append(f"model.attention.logit_cap={say(config['model']['attention']['logit_cap'])}")
    require(
        not needs,
        f"{', '.join(needs)}: torch's fused attention never shows its scores and weights\n"
        "add device.attention=written (no change: it decides bits, not the arm)",
    )


def names_scores(site: Any) -> bool:
    return isinstance(site, str) and site.endswith(("attention.scores", "attention.weights"))


def uneven_budget(tokens: int, batch_size: int, context: int) -> str:
    """What to say when a budget is no whole number of steps: two runs would be compared at unequal tokens."""
    step = batch_size * context
    fitting = [size for size in range(1, 4 * batch_size + 1) if tokens % (size * context) == 0]
    near = sorted(sorted(fitting, key=lambda size: abs(size - batch_size))[:4])
    budgets = " or ".join(str(steps * step) for steps in (tokens // step, tokens // step + 1) if steps > 1)
    sizes = f"batch sizes that fit: {', '.join(map(str, near))}; budgets" if near else "budgets that fit"
    return (
        f"trainer.tokens={tokens} is no whole number of steps of {batch_size} x {context} tokens (batch_size x context)\n{sizes}: {budgets}"
    )


def check_judgement(judgement: Mapping[str, Any]) -> None:
    """The pinned rules of judging: rising looks of at least 2 seeds, seeds enough and different, D a positive number or auto."""
    looks, seeds, smallest = judgement["looks"], judgement["seeds"], judgement["smallest_effect"]
    rising = bool(looks) and looks[0] >= 2 and all(a < b for a, b in pairwise(looks))
    require(rising, f"judgement.looks={say(looks)} must rise and start at 2 seeds or more")
    require(len(set(seeds)) == len(seeds), f"judgement.seeds={say(seeds)} names a seed twice")
    require(len(seeds) >= looks[-1], f"judgement.seeds lists {len(seeds)} seeds, the last look needs {looks[-1]}")
    number = isinstance(smallest, (int, float)) and not isinstance(smallest, bool) and smallest > 0
    require(
        judgement["direction"] == "lower",
        "judgement.direction=higher: both metrics, bits per byte and nats per token, are better when lower",
    )
    require(smallest == "auto" or number, f"judgement.smallest_effect={say(smallest)}: a positive number, or auto")


def check_path(resolved: Mapping[str, Any], choices: Mapping[str, str], files: OptionFiles) -> None:
    """A path is given just where the corpus reads one: else the user believes that another text was measured.

    An option says it by its own `path`: "" is not read, null may be given, ??? must be.
    """
    declared, path = files.values_of("data", choices["data"]).get("path"), resolved["data"]["path"]
    require(
        declared != "" or not path,
        f"data.path={path}: data={choices['data']} reads no data.path\nfor a text of your own: data=text data.path={path}",
    )
    require(declared != "???" or bool(path), "data.path must be given: it is empty\nadd data.path=FILE_OR_FOLDER")
