"""What the docs claim: every command in README.md, docs/ and conf/ can be typed, and counts what the page says that it counts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.ablate.baseline import pin
from lab.ablate.refusal import require_one_change
from lab.ablate.rule import Tally, count_changes
from lab.cli import parser
from lab.config.compose import Composer
from lab.errors import ConfigError, LabError, OneChangeError
from lab.store.abilities import settle_device, without_cuda
from lab.sweep.asked import ask
from lab.sweep.designs.list_of_arms import with_arms_as_words
from tests.conftest import CHECKOUT, copy_of_the_project
from tests.docs_examples.page import DOCS, PAGES, SOURCES, Shown, answers, commands, files, write_files

RULE = DOCS / "the-rule.md"
GPU = DOCS / "moving-to-a-gpu.md"
SHOWN = [each for path in SOURCES for each in commands(path) if each.concrete]
REFUSED = {each.command for each in SHOWN if each.refused}
COUNTED = [each for each in commands(RULE) if each.remark]
RUNNER_FLAGS = ("--multirun", "--cfg", "job", "-p", "model.norm")


@pytest.fixture(scope="module")
def composer(tmp_path_factory: pytest.TempPathFactory) -> Composer:
    """A project in which the docs' own files stand and the docs' own pins have been made."""
    project = copy_of_the_project(tmp_path_factory.mktemp("docs") / "project")
    (project.root / "my.txt").write_text("some text\n" * 400)
    for page in PAGES:
        write_files(page, project)
    made = Composer(project.root, project.root)
    # two pages may show the same pin; a name that is taken, by a baseline that ships or another pin, is refused as at a user's
    for name, *overrides in dict.fromkeys(tuple(each.words[3:]) for each in SHOWN if each.command.startswith("python -m lab pin")):
        pin(made, name, overrides)
    return Composer(project.root, project.root)


def test_the_docs_show_commands_and_none_of_them_both_ways() -> None:
    assert len({each.command for each in SHOWN}) >= 60
    assert not REFUSED & {each.command for each in SHOWN if each.remark and not each.refused}


@pytest.mark.parametrize("command", sorted({each.command for each in SHOWN}))
def test_a_command_that_the_docs_show_can_be_typed_or_is_refused_as_they_say(
    composer: Composer, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(composer.root)  # where a page's own files stand
    if command in REFUSED:
        with pytest.raises(LabError):
            judge(Shown(command), composer)
    else:
        judge(Shown(command), composer)


def judge(shown: Shown, composer: Composer) -> None:
    """Every arm that a command asks for, counted and judged; a sweep judges its own."""
    for tally in tallies_of(shown, composer):
        if not shown.sweeps:
            require_one_change(tally)


def tallies_of(shown: Shown, composer: Composer) -> list[Tally]:
    """Every arm that a command asks for, counted. A verb that trains nothing is only parsed, and what it composes composed."""
    first, *words = shown.words
    if first == "-m":
        arguments = parser().parse_args(words[1:])
        assert arguments.run
        if words[1] in ("bench", "sites"):
            composer.compose(arguments.overrides)
        if words[1] != "plan":
            return []
        words = arguments.overrides
    words = [each for each in with_arms_as_words(words) if each not in RUNNER_FLAGS and not each.startswith("-")]
    return list(ask(composer, words).tallies) if shown.sweeps else [count_changes(composer, tuple(words))]


@pytest.mark.parametrize("shown", COUNTED, ids=lambda each: each.command)
def test_the_rule_counts_what_its_page_says(composer: Composer, shown: Shown) -> None:
    tally = count_changes(composer, tuple(shown.words[1:]))
    if shown.remark.startswith("refused"):
        assert tally.incomparable
        with pytest.raises(OneChangeError, match="not comparable"):
            require_one_change(tally)
    else:
        assert not tally.incomparable
        assert len(tally.changes) == int(shown.remark[0])
        assert tally.exploring == ("exploring" in shown.remark)
        if shown.refused:
            with pytest.raises(OneChangeError, match=f"makes {len(tally.changes)} changes"):
                require_one_change(tally)


def test_the_rules_page_shows_each_outcome() -> None:
    assert {each.remark.partition(":")[0] for each in COUNTED} == {"0", "1", "2, refused", "2, exploring", "refused"}


def test_the_refusal_that_the_rules_page_quotes_is_what_is_said(composer: Composer) -> None:
    tally = count_changes(composer, ("model/norm=rmsnorm", "trainer.optimizer.lr=3e-3"))
    with pytest.raises(OneChangeError) as refused:
        require_one_change(tally)
    assert answers(RULE) == [str(refused.value).replace(tally.pin.short, "PIN")]


def test_the_refusal_that_the_gpu_page_quotes_is_what_is_said() -> None:
    if "built without CUDA" not in (without_cuda() or ""):
        pytest.skip("not run: this torch is built with CUDA, and the page quotes the answer of one that isn't")
    device = Composer(CHECKOUT).compose(("device=cuda",)).resolved["device"]
    with pytest.raises(ConfigError) as refused:
        settle_device(device, "fp32")
    assert answers(GPU) == [re.sub(r"\(2\.[^)]*\)", "(VERSION)", str(refused.value))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_links_only_to_what_is_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
    for path in re.findall(r"`((?:lab|conf|docs|tests)/[\w/.-]+)`", page.read_text()):
        assert "NAME" in path or path in written_by(page) or (CHECKOUT / path).exists(), path


def written_by(page: Path) -> set[str]:
    """The files that following a page makes: those that it spells out, and the pins of its commands."""
    pins = [each.words[3] for each in commands(page) if each.concrete and each.command.startswith("python -m lab pin")]
    return {*files(page), *(f"conf/baseline/{name}{ending}" for name in pins for ending in (".yaml", ".lock.json"))}


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "log.md"], ids=lambda page: page.name)
def test_a_page_can_be_read_in_ten_minutes(page: Path) -> None:
    lines = page.read_text().splitlines()
    assert 40 <= len(lines) <= 140
    assert max(map(len, lines)) <= 150
    assert "—" not in page.read_text()


PARTS = sorted(path for folder in ("model/*", "data/tokenizer") for path in (CHECKOUT / "conf").glob(f"{folder}/*.yaml"))


@pytest.mark.parametrize("path", PARTS, ids=lambda path: path.relative_to(CHECKOUT).as_posix())
def test_a_part_opens_with_its_source_its_cost_and_what_to_expect(path: Path) -> None:
    head = [line for line in path.read_text().partition("\n_target_")[0].splitlines() if line.startswith("# ")]
    assert 2 <= len(head) <= 4
    for word in ("Source:", "Cost:", "Expect "):
        assert word in " ".join(head), f"{path.name} doesn't say {word}"
