"""Who is compared with whom."""

import pytest

from lab.results.lineup import Aside
from lab.results.telling import tell

from .store import BASE, CODE, Store, digest

EDITED = {**CODE, "lab.model.gpt": "0" * 64}


def aside(store: Store) -> dict[str, str]:
    return {item.label: item.why for item in store.section().lineup.asides}


def refused(store: Store) -> dict[str, str]:
    return {verdict.label: verdict.reading for verdict in store.section().verdicts if verdict.word == "refused"}


def test_an_exploring_run_is_never_judged(store: Store):
    store.baseline(3)
    store.shifted("wild", 3, -0.5, exploring=True, changes=3)
    report = store.report()
    assert report.sections[0].verdicts == ()
    assert [run.label for run in report.exploring] == ["wild"] * 3
    assert report.tried == 0


def test_a_run_that_was_also_asked_for_plainly_is_judged(store: Store):
    store.baseline(3)
    for folder in store.shifted("hooks=ema", 3, -0.05, exploring=True):
        store.ask(folder, "hooks=ema")
    assert store.verdict("hooks=ema").word == "better"


def test_several_changes_are_never_judged_whoever_let_them_through(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema model=wide", 3, -0.05, changes=2)
    assert store.section().verdicts == ()


def test_one_arm_under_two_labels_is_pooled(store: Store):
    store.baseline(3)
    for seed in range(3):
        store.run(["hooks=ema", "hooks.ema=new"][seed % 2], seed, BASE[seed] - 0.05 + seed / 1000, arm_id="a" * 64, change_id="1" * 64)
    report = store.section()
    assert [(verdict.label, verdict.word) for verdict in report.verdicts] == [("hooks=ema", "better")]
    assert report.lineup.tried == 1


def test_of_two_codes_of_one_change_the_newer_is_judged_and_the_first_try_counts(store: Store):
    store.baseline(3)
    store.shifted("change=wide", 3, +0.05, arm_id="a" * 64)
    store.shifted("change=wide", 3, -0.05, arm_id="b" * 64)
    verdict = store.verdict("change=wide")
    assert (verdict.evidence.arm.arm_id, verdict.word) == ("b" * 64, "better")
    assert verdict.family == 2
    assert (
        aside(store)["change=wide"]
        == "other code, not compared: superseded by a newer arm of this change, bbbbbb, which doesn't count its seeds 0, 1, 2"
    )


def test_a_newer_code_supersedes_its_change_also_under_another_label(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, +0.05, arm_id="a" * 64, change_id="1" * 64)
    store.shifted("hooks.ema=new", 3, -0.05, arm_id="b" * 64, change_id="1" * 64)
    assert [verdict.label for verdict in store.section().verdicts] == ["hooks.ema=new"]
    assert "superseded" in aside(store)["hooks=ema"]


def two_changes_of_one_label(store: Store) -> None:
    store.baseline(3)
    store.shifted("change=wide", 3, +0.05, arm_id="a" * 64, change_id="1" * 64)
    store.arm("change=wide", [2.0, None], arm_id="b" * 64, change_id="2" * 64)
    store.run("change=wide", 2, status="failed", arm_id="b" * 64, change_id="2" * 64)


def test_two_changes_of_one_label_are_both_judged_and_told_apart_everywhere(store: Store):
    two_changes_of_one_label(store)
    section = store.section()
    assert [(verdict.label, verdict.family) for verdict in section.verdicts] == [("change=wide (aaaaaa)", 2), ("change=wide (bbbbbb)", 2)]
    assert section.verdicts[0].word == "worse"
    assert section.lineup.asides == ()
    assert section.verdicts[1].reading.startswith("change=wide (bbbbbb): before the first look.")
    lists = tell(store.report()).sections[0].lists
    assert lists["Diverged"][0].startswith("change=wide (bbbbbb) seed 1: step 40")
    assert lists["Failed (pending until resumed)"] == ("change=wide (bbbbbb) seed 2: no space left on device",)


def test_a_change_that_is_refused_is_told_apart_too(store: Store):
    store.baseline(3)
    store.shifted("change=wide", 3, -0.05, arm_id="a" * 64, change_id="1" * 64)
    store.shifted("change=wide", 3, -0.05, arm_id="b" * 64, change_id="2" * 64, code=EDITED)
    assert [(verdict.label, verdict.word) for verdict in store.section().verdicts] == [
        ("change=wide (aaaaaa)", "better"),
        ("change=wide (bbbbbb)", "refused"),
    ]


def test_the_same_label_on_another_text_needs_no_telling_apart(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    store.shifted("hooks=ema", 3, -0.05, arm_id="b" * 64, change_id="2" * 64, cohort="d" * 64)
    assert store.verdict("hooks=ema").word == "better"


def test_an_arm_under_other_code_is_refused_with_the_difference_and_counts_as_tried(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, code=EDITED)
    assert refused(store)["hooks=ema"] == (
        "hooks=ema: refused. Its code isn't the baseline's: lab.model.gpt differs, and no certificate excuses that "
        "(python -m lab certify --baseline demo replays the baseline under today's code)."
    )
    verdict = store.verdict("hooks=ema")
    assert (verdict.evidence.pairs, verdict.evidence.estimate, verdict.p, verdict.family) == ((), None, None, 1)
    assert store.report().tried == 1


def test_a_refused_arm_makes_the_others_correction_no_smaller(store: Store):
    store.baseline(3)
    store.shifted("hooks=z_loss", 3, -0.05)
    alone = store.verdict("hooks=z_loss")
    store.shifted("hooks=ema", 3, -0.05, code=EDITED)
    beside = store.verdict("hooks=z_loss")
    assert alone.p is not None and beside.p is not None
    assert (beside.family, beside.p) == (2, 2 * alone.p)


def test_several_refused_codes_of_one_change_are_one_arm_and_one_line_with_the_count(store: Store):
    store.baseline(3)
    for mark in "789":
        store.shifted("hooks=ema", 1, -0.05, code={**EDITED, "lab.hooks.ema": mark * 64})
    assert list(refused(store)) == ["hooks=ema"]
    assert refused(store)["hooks=ema"].endswith("; so for 3 codes of this change.")
    assert aside(store) == {}
    assert store.report().tried == 3


def test_superseded_arms_of_one_line_are_one_line_with_the_count(store: Store):
    store.baseline(3)
    for mark in "6789":
        store.run("hooks=ema", 0, status="unfinished", code={**CODE, "lab.hooks.ema": mark * 64})
    assert [(item.label, item.why.endswith(" (3 arms of it)")) for item in store.section().lineup.asides] == [("hooks=ema", True)]


def test_a_new_module_that_the_baseline_lacks_is_no_other_code(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, code={**CODE, "lab.hooks.ema": "9" * 64})
    assert store.verdict("hooks=ema").word == "better"


def test_of_several_codes_of_a_label_the_newest_comparable_is_judged(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, +0.05, code={**CODE, "lab.hooks.ema": "8" * 64})
    store.shifted("hooks=ema", 3, -0.05, code={**CODE, "lab.hooks.ema": "9" * 64})
    store.shifted("hooks=ema", 3, +0.05, code=EDITED)
    assert store.verdict("hooks=ema").word == "better"
    assert store.report().tried == 3
    assert list(aside(store)) == ["hooks=ema"]
    assert list(refused(store)) == [f"hooks=ema ({digest('hooks=ema', EDITED)[:6]})"]


def test_the_newest_requested_baseline_is_the_reference(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    store.baseline(3, code=EDITED)
    assert list(refused(store)) == ["hooks=ema"]
    assert "older code of the baseline" in aside(store)["baseline"]


def test_another_change_asked_for_as_the_baseline_never_replaces_it(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    store.shifted("baseline", 3, -0.5, arm_id="b" * 64, change_id="2" * 64)
    assert store.verdict("hooks=ema").word == "better"
    assert aside(store) == {"baseline (bbbbbb)": "asked for as the baseline, but its factors differ"}
    assert store.section().lineup.tried == 1


def test_newer_code_of_the_first_baseline_is_the_reference_beside_an_impostor(store: Store):
    store.baseline(3)
    store.shifted("baseline", 3, -0.5, arm_id="b" * 64, change_id="2" * 64)
    store.baseline(3, code=EDITED)
    store.shifted("hooks=ema", 3, -0.05, code=EDITED)
    assert store.verdict("hooks=ema").word == "better"
    assert sorted(aside(store)) == ["baseline", "baseline (bbbbbb)"]


def test_an_arm_that_was_also_asked_for_as_the_baseline_stays_an_arm_and_counts(store: Store):
    store.baseline(3)
    for folder in store.shifted("hooks=worse", 3, +0.05):
        store.ask(folder, "baseline", study="later")
    verdict = store.verdict("hooks=worse")
    assert (verdict.word, verdict.family, verdict.evidence.arm.study) == ("worse", 1, "norms")
    assert [why for label, why in aside(store).items() if label.startswith("baseline (")] == [
        "asked for as the baseline, but its factors differ"
    ]


def test_the_baseline_on_another_text_is_the_reference_there(store: Store):
    store.baseline(3)
    store.baseline(3, cohort="d" * 64, change_id="2" * 64)
    store.shifted("hooks=ema", 3, -0.05, cohort="d" * 64)
    assert store.verdict("hooks=ema").word == "better"
    assert aside(store) == {}


def test_an_impostor_that_comes_first_in_a_new_cohort_is_not_the_reference(store: Store):
    store.baseline(3)
    store.shifted("baseline", 3, +0.5, arm_id="b" * 64, change_id="2" * 64, cohort="d" * 64)
    store.baseline(3, cohort="d" * 64)
    store.shifted("hooks=ema", 3, +0.05, cohort="d" * 64)
    assert store.verdict("hooks=ema").word == "worse"
    assert list(aside(store)) == ["baseline (bbbbbb)"]


def test_runs_of_another_cohort_are_never_mixed_in(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 2, -0.05)
    store.run("hooks=ema", 2, 1.0, cohort="d" * 64)
    store.shifted("hooks=z_loss", 3, 0.0)
    assert store.verdict("hooks=ema").word == "before the first look"
    assert [(section.cohort, section.runs) for section in store.report().sections] == [("c" * 64, 8), ("d" * 64, 1)]


def test_the_cohort_with_most_pairs_comes_first_and_of_equals_the_newest(store: Store):
    for cohort in ("c" * 64, "d" * 64):
        store.baseline(3, cohort=cohort)
        store.shifted("hooks=ema", 3, -0.05, cohort=cohort)
    assert store.section().lineup.cohort == "d" * 64
    store.shifted("hooks=z_loss", 1, -0.05, cohort="c" * 64)
    assert [section.cohort for section in store.report().sections] == ["c" * 64, "d" * 64]


def test_requests_under_another_lock_are_counted_and_not_judged(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, lock="2" * 64)
    report = store.report()
    assert (report.sections[0].verdicts, report.other_locks) == ((), {"2" * 64: 3})


def test_a_run_of_another_baselines_folder_counts_for_whom_it_was_asked(store: Store):
    store.name = "other"
    store.pin()
    folders = store.baseline(3)
    store.name = "demo"
    store.pin()
    for folder in folders:
        store.ask(folder, "baseline")
    store.shifted("hooks=ema", 3, -0.05)
    assert store.verdict("hooks=ema").word == "better"


def test_arms_without_data_count_in_the_family(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    store.run("hooks=planned", 0, status="unfinished")
    torn = store.run("hooks=torn", 0)
    (torn / "manifest.json").write_text('{"schema": 1, "iden')
    report = store.report()
    assert store.verdict("hooks=ema").family == 3
    assert report.tried == 3
    assert report.unread == (Aside("hooks=torn", "none of its runs could be read"),)


def test_one_identity_trained_twice_counts_once(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    store.run("hooks=ema", 0, BASE[0] - 0.0489, suffix=".2")
    report = store.section()
    assert report.verdicts[0].evidence.arm.surplus == ()
    assert len(report.verdicts[0].evidence.pairs) == 3


def test_twins_with_unequal_weights_are_named(store: Store):
    store.baseline(3)
    store.run("baseline", 0, BASE[0], suffix=".2", weights=digest("another"))
    assert len(store.section().unequal) == 1


def test_a_finished_twin_stands_in_for_an_unfinished_one(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 2, -0.05)
    store.run("hooks=ema", 2, status="unfinished")
    store.run("hooks=ema", 2, BASE[2] - 0.051, suffix=".2")
    assert store.verdict("hooks=ema").word == "better"


@pytest.mark.parametrize("order", [range(3), reversed(range(3))])
def test_requests_are_ordered_by_number_and_never_by_place_or_time(store: Store, order):
    store.baseline(3)
    for number, arm in enumerate(order):
        store.shifted("change=wide", 3, -0.05, arm_id=f"{arm}" * 64, number=100 + number)
        newest = f"{arm}" * 64
    assert store.verdict("change=wide").evidence.arm.arm_id == newest
