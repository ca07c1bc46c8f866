"""Hydra 1.3 looks for plugins only under `hydra_plugins`; the sweeper itself is lab/sweep/sweeper.py.

Hydra executes this file without entering it into sys.modules, so no dataclass can stand here.
"""

from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

SETTINGS = {"design": "one_factor", "until": "planned", "plan": "found", "arms": None}  # as lab/sweep/manner.py reads them


class AblationSweeper(Sweeper):
    """One factor at a time against the pinned baseline: hands the words of `--multirun` to the lab's own plan."""

    def __init__(self, **settings: Any) -> None:
        """The settings are read from the words, by lab/sweep/manner.py: `python -m lab plan` has no tree of Hydra's to read."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Remember the project's root, the folder above conf/, and the words that Hydra keeps for itself. The lab composes each arm."""
        sources = hydra_context.config_loader.get_search_path().get_path()
        self.root = next(Path(each.path.removeprefix("file://")).resolve().parent for each in sources if each.provider == "main")
        self.words = [each for each in config.hydra.overrides.hydra if not each.startswith(("hydra.mode=", "hydra.verbose"))]

    def sweep(self, arguments: list[str]) -> Any:
        """Plan, check and run all arms. Returns what the lab's sweep returns."""
        from lab.config.misread import from_hydra
        from lab.sweep.sweeper import sweep

        return sweep([*from_hydra(arguments), *self.words], self.root)


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="ablation",
    node={"_target_": "hydra_plugins.ablation.AblationSweeper"} | SETTINGS,
    provider="observatory",
)
