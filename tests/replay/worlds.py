"""A project with its own copy of lab/, to edit the code of; a baseline that is long enough to have two ends."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.ablate.baseline import pin
from lab.config.compose import Composer
from tests.conftest import CHECKOUT, Project

STEPS = 60
ENDS = ("baseline=tiny", f"trainer.tokens={STEPS * 64}", "model.dropout=0.1", "hooks=[ema,grad_clip]", "trainer.checkpoint.every=30")


@dataclass(frozen=True)
class Edit:
    """One edit of the code: `old` becomes `new` in a file below lab/."""

    name: str
    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Editable(Project):
    """A project whose commands run its own lab/."""

    def python(self, *words: str, status: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        return super().python(*words, status=status, PYTHONPATH=str(self.root), **environment)

    def lab(self, *words: str, status: int | None = 0) -> str:
        """What `python -m lab WORDS` says, errors after the rest."""
        done = self.python("-m", "lab", *words, status=status)
        return done.stdout + done.stderr

    def copy(self, root: Path) -> Editable:
        shutil.copytree(self.root, root, ignore=shutil.ignore_patterns("__pycache__"))
        return Editable(root)

    def run(self, *words: str, status: int | None = 0) -> str:
        """What `python run.py baseline=ends WORDS` says."""
        done = self.python("run.py", "baseline=ends", *words, status=status)
        return done.stdout + done.stderr

    @contextmanager
    def edited(self, edit: Edit) -> Iterator[None]:
        """The project with an edit, and afterwards without it."""
        path = self.root / "lab" / edit.file
        before = path.read_text()
        assert before.count(edit.old) == 1, f"{edit.name}: {edit.old!r} stands {before.count(edit.old)} times in {edit.file}"
        path.write_text(before.replace(edit.old, edit.new))
        try:
            yield
        finally:
            path.write_text(before)


def editable(tiny_template: Path, root: Path) -> Editable:
    """A copy of the tiny project with lab/ in it and a baseline `ends` of 60 steps."""
    shutil.copytree(tiny_template, root)
    shutil.copytree(CHECKOUT / "lab", root / "lab", ignore=shutil.ignore_patterns("__pycache__"))
    pin(Composer(root, root), "ends", ENDS)
    return Editable(root)
