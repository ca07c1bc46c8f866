"""The verbs that aren't a training run, and their words: `python -m lab VERB`, or `lab VERB`. What they do stands in lab/verbs.py."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lab import verbs
from lab.errors import LabError

Verb = Callable[[str, Callable[[argparse.Namespace, Path], None], str], argparse.ArgumentParser]
FORMATS = ("terminal", "md", "html", "csv", "json", "latex")
BENCH = """\
JSON goes to standard output, words to standard error. Nothing is written into
runs/ but prepared data, and nothing counts as a run.

  lab bench model=nano device.threads=1
      tokens/s, seconds of a step and where they go, the price of each hook, FLOPs
      per token, MFU (against the rate at which this device multiplies the model's
      own matrices, measured in turns with the steps), peak memory, and what idle
      sites, logging, evaluations and proofs cost
  lab bench --store
      how fast a made-up store of 10,000 runs is listed and judged, cold and with
      its index, and how fast 2,000 runs' curves are read into one frame
  lab bench --sweep
      baseline and 7 arms on 5 seeds as a sweep, and the same 40 runs one after
      the other in one process, to the bit: runs per hour both ways, their ratio,
      and what of the time isn't training steps (fifty minutes on two cores; with
      --steps 100 nine, of which more goes into starts and evaluations)
  lab bench --plan
      how long 300 runs take to be planned, refused, and found finished with their
      report, each in a fresh process, and the most memory that it takes
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
    typed = sys.argv[1:] if words is None else words
    if not typed:
        top.print_help()
        return 0
    if meant := misspelt_verb(typed, top.get_default("verbs")):
        print(f"{meant}\nall of them: python -m lab --help", file=sys.stderr)
        return 2
    arguments, rest = top.parse_known_args(words)
    if rest and hasattr(arguments, "text") and "--" in typed:
        print(
            "flags stand before `--`, and your words alone behind it: lab conclude ARM --baseline NAME -- '-0.02 is enough'",
            file=sys.stderr,
        )
        return 2
    if rest and hasattr(arguments, "text") and not any(word.startswith("-") for word in rest):
        whole = " ".join([arguments.text, *rest])
        print(f"{len(rest) + 1} words where one text belongs\nput your words in quotes: {shlex.quote(whole)}", file=sys.stderr)
        return 2
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
    parsers = top.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, run: Callable[[argparse.Namespace, Path], None], about: str) -> argparse.ArgumentParser:
        each = parsers.add_parser(name, help=about, description=about)
        each.set_defaults(run=run)
        return each

    add_claims(verb)
    add_runs(verb)
    add_proofs(verb)
    top.set_defaults(verbs=tuple(parsers.choices))
    return top


def misspelt_verb(typed: Sequence[str], known: Sequence[str]) -> str:
    """Which verb was meant by one that isn't there; nothing where it is there, or none is spelt alike: argparse tells that."""
    rest = iter(typed)
    for word in rest:
        if word == "--root":
            next(rest, None)
        elif not word.startswith("-"):
            if word in known:
                return ""
            from lab.config.ranges import nearest

            meant = nearest(word, known)
            return meant and f"there is no verb {word!r}{meant}"
    return ""


def add_claims(verb: Verb) -> None:
    """What is concluded, and on what grounds."""
    each = verb("report", verbs.report, "the baseline against every arm, with verdicts")
    named_baseline(each)
    each.add_argument("--arms", default="*", metavar="GLOB", help="show only these arms; the correction stays over all of them")
    each.add_argument("--cohort", metavar="ID", help="only this cohort (some of its id); otherwise each that holds data")
    each.add_argument("--format", choices=FORMATS, help="terminal, or as the suffix of --out says")
    each.add_argument("--out", type=Path, metavar="PATH", help="write to a file: .md .html .csv .json .tex")
    each.add_argument("--figures", type=Path, metavar="FOLDER", help="write the figures too, as PNG and SVG")
    each = verb("journal", verbs.journal, "every arm ever tried, newest first: why, what happened, what was concluded")
    each.add_argument("--baseline", default="*", metavar="NAME", help="only the arms of one baseline")
    each.add_argument("--format", choices=("terminal", "md"), default="terminal", help="terminal or Markdown (default: %(default)s)")
    each = verb("conclude", verbs.conclude, "write down what you concluded of an arm; the journal shows it")
    each.add_argument("arm", metavar="ARM", help="its label as the report shows it, or some of its arm_id")
    each.add_argument("text", metavar="TEXT", help="your words, in quotes; behind `--` where they begin with a dash")
    named_baseline(each)
    each = verb("confirm", verbs.confirm, "judge an arm once, on fresh seeds and the untouched test range")
    each.epilog = "One that was cut off goes on with the same command: with its seeds, and with the runs that are there."
    each.add_argument("arm", metavar="ARM", help="its label as the report shows it, or some of its arm_id")
    named_baseline(each)
    each.add_argument("--seeds", type=int, metavar="N", help="how many fresh seeds (default: as many as at the pin's first look)")
    each = verb("selfcheck", verbs.selfcheck, "train arms that differ in nothing that matters: what does the report say of them?")
    named_baseline(each)
    each.add_argument("--arms", type=int, default=3, metavar="K", help="how many of them (default: %(default)s)")
    each.add_argument("--seeds", type=int, metavar="N", help="on how many seeds (default: the pin's first look)")


def add_runs(verb: Verb) -> None:
    """What there is, and what there could be."""
    each = verb("runs", verbs.runs, "every run in the store, with its status and result")
    each.add_argument("--baseline", default="*", metavar="NAME", help="only the runs of one baseline")
    each = verb("show", verbs.show, "one run: what it is, who asked for it, how it went")
    each.add_argument("which", metavar="RUN", help="its folder, or some of its name or id")
    each = verb("plan", verbs.plan, "what a sweep would run, what is finished, what it costs")
    each.add_argument("overrides", nargs="*", metavar="KEY=VALUES", help="as after `python run.py --multirun`")
    each.add_argument("-m", "--multirun", action="store_true", help=argparse.SUPPRESS)  # the sweep's own words may be pasted whole
    each.add_argument("--arms", metavar="FILE", help="exactly the arms that this YAML file lists, one change each (docs/designs.md)")
    each = verb("pin", verbs.pin, "pin another baseline, written to conf/baseline/")
    each.add_argument("name", metavar="NAME", help="of the new baseline")
    each.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as after `python run.py`; starts from baseline=default")
    each.add_argument("--again", action="store_true", help="pin an existing name anew; the old lock is kept beside the new one")


def add_proofs(verb: Verb) -> None:
    """How fast, and whether it holds."""
    each = verb("bench", verbs.bench, "how fast a composition trains here, and against another one")
    each.formatter_class, each.epilog = argparse.RawDescriptionHelpFormatter, BENCH
    each.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as after `python run.py`; any number of changes")
    each.add_argument("--steps", type=int, metavar="N", help="training steps to time (default: 40; of --sweep: 1000 a run)")
    each.add_argument("--against", nargs="+", metavar="WORDS", help="another composition's overrides, all of them; comes last")
    each.add_argument(
        "--store", type=int, nargs="?", const=10_000, metavar="RUNS", help="instead: how fast a made-up store is read (default: 10000 runs)"
    )
    each.add_argument("--plan", action="store_true", help="instead: what planning, refusing and finding a sweep of 300 runs costs")
    each.add_argument("--sweep", action="store_true", help="instead: a sweep of 40 runs against the same runs one after the other")
    each = verb("replay", verbs.replay, "train a finished run again and compare it to the bit; nothing is written")
    each.add_argument("which", metavar="RUN", help="its folder, or some of its name or id")
    each.add_argument("--path", metavar="TEXT", help="where its text lies now, if it was moved")
    each = verb("certify", verbs.certify, "replay a baseline under today's code: is an edit inert for it?")
    named_baseline(each)
    each.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="what the baseline needs here, as data.path=... or device.threads=..."
    )
    each = verb("sites", verbs.sites, "the places in a model where a hook can read or replace an activation")
    each.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as after `python run.py`")


def named_baseline(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--baseline", default="default", metavar="NAME", help="which baseline (default: %(default)s)")


if __name__ == "__main__":
    sys.exit(main())
