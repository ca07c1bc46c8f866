"""Which arm is to be confirmed, as what it is composed today, and on which seeds. Trains nothing, reads no text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from lab.ablate.lock import load_pin
from lab.ablate.refusal import require_one_change
from lab.ablate.rule import Tally, count_changes
from lab.config import words
from lab.config.compose import Composer
from lab.config.identity import of_role
from lab.config.schema import leaves
from lab.errors import ConfigError, DataError, LabError, StoreError
from lab.files import read_rows
from lab.results.asked import judged_request
from lab.results.collect import Lab
from lab.results.named import NamedArm, arm_named, arms_of
from lab.results.pin import Pin
from lab.results.record import Run
from lab.results.wording import shown
from lab.store.layout import RunFolder, run_folders, store
from lab.store.plain import plain
from lab.store.studies import CONFIRM
from lab.sweep.asked import Asked

OF_A_REQUEST = ("seed", "note", "study", "why", "explore", "baseline")  # typed for one run, not for what it tries
OF_A_MACHINE = ("data.path", "device")


@dataclass(frozen=True)
class Candidate:
    """An arm that may be confirmed: its newest run that was asked for with just this change."""

    arm: NamedArm
    run: Run

    @property
    def label(self) -> str:
        """As a terminal may be given it."""
        return plain(shown(self.arm.label))


def find_candidate(lab: Lab, pin: Pin, word: str) -> Candidate:
    """The arm that a word names among those asked for under this pin as one change. Raises ConfigError, with the arms, for any other."""
    arms = []
    for arm in arms_of(lab, pin.name, pin.sha256):
        requests = tuple(each for each in arm.requests if judged_request(each) and each.changes == 1)
        if requests:
            arms.append(replace(arm, requests=requests))
    found = arm_named(arms, word, pin.name, lab)
    newest = found.requests[-1]
    if newest.edit:
        raise ConfigError(
            f"{plain(found.label)} is an edit of the code, and only one code can be trained at a time: there is no baseline beside it\n"
            f"make the edit an option of conf/, and confirm that"
        )
    return Candidate(found, next(run for run in found.runs if run.directory == newest.directory))


def compose(composer: Composer, root: Path, pin: Pin, candidate: Candidate) -> Asked:
    """The baseline and the arm as today's conf/ composes them. Raises LabError where that isn't the arm that was asked for."""
    folder = RunFolder(store(root) / candidate.run.directory)
    typed = typed_for(folder)
    factors = candidate.run.parts["factors"]
    tried = [tally_of(composer, pin, rest) for rest in (typed, [*of_machine(typed), *change_of(folder, candidate)])]
    fitting = [tally for tally in tried if isinstance(tally, Tally) and of_role("factor", tally.composition.resolved) == factors]
    if not fitting:
        why = next((f": {tally}" for tally in tried if isinstance(tally, LabError)), "")
        raise ConfigError(
            f"{candidate.label} can't be composed any more as it was for {folder.path.name}{why}\n"
            f"bring back what conf/ held then, or ask for the arm again: python run.py baseline={pin.name} ..."
        )
    start = count_changes(composer, (f"baseline={pin.name}", *of_machine(typed)))
    require_one_change(start)
    return Asked((start, fitting[0]), study=CONFIRM)


def require_test_range(root: Path, baseline: str) -> None:
    """A baseline keeps some of its text from every run. Raises DataError for one that doesn't."""
    if load_pin(root, baseline).composition["data"]["test_fraction"] == 0:
        raise DataError(
            f"baseline `{baseline}` keeps no test range: data.test_fraction is 0\n"
            f"pin one that does, and ask for the arm there: python -m lab pin NAME baseline={baseline} data.test_fraction=0.05"
        )


def tally_of(composer: Composer, pin: Pin, rest: Iterable[str]) -> Tally | LabError:
    """Some words on the baseline as the rule counts them, or why it doesn't allow them."""
    try:
        tally = count_changes(composer, (f"baseline={pin.name}", *rest))
        require_one_change(tally)
    except LabError as error:
        return error
    return tally


def typed_for(folder: RunFolder) -> list[str]:
    """What was typed for a run, without what belongs to that request alone. Raises StoreError where it can't be read."""
    try:
        typed = yaml.safe_load(folder.overrides.read_text())
        if not isinstance(typed, list) or not all(isinstance(word, str) for word in typed):
            raise ValueError("not a list of words")
        keys = [each.key_or_group for each in words.parse(typed)]
    except (LabError, ValueError, OSError, yaml.YAMLError) as error:
        raise StoreError(f"{folder.overrides} can't be read: {error}\nask for the arm again: its newest run is what is confirmed") from None
    return [word for word, key in zip(typed, keys, strict=True) if key not in OF_A_REQUEST]


def of_machine(typed: Iterable[str]) -> list[str]:
    """Where the text lies and on which device it was, as typed: they are no change."""
    return [word for word in typed if word.partition("=")[0] in OF_A_MACHINE or word.startswith("device.")]


def change_of(folder: RunFolder, candidate: Candidate) -> list[str]:
    """The words that make just the arm's change, as its newest request counted them: its run may have been trained for another baseline."""
    number = candidate.arm.requests[-1].number
    rows: list[Mapping[str, Any]] = [row for row in read_rows(folder.requests)[0] if row.get("number") == number]
    changes = rows[0].get("changes") if rows else None
    typed = changes[0].get("typed") if isinstance(changes, list) and changes and isinstance(changes[0], dict) else None
    return [str(word) for word in typed] if isinstance(typed, list) else []


def fresh_seeds(root: Path, pin: Pin, earlier: Iterable[Mapping[str, Any]], count: int) -> list[int]:
    """The smallest seeds above the pinned ones that no run of this store has, and no earlier confirmation was declared with."""
    most = int(leaves()["seed"].high or 0)
    taken = {seed for row in earlier for seed in row["seeds"]}
    taken |= {int(found[1]) for folder in run_folders(root) if (found := re.match(r"seed=(\d+)-", folder.path.name))}
    seeds: list[int] = []
    seed = max(pin.seeds)
    while len(seeds) < count:
        seed += 1
        if seed > most:
            raise ConfigError(f"there aren't {count} fresh seeds up to {most} above the pinned ones\nask for fewer: --seeds N")
        if seed not in taken:
            seeds.append(seed)
    return seeds
