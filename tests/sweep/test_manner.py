"""How a sweep is carried out, read from its words: what is allowed, what is refused, and that Hydra knows the same settings."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict

import pytest

from lab.errors import ConfigError
from lab.sweep.manner import Manner, read_manner
from tests.conftest import CHECKOUT


def test_the_words_of_the_manner_are_told_from_the_others() -> None:
    typed = ["hooks=none,ema", "hydra.sweeper.until=decided", "hydra/launcher=ray", "hydra.launcher.at_once=4", "seed=0"]
    assert read_manner(typed) == (
        Manner(until="decided", launcher="ray", settings=("hydra.launcher.at_once=4",)),
        ["hooks=none,ema", "seed=0"],
    )
    assert read_manner(["seed=0"]) == (Manner(), ["seed=0"])


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["hydra.sweeper.untl=decided"], "no setting 'untl': did you mean until"),
        (["hydra.sweeper.until=decide"], "not one of planned, decided: did you mean decided"),
        (["hydra.sweeper.until=planned,decided"], "carried out in one way"),
        (["hydra.sweeper.until=null"], "not one of planned, decided"),
        (["hydra.sweeper.until=decided", "hydra.sweeper.until=planned"], "hydra.sweeper.until is given twice"),
        (["hydra/launcher=rai"], "not one of local, ray, slurm, slurm_local: did you mean ray"),
        (["hydra.launcher.at_once=4"], "this machine's launcher has no settings"),
        (["hydra.sweeper.arms=a.yaml"], "belongs to hydra.sweeper.design=list"),
        (["hydra.sweeper.design=curve", "hydra.sweeper.until=decided"], "leave one of the two out"),
        (["hydra.sweeper.design=factorial", "hydra.sweeper.until=decided"], "leave one of the two out"),
    ],
)
def test_what_a_sweep_can_not_be_is_refused(typed: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_manner(typed)


def test_hydra_knows_the_settings_that_the_words_may_set() -> None:
    spec = importlib.util.spec_from_file_location("shim", CHECKOUT / "hydra_plugins" / "ablation.py")
    assert spec is not None and spec.loader is not None
    shim = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shim)
    ours = asdict(Manner())
    assert {name: ours[name] for name in ("design", "until", "plan", "arms")} == shim.SETTINGS
