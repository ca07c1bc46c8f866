"""Confirmations: which arm, on which seeds, declared before, read once, concluded by the report's rules; and a real one, end to end."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from lab.ablate.baseline import pin as make_pin
from lab.confirm import confirm, journal
from lab.confirm.arm import compose, find_candidate, fresh_seeds
from lab.confirm.verdict import Side, conclude, say
from lab.errors import ConfigError, DataError, StoreError
from lab.files import append_line, read_json, read_rows
from lab.results.collect import load
from lab.results.pin import read_pin
from lab.store import confirmations
from tests.conftest import Project
from tests.results.store import CODE, Store

D = 0.005
NAME = "confirmations.jsonl"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A baseline with three seeds and one arm beside it."""
    made = Store(tmp_path)
    made.baseline(3)
    made.shifted("model/norm=rmsnorm", 3, -0.02)
    return made


def silent(_: str) -> None:
    """Nobody listens."""


# -- which arm


@pytest.mark.parametrize("word", ["model/norm=rmsnorm", "model.norm=rmsnorm"])
def test_an_arm_is_named_by_its_label_in_either_spelling_or_by_its_id(store: Store, word: str) -> None:
    lab, pin = load(store.root / "runs"), read_pin(store.root, "demo")
    found = find_candidate(lab, pin, word)
    assert found.label == "model.norm=rmsnorm"
    assert find_candidate(lab, pin, found.run.arm_id[:8]) == found


def test_an_unknown_arm_is_refused_with_those_that_there_are(store: Store) -> None:
    with pytest.raises(ConfigError, match=r"no arm of baseline `demo` fits 'norm'.*\n  model\.norm=rmsnorm"):
        confirm(store.root, "norm", "demo", None, silent)


@pytest.mark.parametrize("told", [{"exploring": True}, {"changes": 2}, {"lock": "0" * 64}])
def test_what_explores_or_makes_two_changes_or_was_asked_under_another_pin_is_no_arm_to_confirm(store: Store, told: dict) -> None:
    store.shifted("model/mlp=swiglu", 1, -0.02, **told)
    with pytest.raises(ConfigError, match="no arm of baseline `demo` fits"):
        confirm(store.root, "model/mlp=swiglu", "demo", None, silent)


def test_an_edit_of_the_code_is_refused_since_two_codes_are_never_trained_at_once(store: Store) -> None:
    label = store.edit(CODE | {"lab.model.gpt": "0" * 64}, 3)
    with pytest.raises(ConfigError, match="is an edit of the code"):
        confirm(store.root, label, "demo", None, silent)


# -- on which seeds


def test_fresh_seeds_are_neither_pinned_nor_trained_nor_declared_by_anybody(store: Store) -> None:
    pin = read_pin(store.root, "demo")  # seeds 0 to 11
    assert fresh_seeds(store.root, pin, [], 3) == [12, 13, 14]
    store.run("model/norm=rmsnorm", 13)
    assert fresh_seeds(store.root, pin, [{"seeds": [14, 15]}], 3) == [12, 16, 17]
    store.name = "other"
    store.run("baseline", 12)
    assert fresh_seeds(store.root, pin, [{"seeds": [14, 15]}], 2) == [16, 17], "a run of another baseline may be the same run"


def test_one_seed_is_refused_and_what_was_declared_cannot_be_stretched(store: Store) -> None:
    with pytest.raises(ConfigError, match="one pair has no spread"):
        confirm(store.root, "model.norm=rmsnorm", "demo", 1, silent)
    declare(store, seeds=[12, 13, 14])
    with pytest.raises(ConfigError, match="declared with 3 seeds, before their data, and 5 are asked for now"):
        confirm(store.root, "model.norm=rmsnorm", "demo", 5, silent)


# -- what is kept


def declare(store: Store, *, seeds: Sequence[int], name: str = "a" * 12) -> dict:
    """The row that declares the store's arm."""
    run = find_candidate(load(store.root / "runs"), read_pin(store.root, "demo"), "model.norm=rmsnorm").run
    about = {"lock": store.lock, "arm_id": run.arm_id, "change_id": run.change_id, "label": "model/norm=rmsnorm"}
    return journal.add(confirmations.place(store.root / "runs", "demo"), "declared", id=name, seeds=list(seeds), **about)


def keep(store: Store, arm: Sequence[float | None], text: str = "t" * 64) -> None:
    """A confirmation of the store's arm as it lies there when it is through."""
    path, declared = confirmations.place(store.root / "runs", "demo"), declare(store, seeds=range(12, 12 + len(arm)))
    journal.add(path, "reading", id=declared["id"], text=text, n=1)
    sides = sides_of(arm), sides_of([2.1] * len(arm))
    found = conclude(*sides, read_pin(store.root, "demo"), D)
    about = {
        "text": text,
        "bytes": 500_000,
        "readings": 1,
        "smallest_effect": D,
        "origin": "pinned",
        "verdict": found.word,
        "not_paired": [],
    }
    about |= {"arm": [vars(each) for each in sides[0]], "baseline": [vars(each) for each in sides[1]]}
    journal.add(path, "confirmed", **journal.told(declared, "id", "lock", "arm_id", "change_id", "label", "seeds"), **about)


def sides_of(values: Sequence[float | None]) -> list[Side]:
    return [Side(value is None, value, f"weights {value} of {place}") for place, value in enumerate(values)]


def test_a_finished_confirmation_is_shown_and_nothing_is_written_or_read_again(store: Store) -> None:
    keep(store, [2.080, 2.081, 2.0795])
    lines = (store.root / "runs" / "demo" / NAME).read_bytes()
    said = confirm(store.root, "model.norm=rmsnorm", "demo", 8, silent)
    assert said.startswith("confirmed before, at 20")
    assert "Nothing was trained or read again." in said
    assert "model.norm=rmsnorm (" in said and "): better.\n" in said
    assert "95 % interval" in said and "(3 seeds)" in said
    assert "On the test range (500,000 bytes), read once in this store (this arm: once)." in said
    assert "untouched" not in said
    assert "seeds 12, 13, 14: neither pinned nor trained before" in said
    assert (store.root / "runs" / "demo" / NAME).read_bytes() == lines


def test_every_reading_of_the_same_test_range_counts_whoever_read_it(store: Store) -> None:
    keep(store, [2.080, 2.081, 2.0795])
    journal.add(store.root / "runs" / "other" / NAME, "reading", id="b" * 12, text="t" * 64, n=2)
    journal.add(store.root / "runs" / "other" / NAME, "reading", id="c" * 12, text="u" * 64, n=1)
    said = confirm(store.root, "model.norm=rmsnorm", "demo", None, silent)
    assert "read once in this store (this arm: once); 2 times by now. Each further reading makes it a little less untouched." in said


def test_an_edited_or_cut_journal_is_refused_since_readings_could_hide_in_it(store: Store) -> None:
    keep(store, [2.2, 2.21, 2.19])
    path = store.root / "runs" / "demo" / NAME
    whole = path.read_text()
    path.write_text(whole.replace('"verdict":"worse"', '"verdict":"better"'))
    with pytest.raises(StoreError, match=r"runs/demo/confirmations\.jsonl is damaged or was edited in 1 line, "):
        confirm(store.root, "model.norm=rmsnorm", "demo", None, silent)
    path.write_text(whole[:-20])
    with pytest.raises(StoreError, match="damaged or was edited in 1 line"):
        confirm(store.root, "model.norm=rmsnorm", "demo", None, silent)


@pytest.mark.parametrize("taken", [0, 1])
def test_a_row_that_was_taken_out_is_missed_by_the_next(store: Store, taken: int) -> None:
    keep(store, [2.2, 2.21, 2.19])
    path = store.root / "runs" / "demo" / NAME
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for number, line in enumerate(whole) if number != taken))
    with pytest.raises(StoreError, match="damaged or was edited in 1 line, or they were taken out"):
        confirm(store.root, "model.norm=rmsnorm", "demo", None, silent)


def test_a_damaged_line_of_another_baseline_is_told_as_a_reading_that_may_have_been(store: Store) -> None:
    keep(store, [2.080, 2.081, 2.0795])
    other = store.root / "runs" / "other"
    other.mkdir()
    append_line(other / NAME, {"kind": "reading"})  # without its seal
    said = confirm(store.root, "model.norm=rmsnorm", "demo", None, silent)
    assert "1 damaged line in other baselines' confirmations.jsonl: perhaps more readings" in said


def test_two_processes_never_confirm_at_once(store: Store) -> None:
    with journal.alone(store.root), pytest.raises(StoreError, match="another process confirms an arm in this store"):
        confirm(store.root, "model.norm=rmsnorm", "demo", None, silent)
    with journal.alone(store.root):
        pass  # it was let go


# -- what is concluded


@pytest.mark.parametrize(
    ("arm", "word"),
    [
        ([2.080, 2.081, 2.0795], "better"),
        ([2.120, 2.121, 2.1195], "worse"),
        ([2.1001, 2.0998, 2.1002], "no difference"),
        ([2.10, 2.12, 2.07], "cannot tell"),
        ([2.080, 2.081, None], "cannot tell"),
        ([None, None, None], "cannot tell"),
        ([2.080, 2.080, 2.080], "cannot tell"),
    ],
)
def test_the_words_are_the_reports_and_any_divergence_bars_a_plain_one(store: Store, arm: list[float | None], word: str) -> None:
    base = sides_of([2.1] * 3)
    found = conclude(sides_of(arm), base, read_pin(store.root, "demo"), D)
    assert found.word == word
    assert found.diverged_arm == arm.count(None)


def test_the_level_is_the_plain_one(store: Store) -> None:
    """p = 0.03: under five looks or among eight arms it would settle nothing."""
    store.pin(looks=[3, 5, 8, 12])
    found = conclude(sides_of([2.08, 2.09, 2.084]), sides_of([2.1] * 3), read_pin(store.root, "demo"), D)
    assert found.p == pytest.approx(0.034, abs=0.005)
    assert found.word == "better"


def test_bit_equal_runs_are_identical_and_higher_may_be_better(store: Store) -> None:
    pin = read_pin(store.root, "demo")
    sides = sides_of([2.1, 2.2, 2.3])
    assert conclude(sides, sides, pin, D).word == "identical"
    assert conclude(sides_of([2.2, 2.31, 2.4]), sides, replace(pin, direction="higher"), D).word == "better"


def test_divergence_is_counted_in_words_and_named_unstable_only_where_the_counts_say_it(store: Store) -> None:
    pin = read_pin(store.root, "demo")
    row = {"seeds": [*range(12, 18)], "smallest_effect": D, "origin": "pinned", "label": "a/b=c", "arm_id": "f" * 64, "bytes": 9}
    row |= {"not_paired": ["data", "dropout"]}
    base = sides_of([2.1, 2.2, 2.3, 2.1, 2.2, 2.3])
    found = conclude(sides_of([None] * 6), base, pin, D)
    assert (found.word, found.estimate) == ("unstable", None)
    said = say(row, found, pin, {"then": 0, "arm": 0, "now": 0})
    assert "6 of 6 runs diverged here, 0 of 6 in the baseline (exact p = 0.031" in said
    assert "The test range wasn't read" in said
    assert conclude(base, sides_of([None] * 6), pin, D).word == "stabler"
    some = conclude(sides_of([None, 2.0, 2.11, 1.9, 2.0, 2.1]), base, pin, D)
    told = say(row, some, pin, {"then": 3, "arm": 2, "now": 3})
    assert "a.b=c (ffffff): cannot tell (not paired in data and dropout)." in told
    assert "1 of 6 runs diverged here" in told and "When both were stable: -0." in told
    assert "read 3 times in this store (this arm: 2 times: a reading that was broken off counts). Each further reading" in told


def test_hostile_labels_stay_text(store: Store) -> None:
    row = {"seeds": [12, 13], "smallest_effect": None, "origin": "x\x1b[2J", "label": "a=\x1b[31mred\n", "arm_id": "f" * 64, "bytes": 9}
    row |= {"not_paired": []}
    sides = sides_of([2.0, 2.1]), sides_of([2.0, 2.2])
    said = say(row, conclude(*sides, read_pin(store.root, "demo"), None), read_pin(store.root, "demo"), {"then": 1, "arm": 1, "now": 1})
    assert "\x1b" not in said
    assert "without D 'no difference' can't be concluded" in said


# -- a real one


@pytest.fixture(scope="module")
def confirmed(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, subprocess.CompletedProcess[str]]:
    """An average that was tried at one seed, and confirmed on two."""
    project = Project(tmp_path_factory.mktemp("confirmed") / "tiny")
    shutil.copytree(tiny_template, project.root)
    project.python("run.py", "baseline=tiny", "hooks=ema", "seed=1", "note=does it help?")
    return project, call(project)


CALL = """
import sys; from pathlib import Path; from lab.confirm import confirm
print(confirm(Path.cwd(), "hooks=ema", "tiny", None, print)); assert "torch" not in sys.modules
"""


def call(project: Project, status: int = 0) -> subprocess.CompletedProcess[str]:
    """A confirmation in a process of its own; it starts five that load torch, which takes a minute on a busy machine."""
    words = [sys.executable, "-c", CALL]
    done = subprocess.run(words, cwd=project.root, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def test_a_confirmation_trains_fresh_pairs_and_judges_the_judged_weights_on_the_test_range(
    confirmed: tuple[Project, subprocess.CompletedProcess[str]],
) -> None:
    project, done = confirmed
    rows, damaged = read_rows(project.root / "runs" / "tiny" / NAME)
    assert [row["kind"] for row in rows] == ["declared", "reading", "confirmed"]
    assert damaged == 0
    declared, reading, kept = rows
    assert declared["seeds"] == kept["seeds"] == [4, 5]
    assert declared["id"] == reading["id"] == kept["id"]
    assert (reading["n"], kept["readings"]) == (1, 1)
    assert 800 < kept["bytes"] < 1000, "5 % of the text, and no more than a final evaluation reads"
    manifests = [read_json(path) for path in sorted(project.root.glob("runs/tiny/*/seed=*/manifest.json"))]
    assert sorted((each["label"], each["seed"]) for each in manifests) == [
        *(("baseline", seed) for seed in (4, 5)),
        *(("hooks=ema", seed) for seed in (1, 4, 5)),
    ]
    results = {(each["label"], each["seed"]): result_of(project, each["identity"]) for each in manifests}
    for seed, side in zip((4, 5), kept["arm"], strict=True):
        result = results["hooks=ema", seed]
        assert side["weights"] == result["digests"]["judged_weights"]
        value, raw = (result["metrics"][f"validation_{name}bits_per_byte"] for name in ("", "raw_"))
        assert side["value"] == pytest.approx(value, rel=0.02)
        assert side["value"] != value
        assert abs(side["value"] - value) < abs(side["value"] - raw), "the average, not the weights that it is of"
    requests = [row for path in project.root.glob("runs/tiny/*/seed=[45]*/requests.jsonl") for row in read_rows(path)[0]]
    assert {row["study"] for row in requests} == {"confirm"}
    assert "read once in this store (this arm: once)" in done.stdout
    first = done.stdout.splitlines()
    assert first[0] == "declared: hooks=ema against baseline `tiny`, once, on seeds 4, 5"
    assert re.fullmatch(
        r"4 of 4 runs to train: about \d+ s on this machine(, \d at once)?; cut off, it goes on with the same command", first[1]
    )


def result_of(project: Project, identity: str) -> dict:
    return read_json(next(project.root.glob(f"runs/tiny/*/seed=*-{identity[:12]}/result.json")))


def copied(confirmed: tuple[Project, object], tmp_path: Path) -> Project:
    shutil.copytree(confirmed[0].root, tmp_path / "tiny")
    return Project(tmp_path / "tiny")


def test_a_confirmation_that_was_cut_off_goes_on_with_its_seeds_and_its_reading_counts(
    confirmed: tuple[Project, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    project = copied(confirmed, tmp_path)
    path = project.root / "runs" / "tiny" / NAME
    *first, last = path.read_text().splitlines(keepends=True)
    path.write_text("".join(first))
    said = call(project).stdout
    assert (
        f"goes on with the confirmation that was declared on {yaml.safe_load(last)['at'][:10]}, on seeds 4, 5: 4 of 4 runs are there"
        in said
    )
    assert "nothing to train: all 4 runs are there" in said
    assert said.count("found, not trained again") == 4
    assert "read 2 times in this store (this arm: 2 times: a reading that was broken off counts)" in said
    rows, _ = read_rows(path)
    assert [row["kind"] for row in rows] == ["declared", "reading", "reading", "confirmed"]
    was = yaml.safe_load(last)
    assert (rows[-1]["arm"], rows[-1]["baseline"]) == (was["arm"], was["baseline"]), "the same weights cost the same"


def test_an_arm_is_composed_as_its_newest_run_was_also_where_that_was_trained_for_another_baseline(
    confirmed: tuple[Project, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    project = copied(confirmed, tmp_path)
    pin, composer = read_pin(project.root, "tiny"), project.composer()
    candidate = find_candidate(load(project.root / "runs"), pin, "hooks=ema")
    overrides = project.root / "runs" / candidate.run.directory / "overrides.yaml"
    asked = compose(composer, project.root, pin, candidate)
    assert [tally.label for tally in asked.tallies] == ["baseline", "hooks=ema"]
    assert asked.study == "confirm"
    overrides.write_text("- baseline=other\n- model.n_layers=3\n- seed=4\n")
    assert [tally.label for tally in compose(composer, project.root, pin, candidate).tallies] == ["baseline", "hooks=ema"]
    option = project.root / "conf" / "hooks" / "ema.yaml"
    option.write_text(option.read_text().replace("decay: 0.9", "decay: 0.8"))
    with pytest.raises(ConfigError, match="hooks=ema can't be composed any more as it was"):
        compose(project.composer(), project.root, pin, candidate)
    overrides.write_text("{")
    with pytest.raises(StoreError, match=r"overrides\.yaml can't be read"):
        compose(composer, project.root, pin, candidate)


def test_a_baseline_without_a_test_range_is_refused_with_the_way_out(
    confirmed: tuple[Project, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    project = copied(confirmed, tmp_path)
    make_pin(project.composer(), "whole", ("baseline=tiny", "data.test_fraction=0.0"))
    with pytest.raises(DataError, match=r"baseline `whole` keeps no test range.*\npin one that does.*data\.test_fraction=0\.05"):
        confirm(project.root, "an arm that isn't there", "whole", None, silent)


def test_a_run_whose_last_checkpoint_is_gone_is_told_before_anything_is_read(
    confirmed: tuple[Project, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    project = copied(confirmed, tmp_path)
    path = project.root / "runs" / "tiny" / NAME
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:1]))
    gone = next(project.root.glob("runs/tiny/hooks=ema-*/seed=5-*/checkpoint/step-00000020.safetensors"))
    gone.unlink()
    done = call(project, status=1)
    assert "step-00000020.safetensors is missing" in done.stdout + done.stderr
    assert [row["kind"] for row in read_rows(path)[0]] == ["declared"]
