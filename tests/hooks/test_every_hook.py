"""What every hook of conf/hooks must keep, whatever it does. The hooks are found by listing the folder."""

from __future__ import annotations

import json
import re

import pytest

from lab.config.options import read_yaml, without_ranges
from lab.errors import Interrupted
from lab.files import read_rows
from tests.conftest import CHECKOUT
from tests.hooks.worlds import ACTORS, HOOKS, OBSERVERS, OPTIONS, files, surroundings, with_hook
from tests.train.tiny import Crash, CrashAt, after, train


def judged(outcome):
    return outcome.digests.get("judged_weights", outcome.digests["weights"])


def training_rows(folder):
    return [row for row in read_rows(folder / "metrics.jsonl")[0] if "loss" in row]


def test_each_option_writes_the_key_of_its_own_name():
    for path in (CHECKOUT / "conf" / "hooks").glob("*.yaml"):
        assert list(without_ranges(read_yaml(path))) == ([] if path.stem == "none" else [path.stem])


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_as_its_option_says_it_trains_and_its_price_is_shown(tmp_path, name):
    outcome = train(tmp_path / "run", hooks={name: OPTIONS[name]}, **surroundings(OPTIONS[name]))
    assert (outcome.status, outcome.step) == ("finished", 12)
    assert 0 < outcome.prices[name] < 1


@pytest.mark.parametrize("name", HOOKS)
def test_a_run_with_a_hook_that_is_stopped_and_crashed_gives_the_same_bits(tmp_path, name):
    changes = with_hook(name) | {"model__dropout": 0.1}
    straight = train(tmp_path / "straight", **changes)
    folder = tmp_path / "broken"
    with pytest.raises(Interrupted):
        train(folder, stop=after(1), **changes)
    for step in (2, 8):
        with pytest.raises(Crash):
            train(folder, progress=CrashAt(step), **changes)
    with pytest.raises(Interrupted):
        train(folder, stop=after(2), **changes)
    assert train(folder, **changes).digests == straight.digests
    assert files(folder) == files(tmp_path / "straight")


@pytest.mark.parametrize("name", OBSERVERS)
def test_an_observer_adds_its_own_columns_and_texts_and_changes_nothing_else(tmp_path, name):
    changes = with_hook(name) | {"trainer__log_every": 1}
    watched = train(tmp_path / "watched", **changes)
    plain = train(tmp_path / "plain", **changes | {"hooks": {}})
    for digest in ("weights", "optimizer"):
        assert watched.digests[digest] == plain.digests[digest]
    assert watched.metrics == plain.metrics
    rows = [read_rows(tmp_path / each / "metrics.jsonl")[0] for each in ("watched", "plain")]
    assert [{key: value for key, value in row.items() if not key.startswith(f"{name}.")} for row in rows[0]] == rows[1]
    own = re.compile(rf"=== step \d+, {name}, .*?\n\n(?==== |\Z)", re.DOTALL)
    texts = files(tmp_path / "watched")["samples.txt"].decode()
    assert own.sub("", texts).encode() == files(tmp_path / "plain")["samples.txt"]
    left = [row["step"] for row in rows[0] if any(key.startswith(f"{name}.") for key in row)]
    assert left == [3, 6, 9, 12] or own.search(texts) or list((tmp_path / "watched").glob(f"{name}/*")), "it has observed nothing"


@pytest.mark.parametrize("name", ACTORS)
def test_a_hook_that_is_no_observer_moves_what_is_judged(tmp_path, name):
    changes = with_hook(name)
    plain = train(tmp_path / "plain", **changes | {"hooks": {}})
    acted = train(tmp_path / "acted", **changes)
    assert judged(acted) != judged(plain)
    assert acted.metrics["validation_bits_per_byte"] != plain.metrics["validation_bits_per_byte"]


@pytest.mark.parametrize("name", HOOKS)
def test_looking_more_often_moves_no_training_under_a_hook(tmp_path, name):
    changes = with_hook(name)
    seldom = train(tmp_path / "seldom", **changes | {"trainer__sampling__tokens": 0, "trainer__evaluation__every": 100})
    often = train(
        tmp_path / "often",
        **changes | {"trainer__evaluation__every": 1, "trainer__sampling__every": 1, "trainer__checkpoint__every": 1},
    )
    assert often.digests["weights"] == seldom.digests["weights"] and judged(often) == judged(seldom)
    assert often.metrics == seldom.metrics
    rows = [[json.dumps(row) for row in training_rows(tmp_path / each)] for each in ("often", "seldom")]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("name", HOOKS)
@pytest.mark.parametrize("changes", [{"device__micro_batch": 2}, {"trainer__precision": "bf16"}], ids=["micro-batches", "bf16"])
def test_a_hook_works_with_micro_batches_and_in_bf16(tmp_path, name, changes):
    outcome = train(tmp_path / "run", **with_hook(name), **changes)
    assert outcome.status == "finished" and outcome.metrics["validation_bits_per_byte"] < 7  # 7: of 128 equal chances


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_all_hooks_together_resume_to_the_same_bits(tmp_path, precision):
    hooks = {name: with_hook(name)["hooks"][name] for name in OPTIONS if name != "tensorboard"}
    changes = {"hooks": hooks, "device__attention": "written", "device__micro_batch": 2, "trainer__precision": precision}
    straight = train(tmp_path / "straight", **changes)
    with pytest.raises(Crash):
        train(tmp_path / "broken", progress=CrashAt(8), **changes)
    assert train(tmp_path / "broken", **changes).digests == straight.digests
    assert straight.status == "finished" and straight.prices.keys() == hooks.keys()
