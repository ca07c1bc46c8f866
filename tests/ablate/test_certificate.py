"""Findings as files, and what they join: per cohort, composition and bits, through chains, never against a direct difference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.ablate.certificate import Finding, comparable, joined, read_findings, write_finding
from lab.ablate.reference import BaselineRun, Reference, of_bits
from lab.files import sha256_of
from lab.store.layout import RunFolder

BITS = {"threads": 2}
MAPS = {name: {"lab.model.gpt": "g" * 64, "lab.train.loop": name * 64} for name in "abcd"}


def finding(old: str, new: str, difference: dict[str, Any] | None = None, **told: Any) -> Finding:
    about: dict[str, Any] = {"baseline": "demo", "change_id": "base", "cohort": "here", "bits": sha256_of(BITS)}
    about |= {"run": "demo/baseline/seed=0", "seed": 0, "spans": [[0, 19], [40, 59]], "other_seeds": [1], "seconds": 2.5}
    return Finding(**(about | told), old=MAPS[old], new=MAPS[new], difference=difference)


MOVED = {"at": "step 3", "what": "embedding.weight", "was": "1", "now": "2"}


def reference(today: str, findings: list[Finding], runs: str = "a", bits: dict[str, int] = BITS) -> Reference:
    trained = [BaselineRun(RunFolder(Path(name)), {"code": MAPS[name], "bits": BITS}, True) for name in runs]
    return Reference(MAPS[today], "base", "here", of_bits(trained, sha256_of(bits)), tuple(findings))


def test_a_finding_comes_back_as_it_was_kept_and_replaces_only_its_own(tmp_path: Path) -> None:
    kept = [finding("a", "b"), finding("a", "c", MOVED), finding("a", "b", bits="other")]
    for each in (*kept, kept[0]):
        write_finding(tmp_path, each)
    found, left_out = read_findings(tmp_path, "demo")
    assert len(found) == 3 and all(each in found for each in kept) and left_out == []
    assert kept[0].words() == "inert for the baseline at steps 0-19 and 40-59 and in the final evaluation"
    assert kept[1].words() == "the first difference is at step 3: embedding.weight" and kept[1].modules == ["lab.train.loop"]


def test_an_edited_finding_is_left_out_by_name(tmp_path: Path) -> None:
    path = write_finding(tmp_path, finding("a", "b", MOVED))
    path.write_text(path.read_text().replace("step 3", "step 4"))
    found, ((name, why),) = read_findings(tmp_path, "demo")
    assert found == [] and name == f"demo/certificates/{path.name}" and "edited or damaged" in why


def test_certificates_join_through_chains_within_one_cohort_and_composition() -> None:
    chain = [finding("a", "b"), finding("b", "c"), finding("c", "d", MOVED)]
    assert sorted(each["lab.train.loop"][0] for each in joined(MAPS["c"], chain, "here", "base")) == ["a", "b", "c"]
    assert joined(MAPS["c"], chain, "elsewhere", "base") == joined(MAPS["c"], chain, "here", "other") == [MAPS["c"]]


def test_a_change_that_brings_modules_of_its_own_is_compared_in_those_that_both_have() -> None:
    arm = {"lab.train.loop": "a" * 64, "lab.model.norm.rmsnorm": "r" * 64}
    assert comparable(arm, [MAPS["b"], MAPS["a"]]) and not comparable(arm, [MAPS["b"]])


@pytest.mark.parametrize(
    ("today", "findings", "excused"),
    [
        ("a", [], True),
        ("b", [], False),
        ("b", [finding("a", "b")], True),
        ("b", [finding("a", "b", MOVED)], False),
        ("c", [finding("a", "b"), finding("b", "c")], True),
        ("c", [finding("a", "b"), finding("b", "c"), finding("a", "c", MOVED)], False),
        ("b", [finding("a", "b", cohort="elsewhere")], False),
        ("b", [finding("a", "b", change_id="other")], False),
        ("b", [finding("a", "b", bits=sha256_of({"threads": 1}))], False),
    ],
)
def test_an_edit_is_excused_by_what_was_replayed_and_by_nothing_else(today: str, findings: list[Finding], excused: bool) -> None:
    assert reference(today, findings).excused is excused


def test_without_a_run_there_is_nothing_to_excuse_and_without_one_of_these_bits_others_count() -> None:
    assert reference("b", [], runs="").excused
    assert not reference("b", [], bits={"threads": 8}).excused
    assert reference("b", [finding("a", "b")], bits={"threads": 8}).excused
    assert not reference("b", [replace(finding("a", "b"), difference=MOVED)], bits={"threads": 8}).excused
