"""One request, in order: rule, data, identity, edited code, found?, claim, train, result. Knows every room below and does little itself.

Until training starts nothing here imports torch. Started by name (`python -m lab.runner JOB.json PARENT`) it trains one frozen job,
so that a sweep can give each run a fresh process without importing torch itself.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from lab.ablate.codemap import code_map, require_fresh
from lab.attempt import as_begun, train
from lab.edits import Edits
from lab.errors import LabError, MachineError, StoreError
from lab.files import read_json
from lab.request import Identified, Identifier, Job
from lab.signals import leave_on_interrupt
from lab.store.claim import ClaimedError, claimed
from lab.store.console import Console
from lab.store.layout import RunFolder
from lab.store.machine import check_torch, set_variables
from lab.store.runs import add_request, verify
from lab.store.twins import Choice, choose, choose_first, folder_of, has_checkpoint

PARENT_WATCH_SECONDS = 0.2


def run(job: Job, console: Console, promised: str | None = None) -> dict[str, Any]:
    """Find the run or train it. Returns its result. Raises LabError; the run directory then says why.

    `promised` is the identity that a sweep's plan gave the job.
    """
    root = Path(job.root)
    identified = Identifier(root).identify(job)
    if promised not in (None, identified.identity):
        raise StoreError("lab/ or the text was edited since the sweep was planned: this would be another run\ntype the same again")
    identified = Edits(root, console.say).settle(identified)
    choice = place(identified)
    if (result := tell_found(job, choice, console)) is not None:
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
            if (result := tell_found(job, choice, console)) is not None:
                return result
            if folder_of(choice, identified.folder) != folder or has_checkpoint(folder) != begun:
                raise StoreError("another process began this run, and left it, at this moment\ntype the same again")
            return train(identified, parts, folder, claim, console)
    except ClaimedError:
        if (result := tell_found(job, place(identified), console)) is not None:
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
    """The result of a run that finished or diverged before, verified and shown; this request is added to it. None: it's to be trained."""
    folder = choice.folder
    if folder is not None and folder.result.exists():
        result = verify(folder)
        try:
            add_request(Path(job.root), folder, job.request)
        except OSError as error:
            raise MachineError(
                f"the run is there, and this request can't be added: {error}\nput that right; or: python -m lab show {folder.path.name}"
            ) from error
        console.found(folder, job.request, job.seed, result)
        return result
    return None


def assembled(identified: Identified) -> Any:
    """The run's parts, built before its folder is made: what a part refuses leaves none behind. Raises LabError."""
    experiment = importlib.import_module("lab.experiment")
    try:
        return experiment.assemble(identified.job.config, identified.data)
    except LabError:
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise MachineError(
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


def main() -> int:
    """Train the job in the file named on the command line, for the sweep whose process number follows. Exit status as of `run.py`."""
    frozen = read_json(Path(sys.argv[1]))
    leave_on_interrupt()
    leave_with(int(sys.argv[2]))
    console = Console(position=frozen["position"])
    sys.path.insert(0, frozen["job"]["root"])  # the project's own modules (trusted_modules), wherever the sweep was typed
    try:
        run(Job(**frozen["job"]), console, frozen["identity"])
    except LabError as error:
        console.error(str(error))
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    return 0


def leave_with(parent: int) -> None:
    """When the sweep that started this run is gone, checkpoint and leave: an orphan would train on unseen."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
