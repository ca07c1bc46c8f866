"""The store as a person reads it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lab.errors import StoreError
from lab.files import append_line, read_json, sealed, write_json
from lab.store.console import outcome
from lab.store.layout import RunFolder
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


def test_a_twin_is_shown_as_one_and_counted_with_its_first_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path, "baseline", 0)
    twin = finished(tmp_path, "baseline", 0, suffix=".2")
    started(tmp_path, "baseline", 1)
    print_runs(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    identity = identity_of("baseline", 0)[:12]
    assert [f"{identity}.2" in line and "finished, twin" in line for line in lines[1:4]] == [False, True, False]
    assert lines[4] == "3 runs, 1 of them a twin that counts with its first run"
    print_run(twin)
    assert f"a twin: trained beside seed=0-{identity} for more observers or rows, and counted with it" in capsys.readouterr().out


def test_a_damaged_twin_is_no_line_less(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path, "baseline", 0)
    finished(tmp_path, "baseline", 0, suffix=".2").result.write_text("{")
    print_runs(tmp_path)
    assert "2 runs, 1 damaged:" in capsys.readouterr().out


def repaired(folder: RunFolder, **more: Any) -> None:
    write_json(folder.manifest, sealed(read_json(folder.manifest) | more))


PAIRING = {
    "initial": {"of": 43, "equal": 43, "same_draws": [], "other": [], "only_here": [], "only_baseline": []},
    "data": {"unit": "batches", "of": 20, "same": 20},
    "dropout": {"of": 0, "keyed": 0, "shared": 0},
}


def test_a_run_shows_its_pairing_and_what_is_not_paired_stands_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = started(tmp_path)
    print_run(folder)
    assert "pairing with" not in capsys.readouterr().out, "the baseline has none"
    repaired(folder, pairing=PAIRING)
    print_run(folder)
    out = capsys.readouterr().out
    assert "  initial values: 43 of 43 tensors bit-equal to the baseline; data: 20 of 20 batches the same; dropout: none draws" in out
    assert "NOT PAIRED" not in out
    repaired(folder, pairing=PAIRING | {"data": {"unit": "batches", "of": 20, "same": 0}})
    print_run(folder)
    assert "  NOT PAIRED IN DATA\n  initial values: " in capsys.readouterr().out


def test_a_run_shows_what_replays_found_on_its_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = started(tmp_path)
    print_run(folder)
    assert "replays of" not in capsys.readouterr().out
    print_run(folder, lambda manifest: [f"of {manifest['baseline']}: inert [at] steps 0-19"])
    assert "replays of the baseline that concern its code\n  of tiny: inert [at] steps 0-19\n" in capsys.readouterr().out


@pytest.mark.parametrize("more", [{"seed": 1}, {"pairing": {}}])
def test_an_edited_manifest_is_refused(tmp_path: Path, more: dict[str, Any]) -> None:
    folder = started(tmp_path)
    edited = read_json(folder.manifest) | more
    write_json(folder.manifest, edited if "seed" in more else sealed(edited))
    with pytest.raises(StoreError, match=f"{folder.path.name} is damaged: .*manifest.json"):
        print_run(folder)


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


def test_a_request_that_is_not_as_written_is_counted_and_hides_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = finished(tmp_path)
    asked(folder, 1)
    with folder.requests.open("a") as stream:
        stream.write('{}\n{"number": 2, "at": 3}\n{"number": 3, "at"')
    print_run(folder)
    out = capsys.readouterr().out
    assert "baseline of `tiny` in study `screening`\n  3 damaged or cut lines left out\n" in out
    assert "result" in out


ODD_RESULTS: list[dict[str, Any]] = [
    {"cost": {}},
    {"cost": {"seconds": None}},
    {"cost": {"seconds": "long"}},
    {"schema": 2},
    {"metrics": {"validation_bits_per_byte": "low"}},
    {"metrics": {"validation_bits_per_byte": 10**400}},
]


@pytest.mark.parametrize("more", ODD_RESULTS)
def test_a_result_that_is_not_as_written_is_one_damaged_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: dict[str, Any]
) -> None:
    finished(tmp_path, "baseline", 0)
    odd = finished(tmp_path, "baseline", 1)
    write_json(odd.result, sealed(read_json(odd.result) | more))
    print_runs(tmp_path)
    out = capsys.readouterr().out
    assert out.count("finished") == 1
    assert "2 runs, 1 damaged:" in out
    assert f"{odd.path.name} is damaged: result.json {'has schema 2' if 'schema' in more else 'is'}" in out
    with pytest.raises(StoreError, match=r"is damaged: result\.json"):
        print_run(odd)


@pytest.mark.parametrize("more", [{"parameters": None}, {"split": {"forward": "half"}}, {"prices": [1]}, {"diverged": {"step": 3}}])
def test_a_result_that_cannot_be_shown_is_refused_by_name(tmp_path: Path, more: dict[str, Any]) -> None:
    folder = finished(tmp_path)
    write_json(folder.result, sealed(read_json(folder.result) | more))
    with pytest.raises(StoreError, match=f"is damaged: result.json: '{next(iter(more))}' not as written"):
        print_run(folder)


@pytest.mark.parametrize("more", [{"bits": {}}, {"steps": None}, {"code": [1]}, {"git": {"commit": 1}}, {"label": 3}, {"identity": None}])
def test_a_manifest_that_cannot_be_shown_is_refused_by_name(tmp_path: Path, more: dict[str, Any]) -> None:
    folder = started(tmp_path)
    repaired(folder, **more)
    with pytest.raises(StoreError, match=f"is damaged: manifest.json: '{next(iter(more))}' not as written"):
        print_run(folder)


HOSTILE = "x\x1b[2J\x1b]0;owned\x07"


def test_no_escape_reaches_the_terminal_from_a_name_a_note_or_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = finished(tmp_path, HOSTILE)
    repaired(folder, command=HOSTILE)
    append_line(
        folder.requests, {"at": HOSTILE, "baseline": HOSTILE, "label": "b", "study": "s", "exploring": False, "note": f"a\n{HOSTILE}"}
    )
    write_json(folder.failure, {"error": f"two\nlines {HOSTILE}"})
    write_json(folder.result, sealed(read_json(folder.result) | {"metrics": {HOSTILE: 1.0}}))
    (folder.path / f"{HOSTILE}.txt").write_text("")
    print_run(folder, lambda manifest: [HOSTILE])
    shown = capsys.readouterr().out
    moved = folder.path.parent.rename(folder.path.parent.with_name(HOSTILE))
    broken = RunFolder(moved.parent / "arm" / f"seed={HOSTILE}")
    write_json(broken.result, {})
    print_runs(tmp_path)
    out = capsys.readouterr().out
    assert "\x1b" not in shown + out and "\x07" not in shown + out
    assert "failed: two\nlines x\\x1b[2J" in shown
    assert "x\\x1b[2J" in out and "1 damaged:" in out
