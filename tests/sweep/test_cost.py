"""What a large plan costs doesn't grow where it needn't: files, folders and code are looked at once, however many rows there are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository

from lab.ablate.codemap import code_map
from lab.ablate.lock import load_pin
from lab.bench.made import make_finished
from lab.config.compose import Composer
from lab.config.options import read_yaml
from lab.errors import OneChangeError
from lab.files import read_rows
from lab.request import Identifier
from lab.store.layout import run_folders
from lab.sweep.found import find_all
from lab.sweep.plan import Plan, make_plan
from tests.conftest import Project
from tests.counts import calls


@pytest.fixture(scope="module")
def planned(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which nothing is trained, only planned."""
    root = tmp_path_factory.mktemp("cost") / "tiny"
    shutil.copytree(tiny_template, root)
    return Project(root)


def words(arms: int, *more: str) -> list[str]:
    rates = ",".join(f"0.00{1001 + number}" for number in range(arms))
    return ["baseline=tiny", f"trainer.optimizer.lr=0.001,{rates}", "seed=range(2)", *more]


def plan(project: Project, *typed: str) -> Plan:
    return make_plan(project.composer(), typed, "python run.py --multirun ...")


LOOKED_AT = (
    ConfigRepository.load_config,  # Hydra reads a file
    ConfigLoaderImpl._compose_config_from_defaults_list,  # and merges some
    read_yaml,
    load_pin,
    run_folders,
    code_map,
)


def test_files_folders_and_code_are_looked_at_as_often_for_ten_arms_as_for_two(planned: Project) -> None:
    few = calls(lambda: plan(planned, *words(2)), *LOOKED_AT)
    many = calls(lambda: plan(planned, *words(10)), *LOOKED_AT)
    assert few == many
    assert (many["load_pin"], many["run_folders"]) == (1, 2)  # for the rows, and for the baseline's runs
    assert many["code_map"] == 1


def test_each_arm_is_composed_once_whatever_the_seeds(planned: Project) -> None:
    counted = [calls(lambda n=n: plan(planned, *words(n)), Composer._compose)["_compose"] for n in (1, 4)]  # type: ignore[misc]
    assert counted[1] - counted[0] == 3


def test_each_option_file_is_read_once_however_many_arms_choose_others(planned: Project) -> None:
    typed = ["baseline=tiny", "model/norm=layernorm,rmsnorm", "hooks=none,grad_clip"]
    made = calls(lambda: plan(planned, *typed), ConfigRepository.load_config)["load_config"]
    again = calls(lambda: plan(planned, *typed, "model/mlp=gelu,swiglu"), ConfigRepository.load_config)["load_config"]
    assert 0 < again - made <= 2  # the options that only the second names


def test_a_plan_is_refused_before_a_run_is_looked_for(planned: Project) -> None:
    def refused() -> None:
        with pytest.raises(OneChangeError, match="makes 2 changes"):
            plan(planned, *words(2, "hooks=none,[grad_clip,z_loss]"))

    assert calls(refused, run_folders, code_map) == {"run_folders": 0, "code_map": 0}


# -- a sweep whose runs are there


@pytest.fixture
def finished(planned: Project, tmp_path: Path) -> tuple[Project, Plan]:
    """A project with a finished run for every row of a plan."""
    shutil.copytree(planned.root, tmp_path / "tiny")
    project = Project(tmp_path / "tiny")
    made, identifier = plan(project, *words(3)), Identifier(project.root)
    for row in made.rows:
        make_finished(identifier.identify(row.job), row.number)
    return project, made


def test_finished_runs_are_found_with_one_listing_of_the_store(finished: tuple[Project, Plan]) -> None:
    project, made = finished
    again = plan(project, *words(3))
    assert [row.status for row in again.rows] == ["finished"] * 8 and again.id == made.id
    assert calls(lambda: plan(project, *words(3)), run_folders) == {"run_folders": 2}
    find_all(made.rows)  # the first request that this store numbers reads those that are there
    assert calls(lambda: find_all(made.rows), run_folders) == {"run_folders": 1}


def test_each_found_run_gets_this_request_once_with_a_number_of_its_own(finished: tuple[Project, Plan]) -> None:
    _, made = finished
    results = find_all(made.rows)
    assert [results[row.number]["identity"] for row in made.rows] == [row.identity for row in made.rows]
    numbers = [[line["number"] for line in requests(row.folder.requests)] for row in made.rows]
    assert numbers == [[n, len(made.rows) + n] for n in range(1, len(made.rows) + 1)]


def test_a_run_whose_file_moved_is_not_found_and_not_asked(finished: tuple[Project, Plan]) -> None:
    _, made = finished
    torn, cut, missing = made.rows[0].folder, made.rows[1].folder, made.rows[2].folder
    torn.overrides.write_text("[]\n")
    cut.result.write_bytes(cut.result.read_bytes()[:-9])
    shutil.rmtree(missing.path)
    assert sorted(find_all(made.rows)) == [4, 5, 6, 7, 8]
    assert len(requests(torn.requests)) == len(requests(cut.requests)) == 1 and not missing.path.exists()


def requests(path: Path) -> list[dict[str, object]]:
    rows, damaged = read_rows(path)
    assert damaged == 0
    return rows
