"""A report as data: what is told, what a filter hides and what it never touches, and what to type next."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from lab.results.facts import SCHEMA, VERDICTS, ArmFacts, Facts
from lab.results.telling import tell

from .store import BASE, CODE, Store, digest

ARM = "model/norm=rmsnorm"
HOSTILE = "hooks=[red]x[/red]|`a`<script>\n# head\x1b[2J"


def told(store: Store, arms: str = "*") -> Facts:
    return tell(store.report(), arms)


def arm(store: Store, label: str = ARM) -> ArmFacts:
    return next(each for each in told(store).sections[0].arms if each.label == label)


def a_full_store(store: Store) -> Store:
    store.pin(looks=[3, 5, 8, 12], smallest_effect="auto")
    store.baseline(5)
    store.shifted(ARM, 5, -0.05)
    store.shifted("hooks=z_loss", 4, 0.0, wobble=4)
    store.shifted("hooks=ema", 3, 0.0)
    store.arm("hooks=hot", [None, 2.1, 2.2])
    store.run("model=wide", 0, status="failed")
    store.shifted("hooks=old", 3, -0.05, code={**CODE, "lab.model.gpt": "0" * 64})
    store.shifted("wild", 2, -1.0, exploring=True)
    return store


def test_the_numbers_told_belong_together(store: Store) -> None:
    facts = told(a_full_store(store))
    assert (facts.schema, facts.runs_read, facts.tried) == (SCHEMA, 26, 6)
    for each in facts.sections[0].arms:
        assert each.verdict in VERDICTS
        assert each.n == len(each.pairs)
        if each.difference is not None:
            stable = [pair.difference for pair in each.pairs if pair.difference is not None]
            assert each.mean is not None and each.mean_baseline is not None
            assert each.mean - each.mean_baseline == pytest.approx(each.difference)
            assert sum(stable) / len(stable) == pytest.approx(each.difference)
        assert each.stability.arm == sum(pair.arm is None for pair in each.pairs)
        assert f"{each.difference:+.{each.decimals}f}" in each.reading if each.difference is not None else True


def test_the_facts_are_json_without_nan_and_the_same_twice(store: Store) -> None:
    a_full_store(store)
    first, second = (json.dumps(asdict(told(store)), allow_nan=False) for _ in range(2))
    assert first == second
    assert str(store.root) not in first
    assert "2001-01-01" not in first


def test_the_head_says_how_it_was_judged_and_no_line_stands_twice(store: Store) -> None:
    facts = told(a_full_store(store))
    lines = [*facts.head, *facts.sections[0].head]
    assert lines == list(dict.fromkeys(lines))
    assert lines[0] == f"Baseline demo (lock {store.lock[:8]}), judged by validation bits per byte, lower is better."
    assert lines[1].startswith("alpha 0.05; looks at 3, 5, 8, 12 seeds, each at 0.01")
    assert lines[2] == "6 arms ever tried under this pin; Holm by study: norms: 6 arms."
    assert lines[3] == "26 runs read, 0 left out."
    assert lines[6] == (
        "D = 0.005 bits/byte: 2 % of what the second half of the budget brought, averaged over 3 baseline seeds, "
        "frozen in runs/demo/measured.json."
    )


def test_a_refused_arm_stands_among_the_others_without_numbers(store: Store) -> None:
    refused = arm(a_full_store(store), "hooks=old")
    assert (refused.verdict, refused.n, refused.mean, refused.difference, refused.p, refused.next) == ("refused", 0, None, None, None, None)
    assert len(refused.runs) == 3
    assert "lab.model.gpt" in refused.reading
    assert arm(store).family == 6


@pytest.mark.parametrize("pattern", ["model/norm=*", "model.norm=*", "*rmsnorm"])
def test_a_filter_hides_arms_in_either_spelling_and_corrects_for_all(store: Store, pattern: str) -> None:
    whole, some = told(a_full_store(store)), told(store, pattern)
    assert [each.label for each in some.sections[0].arms] == [ARM]
    assert some.sections[0].arms[0] == whole.sections[0].arms[0]
    assert (some.tried, some.sections[0].studies) == (whole.tried, whole.sections[0].studies)
    assert (some.shown, whole.shown) == (pattern, "")
    assert some.head[-1] == f"Showing 1 of 6 arms ({pattern}); the correction is over all 6."
    assert "Diverged" not in some.sections[0].lists


@pytest.mark.parametrize(("pattern", "count"), [("change=wide", 2), ("change=wide (aaaaaa)", 1), ("hooks=[a]", 1), ("nothing*", 0)])
def test_a_filter_finds_arms_that_are_told_apart_and_labels_with_brackets(store: Store, pattern: str, count: int) -> None:
    store.baseline(3)
    store.shifted("change=wide", 3, +0.05, arm_id="a" * 64, change_id="1" * 64)
    store.shifted("change=wide", 3, -0.05, arm_id="b" * 64, change_id="2" * 64)
    store.shifted("hooks=[a]", 3, -0.05)
    facts = told(store, pattern)
    assert len(facts.sections[0].arms) == count
    assert facts.head[-1] == f"Showing {count} of 3 arms ({pattern}); the correction is over all 3."


def test_what_is_shown_apart_is_listed(store: Store) -> None:
    facts = told(a_full_store(store))
    assert facts.lists["Exploring (never judged)"] == ("wild: seeds 0, 1",)
    assert facts.sections[0].lists == {
        "Diverged": ("hooks=hot seed 0: step 40, the loss is not finite",),
        "Failed (pending until resumed)": ("model=wide seed 0: no space left on device",),
    }


def test_hostile_names_are_printable_wherever_they_stand_in_a_sentence(store: Store) -> None:
    store.baseline(3)
    store.shifted(HOSTILE, 3, -0.05)
    store.run(HOSTILE, 3, None, status="diverged")
    store.shifted(HOSTILE + "2", 2, -1.0, exploring=True)
    facts = told(store)
    lists = [line for each in (facts.lists, facts.sections[0].lists) for lines in each.values() for line in lines]
    hostile = facts.sections[0].arms[0]
    assert hostile.label == HOSTILE
    assert not any(mark in line for line in (*facts.head, *lists, hostile.reading, *hostile.remarks) for mark in "\x1b\n")


def test_commands_are_told_as_typed_each_once_and_the_newest_reason_with_them(store: Store) -> None:
    store.baseline(3)
    sweep, single = "python run.py --multirun model/norm=layernorm,rmsnorm seed=0,1", "python run.py model/norm=rmsnorm seed=2"
    store.shifted(ARM, 2, -0.05, command=sweep, note="first thought")
    folder = store.run(ARM, 2, BASE[2] - 0.051, command=single)
    store.ask(folder, ARM, command=single, why="as the paper says")
    store.ask(folder, ARM, command=sweep)
    assert arm(store).commands == (sweep, single)
    assert arm(store).hypothesis == "as the paper says"


def test_what_an_arm_moves_is_told_leaf_by_leaf(store: Store) -> None:
    store.run("baseline", 0, BASE[0], factors={"model": {"norm": {"_target_": "lab.LayerNorm", "eps": 1e-5}, "width": 64}})
    store.run(ARM, 0, BASE[0], factors={"model": {"norm": {"_target_": "lab.RMSNorm"}, "width": 64}})
    assert [(move.path, move.old, move.new) for move in arm(store).moves] == [
        ("model.norm._target_", "lab.LayerNorm", "lab.RMSNorm"),
        ("model.norm.eps", "1e-05", "(absent)"),
    ]


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        (
            "python run.py --multirun model/norm=layernorm,rmsnorm 'seed=range(2)'",
            "python run.py --multirun model/norm=layernorm,rmsnorm seed=2",
        ),
        (
            "python run.py model/norm=rmsnorm note='two words' seed=1",
            "python run.py model/norm=rmsnorm seed=2; python run.py seed=2",
        ),
        ("python run.py 'cut in a quote", ""),
        ("rm -rf /", ""),
        ("", ""),
    ],
)
def test_the_next_looks_command_is_the_arms_own_with_the_pending_seeds(store: Store, typed: str, command: str) -> None:
    store.baseline(2)
    store.shifted(ARM, 2, -0.05, command=typed)
    following = arm(store).next
    assert following is not None
    assert (following.seeds, following.pending, following.command) == (3, (2,), command)


def test_the_next_look_of_a_study_by_hand_is_asked_for_by_its_name(store: Store) -> None:
    store.declare("parts", ARM, by_hand=True)
    store.baseline(2)
    store.shifted(ARM, 2, -0.05, study="parts", command="python run.py --multirun model/norm=layernorm,rmsnorm study=parts")
    following = arm(store).next
    assert following is not None
    assert following.command == "python run.py --multirun study=parts baseline=demo seed=2"


def test_single_runs_of_several_seeds_become_a_loop_without_what_is_there(store: Store) -> None:
    store.pin(looks=[3, 5])
    store.baseline(4)
    store.shifted(ARM, 1, -0.05, command="python run.py model/norm=rmsnorm")
    following = arm(store).next
    assert following is not None
    assert following.command == "for seed in 1 2; do python run.py model/norm=rmsnorm seed=$seed; done"


def test_a_decided_arm_has_no_next_look_and_pairs_off_the_looks_are_told_apart(store: Store) -> None:
    store.pin(looks=[3, 5])
    store.baseline(4)
    store.shifted(ARM, 4, -0.05)
    decided = arm(store)
    assert (decided.verdict, decided.stop, decided.next, decided.look, decided.n) == ("better", "decided", None, 3, 3)
    assert decided.off_schedule is not None
    assert (decided.off_schedule.n, decided.off_schedule.of) == (4, 5)
    assert decided.off_schedule.difference == pytest.approx(-0.05 + sum((0.0011, -0.0008, 0.0002, -0.0013)) / 4)


def test_an_arm_is_judged_by_the_looks_and_the_d_of_its_study(store: Store) -> None:
    store.baseline(3)
    store.declare("wide", ARM, looks=(2,), smallest_effect=0.2, question="is it wide?")
    store.shifted(ARM, 2, -0.05, study="wide")
    store.shifted("hooks=ema", 2, -0.05)
    facts = told(store)
    assert (arm(store).verdict, arm(store).said) == ("better", "better, negligible")
    assert arm(store, "hooks=ema").verdict == "before the first look"
    study = next(each for each in facts.sections[0].studies if each.name == "wide")
    assert (study.declared, study.rules.looks, study.smallest_effect, study.question) == (True, (2,), 0.2, "is it wide?")
    assert facts.head[2].endswith("norms: 1 arm; wide: 1 arm (looks at 2 seeds, D = 0.2).")
    assert "Study wide asks: is it wide?" in facts.sections[0].head


def test_a_study_whose_declaration_is_damaged_marks_its_verdicts(store: Store) -> None:
    store.baseline(3)
    store.declare("norms", ARM, "hooks=ema")
    store.shifted(ARM, 3, -0.05)
    (path,) = (store.root / "runs/demo/studies").glob("*.json")
    path.write_text(path.read_text().replace("ema", "emu"))
    assert arm(store).reading.startswith(
        "model.norm=rmsnorm: better (the declaration of its study is damaged or gone, so its family may be larger). "
    )
    assert any(path.name in line for line in told(store).lists["Left out"])


EXPECTED = "Each study may err with chance 0.05; over 3 studies about 0.15 false claims are expected."


def test_several_studies_with_judged_arms_say_how_many_false_claims_are_to_be_expected(store: Store) -> None:
    store.baseline(3)
    store.shifted(ARM, 3, -0.05, study="a")
    store.shifted("hooks=young", 2, -0.05, study="young")
    store.declare("planned", "hooks=ema")
    assert not any("may err" in line for line in told(store).head)
    store.shifted("hooks=b", 3, -0.05, study="b")
    store.shifted("hooks=c", 3, -0.05, study="c")
    assert EXPECTED in told(store).head
    store.baseline(3, cohort="d" * 64)
    store.shifted(ARM, 3, +0.05, cohort="d" * 64, study="a")
    assert "Each study in each cohort may err with chance 0.05; over 4 of them about 0.2 false claims are expected." in told(store).head


def test_requests_that_are_gone_from_the_store_are_told(store: Store) -> None:
    store.baseline(3)
    (folder, *_) = store.shifted("hooks=loser", 3, +0.05)
    store.shifted(ARM, 3, -0.05)
    assert "Other requests" not in told(store).lists
    shutil.rmtree(folder.parent)
    assert told(store).lists["Other requests"] == (
        "3 of 9 requests are no longer in this store (deleted folders, damaged lines): arms among them aren't counted as tried",
    )


@pytest.mark.parametrize(("alpha", "level"), [(0.05, "95 %"), (0.1, "90 %"), (0.07, "93 %"), (1e-7, "99.99999 %")])
def test_an_interval_is_named_by_every_digit_of_its_level(store: Store, alpha: float, level: str) -> None:
    store.pin(alpha=alpha, looks=[3, 5])
    store.baseline(3)
    store.shifted(ARM, 3, 0.0, wobble=20)
    assert f", {level} interval (adjusted for 2 looks) " in arm(store).reading
    assert "each at 0.0000" not in " ".join(told(store).head)


def test_each_cohort_is_a_section_and_no_number_crosses(store: Store) -> None:
    store.baseline(3)
    store.shifted(ARM, 3, -0.05)
    store.baseline(3, cohort="d" * 64)
    store.shifted(ARM, 3, +0.05, cohort="d" * 64)
    facts = told(store)
    assert {each.cohort[0]: each.arms[0].verdict for each in facts.sections} == {"c": "better", "d": "worse"}
    directories = [{run.directory for each in section.arms for run in each.runs} for section in facts.sections]
    assert not directories[0] & directories[1]


def test_an_empty_store_tells_what_to_type(store: Store) -> None:
    (section,) = told(store).sections
    assert (section.baseline, section.arms) == (None, ())
    assert section.advice == ("python run.py --multirun baseline=demo hooks=none,grad_clip seed=0,1,2",)
    assert section.advice_why == ("Nothing to judge yet. To train arms beside the baseline, for example:",)


def test_the_baselines_own_row_is_over_all_its_pinned_seeds(store: Store) -> None:
    store.baseline(5)
    store.run("baseline", 99, 9.0)
    store.shifted(ARM, 3, -0.05)
    base = told(store).sections[0].baseline
    assert base is not None
    assert (base.mean, len(base.runs)) == (pytest.approx(sum(BASE[:5]) / 5), 6)
    assert arm(store).mean_baseline == pytest.approx(sum(BASE[:3]) / 3)


def test_twins_under_one_identity_lend_their_requests_to_the_arm(store: Store) -> None:
    store.baseline(3)
    store.shifted(ARM, 3, -0.05)
    store.run(ARM, 0, BASE[0] - 0.0489, suffix=".2", weights=digest("again"), command="python run.py model/norm=rmsnorm seed=0")
    assert "python run.py model/norm=rmsnorm seed=0" in arm(store).commands
    assert "Trained twice, to unequal ends" in told(store).sections[0].lists


def test_telling_loads_neither_torch_nor_the_slow_part_of_scipy() -> None:
    code = "import sys, lab.results.telling; sys.exit(bool({'torch', 'scipy.stats', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
