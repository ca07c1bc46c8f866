"""Confounds that are met only where a run trains or goes on: hooks that break their promise, directories that were edited meanwhile."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab import experiment
from lab.errors import LabError
from lab.experiment import assemble
from lab.files import sha256_file
from lab.request import Identifier, job_of
from lab.runner import Promise, run
from lab.store.console import Console
from lab.store.layout import RunFolder, run_folders
from lab.train.progress import Silent
from tests.confounds.case import Confound, Planted
from tests.confounds.world import Here, World, count_of
from tests.train.tiny import Crash, CrashAt, text, tiny, train


class Meddler:
    """Says that it only observes, and scales the gradients."""

    observes = True

    def gradients(self, state: Any) -> None:
        for gradient in state.gradients:
            gradient.mul_(0.5)


class Shortener:
    """Trains on half of each batch: fewer tokens than the budget says."""

    observes = False

    def batch(self, state: Any) -> None:
        state.inputs_BT, state.targets_BT = state.inputs_BT[:2], state.targets_BT[:2]


class Average:
    """Gives the weights to judge, as the average of a run's does."""

    observes = False

    def evaluation_weights(self, state: Any) -> dict[str, Any]:
        return dict(state.model.named_parameters())


def refused(act: Callable[[], object]) -> str:
    """What was said, printed or refused."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            act()
        except LabError as error:
            return f"{out.getvalue()}\n{error}"
    return out.getvalue()


def trained(name: str, plant: Callable[[Here], tuple[Callable[[], object], tuple[str, ...]]], *says: str) -> Confound:
    """What `plant` returns is done, and what is said of it is judged; it returns further words to be said, too."""

    def planted(here: Here) -> Planted:
        act, values = plant(here)
        return Planted(refused(act), values)

    return Confound(f"training: {name}", planted, says)


def with_hook(name: str, **more: Any) -> Callable[[Here], tuple[Callable[[], object], tuple[str, ...]]]:
    """Training with one of the hooks above, `mine`, and with another."""
    hooks = {"mine": {"_target_": f"tests.confounds.resumed.{name}"} | more.pop("mine", {})} | more
    return lambda here: (lambda: train(here.folder / "run", hooks=hooks), ())


EMA = {"_target_": "lab.hooks.ema.EMA", "decay": 0.9, "warmup": 0}


def asked(world: World, *typed: str) -> dict[str, Any]:
    """What `python run.py baseline=tiny TYPED` does, in this process."""
    return run(job_of(count_of(world.composer, " ".join(typed)), world.root, "python run.py"), Console())


def unfinished(here: Here, change: Callable[[RunFolder], object], *typed: str) -> tuple[Callable[[], object], tuple[str, ...]]:
    """A run that was finished, lost its last checkpoint and its result, and was changed; then the same is asked again."""
    world = here.world
    refused(lambda: asked(world, "hooks=grad_clip", "seed=3"))
    (folder,) = [each for each in run_folders(world.root) if "hooks=grad_clip" in str(each.path)]
    folder.result.unlink()
    for path in folder.checkpoint.glob("step-00000020*"):
        path.unlink()
    change(folder)
    return lambda: asked(world, "hooks=grad_clip", "seed=3", *typed), ()


def edited(folder: RunFolder, old: str, new: str) -> None:
    content = folder.config.read_text()
    assert old in content, f"{folder.config} has no {old!r}"
    folder.config.write_text(content.replace(old, new))


def finished_and_edited(here: Here) -> tuple[Callable[[], object], tuple[str, ...]]:
    """The configuration of a finished run says another rate than was trained."""
    world = here.world
    refused(lambda: asked(world, "hooks=grad_clip", "seed=3"))
    (folder,) = [each for each in run_folders(world.root) if "hooks=grad_clip" in str(each.path)]
    edited(folder, "max_norm: 1.0", "max_norm: 2.0")
    return lambda: asked(world, "hooks=grad_clip", "seed=3"), ()


def other_checkpoint(here: Here) -> tuple[Callable[[], object], tuple[str, ...]]:
    """A run goes on from the checkpoint of another one: half of it is trained otherwise."""
    with contextlib.suppress(Crash):
        train(here.folder / "run", progress=CrashAt(8))
    config, data = tiny(trainer__optimizer=tiny()["trainer"]["optimizer"] | {"lr": 3e-2}), text(here.folder / "cache")
    other = assemble(config, data)
    return lambda: experiment.run(config, data, other, here.folder / "run", "b" * 64, Silent(), lambda: False), ()


class Exchanger:
    """Another token at the end of the prepared text, once it has been trained on for a while."""

    observes = False

    def gradients(self, state: Any) -> None:
        if state.step == 15:
            path = prepared(state.folder.parents[2])
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(content)


def prepared(runs: Path) -> Path:
    """The tokens to train on, in a store where one text was prepared."""
    (path,) = (runs / ".cache").rglob("train.tokens")
    return path


def moved_tokens(here: Here) -> tuple[Callable[[], object], tuple[str, ...]]:
    """The text's tokens are exchanged while a run trains: whoever publishes it looks again."""
    root = here.world.root
    (root / "conf/hooks/mine.yaml").write_text(f"mine:\n  _target_: {__name__}.Exchanger\n")
    config = root / "conf/config.yaml"
    config.write_text(config.read_text().replace("trusted_modules: []", "trusted_modules: [tests]"))
    world = here.world.edited()
    return lambda: asked(world, "hooks=mine"), (sha256_file(prepared(root / "runs"))[:12],)


def text_since_the_plan(here: Here) -> tuple[Callable[[], object], tuple[str, ...]]:
    """A sweep's plan promised a run, and the text was edited before its turn."""
    world = here.world.edited()
    job = job_of(count_of(world.composer, ""), world.root, "python run.py")
    promised = Promise(Identifier(world.root).identify(job).identity)
    path = Path(job.config["data"]["path"])
    path.write_text(path.read_text().replace("cat", "dog", 1))
    return lambda: run(job, Console(), promised), ()


RESUMED = [
    trained(
        "an observer that acts",
        with_hook("Meddler", mine={"observes": True}),
        "hooks.mine says that it only observes",
        "`gradients` changed",
    ),
    trained("a hook that trains on fewer tokens", with_hook("Shortener"), "made 32 inputs", "64 tokens"),
    trained("a change that its option calls an observer", with_hook("Shortener", mine={"observes": True}), "observes = False", "says True"),
    trained("two hooks that give the weights to judge", with_hook("Average", ema=EMA), "hooks ema and mine both give the weights to judge"),
    trained(
        "a resume under another cadence",
        lambda here: unfinished(here, lambda folder: None, "trainer.evaluation.every=4"),
        "evaluation.every=5",
        "4",
    ),
    trained(
        "an unfinished run with an edited configuration",
        lambda here: unfinished(here, lambda folder: edited(folder, "max_norm: 1.0", "max_norm: 2.0")),
        *("config.yaml was edited", "hooks.grad_clip.max_norm is 2 there", "has 1"),
    ),
    trained("a finished run with an edited configuration", finished_and_edited, "config.yaml", "isn't what it was when the run finished"),
    trained("a run that goes on from another's checkpoint", other_checkpoint, "belongs to run aaaaaaaaaaaa", "this is run bbbbbbbbbbbb"),
    trained("tokens exchanged while a run trains", moved_tokens, "train.tokens", "its digest was"),
    trained("a text edited since the sweep was planned", text_since_the_plan, "changed since the sweep was planned"),
]
