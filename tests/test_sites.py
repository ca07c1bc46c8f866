"""`lab sites`: the places that a hook can be given."""

from __future__ import annotations

import re

import pytest

from lab.cli import main
from tests.conftest import Project


class Sites:
    """`lab sites WORDS` in the tiny project, in this process."""

    def __init__(self, project: Project, captured: pytest.CaptureFixture[str]) -> None:
        self.project, self.captured = project, captured

    def __call__(self, *words: str, status: int = 0) -> str:
        assert main(["--root", str(self.project.root), "sites", "baseline=tiny", *words]) == status
        said = self.captured.readouterr()
        return said.err if status else said.out

    def table(self, *words: str) -> dict[str, tuple[str, str]]:
        """Path to shape and type."""
        found = re.findall(r"^(\S+)  +(\d[\d x]*\d)  +(\w+) *$", self(*words), re.MULTILINE)
        return {path: (shape, dtype) for path, shape, dtype in found}


@pytest.fixture
def sites(tiny: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Sites:
    monkeypatch.setenv("COLUMNS", "100")
    return Sites(tiny, capsys)


def test_every_site_stands_with_its_shape_and_nothing_is_written(sites: Sites) -> None:
    before = sites.project.files()
    said = sites.table()
    assert sites.project.files() == before, "a tokenizer that learns nothing needs no text"
    assert said == {
        "embedded": ("4 x 16 x 16", "fp32"),
        "blocks.0.attention.mixed": ("4 x 16 x 16", "fp32"),
        "blocks.0.mlp.hidden": ("4 x 16 x 64", "fp32"),
        "blocks.0.stream": ("4 x 16 x 16", "fp32"),
        "final": ("4 x 16 x 16", "fp32"),
        "logits": ("4 x 16 x 257", "fp32"),
    }


def test_sites_of_another_setting_are_named_with_it_and_are_there_then(sites: Sites) -> None:
    said = sites()
    assert re.search(r"^with device.attention=written also$", said, re.MULTILINE) and "  blocks.0.attention.scores\n" in said
    written = sites.table("device.attention=written", "device.micro_batch=2")
    assert written["blocks.0.attention.scores"] == written["blocks.0.attention.weights"] == ("2 x 2 x 16 x 16", "fp32")
    assert "also" not in sites("device.attention=written")


def test_the_type_is_that_of_the_forward_pass(sites: Sites) -> None:
    assert sites.table("trainer.precision=bf16")["blocks.0.mlp.hidden"] == ("4 x 16 x 64", "bf16")


def test_a_tokenizer_that_learns_reads_its_text_first(sites: Sites) -> None:
    letters = set((sites.project.root / "text.txt").read_text())
    assert sites.table("data/tokenizer=char")["logits"] == (f"4 x 16 x {len(letters) + 1}", "fp32")


def test_a_narrow_terminal_hides_no_site(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "36")
    said = sites("device.attention=written")
    assert all(len(line) <= 36 for line in said.splitlines())
    joined = re.sub(r" +\d[\d x]*\d +\w+ *$|\s", "", said, flags=re.MULTILINE)
    assert "blocks.0.attention.weights" in joined and "4 x 2 x 16 x 16" in said


def test_a_mistake_is_told_in_words(sites: Sites) -> None:
    assert "model.nope" in sites("model.nope=1", status=2)
