"""Pinning: writes `conf/baseline/NAME.yaml`, an option like any other, and `NAME.lock.json`, which holds it (lab/ablate/lock.py)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from lab.ablate.lock import SCHEMA, Pin, check_name, load_pin, lock_hash, lock_path, option_digest, option_path
from lab.config import words
from lab.config.compose import UNCOUNTED_GROUPS, Composer, Composition
from lab.config.diff import Move, flatten, moved, say
from lab.errors import PinError
from lab.files import read_json, write_file, write_json


def pin(composer: Composer, name: str, overrides: Sequence[str], again: bool = False) -> tuple[Pin, list[Move]]:
    """Write a baseline's option and lock. Returns the pin and, when pinned again, the leaves that moved.

    Raises PinError when the name is taken (and not `again`), or unfit for a folder.
    """
    check_name(name)
    option, lock = option_path(composer.root, name), lock_path(composer.root, name)
    if lock.exists() and not again:
        raise PinError(
            f"baseline `{name}` is pinned already\nchoose another name, or pin it anew: python -m lab pin {name} --again [overrides]"
        )
    old = read_json(lock)["composition"] if lock.exists() else None
    if option.exists() and not words.typed_keys(overrides) & {"baseline"}:
        overrides = (f"baseline={name}", *overrides)
    composition = composer.compose(tuple(overrides))
    if lock.exists():
        kept = next(path for i in range(1, 10_000) if not (path := lock.with_name(f"{name}.lock.{i}.old.json")).exists())
        write_file(kept, lock.read_bytes())
    if not option.exists() or len(overrides) > 1:
        write_file(option, option_text(composer, name, composition))
    fresh = Composer(composer.root).compose((f"baseline={name}",))
    content = {
        "schema": SCHEMA,
        "name": name,
        "file_digest": option_digest(option),
        "choices": {group: choice for group, choice in sorted(fresh.choices.items()) if group not in ("baseline", "change")},
        "overrides": [each for each in overrides if not each.startswith(("data.path=", f"baseline={name}"))],
        "composition": fresh.unresolved | {"data": fresh.unresolved["data"] | {"path": ""}},
    }
    keys = ("file_digest", "choices", "overrides", "composition")
    write_json(lock, content | {"sha256": lock_hash(name, *(content[key] for key in keys))})  # type: ignore[arg-type]
    return load_pin(composer.root, name), moved(flatten(old), flatten(content["composition"])) if old else []  # type: ignore[arg-type]


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
