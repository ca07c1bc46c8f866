"""Until decided: seeds look by look, for the arms that need them. Runs are written, not trained; the verdicts are the report's own."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lab.errors import ConfigError, Interrupted, MachineError, StoreError
from lab.results.reading import Verdict
from lab.results.smallest_effect import SmallestEffect
from lab.results.statistics import Floats
from lab.results.verdict import judge
from lab.sweep.decided import require_decidable, until_decided
from lab.sweep.judged import Standing
from lab.sweep.looks import Looks, is_over, judged_looks, looks_of, planned_looks, same_rules
from lab.sweep.plan import Plan, Row
from lab.sweep.watcher import Failed
from tests.figures import Figures
from tests.results import simulated
from tests.results.in_memory import BASELINE, arm, lineup
from tests.results.store import BASE, CODE, WOBBLE, Store, digest
from tests.sweep.looked import ARMS, LOOKS, Sweep, make_plan

LATE = {"looks": [8, 12], "seeds": list(range(12))}


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(Store(tmp_path))


def test_only_an_arm_that_is_undecided_gets_the_seeds_of_the_next_look(sweep: Sweep) -> None:
    assert sweep.go() == []
    counts = {label: len(sweep.seeds(label)) for label in ("baseline", *ARMS)}
    assert counts == {"baseline": 8, "worse": 3, "noisy": 3, "slow": 8, "equal": 3}
    assert [sweep.seeds(label) for label in counts] == [list(range(count)) for count in counts.values()]
    assert sweep.asked == 3, "the verdicts are asked for once at each look"
    words = {label: sweep.store.verdict(label).word for label in ARMS}
    assert words == {"worse": "worse", "noisy": "cannot tell", "slow": "no difference", "equal": "no difference"}


def test_each_look_says_who_goes_no_further_with_its_numbers(sweep: Sweep) -> None:
    sweep.go()
    assert [line for line in sweep.said if line.startswith("look")] == [
        "look 1 of 3, 3 seeds: 2 decided, 1 hopeless, 1 open",
        "look 2 of 3, 5 seeds: 0 decided, 1 open",
        "look 3 of 3, 8 seeds: 1 decided",
    ]
    told = {line.split(":")[0].strip(): line for line in sweep.said if line.startswith("  ")}
    assert set(told) == set(ARMS)
    for label, line in told.items():
        verdict = sweep.store.verdict(label)
        assert verdict.evidence.estimate is not None and verdict.word in line
        assert f"{verdict.evidence.estimate.mean:+.3f}"[:5] in line and f"({verdict.evidence.look} seeds)"[1:] in line
    assert "stopped: even 8 seeds would settle it with a chance of" in told["noisy"]


def test_the_end_says_what_was_saved_in_runs_and_in_time(sweep: Sweep) -> None:
    sweep.go()
    spared = len(sweep.plan.rows) - len(sweep.trained)
    assert spared == 15
    assert sweep.said[-1] == "saved against training all arms to the last look (8 seeds): 15 of 40 runs, about 15:00 min of training"


def test_what_was_there_before_or_goes_to_the_last_look_saves_nothing(tmp_path: Path) -> None:
    sweep = Sweep(Store(tmp_path), arms={"slow": ARMS["slow"]})
    sweep.go()
    assert sweep.said[-1] == "nothing was saved against training all arms to the last look (8 seeds)"
    other = Sweep(Store(tmp_path / "other"), arms={"worse": ARMS["worse"]})
    other.plan = replace(other.plan, rows=tuple(replace(row, status="finished") for row in other.plan.rows))
    other.go()
    assert len(other.trained) < len(other.plan.rows) and other.said[-1].startswith("nothing was saved")


def test_a_sweep_that_is_killed_after_some_of_its_runs_trains_the_same_ones_in_the_end(tmp_path: Path) -> None:
    """Before a look, at its end, between two of them, and just before the last one."""
    whole = Sweep(Store(tmp_path / "whole"))
    whole.go()
    for runs in (1, 15, 17, 24):
        cut = Sweep(Store(tmp_path / f"after{runs}"))
        with pytest.raises(Interrupted):
            cut.go(killed_after=runs)
        assert len(cut.trained) == runs
        cut.go()
        assert cut.trained == whole.trained, f"killed after {runs}"
        assert cut.said[-1] == whole.said[-1]


def test_a_sweep_that_is_over_asks_once_whether_its_rules_still_hold_and_trains_nothing(sweep: Sweep) -> None:
    sweep.go()
    said, sweep.said = sweep.said, []
    sweep.go()
    assert (sweep.said, sweep.asked, len(sweep.trained)) == (said, 4, 25)


def test_a_sweep_counts_as_over_when_nothing_is_left_to_do_and_never_before(sweep: Sweep) -> None:
    def over() -> bool:
        return is_over(sweep.folder, sweep.plan.id)

    assert not over()
    with pytest.raises(Interrupted):
        sweep.go(killed_after=16)
    assert not over(), "cut off in its second look"
    sweep.fails = {("slow", 4)}
    sweep.go()
    assert not over(), "an arm is held"
    sweep.fails = set()
    sweep.go()
    assert over() and len(sweep.trained) < len(sweep.plan.rows)
    assert not is_over(sweep.folder, "ffffffff"), "another plan's"
    (sweep.folder / "looks.json").write_text("{}")
    assert not over()


def test_a_signal_between_two_looks_stops_the_sweep_and_the_look_stands(sweep: Sweep) -> None:
    def ask(plan: Plan, root: Path) -> dict[str, Standing]:
        os.kill(os.getpid(), number)
        return sweep.judge(plan, root)

    sweep.ask = ask
    for number, look in ((signal.SIGTERM, 1), (signal.SIGINT, 2)):
        before = signal.getsignal(number)
        with pytest.raises(Interrupted, match="the sweep was stopped\ntype the same again to go on"):
            sweep.go()
        assert signal.getsignal(number) is before and len(sweep.trained) == 15, "nothing of the second look was begun"
        assert len(json.loads((sweep.folder / "looks.json").read_text())["looks"]) == 1, f"look {look}"
    sweep.ask = None
    sweep.go()
    assert len(sweep.trained) == 25


def test_a_look_is_judged_anew_when_the_family_that_it_was_judged_over_has_grown(tmp_path: Path) -> None:
    sweep = Sweep(Store(tmp_path), arms={"near": (0.004, 1.6), "slow": (0.0, 3)})
    sweep.go()
    assert sweep.seeds("near") == list(range(5)) and sweep.store.verdict("near").word == "worse"
    sweep.store.declare("norms", *sweep.arms, *(f"later{number}" for number in range(12)))
    assert sweep.store.verdict("near").word == "cannot tell"
    sweep.said.clear()
    sweep.go()
    assert sweep.said[0] == "judged anew, since the arms of its study, its looks or D moved: near, slow"
    assert sweep.seeds("near") == list(range(8))


@pytest.mark.parametrize("moved", [{"family": 9}, {"looks": "3, 8"}, {"effect": 0.1}, {"study": "other"}])
def test_what_was_said_holds_only_under_the_rules_that_it_was_said_by(sweep: Sweep, moved: dict[str, object]) -> None:
    sweep.go()
    worse = digest("worse", CODE)
    kept = Looks(sweep.folder, sweep.plan, sweep.said.append)
    now = sweep.judge(sweep.plan, sweep.root)
    assert kept.forget(now) == [] and kept.knows(3, [worse])
    assert kept.forget(now | {worse: replace(now[worse], **moved)}) == [worse]  # type: ignore[arg-type]
    assert not kept.knows(3, [worse]) and kept.knows(3, [digest("slow", CODE)])
    again = Looks(sweep.folder, sweep.plan, sweep.said.append)
    assert not again.knows(3, [worse]) and not is_over(sweep.folder, sweep.plan.id)
    assert again.forget({}) == [digest(label, CODE) for label in ARMS if label != "worse"] and not again


def test_a_report_that_cannot_be_made_takes_back_nothing(sweep: Sweep) -> None:
    def dead(plan: Plan, root: Path) -> dict[str, Standing]:
        raise StoreError("killed")

    sweep.go()
    sweep.ask = dead
    said, sweep.said = sweep.said, []
    sweep.go()
    assert sweep.said == said and len(sweep.trained) == 25


def test_a_d_that_was_not_known_yet_takes_back_nothing(sweep: Sweep) -> None:
    each = sweep_standing(sweep)
    assert same_rules(replace(each, effect=None), each) and not same_rules(each, replace(each, effect=None))


def sweep_standing(sweep: Sweep) -> Standing:
    sweep.go()
    return sweep.judge(sweep.plan, sweep.root)[digest("slow", CODE)]


def test_what_was_said_at_a_look_is_never_overwritten(sweep: Sweep) -> None:
    said = sweep_standing(sweep)
    kept = Looks(sweep.folder.parent / "fresh", sweep.plan, sweep.said.append)
    kept.add(3, {"a": replace(said, stop="")})
    kept.close(over=True)
    kept.add(3, {"a": said, "b": said})
    assert not is_over(sweep.folder.parent / "fresh", sweep.plan.id), "what is said anew opens the sweep again"
    for looks in (kept, Looks(sweep.folder.parent / "fresh", sweep.plan, sweep.said.append)):
        assert (looks.at(3)["a"].stop, looks.at(3)["b"].stop) == ("", said.stop) and said.stop


def test_an_arm_whose_pairs_were_not_all_counted_is_judged_anew_when_they_are(sweep: Sweep) -> None:
    sweep.ask = lambda plan, root: {key: replace(each, pairs=2) for key, each in sweep.judge(plan, root).items()}
    sweep.go()
    assert sweep.seeds("slow") == [0, 1, 2]
    sweep.ask = None
    assert sweep.go() == []
    assert sweep.seeds("slow") == list(range(8))


def test_the_pins_own_seeds_are_taken_in_its_own_order(tmp_path: Path) -> None:
    order = [7, 3, 9, 0, 11, 2, 5, 1]
    sweep = Sweep(Store(tmp_path), arms={"worse": ARMS["worse"], "slow": ARMS["slow"]})
    sweep.store.pin(looks=list(LOOKS), seeds=order)
    sweep.store.declare("norms", *sweep.arms)
    sweep.plan = make_plan(tmp_path, tuple(sweep.arms), seeds=order, pinned=order)
    sweep.go()
    assert {label: sweep.seeds(label) for label in sweep.arms} == {"worse": [3, 7, 9], "slow": sorted(order)}
    assert [seed for label, seed in sweep.trained if label == "baseline"] == order


def test_an_arm_that_is_open_after_the_last_look_is_named_with_the_look_that_follows(tmp_path: Path) -> None:
    """One that another study asked for first is judged by the looks of that."""
    sweep = Sweep(Store(tmp_path), arms={"early": (0.002, 4.0)})
    order = list(range(12))
    sweep.store.pin(looks=list(LOOKS), seeds=order)
    sweep.store.declare("old", "early", by_hand=True, looks=(4, 12))
    sweep.store.run("early", 0, BASE[0] + 0.002 + 4.0 * WOBBLE[0], study="old")
    sweep.store.declare("norms", "early")
    sweep.plan = make_plan(tmp_path, ("early",), seeds=range(8), pinned=order)
    assert sweep.go() == []
    assert sweep.said[-2] == "early is open: cannot tell at 4 seeds; next look at 12 seeds, by the rules of study `old`"
    assert is_over(sweep.folder, sweep.plan.id), "this sweep can do no more for it"


def test_what_was_said_at_a_look_stands_although_later_runs_are_there_by_now(sweep: Sweep) -> None:
    """An arm that was open at look 1 goes on to all of look 2, also where its first runs there would have closed it by today."""
    with pytest.raises(Interrupted):
        sweep.go(killed_after=16)  # look 1 is over, and one of the four runs of look 2 is there
    sweep.ask = lambda plan, root: {key: replace(each, stop="decided") for key, each in sweep.judge(plan, root).items()}
    sweep.go()
    assert sweep.seeds("slow") == [0, 1, 2, 3, 4], "closed at look 2, not at look 1"


def test_without_looks_json_every_look_is_judged_anew_by_what_is_there(sweep: Sweep) -> None:
    sweep.go()
    kept = sweep.folder / "looks.json"
    kept.write_text(kept.read_text().replace('"worse"', '"better"', 1))
    sweep.said.clear()
    sweep.go()
    assert "looks.json can't be used, so every look is judged anew" in sweep.said[0]
    assert len(sweep.trained) == 25, "what is decided by now is decided at the first look"
    assert '"better"' not in kept.read_text()
    kept.unlink()
    other = replace(sweep.plan, id="ffffffff")
    sweep.plan = other
    sweep.go()
    assert len(sweep.trained) == 25


def test_an_arm_with_a_failed_run_waits_while_the_others_go_on_and_goes_on_when_it_is_there(sweep: Sweep) -> None:
    sweep.fails = {("slow", 1)}
    assert [(each.row.job.label, each.row.job.seed) for each in sweep.go()] == [("slow", 1)]
    assert sweep.seeds("slow") == [0, 2] and sweep.seeds("baseline") == [0, 1, 2]
    assert "look 1 of 3, 3 seeds: 2 decided, 1 hopeless, 1 held" in sweep.said
    assert "slow is undecided: its seed 1 failed" in sweep.said
    assert "saved against training all arms to the last look (8 seeds): 15 of 40 runs, about 15:00 min of training" in sweep.said
    sweep.fails = set()
    assert sweep.go() == []
    assert sweep.seeds("slow") == list(range(8)) and len(sweep.trained) == len(set(sweep.trained)) == 25
    assert sweep.said[-1] == "saved against training all arms to the last look (8 seeds): 15 of 40 runs, about 15:00 min of training"


def test_where_the_baseline_fails_no_arm_goes_on_and_none_is_called_saved(sweep: Sweep) -> None:
    sweep.fails = {("baseline", 2), ("equal", 0)}
    assert len(sweep.go()) == 2
    assert sweep.asked == 0 and {seed for _, seed in sweep.trained} == {0, 1, 2}
    assert "equal is undecided: the baseline's seed 2 failed and its seed 0 failed" in sweep.said
    assert "worse is undecided: the baseline's seed 2 failed" in sweep.said
    assert sweep.said[-1].startswith("nothing was saved")


def test_runs_that_the_report_leaves_aside_are_not_added_to(sweep: Sweep) -> None:
    """As under newer code of the same change, or where the baseline's runs are another cohort's."""
    sweep.ask = lambda plan, root: {key: replace(each, pairs=2) for key, each in sweep.judge(plan, root).items() if each.label != "noisy"}
    failed = sweep.go()
    assert sweep.seeds("noisy") == sweep.seeds("slow") == [0, 1, 2]
    assert [(each.row.job.label, each.row.job.seed, each.said) for each in failed] == [
        ("noisy", 2, "undecided: its runs aren't among those that the report compares"),
        ("slow", 2, "undecided: only 2 of 3 seeds make a pair with the baseline's"),
    ], "so the sweep doesn't end as one in which all is well"
    assert "noisy is undecided: its runs aren't among those that the report compares" in sweep.said
    assert "slow is undecided: only 2 of 3 seeds make a pair with the baseline's" in sweep.said


def test_a_refusal_is_not_kept_since_a_certificate_may_lift_it(sweep: Sweep) -> None:
    def refused(plan: Plan, root: Path) -> dict[str, Standing]:
        return {key: replace(each, word="refused", stop="decided", estimate=None) for key, each in sweep.judge(plan, root).items()}

    sweep.ask = refused
    sweep.go()
    assert "look 1 of 3, 3 seeds: 0 decided, 4 refused" in sweep.said
    assert {seed for _, seed in sweep.trained} == {0, 1, 2}
    sweep.ask = None
    sweep.go()
    assert sweep.seeds("slow") == list(range(8))


def test_a_full_disk_between_two_looks_says_how_to_go_on(sweep: Sweep) -> None:
    sweep.folder.parent.mkdir()
    sweep.folder.write_text("a file in the folder's place")
    with pytest.raises(MachineError, match=r"what came out at 3 seeds can't be written: .*\n.*the same command goes on"):
        sweep.go()


def test_a_label_from_outside_is_made_printable(tmp_path: Path) -> None:
    sweep = Sweep(Store(tmp_path), arms={"note=\x1b[31m": ARMS["worse"]})
    sweep.go()
    assert not any("\x1b" in line for line in sweep.said)


def nobody(rows: Sequence[Row]) -> list[Failed]:
    raise AssertionError("nothing starts after a refusal")


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ({"seeds": (0, 1, 2)}, r"seed=0,1,2 beside hydra.sweeper.until=decided: .*look by look \(3, 5, 8 of them\)\nleave seed=... out"),
        ({"seeds": (7, 6, 5, 4, 3, 2, 1, 0)}, "seed=7,6,5"),
        ({"design": "factorial"}, "design=factorial: its runs get no verdict arm by arm.*\nleave hydra.sweeper.until=decided out"),
        ({"design": "curve"}, "design=curve"),
        ({"arms": ()}, "this sweep has no arm, so there is nothing to decide\nlist some"),
    ],
    ids=["listed seeds", "another order", "factorial", "curve", "no arm"],
)
def test_what_can_never_be_decided_look_by_look_is_refused_with_the_way_out(tmp_path: Path, plan: dict[str, object], why: str) -> None:
    made = make_plan(tmp_path, **plan)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=why):
        require_decidable(made)
    with pytest.raises(ConfigError, match=why):
        until_decided(made, tmp_path, tmp_path, nobody, print)
    assert not list(tmp_path.iterdir())


def test_a_study_of_its_own_looks_is_followed_by_them(tmp_path: Path) -> None:
    sweep = Sweep(Store(tmp_path), arms={"late": (0.001, 2.5)})
    sweep.store.declare("own", "late", by_hand=True, looks=(2, 4))
    made = make_plan(tmp_path, ("late",), seeds=range(4))
    made = replace(made, study="own", looks=(2, 4), rows=tuple(replace(row, job=replace(row.job, study="own")) for row in made.rows))
    sweep.plan = made
    sweep.go()
    assert [line.split(":")[0] for line in sweep.said if line.startswith("look")] == ["look 1 of 2, 2 seeds", "look 2 of 2, 4 seeds"]
    assert sweep.seeds("late") == list(range(4))


def test_looks_that_were_declared_after_data_are_not_followed(tmp_path: Path) -> None:
    """As the report has it: these weren't fixed before, so the pin's stand."""
    sweep = Sweep(Store(tmp_path), arms={"noisy": (0.002, 4.0)})
    sweep.store.pin(looks=[3, 8], seeds=list(range(12)))
    for label, (shift, wobble) in ({"baseline": (0.0, 0.0)} | sweep.arms).items():
        sweep.store.run(label, 0, BASE[0] + shift + wobble * WOBBLE[0])
    sweep.store.declare("norms", "noisy", by_hand=True, looks=(5, 6))
    made = replace(make_plan(tmp_path, ("noisy",), looks=(3, 8), seeds=range(6), pinned=range(12)), looks=(5, 6), lock=sweep.store.lock)
    assert (planned_looks(made), judged_looks(made), looks_of(made)) == ((5, 6), (3, 8), (3,))
    sweep.plan = made
    sweep.go()
    assert sweep.seeds("noisy") == [1, 2], "and one was there"
    assert sweep.said[0] == "look 1 of 1, 3 seeds: 0 decided, 1 open"
    assert "noisy is open: cannot tell at 3 seeds; next look at 8 seeds, by the rules of study `norms`" in sweep.said
    late = replace(made, rows=tuple(replace(row, job=replace(row.job, config=row.job.config | {"judgement": LATE})) for row in made.rows))
    with pytest.raises(ConfigError, match=r"study `norms` is judged at 8, 12 seeds, and this sweep has 6, .*\ngive the study another name"):
        require_decidable(late)


# -- stopping look by look doesn't make false claims: the loop above, on the judge, in whole simulated studies


def standing(verdict: Verdict) -> Standing:
    evidence, estimate = verdict.evidence, verdict.evidence.estimate
    numbers = (estimate.mean, estimate.low, estimate.high) if estimate else (None, None, None)
    pairs = evidence.off_schedule.n if evidence.off_schedule else len(evidence.pairs)
    return Standing(
        evidence.arm.arm_id,
        verdict.label,
        verdict.word,
        verdict.said,
        *numbers,
        3,
        "bits/byte",
        evidence.look,
        len(evidence.pairs),
        pairs,
        verdict.outlook.chance,
        verdict.stop,
        verdict.reading,
    )


class Simulated:
    """One study of arms whose values are drawn; training a run uncovers its value."""

    def __init__(self, folder: Path, arms: Floats, baseline: Floats, d: float) -> None:
        self.folder, self.values, self.base, self.d = folder, arms, baseline, d
        self.names = [f"arm{number}" for number in range(len(arms))]
        self.trained: dict[str, int] = dict.fromkeys(("baseline", *self.names), 0)
        self.claimed: set[str] = set()  # ever better or worse, at any look
        self.stops: dict[str, str] = {}
        made = make_plan(folder, self.names, simulated.LOOKS)
        self.plan = replace(made, rows=tuple(replace(row, arm_id=row.job.label) for row in made.rows))

    def settle(self, rows: Sequence[Row]) -> list[Failed]:
        for row in rows:
            assert row.job.seed == self.trained[row.job.label], "seeds are trained in order, each once"
            self.trained[row.job.label] += 1
        return []

    def ask(self, plan: Plan, root: Path) -> dict[str, Standing]:
        own = [arm(name, list(each[: self.trained[name]])) for name, each in zip(self.names, self.values, strict=True)]
        told = lineup(arm(BASELINE, list(self.base[: self.trained["baseline"]])), own)
        verdicts = judge(told, simulated.rules(simulated.LOOKS, self.d), SmallestEffect(self.d, "pinned"))
        self.claimed |= {each.label for each in verdicts if each.word in ("better", "worse")}
        self.stops |= {each.label: each.stop for each in verdicts if each.stop}
        return {each.label: standing(each) for each in verdicts}

    def go(self) -> None:
        until_decided(self.plan, self.folder, self.folder, self.settle, lambda line: None, self.ask)


def studies(folder: Path, seed: int, count: int, effects: Floats | float, d: float) -> tuple[list[Simulated], list[simulated.Standing]]:
    """Studies through the sweep's own loop, and the same by the proved rule, which stops nothing for a small chance."""
    arms, baseline = simulated.family(np.random.default_rng(seed), count, simulated.LOOKS[-1], effects)
    made = [Simulated(folder / f"study{number}", arms[number], baseline[number, 0], d) for number in range(count)]
    for each in made:
        each.go()
    return made, simulated.follow(arms - baseline, simulated.rules(simulated.LOOKS, d))


@pytest.mark.parametrize("d", [0.3, 1.0])
def test_the_sweep_claims_nothing_that_the_proved_rule_does_not_and_trains_no_more(tmp_path: Path, d: float) -> None:
    """So its false claims are at most those of tests/results/test_proofs_sequential.py."""
    effects = d * np.array([0.0, 0.0, 0.0, 1.0, -1.0, 2.0, -4.0, 0.0])[:, None]
    ours, proved = studies(tmp_path, 31, 12, effects, d)
    ever = simulated.ever(proved, simulated.BETTER, simulated.WORSE)
    stopped = 0
    for number, study in enumerate(ours):
        for place, name in enumerate(study.names):
            seeds = int(proved[-1].seeds[number, place])
            assert ever[number, place] or name not in study.claimed
            assert study.trained[name] <= seeds
            stopped += study.stops[name] == "chance"
        if "chance" not in study.stops.values():  # nothing but the proved rule was at work: it is the same to the seed
            assert [study.trained[name] for name in study.names] == proved[-1].seeds[number].tolist()
    assert (stopped > 5) == (d == 0.3), "both kinds of study are met: with arms that have no chance, and without"


@pytest.mark.soak
def test_the_sweep_makes_a_false_claim_in_fewer_studies_than_alpha(tmp_path: Path, figures: Figures) -> None:
    for d in (0.3, 1.0):
        ours, _ = studies(tmp_path / f"{d:g}", 32, 2_000, 0.0, d)
        rate = float(np.mean([bool(study.claimed) for study in ours]))
        figures.at_most(f"until=decided, looks 5, 8, 12, 20, 8 equal arms: any false claim, D = {d:g} s_d", rate, 0.05)
