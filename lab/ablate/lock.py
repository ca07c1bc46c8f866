"""A pinned baseline as its lock holds it, checked against itself and against its option file. Composes nothing.

The lock keeps the option's digest, the choices, what was typed, the whole composition and its SHA-256; no code and no data
path, so it is the same on every machine. An edited lock or an edited option is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.config.diff import ABSENT, Move, flatten, same, say
from lab.config.options import read_yaml
from lab.errors import PinError
from lab.files import read_json, sha256_of

SCHEMA = 1
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True)
class Pin:
    """A baseline as its lock holds it: the composition is unresolved, the hash covers all of it."""

    name: str
    sha256: str
    choices: dict[str, str]
    overrides: tuple[str, ...]
    composition: dict[str, Any]

    @property
    def short(self) -> str:
        return self.sha256[:8]

    @property
    def judgement(self) -> dict[str, Any]:
        judgement: dict[str, Any] = self.composition["judgement"]
        return judgement


def option_path(root: Path, name: str) -> Path:
    return root / "conf" / "baseline" / f"{name}.yaml"


def lock_path(root: Path, name: str) -> Path:
    return root / "conf" / "baseline" / f"{name}.lock.json"


def check_name(name: str) -> None:
    """Raise PinError for a name that can't be a folder's and an option's."""
    if not NAME.fullmatch(name) or name == "none":
        raise PinError(f"{name!r} can't name a baseline: use lower-case letters, digits, - and _, at most 40 characters")


def load_pin(root: Path, name: str) -> Pin:
    """A baseline's lock, checked against itself and against its option file. Raises PinError."""
    check_name(name)
    lock, option = lock_path(root, name), option_path(root, name)
    again = f"\nbring it back from git, or pin it anew: python -m lab pin {name} --again"
    if not option.is_file():
        known = sorted(path.name.removesuffix(".lock.json") for path in lock.parent.glob("*.lock.json"))
        raise PinError(
            f"there is no baseline `{name}`\nbaselines: {', '.join(known) or 'none'}; make one: python -m lab pin {name} [overrides]"
        )
    if not lock.is_file():
        raise PinError(f"baseline `{name}` has no lock: {lock.relative_to(root)} is missing{again}")
    try:
        content = read_json(lock)
        pin = Pin(content["name"], content["sha256"], content["choices"], tuple(content["overrides"]), content["composition"])
        file_digest, schema = content["file_digest"], content["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PinError(f"the lock of baseline `{name}` can't be read: {error}{again}") from None
    if schema != SCHEMA:
        raise PinError(
            f"the lock of baseline `{name}` has format {schema}, this lab reads {SCHEMA}\nuse the lab's version that wrote it{again}"
        )
    found = lock_hash(pin.name, file_digest, pin.choices, pin.overrides, pin.composition)
    if found != pin.sha256 or pin.name != name:
        raise PinError(f"the lock of baseline `{name}` was edited: it says {pin.sha256[:8]}, its content gives {found[:8]}{again}")
    if option_digest(option) != file_digest:
        rows = "".join(f"\n  {move.path}   {say(move.old)} -> {say(move.new)}" for move in edited(option, pin))
        raise PinError(f"{option.relative_to(root)} was edited since it was pinned: a pinned baseline doesn't change{rows}{again}")
    return pin


def edited(option: Path, pin: Pin) -> list[Move]:
    """The values in a baseline's file that its lock has otherwise. A line taken away, or another option, isn't among them."""
    held = flatten(pin.composition)
    written = {path: value for path, value in flatten(without_data_path(read_yaml(option))).items() if path != "defaults"}
    return [Move(path, held.get(path, ABSENT), value) for path, value in written.items() if not same(held.get(path, ABSENT), value)]


def lock_hash(name: str, file_digest: str, choices: Mapping[str, str], overrides: Sequence[str], composition: Mapping[str, Any]) -> str:
    """The hash that a lock carries: over everything else in it."""
    parts = {"name": name, "file_digest": file_digest, "choices": dict(choices), "overrides": list(overrides)}
    return sha256_of(parts | {"composition": dict(composition)})


def option_digest(path: Path) -> str:
    """Digest of an option's content: not its comments, and not data.path, which may differ between machines."""
    return sha256_of(without_data_path(read_yaml(path)))


def without_data_path(tree: Mapping[str, Any]) -> dict[str, Any]:
    data = tree.get("data")
    if not isinstance(data, Mapping):
        return dict(tree)
    rest = {key: value for key, value in data.items() if key != "path"}
    return {key: value for key, value in tree.items() if key != "data"} | ({"data": rest} if rest else {})
