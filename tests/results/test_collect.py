"""Run directories into frames; one damaged run never hides the others."""

import itertools
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.files import sealed, sha256_file, write_json
from lab.results import Lab, load, rows
from lab.results.frames import ARM_COLUMNS, REQUEST_COLUMNS, RUN_COLUMNS
from lab.results.record import LeftOut, Run
from lab.results.rows import METRIC_COLUMNS
from tests.cases import Cases

from .store import BASE, MEASURE, Store


def lab(store: Store) -> Lab:
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


def test_a_lab_says_in_one_line_what_it_is_and_when_its_folder_is_not_there(store: Store, tmp_path: Path):
    store.baseline(2)
    store.name = "other"
    store.run("baseline", 5)
    (store.root / "runs" / "other" / "broken" / "seed=0-000000000000").mkdir(parents=True)
    assert repr(lab(store)) == f"Lab(3 runs, 2 baselines, 1 left out; {store.root / 'runs'})"
    assert repr(load(tmp_path / "runz")) == f"Lab(no such folder: {tmp_path / 'runz'})"


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


# -- rows, read in one go where nothing is wrong


ROWS = [{"step": step, "loss": 7.1 / (step + 1), "lr": 0.00036306324414915115, "tokens": 2048 * step} for step in range(6)]
LINES = [json.dumps(row).encode() for row in ROWS]
ODD_LINES = [
    *(b"", b"{", b"}", b"{}", b"[]", b"[1]", b"null", b"7", b'"x"', b"not JSON", b"\x00\x00", b"\xff", b" ", b"{}{}", b"{},{}"),
    *(b'{"step": 2}', b'{"step": 2, "loss": 1, "step": 3}', b'{"loss": 1, "step": 2, "loss": 3}', b' {"step": 2, "loss": 1} '),
    *(b'{"step": 2, "loss": 1}\r', b'{"step": 2,\r "loss": 1}', b'{"step": 2, "loss": 1}, {"step": 3, "loss": 2}'),
    *(b'{"step": 2, "loss": NaN}', b'{"step": 2, "loss": 1e400}', b'{"step": 2, "loss": 1e301}', b'{"step": 2, "loss": -Infinity}'),
    *(b'{"step": 2, "loss": true}', b'{"step": true, "loss": 1}', b'{"step": 2.0, "loss": 1}', b'{"step": -1, "loss": 1}'),
    *(b'{"step": 2, "loss": null, "nonfinite": {"loss": "inf"}}', b'{"step": 2, "loss": null, "nonfinite": {"loss": "x"}}'),
    *(b'{"step": 2, "loss": null, "nonfinite": "inf"}', b'{"step": 2, "nonfinite": {"loss": "nan"}}', b'{"step": 2, "loss": null}'),
    *(b'{"step": 2, "word": "x", "loss": 1}', b'{"step": 2, "list": [1, 2], "loss": 1}', b'{"step": 2, "table": {"a": 1}, "loss": 1}'),
    *(b'{"step": 2, "word": "\\ud800", "loss": 1}', b'{"step": 2, "w\\u00e4rts": 1}', '{"step": 2, "wärts": 1}'.encode()),
    *(b'{"step": 9223372036854775808, "loss": 1}', b'{"step": 9223372036854775807, "loss": 1}', b'{"step": 1%b}' % (b"0" * 400)),
    *(b'{"step": 2, "loss": 1%b}' % (b"0" * zeros) for zeros in (17, 25, 299, 300, 400, 5000)),
    *(b'{"step": 2, "loss": 18446744073709551616}', b'{"step": 2, "loss": -9223372036854775809}', b'{"step": 2, "loss": -0}'),
    *(b'{"step": 2, "loss": 0.30000000000000005}', b'{"step": 2, "loss": 5e-324}', b'{"step": 02, "loss": 1}', b'{"step": 2, "loss": 1.}'),
    *(b'{"a": %b1%b, "step": 2}' % (b'{"a": ' * depth, b"}" * depth) for depth in (3, 500, 1500)),
    *(b'{"step": 2, "a": {"b": 1}', b'"c": {"d": 1}}', b'\xef\xbb\xbf{"step": 2, "loss": 1}', b'{"step": 2, "loss": 1}\x0b'),
]


def numbers_of(runs: Path, run: Run) -> tuple[list[tuple[Any, ...]], list[str]]:
    """The rows of a run, the values as text, so that NaN equals NaN; and what was left out."""
    codes, left_out = rows.Codes(), list[LeftOut]()
    found = rows.rows_of(runs, run, codes, left_out.append)
    names = list(codes.names)
    values = map(repr, (found.values + 0.0).tolist())
    told = zip(found.steps.tolist(), (names[code] for code in found.codes.tolist()), values, strict=True)
    return list(told), [item.why for item in left_out]


def test_rows_read_in_one_go_are_those_read_line_by_line(
    store: Store, monkeypatch: pytest.MonkeyPatch, cases: Callable[[str], Cases]
) -> None:
    path = store.run("baseline", 0) / "metrics.jsonl"
    contents = [b"\n".join([*LINES[:3], odd, *LINES[3:], b""]) for odd in ODD_LINES]
    contents += [b"\n".join([odd, b""]) for odd in ODD_LINES] + [b"\n".join([*LINES, odd]) for odd in ODD_LINES]
    contents += [b"\n".join([LINES[0], one, other, b""]) for one, other in itertools.product(ODD_LINES[:12] + ODD_LINES[-5:], repeat=2)]
    whole, draw = b"\n".join([*LINES, b""]), random.Random(0)
    for bit in draw.sample(range(8 * len(whole)), 300):
        spoiled = bytearray(whole)
        spoiled[bit // 8] ^= 1 << bit % 8
        contents.append(bytes(spoiled))
    contents += [whole[:size] for size in draw.sample(range(len(whole)), 60)]
    contents += [whole[:at] + b"\n" + whole[at:] for at in draw.sample(range(len(whole)), 60)]
    contents += [whole[:at] + whole[at + 1 :] for at in draw.sample(range(len(whole)), 60)]
    count, taken, run = cases("row files of any content, read in one go and line by line"), 0, lab(store).found[0]
    for number, content in enumerate(contents):
        path.write_bytes(content)
        quick = numbers_of(store.root / "runs", run)
        taken += rows.at_once(content, rows.Codes()) is not None
        with monkeypatch.context() as patched:
            patched.setattr(rows, "at_once", lambda content, codes: None)
            count.check(f"{number}: {content[:200]!r}", quick == numbers_of(store.root / "runs", run))
    count.all_good(at_least=700)
    assert taken > 100, "nearly everything was read line by line: this test shows nothing"


def test_rows_of_some_runs_and_some_metrics(store: Store) -> None:
    folders = store.baseline(3)
    for folder in folders:
        (folder / "metrics.jsonl").write_bytes(b"\n".join([*LINES, b'{"step": 9, "curve_bits_per_byte": 2.5}', b"cut"]))
    found = lab(store)
    names = [folder.relative_to(store.root / "runs").as_posix() for folder in folders]
    some = found.rows(names[1:], {"lr", "curve_bits_per_byte", "nothing"})
    whole = found.metrics
    expected = whole[whole["directory"].isin(names[1:]) & whole["metric"].isin(["lr", "curve_bits_per_byte"])]
    assert [str(kind) for kind in some.dtypes] == list(METRIC_COLUMNS.values())
    for column in METRIC_COLUMNS:
        assert list(some[column]) == list(expected[column])
    assert len(some) == 2 * 7
    assert [item.why for item in found.left_out] == ["1 damaged or cut line left out"] * 3, "each once, however often it is read"
    assert len(found.rows([], {"lr"})) == len(found.rows(names, ())) == 0


def test_a_twin_shares_the_identity_of_its_first_run_in_the_rows_too(store: Store) -> None:
    for suffix in ("", ".2"):
        (store.run("baseline", 0, suffix=suffix) / "metrics.jsonl").write_bytes(b"\n".join([*LINES, b""]))
    found = lab(store).metrics
    assert found["directory"].nunique() == 2
    assert found["identity"].nunique() == 1


# -- documents


def documents(folder: Path, **told: Any) -> None:
    write_json(folder / "documents.json", sealed({"schema": 1, "bytes": [10, 20], "nats": [7.5, 15.25]} | told))


def test_the_documents_of_a_run_are_read_on_demand(store: Store) -> None:
    documents(store.run("baseline", 0))
    store.run("baseline", 1)
    found = lab(store)
    assert {run.seed: found.documents(run) for run in found.found} == {0: ([10, 20], [7.5, 15.25]), 1: None}
    assert found.left_out == []


@pytest.mark.parametrize(
    "told",
    [
        *({"schema": 2}, {"bytes": [10]}, {"bytes": None}, {"nats": {}}, {"bytes": [10, -1]}, {"bytes": [10, True]}),
        *({"nats": [1.0, None]}, {"nats": [1.0, "x"]}, {"nats": [1.0, 1e301]}, {"bytes": [10, 2.5]}),
    ],
)
def test_documents_that_are_not_as_written_are_left_out_once(store: Store, told: dict[str, Any]) -> None:
    folder = store.run("baseline", 0)
    documents(folder, **told)
    found = lab(store)
    assert [found.documents(found.found[0]) for _ in range(2)] == [None, None]
    assert [(item.name, "documents.json" in item.why) for item in found.left_out] == [
        (f"{folder.relative_to(store.root / 'runs').as_posix()}/documents.json", True)
    ]


def test_documents_of_another_run_are_left_out(store: Store) -> None:
    folder = store.run("baseline", 0)
    documents(folder)
    result = json.loads((folder / "result.json").read_text())
    write_json(
        folder / "result.json", sealed(result | {"digests": result["digests"] | {"documents.json": sha256_file(folder / "documents.json")}})
    )
    found = lab(store)
    assert found.documents(found.found[0]) is not None
    documents(folder, nats=[1.0, 2.0])
    assert found.documents(found.found[0]) is None
    (folder / "documents.json").unlink()
    assert found.documents(found.found[0]) is None
    assert [item.why for item in found.left_out] == ["documents.json isn't what it was when the run finished", "no documents.json"]


# -- who asked, and bytes per token


def test_a_request_keeps_its_words_and_older_lines_lack_them(store: Store) -> None:
    folder = store.run("baseline", 0)
    rows = [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]
    older = {key: value for key, value in rows[0].items() if key not in ("command", "note", "why", "at")}
    told = {"command": "python run.py", "note": "a hunch", "why": "", "at": "2001-01-01T00:00:00"}
    lines = [older | told | {"number": 1}, older | {"number": 2}, older | {"number": 3, "note": 7, "why": None, "at": []}]
    (folder / "requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = lab(store)
    assert [tuple(getattr(each, name) for name in told) for each in found.asked] == [tuple(told.values()), ("",) * 4, ("",) * 4]
    assert list(found.requests["note"]) == ["a hunch", "", ""]


@pytest.mark.parametrize(("told", "known"), [(4.25, 4.25), (None, None), (0, None), (-1.0, None), ("x", None), (True, None)])
def test_bytes_per_token_are_known_or_not(store: Store, told: object, known: float | None) -> None:
    folder = store.run("baseline", 0)
    manifest = json.loads((folder / "manifest.json").read_text())
    write_json(folder / "manifest.json", sealed(manifest | {"bytes_per_token": told}))
    assert [run.bytes_per_token for run in lab(store).found] == [known]


def test_declared_studies_are_no_arm(store: Store) -> None:
    (store.root / "runs/demo/studies/seed=0-a").mkdir(parents=True)
    assert (lab(store).found, why(store)) == ((), [])


def test_the_wing_itself_gives_load_and_imports_pandas_for_frames_alone(store: Store) -> None:
    store.baseline(2)
    code = (
        "import sys; from lab.results import load; lab = load(sys.argv[1]); assert len(lab.found) == 2; "
        "assert 'pandas' not in sys.modules; assert len(lab.runs) == 2; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(store.root / "runs")], check=True)


# -- the page that explains the columns

PAGE = Path(__file__).resolve().parents[2] / "docs" / "the-frames.md"


@pytest.mark.parametrize(
    ("frame", "columns"), [("runs", RUN_COLUMNS), ("arms", ARM_COLUMNS), ("metrics", METRIC_COLUMNS), ("requests", REQUEST_COLUMNS)]
)
def test_the_page_names_every_column_and_its_type(frame: str, columns: dict[str, str]) -> None:
    section = PAGE.read_text().partition(f"## lab.{frame}\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")]
    assert {name.strip("`"): kind for name, kind, _ in rows} == columns
    assert [name.strip("`") for name, _, _ in rows] == list(columns), "in the order of the frame"
    assert all(what for _, _, what in rows)


def test_what_the_page_types_runs(store: Store) -> None:
    (store.run("hooks=ema", 0) / "metrics.jsonl").write_bytes(LINES[0] + b"\n")
    typed = [line.strip() for line in PAGE.read_text().splitlines() if line.startswith("    ")]
    names: dict[str, Any] = {"runs": str(store.root / "runs")}
    for line in typed:
        exec(line.replace('load("runs")', "load(runs)"), names)  # noqa: S102 - our own page
    exec(f"last = {typed[-1]}", names)  # noqa: S102 - as above
    assert len(names["last"]) == 1
