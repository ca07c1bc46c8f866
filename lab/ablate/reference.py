"""What a baseline's code is held against: its finished runs in one cohort, and what earlier replays found. Replays nothing, no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yaml import YAMLError

from lab.ablate.certificate import CodeMap, Finding, comparable, joined, map_hash, moved_modules
from lab.config.options import read_stored
from lab.errors import ConfigError, LabError
from lab.files import read_rows, read_sealed, sha256_of
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

    @property
    def bits(self) -> str:
        return sha256_of(self.manifest["bits"])


@dataclass(frozen=True)
class Reference:
    """What a request for a baseline, or for a change of it, is held against: today's code, runs, and what earlier replays found.

    `runs` are the baseline's finished ones of this cohort under the request's bits; only where there are none, those of others: an
    edit may move one attention path and not the other.
    """

    code: dict[str, str]
    change_id: str
    cohort: str
    runs: tuple[BaselineRun, ...]
    findings: tuple[Finding, ...]

    @property
    def about(self) -> tuple[Finding, ...]:
        """The findings of this composition in this cohort, under the bits of these runs."""
        bits = {run.bits for run in self.runs}
        return tuple(each for each in self.findings if (each.cohort, each.change_id) == (self.cohort, self.change_id) and each.bits in bits)

    @property
    def joined(self) -> list[dict[str, str]]:
        """The maps that certificates join with today's, which comes first."""
        return joined(self.code, self.about, self.cohort, self.change_id)

    @property
    def excused(self) -> bool:
        """Whether there's nothing to excuse, or a certificate does. A difference that was found directly outweighs a chain of them."""
        names = {map_hash(each) for each in self.joined}
        if self.finding is not None:
            return self.finding.inert
        return not self.runs or any(map_hash(run.code) in names for run in self.runs)

    def touches(self, code: CodeMap) -> bool:
        """Whether code differs from that of the runs in a module that both have: an arm may lack what was edited."""
        return not comparable(code, [run.code for run in self.runs])

    @property
    def finding(self) -> Finding | None:
        """What a replay of one of these runs under today's code came to, where there was one; of several one that found a difference."""
        codes = {map_hash(run.code) for run in self.runs}
        tried = [each for each in self.about if map_hash(each.new) == map_hash(self.code) and map_hash(each.old) in codes]
        return min(tried, key=lambda each: each.inert, default=None)

    @property
    def modules(self) -> list[str]:
        """What was edited since the newest of the runs."""
        return moved_modules(self.runs[-1].code, self.code)

    def candidates(self) -> list[BaselineRun]:
        """The runs that this machine could train again, those under the newest code first."""
        newest = map_hash(self.runs[-1].code)
        return sorted((run for run in self.runs if run.replayable), key=lambda run: map_hash(run.code) != newest)


def others_of(chosen: BaselineRun, candidates: Iterable[BaselineRun]) -> list[BaselineRun]:
    """A run of each other seed under the same code."""
    found: dict[int, BaselineRun] = {}
    for run in candidates:
        if run.manifest["seed"] != chosen.manifest["seed"] and map_hash(run.code) == map_hash(chosen.code):
            found.setdefault(run.manifest["seed"], run)
    return list(found.values())


def baseline_runs(root: Path, baseline: str, lock: str, cohort: str, say: Callable[[str], None]) -> tuple[BaselineRun, ...]:
    """The finished runs that were asked for as this baseline, in this cohort, oldest request first; a damaged one is told to `say`."""
    found: list[tuple[int, BaselineRun]] = []
    for folder in run_folders(root):
        if not folder.result.exists():
            continue
        wanted = [row for row in read_rows(folder.requests)[0] if is_baseline(row, baseline, lock)]
        if not wanted:
            continue
        try:
            result, manifest = read_result(folder), read_sealed(folder.manifest)
            if manifest["cohort"] == cohort and result["status"] == "finished":
                found.append((int(wanted[0]["number"]), BaselineRun(folder, manifest, can_repeat(folder, manifest))))
        except (LabError, OSError, ValueError, KeyError, TypeError) as error:
            say(f"a run of the baseline can't be used: {str(error).splitlines()[0]}")
    return tuple(run for _, run in sorted(found, key=lambda pair: pair[0]))


def of_bits(runs: Sequence[BaselineRun], bits: str) -> tuple[BaselineRun, ...]:
    """Those under the given bits; all where there are none."""
    return tuple(run for run in runs if run.bits == bits) or tuple(runs)


def is_baseline(request: Mapping[str, Any], baseline: str, lock: str) -> bool:
    """Whether a request asked for the pinned baseline itself."""
    wanted = {"baseline": baseline, "lock": lock, "changes": [], "exploring": False}
    return all(request.get(key) == value for key, value in wanted.items())


def can_repeat(folder: RunFolder, manifest: Mapping[str, Any]) -> bool:
    """Whether this machine has the versions and the processor that made a run; threads and the like come with its config.yaml."""
    try:
        device = read_stored(folder.config)["device"]
    except (ConfigError, YAMLError, ValueError, KeyError, OSError):
        return False  # it stands in the way of an edit all the same
    return {name: value for name, value in manifest["bits"].items() if name != "leaves"} == bits_of_machine(device)
