"""A declared factorial in the report: main effects and interactions are judged, its cells are not."""

from __future__ import annotations

import pytest
from scipy.stats import ttest_1samp

from lab.errors import ConfigError, StoreError
from lab.files import read_sealed, sealed, write_json
from lab.results.contrasts import contrasts
from lab.results.effects import Judged, why_to_stop
from lab.results.facts_of_cells import EffectFacts, FactorialFacts
from lab.results.journal import reader, write_journal
from lab.results.picked import Picked
from lab.store.declaration import CURVE, FACTORIAL, Declaration, Factor, parse_declaration
from lab.store.studies import declare, file_name, read_declarations

from .grids import HOOKS, NORM, added, ask_for_cells, cells, declaration, factorial, label_of, told
from .store import BASE, CODE, Store, digest

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


def test_the_least_look_of_the_effects_that_are_open_is_the_one_to_go_on_to(store: Store) -> None:
    """The cells with four layers have two seeds, and the effects without them four."""
    store.pin(looks=[2, 4, 8])
    factorial(store, [NORM, HOOKS, DEPTH], added({}), lambda levels: 2 if levels[2] == "4" else 4)
    assert {each.look for each in the_study(store).effects} == {2, 4}
    following = the_study(store).next
    assert following is not None and (following.seeds, following.pending) == (4, (2, 3))


def test_effects_that_a_divergence_bars_ask_for_no_more_seeds(store: Store) -> None:
    store.pin(looks=[3, 5, 8])
    alike = added({"rmsnorm": -0.05}, 0.2)
    factorial(store, [NORM, HOOKS], lambda levels, seed: None if (levels, seed) == (("rmsnorm", "none"), 1) else alike(levels, seed), 3)
    assert {each.stop for each in the_study(store).effects} == {"diverged"}
    assert the_study(store).next is None


def test_without_a_chance_of_a_decision_an_effect_stops_and_with_one_it_goes_on(store: Store) -> None:
    store.pin(looks=[3, 5], smallest_effect=0.0001)
    factorial(store, [NORM, HOOKS], added({}, 100.0), 3)
    assert {each.stop for each in the_study(store).effects} == {"chance"} and the_study(store).next is None
    store.pin("another", looks=[3, 5], smallest_effect=0.05)
    factorial(store, [NORM, HOOKS], added({}, 20.0), 3, suffix="again")
    assert "" in {each.stop for each in the_study(store).effects} and the_study(store).next is not None


@pytest.mark.parametrize(("chance", "stop"), [(0.0, "chance"), (0.099, "chance"), (0.1, ""), (None, "")])
def test_no_chance_at_all_is_a_reason_to_stop_and_an_unknown_one_is_none(chance: float | None, stop: str) -> None:
    open_effect = Judged(contrasts([NORM, HOOKS], ("layernorm", "none"))[0], 3, (), False, None, 0.5)
    assert why_to_stop(open_effect, "cannot tell", chance, 5, Picked(3, "")) == stop


def test_a_factor_that_does_nothing_is_identical_in_its_interactions_too(store: Store) -> None:
    """Summed in another order, the same numbers differ in the last digit."""

    def value(levels: tuple[str, ...], seed: int) -> float:
        return 2.1 + int(digest(levels[1:], seed)[:6], 16) / 16**6 / 50

    factorial(store, [NORM, HOOKS, Factor("model.n_layers", ("2", "1"))], value, 3)
    found = effects(store)
    assert {each.verdict for name, each in found.items() if "rmsnorm" in name} == {"identical"}
    assert "identical" not in {each.verdict for name, each in found.items() if "rmsnorm" not in name}


def test_an_effect_without_a_p_counts_in_the_correction(store: Store) -> None:
    """The cells with four layers aren't there yet; the p of the others are as if theirs were 1."""
    values = added({"1": -0.003})
    factorial(store, [NORM, DEPTH], values, lambda levels: 0 if levels[1] == "4" else 3)
    found = effects(store)
    assert [name for name, each in found.items() if each.p is not None] == ["model.n_layers=1", "model/norm=rmsnorm x model.n_layers=1"]
    nominal = ttest_1samp(
        [sum((values((norm, "1"), k) or 0) - (values((norm, "2"), k) or 0) for norm in NORM.levels) / 2 for k in range(3)], 0
    ).pvalue
    assert found["model.n_layers=1"].p == pytest.approx(5 * nominal)


def test_the_newest_code_of_a_cell_counts(store: Store) -> None:
    factorial(store, [NORM, HOOKS], added({}), 3)
    old = effects(store)["hooks=grad_clip"].difference
    newer = {**CODE, "lab.model.gpt": "0" * 64}
    store.certificate(CODE, newer)
    label, cell = "hooks=grad_clip", told(FACTORIAL, [NORM, HOOKS], ("layernorm", "grad_clip"))
    store.shifted(label, 3, 0.4, study="grid", cell=cell, code=newer)
    now = effects(store)["hooks=grad_clip"].difference
    assert old is not None and now is not None and now - old == pytest.approx(0.2, abs=0.01)


# -- what its cells were picked from


def test_effects_are_corrected_over_the_largest_family_that_a_cell_is_in(store: Store) -> None:
    factorial(store, [NORM, HOOKS], added({"rmsnorm": -0.05}, 0.2), 3)
    before = effects(store)["model/norm=rmsnorm"]
    store.declare("screen", "model/norm=rmsnorm", *(f"x{number}" for number in range(19)))
    now = effects(store)["model/norm=rmsnorm"]
    assert (before.family, now.family) == (3, 20)
    assert before.p is not None and now.p == pytest.approx(before.p * 20 / 3)
    assert "over 20 as in study screen, that knew its cells" in now.reading
    store.declare("elsewhere", *(f"y{number}" for number in range(40)))
    assert effects(store)["model/norm=rmsnorm"].family == 20  # none of its cells is in that one


def test_a_study_that_only_asked_for_a_cell_counts_with_its_whole_family(store: Store) -> None:
    factorial(store, [NORM, HOOKS], added({"rmsnorm": -0.05}, 0.2), 3)
    for number in range(6):
        store.run(f"x{number}", 0, study="screen")
    for folder in store.root.glob("runs/demo/*/seed=0-*"):
        if read_sealed(folder / "manifest.json")["label"] == "hooks=grad_clip":
            store.ask(folder, "hooks=grad_clip", study="screen")
    assert {each.family for each in the_study(store).effects} == {7}


def test_a_part_of_an_earlier_grid_is_corrected_over_all_of_it_and_gets_no_plain_word(store: Store) -> None:
    factors = [NORM, HOOKS, DEPTH]
    factorial(store, factors, added({"rmsnorm": -0.05}, 0.2), 3)
    declare(store.root, declaration(store, "part", [NORM, HOOKS]))
    ask_for_cells(store, [NORM, HOOKS], "part")
    whole, part = store.facts().sections[0].factorials
    assert (whole.effects[0].verdict, whole.effects[0].family, len(whole.effects)) == ("better", 9, 9)
    first = part.effects[0]
    assert (first.verdict, first.family, first.stop) == ("cannot tell", 9, "declared late")
    assert part.next is None
    assert first.reading.endswith(
        "No plain word: hooks=grad_clip, model.norm=rmsnorm, model.norm=rmsnorm+hooks=grad_clip "
        "had been asked for before this was declared."
    )


@pytest.mark.parametrize("how", [{}, {"exploring": True}, {"lock": "another pin's"}])
def test_a_grid_over_a_cell_that_somebody_had_seen_gets_no_plain_word(store: Store, how: dict[str, object]) -> None:
    """Whoever asked for it, and for what: it had been seen."""
    folders = store.shifted("hooks=grad_clip", 3, 0.04, 0.2, study="screen", **how)
    factorial(store, [NORM], added({}), 3, study="other")
    declare(store.root, declaration(store, "grid", [NORM, HOOKS]))
    for folder in folders:
        store.ask(folder, "hooks=grad_clip", study="grid", cell=told(FACTORIAL, [NORM, HOOKS], ("layernorm", "grad_clip")))
    grid = next(each for each in store.facts().sections[0].factorials if each.study == "grid")
    assert grid.effects[1].reading.count("hooks=grad_clip") and {each.verdict for each in grid.effects} <= {"before the first look"}
    store.shifted(
        "model/norm=rmsnorm+hooks=grad_clip",
        3,
        0.04,
        0.2,
        changes=2,
        study="grid",
        cell=told(FACTORIAL, [NORM, HOOKS], ("rmsnorm", "grad_clip")),
    )
    grid = next(each for each in store.facts().sections[0].factorials if each.study == "grid")
    assert {each.verdict for each in grid.effects} == {"cannot tell"}
    assert "No plain word: hooks=grad_clip" in grid.effects[0].reading


def test_a_cell_that_was_explored_under_another_name_had_been_seen(store: Store) -> None:
    store.shifted("tame", 1, 0.04, study="screen", exploring=True, change_id=digest("change", "hooks=grad_clip"))
    factorial(store, [NORM, HOOKS], added({"rmsnorm": -0.05}, 0.2), 3)
    found = effects(store)["model/norm=rmsnorm"]
    assert (found.verdict, found.stop) == ("cannot tell", "declared late") and "No plain word: hooks=grad_clip had" in found.reading


def test_cells_that_cannot_be_read_count_in_a_grid_whose_declaration_is_gone(store: Store) -> None:
    factorial(store, [NORM, HOOKS], added({}), 2)
    for manifest in store.root.glob("runs/demo/*/seed=*/manifest.json"):
        if read_sealed(manifest)["label"] == "hooks=grad_clip":
            manifest.write_text("{")
    (store.root / "runs" / "demo" / "studies" / file_name("grid", store.lock)).unlink()
    assert store.report().tried == 3


def test_a_grid_whose_declaration_is_gone_still_counts_and_is_doubtful(store: Store) -> None:
    factorial(store, [NORM, HOOKS, DEPTH], added({"rmsnorm": -0.05}), 3)
    for folder in store.root.glob("runs/demo/*/seed=*"):
        if read_sealed(folder / "manifest.json")["label"] == "model/norm=rmsnorm":
            store.ask(folder, "model/norm=rmsnorm", study="alone")
    before, tried = store.verdict("model/norm=rmsnorm"), store.report().tried
    (store.root / "runs" / "demo" / "studies" / file_name("grid", store.lock)).unlink()
    now = store.verdict("model/norm=rmsnorm")
    assert (now.family, now.evidence.arm.also, store.report().tried) == (before.family, ("grid",), tried) == (11, ("grid",), 11)
    assert "the declaration of its study is damaged or gone, so its family may be larger" in now.doubts
    assert [(each.name, each.doubtful) for each in store.report().sections[0].studies] == [("alone", False), ("grid", True)]


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
