"""The paragraph of each verdict, whole, as a reader meets it: one tiny world and one golden text each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .store import BASE, CODE, Store, digest

ARM = "model/norm=rmsnorm"


def refused(store: Store) -> None:
    store.baseline(3)
    store.shifted(ARM, 3, -0.05, code={**CODE, "lab.model.gpt": "0" * 64})


def identical(store: Store) -> None:
    for seed in range(3):
        for label in ("baseline", ARM):
            store.run(label, seed, BASE[seed], weights=digest(seed))


def identical_and_diverged(store: Store) -> None:
    for label in ("baseline", ARM):
        store.run(label, 0, BASE[0], weights=digest(0))
        store.run(label, 1, None, status="diverged", weights=digest(1))


def nothing_yet(store: Store) -> None:
    store.baseline(3)
    store.run(ARM, 0, status="unfinished")


def before(store: Store) -> None:
    store.baseline(3)
    store.shifted(ARM, 2, -0.05)


def before_with_a_hole(store: Store) -> None:
    store.pin(looks=[3, 5])
    store.baseline(5)
    store.shifted(ARM, 3, -0.05, seeds=[0, 1, 3])


def before_with_a_divergence(store: Store) -> None:
    store.baseline(3)
    store.arm(ARM, [2.05, None])


def unstable(store: Store) -> None:
    store.pin(looks=[8])
    store.baseline(8)
    store.arm(ARM, [None] * 8)


def stabler(store: Store) -> None:
    store.pin(looks=[10])
    store.arm("baseline", [None] * 8 + [2.1, 2.11])
    store.arm(ARM, [2.1 + seed / 1000 for seed in range(10)])


def better(store: Store) -> None:
    store.baseline(3)
    store.shifted(ARM, 3, -0.05)


def worse(store: Store) -> None:
    store.pin(looks=[3, 5, 8])
    store.baseline(8)
    store.shifted(ARM, 3, +0.05, wobble=3)


def negligible(store: Store) -> None:
    store.pin(smallest_effect=0.1)
    store.baseline(3)
    store.shifted(ARM, 3, -0.05)


def no_difference(store: Store) -> None:
    store.baseline(3)
    store.shifted(ARM, 3, 0.0)


def cannot_tell(store: Store) -> None:
    store.pin(looks=[3, 5, 8, 12])
    store.baseline(3)
    store.shifted(ARM, 3, 0.001, wobble=2)


def not_confirmed(store: Store) -> None:
    store.pin(looks=[3, 8], smallest_effect=0.001)
    store.baseline(8)
    later = [base + 0.04 * (-1) ** seed for seed, base in enumerate(BASE[3:8])]
    store.arm(ARM, [BASE[0] - 0.0101, BASE[1] - 0.0100, BASE[2] - 0.0099, *later])


def not_once_corrected(store: Store) -> None:
    store.baseline(3)
    store.shifted(ARM, 3, -0.005)
    for other in range(40):
        store.run(f"hooks=h{other}", 0, status="unfinished")


def without_d(store: Store) -> None:
    store.pin(smallest_effect="auto")
    store.baseline(3, half=2.0)
    store.shifted(ARM, 3, 0.0, wobble=20)


def hopeless(store: Store) -> None:
    store.pin(looks=[5, 8])
    store.baseline(5)
    store.shifted(ARM, 5, 0.0, wobble=20)


def between_looks(store: Store) -> None:
    store.pin(looks=[3, 5, 12], smallest_effect=0.01)
    store.baseline(5)
    store.shifted(ARM, 4, 0.0, wobble=6)


def beyond_the_last_look(store: Store) -> None:
    store.baseline(5)
    store.shifted(ARM, 5, -0.05)


def a_divergence(store: Store) -> None:
    store.pin(looks=[5, 8])
    store.baseline(5)
    store.arm(ARM, [value - 0.05 + 0.001 * seed for seed, value in enumerate(BASE[:4])] + [None])


def no_spread(store: Store) -> None:
    store.baseline(3)
    store.shifted(ARM, 3, -0.05, wobble=0)


def marked(store: Store) -> None:
    store.baseline(3)
    store.shifted(ARM, 3, -0.05, study="screening", bits={"threads": 4})


GOLDEN: dict[Callable[[Store], None], str] = {
    refused: (
        ": refused. Its code isn't the baseline's: lab.model.gpt differs, and no certificate excuses that (python -m lab "
        "certify --baseline demo replays the baseline under today's code)."
    ),
    identical: ": identical. Weights and metric are bit-equal to the baseline's on all 3 seeds that both have: the change did nothing.",
    identical_and_diverged: (
        ": identical. Weights and metric are bit-equal to the baseline's on all 2 seeds that both have: the change did nothing."
        " 1 of 2 runs diverged here, 1 of 2 in the baseline, at the same steps."
    ),
    nothing_yet: ": before the first look. 0 of 3 seeds. First look: 3 seeds (3 more).",
    before: ": before the first look. 2 of 3 seeds: -0.050 bits/byte so far, no verdict. First look: 3 seeds (1 more, 60 seconds).",
    before_with_a_hole: (
        ": before the first look. 2 of 3 seeds: -0.050 bits/byte so far, no verdict. Seed 2 to come. First look: 3 seeds (1 "
        "more, 60 seconds)."
    ),
    before_with_a_divergence: (
        ": before the first look. 2 of 3 seeds: -0.051 bits/byte so far, no verdict. 1 of 2 runs diverged here, 0 of 2 in the "
        "baseline. First look: 3 seeds (1 more, 60 seconds)."
    ),
    unstable: ": unstable. 8 of 8 runs diverged here, 0 of 8 in the baseline (McNemar's exact p = 0.008).",
    stabler: (
        ": stabler. 0 of 10 runs diverged here, 8 of 10 in the baseline (McNemar's exact p = 0.008). When stable (2 of 10 "
        "seeds): +0.004 bits/byte, 95 % interval -0.054 to +0.061 (2 seeds)."
    ),
    better: ": better. -0.0498 bits/byte, 95 % interval -0.0522 to -0.0475 (3 seeds); p < 0.001 (Holm, 1 arm).",
    worse: ": worse. +0.050 bits/byte, 95 % interval (adjusted for 3 looks) +0.039 to +0.062 (3 seeds); p = 0.003 (Holm, 1 arm).",
    negligible: (
        ": better, negligible. -0.0498 bits/byte, 95 % interval -0.0522 to -0.0475 (3 seeds); p < 0.001 (Holm, 1 arm). It is "
        "smaller than D = 0.1 all the same."
    ),
    no_difference: ": no difference. +0.0002 bits/byte, 95 % interval -0.0022 to +0.0025 (3 seeds); all of it is smaller than D = 0.005.",
    cannot_tell: (
        ": cannot tell. +0.0013 bits/byte, 95 % interval (adjusted for 4 looks) -0.0073 to +0.0100 (3 seeds); it includes zero "
        "and effects larger than D = 0.005. The smallest effect that this design could find is 0.011 (80 % power). Next look: 5"
        " seeds (2 more, 4 minutes); likely needed: 8 (cautious: more than the last look)."
    ),
    not_confirmed: (
        ": cannot tell. +0.001 bits/byte, 95 % interval (adjusted for 2 looks) -0.033 to +0.035 (8 seeds); crossed at look 3 "
        "with p < 0.001 (Holm, 1 arm), not confirmed: today it includes zero. The smallest effect that this design could find "
        "is 0.046 (80 % power). This was the last look (8 seeds); more than 1000 seeds would be needed to settle it against D."
    ),
    not_once_corrected: (
        ": cannot tell. -0.0048 bits/byte, 95 % interval -0.0072 to -0.0025 (3 seeds); it excludes zero, but not once "
        "corrected: p = 0.518 (Holm, 41 arms). The smallest effect that this design could find is 0.0031 (80 % power). This was"
        " the last look (3 seeds)."
    ),
    without_d: (
        ": cannot tell. +0.003 bits/byte, 95 % interval -0.044 to +0.051 (3 seeds); it includes zero, and without D 'no "
        "difference' can't be concluded. The smallest effect that this design could find is 0.062 (80 % power). This was the "
        "last look (3 seeds)."
    ),
    hopeless: (
        ": cannot tell. +0.000 bits/byte, 95 % interval (adjusted for 2 looks) -0.031 to +0.032 (5 seeds); it includes zero and"
        " effects larger than D = 0.005. The smallest effect that this design could find is 0.041 (80 % power). Stop: even the "
        "last look (8 seeds) would settle it with a chance of less than 0.1 %."
    ),
    between_looks: (
        ": cannot tell. +0.001 bits/byte, 95 % interval (adjusted for 3 looks) -0.023 to +0.025 (3 seeds); it includes zero and"
        " effects larger than D = 0.01. 4 of 5 seeds: -0.001 so far, no verdict between looks. The smallest effect that this "
        "design could find is 0.03 (80 % power). Next look: 5 seeds (1 more, 60 seconds); likely needed: 12 (cautious: more "
        "than the last look)."
    ),
    beyond_the_last_look: (
        ": better. -0.0498 bits/byte, 95 % interval -0.0522 to -0.0475 (3 seeds); p < 0.001 (Holm, 1 arm). 5 seeds: -0.0500 so "
        "far; the last look was at 3, and beyond it there is no verdict."
    ),
    a_divergence: (
        ": cannot tell. 1 of 5 runs diverged here, 0 of 5 in the baseline (McNemar's exact p = 1.000, of little power at so few"
        " seeds). When stable (4 of 5 seeds): -0.0485 bits/byte, 95 % interval (adjusted for 2 looks) -0.0510 to -0.0460 (4 "
        "seeds). Next look: 8 seeds (3 more, 6 minutes)."
    ),
    no_spread: (
        ": cannot tell. The difference is -0.050 bits/byte on every one of 3 seeds alike, which training noise doesn't do: look"
        " for a metric that is copied or constant. This was the last look (3 seeds)."
    ),
    marked: (
        " (screening): better (3 pairs across bits). -0.0498 bits/byte, 95 % interval -0.0522 to -0.0475 (3 seeds); p < 0.001 "
        "(Holm, 1 arm)."
    ),
}


@pytest.mark.parametrize("world", GOLDEN, ids=lambda world: world.__name__)
def test_a_verdict_reads(store: Store, world: Callable[[Store], None]) -> None:
    world(store)
    assert store.verdict(ARM).reading == f"model.norm=rmsnorm{GOLDEN[world]}"
