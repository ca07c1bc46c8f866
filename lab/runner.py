"""One request, in order: rule, data, identity, found?, claim, train, result. Knows every room below and does little itself.

Until training starts nothing here imports torch. Started by name (`python -m lab.runner JOB.json`) it trains one frozen job,
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
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lab.ablate.codemap import code_map
from lab.config.diff import ABSENT, flatten, moved, say
from lab.config.identity import role_of
from lab.errors import Interrupted, LabError, MachineError, StoreError
from lab.files import read_json, sealed, sha256_file, write_file, write_json
from lab.request import Identified, Identifier, Job
from lab.signals import leave_on_interrupt, stopping
from lab.store.claim import claimed
from lab.store.console import Console, RunProgress
from lab.store.layout import RunFolder
from lab.store.machine import check_torch, set_variables
from lab.store.manifest import SCHEMA, surroundings
from lab.store.runs import add_request, find_identity, verify

PARENT_WATCH_SECONDS = 1.0
# How long a thread of torch's pool spins for work before it sleeps; read when torch is loaded. Left alone it spins so long that
# two runs on the same cores are 30 times slower than one (docs/log.md, 2026-11-20). Moves no bit.
SPINS = "3000"


def run(job: Job, console: Console, promised: str | None = None) -> dict[str, Any]:
    """Find the run or train it. Returns its result. Raises LabError; the run directory then says why.

    `promised` is the identity that a sweep's plan gave the job.
    """
    root = Path(job.root)
    identified = Identifier(root).identify(job)
    if promised not in (None, identified.identity):
        raise StoreError("lab/ or the text was edited since the sweep was planned: this would be another run\ntype the same again")
    result = find_and_tell(job, identified.identity, console)
    if result is not None:
        return result
    import_everything(identified)
    folder = find_identity(root, identified.identity) or identified.folder
    begun = has_checkpoint(folder)
    if begun:
        identified = as_begun(identified, folder, console)
    parts = assembled(identified)
    try:
        with claimed(folder.claim):
            found = find_and_tell(job, identified.identity, console)
            if found is None and has_checkpoint(folder) != begun:
                raise StoreError("another process began this run, and left it, at this moment\ntype the same again")
            return found or train(identified, parts, folder, console)
    except OSError as error:
        raise MachineError(f"the machine failed this run: {error}\nput that right; the same command goes on") from error


def find_and_tell(job: Job, identity: str, console: Console) -> dict[str, Any] | None:
    """The result of a run that finished or diverged before, verified and shown; this request is added to it."""
    root = Path(job.root)
    folder = find_identity(root, identity)
    if folder is None or not folder.result.exists():
        return None
    result = verify(folder)
    add_request(root, folder, job.request)
    console.found(folder, job.request, job.seed, result)
    if not console.position:
        begun = begun_with(folder)
        for move in moved(flatten(job.config["trainer"]), flatten(begun["trainer"])):
            console.say(f"  it has trainer.{move.path}={say(move.new)}, not {say(move.old)}: a nuisance, so it is the same run")
        for name in sorted(job.config["hooks"].keys() - begun["hooks"].keys()):
            console.say(f"  it was trained without the observer {name}, and has nothing of what that records: another seed would")
    return result


def begun_with(folder: RunFolder) -> dict[str, Any]:
    """The resolved configuration that a run was begun with."""
    begun = OmegaConf.to_container(OmegaConf.load(folder.config))
    assert isinstance(begun, dict)
    return {str(key): value for key, value in begun.items()}


def has_checkpoint(folder: RunFolder) -> bool:
    """Whether a run goes on from somewhere. One without a checkpoint begins anew, so nothing of an earlier request binds it."""
    return any(folder.checkpoint.glob("step-*.json"))


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
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    set_variables(identified.job.config["device"])
    for module in ("lab.experiment", *identified.manifest["code"]):
        importlib.import_module(module)
    check_torch(importlib.import_module("lab.device").bits_of_torch(identified.job.config["device"]["kind"]))
    if code_map(identified.job.config) != identified.manifest["code"]:
        raise StoreError("lab/ was edited while this run started: its code isn't what its identity says\ntype the same again")


def train(identified: Identified, parts: Any, folder: RunFolder, console: Console) -> dict[str, Any]:
    """Train in a claimed directory, from its checkpoint where it has one, and publish the result last."""
    job = identified.job
    if not has_checkpoint(folder):
        write_file(folder.config, OmegaConf.to_yaml(OmegaConf.create(job.config)))
        write_file(folder.overrides, OmegaConf.to_yaml(OmegaConf.create(job.overrides)))
    if not folder.manifest.exists():
        write_json(folder.manifest, identified.manifest | surroundings(Path(job.root)))
    add_request(Path(job.root), folder, job.request)
    folder.failure.unlink(missing_ok=True)
    try:
        console.begin(folder, identified.manifest, job.request)
        outcome = train_under_signals(identified, parts, folder, console)
        identified.data.verify()
    except Interrupted:
        raise
    except Exception as error:
        fail(folder, error, console)
        raise explained(error, folder) from error
    files = [folder.manifest, folder.config, folder.overrides, *sorted(folder.checkpoint.glob("step-*"))]
    digests = outcome["digests"] | {path.relative_to(folder.path).as_posix(): sha256_file(path) for path in files}
    result = sealed({"schema": SCHEMA, "identity": identified.identity} | outcome | {"digests": digests})
    write_json(folder.result, result)
    console.end(result)
    return result


def as_begun(identified: Identified, folder: RunFolder, console: Console) -> Identified:
    """A run goes on with the cadence and the observers that it was begun with: its rows would else mix two.

    Only nuisances are taken from its config.yaml. Raises StoreError when that file isn't the run's any more.
    """
    begun, now = begun_with(folder), identified.job.config
    for move in moved(flatten(now), flatten(begun)):
        hooks = now["hooks"] if move.new == ABSENT else begun["hooks"]
        if role_of(move.path, hooks) not in ("nuisance", "judgement"):
            raise StoreError(
                f"{folder.config} was edited: {move.path} is {say(move.new)} there, and this run has {say(move.old)}\n"
                f"put it back, or move {folder.path} away to train the run from the beginning"
            )
        if move.path.startswith(("trainer.", "hooks.")):
            console.say(f"this run was begun with {move.path}={say(move.new)} and goes on with it, not with {say(move.old)}")
    return replace(identified, job=replace(identified.job, config=now | {"trainer": begun["trainer"], "hooks": begun["hooks"]}))


def train_under_signals(identified: Identified, parts: Any, folder: RunFolder, console: Console) -> dict[str, Any]:
    """Run the experiment with its progress shown, until it ends or a signal asks it to stop."""
    experiment = importlib.import_module("lab.experiment")
    progress = RunProgress(console)
    try:
        with stopping() as stop:
            outcome = experiment.run(identified.job.config, identified.data, parts, folder.path, identified.identity, progress, stop)
    finally:
        progress.stopped()
    return asdict(outcome)


def fail(folder: RunFolder, error: Exception, console: Console) -> None:
    """Leave word of why a run failed. The disk may be what failed, so this never hides the first error."""
    trace = traceback.format_exc()
    try:
        write_json(
            folder.failure,
            {"schema": SCHEMA, "error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", "traceback": trace},
        )
        console.log(trace)
    except OSError:
        console.log("failure.json could not be written")


def explained(error: Exception, folder: RunFolder) -> LabError:
    """A failure of a run as one message; what isn't the user's mistake keeps its traceback in failure.json."""
    if isinstance(error, LabError):
        return error
    where = traceback.extract_tb(error.__traceback__)[-1]
    if isinstance(error, (MemoryError, OSError)):
        return MachineError(
            f"the machine failed this run: {type(error).__name__}: {error}\nthe same command goes on from its last checkpoint"
        )
    return MachineError(
        f"this run failed: {type(error).__name__}: {error}\nat {where.filename}:{where.lineno}, in {where.name}; "
        f"the traceback is in {folder.log}"
    )


def main() -> int:
    """Train the job in the file named on the command line, for a sweep. Exit status as of `run.py`."""
    frozen = read_json(Path(sys.argv[1]))
    leave_on_interrupt()
    leave_with(frozen["parent"])
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
