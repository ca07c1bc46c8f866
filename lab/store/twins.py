"""Twins: the same run trained once more, beside the first, since somebody wants observers or a cadence that it hasn't.

Owns which directory a request gets: a finished one that has all it wants, one to go on with, or the place of a new twin; and what
must be equal between twins. Reads manifests and configurations; claims, trains and writes nothing, imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yaml import YAMLError

from lab.config.diff import ABSENT, flatten, moved, same, say
from lab.config.identity import schema_defaults, with_later_keys
from lab.config.options import read_stored
from lab.errors import ConfigError, StoreError
from lab.files import read_sealed
from lab.store.layout import RunFolder, run_folders

FIRST_TWIN = 2  # the run itself has no number
SHORT = 12  # characters of an identity in a directory's name
NAMED = re.compile(rf"seed=\d+-(?P<id>[0-9a-f]{{{SHORT}}})(?:\.(?P<number>\d+))?")


@dataclass(frozen=True)
class Choice:
    """Which directory a request gets. With neither of the two there is no such run yet: it's trained where a first one is."""

    folder: RunFolder | None  # finished and with all that is wanted, or to go on with
    beside: RunFolder | None  # else where a twin of a finished run is trained
    missing: tuple[str, ...]  # what the finished run that has most hasn't, or the one to go on with


@dataclass(frozen=True)
class Stored:
    """One directory of the run: its number (1: no twin), whether it has a result, and what of the wanted it hasn't."""

    folder: RunFolder
    number: int
    done: bool
    missing: tuple[str, ...]


Listed = Mapping[str, Sequence[RunFolder]]  # run directories by the id in their name


def listed(root: Path) -> Listed:
    """Every run directory of the store by its id, for those who look for many runs. It shows the store as it was at this moment."""
    found: dict[str, list[RunFolder]] = {}
    for folder in run_folders(root):
        if fitting := NAMED.fullmatch(folder.path.name):
            found.setdefault(fitting["id"], []).append(folder)
    return found


def choose(root: Path, identity: str, wanted: Mapping[str, Any], known: Listed | None = None) -> Choice:
    """The directory that a request for this identity, with this resolved configuration, gets.

    A finished run that has all that is wanted; else an unfinished one that will have it; else, beside a finished one, a twin's place;
    else an unfinished one, which goes on as it was begun. A twin's place that another process has begun, and has no manifest yet, is
    given as well: whoever claims it second finds what the first one made, so look again under the claim.
    `known` spares listing the store anew; what was made after it isn't found.

    Raises StoreError when a directory of this name has a damaged manifest, or a configuration that can't be read.
    """
    found = stored(root, identity, wanted, known)
    done = [each for each in found if each.done]
    unfinished = [each for each in found if not each.done]
    whole = [each for each in (*done, *unfinished) if not each.missing]
    if whole:
        return Choice(whole[0].folder, None, ())
    if done:
        fullest = min(done, key=lambda each: len(each.missing))
        return Choice(None, free_twin(done[0].folder), fullest.missing)
    return Choice(unfinished[0].folder, None, unfinished[0].missing) if unfinished else Choice(None, None, ())


def choose_first(root: Path, identities: Sequence[str], wanted: Mapping[str, Any], known: Listed | None = None) -> Choice:
    """The directory of the first of several identities that has a result; without any, what the first one gets (`choose`)."""
    known = listed(root) if known is None and len(identities) > 1 else known
    choices = [choose(root, identity, wanted, known) for identity in identities]
    return next((each for each in choices if each.folder is not None and each.folder.result.exists()), choices[0])


def folder_of(choice: Choice, first: RunFolder) -> RunFolder:
    """The directory that a choice means; `first`: where the run is trained when there is none of it yet."""
    return choice.folder or choice.beside or first


def stored(root: Path, identity: str, wanted: Mapping[str, Any], known: Listed | None = None) -> list[Stored]:
    """Every directory of this identity that has a manifest, under all baselines; the lowest numbers first."""
    found = []
    for folder in (listed(root) if known is None else known).get(identity[:SHORT], ()):
        if folder.manifest.exists() and identity_in(folder) == identity:
            missing = tuple(lacks(wanted, begun_with(folder))) if binds(folder) else ()
            found.append(Stored(folder, number_of(folder), folder.result.exists(), missing))
    return sorted(found, key=lambda each: each.number)


def number_of(folder: RunFolder) -> int:
    """A twin's number; 1 for a run that is none."""
    fitting = NAMED.fullmatch(folder.path.name)
    return int(fitting["number"] or 1) if fitting else 1


def identity_in(folder: RunFolder) -> Any:
    """The identity that a run's manifest says. Raises StoreError when it is damaged: training into it would spoil both."""
    try:
        manifest = read_sealed(folder.manifest)
    except (ValueError, OSError) as error:
        raise StoreError(f"{folder.path} is damaged: {error}\nmove it away, and the same command trains it again") from None
    return manifest["identity"]


def binds(folder: RunFolder) -> bool:
    """Whether a run's configuration still counts: without a result or a checkpoint it begins anew, with the asker's."""
    return folder.result.exists() or has_checkpoint(folder)


def has_checkpoint(folder: RunFolder) -> bool:
    """Whether a run goes on from somewhere. One without a checkpoint begins anew, so nothing of an earlier request binds it."""
    return any(folder.checkpoint.glob("step-*.json"))


def begun_with(folder: RunFolder) -> dict[str, Any]:
    """The resolved configuration that a run was begun with. Raises StoreError when it can't be read."""
    try:
        return read_stored(folder.config)
    except (ConfigError, YAMLError, ValueError, OSError) as error:
        raise StoreError(f"{folder.config} can't be read: {error}\nmove {folder.path} away, and the same command trains it again") from None


def free_twin(folder: RunFolder) -> RunFolder:
    """The place of the next twin next to a run. One that was begun without a manifest is free: nobody would ever go on with it."""
    base, number = re.sub(r"\.\d+$", "", folder.path.name), FIRST_TWIN
    while (place := RunFolder(folder.path.with_name(f"{base}.{number}"))).manifest.exists():
        number += 1
    return place


def lacks(wanted: Mapping[str, Any], begun: Mapping[str, Any]) -> list[str]:
    """What a run that was begun with `begun` hasn't and `wanted` asks for: observers, points of the curve, rows, sample texts.

    Both are resolved configurations of one identity, so nothing else is looked at; how often it is checkpointed leaves nothing to see.
    A key that an older `begun` is too old for stands at its default.
    """
    want, have = flatten(wanted), schema_defaults() | flatten(with_later_keys(begun))
    found = []
    for name, hook in sorted(wanted["hooks"].items()):
        if hook.get("observes") is True:
            at = f"hooks.{name}."
            mine, theirs = ({path: value for path, value in each.items() if path.startswith(at)} for each in (want, have))
            found += [told(move.path, move.new, move.old) for move in moved(theirs, mine)] if theirs else [f"hooks.{name} (it has none)"]
    steps = want["trainer.tokens"] // (want["trainer.batch_size"] * want["model.context"])
    sampled = want["trainer.sampling.tokens"] > 0
    for key in ("trainer.evaluation.every", "trainer.log_every", *(("trainer.sampling.every",) if sampled else ())):
        if not covers(have[key], want[key], steps):
            found.append(told(key, want[key], have[key]))
    for key in ("trainer.sampling.tokens", "trainer.sampling.temperature") if sampled else ():
        if not same(want[key], have[key]):
            found.append(told(key, want[key], have[key]))
    return found


def covers(have: int | None, want: int | None, steps: int) -> bool:
    """Whether what is done every `have` steps is done at every `want`-th too. None, or the whole run: only at the end, as all are."""
    return want is None or want >= steps or (have is not None and want % have == 0)


def told(key: str, wanted: Any, begun: Any) -> str:
    """One thing that is lacking, for people."""
    return f"{key}={say(wanted)} (it has {'none' if begun == ABSENT else say(begun)})"


def unequal(result: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What of two twins' results differs and mustn't: weights, optimizer, judged_weights, diverged step, measures that both have.

    Empty: they are one run. A digest that both lack isn't equal, but for judged_weights, which only some hooks make.
    """
    mine, theirs = result["digests"], other["digests"]
    found = [name for name in ("weights", "optimizer") if name not in mine or mine[name] != theirs.get(name)]
    found += ["judged_weights"] if mine.get("judged_weights") != theirs.get("judged_weights") else []
    found += ["diverged step"] if diverged_step(result) != diverged_step(other) else []
    measured, also = result["metrics"], other["metrics"]
    return found + [name for name in measured if name in also and measured[name] != also[name]]


def diverged_step(result: Mapping[str, Any]) -> int | None:
    """The step that a run couldn't take; None for a finished one."""
    return result["diverged"]["step"] if result["status"] == "diverged" else None
