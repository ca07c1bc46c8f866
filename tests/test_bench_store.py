"""A store made up to be timed is one that the training wing could have written, and its bench says what it found."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lab.bench.made import Shape, make_rows, make_store, shape_of
from lab.bench.store import bench_store, fresh
from lab.errors import ConfigError, StoreError
from lab.files import read_rows, read_sealed
from lab.results import load
from lab.results.report import build
from lab.store.layout import run_folders
from lab.store.sound import read_manifest, sound_request, sound_result

PAGE = Path(__file__).resolve().parents[1] / "docs" / "a-run-directory.md"


def keys_on_the_page(heading: str) -> set[str]:
    """What the page on run directories says that a file holds."""
    section = PAGE.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}


def test_a_made_run_has_every_key_that_a_trained_one_has(tmp_path: Path) -> None:
    make_store(tmp_path, Shape(1, 2, 3))
    folders = run_folders(tmp_path)
    assert len(folders) == 6
    for folder in folders:
        manifest, result = read_manifest(folder), sound_result(folder)
        requests, damaged = read_rows(folder.requests)
        assert damaged == 0 and all(map(sound_request, requests))
        assert set(manifest) == keys_on_the_page("manifest.json")
        assert set(result) == keys_on_the_page("result.json")
        assert set(requests[0]) == keys_on_the_page("requests.jsonl")
        assert set(read_sealed(folder.path / "documents.json")) == {"schema", "bytes", "nats", "sha256_of_this"}
    found = load(tmp_path / "runs")
    assert found.left_out == []
    assert all(found.documents(run) is not None for run in found.found)


def test_made_arms_are_judged(tmp_path: Path) -> None:
    (name,) = make_store(tmp_path, Shape(1, 4, 5))
    (section,) = build(tmp_path, name).sections
    assert len(section.verdicts) == 3
    assert all(verdict.word in ("better", "worse", "no difference", "cannot tell") for verdict in section.verdicts)


def test_made_rows_are_rows(tmp_path: Path) -> None:
    make_store(tmp_path, Shape(1, 1, 3))
    make_rows(tmp_path, 2, 7)
    assert load(tmp_path / "runs").metrics.groupby("directory", observed=True).size().to_list() == [7 * 8] * 2


@pytest.mark.parametrize("runs", [1, 2, 7, 40, 999, 1000, 10_000])
def test_no_more_runs_are_made_than_were_asked_for(runs: int) -> None:
    assert 0 < shape_of(runs).runs <= runs
    assert runs < 1000 or shape_of(runs).runs == runs


def test_the_bench_of_a_store_says_what_it_measured(capfd: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    found = bench_store(runs=8, curve_runs=4, rows=3, say=told.append, times=1)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found) == {"schema", "judging", "curves"}
    judging: dict[str, Any] = found["judging"]
    assert judging["shape"] == {"baselines": 1, "arms": 2, "seeds": 4, "runs": 8}
    for each in (judging["cold"], judging["warm"], found["curves"]):
        assert each["seconds"]["whole"] > each["seconds"]["imports"] > 0
        assert len(each["wholes"]) == 1
        assert each["peak_memory_bytes"] > 10_000_000
        assert each["left_out"] == 0
    assert (judging["cold"]["runs"], judging["cold"]["verdicts"]) == (8, 1)
    assert found["curves"]["rows"] == 4 * 3 * 8
    assert [line.partition(":")[0].split()[0] for line in told] == ["making", "cold", "warm", "making", "curves"]
    assert capfd.readouterr() == ("", "")


def test_a_bench_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="--runs 0"):
        bench_store(runs=0)


def test_a_measurement_that_breaks_says_why(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="couldn't be measured"):
        fresh("judged", tmp_path, "nowhere")
