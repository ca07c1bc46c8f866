"""One request, in order: rule, data, identity, edited code, found?, claim, train, result. Knows every room below and does little itself.

Until training starts nothing here imports torch. `train_frozen` trains one frozen job in a process of its own, for a sweep: forked
from one that has torch loaded (lab/sweep/forkserver.py), or started by name (`python -m lab.runner JOB.json PARENT`).
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.ablate.codemap import code_map, require_fresh
from lab.attempt import as_begun, train
from lab.config.diff import flatten
from lab.edits import Edits
from lab.errors import LabError, MachineError, RunError, StoreError
from lab.files import read_json
from lab.request import Identified, Identifier, Job
from lab.signals import leave_on_interrupt
from lab.store.claim import ClaimedError, claimed
from lab.store.console import Console, name_of
from lab.store.layout import RunFolder
from lab.store.machine import check_torch, set_variables
from lab.store.manifest import packages
from lab.store.runs import add_request, verify
from lab.store.twins import Choice, choose, choose_first, folder_of, has_checkpoint

PARENT_WATCH_SECONDS = 0.2
ORPHAN_SECONDS = 60.0
# What `python -m lab.runner` leaves with, for whoever started it, beside the exit statuses of lab/errors.py.
CLAIMED = 75  # another process trains this run
MACHINE = 74  # the machine's failure: once more may do


@dataclass(frozen=True)
class Promise:
    """What a sweep's plan says of a job: its identity; or, where it may be trained on another machine, its arm alone."""

    identity: str
    arm_id: str | None = None

    def require(self, identified: Identified) -> None:
        """Raise StoreError where the job has become another run since it was planned."""
        kept = identified.identity == self.identity if self.arm_id is None else identified.manifest["arm_id"] == self.arm_id
        if not kept:
            raise StoreError(
                "its code, its text, torch or this machine's settings changed since the sweep was planned: this would be another run\n"
                "plan it anew: the same again with hydra.sweeper.plan=new"
            )


def run(job: Job, console: Console, promised: Promise | None = None) -> dict[str, Any]:
    """Find the run or train it. Returns its result. Raises LabError; the run directory then says why.

    `promised` is what a sweep's plan said of the job.
    """
    root = Path(job.root)
    identified = Identifier(root).identify(job)
    if promised is not None:
        promised.require(identified)
    identified = Edits(root, console.say).settle(identified)
    choice = place(identified)
    if (result := tell_found(identified.job, choice, console)) is not None:
        return result
    if choice.beside is not None:
        console.say(f"the run is there, without {', '.join(choice.missing)}: it is trained once more, beside it, and counts once")
    for folder in left_behind(identified):
        console.say(f"stopped under the code from before the edit, and not continued: {folder.path.name}")
    import_everything(identified)
    folder = folder_of(choice, identified.folder)
    begun = has_checkpoint(folder)
    if begun:
        identified = as_begun(identified, folder, console)
    parts = assembled(identified)
    try:
        with claimed(folder.claim, folder.path) as claim:
            choice = place(identified)
            if (result := tell_found(identified.job, choice, console)) is not None:
                return result
            if folder_of(choice, identified.folder) != folder or has_checkpoint(folder) != begun:
                raise ClaimedError("another process began this run, and left it, at this moment\ntype the same again")
            return train(identified, parts, folder, claim, console)
    except ClaimedError:
        if (result := tell_found(identified.job, place(identified), console)) is not None:
            return result  # whoever held the claim has just finished it, or was reading its result
        raise
    except OSError as error:
        raise MachineError(f"the machine failed this run: {error}\nput that right; the same command goes on") from error


def place(identified: Identified) -> Choice:
    """Where the run lies, or is to be trained. A baseline's run under code that a certificate joins with today's will do."""
    return choose_first(Path(identified.job.root), (identified.identity, *identified.joined), identified.job.config)


def left_behind(identified: Identified) -> list[RunFolder]:
    """Runs of a baseline that were stopped under code which a certificate joins with today's: their rows would mix two codes."""
    choices = [choose(Path(identified.job.root), identity, identified.job.config) for identity in identified.joined]
    return [each.folder for each in choices if each.folder is not None and has_checkpoint(each.folder)]


def tell_found(job: Job, choice: Choice, console: Console) -> dict[str, Any] | None:
    """The result of a run that finished or diverged before, shown; this request is added to it. None: it's to be trained."""
    result = find(job, choice)
    if result is not None:
        assert choice.folder is not None
        console.found(choice.folder, job.request, job.seed, result)
    return result


def find(job: Job, choice: Choice) -> dict[str, Any] | None:
    """The result of a run that finished or diverged before, verified; this request is added to it. None: it's to be trained."""
    folder = choice.folder
    if folder is None or not folder.result.exists():
        return None
    result = verify(folder)
    try:
        add_request(Path(job.root), folder, job.request)
    except OSError as error:
        raise MachineError(
            f"the run is there, and this request can't be added: {error}\nput that right; or: python -m lab show {folder.path.name}"
        ) from error
    return result


def assembled(identified: Identified) -> Any:
    """The run's parts, built before its folder is made: what a part refuses leaves none behind. Raises LabError."""
    experiment = importlib.import_module("lab.experiment")
    try:
        return experiment.assemble(identified.job.config, identified.data)
    except LabError:
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise RunError(
            f"this run can't be built: {type(error).__name__}: {error}\nat {where.filename}:{where.lineno}, in {where.name}"
        ) from error


def import_everything(identified: Identified) -> None:
    """Import torch and every module of the run, and make sure that both are what the identity promised.

    From here on, editing the code neither changes nor spoils this run.
    """
    set_variables(identified.job.config["device"])
    require_fresh(identified.manifest["code"])
    for module in ("lab.experiment", *identified.manifest["code"]):
        importlib.import_module(module)
    check_torch(importlib.import_module("lab.device").bits_of_torch(identified.job.config["device"]["kind"]))
    if code_map(identified.job.config) != identified.manifest["code"]:
        raise StoreError("lab/ was edited while this run started: its code isn't what its identity says\ntype the same again")


def train_frozen(path: Path, parent: int) -> int:
    """Train the job in a file, for the process `parent`. Returns the exit status: as of `run.py`, or one of those above."""
    frozen = read_json(path)
    leave_on_interrupt()
    leave_with(parent)
    job = Job(**frozen["job"])
    console = Console(frozen["position"], name_of(job.request, job.seed))
    see(frozen)
    try:
        run(job, console, Promise(frozen["identity"], frozen.get("arm_id")))
    except ClaimedError:
        return CLAIMED  # whoever started this waits for it, and says so
    except LabError as error:
        console.error(str(error))
        return MACHINE if isinstance(error, MachineError) else error.exit_status
    except KeyboardInterrupt:
        return 130
    return 0


def see(frozen: Mapping[str, Any]) -> None:
    """Import the code that the job was frozen with, and the project's own modules (trusted_modules), wherever the sweep was typed."""
    ours = [folder for folder in (frozen.get("code"), frozen["job"]["root"]) if folder is not None]
    sys.path[:] = [*ours, *(each for each in sys.path if each not in ours)]


def warm(path: Path) -> None:
    """Read what the runs of a sweep read alike, for a process that is about to be forked: sources, versions, the prepared text.

    Asks no graphics driver and imports nobody's modules but the lab's: a process that computes can't be forked any more.
    """
    frozen = read_json(path)
    see(frozen)
    job = Job(**frozen["job"])
    packages()
    for module in {*code_map(job.config), *code_map(job.reference)}:
        if module.startswith("lab."):
            importlib.import_module(module)
    targets = [value for path, value in flatten(job.config["data"]).items() if path.endswith("_target_")]
    if job.config["device"]["kind"] == "cpu" and all(str(target).startswith("lab.") for target in targets):
        Identifier(Path(job.root)).identify(job)


def leave_with(parent: int) -> None:
    """When the sweep that started this run is gone, checkpoint and leave: an orphan would train on unseen."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN_SECONDS)  # one that is stuck would keep its claim for ever
        os._exit(130)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(train_frozen(Path(sys.argv[1]), int(sys.argv[2])))
