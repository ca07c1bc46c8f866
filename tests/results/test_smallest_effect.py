"""D: pinned, or read from the baseline's own curve and frozen."""

import json

import pytest

from lab.files import sealed, write_json

from .store import Store


@pytest.fixture
def auto(store: Store) -> Store:
    store.pin(smallest_effect="auto")
    return store


def test_an_automatic_d_is_two_per_cent_of_what_the_second_half_brought(auto: Store):
    auto.baseline(3, half=2.40, final=2.15)
    effect = auto.section().effect
    assert effect.value == pytest.approx(0.005)
    assert "averaged over 3 baseline seeds" in effect.origin


def test_d_waits_for_the_baselines_first_look(auto: Store):
    auto.baseline(2)
    effect = auto.section().effect
    assert effect.value is None
    assert "2 of 3 seeds" in effect.origin
    assert not (auto.root / "runs/demo/measured.json").exists()


def test_later_data_does_not_move_a_frozen_d(auto: Store):
    folders = auto.baseline(3)
    before = auto.section().effect
    for folder in folders:
        result = json.loads((folder / "result.json").read_text())
        result["metrics"]["half_curve_bits_per_byte"] = 9.0
        write_json(folder / "result.json", sealed(result))
    assert auto.section().effect == before


def test_another_lock_gets_its_own_d_and_the_first_is_kept(auto: Store):
    folders, locks = auto.baseline(3), [auto.lock]
    first = auto.section().effect.value
    auto.pin(lock="second", smallest_effect="auto", looks=[2])
    locks.append(auto.lock)
    for folder in folders:
        auto.ask(folder, "baseline")
    auto.report()
    entries = json.loads((auto.root / "runs/demo/measured.json").read_text())["measured"]
    assert [(entry["lock"], len(entry["seeds"])) for entry in entries] == [(locks[0], 3), (locks[1], 2)]
    assert entries[0]["smallest_effect"] == first


def test_a_loss_that_rose_has_no_default_and_the_report_asks_for_d(auto: Store):
    auto.baseline(3, half=2.10, final=2.15)
    auto.shifted("hooks=ema", 3, 0.0)
    report = auto.section()
    assert report.effect.value is None
    assert "the loss rose" in report.effect.origin
    assert "judgement.smallest_effect=" in report.effect.origin
    assert report.verdicts[0].word == "cannot tell"
    assert "without D 'no difference' can't be concluded" in report.verdicts[0].reading


def test_nats_per_token_have_no_default(store: Store):
    store.pin(metric="nats_per_token", smallest_effect="auto")
    store.baseline(3)
    assert store.section().effect.value is None


def test_a_pinned_d_is_used_as_it_is(store: Store):
    store.baseline(3)
    assert (store.section().effect.value, store.section().effect.origin) == (0.005, "pinned")


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 2}', '{"schema": 1, "measured": [3]}'])
def test_a_damaged_record_is_kept_and_the_report_says_so(auto: Store, content: str):
    auto.baseline(3)
    path = auto.root / "runs/demo/measured.json"
    path.write_text(content)
    effect = auto.section().effect
    assert effect.value == pytest.approx(0.005)
    assert "not frozen" in effect.origin
    assert path.read_text() == content


def test_a_store_that_cannot_be_written_still_gets_its_report(auto: Store):
    auto.baseline(3)
    name = auto.name
    auto.name = "elsewhere"
    auto.pin(smallest_effect="auto")
    for folder in sorted((auto.root / "runs" / name).glob("*/*")):
        auto.ask(folder, "baseline")
    (auto.root / "runs/elsewhere").write_text("a file where the folder would be")
    effect = auto.section().effect
    assert effect.value == pytest.approx(0.005)
    assert "not frozen" in effect.origin


def test_a_diverged_baseline_seed_is_left_out_of_d(auto: Store):
    auto.baseline(2)
    auto.run("baseline", 2, None, status="diverged", half=None, final=None)
    effect = auto.section().effect
    assert effect.value == pytest.approx(0.005)
    assert "2 baseline seeds" in effect.origin


def test_a_baseline_before_its_first_look_says_what_fixes_d(store: Store) -> None:
    store.pin(smallest_effect="auto")
    store.baseline(1)
    (line,) = [line for line in store.facts().sections[0].head if line.startswith("D: none")]
    assert line.endswith("1 of 3 seeds are there. To reach it: python run.py --multirun baseline=demo seed=1,2")
