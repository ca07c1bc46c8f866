"""nano learns what can be learned: towards a known entropy and never below it, and as well as the well-known small trainer.

The long versions run behind `make soak`; each prints its figures.
"""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from lab.config.compose import Composer
from lab.data.grammar import Language, language
from lab.data.prepare import PreparedData
from lab.data.shakespeare import NAME
from lab.data.tokenfile import TokenFile
from lab.experiment import assemble, run
from lab.files import read_rows
from lab.request import Identifier, on_this_machine
from lab.store.layout import cache
from lab.train.progress import Silent
from tests.conftest import CHECKOUT
from tests.train.tiny import IDENTITY

PLACES = (CHECKOUT.parent / "shared" / "data" / NAME, cache(CHECKOUT) / "texts" / NAME)  # beside the checkout; where a run downloads it to
SHAKESPEARE = next((place for place in PLACES if place.exists()), None)
# 768 tokens a step; one thread, since two that spin beside another test slow each other down thirtyfold (docs/log.md)
SHORT_BLOCKS = ("model.context=64", "trainer.batch_size=12", "trainer.sampling.tokens=0", "device.threads=1")
# what the best possible model of the default language costs in blocks of 64 tokens, which begin inside an unknown word
BEST_IN_BLOCKS_OF_64 = 0.394


def trained(folder: Path, *words: str) -> tuple[dict[str, float | None], list[dict[str, Any]], PreparedData]:
    """A run of the composition of these words: its final measures, its rows, its data."""
    config = on_this_machine(Composer(CHECKOUT, CHECKOUT).compose((*SHORT_BLOCKS, *words)).resolved)
    data = Identifier(folder).data(config)
    outcome = run(config, data, assemble(config, data), folder / "run", IDENTITY, Silent(), lambda: False)
    assert outcome.status == "finished", outcome.diverged
    return outcome.metrics, read_rows(folder / "run" / "metrics.jsonl")[0], data


def check_floor(spoken: Language, rows: list[dict[str, Any]], metrics: dict[str, float | None], data: PreparedData) -> float:
    """No evaluation is below what its very text costs under the language itself. Returns the distance of the last one."""
    distances = []
    costs = {
        name: spoken.bits(data.tokenizer.decode(TokenFile.open(file.path))) / file.n_bytes
        for name, file in (("curve", data.curve), ("validation", data.validation))
    }
    for row in rows:
        for name, cost in costs.items():
            if f"{name}_bits_per_byte" in row:
                distances.append(row[f"{name}_bits_per_byte"] - cost)
                print(f"step {row['step']:5}: {row[f'{name}_bits_per_byte']:.4f} bits per byte, the {name} text's own cost {cost:.4f}")
    above = metrics["validation_above_entropy"]
    print(f"above the entropy rate of {data.bits_per_byte:.4f}: {above:+.4f}")
    assert min(distances) > 0 and above is not None
    assert costs["validation"] == pytest.approx(data.bits_per_byte, abs=0.005), "the text is a fair sample of its language"
    return distances[-1]


def test_on_a_language_of_known_entropy_nano_comes_from_above_and_never_passes_below(tmp_path: Path) -> None:
    """A small language, so that 250 steps are enough to come near."""
    small = {"words": 8, "successors": 2, "shortest": 2, "longest": 3}
    words = ("data=grammar", "data.corpus.bytes=1000000", *(f"data.corpus.{key}={value}" for key, value in small.items()))
    cadence = ("trainer.tokens=192000", "trainer.evaluation.every=50", "trainer.evaluation.bytes=20000")
    metrics, rows, data = trained(tmp_path, *words, *cadence)
    curve = [row["curve_bits_per_byte"] for row in rows if "curve_bits_per_byte" in row]
    assert curve[0] > 6.5 and curve == sorted(curve, reverse=True)
    assert check_floor(language(seed=0, **small), rows, metrics, data) < 0.1


@pytest.mark.soak
def test_on_a_language_of_known_entropy_nano_comes_near_the_best_possible(tmp_path: Path) -> None:
    metrics, rows, data = trained(tmp_path, "data=grammar", "trainer.tokens=1536000", "trainer.evaluation.every=100")
    check_floor(language(seed=0, words=64, successors=4, shortest=2, longest=7), rows, metrics, data)
    reached = metrics["validation_bits_per_byte"]
    assert reached is not None and BEST_IN_BLOCKS_OF_64 - 0.01 < reached < BEST_IN_BLOCKS_OF_64 + 0.03, reached


@pytest.mark.soak
@pytest.mark.skipif(SHAKESPEARE is None, reason=f"not run: the text is neither at {PLACES[0]} nor at {PLACES[1]}")
def test_nano_is_as_good_on_tiny_shakespeare_as_the_well_known_trainer_at_its_size(tmp_path: Path) -> None:
    """nanoGPT at its CPU settings gives 1.898 nats per character by this measure: the whole last 10 %, in blocks of 64."""
    found = []
    for seed in range(3):
        words = ("baseline=shakespeare", f"data.path={SHAKESPEARE}", f"seed={seed}")
        metrics, _, _ = trained(tmp_path / str(seed), *words)
        found.append(metrics["validation_nats_per_token"])
        print(f"seed {seed}: {found[-1]:.4f} nats per character")
    assert mean(found) <= 1.91
