"""Hydra 1.3 looks for plugins only under `hydra_plugins`; the sweeper itself is lab/sweep/sweeper.py.

Hydra executes this file without entering it into sys.modules, so no dataclass can stand here.
"""

from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class AblationSweeper(Sweeper):
    """One factor at a time against the pinned baseline: hands the words of `--multirun` to the lab's own plan."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Remember the project's root: the folder above conf/. The lab composes each arm itself, once."""
        sources = hydra_context.config_loader.get_search_path().get_path()
        self.root = next(Path(each.path.removeprefix("file://")).resolve().parent for each in sources if each.provider == "main")

    def sweep(self, arguments: list[str]) -> Any:
        """Plan, check and run all arms. Returns what the lab's sweep returns."""
        from lab.config.misread import from_hydra
        from lab.sweep.sweeper import sweep

        return sweep(from_hydra(arguments), self.root)


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="ablation",
    node={"_target_": "hydra_plugins.ablation.AblationSweeper"},
    provider="observatory",
)
