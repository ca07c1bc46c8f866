"""One attempt at a run in a directory that this process owns: train, from its checkpoint where it has one, publish the result last.

Everything that is published is published under the claim. Imports no torch: the experiment is started by name.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lab.config.diff import ABSENT, flatten, moved, say
from lab.config.identity import role_of
from lab.errors import DataError, Interrupted, LabError, MachineError, RunError, StoreError
from lab.files import read_sealed, sealed, sha256_file, write_file, write_json
from lab.request import Identified
from lab.signals import stopping
from lab.store.claim import Claim
from lab.store.console import Console, RunProgress
from lab.store.layout import RunFolder
from lab.store.manifest import SCHEMA, UNCOMMITTED, surroundings
from lab.store.runs import add_request, read_result
from lab.store.twins import begun_with, has_checkpoint, stored, unequal


def train(identified: Identified, parts: Any, folder: RunFolder, claim: Claim, console: Console) -> dict[str, Any]:
    """Train in a claimed directory and publish the result. Raises LabError; failure.json then says why, but after an interrupt."""
    job, root = identified.job, Path(identified.job.root)
    claim.require()
    for left in (*folder.path.glob(".*.tmp"), *folder.checkpoint.glob(".*.tmp")):
        left.unlink(missing_ok=True)  # of an attempt that was killed inside a write
    if not has_checkpoint(folder):
        write_file(folder.config, OmegaConf.to_yaml(OmegaConf.create(job.config)))
        write_file(folder.overrides, OmegaConf.to_yaml(OmegaConf.create(job.overrides)))
    manifest = kept_manifest(identified, parts, folder, claim)
    claim.require()
    add_request(root, folder, job.request)
    folder.failure.unlink(missing_ok=True)
    try:
        console.begin(folder, manifest, job.request)
        outcome = train_under_signals(identified, parts, folder, claim, console)
        require_unmoved(identified, folder, claim)
    except Interrupted:
        raise
    except Exception as error:
        fail(folder, error, claim, console)
        raise explained(error, folder) from error
    files = [folder.manifest, folder.config, folder.overrides, *sorted(folder.checkpoint.glob("step-*"))]
    digests = outcome["digests"] | {path.relative_to(folder.path).as_posix(): sha256_file(path) for path in files}
    digests |= digest_of_edits(manifest)
    result = sealed({"schema": SCHEMA, "identity": identified.identity} | outcome | {"digests": digests})
    claim.require()
    write_json(folder.result, result)
    console.end(result)
    require_equal_twins(root, identified, folder, result)
    return result


def kept_manifest(identified: Identified, parts: Any, folder: RunFolder, claim: Claim) -> dict[str, Any]:
    """The run's manifest, written at its first attempt. Raises StoreError for one that was edited since."""
    if folder.manifest.exists():
        try:
            return read_sealed(folder.manifest)
        except ValueError as error:
            raise StoreError(f"{error}\nmove {folder.path} away to train the run from the beginning") from None
    pairing = {"pairing": paired(identified, parts)}
    claim.require()  # pairing takes its time
    manifest = identified.manifest | surroundings(Path(identified.job.root), folder.path) | pairing
    write_json(folder.manifest, sealed(manifest))
    return manifest


def digest_of_edits(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The digest of the file of uncommitted edits, as the manifest has it; empty without one, and for runs from before there was one."""
    digest = (manifest["git"] or {}).get("diff_sha256")
    return {} if digest is None else {UNCOMMITTED: digest}


def paired(identified: Identified, parts: Any) -> dict[str, Any] | None:
    """What the run shares with its baseline, counted (lab/pairing.py); None where it explores.

    Edited code can't make the baseline again: its run of this seed is read instead, and with none there is nothing to tell.
    """
    job, pairing = identified.job, importlib.import_module("lab.pairing")  # by name: it loads torch
    found: dict[str, Any] | None = None
    if any(change["kind"] == "code" for change in job.changes):
        found = None if identified.edited_from is None else pairing.pairing_with_run(parts, identified.edited_from.path)
    elif not job.exploring:
        found = pairing.pairing(job.config, job.reference, parts, identified.data, identified.baseline_data)
    return found


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


def train_under_signals(identified: Identified, parts: Any, folder: RunFolder, claim: Claim, console: Console) -> dict[str, Any]:
    """Run the experiment with its progress shown, until it ends or a signal asks it to stop."""
    experiment = importlib.import_module("lab.experiment")
    progress, job = RunProgress(console), identified.job
    try:
        with stopping() as stop:
            outcome = experiment.run(
                job.config, identified.data, parts, folder.path, identified.identity, progress, stop, owned=claim.require
            )
    finally:
        progress.stopped()
    return asdict(outcome)


def require_unmoved(identified: Identified, folder: RunFolder, claim: Claim) -> None:
    """Raise DataError where the data moved while the run trained. Its checkpoints go: nobody knows which steps saw other tokens."""
    try:
        identified.data.verify()
    except DataError:
        claim.require()
        for path in folder.checkpoint.glob("step-*"):
            path.unlink()
        raise


def require_equal_twins(root: Path, identified: Identified, folder: RunFolder, result: Mapping[str, Any]) -> None:
    """Raise MachineError where the same run was trained before and came to other bits. Both stay, and the report says so."""
    same = [each for identity in (identified.identity, *identified.joined) for each in stored(root, identity, identified.job.config)]
    for each in same:
        if each.done and each.folder != folder and (differing := unequal(result, read_result(each.folder))):
            raise MachineError(
                f"this run came to other bits than the same run before: {', '.join(differing)} differ\n"
                f"  {folder.path}\n  {each.folder.path}\n"
                f"this machine doesn't repeat itself, or the code moves what its certificate didn't look at\n"
                f"python -m lab replay {each.folder.path.name}"
            )


def fail(folder: RunFolder, error: Exception, claim: Claim, console: Console) -> None:
    """Leave word of why a run failed, where it's still ours. The disk may be what failed, so this never hides the first error."""
    trace = traceback.format_exc()
    said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    try:
        claim.require()
        machine = isinstance(explained(error, folder), MachineError)
        write_json(folder.failure, {"schema": SCHEMA, "error": said, "machine": machine, "traceback": trace})
        console.log(trace)
    except StoreError:
        return  # another process's folder by now
    except OSError:
        console.log("failure.json could not be written")


# What torch raises as a RuntimeError though the machine is at fault, by its words: `torch.OutOfMemoryError` and the like.
MEMORY = ("OutOfMemoryError", "out of memory", "can't allocate memory", "enforce fail at alloc_cpu", "CUBLAS_STATUS_ALLOC_FAILED")
DEVICE = ("CUDA error", "device-side assert", "cuDNN error", "HIP error", "AcceleratorError")


def explained(error: Exception, folder: RunFolder) -> LabError:
    """A failure of a run as one message; what isn't the user's mistake keeps its traceback in failure.json."""
    if isinstance(error, LabError):
        return error
    where = traceback.extract_tb(error.__traceback__)[-1]
    said = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    place = f"at {where.filename}:{where.lineno}, in {where.name}; the traceback is in {folder.log}"
    told = f"{type(error).__name__}: {error}" if isinstance(error, RuntimeError) else ""
    if isinstance(error, MemoryError) or any(words in told for words in MEMORY):
        way = "make room (other programs, fewer runs at once): the same command goes on from its last checkpoint"
        return MachineError(f"the machine failed this run, memory is out: {said}\n{way}\n{place}")
    if any(words in told for words in DEVICE):
        way = "the same command goes on from its last checkpoint, in a fresh process"
        return MachineError(f"the machine failed this run, its device is lost: {said}\n{way}\n{place}")
    if isinstance(error, OSError):
        return MachineError(f"the machine failed this run: {said}\nthe same command goes on from its last checkpoint")
    return RunError(f"this run failed: {type(error).__name__}: {error}\n{place}")
