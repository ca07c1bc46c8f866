"""How arms stand, asked for from a process of its own: the report's numbers, of the plan's arms in its cohort alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lab.errors import StoreError
from lab.results.forms.as_json import to_json
from lab.sweep.judged import Judging, Standing, judged, read, standings_of
from lab.sweep.plan import Plan
from tests.results.store import CODE, Store, digest
from tests.sweep.looked import COHORT, make_plan

LONGEST = 60.0  # seconds for an answer, on a machine that does other things too


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three arms at the first look, and one that has only begun."""
    store = Store(tmp_path)
    (tmp_path / "conf" / "config.yaml").write_text("")  # what makes a folder a project
    store.pin(looks=[3, 5, 8], seeds=list(range(8)))
    store.declare("norms", "worse", "noisy", "begun")
    store.baseline(5)
    store.shifted("worse", 3, 0.03)
    store.shifted("noisy", 3, 0.0, wobble=30.0)
    store.shifted("begun", 2, 0.0)
    return store


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return make_plan(tmp_path, ("worse", "noisy", "begun"))


def by_label(standings: dict[str, Standing]) -> dict[str, Standing]:
    return {each.label: each for each in standings.values()}


def test_a_process_of_its_own_tells_what_the_report_says(store: Store, plan: Plan) -> None:
    told = judged(plan, store.root)
    assert told == standings_of(json.loads(to_json(store.facts())), plan)
    assert list(told) == [digest(label, CODE) for label in ("worse", "noisy", "begun")]
    worse, noisy, begun = told.values()
    assert (worse.word, worse.decided, worse.futile, worse.over, worse.look, worse.n, worse.pairs) == ("worse", True, False, True, 3, 3, 3)
    assert (noisy.word, noisy.decided, noisy.futile, noisy.over) == ("cannot tell", False, True, True)
    assert (begun.word, begun.over, begun.look, begun.n) == ("before the first look", False, None, 2)
    verdict = store.verdict("worse")
    assert verdict.evidence.estimate is not None
    assert (worse.estimate, worse.low, worse.high) == (
        verdict.evidence.estimate.mean,
        verdict.evidence.estimate.low,
        verdict.evidence.estimate.high,
    )
    assert worse.sentence == verdict.reading
    assert (worse.study, worse.family, worse.effect, worse.looks, worse.next) == ("norms", 3, 0.005, "3, 5, 8", None)
    assert begun.next == 3
    assert worse.numbers() == "+0.0302 bits/byte (+0.0263 to +0.0340, 3 seeds)"


def test_pairs_on_the_way_to_the_next_look_are_counted_and_do_not_move_the_numbers(store: Store, plan: Plan) -> None:
    before = by_label(standings_of(json.loads(to_json(store.facts())), plan))["noisy"]
    store.arm("noisy", [2.2], seeds=[3])
    after = by_label(standings_of(json.loads(to_json(store.facts())), plan))["noisy"]
    assert (before.n, before.pairs, after.n, after.pairs, after.look) == (3, 3, 3, 4, 3)
    assert (before.estimate, before.low) == (after.estimate, after.low)


def test_an_arm_of_another_cohort_or_of_another_sweep_is_never_mixed_in(store: Store, plan: Plan) -> None:
    store.baseline(3, cohort="d" * 64)
    store.shifted("worse", 3, -0.5, cohort="d" * 64)
    store.shifted("stranger", 3, 0.1)
    told = by_label(standings_of(json.loads(to_json(store.facts())), plan))
    assert set(told) == {"worse", "noisy", "begun"}
    assert told["worse"].estimate is not None and told["worse"].estimate > 0
    elsewhere = replace(plan, rows=tuple(replace(row, cohort="d" * 64) for row in plan.rows))
    assert [(each.label, each.word) for each in standings_of(json.loads(to_json(store.facts())), elsewhere).values()] == [
        ("worse", "better")
    ]
    assert plan.cohort == COHORT


def test_what_has_no_numbers_yet_has_no_words_for_them(store: Store, plan: Plan) -> None:
    standing = by_label(standings_of(json.loads(to_json(store.facts())), plan))["begun"]
    assert replace(standing, estimate=None).numbers() == ""
    assert replace(standing, low=None, high=None, n=1, estimate=0.1234, decimals=2).numbers() == "+0.12 bits/byte (1 seed)"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((2, b"", b"no such \x1b[1mcohort\xff"), r"the verdicts can't be told: no such .*cohort.*\n.*the same command goes on"),
        ((-9, b"", b""), "it was killed by signal 9"),
        ((0, b'{"schema"', b""), "what it printed is no JSON"),
        ((0, b'{"schema": 99}', b""), "the report has schema 99"),
    ],
    ids=["refused", "killed", "cut", "another version"],
)
def test_a_question_without_an_answer_is_an_error_in_words(plan: Plan, answer: tuple[int, bytes, bytes], why: str) -> None:
    with pytest.raises(StoreError, match=why) as caught:
        read(*answer, plan)
    assert "\x1b" not in str(caught.value)


def test_before_the_first_run_there_is_no_verdict_to_ask_for(tmp_path: Path, plan: Plan) -> None:
    Store(tmp_path)
    (tmp_path / "conf" / "config.yaml").write_text("")
    with pytest.raises(StoreError, match="the verdicts can't be told"):
        judged(plan, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_verdicts_are_asked_for_ends_both_and_says_how_to_go_on(tmp_path: Path, number: int) -> None:
    """In a process of its own, at the moment in which the child is there."""
    code = (
        "import sys, lab.sweep.judged as j; from lab.errors import Interrupted\n"
        "j.command = lambda plan, root: [sys.executable, '-c', 'import os, time; print(os.getpid(), flush=True); time.sleep(60)']\n"
        "class Told(j.Child):\n"
        "    def __init__(self, words): super().__init__(words); print(self.process.pid, flush=True)\n"
        "j.Child = Told\n"
        "try: j.judged(None, None)\n"
        "except Interrupted as error: print(error); sys.exit(error.exit_status)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        child = int(asking.stdout.readline())
        asking.send_signal(number)
        began = time.monotonic()
        said = asking.stdout.read()
        assert asking.wait(LONGEST) == 130 and time.monotonic() - began < LONGEST / 2, "the answer isn't waited for"
    assert said.startswith("the sweep was stopped\ntype the same again to go on")
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def heard(judging: Judging) -> dict[str, Standing] | None:
    until = time.monotonic() + LONGEST
    while judging.asked:
        assert time.monotonic() < until, "no answer came"
        time.sleep(0.02)
        judging.answer()
    return judging.answer()


def test_neither_asking_nor_hearing_waits_and_a_second_question_is_asked_after_the_first(store: Store, plan: Plan) -> None:
    judging = Judging(plan, store.root)
    began = time.monotonic()
    assert judging.answer() is None and not judging.asked
    judging.ask()
    judging.ask()
    assert judging.answer() is None and time.monotonic() - began < 0.5, "a report takes longer than that to import pandas"
    store.arm("begun", [2.125], seeds=[2])
    answer = heard(judging)
    assert answer is not None and by_label(answer)["begun"].look == 3, "the second question is answered by what is there then"
    assert judging.error == "" and not judging.asked
    judging.close()


def test_an_answer_stays_when_the_next_question_has_none_and_closing_leaves_no_process(store: Store, plan: Plan) -> None:
    judging = Judging(plan, store.root)
    judging.ask()
    answer = heard(judging)
    assert answer is not None and len(answer) == 3
    lock = store.root / "conf" / "baseline" / "demo.lock.json"
    kept = lock.read_bytes()
    lock.write_text("{}")
    judging.ask()
    assert heard(judging) == answer and "the verdicts can't be told" in judging.error
    lock.write_bytes(kept)
    judging.ask()
    assert judging._child is not None
    process = judging._child.process
    judging.close()
    assert process.returncode is not None and judging.answer() == answer


def test_who_asks_holds_neither_torch_nor_pandas() -> None:
    code = "import lab.sweep.judged, lab.sweep.decided, sys; print(sorted({'torch', 'pandas', 'numpy', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout and "pandas" not in done.stdout and "scipy" not in done.stdout


def test_a_standing_is_plain_data(store: Store, plan: Plan) -> None:
    for each in standings_of(json.loads(to_json(store.facts())), plan).values():
        assert Standing(**json.loads(json.dumps(asdict(each), allow_nan=False))) == each
