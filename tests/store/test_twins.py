"""Which directory a request gets when it wants observers or a cadence that the stored run hasn't, and what twins must share."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.config import identity
from lab.errors import StoreError
from lab.files import read_json, sealed, sha256_of, write_file, write_json
from lab.store.layout import RunFolder, run_folder
from lab.store.twins import choose, lacks, unequal
from tests.cases import Cases

IDENTITY = sha256_of("a run")
NORMS = {"_target_": "lab.hooks.gradient_norms.GradientNorms", "observes": True, "every": 10}
CLIP = {"_target_": "lab.hooks.grad_clip.GradClip", "max_norm": 1.0}


def asking(**told: Any) -> dict[str, Any]:
    """A resolved configuration of 40 steps, as far as twins look at it; `trainer__log_every=3` sets one leaf."""
    config: dict[str, Any] = {
        "model": {"context": 16},
        "hooks": {"grad_clip": dict(CLIP)},
        "note": "",
        "trainer": {
            "tokens": 40 * 64,
            "batch_size": 4,
            "log_every": 4,
            "evaluation": {"every": 10},
            "sampling": {"every": None, "tokens": 8, "temperature": 0.8},
            "checkpoint": {"every": 12},
        },
    }
    for path, value in told.items():
        here = config
        *nodes, key = path.split("__")
        for each in nodes:
            here = here.setdefault(each, {})
        here[key] = copy.deepcopy(value)
    return config


# -- what a run lacks


LACKING: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("an observer that it hadn't", {"hooks__norms": NORMS}, {}, ["hooks.norms (it has none)"]),
    ("an observer at other values", {"hooks__norms": NORMS}, {"hooks__norms": NORMS | {"every": 20}}, ["hooks.norms.every=10 (it has 20)"]),
    ("a key more of an observer", {"hooks__norms": NORMS | {"site": "x"}}, {"hooks__norms": NORMS}, ["hooks.norms.site=x (it has none)"]),
    ("a point between its points", {"trainer__evaluation__every": 5}, {}, ["trainer.evaluation.every=5 (it has 10)"]),
    ("points that meet only some of its", {"trainer__evaluation__every": 15}, {}, ["trainer.evaluation.every=15 (it has 10)"]),
    ("rows between its rows", {"trainer__log_every": 6}, {}, ["trainer.log_every=6 (it has 4)"]),
    ("texts where it has one at the end", {"trainer__sampling__every": 20}, {}, ["trainer.sampling.every=20 (it has null)"]),
    (
        "texts between its texts",
        {"trainer__sampling__every": 5},
        {"trainer__sampling__every": 20},
        ["trainer.sampling.every=5 (it has 20)"],
    ),
    ("a longer text", {"trainer__sampling__tokens": 9}, {}, ["trainer.sampling.tokens=9 (it has 8)"]),
    ("a text where it has none", {}, {"trainer__sampling__tokens": 0}, ["trainer.sampling.tokens=8 (it has 0)"]),
    ("a text at another temperature", {"trainer__sampling__temperature": 1.0}, {}, ["trainer.sampling.temperature=1 (it has 0.8)"]),
    (
        "two things",
        {"hooks__norms": NORMS, "trainer__log_every": 1},
        {},
        ["hooks.norms (it has none)", "trainer.log_every=1 (it has 4)"],
    ),
]
NOT_LACKING: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("the same", {}, {}),
    ("an observer that it had", {"hooks__norms": NORMS}, {"hooks__norms": NORMS}),
    ("an observer less", {}, {"hooks__norms": NORMS}),
    ("every other point", {"trainer__evaluation__every": 20}, {}),
    ("a point only at the end", {"trainer__evaluation__every": 40}, {"trainer__evaluation__every": 30}),
    ("a cadence that the run never reaches", {"trainer__log_every": 1000}, {"trainer__log_every": 999}),
    ("every third row", {"trainer__log_every": 12}, {}),
    ("a text only at the end", {}, {"trainer__sampling__every": 7}),
    ("every other text", {"trainer__sampling__every": 14}, {"trainer__sampling__every": 7}),
    ("no text at all", {"trainer__sampling__tokens": 0, "trainer__sampling__every": 1, "trainer__sampling__temperature": 2.0}, {}),
    ("other checkpoints", {"trainer__checkpoint__every": 1}, {}),
    ("a note", {"note": "again"}, {}),
    ("a hook that acts: its identity tells", {"hooks__grad_clip__max_norm": 2.0}, {}),
]


def test_what_a_run_lacks_is_told_with_its_key_and_both_values(cases: Callable[[str], Cases]) -> None:
    counted = cases("requests that want what the stored run hasn't, or has")
    for name, wanted, begun, told in LACKING:
        counted.check(name, lacks(asking(**wanted), asking(**begun)) == told)
    for name, wanted, begun in NOT_LACKING:
        counted.check(name, lacks(asking(**wanted), asking(**begun)) == [])
    counted.all_good(at_least=25)


def test_to_compare_what_was_typed_would_train_again_what_is_there(cases: Callable[[str], Cases]) -> None:
    naive = cases("requests that want what the stored run hasn't, or has")
    for name, wanted, begun in NOT_LACKING:
        naive.check(name, asking(**wanted) == asking(**begun))
    naive.some_bad()


def test_every_point_that_is_wanted_is_there_whenever_nothing_lacks() -> None:
    """The rule against the definition: the steps at which something is done, and at the last, as lab.look and lab.experiment do it."""

    def points(every: int | None, steps: int) -> set[int]:
        return {step for step in range(1, steps + 1) if step == steps or (every is not None and step % every == 0)}

    for steps in range(1, 13):
        for want in range(1, 15):
            for have in range(1, 15):
                told = lacks(asking(trainer__tokens=steps * 64, trainer__log_every=want), asking(trainer__log_every=have))
                assert (told == []) == (points(want, steps) <= points(have, steps)), (steps, want, have)


def test_a_configuration_from_before_a_key_stands_at_its_default() -> None:
    old = asking()
    del old["trainer"]["sampling"]["temperature"], old["hooks"], old["trainer"]["log_every"]
    assert lacks(asking(trainer__log_every=10), old) == [], "the schema's defaults are 10 and 0.8"
    assert lacks(asking(trainer__log_every=9), old) == ["trainer.log_every=9 (it has 10)"]


def test_a_key_that_an_observer_gained_since_stands_at_what_was_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "LATER_KEYS", {NORMS["_target_"]: {"site": "all"}})
    assert lacks(asking(hooks__norms=NORMS | {"site": "all"}), asking(hooks__norms=NORMS)) == []
    assert lacks(asking(hooks__norms=NORMS | {"site": "one"}), asking(hooks__norms=NORMS)) == ["hooks.norms.site=one (it has all)"]


# -- which directory


def at(root: Path, number: int = 1, baseline: str = "tiny", label: str = "baseline", run: str = IDENTITY) -> RunFolder:
    """Where a run lies, or its twin of a number."""
    folder = run_folder(root, baseline, label, sha256_of("an arm"), 0, run)
    return folder if number == 1 else RunFolder(folder.path.with_name(f"{folder.path.name}.{number}"))


def begun(folder: RunFolder, run: str = IDENTITY, **told: Any) -> RunFolder:
    """A run that was stopped after its first checkpoint."""
    write_json(folder.manifest, sealed({"identity": run, "seed": 0}))
    write_file(folder.config, yaml.safe_dump(asking(**told)))
    write_file(folder.checkpoint / "step-00000012.json", "{}")
    return folder


def finished(folder: RunFolder, run: str = IDENTITY, **told: Any) -> RunFolder:
    begun(folder, run, **told)
    write_json(folder.result, sealed({"identity": run, "status": "finished"}))
    return folder


def test_a_run_that_nobody_trained_has_no_directory_and_no_twin(tmp_path: Path) -> None:
    choice = choose(tmp_path, IDENTITY, asking())
    assert (choice.folder, choice.beside, choice.missing) == (None, None, ())


def test_a_finished_run_with_all_that_is_wanted_is_found(tmp_path: Path) -> None:
    folder = finished(at(tmp_path), hooks__norms=NORMS)
    for wanted in (asking(), asking(hooks__norms=NORMS), asking(trainer__evaluation__every=20)):
        choice = choose(tmp_path, IDENTITY, wanted)
        assert (choice.folder, choice.beside, choice.missing) == (folder, None, ())


def test_what_a_finished_run_lacks_is_trained_beside_it_under_the_next_number(tmp_path: Path) -> None:
    base = finished(at(tmp_path))
    choice = choose(tmp_path, IDENTITY, asking(hooks__norms=NORMS))
    assert (choice.folder, choice.beside) == (None, at(tmp_path, 2))
    assert choice.beside is not None and choice.beside.path.parent == base.path.parent
    assert choice.missing == ("hooks.norms (it has none)",)

    twin = finished(choice.beside, hooks__norms=NORMS)
    assert choose(tmp_path, IDENTITY, asking(hooks__norms=NORMS)).folder == twin
    assert choose(tmp_path, IDENTITY, asking()).folder == base, "the first one has that already"

    third = choose(tmp_path, IDENTITY, asking(hooks__norms=NORMS, trainer__log_every=1))
    assert third.beside == at(tmp_path, 3)
    assert third.missing == ("trainer.log_every=1 (it has 4)",), "what the twin that has most lacks"


def test_the_tenth_twin_comes_after_the_ninth(tmp_path: Path) -> None:
    finished(at(tmp_path))
    for number in range(2, 11):
        finished(at(tmp_path, number), trainer__log_every=2)
    assert choose(tmp_path, IDENTITY, asking(trainer__log_every=1)).beside == at(tmp_path, 11)
    assert choose(tmp_path, IDENTITY, asking(trainer__log_every=2)).folder == at(tmp_path, 2), "of several the first, not .10"


def test_an_unfinished_run_is_gone_on_with_as_it_was_begun(tmp_path: Path) -> None:
    folder = begun(at(tmp_path))
    assert choose(tmp_path, IDENTITY, asking()).folder == folder
    choice = choose(tmp_path, IDENTITY, asking(hooks__norms=NORMS))
    assert (choice.folder, choice.beside, choice.missing) == (folder, None, ("hooks.norms (it has none)",))


def test_an_unfinished_run_without_a_checkpoint_begins_anew_with_all_that_is_wanted(tmp_path: Path) -> None:
    folder = begun(at(tmp_path))
    (folder.checkpoint / "step-00000012.json").unlink()
    folder.config.unlink()
    choice = choose(tmp_path, IDENTITY, asking(hooks__norms=NORMS))
    assert (choice.folder, choice.missing) == (folder, ())


def test_an_unfinished_twin_that_has_what_is_wanted_is_gone_on_with(tmp_path: Path) -> None:
    base, twin = finished(at(tmp_path)), begun(at(tmp_path, 2), hooks__norms=NORMS)
    assert choose(tmp_path, IDENTITY, asking(hooks__norms=NORMS)).folder == twin
    assert choose(tmp_path, IDENTITY, asking()).folder == base, "what is finished needs no training"


def test_an_unfinished_twin_with_other_observers_is_left_alone(tmp_path: Path) -> None:
    finished(at(tmp_path))
    begun(at(tmp_path, 2), hooks__norms=NORMS)
    choice = choose(tmp_path, IDENTITY, asking(trainer__log_every=1))
    assert (choice.folder, choice.beside) == (None, at(tmp_path, 3)), "to finish it would train, and still lack what is wanted"


def test_a_twin_s_place_that_holds_no_manifest_is_free(tmp_path: Path) -> None:
    finished(at(tmp_path))
    write_file(at(tmp_path, 2).config, "left by a kill before the manifest")
    assert choose(tmp_path, IDENTITY, asking(trainer__log_every=1)).beside == at(tmp_path, 2)


def test_runs_are_found_under_every_baseline_and_other_runs_never(tmp_path: Path) -> None:
    almost = IDENTITY[:12] + "0" * 52
    finished(at(tmp_path, run=almost), run=almost, hooks__norms=NORMS)
    finished(at(tmp_path, label="another", run=sha256_of("another")), run=sha256_of("another"))
    assert choose(tmp_path, IDENTITY, asking()).folder is None
    elsewhere = finished(at(tmp_path, baseline="zoo", label="wide"))
    assert choose(tmp_path, IDENTITY, asking()).folder == elsewhere
    choice = choose(tmp_path, IDENTITY, asking(hooks__norms=NORMS))
    assert choice.beside is not None and choice.beside.path.parent == elsewhere.path.parent, "a twin lies next to its run"


def test_a_folder_whose_name_only_looks_like_a_twin_is_none(tmp_path: Path) -> None:
    base = finished(at(tmp_path))
    for suffix in (".old", ".2.3", "-2", ".2~"):
        finished(RunFolder(base.path.with_name(base.path.name + suffix)), trainer__log_every=1)
    assert choose(tmp_path, IDENTITY, asking(trainer__log_every=1)).beside == at(tmp_path, 2)


def edited(path: Path) -> None:
    path.write_text(path.read_text().replace(read_json(path)["identity"], sha256_of("another")))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def made_a_list(path: Path) -> None:
    path.write_text("[1]")


def made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [edited, cut, made_a_list, made_a_folder])
@pytest.mark.parametrize("number", [1, 2])
def test_a_damaged_manifest_is_told_with_the_way_out(tmp_path: Path, number: int, damage: Callable[[Path], None]) -> None:
    finished(at(tmp_path))
    finished(at(tmp_path, 2), hooks__norms=NORMS)
    damage(at(tmp_path, number).manifest)
    with pytest.raises(StoreError, match=r"is damaged: [\s\S]*\nmove it away, and the same command trains it again"):
        choose(tmp_path, IDENTITY, asking())


@pytest.mark.parametrize("text", [b"hooks: {", b"- a\n- list", b"\xff\xfe\x00", None], ids=["cut", "list", "bytes", "gone"])
def test_a_configuration_that_can_t_be_read_is_told_with_the_way_out(tmp_path: Path, text: bytes | None) -> None:
    folder = finished(at(tmp_path))
    folder.config.unlink() if text is None else folder.config.write_bytes(text)
    with pytest.raises(StoreError, match=r"config\.yaml can't be read: [\s\S]*\nmove .* away"):
        choose(tmp_path, IDENTITY, asking())


# -- what twins share


RESULT: dict[str, Any] = {
    "status": "finished",
    "diverged": None,
    "metrics": {"validation_bits_per_byte": 2.0},
    "digests": {"weights": "w", "optimizer": "o", "metrics.jsonl": "m"},
}


def with_digests(**digests: str | None) -> dict[str, Any]:
    return RESULT | {"digests": {name: digest for name, digest in (RESULT["digests"] | digests).items() if digest is not None}}


def diverged(step: int) -> dict[str, Any]:
    return RESULT | {"status": "diverged", "diverged": {"step": step, "reason": "the loss is nan"}}


@pytest.mark.parametrize(
    ("result", "other", "differing"),
    [
        (RESULT, RESULT, []),
        (RESULT, with_digests(**{"metrics.jsonl": "other rows", "samples.txt": "s", "config.yaml": "c"}), []),
        (RESULT, with_digests(weights="v"), ["weights"]),
        (RESULT, with_digests(optimizer="p"), ["optimizer"]),
        (RESULT, with_digests(weights="v", optimizer="p", judged_weights="j"), ["weights", "optimizer", "judged_weights"]),
        (with_digests(judged_weights="j"), with_digests(judged_weights="j"), []),
        (with_digests(judged_weights="j"), with_digests(judged_weights="k"), ["judged_weights"]),
        (with_digests(judged_weights="j"), RESULT, ["judged_weights"]),
        (with_digests(weights=None), with_digests(weights=None), ["weights"]),
        (RESULT, with_digests(optimizer=None), ["optimizer"]),
        (diverged(3), diverged(3), []),
        (diverged(3), diverged(4), ["diverged step"]),
        (diverged(3), RESULT, ["diverged step"]),
        (RESULT, diverged(3), ["diverged step"]),
        (RESULT, RESULT | {"metrics": {"validation_bits_per_byte": 2.1}}, ["validation_bits_per_byte"]),
        (RESULT, RESULT | {"metrics": {"validation_bits_per_byte": 2.0, "an observer's": 1.0}}, []),
    ],
)
def test_twins_have_the_same_weights_and_diverge_at_the_same_step(
    result: dict[str, Any], other: dict[str, Any], differing: list[str]
) -> None:
    assert unequal(result, other) == differing
