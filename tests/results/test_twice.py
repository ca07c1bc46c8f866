"""Runs that ought to be one and aren't: named, and marked on every verdict that rests on them."""

from __future__ import annotations

import json
import shutil

from lab.ablate.certificate import map_hash
from lab.files import read_json, sealed, write_json

from .store import BASE, CODE, MEASURE, Store, digest

EDITED = {**CODE, "lab.model.gpt": "0" * 64}
AGAIN = {**EDITED, "lab.experiment": "1" * 64}
MOVED = {"at": "step 3", "what": "the loss", "was": 5.0, "now": 5.1}
TWICE = "(a run of it was trained twice, to unequal ends)"
REFUTED = "(runs refute a certificate that joins its code)"


def unequal(store: Store) -> list[str]:
    return [each.line for each in store.section().unequal]


def reading(store: Store, label: str) -> str:
    return store.verdict(label).reading


def test_twins_of_equal_weights_and_another_metric_are_named_and_marked(store: Store) -> None:
    store.baseline(3)
    folders = store.shifted("hooks=ema", 3, 0.0)
    assert unequal(store) == []
    for folder in folders:
        copy = store.root / "runs/demo/000000" / folder.name
        shutil.copytree(folder, copy)
        result = read_json(copy / "result.json")
        result["metrics"][MEASURE] -= 0.05
        write_json(copy / "result.json", sealed(result))
    assert [f": unequal metrics of equal weights ({MEASURE})" in line for line in unequal(store)] == [True] * 3
    assert TWICE in reading(store, "hooks=ema")


def test_a_measure_that_an_observer_adds_makes_no_twin_unequal(store: Store) -> None:
    store.run("baseline", 0, BASE[0])
    twin = store.run("baseline", 0, BASE[0], suffix=".2")
    result = read_json(twin / "result.json")
    result["metrics"]["attention_entropy"] = 1.5
    write_json(twin / "result.json", sealed(result))
    assert unequal(store) == []


def test_of_unequal_twins_the_first_asked_for_counts_wherever_it_lies(store: Store) -> None:
    store.baseline(3)
    folders = store.shifted("hooks=ema", 3, +0.05)
    for folder in folders:
        copy = store.root / "runs/demo/000000" / folder.name
        shutil.copytree(folder, copy)
        result = read_json(copy / "result.json")
        result["metrics"][MEASURE] -= 0.1
        write_json(copy / "result.json", sealed(result))
        request = json.loads((copy / "requests.jsonl").read_text())
        (copy / "requests.jsonl").write_text(json.dumps(request | {"number": 900 + request["number"]}) + "\n")
    assert store.verdict("hooks=ema").word == "worse"


def test_a_twin_of_another_arm_leaves_a_verdict_unmarked(store: Store) -> None:
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    store.shifted("hooks=z_loss", 3, -0.05)
    store.run("hooks=ema", 0, BASE[0] - 0.05, suffix=".2", weights=digest("another"))
    assert TWICE in reading(store, "hooks=ema")
    assert reading(store, "hooks=z_loss").startswith("hooks=z_loss: better. ")


def test_a_twin_of_the_baseline_marks_every_verdict(store: Store) -> None:
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05)
    store.run("baseline", 0, BASE[0], suffix=".2", weights=digest("another"))
    assert TWICE in reading(store, "hooks=ema")


def test_an_edit_whose_runs_refute_its_certificate_is_told_as_refuting_it(store: Store) -> None:
    store.baseline(3)
    label = store.edit(EDITED, 3)
    assert unequal(store) == []
    store.certificate(CODE, EDITED)
    assert ["although certificates join their code" in line for line in unequal(store)] == [True] * 3
    assert reading(store, label).startswith(f"{label}: better {REFUTED}. ")


def test_an_arm_that_leans_on_a_refuted_certificate_is_marked(store: Store) -> None:
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, code=EDITED)
    store.certificate(CODE, EDITED)
    assert reading(store, "hooks=ema").startswith("hooks=ema: better. ")
    store.edit(EDITED, 1)
    assert reading(store, "hooks=ema").startswith(f"hooks=ema: better {REFUTED}. ")


def test_a_certificate_that_is_refuted_on_a_seed_beyond_the_look_marks_who_leans_on_it(store: Store) -> None:
    store.baseline(3)
    store.run("baseline", 7, BASE[7])
    store.run(f"code={map_hash(EDITED)[:8]}", 7, BASE[7] - 0.05, code=EDITED)
    store.shifted("hooks=ema", 3, -0.05, code=EDITED)
    store.shifted("hooks=z_loss", 3, -0.05)
    store.certificate(CODE, EDITED)
    assert REFUTED in reading(store, "hooks=ema")
    assert reading(store, "hooks=z_loss").startswith("hooks=z_loss: better. ")


def test_every_verdict_on_seeds_that_a_refuted_certificate_pools_is_marked(store: Store) -> None:
    store.baseline(2)
    store.arm("baseline", BASE[:3], code=EDITED)
    store.shifted("hooks=ema", 3, -0.05)
    store.certificate(CODE, EDITED)
    assert len(unequal(store)) == 2
    assert REFUTED in reading(store, "hooks=ema")


def aside(store: Store) -> dict[str, str]:
    return {item.label: item.why for item in store.section().lineup.asides}


def test_a_difference_that_a_replay_found_wins_over_a_certificate_of_the_same_edit(store: Store) -> None:
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, code=EDITED)
    path = store.certificate(CODE, EDITED)
    path.rename(path.with_name("copied.json"))
    store.certificate(CODE, EDITED, MOVED)
    verdict = store.verdict("hooks=ema")
    assert verdict.word == "refused"
    assert "a replay of the baseline found that it matters: the first difference is at step 3: the loss" in verdict.reading


def test_a_difference_that_a_replay_found_wins_over_a_chain_of_certificates(store: Store) -> None:
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, code=AGAIN)
    store.shifted("hooks=z_loss", 3, -0.05, code=EDITED)
    store.certificate(CODE, EDITED)
    store.certificate(EDITED, AGAIN)
    assert [verdict.label for verdict in store.section().verdicts] == ["hooks=ema", "hooks=z_loss"]
    store.certificate(CODE, AGAIN, MOVED)
    assert [verdict.label for verdict in store.section().verdicts if verdict.word != "refused"] == ["hooks=z_loss"]
    assert "found that it matters" in store.verdict("hooks=ema").reading


def test_runs_of_the_baseline_told_apart_by_a_replay_are_never_pooled(store: Store) -> None:
    store.baseline(3)
    store.run("baseline", 3, BASE[3], code=AGAIN, number=0)
    store.certificate(CODE, EDITED)
    store.certificate(EDITED, AGAIN)
    store.certificate(AGAIN, CODE, MOVED)
    lineup = store.section().lineup
    assert lineup.baseline is not None and sorted(lineup.baseline.runs) == [0, 1, 2]
    assert lineup.reference is not None and [map_hash(code) for code in lineup.reference.maps] == [map_hash(CODE), map_hash(EDITED)]


def test_a_superseded_arm_says_which_seeds_are_lost_to_the_newer(store: Store) -> None:
    store.baseline(4)
    store.shifted("hooks=ema", 3, -0.05)
    store.certificate(CODE, EDITED)
    store.run("hooks=ema", 3, BASE[3] - 0.05, code=EDITED)
    assert store.verdict("hooks=ema").word == "before the first look"
    assert aside(store)["hooks=ema"].endswith(", which doesn't count its seeds 0, 1, 2")
