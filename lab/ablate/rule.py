"""The rule of one change: what differs from the pinned baseline, counted. What is refused, and how, stands in refusal.py.

Counting compares compositions, never the words that made them. A **reference** grows from the baseline: first the named
intervention, then each changed group, outer groups first. What a choice brings belongs to that choice; what still differs
from the reference, unresolved and resolved, is a change of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from lab.ablate.lock import Pin
from lab.ablate.pinned import Pinned, pinned
from lab.config import words
from lab.config.compose import UNCOUNTED_GROUPS, Composer, Composition, component_of
from lab.config.diff import ABSENT, Change, Move, flatten, moved, same, say
from lab.config.identity import role_of
from lab.errors import ConfigError

COMPARED = ("factor", "protocol")


@dataclass(frozen=True)
class Tally:
    """What the rule says of one request."""

    pin: Pin
    composition: Composition
    base: Composition  # the baseline as today's conf/ composes it
    changes: tuple[Change, ...]
    incomparable: tuple[Move, ...]  # protocol and judgement leaves that differ from the pin
    stale: tuple[Change, ...]  # the incomparable leaves that an edit of conf/ moved since the pin, not this request
    held: tuple[Move, ...]  # derived leaves that were typed to stay where the baseline has them

    @property
    def exploring(self) -> bool:
        """Decided by content: `explore=true` on an ordinary run changes nothing."""
        return bool(self.composition.resolved["explore"]) and (len(self.changes) > 1 or bool(self.incomparable) or self.drifted)

    @property
    def drifted(self) -> bool:
        return any(change.kind == "drift" for change in self.changes)

    @property
    def label(self) -> str:
        """What makes the arm, as it would be typed after its baseline: `model/norm=rmsnorm`, or `baseline`."""
        moves = [f"{move.path}={say(move.new)}" for move in self.incomparable]
        return "+".join([label_of(change) for change in self.changes] + moves) or "baseline"


def label_of(change: Change) -> str:
    """One change as a short text; values typed at its own node follow without their path."""
    if change.kind in ("leaf", "drift"):
        return f"{change.path}={say(change.new)}"
    first, *attached = change.typed
    now = {move.path: move.new for move in change.moves}
    paths = [each.partition("=")[0].lstrip("+") for each in attached]
    return ",".join(
        [first, *(f"{path.removeprefix(change.path.replace('/', '.') + '.')}={say(now[path])}" for path in paths if path in now)]
    )


def count_changes(composer: Composer, overrides: tuple[str, ...]) -> Tally:
    """Compose, load the pin, count. Raises ConfigError and PinError; never refuses for the count itself."""
    composition = composer.compose(overrides)
    if composition.baseline == "none" or "baseline" not in composition.choices:
        raise ConfigError("this composition has no baseline\nadd baseline=NAME, or pin one: python -m lab pin NAME [overrides]")
    return Count(composer, pinned(composer, composition.baseline), composition).tally()


class Count:
    """One count: the pinned tree, today's baseline, and the reference as it grows."""

    def __init__(self, composer: Composer, pinned: Pinned, composition: Composition) -> None:
        self.composer, self.pin, self.composition = composer, pinned.pin, composition
        self.pinned_tree, self.pinned = pinned.tree, pinned.leaves
        pin = pinned.pin
        self.base = composer.compose((f"baseline={pin.name}",)) if composition.overrides else composition
        self.reference = self.base
        self.typed = {override.key_or_group: override.input_line or "" for override in words.parse(composition.overrides)}
        self.words = [f"baseline={pin.name}", *(self.typed[key] for key in ("data.path",) if key in self.typed)]  # a text must be somewhere

    def tally(self) -> Tally:
        composition = self.composition
        changes: list[Change] = []
        if not self.equal_to_pin():
            changes += self.named()
            changes += self.groups()
            changes += self.hooks()
            changes += self.leaves(changes)
            changes = [self.with_attached(change) for change in changes]
            changes += self.drift(changes)
        incomparable = [move for move in moved(self.pinned, composition.leaves) if self.role(move.path) in ("protocol", "judgement")]
        apart = tuple(incomparable), tuple(self.stale(incomparable)), tuple(self.held())
        return Tally(self.pin, composition, self.base, tuple(changes), *apart)

    def equal_to_pin(self) -> bool:
        return not self.factors(moved(self.pinned, self.composition.leaves))

    def role(self, path: str) -> str:
        """A leaf's role. A hook is a nuisance only if it says `observes` wherever it stands: pinned, in today's baseline, and typed."""
        sides = (self.pinned_tree["hooks"], self.base.hooks, self.composition.hooks)
        name = path.split(".")[1] if path.startswith("hooks.") else None
        roles = {role_of(path, hooks) for hooks in sides if name is None or name in hooks}
        return "nuisance" if roles == {"nuisance"} else max(roles - {"nuisance"}, default="nuisance")

    def factors(self, moves: list[Move]) -> list[Move]:
        return [move for move in moves if self.role(move.path) == "factor"]

    def advance(self, override: str) -> list[Move]:
        """Add an override to the reference. Returns the factor leaves that it moves."""
        before = self.reference
        self.words.append(override)
        self.reference = self.composer.compose(tuple(self.words))
        return self.factors(moved(before.leaves, self.reference.leaves))

    def named(self) -> list[Change]:
        name = self.composition.change
        if name == "none":
            return []
        moves = self.advance(f"change={name}")
        return [Change("named", "change", "none", name, f"conf/change/{name}.yaml", tuple(moves), (f"change={name}",))] if moves else []

    def groups(self) -> list[Change]:
        """Changed options, outer groups first; a nested choice that follows from an outer one, or stays, isn't counted."""
        found = []
        for group in sorted(self.composition.choices, key=lambda each: (each.count("/"), each)):
            want, pinned = self.composition.choices[group], self.base.choices.get(group)
            if group in UNCOUNTED_GROUPS or self.reference.choices.get(group) == want:
                continue
            moves = self.advance(f"{group}={want}")
            if want != pinned and moves:
                found.append(Change("group", group, pinned, want, self.source(group), tuple(moves), (f"{group}={want}",)))
        return found

    def hooks(self) -> list[Change]:
        """One change for each hook more or fewer."""
        before, now = self.counted_hooks(self.reference), self.counted_hooks(self.composition)
        found = []
        for name in sorted(before.keys() ^ now.keys()):
            old, new = before.get(name), now.get(name)
            at = f"hooks.{name}"
            moves = moved(flatten(old or {}, at + "."), flatten(new or {}, at + "."))
            names = [*before, name] if new is not None else [each for each in before if each != name]
            word = f"hooks={names[0]}" if len(names) == 1 else f"hooks=[{','.join(names)}]" if names else "hooks=none"
            old_word, new_word = ("absent", "present") if new is not None else ("present", "absent")
            found.append(Change("hook", at, old_word, new_word, self.source("hooks"), tuple(moves), (word,)))
        return found

    def counted_hooks(self, composition: Composition) -> dict[str, Any]:
        return {name: hook for name, hook in composition.hooks.items() if self.role(f"hooks.{name}.x") == "factor"}

    def leaves(self, changes: list[Change]) -> list[Change]:
        """Factor leaves that differ from the reference, unless they lie at a node that a counted option brought."""
        mine, reference = self.composition, self.reference
        found = []
        for move in self.factors(moved(reference.leaves, mine.leaves)):
            path = move.path
            if same(mine.unresolved_leaves.get(path), reference.unresolved_leaves.get(path)):
                continue  # derived: it moves with its source
            if same(move.new, self.pinned.get(path, ABSENT)) or any(self.owns(change, path) for change in changes):
                continue
            word = self.typed.get(path) or f"{path}={say(move.new)}"
            found.append(Change("leaf", path, self.pinned.get(path, ABSENT), move.new, self.source(path), (move,), (word,)))
        return found

    def owns(self, change: Change, path: str) -> bool:
        """Whether a leaf belongs to a change: at its hook's node, or at a node whose class its option changed."""
        at = component_of(path)
        if at is None:
            return False
        if change.kind == "hook":
            return at == change.path
        old, new = self.pinned.get(f"{at}._target_"), self.composition.leaves.get(f"{at}._target_")
        return change.kind in ("group", "named") and old != new and any(move.path == f"{at}._target_" for move in change.moves)

    def with_attached(self, change: Change) -> Change:
        """A change with the leaves typed at its own nodes, and with the values that the run will really have."""
        if change.kind == "leaf":
            return change
        paths = [path for path in self.typed if "." in path and self.owns(change, path)]
        now, told = self.composition.leaves, {move.path for move in change.moves}
        # a value that the new option hasn't, where the baseline's own option had the new option's
        more = [Move(path, self.pinned.get(path, ABSENT), now[path]) for path in paths if path in now and path not in told]
        moves = [replace(move, new=now.get(move.path, ABSENT)) if move.path in self.typed else move for move in change.moves]
        kept = tuple(move for move in (*moves, *more) if not same(move.old, move.new))
        return replace(change, moves=kept, typed=(*change.typed, *(self.typed[path] for path in paths)))

    def drift(self, changes: list[Change]) -> list[Change]:
        """Leaves that today's conf/ gives another value than the pin, and that nothing counted explains."""
        told = {move.path for change in changes for move in change.moves}
        drifted = {move.path for move in moved(self.pinned, self.base.leaves)}
        moves = self.factors(moved(self.pinned, self.composition.leaves))
        return [self.drift_of(move) for move in moves if move.path not in told and move.path in drifted]

    def stale(self, incomparable: list[Move]) -> list[Change]:
        """Of the leaves that make a run incomparable, those that today's baseline has moved as far, and that no typed key explains."""
        return [
            self.drift_of(move)
            for move in incomparable
            if same(move.new, self.base.leaves.get(move.path, ABSENT))
            and not {move.path, self.followed(self.composition, move.path)} & self.typed.keys()
        ]

    def drift_of(self, move: Move) -> Change:
        return Change("drift", move.path, move.old, move.new, f"{self.file_of(move.path)}, edited since the pin", (move,))

    def held(self) -> list[Move]:
        """Typed leaves that would have followed another change, and stay where the baseline has them."""
        mine, reference = self.composition, self.reference
        return [
            Move(path, reference.leaves.get(path, ABSENT), mine.leaves[path])
            for path in self.typed
            if path in mine.leaves
            and self.role(path) in COMPARED
            and same(mine.leaves[path], self.pinned.get(path, ABSENT))
            and not same(self.with_derived(path), mine.leaves[path])
        ]

    def with_derived(self, path: str) -> Any:
        """What a leaf would be here if the baseline's interpolation still stood."""
        source = self.followed(self.base, path)
        return self.reference.leaves.get(path, ABSENT) if source is None else self.composition.leaves.get(source, ABSENT)

    def followed(self, composition: Composition, path: str) -> str | None:
        """The leaf that a derived one follows in this composition; None where it stands for itself."""
        source = composition.unresolved_leaves.get(path)
        return source[2:-1] if isinstance(source, str) and source.startswith("${") else None

    def source(self, key: str) -> str:
        if key in self.typed:
            return "command line"
        outer = next((group for group in self.typed if "/" not in key and key.startswith(group.replace("/", ".") + ".")), None)
        return f"conf/{outer}" if outer else self.file_of(key)

    def file_of(self, path: str) -> str:
        """The option file that gives a leaf its value; for a leaf that is gone, the file of what is left around it."""
        names = path.replace("/", ".").split(".")
        for depth in range(len(names), 0, -1):
            group = "/".join(names[:depth])
            if group in self.composition.choices:
                option = self.composer.files.origin(group, self.composition.choices[group], ".".join(names[depth:]))
                if option is not None:
                    return f"conf/{group}/{option}.yaml"
        if path.startswith("hooks."):
            return f"conf/hooks/{names[1]}.yaml"
        return self.file_of(".".join(names[:-1])) if len(names) > 1 else "conf/config.yaml"
