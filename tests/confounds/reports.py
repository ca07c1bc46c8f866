"""Confounds that lie in the store: run directories that were lost, doubled, edited or filled in, and what the report says of them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.files import read_json
from tests.confounds.case import Confound, Planted
from tests.confounds.world import Here, edit, page
from tests.results.store import BASE, BITS, CODE, Store, digest

EMA = "hooks=ema"
SHIFT = -0.05  # what the change truly does, on every seed, but for a wobble far below D
BETTER = (f"{EMA}: better.",)


def stored(name: str, plant: Callable[[Store], object], *says: str, never: tuple[str, ...] = (), truth: float | None = SHIFT) -> Confound:
    """A store with a baseline on the three seeds of its look, and what `plant` adds or spoils.

    `truth`: the change's effect in what was trained; infinite where a run of it diverged, None where nobody could tell.
    """

    def planted(here: Here) -> Planted:
        store = Store(here.folder)
        store.baseline(3)
        plant(store)
        return Planted(page(here.folder, store.name), (), here.folder / "runs", truth)

    return Confound(f"store: {name}", planted, says, never)


def ema(count: int = 3, shift: float = -0.05, **told: Any) -> Callable[[Store], list[Path]]:
    """An arm that is better by far, told otherwise in one respect."""
    return lambda store: store.shifted(EMA, count, shift, **told)


def spoiled(change: Callable[[dict[str, Any]], None], name: str = "result.json", seal: bool = False) -> Callable[[Store], None]:
    """The arm's last run with one of its files edited."""
    return lambda store: edit(store.shifted(EMA, 3, -0.05)[2] / name, change, seal=seal)


def value(number: float | None) -> Callable[[dict[str, Any]], None]:
    return lambda result: result["metrics"].update(validation_bits_per_byte=number)


def substituted(store: Store) -> None:
    """Seed 2 did badly and was left away; seed 7 stands in."""
    store.arm(EMA, [BASE[0] - 0.05, BASE[1] - 0.049, BASE[7] - 0.051], seeds=[0, 1, 7])


def outside(store: Store) -> None:
    """Three pairs, one of them on a seed that was never pinned."""
    store.arm(EMA, [BASE[0] - 0.05, BASE[1] - 0.049, 2.0], seeds=[0, 1, 99])
    store.run("baseline", 99, 2.1)


def copied(store: Store) -> None:
    """Two runs, one of them twice under another folder's name."""
    folder = store.shifted(EMA, 2, -0.05)[1]
    shutil.copytree(folder, folder.with_name(folder.name.replace("seed=1", "seed=2")))


def renumbered(store: Store) -> None:
    """The same, with the seed edited in its manifest."""
    folder = store.shifted(EMA, 2, -0.05)[1]
    copy = folder.with_name(folder.name.replace("seed=1", "seed=2"))
    shutil.copytree(folder, copy)
    edit(copy / "manifest.json", lambda manifest: manifest.update(seed=2))


def other_result(store: Store) -> None:
    """Seed 2 did badly: it gets the file of seed 0."""
    folders = store.shifted(EMA, 3, -0.05)
    shutil.copy(folders[0] / "result.json", folders[2] / "result.json")


def failed(store: Store) -> None:
    store.shifted(EMA, 2, -0.05)
    store.run(EMA, 2, status="failed")


def stopped(store: Store) -> None:
    store.shifted(EMA, 2, -0.05)
    store.run(EMA, 2, status="unfinished")


def other_bits_too(store: Store) -> None:
    """Seed 2 trained once more under other bits, since its number didn't please."""
    store.shifted(EMA, 2, -0.05)
    store.run(EMA, 2, BASE[2] + 0.01)
    store.run(EMA, 2, BASE[2] - 0.05, bits=BITS | {"leaves": {"device.threads": 7}})


def not_a_number(store: Store) -> None:
    """The last seed's final metric isn't finite, and whoever averages leaves it away."""
    store.shifted(EMA, 2, -0.05)
    store.run(EMA, 2, None)


def without_effect(store: Store) -> None:
    """An arm whose knob reaches nothing: the baseline's weights and numbers."""
    told = {read_json(path)["label"]: path for path in store.root.glob("runs/*/*/*/manifest.json")}
    for path in sorted(told["baseline"].parents[1].glob("seed=*/result.json")):
        result = read_json(path)
        seed = read_json(path.with_name("manifest.json"))["seed"]
        store.run(EMA, seed, result["metrics"]["validation_bits_per_byte"], weights=result["digests"]["weights"])


def torn_line(store: Store) -> None:
    """A request that was cut off while it was written."""
    folder = store.shifted(EMA, 3, -0.05)[0]
    with (folder / "requests.jsonl").open("a") as stream:
        stream.write('{"number": 999, "base\n')


def two_codes(store: Store) -> None:
    """An arm tried twice, with an edit between, and only the better one meant to be seen."""
    store.shifted(EMA, 3, +0.05, code={**CODE, "lab.hooks.ema": "8" * 64})
    store.shifted(EMA, 3, -0.05, code={**CODE, "lab.hooks.ema": "9" * 64})


def edited_baseline_code(store: Store) -> None:
    """The baseline trained anew under edited code, the arm from before."""
    store.shifted(EMA, 3, -0.05)
    store.baseline(3, code={**CODE, "lab.model.gpt": "0" * 64})


def other_cohort(store: Store, name: str, baseline: object, arm: object) -> None:
    """An arm in another cohort, which differs from the baseline's in one part."""
    store.shifted(EMA, 3, -0.05, cohort="d" * 64)
    for path in (store.root / "runs").glob("*/*/seed=*/manifest.json"):
        value = baseline if read_json(path)["label"] == "baseline" else arm
        edit(path, lambda manifest, value=value: manifest["cohort_parts"].update({name: value}))  # type: ignore[misc]


def old_protocol(store: Store) -> None:
    """Runs of another protocol that carry the arm's label, as an older code would leave them."""
    other_cohort(store, "protocol", {"trainer.evaluation.bytes": 1000}, {"trainer.evaluation.bytes": 500})


def other_text(store: Store) -> None:
    """A corpus that was edited between the baseline and the arm."""
    other_cohort(store, "text", "1" * 64, "2" * 64)


def twice(store: Store) -> None:
    """One identity trained twice, and the weights aren't equal."""
    store.shifted(EMA, 3, -0.05)
    store.run(EMA, 0, BASE[0] - 0.2, suffix=".2", weights=digest("others"))


def other_lock(store: Store) -> None:
    """Asked for under another baseline of this name."""
    store.shifted(EMA, 3, -0.05, lock="2" * 64)


def other_metric(store: Store) -> None:
    """Finished with nats per token only, in other units than the baseline's bits per byte."""
    for folder in store.shifted(EMA, 3, -0.05):
        edit(folder / "result.json", lambda result: result.update(metrics={"validation_nats_per_token": 1.4}))


REPORTS = [
    # seeds
    stored("two seeds of three", ema(2), EMA, "2 of 3 seeds", never=BETTER),
    stored("a substituted seed", substituted, EMA, "2 of 3 seeds", "Seed 2 to come", never=BETTER),
    stored("a seed outside the pinned list", outside, EMA, "seed 99", never=BETTER),
    stored("a run copied as another seed", copied, EMA, "2 of 3 seeds", never=BETTER),
    stored("a run copied and renumbered", renumbered, EMA, "2 of 3 seeds", never=BETTER),
    stored("a seed trained again under other bits", other_bits_too, "seed=2", "device.threads 1 -> 7", never=BETTER),
    # outcomes
    stored(
        "a diverged seed left away",
        lambda store: store.arm(EMA, [2.05, 2.06, None]),
        EMA,
        "1 of 3 runs diverged here, 0 of 3",
        never=BETTER,
        truth=math.inf,
    ),
    stored("a NaN dropped", not_a_number, EMA, "1 of 3 runs diverged here, 0 of 3", never=BETTER, truth=math.inf),
    stored("a failed run counted", failed, f"{EMA} seed 2: no space left on device", never=BETTER),
    stored("a stopped run counted", stopped, f"{EMA}: seed 2", never=BETTER),
    stored("a metric in other units", other_metric, EMA, "validation_bits_per_byte", "validation_nats_per_token", never=BETTER),
    stored("a metric that is copied", lambda store: store.arm(EMA, [each - 0.05 for each in BASE[:3]]), EMA, "copied or constant"),
    stored(
        "a difference that two decimals hide",
        lambda store: store.shifted(EMA, 3, -0.0004, wobble=0.02),
        EMA,
        "better, negligible",
        "-0.0004",
        truth=-0.0004,
    ),
    stored("a change that does nothing", without_effect, EMA, "identical", truth=0.0),
    # edits
    stored("an edited metric", spoiled(value(1.5)), "seed=2-", "result.json was edited", never=BETTER),
    stored("a metric rounded by hand", spoiled(value(2.0)), "seed=2-", "result.json was edited", never=BETTER),
    stored("another run's result", other_result, "seed=2-", "result.json belongs to another run", never=BETTER),
    stored(
        "a truncated run", spoiled(lambda result: result.update(step=60), seal=True), "seed=2-", "finished at step 60 of 100", never=BETTER
    ),
    stored(
        "fewer tokens than the budget",
        spoiled(lambda result: result.update(tokens=3200), seal=True),
        "seed=2-",
        "finished at tokens 3200 of 6400",
        never=BETTER,
    ),
    stored("a result of another format", spoiled(lambda result: result.update(schema=99), seal=True), "schema 99", "reads 1", never=BETTER),
    stored(
        "an edited seed",
        spoiled(lambda manifest: manifest.update(seed=5), "manifest.json"),
        "seed=2-",
        "manifest.json was edited",
        never=BETTER,
    ),
    stored(
        "an edited arm",
        spoiled(lambda manifest: manifest.update(arm_id="9" * 64), "manifest.json"),
        "seed=2-",
        "manifest.json was edited",
        never=BETTER,
    ),
    stored("a torn request", torn_line, "requests.jsonl", "1 damaged or cut line left out"),
    # who is compared with whom
    stored("several changes that explore", ema(exploring=True, changes=3), EMA, "seeds 0, 1, 2", never=BETTER),
    stored("several changes that somebody let through", ema(changes=2), EMA, "seeds 0, 1, 2", never=BETTER),
    stored("another baseline of this name", other_lock, "3 requests", "22222222", never=BETTER),
    stored("another cohort's text", other_text, "cohort", "never mixed", "text", "11111111", "22222222", never=BETTER),
    stored("another evaluation size", old_protocol, "cohort", "never mixed", "trainer.evaluation.bytes", "1000", "500", never=BETTER),
    stored("edited code", ema(code={**CODE, "lab.model.gpt": "0" * 64}), EMA, "code isn't the baseline's", "lab.model.gpt", never=BETTER),
    stored("older code", edited_baseline_code, EMA, "code isn't the baseline's", "lab.model.gpt", never=BETTER),
    stored("the better of two edits", two_codes, EMA, "superseded by a newer arm of this change"),
    stored("trained twice with unequal weights", twice, "seed=0-", ".2"),
]
