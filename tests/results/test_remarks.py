"""What stands beside a verdict: each number against one computed apart, each sentence only where it says something."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lab.files import read_json, sealed, write_json
from lab.results.facts import ArmFacts, Facts
from lab.results.telling import tell

from .store import BASE, Store
from .test_readings import before, identical, refused

ARM = "hooks=ema"


def told(store: Store) -> Facts:
    return tell(store.report())


def arm(store: Store, label: str = ARM) -> ArmFacts:
    return next(each for each in told(store).sections[0].arms if each.label == label)


def said(store: Store, start: str) -> list[str]:
    return [sentence for sentence in arm(store).remarks if sentence.startswith(start)]


def apart(store: Store, differences: list[float], **named: Any) -> None:
    """An arm that differs from the baseline by these numbers, seed by seed."""
    store.baseline(len(differences))
    store.arm(ARM, [base + difference for base, difference in zip(BASE, differences, strict=False)], **named)


def test_a_seed_that_keeps_a_claim_from_its_verdict_is_named_with_the_estimate_without_it(store: Store) -> None:
    store.pin(looks=[5], smallest_effect=0.001)
    apart(store, differences := [-0.010, -0.011, -0.0105, +0.004, -0.0131])
    fragile = arm(store).fragile
    assert (arm(store).verdict, [each.seed for each in fragile], fragile[0].verdict) == ("cannot tell", [3], "better")
    rest = differences[:3] + differences[4:]
    half = stats.t.ppf(0.975, 4) * np.std(rest, ddof=1) / 2  # the critical value of all five
    assert (fragile[0].low, fragile[0].high) == pytest.approx((np.mean(rest) - half, np.mean(rest) + half))
    assert said(store, "Fragile") == ["Fragile: without seed 3 the verdict would be better (-0.0111, -0.0130 to -0.0093)."]


def test_a_claim_that_one_seed_carries_is_fragile(store: Store) -> None:
    store.pin(looks=[3], smallest_effect=0.001)
    apart(store, [-0.0100, -0.0110, -0.0065])
    assert arm(store).verdict == "better"
    assert [(each.seed, each.verdict) for each in arm(store).fragile] == [(0, "cannot tell")]


def test_without_a_seed_a_claim_must_still_hold_once_corrected(store: Store) -> None:
    store.pin(looks=[5], smallest_effect=0.001)
    apart(store, [-0.010, -0.014, -0.0105, +0.004, -0.0181])
    assert [(each.seed, each.verdict) for each in arm(store).fragile] == [(3, "better")]
    for number in range(40):
        store.run(f"hooks=h{number}", 0, status="unfinished")
    assert arm(store).fragile == ()


def test_a_no_difference_that_one_seed_carries_is_fragile(store: Store) -> None:
    store.pin(looks=[3], smallest_effect=0.006)
    apart(store, [0.0015, -0.0025, 0.0001])
    assert arm(store).verdict == "no difference"
    assert [(each.seed, each.verdict) for each in arm(store).fragile] == [(0, "cannot tell"), (2, "cannot tell")]
    assert said(store, "Fragile") == [
        "Fragile: without seed 0 the verdict would be cannot tell (-0.0012, -0.0068 to +0.0044), "
        "without seed 2 cannot tell (-0.0005, -0.0091 to +0.0081)."
    ]


def test_an_earlier_crossing_counts_when_a_later_seed_is_left_out(store: Store) -> None:
    store.pin(looks=[3, 5])
    apart(store, [-0.0501, -0.0500, -0.0499, -0.0502, -0.0498])
    told = arm(store)
    assert (told.verdict, told.fragile) == ("better", ())


def test_sign_flips_are_told_from_six_seeds_on(store: Store) -> None:
    store.pin(looks=[5, 6])
    store.baseline(6)
    store.shifted(ARM, 5, -0.05)
    assert arm(store).sign_flip is None
    store.run(ARM, 5, BASE[5] - 0.05)
    assert arm(store).sign_flip == 2 / 2**6
    assert said(store, "The exact sign-flip") == [
        "The exact sign-flip test, which takes nothing for normal, has p = 0.031 before any correction."
    ]


def test_what_pairing_bought_is_measured_either_way(store: Store) -> None:
    apart(store, differences := [-0.050, -0.051, -0.049])
    values = np.array(BASE[:3]) + differences
    told = arm(store)
    assert told.gain == pytest.approx((np.var(values, ddof=1) + np.var(BASE[:3], ddof=1)) / np.var(differences, ddof=1))
    assert told.correlation == pytest.approx(np.corrcoef(values, BASE[:3])[0, 1])
    assert said(store, "Pairing divided the variance by ")
    other = Store(store.root / "other")
    other.baseline(3)
    other.arm(ARM, [4.2 - value for value in BASE[:3]])
    assert said(other, "Pairing bought nothing: it multiplied the variance by 2.0 (correlation -1.00).")


def test_a_change_of_spread_is_always_a_fact_and_said_when_it_is_sure(store: Store) -> None:
    store.pin(looks=[12])
    store.baseline(12)
    middle = sum(BASE) / 12
    store.arm(ARM, [middle + 5 * (value - middle) + 0.001 * (-1) ** seed for seed, value in enumerate(BASE)])
    told = arm(store)
    assert told.variance is not None and told.variance.ratio == pytest.approx(5, rel=0.02)
    assert said(store, "It alters the spread") == [
        "It alters the spread over seeds too: 5 times the baseline's (Pitman-Morgan p < 0.001, uncorrected)."
    ]
    store.shifted("hooks=calm", 12, 0.0)
    calm = arm(store, "hooks=calm")
    assert calm.variance is not None and calm.variance.p > 0.05
    assert not any("spread" in sentence for sentence in calm.remarks)


def test_the_difference_is_told_in_steps_of_the_baseline_beside_its_extra_cost(store: Store) -> None:
    store.baseline(3, half=2.4, final=2.15, cost={"flops_per_token": 1000.0})
    store.shifted(ARM, 3, -0.05, cost={"flops_per_token": 1040.0, "seconds_per_step": 0.6})
    told = arm(store)
    assert told.compute is not None and told.difference is not None
    assert told.compute.steps_share == pytest.approx(-told.difference / 0.25 / 2)  # 0.25 in half of the steps
    assert (told.compute.flops_share, told.compute.seconds_share) == pytest.approx((0.04, 0.2))
    assert said(store, "It is worth") == [
        "It is worth 10 % more steps of training, by the baseline's slope over the second half, for 4.0 % more FLOPs per token and "
        "20 % more seconds per step (indicative)."
    ]


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        (-0.2, "40 % more steps of training"),
        (-0.3, "more than half as many steps of training again"),
        (+0.05, "10 % fewer steps of training"),
        (+0.3, "the loss of more than half of the steps of training"),
    ],
)
def test_a_slope_is_not_stretched_beyond_what_it_was_read_from(store: Store, shift: float, words: str) -> None:
    store.baseline(3)
    store.shifted(ARM, 3, shift)
    assert said(store, f"It is worth {words}, by ")


def test_no_steps_are_told_where_the_loss_rose_or_another_metric_is_judged(store: Store) -> None:
    store.baseline(3, half=2.0)
    store.shifted(ARM, 3, -0.05)
    assert arm(store).compute is None
    for number, pin in enumerate(({"metric": "nats_per_token"}, {"direction": "higher"})):
        other = Store(store.root / f"other{number}")
        other.pin(**pin)
        other.baseline(3)
        other.shifted(ARM, 3, -0.05)
        assert arm(other).compute is None


def test_another_amount_of_text_per_token_shows_both_ratios(store: Store) -> None:
    store.baseline(3, bytes_per_token=3.5)
    store.shifted(ARM, 3, -0.05, bytes_per_token=3.92)
    store.shifted("hooks=same", 3, -0.05, bytes_per_token=3.5001)
    assert arm(store).ratio.bytes_per_token == pytest.approx(1.12)
    assert said(store, "It is compared") == [
        "It is compared at equal tokens (1.000x), which are 1.120x the text (3.92 bytes per token against 3.5)."
    ]
    assert not any("equal tokens" in sentence for sentence in arm(store, "hooks=same").remarks)


def with_documents(store: Store, nats: list[list[float]], base: list[list[float]], sizes: list[int]) -> None:
    for seed in range(3):
        store.run("baseline", seed, BASE[seed], documents=(sizes, base[seed]))
        store.run(ARM, seed, BASE[seed] - 0.05 + seed / 1000, documents=(sizes, nats[seed]))


def test_the_error_over_documents_stands_beside_the_one_over_seeds(store: Store) -> None:
    sizes, base = [100, 300, 200], [[100.0, 300.0, 200.0]] * 3
    with_documents(store, nats := [[90.0 + seed, 280.0, 197.0] for seed in range(3)], base, sizes)
    told = arm(store)
    assert told.documents is not None and told.documents.error is not None and told.spread is not None
    assert (told.documents.count, told.documents.seed_error) == (3, pytest.approx(told.spread / math.sqrt(3)))
    bits = (np.mean(nats, axis=0) - base[0]) / math.log(2)
    residual = bits - bits.sum() / 600 * np.array(sizes)
    assert told.documents.error == pytest.approx(math.sqrt(3 / 2 * (residual**2).sum()) / 600)
    assert said(store, "Its standard error over the 3 documents of this text is 0.0") == list(told.remarks[-2:-1])
    assert told.remarks[-2].endswith(", over seeds 0.00058: another text may move it more than other seeds do.")


def test_one_document_says_once_that_nothing_is_known_of_other_texts(store: Store) -> None:
    with_documents(store, [[90.0]] * 3, [[100.0]] * 3, [100])
    told = arm(store)
    assert told.documents is not None and (told.documents.count, told.documents.error) == (1, None)
    assert not any("document" in sentence for sentence in told.remarks)
    assert sum("one document" in line for line in tell(store.report()).sections[0].head) == 1


def test_documents_that_not_every_judged_run_has_are_not_told(store: Store) -> None:
    store.baseline(3, documents=([10, 20], [1.0, 2.0]))
    store.shifted(ARM, 2, -0.05, documents=([10, 20], [1.0, 2.0]))
    store.run(ARM, 2, BASE[2] - 0.05)
    store.shifted("hooks=cut", 3, -0.05, documents=([10, 21], [1.0, 2.0]))
    assert (arm(store).documents, arm(store, "hooks=cut").documents) == (None, None)


def test_damaged_documents_are_left_out_by_name_and_cost_no_verdict(store: Store) -> None:
    store.baseline(3, documents=([10, 20], [1.0, 2.0]))
    folder = store.shifted(ARM, 3, -0.05, documents=([10, 20], [1.0, 2.0]))[1]
    write_json(folder / "documents.json", sealed(read_json(folder / "documents.json") | {"nats": [1.0]}))
    facts = told(store)
    assert facts.sections[0].arms[0].verdict == "better"
    assert facts.sections[0].arms[0].documents is None
    assert [f"{folder.name}/documents.json: documents.json:" in line for line in facts.lists["Left out"]] == [True]
    assert "6 runs read, 1 left out." in facts.head


@pytest.mark.parametrize("world", [refused, identical, before], ids=lambda world: world.__name__)
def test_an_arm_without_a_verdict_of_its_seeds_has_no_remarks(store: Store, world: Callable[[Store], None]) -> None:
    world(store)
    (told,) = tell(store.report()).sections[0].arms
    assert (told.remarks, told.fragile, told.sign_flip) == ((), (), None)


def test_a_hopeless_arm_is_told_to_stop_and_gets_no_command(store: Store) -> None:
    store.pin(looks=[5, 8])
    store.baseline(5)
    store.shifted(ARM, 5, 0.0, wobble=20, command="python run.py --multirun hooks=none,ema seed=0,1,2,3,4")
    told = arm(store)
    assert told.stop == "chance"
    assert told.chance is not None and told.chance < 0.1
    assert told.next is not None and (told.next.pending, told.next.command) == ((5, 6, 7), "")


def test_costs_are_ratios_over_the_judged_seeds(store: Store) -> None:
    store.baseline(3, total=1000)
    store.run("baseline", 3, BASE[3], total=9000, cost={"tokens_per_second": 1.0})
    store.shifted(ARM, 3, -0.05, total=1500, cost={"tokens_per_second": 8e4, "flops_per_token": 7.0})
    told = arm(store)
    assert (told.ratio.parameters, told.ratio.tokens_per_second, told.ratio.seconds_per_step) == pytest.approx((1.5, 0.8, 1.0))
    assert (told.cost.flops_per_token, told.ratio.flops_per_token) == (7.0, None)


def test_beside_a_divergence_nothing_is_told_of_the_stable_seeds_but_what_pairing_bought(store: Store) -> None:
    store.pin(looks=[8])
    store.baseline(8)
    store.shifted(ARM, 7, -0.05)
    store.run(ARM, 7, None, status="diverged")
    told = arm(store)
    assert (told.verdict, told.stability.n, told.stability.arm, told.stability.baseline) == ("cannot tell", 8, 1, 0)
    assert (told.sign_flip, told.variance, told.documents, told.fragile, told.likely, told.chance) == (None, None, None, (), None, None)
    assert [sentence[:7] for sentence in told.remarks] == ["Pairing"]
