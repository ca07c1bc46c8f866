"""A run's manifest: its identity, every part of it, and where it came from. Written once, before the first step."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

SCHEMA = 1
LONGEST_DIFF = 200_000
PACKAGES = ("hydra-core", "numpy", "omegaconf", "pandas", "rich", "safetensors", "scipy", "torch")


def surroundings(root: Path) -> dict[str, Any]:
    """What is worth knowing of where a run was made, and never enters its identity."""
    return {"git": git_state(root), "host": platform.node(), "python": platform.python_version(), "packages": packages()}


def packages() -> dict[str, str]:
    """Versions of the libraries that the lab stands on."""
    found = {(each.metadata["Name"] or "").lower(): each.version for each in distributions()}
    return {name: found[name] for name in PACKAGES if name in found}


def git_state(root: Path) -> dict[str, Any] | None:
    """The commit, and the difference of the working tree from it; None outside a git checkout."""
    if shutil.which("git") is None:
        return None
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None
    status = _git(root, "status", "--porcelain") or ""
    diff = (_git(root, "diff", "--no-ext-diff", "--no-color", "HEAD") or "") if status else ""
    return {"commit": commit.strip(), "dirty": bool(status), "diff": diff[:LONGEST_DIFF], "diff_cut": len(diff) > LONGEST_DIFF}


def _git(root: Path, *words: str) -> str | None:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, errors="replace", check=False)
    return done.stdout if done.returncode == 0 else None
