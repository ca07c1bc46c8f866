"""Hydra's part of a composition: which option files some words choose, merged in its order, and the typed values laid over them.

Owns every meeting with Hydra's loader, and reads each file under conf/ once: what two compositions choose alike is merged once. Checks
nothing, fills nothing in, and leaves out Hydra's own settings: run.py lets Hydra compose those itself.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.defaults_list import DefaultsList, create_defaults_list
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

from lab.config import words
from lab.config.options import OptionFiles, without_ranges

CONFIG = "config"


class Read(CachingConfigRepository):
    """The files of a conf/, each read once; handed out as copies where they are merged, since merging takes nodes as they are."""

    def __init__(self, kept: CachingConfigRepository) -> None:  # not super's, which would copy all that it holds
        self.delegate, self.cache = kept.delegate, kept.cache

    def load_config(self, config_path: str) -> ConfigResult | None:
        return copy.deepcopy(super().load_config(config_path))


class Loading:
    """Loads overrides under one conf/. Raises ConfigError for what Hydra can't load."""

    def __init__(self, conf: Path, files: OptionFiles) -> None:
        self.conf, self.files = conf, files
        self._lists: dict[tuple[str, ...], DefaultsList] = {}
        self._merged: dict[tuple[str, ...], DictConfig] = {}
        self._groups: dict[str, bool] = {}

    @cached_property
    def loader(self) -> ConfigLoader:
        """Hydra's loader of this conf/. Inside a Hydra application its own stays as it is."""
        application = GlobalHydra.instance()
        running, application.hydra = application.hydra, None
        try:
            with initialize_config_dir(str(self.conf), version_base="1.3"):
                return application.config_loader()
        finally:
            application.hydra = running

    def load(self, overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
        """The plain tree of some overrides, interpolations kept, and the options that they choose: group -> option."""
        with words.explained(overrides, self.files):
            chosen, values = self.apart(overrides)
            choices = self.defaults(chosen).overrides.known_choices
            tree = copy.deepcopy(self.merged(chosen)) if values else self.merged(chosen)
            ConfigLoaderImpl._apply_overrides_to_config(values, tree)
            raw = OmegaConf.to_container(tree, resolve=False)
        assert isinstance(raw, dict)
        study = words.study_of(overrides)
        named = {} if study is None else {"study": study}
        plain = without_ranges({str(key): value for key, value in raw.items() if key != "hydra"} | named)
        return plain, {group: option for group, option in choices.items() if not group.startswith("hydra/") and option is not None}

    def hooks(self, overrides: Sequence[str]) -> list[str]:
        """The files of hooks that are chosen: Hydra's choices hold no record of a list."""
        with words.explained(overrides, self.files):
            paths = [each.config_path or "" for each in self.defaults(self.apart(overrides)[0]).defaults]
        return [path.removeprefix("hooks/") for path in paths if path.startswith("hooks/")]

    def apart(self, overrides: Sequence[str]) -> tuple[tuple[str, ...], list[Override]]:
        """The words that choose options, and those that set values: as Hydra tells them apart. Neither names a study or Hydra's own."""
        chosen, values = [], []
        for text, override in zip(overrides, words.parse(overrides), strict=True):
            key = override.key_or_group
            if key == "study" or override.is_hydra_override():
                continue
            if self.is_group(key) and not isinstance(override.value(), dict):
                chosen.append(text)
            else:
                values.append(override)
        return tuple(chosen), values

    def is_group(self, key: str) -> bool:
        if key not in self._groups:
            self._groups[key] = self._files.group_exists(key)
        return self._groups[key]

    @cached_property
    def _files(self) -> CachingConfigRepository:
        """Every file as Hydra reads it, on the search path that conf/config.yaml gives. The study is no option: it stays unread."""
        assert isinstance(self.loader, ConfigLoaderImpl)
        return self.loader._parse_overrides_and_create_caching_repo(CONFIG, [])[1]

    def defaults(self, chosen: tuple[str, ...]) -> DefaultsList:
        """Hydra's own list of the files that these words choose."""
        if chosen not in self._lists:
            parsed = words.parse(chosen)
            self._lists[chosen] = create_defaults_list(self._files, CONFIG, parsed, prepend_hydra=True, skip_missing=False)
        return self._lists[chosen]

    def merged(self, chosen: tuple[str, ...]) -> DictConfig:
        """The files that these words choose, merged, closed to keys that they lack. Nobody may change it."""
        if chosen not in self._merged:
            assert isinstance(self.loader, ConfigLoaderImpl)
            listed = [each for each in self.defaults(chosen).defaults if not (each.config_path or "").startswith("hydra/")]
            tree = self.loader._compose_config_from_defaults_list(listed, Read(self._files))
            tree.pop("hydra", None)
            OmegaConf.set_struct(tree, True)
            self._merged[chosen] = tree
        return self._merged[chosen]
