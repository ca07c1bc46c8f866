"""A declared factorial in the report: main effects and interactions are judged, its cells are not."""

from __future__ import annotations

import pytest

from lab.errors import ConfigError, StoreError
from lab.files import read_sealed, sealed, write_json
from lab.results.contrasts import contrasts
from lab.results.facts_of_cells import EffectFacts, FactorialFacts
from lab.results.journal import reader, write_journal
from lab.store.declaration import CURVE, FACTORIAL, Declaration, Factor, parse_declaration
from lab.store.studies import declare, file_name, read_declarations

from .grids import HOOKS, NORM, added, cells, declaration, factorial, label_of, told
from .store import BASE, CODE, Store

DEPTH = Factor("model.n_layers", ("2", "1", "4"))
BOTH = "model/norm=rmsnorm x hooks=grad_clip"


def the_study(store: Store) -> FactorialFacts:
    (study,) = store.facts().sections[0].factorials
    return study


def effects(store: Store) -> dict[str, EffectFacts]:
    return {each.name: each for each in the_study(store).effects}


# -- what an effect is


def test_a_factorial_of_2_by_3_has_three_main_effects_and_two_interactions() -> None:
    found = contrasts([NORM, DEPTH], ("layernorm", "2"))
    assert [(each.name, each.kind) for each in found] == [
        ("model/norm=rmsnorm", "main"),
        ("model.n_layers=1", "main"),
        ("model.n_layers=4", "main"),
        ("model/norm=rmsnorm x model.n_layers=1", "interaction"),
        ("model/norm=rmsnorm x model.n_layers=4", "interaction"),
    ]


def test_a_main_effect_is_the_mean_over_the_levels_of_the_other_factor() -> None:
    main = contrasts([NORM, DEPTH], ("layernorm", "2"))[0]
    assert main.weights == pytest.approx({(norm, depth): 1 / 3 if norm == "rmsnorm" else -1 / 3 for norm, depth in cells([NORM, DEPTH])})
    depth = contrasts([NORM, DEPTH], ("layernorm", "2"))[1]
    assert depth.weights == {("layernorm", "1"): 0.5, ("rmsnorm", "1"): 0.5, ("layernorm", "2"): -0.5, ("rmsnorm", "2"): -0.5}


def test_an_interaction_is_a_difference_of_differences_averaged_over_a_third_factor() -> None:
    interaction = contrasts([NORM, HOOKS, DEPTH], ("layernorm", "none", "2"))[4]
    assert (interaction.name, len(interaction.weights)) == (BOTH, 12)
    third = pytest.approx(1 / 3)
    assert interaction.weights["rmsnorm", "grad_clip", "4"] == interaction.weights["layernorm", "none", "1"] == third
    assert interaction.weights["rmsnorm", "none", "2"] == -interaction.weights["rmsnorm", "grad_clip", "2"]


def test_the_estimates_are_those_counted_by_hand(store: Store) -> None:
    values = {("layernorm", "none"): 2.0, ("rmsnorm", "none"): 2.1, ("layernorm", "grad_clip"): 2.3, ("rmsnorm", "grad_clip"): 2.6}
    factorial(store, [NORM, HOOKS], lambda levels, seed: values[levels] + 0.001 * seed * (levels[0] == "rmsnorm"), 3)
    found = effects(store)
    assert found["model/norm=rmsnorm"].difference == pytest.approx(0.2 + 0.001)
    assert found["hooks=grad_clip"].difference == pytest.approx(0.4)
    assert found[BOTH].difference == pytest.approx(0.2)


# -- how it is judged


def test_main_effects_are_found_and_what_only_adds_up_is_no_interaction(store: Store) -> None:
    factorial(store, [NORM, HOOKS], added({"rmsnorm": -0.05, "grad_clip": 0.04}, 0.2), 3)
    found = effects(store)
    assert {name: each.verdict for name, each in found.items()} == {
        "model/norm=rmsnorm": "better",
        "hooks=grad_clip": "worse",
        BOTH: "no interaction",
    }
    assert {each.family for each in found.values()} == {3}
    assert all(each.look == 3 and each.n == 3 and each.stop == "decided" for each in found.values())
    assert the_study(store).next is None


def test_an_interaction_is_named_and_the_main_effects_point_to_it(store: Store) -> None:
    alone = added({"rmsnorm": -0.05}, 0.2)
    factorial(store, [NORM, HOOKS], lambda levels, seed: (alone(levels, seed) or 0) + 0.08 * (levels == ("rmsnorm", "grad_clip")), 3)
    found = effects(store)
    assert found[BOTH].verdict == "interaction"
    assert "It depends on another factor (model.norm=rmsnorm x hooks=grad_clip)" in found["model/norm=rmsnorm"].reading
    assert "read the cells" in found["hooks=grad_clip"].reading


def test_an_effect_that_is_sure_and_smaller_than_d_is_tagged(store: Store) -> None:
    factorial(store, [NORM, HOOKS], added({"rmsnorm": -0.002}, 0.05), 3)
    main = effects(store)["model/norm=rmsnorm"]
    assert (main.verdict, main.said) == ("better", "better, negligible")
    assert main.reading.startswith("model.norm=rmsnorm (main effect): better, negligible.")


def test_the_cells_means_are_over_the_seeds_that_all_have(store: Store) -> None:
    factorial(store, [NORM, HOOKS], added({}, 0.0), 3)
    store.run("baseline", 3, 9.0, changes=0, study="other")
    assert {round(cell.mean or 0.0, 6) for cell in the_study(store).cells} == {round(sum(BASE[:3]) / 3, 6)}


def test_no_cell_gets_a_verdict_and_all_count_as_tried(store: Store) -> None:
    factorial(store, [NORM, HOOKS], added({}), 3)
    report = store.report()
    assert report.sections[0].verdicts == () and report.unread == () and report.exploring == ()
    assert report.tried == 3
    (study,) = store.facts().sections[0].studies
    assert (study.design, study.arms) == (FACTORIAL, 3)


def test_a_cell_that_is_asked_for_as_an_arm_too_is_corrected_over_the_cells(store: Store) -> None:
    factorial(store, [NORM, HOOKS, DEPTH], added({"rmsnorm": -0.05}), 3)
    for folder in store.root.glob("runs/demo/*/seed=*"):
        if read_sealed(folder / "manifest.json")["label"] == "model/norm=rmsnorm":
            store.ask(folder, "model/norm=rmsnorm", study="alone")
    verdict = store.verdict("model/norm=rmsnorm")
    assert (verdict.evidence.arm.study, verdict.evidence.arm.also, verdict.family) == ("alone", ("grid",), 11)


def test_several_changes_without_a_cell_are_still_never_judged(store: Store) -> None:
    store.baseline(3)
    store.shifted("model/norm=rmsnorm+hooks=grad_clip", 3, -0.05, changes=2)
    assert store.section().verdicts == () and store.section().factorials == ()


def test_an_effect_waits_for_a_cell_that_is_missing(store: Store) -> None:
    factorial(store, [NORM, HOOKS], added({"rmsnorm": -0.05}), 2)
    found = effects(store)
    assert {each.verdict for each in found.values()} == {"before the first look"}
    assert "2 of 3 seeds in all of its cells" in found[BOTH].reading
    following = the_study(store).next
    assert following is not None
    assert following.pending == (2,) and following.command.endswith("hooks=none,grad_clip seed=2")


def test_a_seed_at_which_a_cell_diverged_is_left_out_and_said_and_bars_a_plain_word(store: Store) -> None:
    alike = added({"rmsnorm": -0.05}, 0.2)
    lost = ("rmsnorm", "4")
    factorial(store, [NORM, DEPTH], lambda levels, seed: None if (levels, seed) == (lost, 1) else alike(levels, seed), 3)
    found = effects(store)
    main, spared = found["model/norm=rmsnorm"], found["model.n_layers=1"]
    assert (main.verdict, main.n, main.left_out, main.p) == ("cannot tell", 2, (1,), None)
    assert "Left out, since a cell of it diverged: seed 1." in main.reading
    assert (spared.n, spared.left_out) == (3, ()) and spared.p is not None  # none of its cells diverged
    assert the_study(store).notes == ("model.norm=rmsnorm+model.n_layers=4: diverged on seed 1",)


def test_a_divergence_beyond_the_look_bars_a_plain_word_too(store: Store) -> None:
    alike = added({"rmsnorm": -0.05}, 0.2)
    factorial(store, [NORM, HOOKS], lambda levels, seed: None if seed == 3 and levels == ("rmsnorm", "none") else alike(levels, seed), 4)
    main = effects(store)["model/norm=rmsnorm"]
    assert (main.verdict, main.n) == ("cannot tell", 3)
    assert "diverged on another pinned seed" in main.reading


def test_a_knob_that_does_nothing_in_any_cell_is_identical(store: Store) -> None:
    factorial(store, [NORM, HOOKS], lambda levels, seed: BASE[seed] - 0.05 * (levels[0] == "rmsnorm") * (1 + 0.01 * seed), 3)
    found = effects(store)
    assert found["hooks=grad_clip"].verdict == "identical" and found["model/norm=rmsnorm"].verdict == "better"


def test_cells_under_other_code_are_named_and_not_compared(store: Store) -> None:
    declare(store.root, declaration(store, "grid", [NORM, HOOKS]))
    store.baseline(3, study="grid")
    for levels in cells([NORM, HOOKS])[1:]:
        cell, label = told(FACTORIAL, [NORM, HOOKS], levels), label_of([NORM, HOOKS], levels)
        store.shifted(label, 3, 0.0, study="grid", cell=cell, code={**CODE, "lab.model.gpt": "0" * 64})
    study = the_study(store)
    assert {each.verdict for each in study.effects} == {"before the first look"}
    assert len(study.notes) == 3 and all("Its code isn't the baseline's: lab.model.gpt differs" in note for note in study.notes)


def test_a_cell_under_other_bits_is_marked(store: Store) -> None:
    factorial(store, [NORM], added({}), 3)
    cell = told(FACTORIAL, [NORM, HOOKS], ("rmsnorm", "grad_clip"))
    declare(store.root, declaration(store, "two", [NORM, HOOKS]))
    store.shifted(label_of([NORM, HOOKS], ("rmsnorm", "grad_clip")), 2, 0.0, changes=2, study="two", cell=cell, bits={"torch": "other"})
    notes = next(each.notes for each in store.facts().sections[0].factorials if each.study == "two")
    assert "model.norm=rmsnorm+hooks=grad_clip: under other bits than the baseline on seeds 0, 1" in notes
    assert "hooks=grad_clip: none of its runs is here" in notes


def test_the_journal_says_what_a_cell_is(store: Store) -> None:
    factorial(store, [NORM, HOOKS], added({}), 3)
    lab = store.report().lab
    happened = {entry.label: entry.happened[0] for entry in write_journal(lab, store.name, reader(store.root, lab)).entries}
    assert happened["model.norm=rmsnorm+hooks=grad_clip"].startswith("a cell of a factorial, which gets no verdict of its own")


# -- what is declared


def test_what_was_declared_before_there_were_designs_is_written_and_read_as_ever(store: Store) -> None:
    plain = store.declare("norms", "hooks=ema")
    content = read_sealed(store.root / "runs" / "demo" / "studies" / file_name("norms", store.lock))
    assert content["schema"] == 1 and not {"design", "factors"} & content.keys()
    assert [set(arm) for arm in content["arms"]] == [{"label", "change_id", "after"}]
    assert parse_declaration(content, "demo") == plain


def test_a_factorial_reads_back_as_it_was_declared(store: Store) -> None:
    declared = declare(store.root, declaration(store, "grid", [NORM, DEPTH]))
    found, damaged = read_declarations(store.root / "runs", "demo")
    assert (found, damaged) == ([declared], [])
    assert declared.of_cells and declared.arms[0].levels == ("layernorm", "1")


@pytest.mark.parametrize(
    ("part", "odd"),
    [
        ("design", "ladder"),
        ("factors", []),
        ("factors", [{"key": "model/norm", "levels": []}]),
        ("factors", [{"key": str(key), "levels": ["0", "1"]} for key in range(60)]),
        ("arms", [{"label": "x", "change_id": "y", "levels": ["rmsnorm"]}]),
        ("arms", [{"label": "x", "change_id": "y", "levels": ["rmsnorm", "7"]}]),
    ],
)
def test_a_damaged_factorial_is_left_out_by_name(store: Store, part: str, odd: object) -> None:
    declare(store.root, declaration(store, "grid", [NORM, DEPTH]))
    path = store.root / "runs" / "demo" / "studies" / file_name("grid", store.lock)
    write_json(path, sealed(read_sealed(path) | {part: odd}))
    assert read_declarations(store.root / "runs", "demo") == ([], [(f"demo/studies/{path.name}", f"'{part}': not as it is written")])
    with pytest.raises(StoreError, match="can't be used"):
        declare(store.root, declaration(store, "grid", [NORM, DEPTH]))


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (lambda store: declaration(store, "grid", [NORM, DEPTH]), "factors: model/norm=layernorm, rmsnorm, hooks=none, grad_clip, now"),
        (lambda store: declaration(store, "grid", [NORM], CURVE), "design: factorial, now curve"),
        (lambda store: Declaration("grid", store.name, store.lock, "", False, ()), "design: factorial, now arms"),
    ],
)
def test_a_declared_factorial_stays_what_it_was_declared_as(store: Store, now: object, says: str) -> None:
    declare(store.root, declaration(store, "grid", [NORM, HOOKS]))
    with pytest.raises(ConfigError, match=says):
        declare(store.root, now(store))  # type: ignore[operator]
