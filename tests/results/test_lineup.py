"""Who is compared with whom."""

import pytest

from lab.results.report import to_markdown

from .store import BASE, CODE, Store, digest

EDITED = {**CODE, "lab.model.gpt": "0" * 64}


def aside(store: Store) -> dict[str, str]:
    return {item.label: item.why for item in store.report().lineup.asides}


def test_an_exploring_run_is_never_judged(store: Store):
    store.baseline(3)
    store.shifted("wild", 3, -0.5, exploring=True, changes=3)
    report = store.report()
    assert report.verdicts == ()
    assert [run.label for run in report.lineup.exploring] == ["wild"] * 3
    assert report.lineup.tried == 0


def test_a_run_that_was_also_asked_for_plainly_is_judged(store: Store):
    store.baseline(3)
    for folder in store.shifted("hooks=ema", 3, -0.05, exploring=True):
        store.ask(folder, "hooks=ema")
    assert store.verdict("hooks=ema").word == "better"


def test_several_changes_are_never_judged_whoever_let_them_through(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema model=wide", 3, -0.05, changes=2)
    assert store.report().verdicts == ()


def test_one_arm_under_two_labels_is_pooled(store: Store):
    store.baseline(3)
    for seed in range(3):
        store.run(["hooks=ema", "hooks.ema=new"][seed % 2], seed, BASE[seed] - 0.05 + seed / 1000, arm_id="a" * 64, change_id="1" * 64)
    report = store.report()
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
    assert [verdict.label for verdict in store.report().verdicts] == ["hooks.ema=new"]
    assert "superseded" in aside(store)["hooks=ema"]


def two_changes_of_one_label(store: Store) -> None:
    store.baseline(3)
    store.shifted("change=wide", 3, +0.05, arm_id="a" * 64, change_id="1" * 64)
    store.arm("change=wide", [2.0, None], arm_id="b" * 64, change_id="2" * 64)
    store.run("change=wide", 2, status="failed", arm_id="b" * 64, change_id="2" * 64)


def test_two_changes_of_one_label_are_both_judged_and_told_apart_everywhere(store: Store):
    two_changes_of_one_label(store)
    report = store.report()
    assert [(verdict.label, verdict.family) for verdict in report.verdicts] == [("change=wide (aaaaaa)", 2), ("change=wide (bbbbbb)", 2)]
    assert report.verdicts[0].word == "worse"
    assert report.lineup.asides == ()
    page = to_markdown(report)
    assert "| change=wide (aaaaaa) | 3 |" in page
    assert "- change=wide (bbbbbb): before the first look." in page
    assert "- change=wide (bbbbbb) seed 1: step 40" in page
    assert "- change=wide (bbbbbb) seed 2: no space left" in page


def test_a_change_that_is_set_aside_is_told_apart_too(store: Store):
    store.baseline(3)
    store.shifted("change=wide", 3, -0.05, arm_id="a" * 64, change_id="1" * 64)
    store.shifted("change=wide", 3, -0.05, arm_id="b" * 64, change_id="2" * 64, code=EDITED)
    assert [verdict.label for verdict in store.report().verdicts] == ["change=wide (aaaaaa)"]
    assert list(aside(store)) == ["change=wide (bbbbbb)"]


def test_the_same_label_on_another_text_needs_no_telling_apart(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    store.shifted("hooks=ema", 3, -0.05, arm_id="b" * 64, change_id="2" * 64, cohort="d" * 64)
    assert store.verdict("hooks=ema").word == "better"


def test_an_arm_under_other_code_is_listed_and_not_compared(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, code=EDITED)
    assert store.report().verdicts == ()
    assert aside(store)["hooks=ema"] == (
        "other code, not compared: lab.model.gpt differs from the baseline's, and no certificate excuses that "
        "(python -m lab certify --baseline demo replays the baseline under today's code)"
    )
    assert store.report().lineup.tried == 1


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
    assert store.report().lineup.tried == 3
    assert len(store.report().lineup.asides) == 2


def test_the_newest_requested_baseline_is_the_reference(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    store.baseline(3, code=EDITED)
    assert store.report().verdicts == ()
    assert "older code of the baseline" in aside(store)["baseline"]


def test_another_change_asked_for_as_the_baseline_never_replaces_it(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    store.shifted("baseline", 3, -0.5, arm_id="b" * 64, change_id="2" * 64)
    assert store.verdict("hooks=ema").word == "better"
    assert aside(store) == {"baseline (bbbbbb)": "asked for as the baseline, but its factors differ"}
    assert store.report().lineup.tried == 1


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
    assert dict(store.report().lineup.other_cohorts) == {"d" * 64: 1}


def test_the_cohort_with_most_pairs_is_judged_and_of_equals_the_newest(store: Store):
    for cohort in ("c" * 64, "d" * 64):
        store.baseline(3, cohort=cohort)
        store.shifted("hooks=ema", 3, -0.05, cohort=cohort)
    assert store.report().lineup.cohort == "d" * 64
    store.shifted("hooks=z_loss", 1, -0.05, cohort="c" * 64)
    report = store.report()
    assert report.lineup.cohort == "c" * 64
    assert dict(report.lineup.other_cohorts) == {"d" * 64: 6}


def test_an_arm_of_another_cohort_alone_is_listed(store: Store):
    store.baseline(3)
    store.shifted("hooks=z_loss", 3, 0.0)
    store.shifted("hooks=ema", 3, -0.05, cohort="d" * 64)
    assert "other cohort" in aside(store)["hooks=ema"]


def test_requests_under_another_lock_are_counted_and_not_judged(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, lock="2" * 64)
    report = store.report()
    assert (report.verdicts, report.lineup.other_locks) == ((), {"2" * 64: 3})


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
    assert report.lineup.tried == 3
    assert aside(store)["hooks=torn"] == "none of its runs could be read"


def test_one_identity_trained_twice_counts_once(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    store.run("hooks=ema", 0, BASE[0] - 0.0489, suffix=".2")
    report = store.report()
    assert report.verdicts[0].evidence.arm.surplus == ()
    assert len(report.verdicts[0].evidence.pairs) == 3


def test_twins_with_unequal_weights_are_named(store: Store):
    store.baseline(3)
    store.run("baseline", 0, BASE[0], suffix=".2", weights=digest("another"))
    assert len(store.report().unequal) == 1


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
