"""From words on a command line to one composition, settled and checked against the schema. Loads no file itself: lab/config/loading.py.

Compositions are cached by their overrides: the rule compares several of them, and a sweep's arms have most of them in common.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.config_loader import ConfigLoader

from lab.config import check, words
from lab.config.diff import flatten, node
from lab.config.filling import Filling
from lab.config.loading import Loading
from lab.config.options import OptionFiles
from lab.config.schema import components
from lab.errors import ConfigError

Made = TypeVar("Made")
UNCOUNTED_GROUPS = ("baseline", "change", "hooks")


@dataclass(frozen=True)
class Composition:
    """One composed configuration: what was typed, what it chose, and its tree with and without interpolations."""

    overrides: tuple[str, ...]  # as typed
    settled: tuple[str, ...]  # what the composer added where the baseline's values belong to another component
    choices: dict[str, str]  # config group -> option, nested groups by their path ("model/norm")
    unresolved: dict[str, Any]
    resolved: dict[str, Any]

    @cached_property
    def leaves(self) -> dict[str, Any]:
        return flatten(self.resolved)

    @cached_property
    def unresolved_leaves(self) -> dict[str, Any]:
        return flatten(self.unresolved)

    @property
    def baseline(self) -> str:
        return self.choices["baseline"]

    @property
    def change(self) -> str:
        return self.choices["change"]

    @property
    def hooks(self) -> dict[str, Any]:
        hooks: dict[str, Any] = self.resolved["hooks"]
        return hooks


class Composer:
    """Composes overrides under one project's conf/. Raises ConfigError for every user's mistake."""

    def __init__(self, root: Path, shell_folder: Path | None = None) -> None:
        self.root = root
        self.shell_folder = shell_folder or Path.cwd()
        self.conf = root / "conf"
        self.files = OptionFiles(self.conf)
        self.loading, self.filling = Loading(self.conf, self.files), Filling(self.files)
        self._cache: dict[tuple[str, ...], Composition] = {}
        self._loaded: dict[tuple[str, ...], tuple[dict[str, Any], dict[str, str]]] = {}

        self._once: dict[Hashable, Any] = {}

    @property
    def loader(self) -> ConfigLoader:
        return self.loading.loader

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` gives, made once: for what many compositions of this conf/ are compared with. Nobody may change it."""
        if key not in self._once:
            self._once[key] = make()
        made: Made = self._once[key]
        return made

    def compose(self, overrides: Sequence[str]) -> Composition:
        """The composition of some overrides, settled and checked."""
        key = tuple(overrides)
        if key not in self._cache:
            self._cache[key] = self._compose(key)
        return self._cache[key]

    def _compose(self, overrides: tuple[str, ...]) -> Composition:
        words.check_typed(overrides, self.files)
        raw, choices = self._load(overrides)
        settled = self._settle(overrides, raw, choices)
        if settled:
            raw, choices = self._load(overrides + settled)
        self._check_files(overrides + settled, choices)
        unresolved, resolved = self.typed(raw)
        check.check_components(resolved, choices, self.files)
        check.check_path(resolved, choices, self.files)
        check.check_constraints(resolved)
        if resolved["data"]["path"]:
            folder = self.shell_folder if "data.path" in words.typed_keys(overrides) else self.root
            resolved["data"]["path"] = os.path.normpath(folder / Path(resolved["data"]["path"]).expanduser())
        return Composition(overrides, settled, choices, unresolved, resolved)

    def choices(self, overrides: tuple[str, ...]) -> dict[str, str]:
        """What some overrides choose, unchecked."""
        return self._load(overrides)[1]

    def untyped(self, overrides: tuple[str, ...]) -> dict[str, Any]:
        """The plain tree of some overrides, interpolations kept, unchecked."""
        return self._load(overrides)[0]

    def _load(self, overrides: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, str]]:
        if overrides not in self._loaded:
            self._loaded[overrides] = self.loading.load(overrides)
        raw, choices = self._loaded[overrides]
        return copy.deepcopy(raw), dict(choices)

    def typed(self, raw: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """A plain tree merged into the schema: (unresolved, resolved), with the schema's types and defaults."""
        return self.filling.fill(raw)

    def _settle(self, overrides: tuple[str, ...], raw: dict[str, Any], choices: dict[str, str]) -> tuple[str, ...]:
        """Overrides that give a swapped component its own values, where the baseline pinned values for another one.

        A baseline's file outranks the options, so `trainer/optimizer=lion` would get adamw's pinned learning rate, and
        `hooks=none` a hook without a class. What the user typed and what a named intervention sets stays.
        """
        pinned = self.files.values_of("baseline", choices.get("baseline", "none"))
        paths = [path for path in flatten(pinned) if component_of(path)]
        if not paths:
            return ()
        named = flatten(self.files.values_of("change", choices.get("change", "none")))
        typed = words.typed_keys(overrides)
        pinned_targets = self._targets_of_baseline(choices["baseline"])
        added: dict[str, None] = {}
        for path in paths:
            at = component_of(path)
            assert at is not None
            here = node(raw, at) or {}
            if at.startswith("hooks.") and "_target_" not in here:
                added[f"~{at}"] = None
            elif here.get("_target_") != pinned_targets.get(at) and path not in named and path not in typed:
                value = node(self._own(choices), path)
                added[f"~{path}" if value is None else f"{path}={words.render(value)}"] = None
        return tuple(added)

    def _own(self, choices: Mapping[str, str]) -> dict[str, Any]:
        """What the chosen options say themselves, without the baseline's values."""
        return self._load((*(f"{g}={o}" for g, o in choices.items() if g not in UNCOUNTED_GROUPS), "~baseline"))[0]

    def _targets_of_baseline(self, name: str) -> dict[str, str]:
        """The class at each component's node in the baseline as its file stands."""
        raw, _ = self._load((f"baseline={name}",))
        return {path.removesuffix("._target_"): value for path, value in flatten(raw).items() if path.endswith("._target_")}

    def _check_files(self, overrides: tuple[str, ...], choices: dict[str, str]) -> None:
        """The chosen files say what values may be in a form that can be checked, and a hook's file writes the one key that it is
        named after: else two of them could write one, and their order would count.
        """
        hooks = [choices["hooks"]] if "hooks" in choices else self.loading.hooks(overrides)
        self.files.check_chosen([*choices.items(), *(("hooks", option) for option in hooks)])
        for option in hooks:
            written = [name for name in self.files.values_of("hooks", option) if name != option]
            if written:
                raise ConfigError(f"conf/hooks/{option}.yaml writes hooks.{written[0]}\nname the file and its key alike")


def component_of(path: str) -> str | None:
    """The component node that a leaf's path lies in: `model.norm` for `model.norm.eps`, `hooks.ema` for `hooks.ema.decay`."""
    if path.startswith("hooks.") and path.count(".") >= 2:
        return ".".join(path.split(".")[:2])
    return next((at for at in components() if at != "hooks" and path.startswith(at + ".")), None)
