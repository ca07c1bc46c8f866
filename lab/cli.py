"""The verbs that aren't a training run: `python -m lab VERB`, or `lab VERB`. Each imports what it needs when it's called."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.errors import ConfigError, LabError

BENCH = """\
JSON goes to standard output, words to standard error. Nothing is written into
runs/ but prepared data, and nothing counts as a run.

  lab bench model=nano device.threads=1
      tokens/s, seconds of a step and where they go, the price of each hook, FLOPs
      per token, MFU (against the rate at which this device multiplies the model's
      own matrices, measured in turns with the steps), peak memory, and what idle
      sites, logging, evaluations and proofs cost
  lab bench model=nano --against 'model=nano trainer.precision=bf16'
      how many times as long the first takes as the second for a token, in pairs
      of neighbouring turns (A B B A ...), so that a machine's drift cancels out

Best with nothing else running: with fewer free cores than threads the figures
are of the crowd. 40 steps of nano take about twenty seconds. A hook that speaks
every so many steps needs as many to show its price; `lab show RUN` has a run's.
"""


def main(words: list[str] | None = None) -> int:
    """Exit status: 0, or the error's own after its message on standard error."""
    top = parser()
    if not (sys.argv[1:] if words is None else words):
        top.print_help()
        return 0
    arguments, rest = top.parse_known_args(words)
    if any(word.startswith("-") for word in rest) or (rest and not hasattr(arguments, "overrides")):
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.overrides += rest  # argparse takes no second group of words after a flag: `pin NAME --again KEY=VALUE`
    try:
        verb: Callable[[argparse.Namespace, Path], None] = arguments.run
        from lab.config.root import find_root

        root = find_root(arguments.root)
        if arguments.root is None and not Path.cwd().is_relative_to(root):
            print(f"project: {root}", file=sys.stderr)
        sys.path.insert(0, str(root))  # the project's own modules (trusted_modules), wherever this was typed
        verb(arguments, root)
        sys.stdout.flush()
    except LabError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    except (BrokenPipeError, SystemExit):  # `| head` has seen enough; rich leaves with SystemExit then
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains when it flushes at exit
        return 0
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("lab"):
            raise
        print(
            f"the lab's environment isn't active: no {error.name} here\nset it up: make demo; then: source .venv/bin/activate",
            file=sys.stderr,
        )
        return 1
    except OSError as error:
        print(f"{error.filename or 'the machine'}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Every verb with its words."""
    top = argparse.ArgumentParser(
        prog="lab",
        description="Change one thing, train it next to a pinned baseline over several seeds, and learn whether the difference is real.",
        epilog="Training itself: python run.py --help",
    )
    top.add_argument("--root", metavar="FOLDER", help="the project's folder; otherwise found upwards from here")
    verbs = top.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, run: Callable[[argparse.Namespace, Path], None], about: str) -> argparse.ArgumentParser:
        each = verbs.add_parser(name, help=about, description=about)
        each.set_defaults(run=run)
        return each

    each = verb("report", report, "the baseline against every arm, with verdicts")
    each.add_argument("--baseline", default="default", metavar="NAME", help="which baseline (default: %(default)s)")
    each.add_argument("--format", choices=("terminal", "md"), default="terminal", help="terminal or Markdown (default: %(default)s)")
    each.add_argument("--out", type=Path, metavar="PATH", help="write Markdown to a file")
    each = verb("runs", runs, "every run in the store, with its status and result")
    each.add_argument("--baseline", default="*", metavar="NAME", help="only the runs of one baseline")
    each = verb("show", show, "one run: what it is, who asked for it, how it went")
    each.add_argument("which", metavar="RUN", help="its folder, or some of its name or id")
    each = verb("plan", plan, "what a sweep would run, what is finished, what it costs")
    each.add_argument("overrides", nargs="*", metavar="KEY=VALUES", help="as after `python run.py --multirun`")
    each = verb("pin", pin, "pin another baseline, written to conf/baseline/")
    each.add_argument("name", metavar="NAME", help="of the new baseline")
    each.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as after `python run.py`; starts from baseline=default")
    each.add_argument("--again", action="store_true", help="pin an existing name anew; the old lock is kept beside the new one")
    each = verb("bench", bench, "how fast a composition trains here, and against another one")
    each.formatter_class, each.epilog = argparse.RawDescriptionHelpFormatter, BENCH
    each.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as after `python run.py`; any number of changes")
    each.add_argument("--steps", type=int, default=40, metavar="N", help="training steps to time (default: %(default)s)")
    each.add_argument("--against", nargs="+", metavar="WORDS", help="another composition's overrides, all of them; comes last")
    each = verb("replay", replay, "train a finished run again and compare it to the bit; nothing is written")
    each.add_argument("which", metavar="RUN", help="its folder, or some of its name or id")
    each.add_argument("--path", metavar="TEXT", help="where its text lies now, if it was moved")
    each = verb("certify", certify, "replay a baseline under today's code: is an edit inert for it?")
    each.add_argument("--baseline", default="default", metavar="NAME", help="which baseline (default: %(default)s)")
    each.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="what the baseline needs here, as data.path=... or device.threads=..."
    )
    each = verb("sites", sites, "the places in a model where a hook can read or replace an activation")
    each.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as after `python run.py`")
    return top


def report(arguments: argparse.Namespace, root: Path) -> None:
    from rich.console import Console

    from lab.files import write_file
    from lab.results.report import build, print_report, to_markdown

    if arguments.out is not None and arguments.out.exists() and not arguments.out.is_file():
        raise ConfigError(f"--out {arguments.out} isn't a plain file, and a report would replace it\nname a file: --out report.md")
    if arguments.out is not None and arguments.out.exists() and arguments.out.suffix != ".md":
        raise ConfigError(
            f"--out {arguments.out} is there and isn't a Markdown file: a report would replace it\nname another: --out report.md"
        )
    built = build(root, arguments.baseline)
    if arguments.out is not None:
        write_file(arguments.out, to_markdown(built))
        print(f"written: {arguments.out}")
    elif arguments.format == "md":
        print(to_markdown(built), end="")
    else:
        print_report(built, Console(highlight=False))


def runs(arguments: argparse.Namespace, root: Path) -> None:
    from lab.store.listing import print_runs

    print_runs(root, arguments.baseline)


def show(arguments: argparse.Namespace, root: Path) -> None:
    from lab.results.reference import said_of_code
    from lab.store.listing import print_run
    from lab.store.runs import find_run

    print_run(find_run(root, arguments.which), lambda manifest: said_of_code(root / "runs", manifest))


def plan(arguments: argparse.Namespace, root: Path) -> None:
    from lab.config.compose import Composer
    from lab.sweep.plan import make_plan
    from lab.sweep.show import print_plan

    print_plan(make_plan(Composer(root), arguments.overrides, "python -m lab plan"))


def pin(arguments: argparse.Namespace, root: Path) -> None:
    from lab.ablate.baseline import pin as make
    from lab.ablate.baseline import words_of_pin
    from lab.ablate.lock import lock_path, option_path
    from lab.config.compose import Composer
    from lab.config.diff import say
    from lab.request import Identifier
    from lab.store.abilities import settle_device

    composer = Composer(root)
    typed = words_of_pin(composer, arguments.name, arguments.overrides, arguments.again)
    if arguments.overrides:  # the text is read now: a pin on a text that isn't there would be found out at its first run
        Identifier(root).data(composer.compose(typed).resolved)
    made, moves = make(composer, arguments.name, arguments.overrides, again=arguments.again)
    print(f"pinned baseline `{made.name}` ({made.short}): {option_path(root, made.name)}")
    for move in moves:
        print(f"  {move.path}: {say(move.old)} -> {say(move.new)}")
    if moves:
        print("what was asked for under an older lock isn't judged under this one; the report says how much that is")
    try:
        settle_device(Composer(root).compose((f"baseline={made.name}",)).resolved["device"], "fp32")  # anew: it wrote an option
    except ConfigError as error:
        print(f"this machine can't run it: {str(error).splitlines()[0]}")
    print(f"keep both files in git: {option_path(root, made.name).name}, {lock_path(root, made.name).name}")
    print(f"next: python run.py baseline={made.name}")


def bench(arguments: argparse.Namespace, root: Path) -> None:
    import json

    from lab.bench import ask

    words = [arguments.overrides] + ([] if arguments.against is None else [ask.words_of(arguments.against)])
    found = ask.bench(root, [settled(root, each) for each in words], arguments.steps)
    asked = dict(zip(("overrides", "against"), words, strict=False))
    print(json.dumps({"schema": found.pop("schema")} | asked | found, indent=1, allow_nan=False))


def replay(arguments: argparse.Namespace, root: Path) -> None:
    from lab.replay.ask import replay_said
    from lab.store.runs import find_run

    path = None if arguments.path is None else str(Path(arguments.path).resolve())
    print(replay_said(root, find_run(root, arguments.which), lambda words: print(words, file=sys.stderr, flush=True), path))


def certify(arguments: argparse.Namespace, root: Path) -> None:
    from lab.ablate.rule import count_changes
    from lab.config.compose import Composer
    from lab.replay.ask import certify_said
    from lab.request import job_of

    named = [each for each in arguments.overrides if each.startswith("baseline=")]  # as after `python run.py`
    start = named or [f"baseline={arguments.baseline}"]
    tally = count_changes(Composer(root), (*start, *(each for each in arguments.overrides if each not in named)))
    print(certify_said(root, job_of(tally, root, "python -m lab certify"), print))


def sites(arguments: argparse.Namespace, root: Path) -> None:
    import importlib

    config = settled(root, arguments.overrides)
    importlib.import_module("lab.sites").print_sites(root, config)  # by name: it loads torch


def settled(root: Path, overrides: list[str]) -> dict[str, Any]:
    """The composition of some overrides, checked, its device as this machine has it."""
    from lab.config.compose import Composer
    from lab.request import on_this_machine

    return on_this_machine(Composer(root).compose(tuple(overrides)).resolved)


if __name__ == "__main__":
    sys.exit(main())
