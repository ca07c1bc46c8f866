"""What is said beside a verdict, a sentence each, and only where it says something. Text is made from numbers; concludes nothing."""

from __future__ import annotations

from lab.results.beside import Beside
from lab.results.facts import Documents, Variance, Without
from lab.results.reading import Verdict
from lab.results.statistics import MOST_EXACT_FLIPS, Paired
from lab.results.wording import counted, interval_of, p_value, percent, signed, size

SILENT = ("refused", "identical", "before the first look")
MOST_NAMED = 3  # seeds whose loss would alter the verdict, in one sentence
COST_TOLD = 0.005  # a share of extra cost that is worth a sentence where there is no claim
TEXT_TOLD = 0.001  # the same of text per token


def remarks(verdict: Verdict, beside: Beside) -> tuple[str, ...]:
    """In the order of how much they may change a reader's mind."""
    estimate = verdict.evidence.estimate
    if verdict.word in SILENT or estimate is None:
        return ()
    told = (
        say_fragile(beside.fragile, estimate),
        say_text(beside),
        say_pairing(estimate),
        say_variance(beside.variance, verdict.rules.alpha),
        say_sign_flip(beside.sign_flip, verdict.evidence.stable),
        say_documents(beside.documents),
        say_compute(verdict, beside),
    )
    return tuple(sentence for sentence in told if sentence)


def say_fragile(fragile: tuple[Without, ...], estimate: Paired) -> str:
    if not fragile:
        return ""
    each = [
        f"without seed {one.seed} {'the verdict would be ' * (index == 0)}{one.verdict} "
        f"({signed(one.difference, estimate)}, {interval_of(one.low, one.high, estimate)})"
        for index, one in enumerate(fragile[:MOST_NAMED])
    ]
    more = f", and so for {len(fragile) - MOST_NAMED} more of its seeds" if len(fragile) > MOST_NAMED else ""
    return f"Fragile: {', '.join(each)}{more}."


def say_pairing(estimate: Paired) -> str:
    if estimate.gain is None or estimate.n < 3:  # two pairs tell nothing of how they vary
        return ""
    related = f" (correlation {estimate.correlation:+.2f})" if estimate.correlation is not None else ""
    if estimate.gain >= 1:
        return f"Pairing divided the variance by {estimate.gain:.{1 if estimate.gain < 9.95 else 0}f}{related}."
    return f"Pairing bought nothing: it multiplied the variance by {1 / estimate.gain:.1f}{related}."


def say_variance(variance: Variance | None, alpha: float) -> str:
    if variance is None or variance.p >= alpha:
        return ""
    test = f"Pitman-Morgan p {p_value(variance.p, '')}, uncorrected"
    return f"It alters the spread over seeds too: {size(variance.ratio)} times the baseline's ({test})."


def say_sign_flip(p: float | None, n: int) -> str:
    """Symmetry is what the test assumes: without an effect, a difference is as likely up as down."""
    kind = "exact" if n <= MOST_EXACT_FLIPS else "sampled"
    return "" if p is None else f"The {kind} sign-flip test, which takes nothing for normal, has p {p_value(p, '')} before any correction."


def say_documents(documents: Documents | None) -> str:
    """One document tells nothing of another text: that is said once, for all arms."""
    if documents is None or documents.error is None:
        return ""
    over_seeds = "" if documents.seed_error is None else f", over seeds {size(documents.seed_error)}"
    wider = documents.seed_error is not None and documents.error > documents.seed_error
    another = ": another text may move it more than other seeds do" if wider else ""
    return (
        f"Its standard error over the {counted(documents.count, 'document')} of this text is {size(documents.error)}{over_seeds}{another}."
    )


def say_compute(verdict: Verdict, beside: Beside) -> str:
    """What the difference is worth in the baseline's steps, beside what it costs."""
    compute = beside.compute
    if compute is None or verdict.evidence.diverged:
        return ""
    claimed = verdict.word in ("better", "worse")
    if not claimed and abs(compute.flops_share or 0.0) < COST_TOLD:
        return ""
    flops = "" if compute.flops_share is None else f"{more(compute.flops_share)} FLOPs per token"
    seconds = "" if compute.seconds_share is None else f"{more(compute.seconds_share)} seconds per step (indicative)"
    price = " and ".join(part for part in (flops, seconds) if part)
    slope = "by the baseline's slope over the second half"
    return f"It is worth {worth(compute.steps_share)}, {slope}{f', for {price}' if price else ''}."


def worth(share: float) -> str:
    """A share of the steps; a slope of their second half says nothing of what lies further off than that half."""
    if share <= -0.5:
        return "the loss of more than half of the steps of training"
    return "more than half as many steps of training again" if share >= 0.5 else f"{more(share)} steps of training"


def more(share: float) -> str:
    return "as many" if abs(share) < 0.0005 else f"{percent(abs(share))} {'more' if share > 0 else 'fewer'}"


def say_text(beside: Beside) -> str:
    """Another tokenizer, or another share of marks: tokens aren't the same amount of text."""
    ratio, ours, theirs = (each.bytes_per_token for each in (beside.ratio, beside.cost, beside.baseline_cost))
    if ratio is None or ours is None or theirs is None or abs(ratio - 1) <= TEXT_TOLD:
        return ""
    text = f"{ratio:.3f}x the text ({ours:.3g} bytes per token against {theirs:.3g})"
    return f"It is compared at equal tokens (1.000x), which are {text}."
