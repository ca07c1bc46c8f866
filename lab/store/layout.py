"""Where a run lives on disk. Knows paths only: reads no metric, imports no torch."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

LONGEST_SLUG = 60


@dataclass(frozen=True)
class RunFolder:
    """One run's directory, the names of what stands in it, and the place of its claim."""

    path: Path

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def requests(self) -> Path:
        return self.path / "requests.jsonl"

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def overrides(self) -> Path:
        return self.path / "overrides.yaml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def failure(self) -> Path:
        return self.path / "failure.json"

    @property
    def log(self) -> Path:
        return self.path / "run.log"

    @property
    def claim(self) -> Path:
        """Who trains it: outside, in <store>/.claims, so that every baseline which asks for this run asks for one claim."""
        return self.path.absolute().parent.parent.parent / ".claims" / self.path.name

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"


def store(root: Path) -> Path:
    """All runs of a project."""
    return root / "runs"


def cache(root: Path) -> Path:
    """Prepared data: deletable, made anew from the corpus."""
    return store(root) / ".cache"


def run_folder(root: Path, baseline: str, label: str, arm_id: str, seed: int, identity: str) -> RunFolder:
    """Where a run is first trained: runs/<baseline>/<arm>/seed=<s>-<id12>/."""
    return RunFolder(store(root) / baseline / arm_name(label, arm_id) / f"seed={seed}-{identity[:12]}")


def arm_name(label: str, arm_id: str) -> str:
    """A readable folder name for an arm: only safe characters, cut, ending in 6 hex of what it is."""
    slug = re.sub(r"[^A-Za-z0-9=._+,-]+", "_", label.replace("/", ".")).strip("._-") or "arm"
    return f"{slug[:LONGEST_SLUG]}-{arm_id[:6]}"


def run_folders(root: Path, baseline: str = "*") -> list[RunFolder]:
    """Every run directory of the store, of all baselines or one, in the order of their paths. Hidden folders hold none."""
    runs = store(root)
    arms = [runs / name / arm for name in folders_in(runs) if baseline in ("*", name) for arm in folders_in(runs / name)]
    return [RunFolder(arm / run) for arm in arms for run in folders_in(arm) if run.startswith("seed=")]


def folders_in(folder: Path) -> list[str]:
    """The names of the folders in one that aren't hidden, in order; none where it can't be read. Looks at no file."""
    try:
        with os.scandir(folder) as entries:
            return sorted(each.name for each in entries if not each.name.startswith(".") and each.is_dir())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
