"""Edits of the code, held against the baseline's finished runs: nothing edited, excused by a certificate, or a change.

The reference of a cohort is the code of its finished baseline runs; with none yet, today's code becomes it. Only modules that the
baseline executes count. What a replay found is kept (lab/ablate/certificate.py); the replay itself is started by name, in a
process of its own. Imports no torch.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.ablate.certificate import map_hash, read_findings
from lab.ablate.codemap import LAB, file_of
from lab.ablate.reference import BaselineRun, Reference, baseline_runs, of_bits, others_of
from lab.config.diff import Change
from lab.config.identity import arm_id, run_identity
from lab.errors import MachineError, OneChangeError, StoreError
from lab.files import sha256_of, write_json
from lab.processes import with_code
from lab.request import Identified
from lab.store.layout import run_folder, store
from lab.store.runs import verify

NAMED = 4  # modules that a sentence names


class Edits:
    """Looks at one store for the requests of one process; each baseline, cohort and lock is looked up once."""

    def __init__(self, root: Path, say: Callable[[str], None]) -> None:
        self.root, self.say = root, say
        self._references: dict[tuple[str, ...], Reference] = {}
        self._announced: list[Reference] = []

    def settle(self, identified: Identified, *, replay: bool = True) -> Identified:
        """The request as today's code makes it: as it is, found under joined code too, or the arm `code=...`.

        `replay=False` leaves an edit that nobody has tried as it is. Raises OneChangeError for an edit that moves the baseline, beside
        another change.
        """
        job = identified.job
        if any(change["kind"] == "code" for change in job.changes):
            return identified  # a sweep's plan has settled it
        reference = self.reference(identified)
        if job.exploring or not reference.runs or (job.changes and not reference.touches(identified.manifest["code"])):
            return identified
        if not reference.excused and reference.finding is None and replay:
            reference = self.certify(identified)
        if reference.excused:
            return identified if job.changes else with_joined(identified, reference)
        if reference.finding is None and not replay:
            self.announce(reference)
            return identified
        if job.changes and not job.config["explore"]:
            raise OneChangeError(refusal(identified, reference))
        return as_change(identified, reference)

    @property
    def untried(self) -> bool:
        """Whether a request was left as it is though its edit would first be tried."""
        return bool(self._announced)

    def announce(self, reference: Reference) -> None:
        """Say once that a replay is due."""
        if reference not in self._announced:
            self._announced.append(reference)
            self.say(f"edited since the baseline's runs: {named(reference.modules)}; before training, the baseline is replayed under it")

    def reference(self, identified: Identified) -> Reference:
        """What a request's baseline is held against."""
        job, cohort, bits = identified.job, identified.manifest["cohort"], sha256_of(identified.manifest["bits"])
        key = (job.baseline, job.lock, cohort, bits, map_hash(identified.baseline_code))
        if key not in self._references:
            findings, left_out = read_findings(store(self.root), job.baseline)
            for name, why in left_out:
                self.say(f"runs/{name} can't be used: {why}")
            runs = of_bits(baseline_runs(self.root, job.baseline, job.lock, cohort, self.say), bits)
            self._references[key] = Reference(identified.baseline_code, identified.baseline_change, cohort, runs, tuple(findings))
        return self._references[key]

    def certify(self, identified: Identified) -> Reference:
        """Replay the baseline under today's code, in a process of its own, and say what came out."""
        reference = self.reference(identified)
        whole = [run for run in reference.candidates() if self.is_whole(run)]
        if not whole:
            return reference
        run = whole[0]
        self.say(f"edited since the baseline's runs: {named(reference.modules)}\nreplaying {run.folder.path.name} under today's code")
        asked = {
            "root": str(self.root),
            "baseline": identified.job.baseline,
            "change_id": reference.change_id,
            "cohort": reference.cohort,
            "code": reference.code,
            "trusted_modules": identified.job.reference["trusted_modules"],
            "path": identified.job.reference["data"]["path"],
            "run": str(run.folder.path),
            "others": [str(each.folder.path) for each in others_of(run, whole)],
        }
        start_replay(self.root, asked)
        self._references.clear()
        reference = self.reference(identified)
        found = reference.finding
        assert found is not None, "a replay that ends leaves its finding"
        self.say(f"  {found.words()} ({found.seconds:.1f} s)")
        return reference

    def is_whole(self, run: BaselineRun) -> bool:
        """Whether every file of a run is as it was when it finished; one that isn't is told and passed over."""
        try:
            verify(run.folder)
        except StoreError as error:
            self.say(f"not replayed: {str(error).splitlines()[0]}")
            return False
        return True


def start_replay(root: Path, asked: dict[str, Any]) -> None:
    """Run `python -m lab.replay` on a frozen question. Raises MachineError when it fails; what it finds lies in certificates/."""
    with tempfile.TemporaryDirectory(prefix="lab-replay-", ignore_cleanup_errors=True) as folder:
        write_json(Path(folder) / "asked.json", asked)
        words = [sys.executable, "-m", "lab.replay", str(Path(folder) / "asked.json")]
        done = subprocess.run(words, cwd=root, env=with_code(LAB.parent), stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise MachineError(f"the baseline could not be replayed under today's code:\n{done.stderr.strip()[-2000:]}")


def with_joined(identified: Identified, reference: Reference) -> Identified:
    """A request for the baseline, which a run under code that a certificate joins with today's answers too."""
    manifest = identified.manifest
    parts = manifest["factors"], manifest["protocol"]
    arms = [arm_id(*parts, code, manifest["tokens"]) for code in reference.joined[1:]]
    return replace(identified, joined=tuple(run_identity(arm, manifest["seed"], manifest["bits"]) for arm in arms))


def as_change(identified: Identified, reference: Reference) -> Identified:
    """A request under edited code: for the baseline it's an arm of its own; beside another change it explores, where that was typed."""
    change = code_change(reference)
    changes = [*identified.job.changes, change.record()]
    label = f"code={change.new}" if len(changes) == 1 else f"{identified.job.label}+code={change.new}"
    job = replace(identified.job, label=label, changes=changes, exploring=len(changes) > 1)
    manifest = identified.manifest | {"label": label}
    folder = run_folder(Path(job.root), job.baseline, label, manifest["arm_id"], job.seed, identified.identity)
    beside = next((run.folder for run in reference.runs if run.manifest["seed"] == job.seed), None)
    return replace(identified, job=job, manifest=manifest, folder=folder, edited_from=beside if len(changes) == 1 else None)


def code_change(reference: Reference) -> Change:
    """An edit of the code, as requests keep changes."""
    old, new = (map_hash(code)[:8] for code in (reference.runs[-1].code, reference.code))
    return Change("code", "code", old, new, named(reference.modules, len(reference.modules)))


def refusal(identified: Identified, reference: Reference) -> str:
    """Why an edit and another change can't be told apart, and the ways out."""
    job, finding, change = identified.job, reference.finding, code_change(reference)
    if finding is not None:
        moved = f"{finding.run}, trained again under today's code: {finding.words()}"
    else:
        moved = "none of its runs can be replayed here (other versions, processor or variables), so nothing excuses the edit"
    start = "" if job.baseline == "default" else f" baseline={job.baseline}"
    return (
        f"refused: this run makes {1 + len(job.changes)} changes to baseline `{job.baseline}`; an ablation makes one\n"
        f"  {job.label}\n  code={change.new}: {change.source}, edited since the baseline's runs (code {change.old})\n"
        f"      {moved}\n"
        f"put the code back; or try the edit alone, as an arm: python run.py{start}\n"
        f"or start a baseline from today's code: python -m lab pin NAME baseline={job.baseline}\n"
        f"or add explore=true (it never enters a verdict)"
    )


def named(modules: list[str], most: int = NAMED) -> str:
    """Modules as files, the first few of many."""
    files = [file_name(module) for module in modules]
    return ", ".join(files[:most]) + (f" and {len(files) - most} more" if len(files) > most else "")


def file_name(module: str) -> str:
    """A module's file as a person knows it: from the folder that holds lab/, or the module's name where there's no file any more."""
    path = file_of(module)
    if path is None:
        return module
    return path.relative_to(LAB.parent).as_posix() if path.is_relative_to(LAB.parent) else str(path)
