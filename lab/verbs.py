"""What each verb does when it's called: reads its words, asks a room, prints what comes back. Imports what it needs when it's called."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

from lab.ablate.lock import load_pin
from lab.errors import ConfigError, LabError


def report(arguments: argparse.Namespace, root: Path) -> None:
    from rich.console import Console

    from lab.files import write_file
    from lab.results.collect import load
    from lab.results.curves import curves
    from lab.results.forms import FORMATS, form_of, print_report
    from lab.results.report import build
    from lab.results.telling import tell

    out = arguments.out
    if out is not None and out.exists() and not out.is_file():
        raise ConfigError(f"--out {out} isn't a plain file, and a report would replace it\nname a file: --out report.md")
    form = form_of(arguments.format, out)
    lab = load(root / "runs")
    facts = tell(
        build(root, arguments.baseline, arguments.cohort, lambda known: own_cohort(root, arguments.baseline, known), lab), arguments.arms
    )
    if arguments.figures is not None:
        from lab.results.figures import write_figures

        for path in write_figures(arguments.figures, facts, curves(lab, facts)):
            print(f"written: {path}", file=sys.stderr if out is None else sys.stdout)  # the report itself may go into a pipe
    if form == "terminal" and out is None:
        print_report(facts, Console(highlight=False))
        return
    text = FORMATS[form].make(facts, curves(lab, facts) if form == "html" else {})
    if out is None:
        print(text, end="")
        return
    try:
        write_file(out, text)
    except OSError as error:  # it names the file beside it that was written first
        raise OSError(error.errno, error.strerror, str(out)) from error
    print(f"written: {out}")


def own_cohort(root: Path, baseline: str, known: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The cohort that this machine would make now. `known`: the parts of each one that holds runs.

    A single one of this machine's device and torch is taken for it, unread: composing a configuration and reading its text would cost
    as much as the rest of a report.
    """
    from lab.store.machine import cohort_parts

    for cohort, parts in known.items():
        try:
            if len(known) == 1 and dict(parts) == cohort_parts(parts["device"], parts["text"], parts["protocol"]):
                return cohort
        except (KeyError, LabError):
            continue  # of another version of the lab, or of a device that isn't here
    from lab.request import cohort_here

    return cohort_here(root, baseline)


def journal(arguments: argparse.Namespace, root: Path) -> None:
    from rich.console import Console

    from lab.results.collect import load
    from lab.results.forms.journal import journal_to_markdown, print_journal
    from lab.results.journal import reader, write_journal

    lab = load(root / "runs")
    if arguments.baseline != "*" and not any(request.baseline == arguments.baseline for request in lab.asked):
        load_pin(root, arguments.baseline)  # a name that was mistyped is told
    written = write_journal(lab, arguments.baseline, reader(root, lab))
    if arguments.format == "md":
        print(journal_to_markdown(written), end="")
    else:
        print_journal(written, Console(highlight=False))


def conclude(arguments: argparse.Namespace, root: Path) -> None:
    from lab.results.collect import load
    from lab.results.journal import reader, said_of
    from lab.results.named import arm_named, arms_of
    from lab.results.wording import shown
    from lab.store import conclusions

    if not arguments.text.strip():
        raise ConfigError("a conclusion has words: python -m lab conclude ARM 'it trains as well without a mean'")
    load_pin(root, arguments.baseline)
    lab = load(root / "runs")
    arm = arm_named(arms_of(lab, arguments.baseline), arguments.arm, arguments.baseline, lab)
    verdict = said_of(arm, reader(root, lab)(arguments.baseline))
    conclusions.conclude(root, arguments.baseline, arm.arm_id, arm.change_id, arm.label, verdict, arguments.text.strip())
    print(f"written beside {shown(arm.label)}, of which the report says {verdict!r}: python -m lab journal")


def confirm(arguments: argparse.Namespace, root: Path) -> None:
    from lab.confirm import confirm as run

    found = run(root, arguments.arm, arguments.baseline, arguments.seeds, lambda words: print(words, file=sys.stderr, flush=True))
    print(folded(found))


def selfcheck(arguments: argparse.Namespace, root: Path) -> None:
    from lab.selfcheck import selfcheck as run

    found = run(root, arguments.baseline, arguments.arms, arguments.seeds, lambda words: print(words, file=sys.stderr, flush=True))
    print(folded(found))


def folded(text: str) -> str:
    """Lines as wide as the terminal, each folded to its own margin."""
    width = shutil.get_terminal_size().columns
    return "\n".join(
        fill(line.lstrip(), width, initial_indent=margin, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
        for margin in [" " * (len(line) - len(line.lstrip()))]
    )


def runs(arguments: argparse.Namespace, root: Path) -> None:
    from lab.store.listing import print_runs

    print_runs(root, arguments.baseline)


def show(arguments: argparse.Namespace, root: Path) -> None:
    from lab.results.reference import said_of_code
    from lab.store.listing import print_run
    from lab.store.runs import find_run

    print_run(find_run(root, arguments.which), lambda manifest: said_of_code(root / "runs", manifest))


def plan(arguments: argparse.Namespace, root: Path) -> None:
    from lab.sweep.decided import require_decidable
    from lab.sweep.designs.list_of_arms import with_arms_as_words
    from lab.sweep.frozen import require_declarable
    from lab.sweep.show import print_plan
    from lab.sweep.thawed import plan_or_thaw

    typed = with_arms_as_words([*arguments.overrides, *([] if arguments.arms is None else [f"--arms={arguments.arms}"])])
    made, _ = plan_or_thaw(root, typed, "python -m lab plan", print)
    if made.manner.until == "decided":
        require_decidable(made)
    require_declarable(made, root)
    print_plan(made)


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

    if arguments.store is not None:
        from lab.bench.store import bench_store

        print(json.dumps(bench_store(arguments.store), indent=1, allow_nan=False))
        return
    if arguments.sweep:
        from lab.bench.sweep import STEPS, Study, bench_sweep

        if arguments.overrides or arguments.against is not None:
            raise ConfigError("--sweep times one standard study, whatever else is typed\nleave the other words out, but for --steps N")
        study = Study(steps=STEPS if arguments.steps is None else arguments.steps)
        print(json.dumps(bench_sweep(root, study), indent=1, allow_nan=False))
        return
    if arguments.plan:
        from lab.bench.plan import bench_plan

        if arguments.overrides or arguments.against is not None:
            raise ConfigError("--plan times sweeps of its own, whatever else is typed\nleave the other words out")
        print(json.dumps(bench_plan(root), indent=1, allow_nan=False))
        return
    words = [arguments.overrides] + ([] if arguments.against is None else [ask.words_of(arguments.against)])
    found = ask.bench(root, [settled(root, each) for each in words], ask.STEPS if arguments.steps is None else arguments.steps)
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
