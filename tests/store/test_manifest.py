"""Where a run came from: the commit and the uncommitted edits, and nothing of the environment; and its pairing in words."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.files import sha256_file
from lab.store.manifest import LONGEST_DIFF, UNCOMMITTED, git_state, not_paired, pairing_in_words, pairing_is_sound, surroundings

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="not run: git isn't installed")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of the user's, and no checkout above the folder of the test."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=someone", "-c", "user.email=someone@example.com")
    return subprocess.run(["git", "-C", str(folder), *who, *words], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "model.py").write_text("WIDTH = 128\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def test_outside_a_checkout_there_is_no_git_state(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert git_state(tmp_path / "plain") is None


def test_a_folder_that_is_gone_has_no_git_state(tmp_path: Path) -> None:
    assert git_state(tmp_path / "gone") is None


def test_without_git_there_is_no_git_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) is None


@needs_git
def test_a_checkout_without_a_commit_has_no_git_state(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    git(tmp_path / "new", "init", "-q")
    assert git_state(tmp_path / "new") is None


@needs_git
def test_a_clean_checkout_is_its_commit(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    state = git_state(checkout)
    assert state is not None and state.record() == {"commit": head, "dirty": False, "diff_sha256": None, "diff_cut": False}


@needs_git
@pytest.mark.parametrize("staged", [False, True])
def test_uncommitted_edits_are_kept_word_by_word(checkout: Path, staged: bool) -> None:
    (checkout / "model.py").write_text("WIDTH = 256  # ünï\n")
    if staged:
        git(checkout, "add", ".")
    state = git_state(checkout)
    assert state is not None and state.dirty and not state.diff_cut
    assert "-WIDTH = 128" in state.diff and "+WIDTH = 256  # ünï" in state.diff


@needs_git
def test_the_kept_difference_can_be_applied_whatever_the_user_s_git_settings(checkout: Path) -> None:
    edited = "WIDTH = 256\n"
    git(checkout, "config", "color.ui", "always")
    git(checkout, "config", "diff.external", "false")
    (checkout / "model.py").write_text(edited)
    state = git_state(checkout)
    assert state is not None
    git(checkout, "checkout", "-q", "model.py")
    (checkout / "kept.diff").write_text(state.diff)
    git(checkout, "apply", "kept.diff")
    assert (checkout / "model.py").read_text() == edited


@needs_git
def test_a_new_file_alone_makes_a_checkout_dirty(checkout: Path) -> None:
    (checkout / "new.py").write_text("")
    state = git_state(checkout)
    assert state is not None and state.dirty and state.diff == ""
    assert surroundings(checkout, checkout)["git"]["diff_sha256"] is None and not (checkout / UNCOMMITTED).exists()


@needs_git
def test_a_very_long_difference_is_cut_and_says_so(checkout: Path) -> None:
    (checkout / "model.py").write_text("x = 1\n" * LONGEST_DIFF)
    state = git_state(checkout)
    assert state is not None and state.diff_cut and len(state.diff) == LONGEST_DIFF


@needs_git
def test_uncommitted_edits_are_a_file_beside_the_manifest_and_a_digest_in_it(checkout: Path, tmp_path: Path) -> None:
    """An attempt that was killed before its manifest leaves none of its file to the next one."""
    folder = tmp_path / "run"
    (checkout / "model.py").write_text("WIDTH = 256  # ünï\n")
    record = surroundings(checkout, folder)["git"]
    assert record["diff_sha256"] == sha256_file(folder / UNCOMMITTED)
    assert "+WIDTH = 256  # ünï" in (folder / UNCOMMITTED).read_text()
    assert "WIDTH" not in json.dumps(record)
    git(checkout, "commit", "-qam", "second")
    assert surroundings(checkout, folder)["git"]["diff_sha256"] is None
    assert not (folder / UNCOMMITTED).exists()


def test_the_surroundings_name_host_python_and_libraries_and_never_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "a-very-secret-value")
    found = surroundings(tmp_path, tmp_path)
    assert set(found) == {"git", "host", "python", "packages"}
    assert {"torch", "hydra-core", "numpy", "omegaconf"} <= set(found["packages"])
    assert "a-very-secret-value" not in json.dumps(found)


def pairing(equal: int = 41, same: int = 400, dropout: tuple[int, int, int] = (12, 12, 12), **names: list[str]) -> dict[str, Any]:
    lists: dict[str, list[str]] = {key: [] for key in ("same_draws", "other", "only_here", "only_baseline")} | names
    sites = dict(zip(("of", "keyed", "shared"), dropout, strict=True))
    return {"initial": {"of": 43, "equal": equal} | lists, "data": {"unit": "batches", "of": 400, "same": same}, "dropout": sites}


def test_a_whole_pairing_reads_as_the_report_prints_it() -> None:
    assert pairing_in_words(pairing(same_draws=["a", "b"])) == (
        "initial values: 41 of 43 tensors bit-equal to the baseline (2 more share their draws at another size or scale); "
        "data: 400 of 400 batches the same; dropout: 12 of 12 sites keyed"
    )


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"same_draws": ["a"]}, "(1 more shares its draws at another size or scale)"),
        ({"other": ["head", "tail"]}, "(other draws in head, tail)"),
        ({"only_here": ["a", "b", "c", "d", "e"]}, "(only here: a, b, c and 2 more)"),
        ({"only_baseline": ["norm"], "other": ["head"]}, "(other draws in head; only in the baseline: norm)"),
        ({"same": 0}, "data: 0 of 400 batches the same"),
        ({"dropout": (0, 0, 0)}, "dropout: none draws"),
        ({"dropout": (12, 11, 11)}, "dropout: 11 of 12 sites keyed"),
        ({"dropout": (12, 12, 0)}, "dropout: 12 of 12 sites keyed, 0 of them with the baseline's keys"),
    ],
)
def test_what_does_not_hold_is_said_by_name(told: dict[str, Any], words: str) -> None:
    assert words in pairing_in_words(pairing(**told))


@pytest.mark.parametrize(
    ("told", "apart"),
    [
        ({}, []),
        ({"equal": 0, "same_draws": ["a"] * 43}, []),
        ({"equal": 42, "other": ["head"]}, []),
        ({"dropout": (12, 12, 0)}, []),
        ({"equal": 0, "only_here": ["a"] * 43}, ["initial values"]),
        ({"equal": 13, "other": ["a"] * 30}, ["initial values"]),
        ({"same": 0}, ["data"]),
        ({"same": 199}, ["data"]),
        ({"same": 200}, []),
        ({"dropout": (12, 0, 0)}, ["dropout"]),
        ({"dropout": (12, 11, 11)}, ["dropout"]),
        ({"dropout": (0, 0, 0)}, []),
        ({"equal": 0, "other": ["a"] * 43, "same": 0}, ["initial values", "data"]),
    ],
)
def test_what_is_not_paired_stands_out(told: dict[str, Any], apart: list[str]) -> None:
    assert not_paired(pairing(**told)) == apart


def test_only_a_whole_pairing_is_put_into_words() -> None:
    whole = pairing()
    assert pairing_is_sound(whole) and pairing_is_sound(None)
    for part, keys in whole.items():
        for key in keys:
            cut = whole | {part: {name: value for name, value in keys.items() if name != key}}
            assert not pairing_is_sound(cut), f"without {part}.{key}"
            assert not pairing_is_sound(whole | {part: keys | {key: 1.5}}), f"with a wrong {part}.{key}"


@pytest.mark.parametrize(
    "told",
    [
        {"equal": 4300},
        {"equal": 43, "other": ["head"]},
        {"equal": 0, "same_draws": ["a"] * 44},
        {"same": 401},
        {"dropout": (12, 13, 12)},
        {"dropout": (12, 12, 13)},
    ],
)
def test_a_pairing_that_counts_more_than_there_is_is_unsound(told: dict[str, Any]) -> None:
    assert not pairing_is_sound(pairing(**told))
