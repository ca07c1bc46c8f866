"""`python -m lab confirm ARM`, in order: which arm, fresh seeds, declared, trained, the test range read once, judged, kept. No torch.

What is kept is never made again: asked once more, it is shown. Killed anywhere, the same command goes on with the seeds that were declared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.ablate.certificate import read_findings
from lab.config import words
from lab.config.compose import Composer
from lab.confirm import journal, reading
from lab.confirm.arm import Candidate, compose, find_candidate, fresh_seeds, require_test_range
from lab.confirm.verdict import Side, conclude, say
from lab.errors import ConfigError, StoreError
from lab.files import read_sealed, sha256_of
from lab.numerics import bits_per_byte
from lab.request import Identifier
from lab.results.collect import load
from lab.results.entrants import find_entrants
from lab.results.lineup import line_up
from lab.results.pin import Pin, read_pin
from lab.results.smallest_effect import SmallestEffect, find_smallest_effect
from lab.results.studies import effect_of, rules_of
from lab.results.wording import counted, seed_list
from lab.store import confirmations
from lab.store.console import Console
from lab.store.layout import RunFolder
from lab.store.manifest import not_paired
from lab.store.runs import verify
from lab.store.studies import read_declarations
from lab.store.twins import folder_of
from lab.sweep.frozen import freeze
from lab.sweep.launcher import launch
from lab.sweep.plan import Plan, choice_of, plan_of
from lab.sweep.show import left_to_train, missing_of
from lab.sweep.sweeper import refuse_failed
from lab.sweep.watcher import Lines

LEAST = 2  # seeds: one pair has no spread


def confirm(root: Path, word: str, baseline: str, seeds: int | None, tell: Callable[[str], None]) -> str:
    """Judge an arm once on fresh seeds and the untouched test range, or show what was found. Raises LabError.

    `word`: its label as the report shows it, or some of its arm_id. `seeds`: how many; None: as many as at the pin's first look.
    """
    pin = read_pin(root, baseline)
    if seeds is not None and seeds < LEAST:
        raise ConfigError(f"--seeds {seeds}: one pair has no spread\nask for at least {LEAST}")
    require_test_range(root, baseline)
    with journal.alone(root):
        kept = confirmations.read_confirmations(confirmations.place(root / "runs", baseline))
        journal.require_whole(kept, root)
        candidate = find_candidate(load(root / "runs"), pin, word)
        declared = kept.declared(pin.sha256, candidate.run.change_id)
        if declared is not None:
            if (row := kept.confirmed(declared["id"])) is not None:
                return f"{shown_again(row)}\n{said(root, row, pin)}"
            require_same_count(declared, seeds)
        composer = Composer(root)
        asked = compose(composer, root, pin, candidate)
        chosen = declared["seeds"] if declared else fresh_seeds(root, pin, kept.of_kind("declared"), seeds or pin.looks[0])
        command = f"python -m lab confirm {words.shell(word)} --baseline {baseline}"
        plan = plan_of(composer, replace(asked, seeds=tuple(chosen)), command, tell, replay=True)
        require_pair(plan, candidate)
        if declared is None:
            declared = declare(root, pin, candidate, chosen, tell)
        else:
            tell(goes_on(declared, plan))
        train(plan, root, tell)
        return said(root, judge(root, pin, declared, plan, tell), pin)


def require_same_count(declared: Mapping[str, Any], seeds: int | None) -> None:
    """How many seeds decide was fixed before the first of them."""
    if seeds is not None and seeds != len(declared["seeds"]):
        raise ConfigError(
            f"this confirmation was declared with {len(declared['seeds'])} seeds, before their data, and {seeds} are asked for now\n"
            f"leave --seeds out"
        )


def shown_again(row: Mapping[str, Any]) -> str:
    return f"confirmed before, at {row['at']}: an arm is confirmed once. Nothing was trained or read again."


def goes_on(declared: Mapping[str, Any], plan: Plan) -> str:
    """How far a confirmation that was cut off had come."""
    there = len(plan.rows) - len(missing_of(plan))
    are = "is" if there == 1 else "are"
    return (
        f"goes on with the confirmation that was declared on {declared['at'][:10]}, on {seed_list(declared['seeds'])}: "
        f"{there} of {counted(len(plan.rows), 'run')} {are} there"
    )


def require_pair(plan: Plan, candidate: Candidate) -> None:
    """A plan is of the baseline itself and of the arm that was asked for. Raises StoreError where the code or the text moved since."""
    moved = [row.job.label for row in plan.rows if row.job.label.startswith("code=")]
    if moved:
        raise StoreError(
            f"today's code moves baseline `{plan.baseline}` ({moved[0]}): it isn't what the arm was compared with\nput it back"
        )
    if any(row.change_id != candidate.run.change_id for row in plan.rows if row.job.changes):
        raise StoreError(
            f"{candidate.label} isn't the same arm on today's text as in {candidate.run.directory}\n"
            f"put the text back, or ask for the arm on this one: its newest run is what is confirmed"
        )


def declare(root: Path, pin: Pin, candidate: Candidate, seeds: Sequence[int], tell: Callable[[str], None]) -> dict[str, Any]:
    """Write down which arm is confirmed and on which seeds, before the first run of them."""
    about = {"lock": pin.sha256, "arm_id": candidate.run.arm_id, "change_id": candidate.run.change_id, "label": candidate.arm.label}
    name = sha256_of(about | {"seeds": list(seeds)})[:12]
    tell(f"declared: {candidate.label} against baseline `{pin.name}`, once, on seeds {', '.join(map(str, seeds))}")
    return journal.add(confirmations.place(root / "runs", pin.name), "declared", id=name, seeds=list(seeds), **about)


def train(plan: Plan, root: Path, tell: Callable[[str], None]) -> None:
    """Train what is missing of a plan, and require an outcome of every run. Raises SweepFailed."""
    folder = freeze(plan, root)
    tell(f"{left_to_train(plan)}; cut off, it goes on with the same command")
    refuse_failed(plan, launch(plan, plan.rows, folder, Lines(Console()), "the confirmation"), root)


def judge(root: Path, pin: Pin, declared: Mapping[str, Any], plan: Plan, tell: Callable[[str], None]) -> dict[str, Any]:
    """Read the range for the pairs that are stable, conclude, and keep it."""
    path = confirmations.place(root / "runs", pin.name)
    folders = {(bool(row.job.changes), row.job.seed): folder_of(choice_of(row), row.folder) for row in plan.rows}
    outcomes = {key: verify(folder) for key, folder in folders.items()}
    seeds = declared["seeds"]
    stable = [key for seed in seeds for key in ((True, seed), (False, seed)) if both_finished(outcomes, seed)]
    text = Identifier(root).data(plan.rows[0].job.config).text
    costs: dict[tuple[bool, int], dict[str, Any]] = {}
    size = 0
    if stable:
        before, _ = confirmations.readings(root / "runs", text)
        row = journal.told(declared, "id", "arm_id", "label") | {"text": text, "n": len(before) + 1}
        tell(f"reading the test range: reading {len(before) + 1} of it in this store")
        found, size = reading.ask(root, [folders[key] for key in stable], path, row)
        costs = dict(zip(stable, found, strict=True))
    sides = {key: side(pin, result, costs.get(key)) for key, result in outcomes.items()}
    effect = smallest_effect(root, pin, declared, plan.cohort)
    arm, base = ([sides[changed, seed] for seed in seeds] for changed in (True, False))
    concluded = conclude(arm, base, pin, effect.value)
    estimate = concluded.estimate
    return journal.add(
        path,
        "confirmed",
        **journal.told(declared, "id", "lock", "arm_id", "change_id", "label", "seeds"),
        text=text,
        bytes=size,
        readings=len(confirmations.readings(root / "runs", text)[0]) if stable else 0,
        smallest_effect=effect.value,
        origin=effect.origin,
        not_paired=sorted({part for key, folder in folders.items() if key[0] for part in apart(folder)}),
        arm=[vars(each) for each in arm],
        baseline=[vars(each) for each in base],
        verdict=concluded.word,
        estimate=None if estimate is None else {name: getattr(estimate, name) for name in ("mean", "low", "high")},
        p=concluded.p,
    )


def apart(folder: RunFolder) -> list[str]:
    """What a run of the arm doesn't share with the baseline of its seed, beside its change."""
    pairing = read_sealed(folder.manifest)["pairing"]
    return [] if pairing is None else not_paired(pairing)


def both_finished(outcomes: Mapping[tuple[bool, int], Mapping[str, Any]], seed: int) -> bool:
    return all(outcomes[changed, seed]["status"] == "finished" for changed in (True, False))


def side(pin: Pin, result: Mapping[str, Any], cost: Mapping[str, Any] | None) -> Side:
    """One run's value on the test range in the pin's metric: None where it diverged, and where its pair did and it wasn't read."""
    digests = result["digests"]
    diverged, weights = result["status"] == "diverged", str(digests.get("judged_weights", digests["weights"]))
    if cost is None:
        return Side(diverged, None, weights)
    per_token = pin.metric == "nats_per_token"
    return Side(diverged, cost["nats"] / cost["tokens"] if per_token else bits_per_byte(cost["nats"], cost["bytes"]), weights)


def smallest_effect(root: Path, pin: Pin, declared: Mapping[str, Any], cohort: str) -> SmallestEffect:
    """D as the report has it for this arm: its study's, or the baseline's in this cohort."""
    findings, _ = read_findings(root / "runs", pin.name)
    studies, damaged = read_declarations(root / "runs", pin.name)
    entrants = find_entrants(load(root / "runs"), pin, findings, studies, damaged)
    effect = find_smallest_effect(pin, root / "runs", line_up(entrants, cohort).baseline, cohort)
    study = next((name for (change, _), name in entrants.first_studies.items() if change == declared["change_id"]), "")
    return effect_of(rules_of(pin, entrants.declarations.get(study)), pin, effect)


def said(root: Path, row: Mapping[str, Any], pin: Pin) -> str:
    """A confirmation in words, from what is kept of it alone; how often its range was read is counted anew."""
    arm, baseline = ([Side(**each) for each in row[name]] for name in ("arm", "baseline"))
    concluded = replace(conclude(arm, baseline, pin, row["smallest_effect"]), word=row["verdict"])  # as it was concluded then
    read, damaged = confirmations.readings(root / "runs", row["text"])
    mine = sum(each["id"] == row["id"] for each in read)
    text = say(row, concluded, pin, {"then": row["readings"], "arm": mine, "now": len(read)})
    odd = f"\n  {counted(damaged, 'damaged line')} in other baselines' {confirmations.NAME}: perhaps more readings." if damaged else ""
    return text + odd
