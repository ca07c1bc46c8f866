"""Edits of the code that the baseline executes: excused only when both ends of a finished run come out bit-equal under them."""

from __future__ import annotations

import re
from collections.abc import Callable

from lab.ablate.certificate import Finding, read_findings
from tests.cases import Cases
from tests.replay.worlds import Edit, Editable

LOOP, STREAMS = "train/loop.py", "streams.py"
INERT = (
    Edit("a factor of one", LOOP, "return [peak * share for peak", "return [1.0 * peak * share for peak"),
    Edit(
        "a statement that does nothing",
        "experiment.py",
        "        self.resume()\n",
        "        self.resume()\n        unused = self.steps + 1\n",
    ),
    Edit("one more column", "experiment.py", '"loss": state.loss, "lr"', '"loss": state.loss, "twice": 2 * state.loss, "lr"'),
    Edit(
        "one more thing in a checkpoint",
        "experiment.py",
        '            "tokens": self.state.tokens,\n            "measured"',
        '            "tokens": self.state.tokens,\n            "note": 1,\n            "measured"',
    ),
    Edit("a function that nobody calls", "train/evaluate.py", "def evaluate(", "def spare() -> int:\n    return 3\n\n\ndef evaluate("),
)
# The edit, and where the replay must find it. A look at the first steps of one seed misses all but the last three.
MOVING = (
    (Edit("the decay's end", "train/schedule/fall.py", "steps - 1 > 0 and", "steps - 3 > 0 and"), "step 57: the learning rate"),
    (Edit("the schedule's middle", LOOP, "share = self", "share = (1.01 if step == 30 else 1) * self"), "step 30: the learning rate"),
    (
        Edit(
            "the final evaluation",
            "look.py",
            "value in row.items() if metric",
            "value in ((k, v + 1e-9) for k, v in row.items()) if metric",
        ),
        "the final evaluation: validation_bits_per_byte",
    ),
    (Edit("a hook's memory", "hooks/ema.py", "average.copy_(saved", "average.clone().copy_(saved"), "step 40: curve_bits_per_byte"),
    (
        Edit("the optimizer's memory", "train/optimizer/memory.py", "        group.update(numbers)", "        optimizer.state.clear()"),
        "step 41: embedding.weight",
    ),
    (
        Edit(
            "another seed's data order",
            STREAMS,
            "    text = json",
            "    purpose = 'date' if (seed, purpose) == (1, 'data') else purpose\n    text = json",
        ),
        "seed 1, step 0: the batch",
    ),
    (
        Edit(
            "another seed's first weights",
            STREAMS,
            "    text = json",
            "    purpose = 'int' if (seed, purpose) == (1, 'init') else purpose\n    text = json",
        ),
        "seed 1, the first weights: embedding.weight",
    ),
    (
        Edit("the data order after a while", "data/batches.py", "return self.samples(step *", "return self.samples((step + (step > 35)) *"),
        "step 36: the batch",
    ),
    (
        Edit(
            "masks after a while", "model/dropout.py", "return streams.key(self.seed,", "return (self._at[0] > 33) + streams.key(self.seed,"
        ),
        "step 34: the keys of the dropout masks",
    ),
    (
        Edit("the tokens", "data/prepare.py", "parts += [mark, tokens_T]", "parts += [mark, mark, tokens_T]"),
        "the data: the token files",
    ),
    (
        Edit("what D is read from", "look.py", '"half_curve_bits_per_byte": steps // 2', '"half_curve_bits_per_byte": steps // 3'),
        "the plan of all steps: the steps at which the result's measures are taken",
    ),
    (
        Edit(
            "code that can't go on",
            "experiment.py",
            'found.state["measured"], found.state["train_loss"]',
            'found.state["measured"], found.state["last"]',
        ),
        "the replay: KeyError at experiment.py",
    ),
    (Edit("the clipping", "hooks/grad_clip.py", "self.max_norm / ", "1.001 * self.max_norm / "), "step 1: "),
    (Edit("the scale of the first weights", "model/init/gpt2.py", "(2 * layers) ** 0.5", "(2 * layers) ** 0.50001"), "the first weights: "),
)
EARLY = re.compile(r"step (\d|1\d): |the first weights|the data")


def certify(project: Editable, edit: Edit, status: int) -> tuple[str, Finding]:
    """What `lab certify` says of an edit, and the finding that it leaves."""
    runs = project.root / "runs"
    before = {each.words() + str(each.new) for each in read_findings(runs, "ends")[0]}
    with project.edited(edit):
        said = project.lab("certify", "--baseline", "ends", status=None)
    assert ("the first difference" in said) == bool(status), f"{edit.name}: {said}"
    (finding,) = [each for each in read_findings(runs, "ends")[0] if each.words() + str(each.new) not in before]
    return said, finding


def test_edits_that_move_nothing_get_a_certificate(trained: Editable, cases: Callable[[str], Cases]) -> None:
    counted = cases("inert edits, certified")
    for edit in INERT:
        said, finding = certify(trained, edit, status=0)
        words = "inert for the baseline at steps 0-19 and 40-59 and in the final evaluation"
        counted.check(edit.name, finding.inert and words in said and f"lab/{edit.file}" in said and finding.other_seeds == [1])
    counted.all_good(at_least=len(INERT))


def test_edits_that_move_something_are_found_wherever_they_do(trained: Editable, cases: Callable[[str], Cases]) -> None:
    counted, naive = cases("edits that move the baseline, found"), cases("edits that move the baseline, found")
    for edit, where in MOVING:
        said, finding = certify(trained, edit, status=1)
        counted.check(
            f"{edit.name} ({finding.words()})", not finding.inert and where in said and f"lab.{edit.file[:-3].replace('/', '.')}" in said
        )
        naive.check(edit.name, EARLY.match(where) is not None)  # the first steps of one seed are all that a short look sees
    counted.all_good(at_least=len(MOVING))
    naive.some_bad()
