"""Edited code in the report: joined by a certificate, an arm of its own, or set aside."""

from __future__ import annotations

from lab.ablate.certificate import map_hash
from lab.results.forms.markdown import to_markdown
from lab.results.reference import said_of_code

from .store import BASE, CODE, WOBBLE, Store, digest

EDITED = {**CODE, "lab.model.gpt": "0" * 64}
AGAIN = {**EDITED, "lab.experiment": "1" * 64}
MOVED = {"at": "step 3", "what": "the loss", "was": 5.0, "now": 5.1}


def aside(store: Store) -> dict[str, str]:
    return {item.label: item.why for item in store.section().lineup.asides}


def words(store: Store) -> list[str]:
    return [verdict.word for verdict in store.section().verdicts]


def listed(store: Store, heading: str) -> list[str]:
    page = to_markdown(store.facts())
    return page.partition(f"## {heading}\n\n")[2].partition("\n\n")[0].replace("\\", "").splitlines() if f"## {heading}" in page else []


def test_an_arm_under_code_that_a_certificate_joins_is_judged_and_the_report_says_so(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, code=EDITED)
    store.certificate(CODE, EDITED)
    assert store.verdict("hooks=ema").word == "better"
    assert listed(store, "Certificates") == [
        f"- lab.model.gpt (code {map_hash(CODE)[:8]} to {map_hash(EDITED)[:8]}): replayed, inert for the baseline at steps 0-19 and 80-99 "
        "and in the final evaluation (demo/aaaaaa/seed=0-abcdef012345, 8.1 s); hooks=ema leans on it"
    ]


def test_a_certificate_that_nothing_needs_is_said_to_carry_no_verdict(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    store.certificate(CODE, EDITED)
    assert listed(store, "Certificates")[0].endswith("; no verdict leans on it")


def test_certificates_join_over_several_steps(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, code=AGAIN | {"lab.hooks.ema": "9" * 64})
    store.certificate(CODE, EDITED)
    assert words(store) == ["refused"]
    store.certificate(EDITED, AGAIN)
    assert store.verdict("hooks=ema").word == "better"
    assert [line.endswith("; hooks=ema leans on it") for line in listed(store, "Certificates")] == [True, True]


def test_a_certificate_of_another_cohort_or_composition_joins_nothing(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, code=EDITED)
    store.certificate(CODE, EDITED, cohort="d" * 64)
    store.certificate(CODE, EDITED, change_id=digest("change", "another"))
    assert words(store) == ["refused"]
    assert listed(store, "Certificates") == []


def test_the_baselines_runs_under_joined_code_are_one_baseline(store: Store):
    store.baseline(2)
    store.run("baseline", 2, BASE[2], code=EDITED)
    store.shifted("hooks=ema", 3, -0.05)
    assert words(store) == ["refused"]
    store.certificate(CODE, EDITED)
    assert store.verdict("hooks=ema").word == "better"
    assert aside(store) == {}
    assert listed(store, "Certificates")[0].endswith("; the baseline's seeds are pooled by it: every verdict leans on it")


def test_of_two_runs_of_a_seed_under_joined_code_the_first_asked_for_stands(store: Store):
    store.baseline(3)
    store.run("baseline", 0, BASE[0] - 1, code=EDITED)
    store.shifted("hooks=ema", 3, -0.05)
    store.certificate(CODE, EDITED)
    assert store.verdict("hooks=ema").word == "better"
    assert len(listed(store, "Same arm and seed again, under other bits or joined code (not judged)")) == 1


def test_runs_that_refute_a_certificate_are_named(store: Store):
    folder = store.baseline(3)[0]
    again = store.run("baseline", 0, BASE[0], code=EDITED)
    store.certificate(CODE, EDITED)
    assert listed(store, "Trained twice, to unequal ends") == [
        f"- {' and '.join(sorted(f'demo/{each.parent.name}/{each.name}' for each in (folder, again)))}: "
        "unequal weights, unequal optimizer, although certificates join their code"
    ]


def test_the_frozen_effect_of_interest_stays_when_a_certificate_joins_code_that_was_asked_for_earlier(store: Store):
    store.pin(smallest_effect="auto")
    store.baseline(3)
    frozen = store.section().effect
    store.run("baseline", 0, BASE[0], code=EDITED, half=9.0, number=0)
    store.certificate(CODE, EDITED)
    after = store.section()
    assert after.lineup.baseline is not None
    assert len(after.lineup.baseline.pooled) == 2
    assert after.effect == frozen


def test_a_damaged_certificate_is_left_out_by_name_and_joins_nothing(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, code=EDITED)
    path = store.certificate(CODE, EDITED)
    path.write_text(path.read_text().replace('"seconds": 8.13', '"seconds": 8.14'))
    report = store.report()
    assert words(store) == ["refused"]
    assert [(item.name, "edited or damaged" in item.why) for item in report.left_out] == [(f"demo/certificates/{path.name}", True)]


def test_code_that_a_replay_found_to_matter_is_refused_with_what_moved(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, code=EDITED | {"lab.hooks.ema": "9" * 64})
    store.certificate(CODE, EDITED, MOVED)
    assert words(store) == ["refused"]
    assert store.verdict("hooks=ema").reading == (
        "hooks=ema: refused. Its code isn't the baseline's: lab.model.gpt differs; "
        "a replay of the baseline found that it matters: the first difference is at step 3: the loss."
    )
    assert "replayed, a change: the first difference is at step 3: the loss" in listed(store, "Certificates")[0]


def test_an_edit_of_the_code_is_an_arm_whatever_its_code(store: Store):
    store.baseline(3)
    label = store.edit(EDITED, 3)
    store.certificate(CODE, EDITED, MOVED)
    verdict = store.verdict(label)
    assert (verdict.word, verdict.family) == ("better", 1)
    assert aside(store) == {}
    assert listed(store, "Pairing with the baseline") == [
        f"- {label}: not counted: its change is the code, and there was no run of this seed under the baseline's"
    ]


def test_two_edits_of_the_code_are_two_arms(store: Store):
    store.baseline(3)
    labels = [store.edit(EDITED, 3), store.edit(AGAIN, 3, +0.05)]
    assert [(verdict.label, verdict.word, verdict.family) for verdict in store.section().verdicts] == [
        (labels[0], "better", 2),
        (labels[1], "worse", 2),
    ]


def test_edits_in_two_studies_are_two_families(store: Store):
    store.baseline(3)
    labels = [store.edit(EDITED, 3, study="first"), store.edit(AGAIN, 3, study="second")]
    assert [(store.verdict(label).evidence.arm.study, store.verdict(label).family) for label in labels] == [("first", 1), ("second", 1)]


def test_an_edit_that_is_the_baseline_of_another_cohort_is_still_an_arm_here(store: Store):
    store.baseline(3)
    label = store.edit(EDITED, 3, arm_id="b" * 64)
    store.baseline(1, code=EDITED, arm_id="b" * 64, cohort="d" * 64)
    assert store.verdict(label).word == "better"
    assert store.verdict(label).family == 1


def test_an_edit_that_moves_the_configuration_too_is_no_edit_of_the_code(store: Store):
    store.baseline(3)
    label = store.edit(EDITED, 3, change_id="5" * 64)
    assert words(store) == ["refused"]
    assert "It was asked for as an edit of the code alone, but its factors differ from the baseline's" in store.verdict(label).reading


def test_an_edit_that_was_later_certified_and_asked_for_plainly_is_not_compared_with_itself(store: Store):
    store.baseline(2)
    label = store.edit(EDITED, 4)
    for folder in (store.root / "runs/demo").glob("*/seed=2-*"):
        store.ask(folder, "baseline")
    store.certificate(CODE, EDITED)
    report = store.section()
    assert report.lineup.baseline is not None
    assert sorted(report.lineup.baseline.runs) == [0, 1, 2]
    assert [(verdict.label, len(verdict.evidence.pairs)) for verdict in report.verdicts] == [(label, 2)]
    assert aside(store) == {}


def test_an_edit_that_was_once_the_baseline_is_an_arm_and_no_older_baseline(store: Store):
    label = store.edit(EDITED, 3)
    for folder in (store.root / "runs/demo").glob("*/seed=*"):
        store.ask(folder, "baseline")
    store.baseline(3)
    assert store.verdict(label).word == "better"
    assert aside(store) == {}


def test_an_edit_leans_on_no_certificate(store: Store):
    store.baseline(3)
    store.edit(EDITED, 3)
    store.certificate(CODE, EDITED)
    assert listed(store, "Certificates")[0].endswith("; no verdict leans on it")


def test_of_one_change_under_several_joined_codes_the_newest_is_judged_and_each_counts(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, +0.05)
    store.shifted("hooks=ema", 3, -0.05, code=EDITED)
    store.certificate(CODE, EDITED)
    verdict = store.verdict("hooks=ema")
    assert (verdict.word, verdict.family) == ("better", 2)
    assert "superseded" in aside(store)["hooks=ema"]


def test_older_code_of_the_baseline_is_told_with_the_way_out(store: Store):
    store.baseline(3)
    store.baseline(3, code=EDITED)
    assert aside(store)["baseline"] == (
        "older code of the baseline, not compared (3 runs): no certificate joins it with the newest "
        "(python -m lab certify --baseline demo replays the baseline under today's code)"
    )


def test_what_replays_found_on_a_runs_code_is_told_for_it_alone(store: Store):
    runs, about = store.root / "runs", {"baseline": "demo", "cohort": "c" * 64}
    store.certificate(CODE, EDITED)
    path = store.certificate(EDITED, AGAIN, MOVED)
    assert [line[:14] for line in said_of_code(runs, about | {"code": CODE})] == ["lab.model.gpt "]
    assert len(said_of_code(runs, about | {"code": EDITED | {"lab.hooks.ema": "9" * 64}})) == 2
    assert said_of_code(runs, about | {"code": {"lab.other": "7" * 64}}) == []
    assert said_of_code(runs, about | {"code": CODE, "cohort": "d" * 64}) == []
    path.write_text("{")
    assert "can't be used" in said_of_code(runs, about | {"code": {}})[0]


def test_uncertified_code_slips_into_no_verdict(store: Store, cases):
    """Each map that moves one module, or two, against a store whose certificate excuses another edit."""
    store.baseline(3)
    store.certificate(CODE, {**CODE, "lab.experiment": "5" * 64})
    codes = [{**CODE, **dict.fromkeys(moved, mark * 64)} for mark in "123" for moved in ((*CODE,), *((each,) for each in CODE))]
    for number, code in enumerate(codes):
        values = [base - 0.05 + noise for base, noise in zip(BASE, WOBBLE, strict=True)][:3]
        store.arm(f"hooks=h{number}", values, code=code)
    judged = {verdict.label for verdict in store.section().verdicts if verdict.word != "refused"}
    count, naive = cases("uncertified code in a report"), cases("uncertified code in a report")
    for number, code in enumerate(codes):
        count.check(f"code {number}", f"hooks=h{number}" not in judged)
        naive.check(f"code {number}", code.keys() != CODE.keys())  # who compares the names of modules alone
    count.all_good(at_least=9)
    naive.some_bad()
