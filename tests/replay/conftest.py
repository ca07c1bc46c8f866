"""Two finished seeds of the baseline `ends`, trained by a copy of lab/ that tests may edit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.replay.worlds import Editable, editable


@pytest.fixture(scope="session")
def trained_once(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Editable:
    project = editable(tiny_template, tmp_path_factory.mktemp("editable") / "project")
    for seed in (0, 1):
        project.python("run.py", "baseline=ends", f"seed={seed}")
    return project


@pytest.fixture
def trained(trained_once: Editable, tmp_path: Path) -> Editable:
    """A copy of its own: a finding or an arm of one test is none of another's."""
    return trained_once.copy(tmp_path / "project")
