"""A pin and its composition, ready to be compared with: checked and filled once for all arms of a sweep. Counts nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.ablate.lock import Pin, load_pin, lock_path, option_path
from lab.config.compose import Composer
from lab.config.diff import flatten
from lab.config.identity import with_later_keys


@dataclass(frozen=True)
class Pinned:
    """A pin, and its composition as today's schema fills it."""

    pin: Pin
    tree: dict[str, Any]
    leaves: dict[str, Any]


def pinned(composer: Composer, name: str) -> Pinned:
    """The pin of this name. Raises PinError. Made anew when one of its two files has changed since."""

    def made() -> Pinned:
        pin = load_pin(composer.root, name)
        _, tree = composer.typed(with_later_keys(pin.composition))
        return Pinned(pin, tree, flatten(tree))

    paths = lock_path(composer.root, name), option_path(composer.root, name)
    return composer.once((name, *(path.read_bytes() if path.is_file() else None for path in paths)), made)
