"""Batch jobs by submitit: its local executor, and SLURM's side of it in front of a queue that the test makes."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.cluster.sweeps import begin, checkpointed, owner, said, slow_project, wait_until, weights
from tests.conftest import Project

pytest.importorskip("submitit", reason="not run: submitit isn't installed here (pip install '.[slurm]')")
pytestmark = pytest.mark.soak
LOCAL = ("baseline=long", "seed=0", "hydra/launcher=slurm_local")
SLURM = ("baseline=long", "seed=0,1", "hydra/launcher=slurm", "hydra.launcher.constraints=[old,new]", "hydra.launcher.memory_gb=1")

# A queue of one machine: jobs begin at once; what a job asked for is kept.
QUEUE = {
    "sbatch": """#!/bin/sh
id=$$; mkdir -p "$QUEUE/$id"; for last; do :; done; cp "$last" "$QUEUE/$id/script"
SLURM_JOB_ID=$id setsid bash "$last" > "$QUEUE/$id/said" 2>&1 & echo $! > "$QUEUE/$id/pid"
echo "Submitted batch job $id"
""",
    "srun": """#!/bin/sh
while [ "$1" != env ]; do shift; done
export SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_JOB_NODELIST=here
exec "$@"
""",
    "sacct": "#!/bin/sh\necho 'JobID|State|NodeList'\n",
    "scancel": '#!/bin/sh\nfor last; do :; done; pkill -TERM -s "$(cat "$QUEUE/$last/pid")"\n',
}


@pytest.mark.parametrize("warning", [signal.SIGUSR2, signal.SIGTERM], ids=["as at the time limit", "as at a preemption"])
def test_a_job_that_is_asked_to_leave_goes_on_and_has_the_bits_of_an_unbroken_run(
    tiny: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warning: signal.Signals
) -> None:
    project = slow_project(tiny, monkeypatch, 0.02)
    beside = Project(shutil.copytree(project.root, tmp_path / "beside"))
    sweep = begin(project, *LOCAL)
    wait_until(lambda: checkpointed(project), 60, lambda: said(project))
    os.kill(owner(checkpointed(project)[0]), warning)
    assert sweep.wait(120) == 0, said(project)
    assert "the cluster asked it to leave; it goes on from its checkpoint" in said(project)
    assert said(project).count(": training\n") == 2 and "goes on from step" in said(project)
    assert begin(beside, *LOCAL[:2]).wait(120) == 0
    assert weights(project) == weights(beside)


def test_a_job_that_is_killed_is_tried_once_more_and_a_second_time_by_the_same_command(
    tiny: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = slow_project(tiny, monkeypatch, 0.02)
    sweep = begin(project, *LOCAL)
    for number in (1, 2):
        wait_until(lambda: checkpointed(project) and said(project).count(": training\n") == number, 60, lambda: said(project))  # noqa: B023
        os.kill(owner(checkpointed(project)[0]), signal.SIGKILL)
    assert sweep.wait(120) == 1, said(project)
    assert said(project).count("tried once more") == 1 and "its job ended without a word" in said(project)
    assert begin(project, *LOCAL).wait(120) == 0, said(project)
    assert len(weights(project)) == 1
    assert begin(project, *LOCAL).wait(120) == 0 and "found, not trained again" in said(project)


def test_a_sweep_that_is_stopped_takes_its_jobs_along(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project = slow_project(tiny, monkeypatch, 0.02)
    sweep = begin(project, *LOCAL)
    wait_until(lambda: checkpointed(project), 60, lambda: said(project))
    sweep.terminate()
    assert sweep.wait(60) == 130, said(project)
    assert "stopped at step" in said(project) and "type the same again to go on" in said(project)
    assert begin(project, *LOCAL).wait(120) == 0, said(project)
    assert len(weights(project)) == 1


def test_slurm_gets_a_job_for_each_run_with_its_resources_and_one_kind_of_node_for_each_seed(
    tiny: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, queue = slow_project(tiny, monkeypatch, 0.001), tmp_path / "queue"
    (queue / "bin").mkdir(parents=True)
    for name, script in QUEUE.items():
        (queue / "bin" / name).write_text(script)
        (queue / "bin" / name).chmod(0o755)
    sweep = begin(project, *SLURM, "hooks=slow,none", PATH=f"{queue / 'bin'}:{os.environ['PATH']}", QUEUE=str(queue))
    assert sweep.wait(240) == 0, said(project)
    scripts = [path.read_text() for path in queue.glob("*/script")]
    assert len(scripts) == 4 == len(weights(project))
    for script in scripts:
        for line in ("--no-requeue", "--cpus-per-task=1", "--mem=1024MB", "--time=240", "--signal=USR2@90"):
            assert f"#SBATCH {line}\n" in script, script
        assert script.count("--constraint=") == 1
    assert sorted(script.partition("--constraint=")[2].split()[0] for script in scripts) == ["new", "new", "old", "old"]
