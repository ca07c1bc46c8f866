"""A loaded tree filled into the schema: its types, its defaults, and its interpolations, kept and resolved. Loads no file.

The arms of a sweep differ in a value or two, and building the schema's nodes anew is most of the work. So a tree with the keys of one
that was filled before is filled as a copy of that one, value by value; whatever is odd about it is left to the whole merge to say.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lab.config import check, words
from lab.config.options import OptionFiles, coerce_components
from lab.config.schema import TrainingConfig

Path = tuple[str, ...]
Filled = tuple[dict[str, Any], dict[str, Any]]
MOST = 8  # values that may differ; with more, the whole merge costs no more


class Filling:
    """Fills trees into the schema. Raises ConfigError for an unknown key, a missing value, and a value of another type."""

    def __init__(self, files: OptionFiles) -> None:
        self.files = files
        self._known: dict[frozenset[Path], tuple[dict[Path, Any], DictConfig]] = {}

    def fill(self, raw: dict[str, Any]) -> Filled:
        """(unresolved, resolved)."""
        check.refuse_resolvers(raw)
        check.refuse_unknown_keys(raw)
        check.refuse_missing(raw)
        check.whole_numbers(raw)
        with words.explained((), self.files):
            tree = self.tree(raw)
            unresolved, resolved = OmegaConf.to_container(tree, resolve=False), OmegaConf.to_container(tree, resolve=True)
        assert isinstance(unresolved, dict) and isinstance(resolved, dict)
        trees = {str(key): value for key, value in unresolved.items()}, {str(key): value for key, value in resolved.items()}
        coerce_components(*trees)
        for each in trees:
            check.plain_numbers(each)
        return trees

    def tree(self, raw: dict[str, Any]) -> DictConfig:
        """The schema's nodes with this tree's values. Nobody may change them."""
        leaves = dict(leaves_of(raw))
        keys = frozenset(leaves)
        if keys in self._known:
            near = with_values(*self._known[keys], leaves)
            if near is not None:
                return near
        tree = OmegaConf.merge(schema(), raw)
        assert isinstance(tree, DictConfig)
        self._known[keys] = leaves, tree
        return tree


@cache
def schema() -> DictConfig:
    """The schema's nodes at their defaults. A merge copies them."""
    made = OmegaConf.structured(TrainingConfig)
    assert isinstance(made, DictConfig)
    return made


def with_values(known: Mapping[Path, Any], tree: DictConfig, leaves: Mapping[Path, Any]) -> DictConfig | None:
    """A filled tree with the values of another that has the same keys; None where too many differ, or one doesn't fit."""
    other = [path for path, value in leaves.items() if repr(value) != repr(known[path])]  # repr: True isn't 1, and -0.0 isn't 0.0
    if len(other) > MOST:
        return None
    made = copy.deepcopy(tree)
    try:
        for *way, key in other:
            node: Any = made
            for each in way:
                node = node[each]
            node[key] = leaves[(*way, key)]
    except (OmegaConfBaseException, KeyError, TypeError, ValueError):
        return None
    return made


def leaves_of(tree: Mapping[str, Any], way: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every leaf by the keys that lead to it; an empty node is one."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves_of(value, (*way, key))
        else:
            yield (*way, key), value
