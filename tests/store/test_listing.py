"""The store as a person reads it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.errors import StoreError
from lab.files import read_json, sealed, write_json
from lab.store.console import outcome
from lab.store.listing import print_run, print_runs
from tests.store.tiny import asked, finished, identity_of, started


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_an_empty_store_says_how_to_fill_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_runs(tmp_path)
    assert "no runs yet\ntrain one: python run.py" in capsys.readouterr().out


def test_every_run_has_a_line_with_its_state_and_measure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path, "baseline", 0)
    finished(tmp_path, "hooks=grad_clip", 1, status="diverged")
    started(tmp_path, "model/norm=rmsnorm", 2)
    print_runs(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    for line, words in zip(
        lines[1:],
        (
            ("tiny", "baseline-", "0", identity_of("baseline", 0)[:12], "finished", "2.1250", "1:01 min"),
            ("tiny", "hooks=grad_clip-", "1", identity_of("hooks=grad_clip", 1)[:12], "diverged"),
            ("tiny", "model.norm=rmsnorm-", "2", identity_of("model/norm=rmsnorm", 2)[:12], "stopped"),
        ),
        strict=False,
    ):
        assert all(word in line for word in words), line
    assert lines[4] == "3 runs"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"identity": 1}'])
def test_a_damaged_run_is_named_and_hides_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    finished(tmp_path, "baseline", 0)
    broken = finished(tmp_path, "baseline", 1)
    broken.result.write_text(content)
    finished(tmp_path, "baseline", 2)
    print_runs(tmp_path)
    out = capsys.readouterr().out
    assert out.count("finished") == 2
    assert "3 runs, 1 damaged:" in out
    assert f"{broken.path.name} is damaged" in out, "the folder is named, so that it can be moved away"


def test_one_run_is_shown_with_who_asked_and_what_it_gave(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = finished(tmp_path, "baseline", 3)
    asked(folder, 1)
    print_run(folder)
    out = capsys.readouterr().out
    for part in ("baseline, seed 3", str(folder.path), identity_of("baseline", 3)[:12], "20 steps of 64 tokens", "screening", "2.125"):
        assert part in out
    assert "checkpoint/step-00000020.safetensors" in out


def test_a_name_in_a_run_is_text_and_no_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_run(started(tmp_path, "[red]model[/red]"))
    assert "[red]model[/red]" in capsys.readouterr().out


def test_a_failed_run_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = started(tmp_path)
    write_json(folder.failure, {"error": "OSError: no space left on device"})
    print_run(folder)
    assert "failed: OSError: no space left on device" in capsys.readouterr().out


def test_a_run_whose_failure_note_is_damaged_is_still_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = started(tmp_path)
    folder.failure.write_text("{")
    print_run(folder)
    assert "failure.json isn't a JSON object" in capsys.readouterr().out


def test_a_run_without_a_readable_manifest_is_refused_by_name(tmp_path: Path) -> None:
    folder = started(tmp_path)
    folder.manifest.write_text("{")
    with pytest.raises(StoreError, match=f"{folder.path.name} is damaged"):
        print_run(folder)


def test_a_run_shows_where_a_step_went_and_what_its_hooks_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = finished(tmp_path)
    print_run(folder)
    assert "where a step's time went" not in capsys.readouterr().out, "a run of before this was measured is shown all the same"
    measured = {"split": {"forward": 0.25, "backward": 0.75}, "prices": {"grad_clip": 0.0123}}
    write_json(folder.result, sealed(read_json(folder.result) | measured))
    print_run(folder)
    out = capsys.readouterr().out
    assert re.search(r"where a step's time went\n +forward +25.00%\n +backward +75.00%", out)
    assert re.search(r"price of each hook: share of a step\n +grad_clip +1.23%", out)


def test_the_distance_to_a_known_entropy_is_told(tmp_path: Path) -> None:
    result = read_json(finished(tmp_path).result)
    assert outcome(result).startswith("2.1250 bits per byte on the validation text (1.5000 nats")
    result["metrics"]["validation_above_entropy"] = 0.07512
    assert "validation text, 0.0751 above its source's entropy (1.5000 nats per token);" in outcome(result)
