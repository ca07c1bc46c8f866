"""Runs found through one listing of the store are those that are found one by one; numbers of requests are given out in blocks."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import StoreError
from lab.store.layout import run_folders, store
from lab.store.runs import next_number
from lab.store.twins import Choice, choose, listed
from tests.store.tiny import asked, finished, identity_of, started

WANTED = {
    "hooks": {},
    "model": {"context": 16},
    "trainer": {"tokens": 640, "batch_size": 4, "log_every": 4, "evaluation": {"every": 10}, "sampling": {"tokens": 0}},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three runs that are finished, one of them with a twin, and one that was stopped; one is another baseline's."""
    for seed in range(2):
        finished(tmp_path, seed=seed).config.write_text("trainer: {log_every: 4, evaluation: {every: 10}}\nhooks: {}\n")
    finished(tmp_path, "model/norm=rmsnorm", baseline="another").config.write_text("trainer: {log_every: 3}\nhooks: {}\n")
    finished(tmp_path, "model/norm=rmsnorm", baseline="another", suffix=".2").config.write_text("trainer: {log_every: 1}\nhooks: {}\n")
    started(tmp_path, "hooks=grad_clip")
    return tmp_path


def test_one_listing_gives_the_choices_of_many(root: Path) -> None:
    known = listed(root)
    for label, seed in [("baseline", 0), ("baseline", 1), ("model/norm=rmsnorm", 0), ("hooks=grad_clip", 0), ("nowhere", 0)]:
        identity = identity_of(label, seed)
        assert choose(root, identity, WANTED, known) == choose(root, identity, WANTED)
    twin = choose(root, identity_of("model/norm=rmsnorm", 0), WANTED, known).folder
    assert twin is not None and twin.path.name.endswith(".2")


def test_what_was_made_after_a_listing_is_not_in_it(root: Path) -> None:
    known = listed(root)
    late = finished(root, "late")
    late.config.write_text("trainer: {log_every: 4, evaluation: {every: 10}}\nhooks: {}\n")
    assert choose(root, identity_of("late", 0), WANTED, known) == Choice(None, None, ())
    assert choose(root, identity_of("late", 0), WANTED).folder == late


def test_a_damaged_run_is_told_through_a_listing_too(root: Path) -> None:
    (folder,) = [each for each in run_folders(root, "tiny") if each.path.name.startswith("seed=1")]
    folder.manifest.write_text("{")
    with pytest.raises(StoreError, match="is damaged"):
        choose(root, identity_of("baseline", 1), WANTED, listed(root))


def test_folders_of_runs_come_in_the_order_of_their_paths_without_hidden_ones_and_files(root: Path) -> None:
    for odd in ("tiny/.hidden/seed=0-x", ".claims/arm/seed=0-x", "tiny/arm-b/notes", "a-b/arm/seed=1-x"):
        (store(root) / odd).mkdir(parents=True)
    (store(root) / "tiny" / "seed=0-file").write_text("no folder")
    (store(root) / "README").write_text("no folder")
    found = [each.path for each in run_folders(root)]
    assert found == sorted(found) and len(found) == 6
    assert [each.path.parent.parent.name for each in run_folders(root, "another")] == ["another"] * 2
    assert run_folders(root / "nowhere") == []


def test_a_block_of_numbers_is_nobody_elses(root: Path) -> None:
    asked(run_folders(root)[0], 7)
    assert [next_number(root, 3), next_number(root), next_number(root, 2), next_number(root)] == [8, 11, 12, 14]
