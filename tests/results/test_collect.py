"""Run directories into frames; one damaged run never hides the others."""

import json
import math
from pathlib import Path

import pytest

from lab.files import sealed, write_json
from lab.results.collect import ARM_COLUMNS, METRIC_COLUMNS, REQUEST_COLUMNS, RUN_COLUMNS, load

from .store import BASE, MEASURE, Store


def lab(store: Store):
    return load(store.root / "runs")


def why(store: Store) -> list[str]:
    return [item.why for item in lab(store).left_out]


def test_an_empty_store_has_empty_frames_with_all_columns(tmp_path: Path):
    found = load(tmp_path / "nowhere")
    for frame, columns in [
        (found.runs, RUN_COLUMNS),
        (found.arms, ARM_COLUMNS),
        (found.requests, REQUEST_COLUMNS),
        (found.metrics, METRIC_COLUMNS),
    ]:
        assert list(frame.columns) == list(columns)
        assert len(frame) == 0
        assert [str(kind) for kind in frame.dtypes] == list(columns.values())


def test_a_run_is_a_row(store: Store):
    store.run("hooks=ema", 3, 2.05)
    row = lab(store).runs.iloc[0]
    assert (row["label"], row["seed"], row["status"], row[MEASURE]) == ("hooks=ema", 3, "finished", 2.05)
    assert (row["parameters_total"], row["seconds"], row["tokens_per_second"]) == (1000, 60.0, 1e5)


@pytest.mark.parametrize("status", ["finished", "diverged", "failed", "unfinished"])
def test_the_status_is_derived_from_the_files(store: Store, status: str):
    store.run("baseline", 0, status=status)
    assert list(lab(store).runs["status"]) == [status]


def test_an_arm_is_a_row_with_its_seeds_by_status(store: Store):
    store.baseline(3)
    store.run("baseline", 3, None, status="diverged")
    row = lab(store).arms.iloc[0]
    assert (row["finished"], row["diverged"], row["failed"]) == (3, 1, 0)
    assert row[f"{MEASURE}_mean"] == pytest.approx(sum(BASE[:3]) / 3)


def test_a_twin_is_marked_and_counts_once(store: Store):
    store.run("baseline", 0)
    store.run("baseline", 0, suffix=".2")
    assert list(lab(store).runs["duplicate"]) == [False, True]
    assert list(lab(store).arms["finished"]) == [1]


def test_a_further_metric_gets_a_column(store: Store):
    folder = store.run("baseline", 0)
    result = json.loads((folder / "result.json").read_text())
    result["metrics"]["validation_raw_bits_per_byte"] = 2.2
    write_json(folder / "result.json", sealed(result))
    assert list(lab(store).runs["validation_raw_bits_per_byte"]) == [2.2]


def test_curves_are_long_and_non_finite_numbers_come_back(store: Store):
    folder = store.run("baseline", 0)
    rows = [{"step": 1, "loss": 2.5, "lr": 0.001}, {"step": 2, "loss": None, "nonfinite": {"loss": "inf"}}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = lab(store).metrics
    assert list(zip(found["step"], found["metric"], found["value"], strict=True)) == [
        (1, "loss", 2.5),
        (1, "lr", 0.001),
        (2, "loss", math.inf),
    ]


def test_torn_and_damaged_lines_are_counted_and_named(store: Store):
    folder = store.run("baseline", 0)
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "lo\n{"loss": 3}\n{"step": 4, "loss": 1.5}\n{"step": 5')
    found = lab(store)
    assert list(found.metrics["step"]) == [1, 4]
    assert [(item.name[-13:], item.why) for item in found.left_out] == [("metrics.jsonl", "3 damaged or cut lines left out")]


def damage(file: str, content: bytes):
    return pytest.param(file, content, id=f"{file}-{content[:12]!r}")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        damage("manifest.json", b""),
        damage("manifest.json", b'{"schema": 1, "ident'),
        damage("manifest.json", b"\0" * 100),
        damage("manifest.json", b'{"schema": 99}'),
        damage("manifest.json", b'{"schema": 1, "identity": 3}'),
        damage("manifest.json", b"[" * 100_000),
        damage("result.json", b""),
        damage("result.json", b'{"schema": 1, "identity": "of another run", "status": "finished", "metrics": {}}'),
        damage("result.json", b"\xff\xfe"),
        damage("result.json", b'{"schema": 1, "identity": NaN}'),
    ],
)
def test_a_damaged_run_is_named_and_the_others_load(store: Store, file: str, content: bytes):
    folder = store.baseline(3)[1]
    (folder / file).write_bytes(content)
    found = lab(store)
    assert list(found.runs["seed"]) == [0, 2] or sorted(found.runs["seed"]) == [0, 2]
    assert [item.name for item in found.left_out] == [folder.relative_to(store.root / "runs").as_posix()]
    assert file in found.left_out[0].why
    assert str(store.root) not in found.left_out[0].why


@pytest.mark.parametrize("field", ["seed", "identity", "arm_id", "change_id", "cohort", "label", "code"])
@pytest.mark.parametrize("value", [None, True, 10**30, ["x"]])
def test_a_field_of_the_wrong_type_leaves_out_one_run(store: Store, field: str, value: object):
    folder = store.baseline(2)[0]
    manifest = json.loads((folder / "manifest.json").read_text())
    write_json(folder / "manifest.json", sealed({**manifest, field: value}))
    assert len(lab(store).runs) == 1
    assert field in why(store)[0]


def test_odd_numbers_in_a_result_are_no_crash(store: Store):
    folder = store.run("baseline", 0)
    result = json.loads((folder / "result.json").read_text())
    odd = {"metrics": {MEASURE: None}, "cost": {"seconds": 10**400, "training_seconds": "long"}}
    write_json(folder / "result.json", sealed(result | odd))
    row = lab(store).runs.iloc[0]
    assert math.isnan(row[MEASURE])
    assert math.isnan(row["seconds"])


def test_a_damaged_request_line_is_counted_and_the_rest_stand(store: Store):
    folder = store.run("baseline", 0)
    with (folder / "requests.jsonl").open("a") as stream:
        stream.write('{"number": "x"}\n{"number": 9')
    found = lab(store)
    assert len(found.requests) == 1
    assert why(store) == ["2 damaged or cut lines left out"]


def test_a_folder_without_a_manifest_is_named(store: Store):
    (store.root / "runs/demo/arm/seed=0-abc").mkdir(parents=True)
    assert why(store) == ["no manifest.json"]


def test_caches_certificates_and_loose_files_are_no_runs(store: Store):
    for name in (".cache/arm/seed=0-a", "demo/certificates/seed=0-a", "demo/arm/notes"):
        (store.root / "runs" / name).mkdir(parents=True)
    (store.root / "runs/demo/measured.json").write_text("{}")
    (store.root / "runs/readme").write_text("")
    assert len(lab(store).runs) == 0
    assert why(store) == []


def test_a_failure_that_cannot_be_read_is_still_a_failure(store: Store):
    folder = store.run("baseline", 0, status="failed")
    (folder / "failure.json").write_text("{")
    assert list(lab(store).runs["status"]) == ["failed"]


def test_an_edited_result_is_left_out_by_name(store: Store):
    folder = store.baseline(3)[1]
    path = folder / "result.json"
    path.write_text(path.read_text().replace('"validation_bits_per_byte": 2.', '"validation_bits_per_byte": 1.'))
    assert sorted(lab(store).runs["seed"]) == [0, 2]
    assert "was edited or damaged" in why(store)[0]
