"""Until decided: seeds look by look, for the arms that need them. Runs are written, not trained; the verdicts are the report's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lab.errors import ConfigError, Interrupted, MachineError
from lab.results.reading import Verdict
from lab.results.smallest_effect import SmallestEffect
from lab.results.statistics import Floats
from lab.results.verdict import judge
from lab.sweep.decided import require_decidable, until_decided
from lab.sweep.judged import Standing
from lab.sweep.plan import Plan, Row
from lab.sweep.watcher import Failed
from tests.figures import Figures
from tests.results import simulated
from tests.results.in_memory import BASELINE, arm, lineup
from tests.results.store import Store
from tests.sweep.looked import ARMS, Sweep, make_plan


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


def test_a_sweep_that_is_over_asks_for_no_verdict_again_and_trains_nothing(sweep: Sweep) -> None:
    sweep.go()
    said, sweep.said = sweep.said, []
    sweep.go()
    assert (sweep.said, sweep.asked, len(sweep.trained)) == (said, 3, 25)


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
    sweep.go()
    assert sweep.seeds("noisy") == sweep.seeds("slow") == [0, 1, 2]
    assert "noisy is undecided: the report leaves its runs aside: newer code of this change is there" in sweep.said
    assert "slow is undecided: only 2 of 3 seeds make a pair with the baseline's" in sweep.said


def test_a_refusal_is_not_kept_since_a_certificate_may_lift_it(sweep: Sweep) -> None:
    def refused(plan: Plan, root: Path) -> dict[str, Standing]:
        return {key: replace(each, word="refused", stop="decided", estimate=None) for key, each in sweep.judge(plan, root).items()}

    sweep.ask = refused
    sweep.go()
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
