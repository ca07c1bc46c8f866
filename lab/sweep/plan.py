"""The plan of a sweep: one factor at a time against the pinned baseline, every seed crossed with every arm.

All arms are composed and checked here, before the first run starts; the plan freezes their jobs. Trains nothing.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from math import prod
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override, Sweep

from lab.ablate.refusal import require_one_change
from lab.ablate.rule import Tally, count_changes
from lab.config import words
from lab.config.compose import UNCOUNTED_GROUPS, Composer
from lab.config.diff import say
from lab.config.identity import of_role, role_of
from lab.config.schema import leaves
from lab.edits import Edits
from lab.errors import ConfigError, OneChangeError, StoreError
from lab.files import read_json, sha256_of, write_file, write_json
from lab.request import Identified, Identifier, Job, job_of
from lab.runner import folder_of, place
from lab.store.layout import RunFolder
from lab.store.runs import status_of

TEXTS = ("note", "why", "study", "data.path")
COLUMNS = ("number", "arm", "seed", "identity", "directory", "overrides")


@dataclass(frozen=True)
class Row:
    """One run of the plan: its frozen job, what it is, and where it is or will be."""

    number: int
    identified: Identified
    folder: RunFolder
    status: str  # when planned: finished, diverged, failed, running, stopped, damaged, or missing

    @property
    def job(self) -> Job:
        return self.identified.job


@dataclass(frozen=True)
class Plan:
    """A sweep, frozen: its arms, its seeds, its rows in the order in which they run."""

    id: str
    study: str
    baseline: str
    arms: tuple[str, ...]  # labels, without the baseline's
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    grid: int  # runs that the full grid of the listed values would have
    untried: bool  # the code was edited since the baseline's runs, and nobody has replayed them under it

    def sentence(self) -> str:
        """What the sweep does, in words."""
        arms = f"baseline and {len(self.arms)} arm{'s' * (len(self.arms) != 1)}" if self.arms else "the baseline alone"
        seeds = f"{len(self.seeds)} seed{'s' * (len(self.seeds) != 1)}"
        runs = f"{len(self.rows)} run{'s' * (len(self.rows) != 1)}"
        return f"one factor at a time: {arms} x {seeds} = {runs}" + (
            f", not the {self.grid} of the grid" if self.grid > len(self.rows) else ""
        )


def make_plan(composer: Composer, typed: Sequence[str], command: str, say: Callable[[str], None] = print, *, replay: bool = False) -> Plan:
    """Compose and check every arm, then identify every run. Raises LabError before anything is written or started.

    `replay`: an edit of the code since the baseline's runs is tried out now, and what comes out is told to `say`.
    """
    fixed, listed, seeds = sort_words(typed, composer)
    start = count_changes(composer, tuple(fixed))
    refuse_single_values(start, listed)
    judged = {key: judge_values(composer, fixed, key, values) for key, values in listed.items()}
    arms = distinct([start, *(tally for tallies in judged.values() for tally in tallies)])
    judgement = start.pin.judgement
    chosen = seeds or judgement["seeds"][: judgement["looks"][0]]
    jobs = [job_of(tally, composer.root, command, seed=seed) for seed in chosen for tally in arms]
    family = sha256_of({"lock": start.pin.sha256, "arms": sorted(factor_hash(tally) for tally in arms)})
    named = start.composition.resolved["study"]
    study = named if "study" in words.typed_keys(fixed) else f"sweep-{family[:8]}"
    identifier, edits = Identifier(composer.root), Edits(composer.root, say)
    settled = [edits.settle(identifier.identify(replace(job, study=study)), replay=replay) for job in jobs]
    rows = [row(number, identified) for number, identified in enumerate(settled, 1)]
    grid = len(chosen) * prod(len(distinct(tallies)) for tallies in judged.values())
    return Plan(
        id=sha256_of({"family": family, "study": study, "runs": [each.identified.identity for each in rows]})[:8],
        study=study,
        baseline=start.pin.name,
        arms=tuple(tally.label for tally in arms[1:]),
        seeds=tuple(chosen),
        rows=tuple(rows),
        grid=grid,
        untried=edits.untried,
    )


def sort_words(typed: Sequence[str], composer: Composer) -> tuple[list[str], dict[str, list[str]], list[int]]:
    """The words of a sweep: single values, listed values by key, and the seeds. Raises ConfigError for what can't be listed."""
    fixed: list[str] = []
    listed: dict[str, list[str]] = {}
    seeds: list[int] = []
    parsed = words.parse(typed)
    for override in parsed:
        override.config_loader = composer.loader  # for glob(*): the options that there are
        key, text = override.key_or_group, override.input_line or ""
        if sum(each.key_or_group == key for each in parsed) > 1:
            raise ConfigError(f"{key} is given twice\nlist its values together: {key}=a,b")
        if key == "seed":
            seeds = seed_values(override)
        elif override.is_sweep_override():
            listed[key] = values_of(override)
            words.check_key(replace_value(override, listed[key]), text, composer.files)
        else:
            fixed.append(text)
    for key in listed:
        require_factor(key, composer)
    return fixed, listed, seeds


def replace_value(override: Override, values: list[str]) -> Override:
    """The same override with its first value, to check its key; every value is checked when its arm is composed."""
    first = words.parse([f"{override.get_key_element()}={values[0]}"])[0]
    first.input_line = override.input_line
    return first


def values_of(override: Override) -> list[str]:
    """Every value that a sweep override lists, as it would be typed alone."""
    if not override.is_discrete_sweep():
        raise ConfigError(f"{override.input_line}: an interval lists no values\nname them: {override.key_or_group}=a,b,c")
    values = [str(value) for value in override.sweep_string_iterator()]
    if not values:
        raise ConfigError(f"{override.input_line} lists no value at all")
    return list(dict.fromkeys(values))


def seed_values(override: Override) -> list[int]:
    """The seeds of `seed=3`, `seed=0,1`, `seed=range(3)`."""
    value = override.value()
    texts = values_of(override) if isinstance(value, Sweep) else [str(value)]
    if not all(re.fullmatch(r"[0-9]{1,10}", text) and int(text) <= (leaves()["seed"].high or 0) for text in texts):
        raise ConfigError(
            f"{override.input_line}: a seed is a whole number from 0 to {leaves()['seed'].high:.0f}\nwrite 'seed=range(3)' or seed=0,1,2"
        )
    return [int(text) for text in texts]


def require_factor(key: str, composer: Composer) -> None:
    """Only factors and the seed may be listed: anything else makes no arm."""
    if key in composer.files.groups:
        allowed = key not in ("baseline", "device", "data", "trainer")
    else:
        try:
            allowed = role_of(key, composer.compose(()).hooks) == "factor"
        except KeyError:
            allowed = True  # unknown: composing it says so
    if not allowed:
        other = [group for group in UNCOUNTED_GROUPS if group != "baseline"]
        if key in TEXTS:
            raise ConfigError(f"{key} can't be listed: it makes no arm\nfor a comma in one text, quote it for Hydra too: \"{key}='a,b'\"")
        raise ConfigError(
            f"{key} can't be listed: it makes no arm\nlist factors (model/norm, {', '.join(other)}, trainer.optimizer.lr, ...) and seed"
        )


def refuse_single_values(start: Tally, listed: dict[str, list[str]]) -> None:
    """A value given alone would move the baseline arm too, which is pinned."""
    if not start.changes and not start.incomparable:
        return
    if not start.changes or start.drifted or start.stale:
        require_one_change(start)
    if start.exploring:
        raise explores(start)
    first = start.changes[0]
    key, _, new = (first.typed or (f"{first.path}={say(first.new)}",))[0].partition("=")
    old = hooks_as_typed(list(start.pin.composition["hooks"])) if first.kind == "hook" else say(first.old)
    raise OneChangeError(
        f"refused: {key}={new} alone would change the baseline arm of the sweep, and `{start.pin.name}` is pinned\n"
        f"list it beside the baseline's to make it an arm: {words.shell(f'{key}={old},{new}')}\n"
        f"or pin a baseline that has it: python -m lab pin NAME {' '.join(words.shell(each) for each in start.composition.overrides)}"
    )


def judge_values(composer: Composer, fixed: list[str], key: str, values: list[str]) -> list[Tally]:
    """One tally for each listed value of a key. Raises OneChangeError for a value that makes more than one change."""
    tallies = [count_changes(composer, (*fixed, f"{key}={value}")) for value in values]
    for tally in tallies:
        require_one_change(tally)
        if tally.exploring:
            raise explores(tally)
    return tallies


def explores(tally: Tally) -> OneChangeError:
    return OneChangeError(f"refused: {tally.label} explores, and a sweep is for verdicts\nrun it alone, without --multirun")


def hooks_as_typed(names: list[str]) -> str:
    """A list of hooks as a value of `hooks=`."""
    return "none" if not names else names[0] if len(names) == 1 else f"[{','.join(names)}]"


def distinct(tallies: list[Tally]) -> list[Tally]:
    """The baseline first, then each arm once, in the order in which they were listed."""
    kept: dict[str, Tally] = {}
    for tally in tallies:
        kept.setdefault(factor_hash(tally), tally)
    return list(kept.values())


def factor_hash(tally: Tally) -> str:
    return sha256_of(of_role("factor", tally.composition.resolved))


def row(number: int, identified: Identified) -> Row:
    try:
        choice = place(identified)
        return Row(number, identified, folder_of(identified, choice), status_of(choice.folder) if choice.folder else "missing")
    except StoreError:  # it stops no other run: the sweep goes on, and says what is wrong with this one when its turn comes
        return Row(number, identified, identified.folder, "damaged")


def freeze(plan: Plan, root: Path) -> Path:
    """Write plan.csv and plan.json into the sweep's folder, or find the folder of the same plan. Returns the folder."""
    found = sorted((root / "multirun").glob(f"*_{plan.id}"))
    folder = found[-1] if found else root / "multirun" / f"{date.today().isoformat()}_{plan.id}"
    if (folder / "plan.json").exists() and read_json(folder / "plan.json").get("id") == plan.id:
        return folder
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in plan.rows:
        directory = each.folder.path.relative_to(root).as_posix()
        writer.writerow([each.number, each.job.label, each.job.seed, each.identified.identity, directory, " ".join(each.job.overrides)])
    write_file(folder / "plan.csv", text.getvalue())
    rows = [{"number": each.number, "identity": each.identified.identity, "job": asdict(each.job)} for each in plan.rows]
    kept: dict[str, Any] = {"schema": 1, "id": plan.id, "study": plan.study, "baseline": plan.baseline, "sentence": plan.sentence()}
    write_json(folder / "plan.json", kept | {"rows": rows})
    return folder
