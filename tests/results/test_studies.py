"""Studies: declared before their data, a family that only grows, and rules that hold for good."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from lab.errors import ConfigError, StoreError
from lab.files import read_sealed, sealed, write_json
from lab.results.pin import read_pin
from lab.results.studies import Study, rules_of
from lab.store.declaration import Declaration, DeclaredArm
from lab.store.studies import declare, file_name, read_declarations

from .store import BASE, CODE, Store, digest

EMA, CLIP, Z_LOSS = "hooks=ema", "hooks=grad_clip", "hooks=z_loss"
ANOTHER_CODE = {**CODE, "lab.model.gpt": "0" * 64}


def study(store: Store, name: str) -> Study:
    return next(each for each in store.section().studies if each.name == name)


def declared(store: Store) -> list[Declaration]:
    found, damaged = read_declarations(store.root / "runs", store.name)
    assert damaged == []
    return found


def the_file(store: Store, name: str) -> Path:
    return store.root / "runs" / store.name / "studies" / file_name(name, store.lock)


def test_a_declared_arm_counts_although_nothing_of_it_was_trained(store: Store) -> None:
    store.declare("norms", EMA, CLIP, Z_LOSS)
    store.baseline(3)
    store.shifted(EMA, 3, -0.05)
    assert store.verdict(EMA).family == 3
    report = store.report()
    assert report.tried == 3
    assert [(each.label, each.why) for each in report.unread] == [
        (CLIP, "declared in study norms; no request for it is in this store"),
        (Z_LOSS, "declared in study norms; no request for it is in this store"),
    ]


def test_a_declared_arm_that_is_trained_counts_once_under_whatever_code(store: Store) -> None:
    store.declare("norms", EMA, CLIP)
    store.baseline(3)
    store.shifted(EMA, 3, -0.05)
    store.shifted(CLIP, 3, -0.05)
    assert store.verdict(EMA).family == 2
    store.shifted(CLIP, 3, -0.05, code=ANOTHER_CODE)
    assert store.verdict(EMA).family == 3


def test_an_arm_whose_runs_are_all_damaged_counts_once_in_its_declared_study(store: Store) -> None:
    store.declare("norms", EMA, CLIP)
    store.baseline(3)
    store.shifted(EMA, 3, -0.05)
    (store.run(CLIP, 0) / "manifest.json").write_text("{")
    assert store.verdict(EMA).family == 2


def test_an_arm_that_was_asked_for_in_the_study_and_never_declared_counts_too(store: Store) -> None:
    store.declare("norms", EMA)
    store.baseline(3)
    store.shifted(EMA, 3, -0.05)
    store.shifted(CLIP, 3, -0.05)
    assert store.verdict(EMA).family == 2


def test_an_arm_of_another_study_that_is_declared_here_counts_in_both_and_is_tried_once(store: Store) -> None:
    store.baseline(3)
    store.shifted(EMA, 3, -0.05, study="first")
    store.declare("second", EMA, CLIP)
    store.shifted(CLIP, 3, -0.05, study="second")
    assert (store.verdict(EMA).evidence.arm.study, store.verdict(EMA).family, store.verdict(CLIP).family) == ("first", 2, 2)
    assert store.report().tried == 2


def seven_of_eight(store: Store) -> None:
    """Eight arms declared in one study, seven of which were trained in it."""
    store.pin(looks=[5])
    store.declare("eight", EMA, *(f"hooks=h{number}" for number in range(7)), looks=(5,), smallest_effect=0.001)
    store.baseline(5)
    for number in range(7):
        store.shifted(f"hooks=h{number}", 5, 0.0, wobble=5, study="eight")


def test_an_arm_of_a_declared_study_does_not_escape_its_family_by_being_asked_for_alone_first(store: Store) -> None:
    seven_of_eight(store)
    folders = store.shifted(EMA, 5, -0.0042, wobble=3, study="screening")
    first = store.verdict(EMA)
    for folder in folders:
        store.ask(folder, EMA, study="eight")
    for verdict in (first, store.verdict(EMA)):
        assert verdict.evidence.p is not None and verdict.evidence.p < 0.05  # alone, it would be called better
        assert (verdict.word, verdict.family, verdict.p) == ("cannot tell", 8, pytest.approx(8 * verdict.evidence.p))
        assert verdict.reading.startswith("hooks=ema: cannot tell (also in study screening; judged by the rules of eight). ")
        assert (verdict.rules.looks, verdict.smallest_effect) == ((5,), 0.001)


def test_an_arm_that_was_asked_for_before_it_was_declared_keeps_the_rules_of_its_first_request_and_counts_in_both(store: Store) -> None:
    store.baseline(3)
    store.shifted(EMA, 1, -0.05, study="screening")
    store.declare("norms", EMA, CLIP, Z_LOSS, looks=(2,), by_hand=True, question="?")
    store.shifted(EMA, 3, -0.05, seeds=[1, 2, 3], study="norms")
    verdict = store.verdict(EMA)
    assert (verdict.evidence.arm.studies, verdict.rules.looks, verdict.family) == (("screening", "norms"), (3,), 3)
    assert "(also in study norms; judged by the rules of screening)" in verdict.reading


def test_of_several_declarations_before_an_arms_first_request_its_own_study_stands_and_else_the_oldest(store: Store) -> None:
    store.declare("older", EMA, CLIP, looks=(2,))
    store.baseline(3)
    store.declare("a-newer", EMA, CLIP)
    store.shifted(EMA, 3, -0.05, study="a-newer")
    store.shifted(CLIP, 3, -0.05, study="screening")
    assert [store.verdict(label).evidence.arm.study for label in (EMA, CLIP)] == ["a-newer", "older"]


def test_a_declaration_of_an_older_version_tells_no_time_and_takes_no_arm_over(store: Store) -> None:
    store.declare("norms", EMA, CLIP)
    path = the_file(store, "norms")
    content = read_sealed(path)
    for each in content["arms"]:
        del each["after"]
    write_json(path, sealed({key: value for key, value in content.items() if key != "sha256_of_this"}))
    store.baseline(3)
    store.shifted(EMA, 3, -0.05, study="screening")
    assert (store.verdict(EMA).evidence.arm.studies, store.verdict(EMA).family) == (("screening", "norms"), 2)


def test_newer_code_of_a_declared_change_stays_in_its_family(store: Store) -> None:
    store.declare("norms", EMA, CLIP, Z_LOSS)
    store.baseline(3)
    store.shifted(EMA, 3, -0.05, study="screening")
    store.shifted(EMA, 3, -0.05, study="alone", code={**CODE, "lab.hooks.ema": "9" * 64})
    assert store.verdict(EMA).evidence.arm.studies == ("norms", "alone", "screening")
    assert store.verdict(EMA).family == 4  # and both codes count


def test_more_studies_than_a_mark_can_name_are_counted(store: Store) -> None:
    store.baseline(3)
    folder = store.shifted(EMA, 3, -0.05)[0]
    for number in range(5):
        store.ask(folder, EMA, study=f"s{number}")
    assert "(also in 5 other studies; judged by the rules of norms)" in store.verdict(EMA).reading


def test_an_arm_with_damaged_lines_of_requests_may_have_a_larger_family(store: Store) -> None:
    store.baseline(3)
    path = store.shifted(EMA, 3, -0.05)[1] / "requests.jsonl"
    store.shifted(CLIP, 3, -0.05)
    path.write_text(path.read_text() + '{"number": 9, "study": "ei\n')
    assert "better (lines of its requests are damaged, so its family may be larger). " in store.verdict(EMA).reading
    assert "may be larger" not in store.verdict(CLIP).reading


@pytest.mark.parametrize("name", ["screening", "confirm", "selfcheck"])
def test_a_study_by_hand_takes_no_name_under_which_runs_are_asked_for_without_it(store: Store, name: str) -> None:
    with pytest.raises(ConfigError, match="the lab's own"):
        store.declare(name, EMA, by_hand=True, looks=(2,))
    assert declared(store) == []
    store.declare(name, EMA)
    assert [each.name for each in declared(store)] == [name]


def test_a_change_stays_in_the_study_of_its_first_request_under_newer_code_and_in_another_cohort(store: Store) -> None:
    store.baseline(3)
    store.shifted(EMA, 3, -0.05, study="first")
    store.shifted(EMA, 3, -0.05, study="second", code={**CODE, "lab.hooks.ema": "9" * 64})
    store.baseline(1, cohort="d" * 64)
    store.shifted(EMA, 1, -0.05, study="third", cohort="d" * 64)
    sections = store.report(here="c" * 64).sections
    assert [[(each.evidence.arm.study, each.family) for each in section.verdicts] for section in sections] == [
        [("first", 2)],
        [("first", 2)],
    ]


def test_an_edit_of_the_code_is_not_counted_twice_for_its_declaration(store: Store) -> None:
    store.baseline(3)
    label = store.edit(ANOTHER_CODE, 3)
    declare(store.root, Declaration("norms", "demo", store.lock, "", False, (DeclaredArm(label, digest("change", "baseline")),)))
    assert store.verdict(label).family == 1


def test_a_sweep_of_the_baseline_alone_is_no_family(store: Store) -> None:
    store.declare("sweep-1", "baseline")
    store.declare("sweep-2")
    store.baseline(3)
    report = store.report()
    assert (report.tried, report.sections[0].studies, report.unread) == (0, (), ())


def test_a_declaration_under_another_lock_counts_for_nothing_here(store: Store) -> None:
    store.declare("norms", EMA, CLIP, lock="2" * 64, looks=(2,))
    store.baseline(3)
    store.shifted(EMA, 3, -0.05)
    assert store.verdict(EMA).family == 1
    assert study(store, "norms").declared is False


def test_a_study_is_told_with_its_question_its_size_and_its_own_rules(store: Store) -> None:
    store.declare("norms", EMA, CLIP, question="which norm?", by_hand=True, looks=(2, 4), smallest_effect=0.1)
    store.baseline(3)
    store.shifted(EMA, 3, -0.05)
    store.shifted(Z_LOSS, 3, -0.05, study="screening")
    found, single = study(store, "norms"), study(store, "screening")
    assert (found.question, found.declared, found.by_hand, found.arms, found.own) == ("which norm?", True, True, 2, True)
    assert (found.rules.looks, found.effect.value, found.effect.origin) == ((2, 4), 0.1, "declared with its study")
    assert (single.question, single.declared, single.arms, single.own, single.rules.looks) == ("", False, 1, False, (3,))


def test_an_arm_is_judged_by_the_looks_and_the_d_of_its_study(store: Store) -> None:
    store.declare("norms", EMA, looks=(2,), smallest_effect=0.5)
    store.baseline(3)
    store.shifted(EMA, 2, 0.0)
    store.shifted(CLIP, 2, 0.0, study="screening")
    assert [(verdict.word, verdict.evidence.look) for verdict in store.section().verdicts] == [
        ("no difference", 2),
        ("before the first look", None),
    ]


def test_looks_of_a_study_leave_the_baselines_d_at_the_pins_first_look(store: Store) -> None:
    store.pin(smallest_effect="auto", looks=[5, 8])
    store.declare("norms", EMA, looks=(3,))
    store.baseline(3)
    store.shifted(EMA, 3, 0.0, wobble=0.1)
    assert (study(store, "norms").effect.value, store.verdict(EMA).word) == (None, "cannot tell")
    store.arm("baseline", BASE[3:5], seeds=[3, 4])
    assert study(store, "norms").effect.value == pytest.approx(0.005)
    assert store.verdict(EMA).word == "no difference"


def test_rules_that_were_declared_after_the_first_request_of_the_study_do_not_stand(store: Store) -> None:
    """Else somebody looks first, and then declares the look at which it pleased."""
    store.baseline(3)
    store.shifted(EMA, 2, -0.05)
    store.declare("norms", EMA, looks=(2,), smallest_effect=0.5)
    assert (study(store, "norms").asked_before, study(store, "norms").own) == (2, False)
    assert store.verdict(EMA).word == "before the first look"
    assert rules_of(read_pin(store.root, "demo"), declared(store)[0]) == read_pin(store.root, "demo")


def test_requests_of_the_baseline_of_explorers_and_of_other_studies_do_not_come_before_a_declaration(store: Store) -> None:
    store.baseline(3)
    store.shifted(EMA, 2, -0.05, study="another")
    store.shifted(CLIP, 2, -0.05, exploring=True)
    store.shifted(Z_LOSS, 2, -0.05, lock="2" * 64)
    assert store.declare("norms", EMA, looks=(2,)).asked_before == 0


def test_a_family_grows_by_the_arms_of_a_later_sweep_and_never_shrinks(store: Store) -> None:
    store.declare("norms", EMA, CLIP)
    store.declare("norms", Z_LOSS, EMA)
    assert [arm.label for arm in declared(store)[0].arms] == [EMA, CLIP, Z_LOSS]
    before = the_file(store, "norms").stat().st_mtime_ns
    store.declare("norms", CLIP)
    assert the_file(store, "norms").stat().st_mtime_ns == before


def test_the_same_arm_on_another_text_is_no_other_arm_of_a_study_by_hand(store: Store) -> None:
    store.declare("norms", EMA, by_hand=True, question="?")
    again = declare(store.root, Declaration("norms", "demo", store.lock, "?", True, (DeclaredArm(EMA, "9" * 64),)))
    assert [arm.change_id for arm in again.arms] == [digest("change", EMA), "9" * 64]


@pytest.mark.parametrize(
    ("told", "labels", "says"),
    [
        ({"looks": (8,)}, (EMA, CLIP), "looks: 5, now 8"),
        ({"looks": None}, (EMA, CLIP), "looks: 5, now none of its own"),
        ({"smallest_effect": 0.02}, (EMA, CLIP), "smallest_effect: 0.01, now 0.02"),
        ({"question": "another?"}, (EMA, CLIP), "question: which?, now another?"),
        ({}, (EMA,), f"arms: without {CLIP}"),
        ({}, (EMA, CLIP, Z_LOSS), f"arms: now also {Z_LOSS}"),
        ({}, (EMA, Z_LOSS), f"arms: now also {Z_LOSS}; without {CLIP}"),
    ],
)
def test_a_study_by_hand_never_changes_under_its_lock(store: Store, told: dict[str, object], labels: tuple[str, ...], says: str) -> None:
    by_hand = {"by_hand": True, "looks": (5,), "smallest_effect": 0.01, "question": "which?"}
    store.declare("norms", EMA, CLIP, **by_hand)
    kept = the_file(store, "norms").read_bytes()
    with pytest.raises(ConfigError) as raised:
        store.declare("norms", *labels, **by_hand | told)
    assert says in str(raised.value)
    assert "study=NAME" in str(raised.value)
    assert the_file(store, "norms").read_bytes() == kept


def test_another_lock_may_declare_the_same_name_otherwise(store: Store) -> None:
    store.declare("norms", EMA, by_hand=True, looks=(5,))
    store.declare("norms", CLIP, by_hand=True, looks=(8,), lock="2" * 64)
    assert sorted(each.looks or () for each in declared(store)) == [(5,), (8,)]


def test_a_sweep_of_some_arms_is_part_of_a_study_by_hand_and_one_of_others_is_not(store: Store) -> None:
    store.declare("norms", EMA, CLIP, by_hand=True, looks=(5,))
    assert store.declare("norms", EMA).looks == (5,)
    with pytest.raises(ConfigError, match=f"{Z_LOSS} not among the 2 declared"):
        store.declare("norms", Z_LOSS)


def test_what_a_sweep_began_is_not_declared_by_hand_afterwards(store: Store) -> None:
    store.declare("norms", EMA)
    with pytest.raises(ConfigError, match="by a sweep, now by hand"):
        store.declare("norms", EMA, by_hand=True)


@pytest.mark.parametrize("name", ["../../escape", "a/b", "", ".hidden", "x" * 300, "Größe", "\x1b[31m", "norms\n", "NUL", "\udc80", "-rf"])
def test_a_study_of_any_name_is_kept_in_its_folder_and_found_again(store: Store, name: str) -> None:
    store.declare(name, EMA)
    assert [each.name for each in declared(store)] == [name]
    assert {path.name for path in the_file(store, name).parent.iterdir()} == {".lock", file_name(name, store.lock)}
    assert len(file_name(name, store.lock)) <= 80


def test_names_that_differ_in_their_capitals_alone_have_two_files(store: Store) -> None:
    names = {file_name(name, store.lock).lower() for name in ("norms", "Norms", "NORMS", "n/orms", "n_orms")}
    assert len(names) == 5


def one_sweep(root: Path, lock: str, number: int) -> None:
    for part in range(3):
        label = f"hooks=h{number}.{part}"
        declare(root, Declaration("norms", "demo", lock, "", False, (DeclaredArm(label, digest("change", label)),)))


def test_sweeps_that_declare_at_once_lose_no_arm(store: Store) -> None:
    context = multiprocessing.get_context("fork")
    sweeps = [context.Process(target=one_sweep, args=(store.root, store.lock, number)) for number in range(6)]
    for each in sweeps:
        each.start()
    for each in sweeps:
        each.join()
    assert [each.exitcode for each in sweeps] == [0] * 6
    assert {arm.label for arm in declared(store)[0].arms} == {f"hooks=h{number}.{part}" for number in range(6) for part in range(3)}


def test_a_damaged_declaration_is_named_and_marks_its_study_alone(store: Store) -> None:
    store.declare("norms", EMA, CLIP, Z_LOSS, looks=(2,))
    store.baseline(3)
    store.shifted(EMA, 3, -0.05)
    store.shifted("hooks=other", 3, -0.05, study="another")
    path = the_file(store, "norms")
    path.write_text(path.read_text().replace(CLIP, "hooks=grad_clap"))
    report = store.report()
    assert [(item.name, "edited or damaged" in item.why) for item in report.left_out] == [(f"demo/studies/{path.name}", True)]
    assert report.sections[0].lineup.doubtful_families == {"norms"}
    assert [(each.name, each.doubtful) for each in report.sections[0].studies] == [("another", False), ("norms", True)]
    assert "family may be larger" in store.verdict(EMA).reading
    assert "family may be larger" not in store.verdict("hooks=other").reading
    with pytest.raises(StoreError, match="can't be used"):
        store.declare("norms", EMA)


def test_a_damaged_declaration_that_names_no_known_study_marks_them_all(store: Store) -> None:
    store.declare("norms", EMA)
    store.baseline(3)
    store.shifted(EMA, 3, -0.05)
    the_file(store, "norms").rename(the_file(store, "renamed"))
    report = store.report()
    assert "isn't the name of what it declares" in report.left_out[0].why
    assert report.sections[0].lineup.doubtful_families == {"norms"}


def test_a_damaged_declaration_under_another_lock_marks_nothing(store: Store) -> None:
    store.declare("norms", EMA, lock="2" * 64)
    store.baseline(3)
    store.shifted(EMA, 3, -0.05)
    (the_file(store, "norms").parent / file_name("norms", "2" * 64)).write_text("{")
    report = store.report()
    assert len(report.left_out) == 1
    assert report.sections[0].lineup.doubtful_families == frozenset()


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"schema": 3}, "schema 3"),
        ({"name": 3}, "'name'"),
        ({"baseline": "other"}, "about baseline 'other'"),
        ({"question": None}, "'question'"),
        ({"by_hand": "yes"}, "'by_hand'"),
        ({"arms": {}}, "'arms'"),
        ({"arms": [{"label": "x"}]}, "'arms'"),
        ({"looks": []}, "'looks'"),
        ({"looks": [8, 5]}, "'looks'"),
        ({"looks": [True]}, "'looks'"),
        ({"looks": [1]}, "'looks'"),
        ({"looks": "5"}, "'looks'"),
        ({"smallest_effect": 0}, "'smallest_effect'"),
        ({"smallest_effect": -1.0}, "'smallest_effect'"),
        ({"smallest_effect": 10**400}, "'smallest_effect'"),
        ({"smallest_effect": "auto"}, "'smallest_effect'"),
        ({"asked_before": -1}, "'asked_before'"),
    ],
)
def test_a_field_that_declare_does_not_write_leaves_the_declaration_out(store: Store, told: dict[str, object], says: str) -> None:
    store.declare("norms", EMA)
    path = the_file(store, "norms")
    write_json(path, sealed(read_sealed(path) | told))
    found, damaged = read_declarations(store.root / "runs", "demo")
    assert found == []
    assert [says in why for _, why in damaged] == [True]


@pytest.mark.parametrize("name", ["name", "looks", "smallest_effect", "arms", "asked_before"])
def test_a_declaration_without_one_of_its_fields_is_left_out(store: Store, name: str) -> None:
    store.declare("norms", EMA)
    path = the_file(store, "norms")
    write_json(path, sealed({key: value for key, value in read_sealed(path).items() if key != name}))
    assert [repr(name) in why for _, why in read_declarations(store.root / "runs", "demo")[1]] == [True]


def test_any_flipped_bit_of_a_declaration_is_found(store: Store) -> None:
    store.declare("norms", EMA, looks=(3, 5), smallest_effect=0.01)
    path = the_file(store, "norms")
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert len(read_declarations(store.root / "runs", "demo")[1]) == 1, place


def test_what_lies_beside_the_declarations_is_no_run_and_hides_none(store: Store) -> None:
    store.declare("seed=1-abcdef", EMA)
    store.baseline(3)
    folder = the_file(store, "norms").parent
    (folder / "notes.txt").write_text("mine")
    (folder / ".norms.json.12.tmp").write_text("{")
    (folder / "seed=0-000000000000").mkdir()
    report = store.report()
    assert (report.runs_read, report.left_out) == (3, ())


def test_a_declaration_is_plain_sealed_json_of_the_agreed_form(store: Store) -> None:
    store.declare("norms", EMA, by_hand=True, question="which?", looks=(8,))
    content = json.loads(the_file(store, "norms").read_text())
    assert content.pop("sha256_of_this") and content == {
        "schema": 1,
        "name": "norms",
        "baseline": "demo",
        "lock": store.lock,
        "question": "which?",
        "by_hand": True,
        "arms": [{"label": EMA, "change_id": digest("change", EMA), "after": 0}],
        "looks": [8],
        "smallest_effect": None,
        "asked_before": 0,
    }
