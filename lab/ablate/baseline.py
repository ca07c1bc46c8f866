"""Pinning: writes `conf/baseline/NAME.yaml`, an option like any other, and `NAME.lock.json`, which holds it (lab/ablate/lock.py)."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lab.ablate.lock import SCHEMA, Pin, check_name, load_pin, lock_hash, lock_path, option_digest, option_path
from lab.config import words
from lab.config.compose import UNCOUNTED_GROUPS, Composer, Composition
from lab.config.diff import Move, flatten, moved, node, say
from lab.config.identity import as_before
from lab.errors import PinError
from lab.files import parse_object, write_file, write_json


def words_of_pin(composer: Composer, name: str, overrides: Sequence[str], again: bool = False) -> tuple[str, ...]:
    """The words whose composition is pinned: those typed, from the baseline of this name where it has an option already.

    Raises PinError when the name is taken (and not `again`), or unfit for a folder, or when a word belongs to a single run.
    """
    check_name(name)
    if lock_path(composer.root, name).exists() and not again:
        raise PinError(
            f"baseline `{name}` is pinned already\nchoose another name, or pin it anew: python -m lab pin {name} --again [overrides]"
        )
    for key in sorted(words.typed_keys(overrides) & {"seed", "note", "study", "explore"}):
        raise PinError(f"{key} belongs to a single run, a pin has none\nleave it out; the seeds of a baseline are judgement.seeds")
    starts = option_path(composer.root, name).exists() and "baseline" not in words.typed_keys(overrides)
    return (f"baseline={name}", *overrides) if starts else tuple(overrides)


def pin(composer: Composer, name: str, overrides: Sequence[str], again: bool = False) -> tuple[Pin, list[Move]]:
    """Write a baseline's option and lock. Returns the pin and, when pinned again, the leaves that moved. Raises as `words_of_pin`."""
    composition = composer.compose(words_of_pin(composer, name, overrides, again))
    option, lock = option_path(composer.root, name), lock_path(composer.root, name)
    before = Before(lock)
    if not option.exists() or overrides:
        write_file(option, option_text(composer, name, composition))
    fresh = Composer(composer.root).compose((f"baseline={name}",))
    parts: dict[str, Any] = {
        "file_digest": option_digest(option),
        "choices": {group: choice for group, choice in sorted(fresh.choices.items()) if group not in ("baseline", "change")},
        "overrides": [each for each in overrides if not each.startswith("data.path=")] if overrides else before.overrides,
        "composition": before.without_later(fresh.unresolved | {"data": fresh.unresolved["data"] | {"path": ""}}, fresh.resolved),
    }
    made = lock_hash(name, **parts)
    if made != before.sha256:
        before.keep()
        write_json(lock, {"schema": SCHEMA, "name": name} | parts | {"sha256": made})
    return load_pin(composer.root, name), moved(flatten(before.composition or parts["composition"]), flatten(parts["composition"]))


class Before:
    """The lock that a pin replaces: what it held, as far as it can be read, and its bytes, to be kept beside the new one."""

    def __init__(self, lock: Path) -> None:
        self.lock = lock
        self.content = lock.read_bytes() if lock.exists() else None
        whole = parse_object(self.content or b"") or {}
        self.sha256: str | None = whole.get("sha256")
        self.overrides: list[str] = whole.get("overrides", [])
        self.composition: dict[str, Any] = whole.get("composition", {})

    def without_later(self, unresolved: dict[str, Any], resolved: Mapping[str, Any]) -> dict[str, Any]:
        """A composition without the leaves that the lab gained since this lock, where they mean what was before them.

        So a lock stays as it is, and with it all that names it, until something moves.
        """
        if not self.composition:
            return unresolved
        there, found = flatten(self.composition), copy.deepcopy(unresolved)
        for path in flatten(unresolved):
            if path not in there and as_before(path, flatten(resolved)[path], resolved):
                parent, _, name = path.rpartition(".")
                holder = node(found, parent)
                assert isinstance(holder, dict)
                del holder[name]
        return found

    def keep(self) -> None:
        """Write the old lock to the first free NAME.lock.N.old.json."""
        if self.content is not None:
            stem = self.lock.name.removesuffix(".json")
            write_file(next(path for i in count(1) if not (path := self.lock.with_name(f"{stem}.{i}.old.json")).exists()), self.content)


def option_text(composer: Composer, name: str, composition: Composition) -> str:
    """The option file of a composition: what it chooses and sets apart from conf/config.yaml, and its judgement."""
    chosen = ["~baseline"]
    defaults = [f"  - override /{group}: {option}" for group, option in group_choices(composer, composition, chosen)]
    names = list(composition.hooks)
    if names:
        defaults.append(f"  - override /hooks: {names[0] if len(names) == 1 else '[' + ', '.join(names) + ']'}")
        chosen.append(f"hooks={'[' + ','.join(names) + ']'}")
    plain = flatten(composer.untyped(tuple(chosen)))
    values = {
        path: value
        for path, value in composition.unresolved_leaves.items()
        if not path.startswith("judgement.") and path not in ("explore", "note", "study") and plain.get(path, value) != value
    }
    if composition.resolved["data"]["path"]:
        values["data.path"] = relative_to_root(composer, composition)
    tree = OmegaConf.create({})
    for path, value in values.items():
        OmegaConf.update(tree, path, value)
    lines = [
        "# @package _global_",
        f"# Pinned with: python -m lab pin {name} {' '.join(words.shell(each) for each in composition.overrides)}",
        "",
    ]
    lines += ["defaults:", *defaults, ""] if defaults else []
    lines += [OmegaConf.to_yaml(tree)] if values else []
    judgement = composition.resolved["judgement"]
    lines += ["judgement:", *(f"  {key}: {say(value).replace(',', ', ')}" for key, value in judgement.items())]
    return "\n".join(lines) + "\n"


def relative_to_root(composer: Composer, composition: Composition) -> str:
    """data.path as conf/ keeps it: relative to the project, unless it was given absolute."""
    given, found = composition.unresolved["data"]["path"], composition.resolved["data"]["path"]
    return given if Path(given).is_absolute() else os.path.relpath(found, composer.root)


def group_choices(composer: Composer, composition: Composition, chosen: list[str]) -> list[tuple[str, str]]:
    """The group choices that make a composition, outer groups first, without those that follow from them.

    Each is appended to `chosen`, the overrides composed so far.
    """
    found = []
    for group in sorted(composition.choices, key=lambda each: (each.count("/"), each)):
        if group in UNCOUNTED_GROUPS:
            continue
        if composer.choices(tuple(chosen)).get(group) != composition.choices[group]:
            found.append((group, composition.choices[group]))
            chosen.append(f"{group}={composition.choices[group]}")
    return found
