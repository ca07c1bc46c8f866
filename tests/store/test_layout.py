"""Names of folders: readable, safe whatever a user types, and different for different arms."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.store.claim import claimed, is_claimed
from lab.store.layout import RunFolder, arm_name, cache, run_folder, run_folders, store
from tests.store.tiny import started

ARM, OTHER, IDENTITY = "a1b2c3" + "0" * 58, "d4e5f6" + "0" * 58, "f" * 64
HOSTILE = [
    "../../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "",
    "~",
    "-rf",
    ".hidden",
    "a\nb\tc",
    "a\x00b",
    "C:\\windows",
    "con|in;put$(x)`y`",
    "x" * 5000,
    "=1+1",
    "ünïcode/規範",
    "\u202egnp",
    "規",
    "model.note='a b'",
    "*?[x]",
    "caf\udce9",
]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("baseline", "baseline-a1b2c3"),
        ("hooks=grad_clip", "hooks=grad_clip-a1b2c3"),
        ("model/norm=rmsnorm", "model.norm=rmsnorm-a1b2c3"),
        ("trainer.optimizer.lr=0.001", "trainer.optimizer.lr=0.001-a1b2c3"),
        ("judgement.looks=[1,2]", "judgement.looks=_1,2-a1b2c3"),
    ],
)
def test_an_arm_s_folder_says_what_was_changed(label: str, name: str) -> None:
    assert arm_name(label, ARM) == name


@pytest.mark.parametrize("label", HOSTILE)
def test_no_label_leaves_the_store_or_upsets_a_file_system(tmp_path: Path, label: str) -> None:
    folder = run_folder(tmp_path, "tiny", label, ARM, 3, IDENTITY)
    relative = folder.path.resolve().relative_to(store(tmp_path).resolve())
    assert len(relative.parts) == 3
    name = relative.parts[1]
    assert name.isascii() and len(name) <= 80 and name[0] not in ".-" and not set(name) & set("/\\\0\n\t *?[]$`'\"|;~")
    folder.path.mkdir(parents=True)
    assert run_folders(tmp_path) == [folder], "the run is found where it was put"


def test_labels_that_are_cut_to_the_same_words_have_different_folders() -> None:
    long = "trainer.optimizer.betas=" + "0.123456789," * 20
    assert arm_name(long + "1", ARM) != arm_name(long + "2", OTHER)
    assert arm_name("a/b", ARM) != arm_name("a.b", OTHER)
    assert arm_name("规", ARM) != arm_name("範", OTHER)


def test_a_run_s_folder_names_its_seed_and_its_id(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, "tiny", "baseline", ARM, 12, "0123456789abcdef" * 4)
    assert folder.path == tmp_path / "runs" / "tiny" / "baseline-a1b2c3" / "seed=12-0123456789ab"


def test_a_run_s_files_have_names_of_their_own(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, "tiny", "baseline", ARM, 0, IDENTITY)
    names = ("manifest", "requests", "config", "overrides", "metrics", "result", "failure", "log", "checkpoint")
    paths = {getattr(folder, name) for name in names}
    assert len(paths) == len(names) and {path.parent for path in paths} == {folder.path}


def test_a_run_has_one_claim_whatever_baseline_asks_for_it_and_its_twin_another(tmp_path: Path) -> None:
    ours, theirs = (run_folder(tmp_path, baseline, label, ARM, 3, IDENTITY) for baseline, label in (("tiny", "baseline"), ("other", "x=1")))
    assert ours.path != theirs.path and ours.claim == theirs.claim
    claims = {
        ours.claim,
        RunFolder(ours.path.with_name(ours.path.name + ".2")).claim,
        run_folder(tmp_path, "tiny", "baseline", ARM, 4, IDENTITY).claim,
        run_folder(tmp_path, "tiny", "baseline", ARM, 3, "e" * 64).claim,
    }
    assert len(claims) == 4 and {claim.parent for claim in claims} == {store(tmp_path) / ".claims"}


@pytest.mark.parametrize("place", ["seed=0-abc", "../seed=0-abc", "tiny/seed=0-abc"])
def test_a_run_folder_anywhere_has_a_claim_outside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.chdir(tmp_path)
    claim = RunFolder(Path(place)).claim
    assert claim.is_absolute() and claim.parent.name == ".claims" and not is_claimed(claim)


def test_hidden_folders_caches_and_stray_files_are_no_runs(tmp_path: Path) -> None:
    folder = started(tmp_path)
    for stray in (".cache/tokens/seed=0-abc", ".trash/arm/seed=0-abc", "tiny/.old/seed=0-abc", "tiny/certificates/x", "tiny/arm/notes"):
        (store(tmp_path) / stray).mkdir(parents=True)
    with claimed(folder.claim, folder.path):
        pass
    (store(tmp_path) / "tiny" / "arm" / "seed=9-abc").write_text("a file")
    assert cache(tmp_path).is_relative_to(store(tmp_path)) and cache(tmp_path).name.startswith(".")
    assert run_folders(tmp_path) == [folder]


def test_runs_are_listed_by_baseline_in_the_order_of_their_paths(tmp_path: Path) -> None:
    made = [started(tmp_path, label, seed, baseline) for baseline in ("b", "a") for label in ("y", "x") for seed in (1, 0)]
    assert run_folders(tmp_path) == sorted(made, key=lambda folder: folder.path)
    assert {folder.path.parts[-3] for folder in run_folders(tmp_path, "a")} == {"a"}


@pytest.mark.parametrize("baseline", ["", "none", "/", "../..", "[", "t*", "."])
def test_a_baseline_without_runs_has_none_whatever_its_name(tmp_path: Path, baseline: str) -> None:
    started(tmp_path)
    assert run_folders(tmp_path, baseline) == []


def test_a_store_that_does_not_exist_has_no_runs(tmp_path: Path) -> None:
    assert run_folders(tmp_path) == []
