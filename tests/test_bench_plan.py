"""What a large sweep costs beside its training is measured in fresh processes, on runs that a sweep finds and a report reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.bench.plan import Shape, bench_plan
from lab.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parents[1]


def test_the_bench_of_a_plan_says_what_it_measured(capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    found = bench_plan(CHECKOUT, (Shape(3, 2),), said.append, times=1)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    measured = found["measured"]
    outcomes = {name: each["outcome"] for name, each in measured.items()}
    assert outcomes == {"plan 3 x 2": "6 rows", "refuse 3 x 2": "refused", "cached 3 x 2": "6 runs found"}
    for each in measured.values():
        assert each["loaded"] == [] and 10e6 < each["peak_memory_bytes"] < 150e6  # the parent of a sweep stays small
        assert each["wholes"] == [each["seconds"]] and each["processor_seconds"] > 0
    assert [line.partition(" ")[0] for line in said] == ["making", "plan", "refuse", "cached"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("shapes", "times"), [((), 1), ((Shape(0, 2),), 1), ((Shape(1, 1),), 0)])
def test_a_bench_of_nothing_is_refused(shapes: tuple[Shape, ...], times: int) -> None:
    with pytest.raises(ConfigError, match="nothing would be timed"):
        bench_plan(CHECKOUT, shapes, times=times)
