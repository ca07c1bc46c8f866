"""The option files under conf/: which groups and options there are, and what one of them declares. Composes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf._utils import get_yaml_loader
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from lab.config.diff import node
from lab.config.ranges import RANGE, check_ranges
from lab.config.schema import components
from lab.errors import ConfigError

LARGEST_OPTION_FILE = 256 << 10
STUDIES = "study"  # a folder of conf/ that holds no options: each file in it declares a study (lab/sweep/declared.py)
# Hydra's hand on the environment: the first saves variables of it, secrets too; the second would steer libraries past the fingerprints.
ENVIRONMENT = ("env_copy", "env_set")
SUSPECT = re.compile(rb"[*\\]|" + "|".join(ENVIRONMENT).encode())  # a file without any of these is plain: spares reading most of them


class OptionFiles:
    """The option files under conf/: which groups and options there are, and the values that one of them declares."""

    def __init__(self, conf: Path) -> None:
        self.conf = conf
        self._values: dict[tuple[str, str], dict[str, Any]] = {}
        self._plain = False

    def require_plain(self) -> None:
        """Every file under conf/ may be loaded, by Hydra too. Raises ConfigError. Asked once: edits come with another process."""
        if not self._plain:
            for path in sorted(self.conf.rglob("*.yaml")):
                with suppress(OSError):  # told where it is chosen
                    require_plain(path)
        self._plain = True

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """Config group -> its options, by walking conf/."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.conf.rglob("*.yaml")):
            group = path.parent.relative_to(self.conf).as_posix()
            if group != "." and group.partition("/")[0] != STUDIES:
                found.setdefault(group, []).append(path.stem)
        return found

    @cached_property
    def studies(self) -> list[str]:
        """The studies that are declared by hand."""
        return sorted(path.stem for path in (self.conf / STUDIES).glob("*.yaml"))

    def values_of(self, group: str, option: str) -> dict[str, Any]:
        """What an option's file sets, without its defaults list and ranges; an absent file sets nothing."""
        return without_ranges(self.file_of(group, option))

    def file_of(self, group: str, option: str) -> dict[str, Any]:
        """An option's file as it stands, without its defaults list."""
        if (group, option) not in self._values:
            path = self.conf / group / f"{option}.yaml"
            self._values[group, option] = {k: v for k, v in read_yaml(path).items() if k != "defaults"} if path.is_file() else {}
        return self._values[group, option]

    def declared(self, at: str, choices: Mapping[str, str]) -> dict[str, Any] | None:
        """The keys and values that the chosen option file declares for a component node; None for a hook without a file."""
        here = self._spot(at, choices)
        return None if here is None else without_ranges(here)

    def ranges(self, at: str, choices: Mapping[str, str]) -> dict[str, list[Any]]:
        """What the keys of a component may be: `[low, high]` in numbers (null: no end), or the words that are allowed."""
        return (self._spot(at, choices) or {}).get(RANGE) or {}

    def check_chosen(self, chosen: Iterable[tuple[str, str]]) -> None:
        """Every `_range_` in the files of these options holds something that can be checked. Raises ConfigError."""
        for group, option in chosen:
            check_ranges(self.file_of(group, option), f"{self.conf.name}/{group}/{option}.yaml")

    def origin(self, group: str, option: str, path: str) -> str | None:
        """The option of a group whose file sets this path, or which exists where the path is empty: itself, or one that it starts from."""
        if not path or node(self.values_of(group, option), path) is not None:
            return option
        file = self.conf / group / f"{option}.yaml"
        listed = read_yaml(file).get("defaults", []) if file.is_file() else []
        inherited = [each for each in listed if isinstance(each, str) and each not in ("_self_", option)]
        return next((found for each in reversed(inherited) if (found := self.origin(group, each, path)) is not None), None)

    def options_having(self, nodes: Iterable[str]) -> dict[str, list[str]]:
        """For each key of these component nodes, the options that have it, as they are typed: `trainer.optimizer.momentum` -> its two."""
        found: dict[str, list[str]] = {}
        for at in nodes:
            group, outer = at.replace(".", "/"), at.partition(".")[0]
            for each in (group, outer) if group != outer else (group,):
                for option in self.groups.get(each, []):
                    for key in self.declared(at, {each: option}) or {}:
                        if key != "_target_" and at != "hooks":
                            found.setdefault(f"{at}.{key}", []).append(f"{each}={option}")
        return found

    def _spot(self, at: str, choices: Mapping[str, str]) -> dict[str, Any] | None:
        """The node in the chosen option file; a group's option may spell a component out itself (`data.corpus` in conf/data/text.yaml)."""
        if at.startswith("hooks."):
            name = at.removeprefix("hooks.")
            return self.file_of("hooks", name).get(name)
        group = at.replace(".", "/")
        if group in choices:
            return self.file_of(group, choices[group])
        outer, _, rest = at.partition(".")
        return node(self.file_of(outer, choices[outer]), rest) if outer in choices else None


def without_ranges(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A tree without its `_range_` nodes, at every depth."""
    return {key: without_ranges(value) if isinstance(value, Mapping) else value for key, value in tree.items() if key != RANGE}


def coerce_components(*trees: dict[str, Any]) -> None:
    """Numbers of components in one form: `1e-3` read as text becomes a float (YAML 1.1 and JSON disagree on it)."""
    for tree in trees:
        for at in components():
            spot = node(tree, at)
            if isinstance(spot, dict):
                _coerce_numbers(spot)


def _coerce_numbers(spot: dict[str, Any]) -> None:
    for key, value in spot.items():
        if isinstance(value, dict):
            _coerce_numbers(value)
        elif isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
            spot[key] = float(value)


def require_plain(path: Path) -> None:
    """Refuse a file that is too large, repeats itself by aliases, or lets Hydra at the environment. Raises ConfigError.

    Before anything expands it: 258 bytes of aliases cost OmegaConf 42 s. What isn't YAML is told by whoever loads it.
    """
    content = path.read_bytes() if path.stat().st_size <= LARGEST_OPTION_FILE else None
    if content is None:
        raise ConfigError(f"{path} has {path.stat().st_size} bytes; a configuration file has at most {LARGEST_OPTION_FILE}")
    if not SUSPECT.search(content):
        return
    in_key = False
    with suppress(yaml.YAMLError):
        for token in yaml.scan(content):
            in_key = isinstance(token, yaml.KeyToken) or (in_key and not isinstance(token, yaml.ValueToken))
            where = f"{path}, line {token.start_mark.line + 1}"
            if isinstance(token, yaml.AliasToken):
                raise ConfigError(f"{where}: *{token.value} is a YAML alias; few bytes of them can stand for millions\nwrite the value out")
            if in_key and isinstance(token, yaml.ScalarToken) and token.value in ENVIRONMENT:
                raise ConfigError(
                    f"{where}: hydra.job.{token.value} reads or sets the environment, past what a run is known by\nleave it out"
                )


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as a plain tree, interpolations kept. Raises ConfigError when it is too large, has aliases or isn't a mapping."""
    require_plain(path)
    tree = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold `key: value` lines")
    return {str(key): value for key, value in tree.items()}


def read_stored(path: Path) -> dict[str, Any]:
    """A run's own YAML file, which the lab wrote: the same plain tree as by `read_yaml`, ten times as quick. Raises as that does.

    Its interpolations were resolved before it was written, so nothing of OmegaConf's is needed but its reading of numbers and words.
    """
    require_plain(path)
    with path.open(encoding="utf-8") as stream:
        tree = yaml.load(stream, Loader=quick_loader())
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold `key: value` lines")
    return {str(key): value for key, value in tree.items()}


@cache
def quick_loader() -> type[yaml.SafeLoader]:
    """OmegaConf's reading of YAML, parsed by libyaml where PyYAML was built with it. Safe: it makes plain values only."""
    rules: type[yaml.SafeLoader] = get_yaml_loader()
    if not yaml.__with_libyaml__:
        return rules
    from yaml.cyaml import CParser  # type: ignore[attr-defined]  # there where libyaml is

    class Quick(CParser, rules):  # type: ignore[valid-type, misc]  # a class that a function made
        def __init__(self, stream: Any) -> None:
            CParser.__init__(self, stream)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

    return Quick
