"""The hooks of conf/hooks as users get them, found by listing the folder: a new one is tested without a word."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from lab.config.options import read_yaml, without_ranges
from tests.conftest import CHECKOUT

OPTIONS: dict[str, dict[str, Any]] = {
    name: node for path in sorted((CHECKOUT / "conf" / "hooks").glob("*.yaml")) for name, node in without_ranges(read_yaml(path)).items()
}
NEEDS = {"tensorboard": "tensorboard"}
"""Packages that a hook needs and not every checkout has."""


def marked(names: list[str]) -> list[Any]:
    """The names as parameters; a hook whose package is missing is skipped, with the reason."""

    def mark(name: str) -> list[pytest.MarkDecorator]:
        missing = name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None
        return [pytest.mark.skip(reason=f"not run: the package {NEEDS[name]} isn't installed")] if missing else []

    return [pytest.param(name, marks=mark(name)) for name in names]


HOOKS = marked(list(OPTIONS))
OBSERVERS = marked([name for name, node in OPTIONS.items() if node.get("observes")])
ACTORS = marked([name for name, node in OPTIONS.items() if not node.get("observes")])


def with_hook(name: str, **values: Any) -> dict[str, Any]:
    """The changes to a tiny run that give it this hook, at its option's values but for these; an observer looks at every third step."""
    node = OPTIONS[name] | ({"every": 3} if "every" in OPTIONS[name] else {}) | values
    return {"hooks": {name: node}, **surroundings(node)}


def surroundings(node: dict[str, Any]) -> dict[str, Any]:
    """The attention path that a hook's site needs."""
    return {"device__attention": "written"} if node.get("site", "").endswith(("scores", "weights")) else {}


def files(folder: Path) -> dict[str, bytes]:
    """What a run wrote that must not depend on how often it was broken off."""
    return {name: (folder / name).read_bytes() for name in ("metrics.jsonl", "samples.txt")}
