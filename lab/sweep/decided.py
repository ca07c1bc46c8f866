"""`hydra.sweeper.until=decided`: seeds are added look by look, and only to the arms that are still undecided.

Which arms go on is the report's word (lab/sweep/judged.py), kept look by look (lab/sweep/looks.py). An arm of which a run failed, or isn't
counted by the report, waits at that look, undecided: no later seed could bring it a verdict, and the sweep has failed. Between two looks
Ctrl-C and SIGTERM stop it as they do while runs go on. Refuses a sweep whose seeds were listed by hand, one without arms, and the designs
whose cells get no verdict. Trains nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean

from lab.errors import ConfigError, Interrupted, StoreError
from lab.store.console import duration
from lab.store.plain import plain
from lab.store.runs import read_result
from lab.sweep.judged import STOPPED, Standing, judged
from lab.sweep.launcher import signals
from lab.sweep.looks import Looks, Standings, judged_looks, looks_of, planned_looks
from lab.sweep.plan import Plan, Row
from lab.sweep.show import ranges
from lab.sweep.watcher import Failed

WORD = "hydra.sweeper.until=decided"
JUDGED_BY_ARM = ("one_factor", "list", "leave_one_out")  # designs
Settle = Callable[[Sequence[Row]], list[Failed]]
Say = Callable[[str], None]
Ask = Callable[[Plan, Path], dict[str, Standing]]


def until_decided(plan: Plan, folder: Path, root: Path, settle: Settle, say: Say, ask: Ask = judged) -> list[Failed]:
    """Settle the plan's rows look by look until no arm is open, or the last look is over. Returns the rows that failed.

    `settle` trains or finds rows and returns those that failed; what it raises is let through. Raises ConfigError before anything.
    """
    require_decidable(plan)
    looks, kept, arms = looks_of(plan), Looks(folder, plan, say), Arms(plan)
    with signals() as asked:  # while runs go on, these are the launcher's to hear
        forget_other_rules(plan, root, kept, say, ask)
        for place, look in enumerate(looks, 1):
            arms.reach(look)
            if not kept.knows(look, arms.open):  # else its runs are looked after together with those of the look that follows
                arms.settle(unless_stopped(settle, asked))
                if not kept.knows(look, arms.open):
                    standings = ask(plan, root)
                    kept.add(look, {arm_id: standings[arm_id] for arm_id in arms.open if arm_id in standings})
            ended = arms.take(look, kept.at(look))
            say(f"look {place} of {len(looks)}, {look} seeds: {counted(ended, arms)}")
            for each in ended:
                say(f"  {line_of(each, looks[-1])}")
            if not arms.open:
                break
        arms.settle(unless_stopped(settle, asked))
        kept.close(over=not arms.held)  # an arm that is open now, this sweep's seeds can't decide
        for line in ending(arms, len(plan.seeds)):
            say(line)
    if asked:
        raise Interrupted(STOPPED)
    return arms.failed


def unless_stopped(settle: Settle, asked: Sequence[int]) -> Settle:
    """The same, where no signal has asked the sweep to stop by then."""

    def settle_now(rows: Sequence[Row]) -> list[Failed]:
        if asked:
            raise Interrupted(STOPPED)
        return settle(rows)

    return settle_now


def forget_other_rules(plan: Plan, root: Path, kept: Looks, say: Say, ask: Ask) -> None:
    """What was said before stands only where the family, D and the looks are today's."""
    if not kept:
        return
    try:
        moved = kept.forget(ask(plan, root))
    except StoreError:  # nothing can be told now: should that last, it is said when a look needs it
        return
    if moved:
        labels = {row.arm_id: row.job.label for row in plan.rows}
        names = ", ".join(plain(labels[arm_id]) for arm_id in moved if arm_id in labels)
        say(f"judged anew, since the arms of its study, its looks or D moved: {names}")


def require_decidable(plan: Plan) -> None:
    """A plan that can be carried out until its arms are decided. Raises ConfigError."""
    if plan.manner.design not in JUDGED_BY_ARM:
        raise ConfigError(
            f"{WORD} beside hydra.sweeper.design={plan.manner.design}: its runs get no verdict arm by arm, so none is ever decided\n"
            f"leave {WORD} out, and list the seeds: 'seed=range(8)'"
        )
    looks = planned_looks(plan)
    if plan.seeds != tuple(plan.rows[0].job.config["judgement"]["seeds"][: looks[-1]]):
        raise ConfigError(
            f"seed={','.join(map(str, plan.seeds))} beside {WORD}: that takes the pinned seeds, look by look "
            f"({', '.join(map(str, looks))} of them)\nleave seed=... out; or leave {WORD} out, and just these seeds are trained"
        )
    if not plan.untried and not any(row.job.changes for row in plan.rows):
        raise ConfigError(f"{WORD}: this sweep has no arm, so there is nothing to decide\nlist some: hooks=none,grad_clip")
    if not looks_of(plan):
        raise ConfigError(
            f"{WORD}: study `{plain(plan.study)}` is judged at {', '.join(map(str, judged_looks(plan)))} seeds, and this sweep has "
            f"{len(plan.seeds)}, so no look is ever taken\ngive the study another name, or leave {WORD} out and list the seeds"
        )


class Arms:
    """How far each arm has come. Its rows are due, then settled; it is open, then closed, or held by what failed."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.labels = {row.arm_id: row.job.label for row in plan.rows if row.job.changes}
        self.open = list(self.labels)  # arm_id, in the plan's order
        self.closed: dict[str, Standing] = {}
        self.held: dict[str, str] = {}  # why no look of it can be taken
        self.stood: Standings = {}  # at the newest look
        self.failed: list[Failed] = []
        self.settled: list[Row] = []
        self._due: list[Row] = []

    def reach(self, look: int) -> None:
        """The rows of this look's seeds are due: the baseline's, and those of each open arm."""
        seeds, known = set(self.plan.seeds[:look]), {row.number for row in (*self.settled, *self._due)}
        wanted = (row for row in self.plan.rows if row.job.seed in seeds and (not row.job.changes or row.arm_id in self.open))
        self._due += [row for row in wanted if row.number not in known]

    def settle(self, settle: Settle) -> None:
        """Have trained or found what is due, in the plan's order. What fails holds the open arms that need it."""
        due, self._due = sorted(self._due, key=lambda row: row.number), []
        failed = settle(due) if due else []
        self.settled += due
        self.failed += failed
        base = [each.row.job.seed for each in failed if not each.row.job.changes]
        for arm_id in self.open:
            own = [each.row.job.seed for each in failed if each.row.job.changes and each.row.arm_id == arm_id]
            if base or own:
                self.held[arm_id] = " and ".join(
                    f"{whose} {seeds_said(seeds)} failed" for whose, seeds in (("the baseline's", base), ("its", own)) if seeds
                )
        self._keep_open()

    def take(self, look: int, standings: Standings) -> list[Standing]:
        """Take in how the open arms stand after a look. Returns those that go no further."""
        self.stood = standings
        ended = [standings[arm_id] for arm_id in self.open if arm_id in standings and standings[arm_id].over]
        self.closed |= {each.arm_id: each for each in ended}
        self._keep_open()
        short = {arm_id: why for arm_id in self.open if (why := falls_short(standings.get(arm_id), look))}
        self.held |= short
        self.failed += [Failed(self.newest(arm_id, look), f"undecided: {why}") for arm_id, why in short.items()]
        self._keep_open()
        return ended

    def newest(self, arm_id: str, look: int) -> Row:
        """An arm's row of the last seed of a look."""
        return next(row for row in self.plan.rows if row.arm_id == arm_id and row.job.seed == self.plan.seeds[look - 1])

    def _keep_open(self) -> None:
        self.open = [arm_id for arm_id in self.open if arm_id not in self.closed and arm_id not in self.held]

    def spared(self) -> list[Row]:
        """The rows that nobody needed, and that weren't there before. What a held arm may still come to need isn't spared."""
        settled = {row.number for row in self.settled}
        rows = (row for row in self.plan.rows if row.number not in settled and row.status not in ("finished", "diverged"))
        return [row for row in rows if (row.arm_id not in self.held if row.job.changes else not self.held)]


def falls_short(standing: Standing | None, look: int) -> str:
    """Why more seeds can bring an arm no verdict, where the report counts fewer of its pairs than were trained. Empty: it counts them."""
    if standing is None:
        return "its runs aren't among those that the report compares"
    return f"only {standing.pairs} of {look} seeds make a pair with the baseline's" if standing.pairs < look else ""


def seeds_said(seeds: Sequence[int]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {ranges(seeds)}"


def counted(ended: Sequence[Standing], arms: Arms) -> str:
    """What a look came to, in numbers of arms."""
    parts = {
        "decided": sum(each.decided and each.word != "refused" for each in ended),
        "refused": sum(each.word == "refused" for each in ended),
        "hopeless": sum(each.futile and each.word != "refused" for each in ended),
        "undecided at the last look": sum(each.word != "refused" and not each.decided and not each.futile for each in ended),
        "held": len(arms.held),
        "open": len(arms.open),
    }
    return ", ".join(f"{count} {what}" for what, count in parts.items() if count or what == "decided")


def line_of(standing: Standing, last: int) -> str:
    """One arm that goes no further: its word and its numbers. `last`: the look that is the sweep's last, where its study names none."""
    if standing.estimate is None or standing.word in ("refused", "identical"):
        return plain(standing.sentence)
    text = f"{plain(standing.label)}: {standing.said}, {standing.numbers()}"
    if not standing.futile or standing.chance is None:
        return text
    percent = f"{100 * standing.chance:.1f} %" if standing.chance >= 0.0005 else "less than 0.1 %"
    return f"{text}; stopped: even {standing.looks.split(', ')[-1] or last} seeds would settle it with a chance of {percent}"


def ending(arms: Arms, last: int) -> list[str]:
    """What is to be known at the end: which arms wait or are open, and what was saved against training all of them to the last look."""
    lines = [f"{plain(arms.labels[arm_id])} is undecided: {why}" for arm_id, why in arms.held.items()]
    lines += [f"{plain(arms.labels[arm_id])} is open: {open_at(arms.stood[arm_id])}" for arm_id in arms.open]
    against, spared = f"against training all arms to the last look ({last} seeds)", arms.spared()
    if not spared:
        return [*lines, f"nothing was saved {against}"]
    seconds = seconds_of(spared, arms.settled)
    worth = "" if seconds is None else f", about {duration(seconds)} of training"
    return [*lines, f"saved {against}: {len(spared)} of {len(arms.plan.rows)} runs{worth}"]


def open_at(standing: Standing) -> str:
    """Where an arm stands that this sweep's seeds didn't decide, and when it is looked at again."""
    seeds = "" if standing.look is None else f" at {standing.look} seeds"  # else its word says so
    again = "" if standing.next is None else f"; next look at {standing.next} seeds, by the rules of study `{plain(standing.study)}`"
    return f"{plain(standing.said)}{seeds}{again}"


def seconds_of(rows: Sequence[Row], settled: Sequence[Row]) -> float | None:
    """What these rows would have taken: each as its arm's settled runs took in the mean, else as all of them did. None without any."""
    took: dict[str, list[float]] = {}
    for row in settled:
        with suppress(StoreError):  # a run that is damaged, or that failed, tells no time
            if row.folder.result.exists():
                took.setdefault(row.arm_id, []).append(read_result(row.folder)["cost"]["seconds"])
    if not took:
        return None
    whole = fmean(seconds for each in took.values() for seconds in each)
    return sum(fmean(took[row.arm_id]) if row.arm_id in took else whole for row in rows)
