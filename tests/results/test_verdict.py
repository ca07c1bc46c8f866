"""Each verdict, from run directories on disk."""

import json
import re

import pytest

from lab.files import sealed, write_json

from .store import BASE, CODE, Store, paired


def test_a_clear_gain_is_better(store: Store):
    store.baseline(3)
    store.shifted("model/norm=rmsnorm", 3, -0.05)
    verdict = store.verdict("model/norm=rmsnorm")
    assert verdict.word == "better"
    assert verdict.reading.startswith("model.norm=rmsnorm: better. -0.0498 bits/byte, 95 % interval ")
    assert not verdict.negligible


def test_a_clear_loss_is_worse(store: Store):
    store.baseline(3)
    store.shifted("hooks=noise", 3, +0.05)
    assert store.verdict("hooks=noise").word == "worse"


def test_the_direction_of_the_metric_decides_what_is_better(store: Store):
    store.pin(direction="higher")
    store.baseline(3)
    store.shifted("hooks=noise", 3, +0.05)
    assert store.verdict("hooks=noise").word == "better"


def test_a_sure_gain_below_d_is_better_but_negligible(store: Store):
    store.pin(smallest_effect=0.1)
    store.baseline(3)
    store.shifted("model/norm=rmsnorm", 3, -0.05)
    verdict = store.verdict("model/norm=rmsnorm")
    assert verdict.said == "better, negligible"
    assert "smaller than D = 0.1" in verdict.reading


def test_no_difference_needs_an_interval_inside_d(store: Store):
    store.baseline(3)
    store.shifted("model/norm=rmsnorm", 3, 0.0)
    verdict = store.verdict("model/norm=rmsnorm")
    assert verdict.word == "no difference"
    assert "smaller than D = 0.005" in verdict.reading


def test_a_large_p_alone_is_never_no_difference(store: Store):
    store.baseline(3)
    store.shifted("model/norm=rmsnorm", 3, 0.0, wobble=20)
    verdict = store.verdict("model/norm=rmsnorm")
    assert verdict.p is not None
    assert verdict.p > 0.05
    assert verdict.word == "cannot tell"
    assert "it includes zero and effects larger than D = 0.005" in verdict.reading


def test_cannot_tell_says_what_it_could_find_the_next_look_and_what_is_likely_needed(store: Store):
    store.pin(looks=[3, 5, 8, 12])
    store.baseline(3)
    store.shifted("model/norm=rmsnorm", 3, 0.001, wobble=2)
    reading = store.verdict("model/norm=rmsnorm").reading
    assert "95 % interval (adjusted for 4 looks)" in reading
    assert "The smallest effect that this design could find is 0.0" in reading
    assert "Next look: 5 seeds (2 more, 4 minutes); likely needed: " in reading  # two runs of a minute, and the baseline's two
    assert "(cautious: " in reading


def test_the_last_look_is_called_the_last(store: Store):
    store.baseline(3)
    store.shifted("model/norm=rmsnorm", 3, 0.0, wobble=20)
    reading = store.verdict("model/norm=rmsnorm").reading
    assert re.search(
        r"This was the last look \(3 seeds\); about \d+ seeds would settle it against D \(cautious: \d+\), in a baseline", reading
    )


def test_a_change_that_did_nothing_is_identical(store: Store):
    for seed in range(3):
        store.run("baseline", seed, BASE[seed], weights=f"{seed}" * 64)
        store.run("model.dropout_seed=1", seed, BASE[seed], weights=f"{seed}" * 64)
    verdict = store.verdict("model.dropout_seed=1")
    assert verdict.word == "identical"
    assert "bit-equal" in verdict.reading


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_a_change_that_did_nothing_is_identical_at_any_number_of_seeds(store: Store, seeds: int):
    store.pin(looks=[3, 8])
    for seed in range(seeds):
        store.run("baseline", seed, BASE[seed], weights=f"{seed}" * 64)
        store.run("hooks=dead", seed, BASE[seed], weights=f"{seed}" * 64)
    verdict = store.verdict("hooks=dead")
    where = "seed 0, the only one that both have" if seeds == 1 else f"all {seeds} seeds that both have"
    assert verdict.reading == (
        f"hooks=dead: identical. Weights and metric are bit-equal to the baseline's on {where}: the change did nothing."
    )


@pytest.mark.parametrize("seed", [2, 3, 99])
def test_one_seed_that_differs_is_no_identity_wherever_it_stands(store: Store, seed: int):
    """Judged, beyond the judged look, or outside the pinned list: a knob that acts on one seed isn't dead."""
    for each in (0, 1, 2, 3, 99):
        value, told = BASE[each % 12], {"weights": f"{each % 10}" * 64}
        store.run("baseline", each, value, **told)
        store.run("hooks=rare", each, value, **(told if each != seed else {}))
    assert store.verdict("hooks=rare").word != "identical"


def test_seeds_outside_the_list_alone_are_no_identity(store: Store):
    store.run("baseline", 99, BASE[0], weights="a" * 64)
    store.run("hooks=dead", 99, BASE[0], weights="a" * 64)
    assert store.verdict("hooks=dead").word == "before the first look"


def test_other_judged_weights_are_not_identical_though_the_raw_ones_are(store: Store):
    store.run("baseline", 0, BASE[0], weights="a" * 64)
    store.run("hooks=ema", 0, BASE[0], weights="a" * 64, judged_weights="b" * 64)
    assert store.verdict("hooks=ema").word == "before the first look"


def test_divergence_at_another_step_is_not_identical(store: Store):
    for seed in range(3):
        store.run("baseline", seed, None, status="diverged", weights=f"{seed}" * 64)
        store.run("hooks=same", seed, None, status="diverged", weights=f"{seed}" * 64)
        store.run("hooks=hot", seed, None, status="diverged", weights=f"{seed}" * 64, step=39)
    assert store.verdict("hooks=same").word == "identical"
    assert store.verdict("hooks=hot").word == "cannot tell"


def test_an_identical_arm_needs_no_further_seeds_and_leaves_the_others_their_family(store: Store):
    store.pin(looks=[3, 8])
    for seed in range(3):
        store.run("baseline", seed, BASE[seed], weights=f"{seed}" * 64)
    store.run("hooks=dead", 0, BASE[0], weights="0" * 64)
    store.shifted("hooks=ema", 3, -0.05)
    assert "look" not in store.verdict("hooks=dead").reading
    assert store.verdict("hooks=ema").family == 2


def test_a_pair_without_common_draws_or_data_is_marked_in_the_sentence(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, pairing=paired(same=0))
    store.shifted("model=other", 3, -0.05, pairing=paired(equal=13, other=["a"] * 30), bits={"threads": 4})
    assert store.verdict("hooks=ema").reading.startswith("hooks=ema: better (not paired in data). ")
    assert store.verdict("model=other").reading.startswith("model=other: better (3 pairs across bits; not paired in initial values). ")


def test_equal_metrics_from_other_weights_are_not_identical(store: Store):
    store.baseline(3)
    store.shifted("hooks=z_loss", 3, 0.0, wobble=0)
    verdict = store.verdict("hooks=z_loss")
    assert verdict.word == "cannot tell"
    assert "training noise doesn't do" in verdict.reading


def test_a_difference_without_any_spread_is_no_infinite_certainty(store: Store):
    store.baseline(3)
    store.shifted("hooks=z_loss", 3, -0.05, wobble=0)
    verdict = store.verdict("hooks=z_loss")
    assert (verdict.word, verdict.p) == ("cannot tell", None)
    assert "-0.050 bits/byte on every one of 3 seeds alike" in verdict.reading


def test_a_divergence_bars_better_and_its_counts_are_shown(store: Store):
    store.pin(looks=[5])
    store.baseline(5)
    store.arm("hooks=hot", [value - 0.05 + 0.001 * seed for seed, value in enumerate(BASE[:4])] + [None])
    verdict = store.verdict("hooks=hot")
    assert verdict.word == "cannot tell"
    assert "1 of 5 runs diverged here, 0 of 5 in the baseline" in verdict.reading
    assert "When stable (4 of 5 seeds): -0.04" in verdict.reading


def test_a_divergence_of_the_baseline_bars_no_difference(store: Store):
    store.arm("baseline", [*BASE[:2], None])
    store.shifted("model/norm=rmsnorm", 3, 0.0)
    verdict = store.verdict("model/norm=rmsnorm")
    assert verdict.word == "cannot tell"
    assert "0 of 3 runs diverged here, 1 of 3 in the baseline" in verdict.reading


def test_a_finished_run_whose_final_metric_is_not_finite_counts_as_diverged(store: Store):
    store.baseline(3)
    store.arm("hooks=hot", [*BASE[:2], None], status="finished")
    assert store.verdict("hooks=hot").evidence.diverged_arm == 1


def test_an_arm_that_diverges_on_every_seed_is_unstable_and_the_reverse_is_stabler(store: Store):
    store.pin(looks=[8])
    store.baseline(8)
    store.arm("hooks=hot", [None] * 8)
    assert store.verdict("hooks=hot").word == "unstable"
    other = Store(store.root / "other")
    other.pin(looks=[8])
    other.arm("baseline", [None] * 8)
    other.shifted("hooks=cool", 8, 0.0)
    assert other.verdict("hooks=cool").word == "stabler"


def test_all_diverging_on_three_seeds_is_too_little_to_say_unstable(store: Store):
    store.baseline(3)
    store.arm("hooks=hot", [None] * 3)
    assert store.verdict("hooks=hot").word == "cannot tell"


def test_all_of_eight_against_none_is_unstable_however_many_arms_there_are(store: Store):
    store.pin(looks=[8])
    store.baseline(8)
    store.arm("hooks=hot", [None] * 8)
    for arm in range(12):
        store.run(f"hooks=h{arm}", 0, status="unfinished")
    verdict = store.verdict("hooks=hot")
    assert (verdict.word, verdict.family) == ("unstable", 13)
    assert "McNemar's exact p = 0.008" in verdict.reading


def test_a_divergence_between_the_looks_bars_better(store: Store):
    store.pin(looks=[3, 5])
    store.baseline(5)
    store.shifted("hooks=hot", 3, -0.05)
    assert store.verdict("hooks=hot").word == "better"
    store.run("hooks=hot", 3, status="diverged")
    verdict = store.verdict("hooks=hot")
    assert (verdict.word, verdict.stop, verdict.p) == ("cannot tell", "", None)
    assert "1 of 4 runs diverged here, 0 of 4 in the baseline (at the judged look 0 of 3 and 0 of 3, " in verdict.reading
    assert "4 of 5 seeds: -0.0498 so far over 3 stable seeds, no verdict between looks." in verdict.reading


def test_divergences_beyond_the_last_look_bar_every_plain_word(store: Store):
    for number, shift in enumerate((-0.05, 0.05, 0.0)):
        other = Store(store.root / f"{number}")
        other.baseline(5)
        other.shifted("hooks=hot", 3, shift)
        assert other.verdict("hooks=hot").word in ("better", "worse", "no difference")
        other.arm("hooks=hot", [None, None], seeds=[3, 4])
        verdict = other.verdict("hooks=hot")
        assert (verdict.word, verdict.stop) == ("cannot tell", "last look")
        assert "2 of 5 runs diverged here, 0 of 5 in the baseline (at the judged look 0 of 3 and 0 of 3, " in verdict.reading


def test_a_divergence_beside_which_the_baseline_has_no_run_bars_better_too(store: Store):
    store.baseline(3)
    store.shifted("hooks=hot", 3, -0.05)
    store.run("hooks=hot", 7, status="diverged")
    assert store.verdict("hooks=hot").word == "cannot tell"
    assert "1 of 4 runs diverged here, 0 of 3 in the baseline (at the judged look 0 of 3 and 0 of 3, " in store.verdict("hooks=hot").reading


def test_the_baselines_divergence_beyond_the_look_counts_for_the_arms_that_have_that_seed(store: Store):
    store.arm("baseline", [*BASE[:3], None])
    store.shifted("hooks=three", 3, -0.05)
    store.shifted("hooks=four", 4, -0.05)
    assert [store.verdict(f"hooks={name}").word for name in ("three", "four")] == ["better", "cannot tell"]
    assert "0 of 4 runs diverged here, 1 of 4 in the baseline" in store.verdict("hooks=four").reading


def test_a_divergence_outside_the_pinned_seeds_is_listed_and_bars_nothing(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    store.run("hooks=ema", 99, status="diverged")
    assert store.verdict("hooks=ema").word == "better"


def test_runs_that_were_there_before_this_pin_are_told(store: Store):
    folders = store.shifted("hooks=ema", 2, -0.05)
    store.pin(lock="second")
    store.baseline(3)
    for folder in folders:
        store.ask(folder, "hooks=ema")
    store.run("hooks=ema", 2, BASE[2] - 0.051)
    assert store.verdict("hooks=ema").reading.startswith("hooks=ema: better (2 of its runs were there before this pin). ")


def test_before_the_first_look_there_are_estimates_and_no_verdict(store: Store):
    store.baseline(3)
    store.shifted("model/norm=rmsnorm", 2, -0.05)
    verdict = store.verdict("model/norm=rmsnorm")
    assert (verdict.word, verdict.p) == ("before the first look", None)
    assert "2 of 3 seeds" in verdict.reading
    assert "-0.0" in verdict.reading
    assert "First look: 3 seeds (1 more, 60 seconds)" in verdict.reading


def test_four_seeds_are_judged_at_the_look_of_three(store: Store):
    store.pin(looks=[3, 5, 12])
    store.baseline(5)
    store.shifted("model/norm=rmsnorm", 4, 0.0, wobble=6)
    verdict = store.verdict("model/norm=rmsnorm")
    assert verdict.evidence.look == 3
    assert verdict.evidence.estimate is not None
    assert verdict.evidence.estimate.n == 3
    assert " 4 of 5 seeds: -0.001 so far, no verdict between looks. " in verdict.reading
    assert "Next look: 5 seeds (1 more" in verdict.reading


def test_a_failed_run_is_pending_and_not_a_divergence(store: Store):
    store.baseline(3)
    store.shifted("model/norm=rmsnorm", 2, -0.05)
    store.run("model/norm=rmsnorm", 2, status="failed")
    verdict = store.verdict("model/norm=rmsnorm")
    assert verdict.word == "before the first look"
    assert verdict.evidence.next is not None
    assert verdict.evidence.next.pending == (2,)


def test_a_hole_in_the_ordered_seeds_is_not_filled_by_a_later_seed(store: Store):
    store.baseline(5)
    store.shifted("model/norm=rmsnorm", 3, -0.05, seeds=[0, 1, 3])
    assert store.verdict("model/norm=rmsnorm").word == "before the first look"


def test_seeds_outside_the_list_are_shown_apart(store: Store):
    store.baseline(3)
    store.run("baseline", 99, 1.0)
    store.shifted("model/norm=rmsnorm", 3, 0.0)
    store.run("model/norm=rmsnorm", 99, 9.0)
    verdict = store.verdict("model/norm=rmsnorm")
    assert verdict.evidence.extra == (99,)
    assert verdict.word == "no difference"


def test_a_crossing_that_is_not_confirmed_is_not_a_claim(store: Store):
    store.pin(looks=[3, 8], smallest_effect=0.001)
    store.baseline(8)
    later = [base + 0.04 * (-1) ** seed for seed, base in enumerate(BASE[3:8])]
    store.arm("hooks=ema", [BASE[0] - 0.0101, BASE[1] - 0.0100, BASE[2] - 0.0099, *later])
    verdict = store.verdict("hooks=ema")
    assert verdict.word == "cannot tell"
    assert "crossed at look 3" in verdict.reading
    assert "not confirmed" in verdict.reading


def test_a_crossing_that_is_not_confirmed_is_no_equality_either(store: Store):
    store.pin(looks=[3, 8], smallest_effect=0.2)
    store.baseline(8)
    later = [base + 0.04 * (-1) ** seed for seed, base in enumerate(BASE[3:8])]
    store.arm("hooks=ema", [BASE[0] - 0.0101, BASE[1] - 0.0100, BASE[2] - 0.0099, *later])
    verdict = store.verdict("hooks=ema")
    assert verdict.word == "cannot tell"
    assert "crossed at look 3 with p < 0.001 (Holm, 1 arm), not confirmed: today it includes zero" in verdict.reading


def test_many_arms_in_a_study_make_each_claim_harder(store: Store):
    store.baseline(3)
    store.shifted("hooks=alone", 3, -0.005)
    assert store.verdict("hooks=alone").word == "better"
    for arm in range(40):
        store.run(f"hooks=h{arm}", 0, status="unfinished")
    verdict = store.verdict("hooks=alone")
    assert verdict.family == 41
    assert verdict.word == "cannot tell"
    assert "it excludes zero, but not once corrected" in verdict.reading


def test_an_arm_is_judged_in_the_study_of_its_first_request_and_counts_in_every(store: Store):
    store.baseline(3)
    folder = store.shifted("hooks=ema", 3, -0.05, study="averages")[0]
    store.shifted("hooks=other", 3, -0.05, study="later")
    assert store.verdict("hooks=other").family == 1
    store.ask(folder, "hooks=ema", study="later")
    ema = store.verdict("hooks=ema")
    assert (ema.evidence.arm.study, ema.family) == ("averages", 2), "its p is the largest over both"
    assert ema.evidence.p is not None and ema.p == pytest.approx(2 * ema.evidence.p)
    assert store.verdict("hooks=other").family == 2


@pytest.mark.parametrize("again", ["alone", "screening"])
def test_sweeping_the_lucky_arm_again_alone_does_not_undo_the_correction(store: Store, again: str):
    store.baseline(3)
    lucky = store.shifted("hooks=lucky", 3, -0.008, wobble=2.0, study="four")
    for arm in range(3):
        store.shifted(f"hooks=h{arm}", 3, 0.0, wobble=4, study="four")
    before = store.verdict("hooks=lucky")
    assert before.evidence.p is not None
    assert before.evidence.p < 0.05  # alone, it would be called better
    assert (before.word, before.family) == ("cannot tell", 4)
    for folder in lucky:
        store.ask(folder, "hooks=lucky", study=again)
    store.run("hooks=lucky", 3, BASE[3] - 0.008, study=again)
    after = store.verdict("hooks=lucky")
    assert (after.word, after.family, after.p) == (before.word, before.family, before.p)


def test_an_arm_asked_for_first_in_another_cohort_was_declared_there(store: Store):
    store.shifted("hooks=ema", 1, -0.05, study="wide", cohort="d" * 64)
    store.run("hooks=other", 0, status="unfinished", study="wide", cohort="d" * 64)
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, study="alone")
    assert store.verdict("hooks=ema").family == 2


def test_exploring_declares_no_study(store: Store):
    store.baseline(3)
    for folder in store.shifted("hooks=ema", 3, -0.05, study="play", exploring=True):
        store.ask(folder, "hooks=ema", study="meant")
    assert store.verdict("hooks=ema").evidence.arm.study == "meant"


def test_single_runs_are_tagged_as_screening(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, study="screening")
    assert store.verdict("hooks=ema").reading.startswith("hooks=ema (screening): better.")


def test_pairs_across_bits_are_allowed_and_marked(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, bits={"torch": "2.13", "threads": 4})
    verdict = store.verdict("hooks=ema")
    assert verdict.evidence.across_bits == 3
    assert verdict.reading.startswith("hooks=ema: better (3 pairs across bits). -0.0")


def test_training_again_under_other_bits_does_not_replace_the_first_number(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, +0.05, bits={"threads": 1})
    store.shifted("hooks=ema", 3, -0.05, bits={"threads": 2})
    verdict = store.verdict("hooks=ema")
    assert verdict.word == "worse"
    assert len(verdict.evidence.arm.surplus) == 3


def test_training_again_under_the_baselines_bits_does_not_replace_a_finished_result(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, +0.05, bits={"threads": 2})
    store.shifted("hooks=ema", 3, -0.05)
    verdict = store.verdict("hooks=ema")
    assert verdict.word == "worse"
    assert len(verdict.evidence.arm.surplus) == 3


@pytest.mark.parametrize("metric", ["bits_per_byte", "nats_per_token"])
def test_the_primary_metric_is_the_pins(store: Store, metric: str):
    store.pin(metric=metric)
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    assert store.verdict("hooks=ema").word == "better"


def test_a_finished_run_without_the_primary_metric_is_pending(store: Store):
    store.baseline(3)
    folder = store.shifted("hooks=ema", 3, -0.05)[1]
    result = json.loads((folder / "result.json").read_text())
    del result["metrics"]["validation_bits_per_byte"]
    write_json(folder / "result.json", sealed(result))
    assert store.verdict("hooks=ema").word == "before the first look"


def test_an_edit_of_an_arms_own_code_does_not_start_a_smaller_family(store: Store):
    store.baseline(3)
    store.shifted("hooks=lucky", 3, -0.008, wobble=2.0, study="four")
    for arm in range(3):
        store.shifted(f"hooks=h{arm}", 3, 0.0, wobble=4, study="four")
    assert store.verdict("hooks=lucky").family == 4
    store.shifted("hooks=lucky", 3, -0.008, wobble=2.0, study="alone", code=CODE | {"lab.hooks.lucky": "edited"})
    assert store.verdict("hooks=lucky").family == 5, "the edited arm stays in the study that its change was declared in"
