"""The plan of a sweep: one factor at a time against the pinned baseline, or a study that was declared by hand; every seed with every arm.

All arms are composed and checked here, before the first run starts; the plan holds their frozen jobs. Writes nothing, trains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.config import words
from lab.config.compose import Composer
from lab.config.misread import with_texts_quoted
from lab.config.options import STUDIES
from lab.config.ranges import nearest
from lab.edits import Edits
from lab.errors import ConfigError, StoreError
from lab.files import sha256_of
from lab.request import Identified, Identifier, Job, job_of
from lab.store.console import name_of
from lab.store.layout import RunFolder
from lab.store.plain import plain
from lab.store.runs import status_of
from lab.store.twins import Choice, Listed, choose_first, folder_of, listed
from lab.sweep.arms import factor_hash
from lab.sweep.asked import UNNAMED, Asked, ask
from lab.sweep.designs import DESIGNS
from lab.sweep.manner import Manner


@dataclass(frozen=True)
class Row:
    """One run of the plan: its frozen job, what it is, and where it is or will be."""

    number: int
    job: Job
    identity: str
    joined: tuple[str, ...]  # a baseline's identities under code that certificates join with the plan's
    arm_id: str
    change_id: str
    cohort: str
    folder: RunFolder
    status: str  # when planned: finished, diverged, failed, running, stopped, damaged, or missing

    @property
    def name(self) -> str:
        """The run in a few words."""
        return name_of(self.job.request, self.job.seed)


@dataclass(frozen=True)
class Plan:
    """A sweep, frozen: its arms, its seeds, its rows in the order in which they run."""

    id: str
    study: str
    question: str
    by_hand: bool  # declared in conf/study
    looks: tuple[int, ...] | None  # None, here and below: the pin's own
    smallest_effect: float | None
    baseline: str
    lock: str
    arms: tuple[str, ...]  # labels, without the baseline's
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    grid: int  # runs that the full grid of the listed values would have
    untried: bool  # the code was edited since the baseline's runs, and nobody has replayed them under it
    manner: Manner

    @property
    def cohort(self) -> str:
        """The one that its runs fall into, all of them: of this machine, text and protocol."""
        return self.rows[0].cohort

    def sentence(self) -> str:
        """What the sweep does, in words."""
        design = DESIGNS[self.manner.design]
        arms = f"baseline and {len(self.arms)} {design.noun}{'s' * (len(self.arms) != 1)}" if self.arms else "the baseline alone"
        seeds = f"{len(self.seeds)} seed{'s' * (len(self.seeds) != 1)}"
        runs = f"{len(self.rows)} run{'s' * (len(self.rows) != 1)}"
        return f"{design.words}: {arms} x {seeds} = {runs}" + (f", not the {self.grid} of the grid" if self.grid > len(self.rows) else "")


def make_plan(composer: Composer, typed: Sequence[str], command: str, say: Callable[[str], None] = print, *, replay: bool = False) -> Plan:
    """Compose and check every arm, then identify every run. Raises LabError before anything is written or started.

    `replay`: an edit of the code since the baseline's runs is tried out now, and what comes out is told to `say`.
    """
    asked = ask(composer, with_texts_quoted(typed))
    made = plan_of(composer, asked, command, say, replay=replay)
    if asked.study:
        require_something(made, composer)
    return made


def require_something(made: Plan, composer: Composer) -> None:
    """A study that was named has an arm: a name that was mistyped would otherwise be a sweep of the baseline alone. Raises ConfigError.

    Edited code is an arm too, and may be one where that isn't known yet.
    """
    name = made.study
    if name == UNNAMED or made.untried or any(row.job.changes for row in made.rows):
        return
    raise ConfigError(
        f"no conf/{STUDIES}/{plain(name)}.yaml{nearest(name, composer.files.studies)}\n"
        f"a study that no file declares lists its arms: python run.py --multirun study={words.shell(plain(name))} hooks=none,grad_clip"
    )


def plan_of(composer: Composer, asked: Asked, command: str, say: Callable[[str], None] = print, *, replay: bool = False) -> Plan:
    """The runs of what was asked for, each identified; see `make_plan`."""
    start = asked.tallies[0]
    judgement = start.pin.judgement
    looks = asked.looks or judgement["looks"]
    seeds = asked.seeds or tuple(judgement["seeds"][: looks[-1 if asked.manner.until == "decided" else 0]])
    apart = {"cells": asked.manner.design} if any(asked.places) else {}  # the same runs as arms are another study
    family = sha256_of({"lock": start.pin.sha256, "arms": sorted(factor_hash(tally) for tally in asked.tallies)} | apart)
    study = asked.study or f"sweep-{family[:8]}"
    jobs = [job_of(tally, composer.root, command, study, seed, cell) for seed in seeds for tally, cell in asked.placed]
    identifier, edits = Identifier(composer.root), Edits(composer.root, say)
    settled = [edits.settle(identifier.identify(job), replay=replay) for job in jobs]
    known = listed(composer.root)
    rows = [row(number, identified, known) for number, identified in enumerate(settled, 1)]
    identified_by: dict[str, Any] = {"family": family, "study": study, "runs": [each.identity for each in rows]}
    if asked.by_hand:
        identified_by |= {"question": asked.question, "looks": asked.looks, "smallest_effect": asked.smallest_effect}
    return Plan(
        id=sha256_of(identified_by)[:8],
        study=study,
        question=asked.question,
        by_hand=asked.by_hand,
        looks=asked.looks,
        smallest_effect=asked.smallest_effect,
        baseline=start.pin.name,
        lock=start.pin.sha256,
        arms=tuple(tally.label for tally in asked.tallies[1:]),
        seeds=seeds,
        rows=tuple(rows),
        grid=len(seeds) * asked.cells,
        untried=edits.untried,
        manner=asked.manner,
    )


def choice_of(row: Row, known: Listed | None = None) -> Choice:
    """Which directory a row's run has now, or will get; `known`: the store as it was listed once, for many rows."""
    return choose_first(Path(row.job.root), (row.identity, *row.joined), row.job.config, known)


def row(number: int, identified: Identified, known: Listed | None = None) -> Row:
    manifest, folder = identified.manifest, identified.folder
    try:
        choice = choose_first(Path(identified.job.root), (identified.identity, *identified.joined), identified.job.config, known)
        folder = folder_of(choice, folder)
        status = status_of(choice.folder) if choice.folder else "missing"
    except StoreError:  # it stops no other run: the sweep goes on, and says what is wrong with this one when its turn comes
        status = "damaged"
    named = {name: manifest[name] for name in ("arm_id", "change_id", "cohort")}
    return Row(number, identified.job, identified.identity, identified.joined, folder=folder, status=status, **named)
