"""Finding runs, their state, their requests' numbers, and every kind of damage a stored run can have."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import StoreError
from lab.files import read_rows, write_json
from lab.store.claim import claimed
from lab.store.layout import RunFolder, store
from lab.store.runs import add_request, find_identity, find_run, next_number, status_of, verify
from tests.store.tiny import FILES, asked, child, end, finished, hear, identity_of, started, tell

# -- status


def failed(root: Path) -> RunFolder:
    folder = started(root)
    write_json(folder.failure, {"error": "no space left on device"})
    return folder


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (started, "stopped"),
        (failed, "failed"),
        (finished, "finished"),
        (lambda root: finished(root, status="diverged"), "diverged"),
    ],
    ids=["stopped", "failed", "finished", "diverged"],
)
def test_a_run_s_status_is_read_from_its_directory(tmp_path: Path, make: Callable[[Path], RunFolder], status: str) -> None:
    assert status_of(make(tmp_path)) == status


@pytest.mark.parametrize("make", [started, failed], ids=["new", "failed before"])
def test_a_claimed_run_is_running_and_stops_when_the_claim_goes(tmp_path: Path, make: Callable[[Path], RunFolder]) -> None:
    folder = make(tmp_path)
    before = status_of(folder)
    with claimed(folder.claim):
        assert status_of(folder) == "running"
    assert status_of(folder) == before


def test_a_result_outranks_an_older_failure_and_a_claim(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    write_json(folder.failure, {"error": "an earlier try"})
    with claimed(folder.claim):
        assert status_of(folder) == "finished"


# -- damage


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def remove(path: Path) -> None:
    path.unlink()


def test_an_untouched_run_is_whole(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    assert verify(folder) == json.loads(folder.result.read_text())


@pytest.mark.parametrize("damage", [flip, cut, empty, lengthen, remove])
@pytest.mark.parametrize("name", ["manifest.json", *FILES])
def test_a_file_that_moved_since_the_run_finished_is_named(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    folder = finished(tmp_path)
    damage(folder.path / name)
    with pytest.raises(StoreError, match=Path(name).name if name != "manifest.json" else "damaged|manifest") as found:
        verify(folder)
    assert "move " in str(found.value) and "away" in str(found.value), "it says what to do"


def test_a_flipped_bit_anywhere_in_a_file_is_seen(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    path = folder.path / FILES[-1]
    whole, unseen = path.read_bytes(), []
    bits = range(0, 8 * len(whole), 7)
    for bit in bits:
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            verify(folder)
            unseen.append(bit)
        except StoreError:
            pass
    assert not unseen, f"{len(unseen)} of {len(bits)} flipped bits went unseen"


@pytest.mark.parametrize("damage", [cut, empty], ids=["cut", "empty"])
def test_a_torn_result_is_damage_and_not_an_unfinished_run(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = finished(tmp_path)
    folder.result.write_bytes(folder.result.read_bytes().rstrip())
    damage(folder.result)
    for look in (verify, status_of):
        with pytest.raises(StoreError, match="is damaged"):
            look(folder)


@pytest.mark.parametrize("part", [{"identity": "0" * 64}, {"status": "excellent"}, {"digests": None}, {"metrics": 3}, {"cost": []}])
def test_a_result_that_is_not_this_run_s_or_lacks_a_part_is_damage(tmp_path: Path, part: dict[str, object]) -> None:
    folder = finished(tmp_path)
    write_json(folder.result, json.loads(folder.result.read_text()) | part)
    with pytest.raises(StoreError, match="is damaged"):
        verify(folder)


def test_the_result_of_another_run_is_not_this_one_s(tmp_path: Path) -> None:
    folder, other = finished(tmp_path, seed=0), finished(tmp_path, seed=1)
    shutil.copy(other.result, folder.result)
    with pytest.raises(StoreError, match="isn't that of its manifest"):
        status_of(folder)


# -- finding


def test_a_run_is_found_by_its_identity_under_whatever_baseline_and_label(tmp_path: Path) -> None:
    wanted = started(tmp_path, "model/norm=rmsnorm", 3, baseline="other")
    started(tmp_path, "baseline", 3)
    assert find_identity(tmp_path, identity_of("model/norm=rmsnorm", 3)) == wanted
    assert find_identity(tmp_path, identity_of("never asked for", 3)) is None


def test_the_first_of_two_copies_of_a_run_is_the_one_that_is_found(tmp_path: Path) -> None:
    second, first = started(tmp_path, suffix=".2"), started(tmp_path)
    assert find_identity(tmp_path, identity_of("baseline", 0)) == first
    shutil.rmtree(first.path)
    assert find_identity(tmp_path, identity_of("baseline", 0)) == second


def test_a_directory_that_only_shares_the_short_id_is_another_run(tmp_path: Path) -> None:
    folder = started(tmp_path)
    identity = identity_of("baseline", 0)
    assert find_identity(tmp_path, identity[:12] + "0" * 52) is None
    assert find_identity(tmp_path, identity) == folder


def test_a_directory_without_a_manifest_is_no_run_yet(tmp_path: Path) -> None:
    folder = started(tmp_path)
    folder.manifest.unlink()
    assert find_identity(tmp_path, identity_of("baseline", 0)) is None


@pytest.mark.parametrize("damage", [cut, empty])
def test_a_damaged_manifest_is_told_and_not_trained_over(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = finished(tmp_path)
    folder.manifest.write_bytes(folder.manifest.read_bytes().rstrip())
    damage(folder.manifest)
    with pytest.raises(StoreError, match="is damaged"):
        find_identity(tmp_path, identity_of("baseline", 0))
    started(tmp_path, "another", 1)
    assert find_identity(tmp_path, identity_of("another", 1)) is not None, "and it hides no other run"


@pytest.mark.parametrize("place", ["tiny/arm/seed=0-ID.damaged", ".trash/arm/seed=0-ID", "../elsewhere/arm/seed=0-ID"])
def test_a_run_that_was_moved_away_is_away(tmp_path: Path, place: str) -> None:
    folder = finished(tmp_path)
    to = store(tmp_path) / place.replace("ID", identity_of("baseline", 0)[:12])
    to.parent.mkdir(parents=True)
    folder.path.rename(to)
    assert find_identity(tmp_path, identity_of("baseline", 0)) is None


@pytest.fixture
def three(tmp_path: Path) -> list[RunFolder]:
    return [started(tmp_path, "baseline", 0), started(tmp_path, "baseline", 1), started(tmp_path, "hooks=grad_clip", 1)]


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("say", ["identity", "id12", "id6", "name", "path", "folder"])
def test_a_user_names_a_run_as_it_comes_to_hand(
    tmp_path: Path, three: list[RunFolder], monkeypatch: pytest.MonkeyPatch, which: int, say: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = three[which]
    identity = json.loads(folder.manifest.read_text())["identity"]
    word = {
        "identity": identity,
        "id12": identity[:12],
        "id6": identity[:6],
        "name": folder.path.name,
        "path": str(folder.path),
        "folder": str(folder.path.relative_to(tmp_path)),
    }[say]
    assert find_run(tmp_path, word) == folder


def test_part_of_a_name_is_enough_when_one_run_has_it(tmp_path: Path, three: list[RunFolder]) -> None:
    assert find_run(tmp_path, "grad_clip") == three[2]
    assert find_run(tmp_path, "seed=0") == three[0]


@pytest.mark.parametrize(("word", "fitting"), [("baseline", 2), ("seed=1", 2), ("tiny", 3), ("", 3)])
def test_a_word_that_fits_several_runs_lists_them(
    tmp_path: Path, three: list[RunFolder], monkeypatch: pytest.MonkeyPatch, word: str, fitting: int
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=f"{fitting} runs fit") as found:
        find_run(tmp_path, word)
    assert sum(folder.path.name in str(found.value) for folder in three) == fitting


def test_a_whole_name_is_that_run_though_a_copy_s_name_begins_alike(tmp_path: Path) -> None:
    copy, first = started(tmp_path, suffix=".2"), started(tmp_path)
    assert find_run(tmp_path, first.path.name) == first
    assert find_run(tmp_path, copy.path.name) == copy


@pytest.mark.parametrize("word", ["nothing like it", "f" * 64, "../..", "/nowhere", "*", "[", "\x01"])
def test_a_word_that_fits_no_run_says_where_they_are_listed(tmp_path: Path, three: list[RunFolder], word: str) -> None:
    with pytest.raises(StoreError, match="python -m lab runs"):
        find_run(tmp_path, word)


# -- the numbers of requests

COUNTER = """
import sys
from pathlib import Path
from lab.store.runs import next_number
print("ready", flush=True)
sys.stdin.readline()
print(*(next_number(Path(sys.argv[1])) for _ in range(6)), flush=True)
"""


def test_processes_that_ask_at_once_get_every_number_once(tmp_path: Path) -> None:
    askers = [child(COUNTER, tmp_path) for _ in range(8)]
    for each in askers:
        assert hear(each) == "ready"
    for each in askers:
        tell(each, "go")
    numbers = [[int(word) for word in hear(each).split()] for each in askers]
    for each in askers:
        end(each)
    assert sorted(number for mine in numbers for number in mine) == list(range(1, 49))
    assert all(mine == sorted(mine) for mine in numbers), "a later request has a higher number"


@pytest.mark.parametrize("torn", [None, b"", b"\x00\x00", b"not a number\n"], ids=["deleted", "empty", "NUL", "nonsense"])
def test_the_count_goes_on_above_the_store_s_highest_when_the_counter_is_lost(tmp_path: Path, torn: bytes | None) -> None:
    for number, folder in ((7, started(tmp_path, seed=0)), (41, started(tmp_path, "another", 1)), (3, started(tmp_path, seed=2))):
        asked(folder, number)
    started(tmp_path, "asked by nobody", 5)
    counter = store(tmp_path) / ".requests"
    if torn is not None:
        counter.write_bytes(torn)
    assert [next_number(tmp_path), next_number(tmp_path)] == [42, 43]
    counter.unlink()
    assert next_number(tmp_path) == 42, "43 was never used, and the store knows no higher one"


def test_requests_are_numbered_in_the_order_of_asking_across_runs(tmp_path: Path) -> None:
    one, two = started(tmp_path, seed=0), started(tmp_path, seed=1)
    for folder, note in ((one, "first"), (two, "second"), (one, "third")):
        add_request(tmp_path, folder, {"note": note})
    told = {row["note"]: row["number"] for folder in (one, two) for row in read_rows(folder.requests)[0]}
    assert told == {"first": 1, "second": 2, "third": 3}


def test_a_request_is_kept_even_after_one_that_a_full_disk_cut(tmp_path: Path) -> None:
    folder = started(tmp_path)
    folder.requests.write_bytes(b'{"number":1,"note":"cu')
    add_request(tmp_path, folder, {"note": "again"})
    rows, damaged = read_rows(folder.requests)
    assert [row["note"] for row in rows] == ["again"] and damaged == 1
