"""What the report reads, damaged: a flipped bit or a cut is never taken for data, and a field of another type is never a crash."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.ablate.certificate import read_findings
from lab.errors import StoreError
from lab.files import read_json, sealed, write_json
from lab.results.forms.markdown import to_markdown
from lab.results.record import Unreadable, read_run
from lab.results.smallest_effect import read_entries
from lab.store.layout import RunFolder
from lab.store.listing import print_run, print_runs
from tests.cases import Cases

from .store import CODE, Store

EDITED = {**CODE, "lab.model.gpt": "0" * 64}
FLIPS, CUTS = 600, 200
ODD = (None, True, -1, 10**400, "x", [1], {})


def accepts_run(store: Store, path: Path) -> bool:
    try:
        read_run(path.parent, "a run")
    except Unreadable as error:
        assert path.name in str(error) and str(store.root) not in str(error)
        return False
    return True


def accepts_certificate(store: Store, path: Path) -> bool:
    found, left_out = read_findings(store.root / "runs", store.name)
    assert found or left_out[0][0].endswith(path.name)
    return bool(found)


def accepts_measured(store: Store, path: Path) -> bool:
    try:
        read_entries(path)
    except ValueError:
        return False
    return True


READERS: dict[str, Callable[[Store, Path], bool]] = {
    "manifest.json": accepts_run,
    "result.json": accepts_run,
    "certificates": accepts_certificate,
    "measured.json": accepts_measured,
}


def damaged(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Bits flipped and ends cut off, each another one: all where there are fewer."""
    draw, bits = random.Random(0), 8 * len(content)
    for bit in draw.sample(range(bits), min(FLIPS, bits)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit}", bytes(flipped)
    for size in draw.sample(range(len(content)), min(CUTS, len(content))):
        yield f"cut to {size}", content[:size]


@pytest.mark.parametrize("kind", READERS)
def test_no_flipped_bit_and_no_cut_reaches_the_report(store: Store, kind: str, cases: Callable[[str], Cases]) -> None:
    store.pin(smallest_effect="auto")
    folder = store.baseline(3)[0]
    certificate = store.certificate(CODE, EDITED)
    store.report()  # freezes D
    path = {"certificates": certificate, "measured.json": store.root / "runs/demo/measured.json"}.get(kind, folder / kind)
    content, accepts = path.read_bytes(), READERS[kind]
    assert accepts(store, path), "untouched"
    what = f"bits flipped and ends cut off in the report's {kind}"
    count, naive = cases(what), cases(what)
    for name, spoiled in damaged(content):
        path.write_bytes(spoiled)
        count.check(name, not accepts(store, path))
        naive.check(name, not parses(spoiled))
    count.all_good(at_least=FLIPS + CUTS)
    naive.some_bad()


def parses(content: bytes) -> bool:
    """Who takes whatever is JSON."""
    try:
        return isinstance(json.loads(content), dict)
    except ValueError:
        return False


def test_a_file_written_in_another_form_is_left_out_by_name(store: Store) -> None:
    folder = store.baseline(3)[1]
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    report = store.report()
    assert report.runs_read == 2
    assert [(item.name, "its bytes aren't" in item.why) for item in report.left_out] == [
        (folder.relative_to(store.root / "runs").as_posix(), True)
    ]


def places(value: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every place in a JSON object, but not in its lists."""
    for key, each in value.items():
        if key != "sha256_of_this":
            yield (*at, key)
            if isinstance(each, dict):
                yield from places(each, (*at, key))


def with_value(content: dict[str, Any], place: tuple[str, ...], value: object) -> dict[str, Any]:
    first, *rest = place
    return content | {first: with_value(content[first], tuple(rest), value) if rest else value}


@pytest.mark.parametrize("kind", ["manifest.json", "result.json", "certificates"])
def test_a_field_of_another_type_is_no_crash_and_hides_no_other_run(
    store: Store, kind: str, cases: Callable[[str], Cases], capsys: pytest.CaptureFixture[str]
) -> None:
    """Sealed anew, as another version or a person would leave it: in `lab report`, `lab runs` and `lab show`."""
    store.pin(looks=[2])
    store.baseline(2)
    folder = store.shifted("hooks=ema", 2, -0.05, code=EDITED)[0]
    path = {"certificates": store.certificate(CODE, EDITED)}.get(kind, folder / kind)
    content = read_json(path)
    count = cases("fields of another type, sealed anew")
    for number, place in enumerate(places(content)):
        for odd in (ODD[number % len(ODD)], ODD[(number + 3) % len(ODD)]):
            write_json(path, sealed(with_value(content, place, odd)))
            wrong = crash(store, RunFolder(folder))
            count.check(f"{kind} {'.'.join(place)} {str(odd)[:9]} {wrong}", not wrong)
    capsys.readouterr()
    count.all_good(at_least=25)


def crash(store: Store, folder: RunFolder) -> str:
    """What broke when a person looked; a refusal in the store's words is none."""
    try:
        page = to_markdown(store.facts())
        print_runs(store.root)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    try:
        print_run(folder)
    except StoreError:
        pass
    except Exception as error:
        return f"show: {type(error).__name__}: {error}"
    return "" if "| baseline | 2 |" in page else "the baseline is gone"


@pytest.mark.parametrize("name", READERS)
def test_brackets_nested_as_deep_as_may_be_are_damage(store: Store, name: str) -> None:
    """At some depths what reads JSON still goes down and what writes it no more: which, the stack above decides, so all are tried."""
    folder = store.baseline(1)[0]
    certificate = store.certificate(CODE, EDITED)
    path = {"certificates": certificate, "measured.json": store.root / "runs/demo/measured.json"}.get(name, folder / name)
    for depth in (*range(800, 1000), 100_000):
        path.write_text(f'{{"deep": {"[" * depth + "]" * depth}}}')
        assert not READERS[name](store, path)
    for depth in (300, 900, 1500, 5000):
        value = "[" * depth + "]" * depth
        seal = hashlib.sha256(f'{{"deep":{value}}}'.encode()).hexdigest()
        path.write_text(f'{{"deep": {value}, "sha256_of_this": "{seal}"}}')
        assert not READERS[name](store, path)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"spans": None}, "'spans': not as it is written"),
        ({"spans": [[1]]}, "'spans'"),
        ({"spans": []}, "nothing was replayed"),
        ({"old": [1]}, "'old'"),
        ({"seconds": "x"}, "'seconds'"),
        ({"other_seeds": [None]}, "'other_seeds'"),
        ({"difference": {"at": "step 3"}}, "'difference'"),
        ({"schema": 2}, "schema 2, this version reads 1"),
        ({"baseline": "other"}, "it is about baseline 'other', and lies with those of 'demo'"),
    ],
)
def test_a_certificate_that_is_not_as_written_is_left_out_and_joins_nothing(store: Store, told: dict[str, Any], why: str) -> None:
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, code=EDITED)
    path = store.certificate(CODE, EDITED)
    assert store.verdict("hooks=ema").word == "better"
    write_json(path, sealed(read_json(path) | told))
    report = store.report()
    assert [verdict.word for verdict in report.sections[0].verdicts] == ["refused"]
    assert [(item.name, why in item.why) for item in report.left_out] == [(f"demo/certificates/{path.name}", True)]


def torn(folder: Path) -> str:
    """Cut the only request of a run. Returns its file as reports name it."""
    path = folder / "requests.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    return f"other/{folder.parent.name}/{folder.name}/requests.jsonl"


def test_a_request_lost_in_another_baselines_folder_is_named(store: Store) -> None:
    store.baseline(3)
    folders = store.shifted("hooks=ema", 3, -0.05)
    (store.root / "runs/other").mkdir()
    moved = folders[0].parent.rename(store.root / "runs/other" / folders[0].parent.name)
    lost = torn(moved / folders[2].name)
    assert [item.name for item in store.report().left_out] == [lost]
    assert "2 of 3 seeds" in store.verdict("hooks=ema").reading


def test_a_damaged_run_of_another_baseline_alone_is_that_ones_matter(store: Store) -> None:
    store.name = "other"
    store.pin()
    (store.baseline(1)[0] / "result.json").write_text("{")
    store.name = "demo"
    store.pin()
    store.baseline(3)
    assert store.report().left_out == ()
