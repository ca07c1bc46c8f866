"""A section for each cohort, and what is missing in it."""

from __future__ import annotations

import shutil

import pytest

from lab.ablate.certificate import map_hash
from lab.errors import ConfigError

from .store import BASE, CODE, Store, digest

HERE, THERE = "c" * 64, "d" * 64
GPU = {"device": "cuda", "device_class": "a card", "torch": "2.13"}


def advice(store: Store, cohort: str = HERE, here: str | None = HERE) -> list[tuple[str, str]]:
    sections = {section.cohort: section for section in store.report(here=here).sections}
    return [(each.why, each.command) for each in sections[cohort].advice]


def test_each_cohort_has_a_section_and_its_arms_are_judged_inside_it(store: Store) -> None:
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    store.baseline(3, cohort=THERE, made_on=GPU)
    store.shifted("hooks=ema", 3, +0.05, cohort=THERE, made_on=GPU)
    sections = store.report(here=HERE).sections
    assert [(section.cohort, [verdict.word for verdict in section.verdicts]) for section in sections] == [
        (HERE, ["better"]),
        (THERE, ["worse"]),
    ]
    assert [section.title for section in sections] == ["cpu, x86_64, torch 2.13", "cuda, a card, torch 2.13"]
    assert (sections[0].apart, sections[1].apart) == ("", "device cpu -> cuda, device_class x86_64 -> a card")


def test_an_arm_of_another_cohort_never_enters_a_number_of_this_one(store: Store) -> None:
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    before = store.verdict("hooks=ema")
    store.baseline(12, cohort=THERE)
    for label in ("hooks=ema", "hooks=z_loss"):
        store.shifted(label, 12, +0.5, cohort=THERE, study="elsewhere")
    after = next(section for section in store.report(here=HERE).sections if section.here).verdicts
    assert [verdict.evidence.estimate for verdict in after] == [before.evidence.estimate]


def test_this_machines_cohort_comes_first_however_few_its_pairs(store: Store) -> None:
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    store.baseline(1, cohort=THERE)
    assert [(section.cohort, section.here) for section in store.report(here=THERE).sections] == [(THERE, True), (HERE, False)]
    assert [(section.cohort, section.here) for section in store.report().sections] == [(HERE, False), (THERE, False)]


def test_a_cohort_that_holds_nothing_here_is_told_with_the_command_that_fills_it(store: Store) -> None:
    store.baseline(3)
    report = store.report(here="e" * 64)
    assert [section.here for section in report.sections] == [False]
    assert [each.why for each in report.advice] == [
        "This machine's own cohort (eeeeeeee) holds no runs yet. To train arms beside the baseline, for example:"
    ]


def test_a_cohort_with_the_baseline_alone_says_how_to_train_arms_and_on_which_machine(store: Store) -> None:
    store.baseline(3)
    store.baseline(1, cohort=THERE, made_on=GPU)
    assert [why for why, _ in advice(store)] == ["Nothing to judge yet. To train arms beside the baseline, for example:"]
    assert advice(store, THERE)[0][0].startswith("Nothing to judge yet. To train arms beside the baseline on cuda, a card, torch 2.13 (")


def test_a_store_without_runs_has_no_section_and_says_what_to_type(store: Store) -> None:
    report = store.report()
    assert (report.sections, report.runs_read, report.tried) == ((), 0, 0)
    assert [each.command for each in report.advice] == ["python run.py --multirun baseline=demo hooks=none,grad_clip seed=0,1,2"]


def test_this_machines_cohort_is_not_asked_for_where_there_are_no_runs(store: Store) -> None:
    """To tell it, the text is read and prepared: that takes its time, and nothing would come of it."""
    asked: list[str] = []
    from lab.results.report import build

    assert build(store.root, store.name, here=lambda known: asked.append("here") or HERE).sections == ()
    assert asked == []


def test_one_cohort_can_be_asked_for_by_the_head_of_its_id(store: Store) -> None:
    store.baseline(3)
    store.baseline(2, cohort=THERE)
    report = store.report(cohort="DDDDDDDD")
    assert [(section.cohort, section.runs, section.apart) for section in report.sections] == [(THERE, 2, "")]
    assert report.others == ("cohort cccccccc (cpu, x86_64, torch 2.13): 3 runs, never mixed with this one",)


@pytest.mark.parametrize("word", ["ddddd", "eeeeee", "", "zzzzzz", "../etc", "[bold]\x1b[31m"])
def test_a_cohort_that_fits_none_is_answered_with_those_that_there_are(store: Store, word: str) -> None:
    store.baseline(3)
    store.baseline(2, cohort=THERE, made_on=GPU)
    with pytest.raises(ConfigError) as raised:
        store.report(cohort=word)
    assert "cccccccccccc  cpu, x86_64, torch 2.13 (3 runs)\n  dddddddddddd  cuda, a card, torch 2.13 (2 runs)" in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_two_cohorts_that_one_head_fits_are_not_guessed_between(store: Store) -> None:
    for last in "12":
        store.baseline(1, cohort="a" * 63 + last)
    with pytest.raises(ConfigError, match="2 cohorts of baseline `demo` fit --cohort aaaaaa"):
        store.report(cohort="aaaaaa")
    assert store.report(cohort="a" * 63 + "1").sections[0].runs == 1


def test_two_cohorts_of_one_name_are_told_apart_in_their_titles(store: Store) -> None:
    store.baseline(1)
    store.baseline(1, cohort=THERE, made_on={"text": "another"})
    assert sorted(section.title for section in store.report().sections) == [
        "cpu, x86_64, torch 2.13 (cccccccc)",
        "cpu, x86_64, torch 2.13 (dddddddd)",
    ]


def test_each_cohort_freezes_its_own_d(store: Store) -> None:
    store.pin(smallest_effect="auto")
    store.baseline(3, half=2.40, final=2.15)
    store.baseline(3, half=2.65, final=2.15, cohort=THERE)
    assert {section.cohort: section.effect.value for section in store.report().sections} == pytest.approx({HERE: 0.005, THERE: 0.010})


def test_the_family_counts_the_arms_of_every_cohort(store: Store) -> None:
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    store.baseline(3, cohort=THERE)
    store.shifted("hooks=z_loss", 3, -0.05, cohort=THERE)
    assert [[verdict.family for verdict in section.verdicts] for section in store.report().sections] == [[2], [2]]


def test_missing_baseline_runs_come_with_the_command_that_makes_them(store: Store) -> None:
    folders = store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    store.shifted("hooks=z_loss", 2, -0.05)
    assert advice(store) == []
    for folder in folders[1:]:
        shutil.rmtree(folder)
    assert advice(store) == [
        (
            "2 baseline runs are missing (seeds 1, 2), and 2 arms wait for them. To make them:",
            "python run.py --multirun baseline=demo seed=1,2",
        )
    ]


@pytest.mark.parametrize("status", ["failed", "unfinished"])
def test_a_baseline_run_without_an_outcome_is_asked_for_again(store: Store, status: str) -> None:
    store.baseline(2)
    store.run("baseline", 2, status=status)
    store.shifted("hooks=ema", 3, -0.05)
    assert advice(store) == [
        (f"1 baseline run is {status} (seed 2), and 1 arm waits for it. To make it:", "python run.py baseline=demo seed=2")
    ]


def test_a_baseline_seed_for_which_no_arm_waits_is_not_asked_for(store: Store) -> None:
    store.baseline(1)
    store.run("hooks=ema", 0, BASE[0] - 0.05)
    store.run("hooks=ema", 1, status="unfinished")
    store.run("hooks=ema", 77, 2.0)  # outside the pinned seeds
    assert advice(store) == []


def test_arms_without_any_baseline_run_name_all_of_them(store: Store) -> None:
    store.shifted("hooks=ema", 3, -0.05)
    assert [command for _, command in advice(store)] == ["python run.py --multirun baseline=demo seed=0,1,2"]
    assert [verdict.word for verdict in store.section().verdicts] == ["before the first look"]


def test_a_diverged_baseline_run_is_an_outcome_and_not_missing(store: Store) -> None:
    store.baseline(2)
    store.run("baseline", 2, None, status="diverged")
    store.shifted("hooks=ema", 3, -0.05)
    assert advice(store) == []


def test_the_missing_half_in_another_cohort_says_on_which_machine(store: Store) -> None:
    store.baseline(3)
    store.shifted(
        "hooks=ema", 2, -0.05, cohort=THERE, made_on=GPU, command="python run.py --multirun hooks=none,ema device=cuda 'seed=range(2)'"
    )
    assert advice(store, THERE) == [
        (
            "2 baseline runs are missing (seeds 0, 1), and 1 arm waits for them. "
            "To make them on cuda, a card, torch 2.13 (device cpu -> cuda, device_class x86_64 -> a card):",
            "python run.py --multirun baseline=demo device=cuda seed=0,1",
        )
    ]


def test_the_command_keeps_where_the_text_lies(store: Store) -> None:
    store.run("hooks=ema", 0, 2.0, command="python run.py hooks=ema 'data.path=/my texts/a.txt' note='one two'")
    assert [command for _, command in advice(store)] == ["python run.py baseline=demo 'data.path=/my texts/a.txt' seed=0"]


@pytest.mark.parametrize("command", ["python run.py 'cut", "", "\x1b[31mdevice=x"])
def test_a_command_that_is_not_as_the_runner_writes_it_adds_nothing(store: Store, command: str) -> None:
    store.run("hooks=ema", 0, 2.0, command=command)
    assert [told for _, told in advice(store)] == ["python run.py baseline=demo seed=0"]


def test_twins_are_told_in_the_section_of_their_cohort_alone(store: Store) -> None:
    for cohort in (HERE, THERE):
        store.baseline(3, cohort=cohort)
    store.run("baseline", 0, BASE[0], suffix=".2", weights=digest("another"))
    assert {section.cohort: len(section.unequal) for section in store.report().sections} == {HERE: 1, THERE: 0}


def test_a_certificate_of_one_cohort_excuses_nothing_in_another(store: Store) -> None:
    edited = {**CODE, "lab.model.gpt": "0" * 64}
    for cohort in (HERE, THERE):
        store.baseline(3, cohort=cohort)
        store.shifted("hooks=ema", 3, -0.05, code=edited, cohort=cohort)
    store.certificate(CODE, edited)
    sections = {section.cohort: section for section in store.report().sections}
    assert {cohort: section.verdicts[0].word for cohort, section in sections.items()} == {HERE: "better", THERE: "refused"}
    assert [map_hash(each) for each in sections[THERE].lineup.reference.maps] == [map_hash(CODE)]  # type: ignore[union-attr]
