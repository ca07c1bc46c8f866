"""A tiny project whose runs are identified as the runner does it and written as it writes them, without the training between."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from lab.ablate import codemap
from lab.ablate.certificate import Finding, map_hash, write_finding
from lab.ablate.refusal import require_one_change
from lab.ablate.rule import Tally, count_changes
from lab.config.compose import Composer
from lab.errors import LabError
from lab.files import read_json, sealed, sha256_of, write_file, write_json
from lab.request import Identified, Identifier, job_of
from lab.results.forms.terminal import print_report
from lab.results.report import build
from lab.results.telling import tell
from lab.store.layout import RunFolder
from lab.store.runs import add_request, find_identity
from tests.results.store import paired

WIDE = 10_000  # a terminal on which each entry of a report is one line
BASELINE = {0: 2.101, 1: 2.113, 2: 2.095, 3: 2.108}
SHIFT = {0: -0.0511, 1: -0.0493, 2: -0.0502, 3: -0.0507}
ARM = "hooks=grad_clip"


@dataclass
class World:
    """One project with its store. It composes with another copy's composer (which is slow to make) until `edited`."""

    root: Path
    composer: Composer

    @classmethod
    def copied(cls, project: Path, root: Path, composer: Composer) -> World:
        """A copy of a tiny project and of what is finished in it."""
        shutil.copytree(project, root)
        return cls(root, composer)

    def edited(self) -> World:
        """From here on with this copy's own files: some were edited."""
        self.composer = Composer(self.root, self.root)
        return self

    def identified(self, *typed: str, seeds: tuple[int, ...] = (0,)) -> list[Identified]:
        """What `python run.py baseline=tiny TYPED seed=SEED` would train. Raises LabError as it does."""
        tally, identifier = count_of(self.composer, " ".join(typed)), Identifier(self.root)
        return [identifier.identify(job_of(tally, self.root, "python run.py", seed=seed)) for seed in seeds]

    def finish(self, found: Identified, label: str | None = None, changes: int | None = None, **told: Any) -> RunFolder:
        """The run directory that a finished run leaves; what is told replaces what its files say."""
        folder, seed, label = found.folder, found.job.seed, label or found.job.label
        value = BASELINE[seed] + (0.0 if label == "baseline" else SHIFT[seed])
        manifest, steps = found.manifest | {"label": label}, found.manifest["steps"]
        manifest |= {"pairing": None if label == "baseline" else paired()}  # it is counted where the model is built
        metrics = {"validation_bits_per_byte": value, "half_curve_bits_per_byte": 2.4, "final_curve_bits_per_byte": 2.15}
        result = {"schema": 1, "identity": found.identity, "status": "finished", "step": steps, "steps": steps}
        result |= {"tokens": steps * manifest["tokens_per_step"], "metrics": metrics, "diverged": None}
        result |= {"parameters": {"total": 1000}, "cost": {"seconds": 1.0, "tokens_per_second": 1e4}}
        write_file(folder.config, OmegaConf.to_yaml(OmegaConf.create(found.job.config)))
        write_json(folder.manifest, sealed(manifest))
        write_json(folder.result, sealed(result | {"digests": {"weights": sha256_of(found.identity)}} | told))
        request = found.job.request
        add_request(self.root, folder, request | {"label": label, "changes": request["changes"][:changes]})
        return folder

    def trained(self, *typed: str, seeds: tuple[int, ...] = (0, 1)) -> list[Identified]:
        """An arm finished on these seeds."""
        found = self.identified(*typed, seeds=seeds)
        for each in found:
            self.finish(each)
        return found

    def again(self, *typed: str, seeds: tuple[int, ...] = (0, 1)) -> str:
        """Ask again for runs that should be there: what was refused, told or not found; the requests are added to those found."""
        try:
            found = self.identified(*typed, seeds=seeds)
        except LabError as error:
            return f"refused: {error}"
        for each in found:
            folder = find_identity(self.root, each.identity)
            if folder is None or not folder.result.exists():
                return "not found as the same run"
            add_request(self.root, folder, each.job.request)
        # that a word changes nothing is no doubt about the run
        return "; ".join(f"told of {word}" for word in found[0].job.held if "changes nothing" not in word)

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def page(self) -> str:
        return page(self.root, "tiny")


@dataclass
class Here:
    """Where one case is planted: its own empty folder, the tiny project to copy or to ask, and the process's environment."""

    folder: Path
    project: Path  # shared by all cases, never written to
    composer: Composer  # of that project
    patch: pytest.MonkeyPatch
    usual: frozenset[str]  # the identities of ARM on the seeds of the look, where nothing differs
    compared: Path  # a copy of the project where ARM is finished too, shared
    report: str  # and its report

    @cached_property
    def finished(self) -> World:
        """A copy of the project whose baseline and ARM are finished."""
        return World.copied(self.compared, self.folder / "project", self.composer)

    @cached_property
    def world(self) -> World:
        """A copy of the project whose baseline is finished on two seeds."""
        return World.copied(self.project, self.folder / "project", self.composer)


def copy_of_lab(here: Here) -> Path:
    """A copy of lab/ is what runs from here on: a working tree with edits, or an old installation that is imported instead of it."""
    copy = here.folder / "lab"
    shutil.copytree(codemap.LAB, copy, ignore=shutil.ignore_patterns("__pycache__"))
    here.patch.setattr(codemap, "LAB", copy)
    here.patch.setattr(codemap, "file_of", codemap.file_of.__wrapped__)
    return copy


def code_of(here: Here, module: str, old: str, new: str) -> None:
    """An edit of one module of the code that runs."""
    path = copy_of_lab(here).joinpath(*module.split(".")[1:]).with_suffix(".py")
    text = path.read_text()
    assert old in text, f"{module} has no {old!r}"
    path.write_text(text.replace(old, new))


def edited_at_step_three(here: Here, *typed: str, difference: dict[str, Any] | None) -> tuple[Identified, tuple[str, str]]:
    """A run asked for under an edit of the update, which a replay of the baseline has tried before; and the names of both code maps."""
    world = here.finished
    old = world.identified()[0]
    code_of(here, "lab.train.loop", "state.step += 1", "state.step += 2")
    asked_for = world.identified(*typed)[0]
    maps = old.manifest["code"], asked_for.baseline_code
    about = {
        "baseline": "tiny",
        "change_id": old.manifest["change_id"],
        "cohort": old.manifest["cohort"],
        "bits": sha256_of(old.manifest["bits"]),
        "run": "tiny/baseline",
        "seed": 0,
    }
    spans = {"spans": [[0, 19]], "other_seeds": [], "seconds": 1.0}
    write_finding(world.runs, Finding(**about, old=maps[0], new=maps[1], difference=difference, **spans))
    return asked_for, (map_hash(maps[0])[:8], map_hash(maps[1])[:8])


@cache  # a count costs some composing, and most cases ask for the same two arms
def count_of(composer: Composer, line: str) -> Tally:
    """The count of `python run.py baseline=tiny LINE`."""
    return count_changes(composer, ("baseline=tiny", *line.split()))


def asked(composer: Composer, line: str) -> str:
    """What the rule says to `python run.py baseline=tiny LINE`; a refusal must have exit status 2."""
    try:
        tally = count_of(composer, line)
        require_one_change(tally)
    except LabError as error:
        return str(error) if error.exit_status == 2 else f"exit status {error.exit_status}"
    return f"let through as {tally.label}"


def page(root: Path, baseline: str) -> str:
    """A baseline's report as a wide terminal shows it."""
    console = Console(file=io.StringIO(), width=WIDE, force_terminal=False)
    print_report(tell(build(root, baseline)), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # StringIO
    assert isinstance(text, str)
    return text


def edit(path: Path, change: Callable[[dict[str, Any]], None], *, seal: bool = True) -> None:
    """Change a JSON file of a run, with its own digest made anew (by the one who plants) or left as it was."""
    content = read_json(path)
    change(content)
    write_json(path, sealed(content) if seal else content)
