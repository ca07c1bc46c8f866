"""A run's manifest: its identity, every part of it, and where it came from. Written once, before the first step.

Its pairing, counted where the model is built, is put into words here: for the console, `lab show` and the report.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from lab.files import read_json, write_file

SCHEMA = 1
LONGEST_DIFF = 200_000
UNCOMMITTED = "uncommitted.diff"  # beside the manifest, so that every reading of that stays quick
NAMED = 3  # tensors that a sentence names
PAIRED = {
    "initial": ("of", "equal"),
    "data": ("of", "same"),
    "dropout": ("of", "keyed", "shared"),
}  # the counts of a pairing, none above the first
HERE = ("same_draws", "other", "only_here")  # its names of the run's tensors
LISTED = (*HERE, "only_baseline")
WHEN_COPIED = ".git-when-copied.json"
FROZEN = Path(__file__).resolve().parents[2] / WHEN_COPIED  # beside the lab/ that runs
PACKAGES = ("hydra-core", "numpy", "omegaconf", "pandas", "rich", "safetensors", "scipy", "torch")


@dataclass(frozen=True)
class GitState:
    """The commit of a checkout, whether anything in it isn't committed, and what of that is known to git, as a patch (perhaps cut)."""

    commit: str
    dirty: bool
    diff: str
    diff_cut: bool

    def record(self) -> dict[str, Any]:
        """What the manifest says of it: of the patch its SHA-256, None without one."""
        digest = hashlib.sha256(self.diff.encode()).hexdigest() if self.diff else None
        return {"commit": self.commit, "dirty": self.dirty, "diff_sha256": digest, "diff_cut": self.diff_cut}


def surroundings(root: Path, folder: Path) -> dict[str, Any]:
    """What is worth knowing of where a run was made, and never enters its identity. Uncommitted edits become a file in its folder."""
    git = git_state(root)
    if git is not None and git.diff:
        write_file(folder / UNCOMMITTED, git.diff)
    else:
        (folder / UNCOMMITTED).unlink(missing_ok=True)  # of an attempt that was killed before its manifest
    return {
        "git": None if git is None else git.record(),
        "host": platform.node(),
        "python": platform.python_version(),
        "packages": packages(),
    }


@cache
def packages() -> dict[str, str]:
    """Versions of the libraries that the lab stands on. Asked once: a fork server's runs share the answer."""
    found = {(each.metadata["Name"] or "").lower(): each.version for each in distributions()}
    return {name: found[name] for name in PACKAGES if name in found}


def git_state(root: Path) -> GitState | None:
    """The commit, and the difference of the working tree from it; None outside a git checkout.

    For code that was copied away, as a sweep's, what stood there then: the checkout may have moved on since.
    """
    if FROZEN.exists():
        kept = read_json(FROZEN)["git"]
        return None if kept is None else GitState(**kept)
    if shutil.which("git") is None:
        return None
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None
    status = _git(root, "status", "--porcelain") or ""
    diff = (_git(root, "diff", "--no-ext-diff", "--no-color", "HEAD") or "") if status else ""
    return GitState(commit.strip(), bool(status), diff[:LONGEST_DIFF], len(diff) > LONGEST_DIFF)


def _git(root: Path, *words: str) -> str | None:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, errors="replace", check=False)
    return done.stdout if done.returncode == 0 else None


def pairing_in_words(pairing: Mapping[str, Any]) -> str:
    """What a run shares with its baseline, and by name what it doesn't."""
    initial, data, dropout = pairing["initial"], pairing["data"], pairing["dropout"]
    alike = len(initial["same_draws"])
    odd = [
        f"{alike} more {'shares its' if alike == 1 else 'share their'} draws at another size or scale" if alike else "",
        f"other draws in {named(initial['other'])}" if initial["other"] else "",
        f"only here: {named(initial['only_here'])}" if initial["only_here"] else "",
        f"only in the baseline: {named(initial['only_baseline'])}" if initial["only_baseline"] else "",
    ]
    told = "; ".join(filter(None, odd))
    sites = f"{dropout['keyed']} of {dropout['of']} sites keyed" if dropout["of"] else "none draws"
    apart = f", {dropout['shared']} of them with the baseline's keys" if dropout["shared"] < dropout["keyed"] else ""
    return (
        f"initial values: {initial['equal']} of {initial['of']} tensors bit-equal to the baseline{f' ({told})' if told else ''}; "
        f"data: {data['same']} of {data['of']} {data['unit']} the same; dropout: {sites}{apart}"
    )


def not_paired(pairing: Mapping[str, Any]) -> list[str]:
    """What a run doesn't share with its baseline, or mostly not. That a change brings the first dropout is no lack: its masks are keyed."""
    initial, data, dropout = pairing["initial"], pairing["data"], pairing["dropout"]
    # bit-equal tensors alone say little: all norms begin as ones, whatever was drawn
    alone = 0 < initial["of"] <= 2 * len(initial["other"]) or initial["equal"] + len(initial["same_draws"]) == 0 < initial["of"]
    unkeyed = dropout["keyed"] < dropout["of"]
    return ["initial values"] * alone + ["data"] * (2 * data["same"] < data["of"]) + ["dropout"] * unkeyed


def pairing_is_sound(pairing: Any) -> bool:
    """Whether a manifest's pairing is none, or has every count and list of names that the words are made from, and no count above `of`."""
    if pairing is None:
        return True
    try:
        counts = {part: [pairing[part][key] for key in keys] for part, keys in PAIRED.items()}
        lists = [pairing["initial"][key] for key in LISTED]
        words = [pairing["data"]["unit"], *(name for each in lists for name in each)]
    except (KeyError, TypeError):
        return False
    whole = all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for each in counts.values() for count in each)
    lists_of_text = all(isinstance(each, list) for each in lists) and all(isinstance(word, str) for word in words)
    if not (whole and lists_of_text):
        return False
    placed = sum(len(pairing["initial"][key]) for key in HERE)  # each tensor of the run has one place
    return all(max(each) <= each[0] for each in counts.values()) and pairing["initial"]["equal"] + placed <= pairing["initial"]["of"]


def named(names: Sequence[str]) -> str:
    """The first few of many names."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
