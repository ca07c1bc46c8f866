"""What a baseline's code is held against: its finished runs in one cohort, and what earlier replays found. Replays nothing, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yaml import YAMLError

from lab.ablate.certificate import Finding, joined, map_hash, moved_modules
from lab.config.options import read_yaml
from lab.errors import ConfigError, LabError
from lab.files import read_json, read_rows
from lab.store.layout import RunFolder, run_folders
from lab.store.machine import bits_of_machine
from lab.store.runs import read_result


@dataclass(frozen=True)
class BaselineRun:
    """A finished run of a baseline in one cohort."""

    folder: RunFolder
    manifest: dict[str, Any]
    replayable: bool  # this machine could make its bits again

    @property
    def code(self) -> dict[str, str]:
        code: dict[str, str] = self.manifest["code"]
        return code


@dataclass(frozen=True)
class Reference:
    """A baseline's code today, its finished runs in this cohort, and what earlier replays found."""

    code: dict[str, str]
    change_id: str
    cohort: str
    runs: tuple[BaselineRun, ...]
    findings: tuple[Finding, ...]

    @property
    def joined(self) -> list[dict[str, str]]:
        """The maps that certificates join with today's, which comes first."""
        return joined(self.code, self.findings, self.cohort, self.change_id)

    @property
    def excused(self) -> bool:
        """Whether there's nothing to excuse, or a certificate does."""
        names = {map_hash(each) for each in self.joined}
        return not self.runs or any(map_hash(run.code) in names for run in self.runs)

    @property
    def finding(self) -> Finding | None:
        """What a replay of one of these runs under today's code came to, where there was one."""
        codes = {map_hash(run.code) for run in self.runs}
        found = [each for each in self.findings if map_hash(each.new) == map_hash(self.code) and map_hash(each.old) in codes]
        return next((each for each in found if (each.cohort, each.change_id) == (self.cohort, self.change_id)), None)

    @property
    def modules(self) -> list[str]:
        """What was edited since the newest of the runs."""
        return moved_modules(self.runs[-1].code, self.code)

    def replayed(self, bits: Mapping[str, Any]) -> tuple[BaselineRun, list[BaselineRun]] | None:
        """The run to train again (one of these bits, if there is one) and the others under its code; None where none can be."""
        able = [run for run in self.runs if run.replayable]
        if not able:
            return None
        chosen = min(able, key=lambda run: (run.manifest["bits"] != bits, map_hash(run.code) != map_hash(self.runs[-1].code)))
        return chosen, [run for run in able if run is not chosen and map_hash(run.code) == map_hash(chosen.code)]


def baseline_runs(root: Path, baseline: str, lock: str, cohort: str) -> tuple[BaselineRun, ...]:
    """The finished runs that were asked for as this baseline, in this cohort, oldest request first. A damaged one is passed over."""
    found: list[tuple[int, BaselineRun]] = []
    for folder in run_folders(root):
        if not folder.result.exists():
            continue
        wanted = [row for row in read_rows(folder.requests)[0] if is_baseline(row, baseline, lock)]
        if not wanted:
            continue
        try:
            manifest = read_json(folder.manifest)
            if manifest["cohort"] != cohort or read_result(folder)["status"] != "finished":
                continue
            found.append((int(wanted[0]["number"]), BaselineRun(folder, manifest, can_repeat(folder, manifest))))
        except (LabError, OSError, ValueError, KeyError, TypeError):
            continue
    return tuple(run for _, run in sorted(found, key=lambda pair: pair[0]))


def is_baseline(request: Mapping[str, Any], baseline: str, lock: str) -> bool:
    """Whether a request asked for the pinned baseline itself."""
    wanted = {"baseline": baseline, "lock": lock, "changes": [], "exploring": False}
    return all(request.get(key) == value for key, value in wanted.items())


def can_repeat(folder: RunFolder, manifest: Mapping[str, Any]) -> bool:
    """Whether this machine has the versions and the processor that made a run; threads and the like come with its config.yaml."""
    try:
        device = read_yaml(folder.config)["device"]
    except (ConfigError, YAMLError, ValueError, KeyError, OSError):
        return False  # it stands in the way of an edit all the same
    return {name: value for name, value in manifest["bits"].items() if name != "leaves"} == bits_of_machine(device)
