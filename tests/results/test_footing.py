"""What each verdict stands on: its pairing with the baseline, seed by seed."""

from __future__ import annotations

import json

import pytest

from lab.files import sealed, write_json
from lab.results.telling import tell

from .store import BASE, Store, digest, paired

WHOLE = "initial values: 43 of 43 tensors bit-equal to the baseline; data: 400 of 400 batches the same; dropout: 12 of 12 sites keyed"


def pairing(store: Store) -> list[str]:
    return [f"{arm.label}: {line}" for arm in tell(store.report()).sections[0].arms for line in arm.pairing]


def test_each_arm_has_a_line_of_what_it_shares(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, pairing=paired())
    store.shifted("model=wide", 3, -0.05, pairing=paired(equal=3, same_draws=["embedding"] * 40))
    assert pairing(store) == [
        f"hooks=ema: {WHOLE}",
        "model=wide: initial values: 3 of 43 tensors bit-equal to the baseline (40 more share their draws at another size or scale); "
        "data: 400 of 400 batches the same; dropout: 12 of 12 sites keyed",
    ]


def test_seeds_that_are_paired_otherwise_are_named(store: Store):
    store.baseline(3)
    for seed, same in enumerate((400, 0, 400)):
        store.run("hooks=ema", seed, BASE[seed] - 0.05 + seed / 1000, pairing=paired(same=same))
    assert pairing(store) == [
        "hooks=ema: seed 1: NOT PAIRED IN DATA. " + WHOLE.replace("400 of 400", "0 of 400"),
        f"hooks=ema: seeds 0, 2: {WHOLE}",
    ]


def test_a_run_of_before_pairing_was_counted_says_so(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, pairing=None)
    assert pairing(store) == ["hooks=ema: not told in the manifest"]
    assert store.verdict("hooks=ema").reading.startswith("hooks=ema: better (pairing not told for 3 runs). -0.0")


def test_a_pairing_with_another_baseline_is_told_as_such(store: Store):
    store.name = "other"
    store.pin()
    folders, lock = store.shifted("hooks=ema", 3, -0.05, pairing=paired()), store.lock
    store.name = "demo"
    store.pin()
    store.baseline(3)
    for folder in folders:
        store.ask(folder, "hooks=ema")
    assert pairing(store) == [f"hooks=ema: {WHOLE} (told against baseline other, lock {lock[:8]}, for which it was trained)"]


@pytest.mark.parametrize("part", ["initial", "data", "dropout"])
@pytest.mark.parametrize("value", [None, 3, [], {}, {"of": "many"}])
def test_a_pairing_that_is_not_as_written_leaves_out_one_run(store: Store, part: str, value: object):
    folder = store.baseline(2)[0]
    path = folder / "manifest.json"
    write_json(path, sealed(json.loads(path.read_text()) | {"pairing": paired() | {part: value}}))
    report = store.report()
    assert report.runs_read == 1
    assert ["pairing" in item.why for item in report.left_out] == [True]


def unequal(store: Store) -> tuple[str, ...]:
    return tuple(each.line for each in store.section().unequal)


@pytest.mark.parametrize("name", ["weights", "judged_weights", "optimizer"])
def test_twins_that_differ_in_any_digest_are_named(store: Store, name: str):
    store.run("baseline", 0, BASE[0])
    store.run("baseline", 0, BASE[0], suffix=".2")
    assert unequal(store) == ()
    store.run("baseline", 0, BASE[0], suffix=".3", **{name: digest("another")})
    assert unequal(store)[0].endswith(f".3: unequal {name.replace('_', ' ')}")


def test_twins_with_other_rows_are_equal(store: Store):
    for suffix, rows in (("", 3), (".2", 5)):
        folder = store.run("baseline", 0, BASE[0], suffix=suffix)
        (folder / "metrics.jsonl").write_text("".join(json.dumps({"step": step, "loss": 2.0}) + "\n" for step in range(rows)))
    assert unequal(store) == ()


def test_twins_that_diverged_are_held_to_their_step_and_not_to_the_optimizer(store: Store):
    store.run("baseline", 0, None, status="diverged")
    store.run("baseline", 0, None, status="diverged", suffix=".2", optimizer=digest("another"))
    assert unequal(store) == ()
    store.run("baseline", 0, None, status="diverged", suffix=".3", step=41)
    assert unequal(store)[0].endswith(".3: they ended diverged at step 40 and diverged at step 41")
    other = Store(store.root / "other")
    other.run("baseline", 0, None, status="diverged")
    other.run("baseline", 0, BASE[0], suffix=".2")
    assert unequal(other)[0].endswith(".2: they ended diverged at step 40 and finished")


def test_an_edited_manifest_is_left_out_by_name(store: Store):
    folder = store.baseline(3)[1]
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"steps": 100', '"steps": 101'))
    report = store.report()
    assert report.runs_read == 2
    assert [item.why[:34] for item in report.left_out] == ["manifest.json was edited or damage"]


@pytest.mark.parametrize(
    ("told", "apart"),
    [
        (paired(same=1), "data"),
        (paired(same=199), "data"),
        (paired() | {"dropout": {"of": 12, "keyed": 0, "shared": 0}}, "dropout"),
        (paired(equal=3, other=["a"] * 40), "initial values"),
    ],
)
def test_pairing_that_fails_almost_wholly_is_marked_on_the_verdict(store: Store, told: dict[str, object], apart: str):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, pairing=told)
    assert store.verdict("hooks=ema").reading.startswith(f"hooks=ema: better (not paired in {apart}). ")
    assert pairing(store)[0].startswith(f"hooks=ema: NOT PAIRED IN {apart.upper()}. ")


def test_an_edit_of_the_code_without_a_run_beside_it_is_not_marked_for_that(store: Store):
    store.baseline(3)
    label = store.edit({"lab.experiment": "1" * 64}, 3)
    assert store.verdict(label).reading.startswith(f"{label}: better. ")
