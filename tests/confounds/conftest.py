"""The shared ground that each case gets a copy of: a tiny project with finished runs, made once per file of tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.config.compose import Composer
from lab.store.machine import VARIABLES
from tests.confounds.world import ARM, Here, World


@pytest.fixture(scope="module")
def project(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project with its baseline finished on the two seeds of its look."""
    root = tmp_path_factory.mktemp("confounds") / "project"
    shutil.copytree(tiny_template, root)
    with pytest.MonkeyPatch.context() as patch:
        unset(patch)
        World(root, Composer(root, root)).trained()
    return root


def unset(patch: pytest.MonkeyPatch) -> None:
    """No variable that steers arithmetic, whatever stands in the environment of the tests."""
    for name in VARIABLES:
        patch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def composer(project: Path) -> Composer:
    return Composer(project, project)


@pytest.fixture(scope="module")
def usual(project: Path, composer: Composer) -> frozenset[str]:
    """The identities of the arm where nothing differs."""
    with pytest.MonkeyPatch.context() as patch:
        unset(patch)
        return frozenset(each.identity for each in World(project, composer).identified(ARM, seeds=(0, 1)))


@pytest.fixture(scope="module")
def compared(project: Path, composer: Composer, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A copy of it with an arm finished beside the baseline."""
    world = World.copied(project, tmp_path_factory.mktemp("compared") / "project", composer)
    with pytest.MonkeyPatch.context() as patch:
        unset(patch)
        world.trained(ARM)
        world.page()  # freezes D: from here on the report reads it
    return world


@pytest.fixture
def here(
    project: Path, composer: Composer, usual: frozenset[str], compared: World, tmp_path: Path
) -> Callable[[int, pytest.MonkeyPatch], Here]:
    def made(number: int, patch: pytest.MonkeyPatch) -> Here:
        unset(patch)
        folder = tmp_path / f"case-{number}"
        folder.mkdir()
        return Here(folder, project, composer, patch, usual, compared.root, report)

    report = compared.page()
    return made
