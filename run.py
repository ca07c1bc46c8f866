"""One run, or with --multirun a sweep: Hydra's entry point, thin. `python run.py --help` says what can be typed.

The rule of one change is enforced here, before Hydra starts the job and long before torch is imported.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

try:
    from lab.signals import leave_on_interrupt

    leave_on_interrupt()  # before the half second in which the rest is loaded
    import hydra
except ModuleNotFoundError:
    sys.exit("the lab's environment isn't active: no hydra here\nset it up: make demo; then: source .venv/bin/activate")
from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from lab.ablate.refusal import require_one_change
from lab.ablate.rule import Tally, count_changes
from lab.config import words
from lab.config.compose import Composer
from lab.config.diff import node, say
from lab.config.misread import for_hydra, with_texts_quoted
from lab.config.offer import help_text, line_to_complete, offered
from lab.config.options import OptionFiles
from lab.config.ranges import nearest
from lab.errors import ConfigError, LabError
from lab.sweep.declared import Declared, read_study, require_member
from lab.sweep.designs.list_of_arms import ARMS, FLAG, with_arms_as_words
from lab.sweep.listed import refuse_study_of_a_verb
from lab.sweep.manner import read_manner

ROOT = Path(__file__).resolve().parent
FOREIGN = {
    "config_name": "--config-name",
    "config_path": "--config-path",
    "config_dir": "--config-dir",
    "experimental_rerun": "--experimental-rerun",
}
ONLY_SHOWS = ("help", "hydra_help", "info", "shell_completion")


def main() -> int:
    """Exit status: 0, or the error's own after its message on standard error."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra re-raises, and the message is ours
    try:
        sys.argv[1:] = with_arms_as_words(sys.argv[1:])
        arguments = get_args_parser().parse_intermixed_args()
        typed = set(arguments.overrides)  # flags may stand between the words; Hydra itself wants them first
        arguments.overrides = with_texts_quoted(arguments.overrides)
        sys.argv = [word for word in sys.argv if word not in typed] + for_hydra(arguments.overrides)
        if arguments.help:
            print(help_text(ROOT / "conf"))
            return 0
        if arguments.cfg == "job" and not arguments.multirun:
            print(shown(arguments), end="")
            return 0
        tally = None if any(getattr(arguments, name) for name in ONLY_SHOWS) else settle(arguments)

        failed: list[LabError] = []

        @hydra.main(config_path="conf", config_name="config", version_base="1.3")
        def job(_config: DictConfig) -> None:
            assert tally is not None, "Hydra starts a job only for what was judged"
            try:
                start(tally)
            except LabError as error:  # let through, Hydra would print its own line first
                failed.append(error)

        if arguments.shell_completion and "".join(arguments.overrides).startswith("query="):
            os.environ["COMP_LINE"] = line_to_complete(os.environ["COMP_LINE"])
            with redirect_stdout(StringIO()) as said:
                job()
            print(" ".join(offered(said.getvalue().split())))
        else:
            job()
        if failed:
            raise failed[0]
    except LabError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        print(words.explain(error, arguments.overrides, OptionFiles(ROOT / "conf")), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except ValueError as error:
        if "shell-completion" not in str(error) and "-sc" not in sys.argv:
            raise
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def refuse_foreign(arguments: Namespace) -> None:
    """A configuration from elsewhere has no pin. Raises ConfigError."""
    for name, flag in FOREIGN.items():
        if getattr(arguments, name):
            raise ConfigError(
                f"{flag} composes without a pinned baseline: nothing could be compared\nadd options to conf/, and choose them"
            )


def shown(arguments: Namespace) -> str:
    """What `--cfg job` prints: the composition that would run, filled and checked. Hydra would show it unchecked, and later."""
    refuse_foreign(arguments)
    composer = Composer(ROOT)
    composition = composer.compose(in_study(composer, arguments.overrides)[1])
    tree = composition.resolved if arguments.resolve else composition.unresolved
    part = node(tree, arguments.package) if arguments.package else tree
    if part is None:
        raise ConfigError(f"--package {arguments.package}: there is no such part\nparts: {', '.join(tree)}")
    return OmegaConf.to_yaml(OmegaConf.create(part)) if isinstance(part, dict) else f"{say(part)}\n"


def settle(arguments: Namespace) -> Tally | None:
    """Check the typed words, and let Hydra compose what will run: a swapped component gets its own values.

    None where nothing is judged here: a sweep judges all its arms itself, and `--cfg` only shows.
    Raises LabError for what can't run.
    """
    refuse_foreign(arguments)
    if arguments.multirun and arguments.cfg:
        raise ConfigError("--cfg shows one composition, --multirun makes many\nleave one of them out; `python -m lab plan` shows a sweep")
    if arguments.multirun:
        words.check_single(arguments.overrides, OptionFiles(ROOT / "conf"))  # Hydra composes these before it asks our sweeper
        manner, _ = read_manner(arguments.overrides)
        if manner.launcher != "local":
            from lab.sweep.remote.engines import require_ready  # before Hydra composes the launcher's settings: its words name no way out

            require_ready(manner, ROOT)
        return None
    if any(word.startswith(ARMS) for word in arguments.overrides):
        raise ConfigError(f"{FLAG} lists the arms of a sweep, and this is one run\nadd --multirun, or leave it out")
    composer = Composer(ROOT)
    declared, typed = in_study(composer, arguments.overrides)
    composition = composer.compose(typed)
    sys.argv += [*(each for each in typed if each not in arguments.overrides), *composition.settled]
    if arguments.cfg:
        return None
    if declared is None and "study" in words.typed_keys(typed):
        name = str(composition.resolved["study"])
        refuse_study_of_a_verb(name)
        raise ConfigError(
            f"study={name}: no file of conf/study declares it{nearest(name, composer.files.studies)}\n"
            f"a single run falls into the study `screening`, or into one of conf/study; another study is a sweep's: add --multirun"
        )
    tally = count_changes(composer, typed)
    require_one_change(tally)
    if declared is not None:
        require_member(composer, declared, tally)
    return tally


def in_study(composer: Composer, overrides: Sequence[str]) -> tuple[Declared | None, tuple[str, ...]]:
    """The study of conf/study that the words name, and the words with its baseline; None, and the words as they are, without one."""
    words.check_typed(overrides, composer.files)
    name = words.study_of(overrides)
    declared = read_study(composer, name) if name is not None else None
    return declared, tuple(overrides if declared is None else declared.started(overrides))


def start(tally: Tally) -> None:
    """Find or train the run that was judged."""
    from lab.request import job_of  # numpy and more: not for --help, --cfg, completion or a refusal
    from lab.runner import run
    from lab.store.console import Console

    typed = tally.composition.overrides
    command = " ".join(["python run.py", *(words.shell(word) for word in typed)])
    if words.study_of(typed) is not None:  # the whole family is written down before any of its runs
        from lab.sweep.frozen import declare_family
        from lab.sweep.plan import make_plan

        seed = tally.composition.resolved["seed"]
        declare_family(make_plan(Composer(ROOT), [*words.of_keys(typed, ("study", "data.path")), f"seed={seed}"], command), ROOT)
    run(job_of(tally, ROOT, command), Console())


if __name__ == "__main__":
    sys.exit(main())
