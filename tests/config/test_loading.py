"""Compositions are Hydra's own, though it's asked for much less; and a tree that is filled beside another is as if it were filled alone."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf
from yaml import YAMLError

from lab.config import words
from lab.config.compose import Composer
from lab.config.filling import Filling
from lab.config.loading import CONFIG
from lab.config.options import OptionFiles, read_stored, read_yaml, without_ranges
from lab.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parents[2]
COMPOSER = Composer(CHECKOUT)
WORDS: tuple[tuple[str, ...], ...] = (
    (),
    ("baseline=demo",),
    ("~baseline", "model=small"),
    ("trainer.optimizer.lr=0.002",),
    ("trainer.optimizer.lr=0.002", "model/norm=rmsnorm", "trainer.batch_size=4"),
    ("hooks=[ema,grad_clip]", "hooks.ema.decay=0.9"),
    ("hooks=none", "change=wide"),
    ("+trainer.optimizer.typo=3",),
    ("~trainer.optimizer.weight_decay", "trainer/optimizer=adamw"),
    ("~baseline", "trainer/optimizer=lion", "model=gpt2"),
    ("model.n_layers=null", "note='a, b'", "seed=7"),
    ("hooks=grad_clip", "trainer.evaluation.bytes=1e3", "judgement.looks=[2,4]"),
)


BESIDE = [WORDS[index] for index in (3, 5, 7, 8)]


@pytest.mark.parametrize("overrides", WORDS, ids=" ".join)
def test_what_is_loaded_is_what_hydra_composes(overrides: tuple[str, ...]) -> None:
    whole = COMPOSER.loader.load_configuration(CONFIG, list(overrides), RunMode.RUN)
    plain = OmegaConf.to_container(whole, resolve=False)
    assert isinstance(plain, dict)
    chosen = {group: option for group, option in whole.hydra.runtime.choices.items() if not group.startswith("hydra/")}
    raw, choices = COMPOSER.loading.load(overrides)
    assert raw == without_ranges({str(key): value for key, value in plain.items() if key != "hydra"})
    assert list(raw) == [key for key in plain if key != "hydra"]
    assert choices == {group: option for group, option in chosen.items() if option is not None}


def test_a_composition_changes_no_other() -> None:
    alone = {each: Composer(CHECKOUT).loading.load(each) for each in BESIDE}
    together = Composer(CHECKOUT)
    for each in (*BESIDE, *reversed(BESIDE)):
        assert together.loading.load(each) == alone[each]


VALUES = ("trainer.optimizer.lr=1", "trainer.batch_size=16", "model.dropout=1e-1", "hooks=none", "trainer.evaluation.bytes=null")
VALUES += ("judgement.looks=[3,6]", "judgement.smallest_effect=0.01", "trainer.precision=bf16", "seed=3", "note=4", "data.path=x")


@pytest.mark.parametrize("word", VALUES)
def test_a_tree_filled_beside_another_is_as_if_it_were_filled_alone(word: str) -> None:
    files = OptionFiles(CHECKOUT / "conf")
    near, first, second = Filling(files), COMPOSER.untyped(()), COMPOSER.untyped((word,))
    before = near.fill(copy.deepcopy(first))
    both = near.fill(copy.deepcopy(second))
    alone = Filling(files).fill(copy.deepcopy(second))
    assert repr(both) == repr(alone)  # repr: 1 isn't 1.0, nor True
    assert near.fill(copy.deepcopy(first)) == before


@pytest.mark.parametrize(("way", "value"), [(("model", "n_layers"), "many"), (("trainer",), 3), (("model", "tie_embeddings"), 2.5)])
def test_a_value_that_does_not_fit_is_told_as_if_it_were_alone(way: tuple[str, ...], value: Any) -> None:
    files = OptionFiles(CHECKOUT / "conf")
    near, odd = Filling(files), COMPOSER.untyped(())
    near.fill(COMPOSER.untyped(()))
    spot = odd
    for key in way[:-1]:
        spot = spot[key]
    spot[way[-1]] = value
    said = []
    for filling in (near, Filling(files)):
        with pytest.raises(ConfigError) as refused:
            filling.fill(copy.deepcopy(odd))
        said.append(str(refused.value))
    assert said[0] == said[1]


def test_one_word_read_twice_is_two_overrides() -> None:
    first, second = words.parse(["seed=3", "seed=3"])
    first.input_line = "another"
    assert second.input_line == words.parse(["seed=3"])[0].input_line == "seed=3"


def test_a_runs_own_file_reads_as_an_option_file_does(tmp_path: Path) -> None:
    options = sorted((CHECKOUT / "conf").rglob("*.yaml"))
    odd = tmp_path / "odd.yaml"
    odd.write_text("a: 1e-3\nb: 010\nc: no\nd: 1_000.5\ne: 2001-01-01\nf: {g: [1, 2.0, null, 'x']}\nh: .inf\n1: one\n")
    for path in (*options, odd):
        assert repr(read_stored(path)) == repr(read_yaml(path)), path


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "- 1\n", "a: &x [1]\nb: *x\n", "a: [1\n"])
def test_a_runs_own_file_is_refused_where_an_option_file_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    said = []
    for read in (read_stored, read_yaml):
        with pytest.raises((ConfigError, YAMLError)) as refused:
            read(path)
        said.append(isinstance(refused.value, YAMLError))
    assert said[0] is said[1]
