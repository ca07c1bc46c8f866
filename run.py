"""One run, or with --multirun a sweep: Hydra's entry point, thin. `python run.py --help` says what can be typed.

The rule of one change is enforced here, before Hydra starts the job and long before torch is imported.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from lab.ablate.refusal import require_one_change
from lab.ablate.rule import Verdict, judge
from lab.config import words
from lab.config.compose import Composer
from lab.errors import ConfigError, LabError

ROOT = Path(__file__).resolve().parent
FOREIGN = {"config_name": "--config-name", "config_path": "--config-path", "config_dir": "--config-dir"}
ONLY_SHOWS = ("help", "hydra_help", "info", "shell_completion")


def main() -> int:
    """Exit status: 0, or the error's own after its message on standard error."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra re-raises, and the message is ours
    try:
        arguments = get_args_parser().parse_intermixed_args()
        typed = set(arguments.overrides)  # flags may stand between the words; Hydra itself wants them first
        sys.argv = [word for word in sys.argv if word not in typed] + arguments.overrides
        verdict = None if any(getattr(arguments, name) for name in ONLY_SHOWS) else settle(arguments)

        failed: list[LabError] = []

        @hydra.main(config_path="conf", config_name="config", version_base="1.3")
        def job(_config: DictConfig) -> None:
            assert verdict is not None, "Hydra starts a job only for what was judged"
            try:
                start(verdict)
            except LabError as error:  # let through, Hydra would print its own line first
                failed.append(error)

        job()
        if failed:
            raise failed[0]
    except LabError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except (HydraException, OmegaConfBaseException, YAMLError, AssertionError) as error:
        print(words.first_line(words.root_of(error)), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def settle(arguments: Namespace) -> Verdict | None:
    """Check the typed words, and let Hydra compose what will run: a swapped component gets its own values.

    None where nothing is judged here: a sweep judges all its arms itself, and `--cfg` only shows.
    Raises LabError for what can't run.
    """
    for name, flag in FOREIGN.items():
        if getattr(arguments, name):
            raise ConfigError(
                f"{flag} composes without a pinned baseline: nothing could be compared\nadd options to conf/, choose them as GROUP=OPTION"
            )
    if arguments.multirun and arguments.cfg:
        raise ConfigError("--cfg shows one composition, --multirun makes many\nleave one of them out; `python -m lab plan` shows a sweep")
    if arguments.multirun:
        return None
    composer, typed = Composer(ROOT), tuple(arguments.overrides)
    sys.argv += composer.compose(typed).settled
    if arguments.cfg:
        return None
    verdict = judge(composer, typed)
    require_one_change(verdict)
    return verdict


def start(verdict: Verdict) -> None:
    """Find or train the run that was judged."""
    from lab.runner import job_of, run  # numpy and more: not for --help, --cfg, completion or a refusal
    from lab.store.console import Console

    command = " ".join(["python run.py", *(words.shell(word) for word in verdict.composition.overrides)])
    run(job_of(verdict, ROOT, command), Console())


if __name__ == "__main__":
    sys.exit(main())
