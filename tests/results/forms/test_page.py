"""The page as a file, without a browser: whole, alone in the world, the same every time, and nothing in it but what it should be."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from typing import Any

import pytest

from lab.results.curves import curves as read_curves
from lab.results.facts import ArmFacts, Facts
from lab.results.forms.axis import Axis, around
from lab.results.forms.charts import spread
from lab.results.forms.forest import forest
from lab.results.forms.page import as_json, page
from lab.results.forms.table import NONE, table
from lab.results.forms.view import ORDER, by_column
from lab.results.telling import tell
from lab.store.plain import plain

from ..store import Store
from ..test_curves import falling, write
from . import worlds

VOID = {"meta", "link", "br", "wbr", "input", "hr", "img"}
WORLDS = (worlds.every_verdict, worlds.two_cohorts, worlds.hostile, worlds.empty)


class Read(HTMLParser):
    """A page as read: its elements with their attributes, its text, and whether every element is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.within: dict[str, list[str]] = {
            "style": [],
            "script": [],
            "td": [],
            "th": [],
            "code": [],
            "li": [],
            "p": [],
            "dd": [],
            "h4": [],
        }
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if tag in self.within:
            self.within[tag].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        for tag in set(self.open) & set(self.within):
            self.within[tag][-1] += data
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return squeezed("".join(self.words))

    def values(self, *names: str) -> Iterator[str]:
        return (value for _, attributes in self.elements for name, value in attributes.items() if name in names)


def squeezed(text: str) -> str:
    return " ".join(text.split())


def made(facts: Facts) -> str:
    return page(facts, worlds.curves(facts))


@pytest.mark.parametrize("world", WORLDS)
def test_the_page_is_well_formed_and_its_links_lead_somewhere(world: Callable[[], Facts]) -> None:
    read = Read(made(world()))
    assert read.open == []
    ids = Counter(read.values("id"))
    assert set(ids.values()) == {1}
    for target in read.values("href"):
        assert target == "data:," or target.removeprefix("#") in ids, target
    for targets in read.values("aria-labelledby"):
        assert set(targets.split()) <= set(ids)


@pytest.mark.parametrize("world", WORLDS)
def test_the_page_asks_for_nothing_from_elsewhere(world: Callable[[], Facts]) -> None:
    read = Read(made(world()))
    assert ("link", {"rel": "icon", "href": "data:,"}) in read.elements  # else a browser asks the server for one
    assert not list(read.values("src", "srcset", "action", "data", "poster", "background"))
    style, script = read.within["style"][0], read.within["script"][1]
    assert not re.search(r"url\(|@import|@font-face", style)
    assert not re.search(r"\bimport\b|fetch\(|XMLHttpRequest|WebSocket|https?://(?!www\.w3\.org/2000/svg)", script)


@pytest.mark.parametrize("world", WORLDS)
def test_the_policy_names_the_one_style_and_the_one_script(world: Callable[[], Facts]) -> None:
    read = Read(made(world()))
    (policy,) = [attributes["content"] for tag, attributes in read.elements if attributes.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.split(maxsplit=1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    for rule, text in (("style-src", read.within["style"][0]), ("script-src", read.within["script"][1])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    named = [name for _, attributes in read.elements for name in attributes]
    assert not [name for name in named if name == "style" or name.startswith("on")]  # the policy would refuse them


@pytest.mark.parametrize("world", WORLDS)
def test_the_same_facts_give_the_same_bytes(world: Callable[[], Facts]) -> None:
    assert made(world()) == made(world())


def below(arm: ArmFacts, texts: Mapping[str, str]) -> Iterator[str]:
    """What a phone shows below the verdict, in place of columns that it would have to scroll to."""
    yield from (texts[key] for key in ("difference", "interval") if texts[key] != NONE)
    if any(run.status == "diverged" for run in arm.runs):
        yield f"n = {texts['n']}"


def test_every_cell_of_the_table_stands_in_its_row() -> None:
    facts = worlds.every_verdict()
    text = re.search(r'<table class="verdicts.*?</table>', made(facts), re.DOTALL)
    assert text is not None
    lines = [re.findall(r"<t[hd].*?</t[hd]>", line, re.DOTALL) for line in re.findall(r"<tr>.*?</tr>", text[0], re.DOTALL)]
    rows = [[squeezed("".join(Read(cell).words)) for cell in line] for line in lines]
    assert rows[0] == [column.name for column in ORDER]
    for found, row in zip(rows[1:], table(facts.rules, facts.sections[0]), strict=True):
        texts = {key: cell.text for key, cell in by_column(row).items()}
        texts["verdict"] = " ".join((texts["verdict"], *(below(row.arm, texts) if row.arm else ()), *(row.arm.marks if row.arm else ())))
        assert found == [texts[column.key] for column in ORDER]


@pytest.mark.parametrize("world", WORLDS)
def test_everything_that_is_said_stands_in_the_page(world: Callable[[], Facts]) -> None:
    facts = world()
    text = Read(made(facts)).text
    said = [*facts.head, *(entry for entries in facts.lists.values() for entry in entries)]
    for section in facts.sections:
        said += [*section.head, *section.advice, section.apart, *(entry for entries in section.lists.values() for entry in entries)]
        for arm in section.arms:
            said += [arm.hypothesis, arm.reading, *arm.remarks, *arm.marks, *arm.pairing, *arm.commands]
            said += [f"{move.path} {move.old} → {move.new}" for move in arm.moves]
            said += [run.directory for run in arm.runs]
    for line in said:
        assert squeezed(plain(line)) in text


def test_hostile_names_stay_text() -> None:
    names = {name: f"arm{index}" for index, name in enumerate(worlds.HOSTILE)}
    hostile, tame = made(worlds.hostile()), made(renamed(worlds.hostile(), names))
    elements = [Counter(tag for tag, _ in Read(text).elements if tag != "wbr") for text in (hostile, tame)]
    assert elements[0] == elements[1]
    assert {name for _, attributes in Read(hostile).elements for name in attributes} == {
        name for _, attributes in Read(tame).elements for name in attributes
    }
    assert not {"\x1b", "\u202e", "\u202c", "\u2028"} & set(hostile)


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """The same report under other names, wherever they stand in it."""
    if isinstance(value, str):
        for old, new in names.items():
            value = value.replace(old, new)
        return value
    if isinstance(value, tuple):
        return tuple(renamed(each, names) for each in value)
    if isinstance(value, dict):
        return {key: renamed(each, names) for key, each in value.items()}
    return (
        replace(value, **{field.name: renamed(getattr(value, field.name), names) for field in fields(value)})
        if is_dataclass(value)
        else value
    )


def test_data_for_the_script_holds_no_sign_that_ends_it() -> None:
    read = Read(made(worlds.hostile()))
    data = read.within["script"][0]
    assert not {"<", ">", "&", "\u2028", "\u2029"} & set(data)
    names = [curve["name"] for section in json.loads(data) for curve in section["curves"]]
    assert [plain(name) for name in worlds.HOSTILE] == names[1:]
    assert json.loads(as_json("</script>&\u2028")) == "</script>&\u2028"


def test_the_script_gets_the_curves_as_they_are() -> None:
    facts = worlds.every_verdict()
    given = worlds.curves(facts)
    data = json.loads(Read(page(facts, given)).within["script"][0])
    for section, drawn in zip(facts.sections, data, strict=True):
        for curve, columns in zip(given[section.cohort], drawn["curves"], strict=True):
            for field in ("step", "tokens", "flops", "seconds", "mean", "low", "high", "n", "difference"):
                assert columns[field] == [getattr(point, field) for point in curve.points]


def test_a_report_without_curves_or_arms_is_a_page_too() -> None:
    facts = worlds.every_verdict()
    assert "Learning curves" not in Read(page(facts, {})).text
    alone = replace(facts, sections=(worlds.section(),))
    assert "Seed by seed: 5 runs" in Read(page(alone, {})).text
    assert "Nothing trained yet" in Read(page(replace(facts, sections=(worlds.section(title="", baseline=None),)), {})).text


def test_a_curve_of_one_point_is_a_dot() -> None:
    facts = worlds.every_verdict()
    short = {cohort: tuple(replace(curve, points=curve.points[-1:]) for curve in each) for cohort, each in worlds.curves(facts).items()}
    paths = re.findall(r'<path class="curve[^>]* d="([^"]*)"', page(facts, short))
    assert len(paths) == len(short[facts.sections[0].cohort])
    assert all(path.endswith("h0") for path in paths)


def test_twelve_arms_of_eight_seeds_fit_in_300_kilobytes() -> None:
    arms = [worlds.arm(f"model/part{index}=other", n=8, difference=0.001 * index) for index in range(12)]
    facts = worlds.facts(worlds.section(*arms, baseline=worlds.baseline(8)))
    long = {
        cohort: tuple(
            replace(curve, points=tuple(replace(curve.points[-1], step=step, mean=2 + 1 / 3 / (step + 1)) for step in range(40)))
            for curve in each
        )
        for cohort, each in worlds.curves(facts).items()
    }
    assert len(page(facts, long).encode()) < 300_000


def test_a_command_for_several_arms_is_shown_once() -> None:
    sweep = worlds.NextLook(8, (5, 6, 7), 420.0, "python run.py --multirun hooks=ema,sam seed=5,6,7")
    arms = [worlds.arm(label, commands=("python run.py --multirun hooks=ema,sam",), next=sweep) for label in ("hooks=ema", "hooks=sam")]
    read = Read(made(worlds.facts(worlds.section(*arms))))
    codes = read.within["code"]
    assert codes.count(sweep.command) == 1
    assert read.text.index(sweep.command) < read.text.index("command above")
    (made_all,) = [code for code in codes if "# hooks=ema, hooks=sam\n" in code]
    assert made_all.count("python run.py --multirun hooks=ema,sam") == 1


def places(drawing: str, attribute: str) -> list[float]:
    return [float(value) for value in re.findall(rf'{attribute}="(-?[0-9.]+)%"', drawing)]


def test_the_forest_plot_puts_estimates_in_order_and_within_the_drawing() -> None:
    facts = worlds.every_verdict()
    (section,) = facts.sections
    plot = forest(section, facts.rules)
    assert plot is not None
    shown = [(arm.difference, places(drawing, "cx")[0]) for arm, drawing in zip(section.arms, plot.drawings, strict=True) if drawing]
    assert [place for _, place in sorted(shown)] == sorted(place for _, place in shown)
    assert all(
        0 <= place <= 100 for drawing in plot.drawings if drawing for name in ("x", "x1", "x2", "cx") for place in places(drawing, name)
    )
    assert (plot.left, plot.right) == ("better", "worse")
    higher = forest(section, replace(facts.rules, direction="higher"))
    assert higher is not None
    assert (higher.left, higher.right) == ("worse", "better")


def test_the_forest_plot_shows_no_interval_before_the_first_look_and_nothing_of_the_refused() -> None:
    facts = worlds.facts(worlds.section(worlds.waiting(), worlds.refused(), worlds.arm("hooks=ema")))
    plot = forest(facts.sections[0], facts.rules)
    assert plot is not None
    waiting, refused, judged = plot.drawings
    assert refused is None
    assert waiting is not None
    assert judged is not None
    assert ("whisker" in waiting, "whisker" in judged) == (False, True)
    assert forest(worlds.section(worlds.refused()), facts.rules) is None


def test_one_wide_interval_does_not_flatten_the_others() -> None:
    facts = worlds.facts(worlds.section(worlds.arm("hooks=wild", half=50.0), worlds.arm("hooks=ema")))
    plot = forest(facts.sections[0], facts.rules)
    assert plot is not None
    wild, tame = plot.drawings
    assert wild is not None
    assert tame is not None
    assert wild.count("L0 0L") == 2  # two arrows
    assert tame.count("L0 0L") == 0
    left, right = places(tame, "x1")[1], places(tame, "x2")[1]
    assert right - left > 25


def test_each_arm_is_drawn_with_the_smallest_effect_of_its_study() -> None:
    study = replace(worlds.section().studies[0], name="wide", smallest_effect=0.01)
    section = worlds.section(worlds.arm("a"), worlds.arm("b", study="wide"), studies=(*worlds.section().studies, study))
    plot = forest(section, worlds.rules())
    assert plot is not None
    narrow, wide = (places(drawing or "", "width")[1] for drawing in plot.drawings)
    assert wide == pytest.approx(2 * narrow, rel=0.01)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.011, 0.004), (1.99, 2.31), (0, 20000), (-3e-6, 5e-6), (7.1, 7.1001)])
def test_an_axis_names_a_few_round_values_inside_it(low: float, high: float) -> None:
    ticks = Axis(low, high).ticks()
    assert 2 <= len(ticks) <= 8
    assert all(low - 1e-9 <= value <= high + 1e-9 for value, _ in ticks)
    assert [float(text) for _, text in ticks] == pytest.approx([value for value, _ in ticks])
    assert len({text for _, text in ticks}) == len(ticks)


def test_an_axis_around_equal_values_has_a_width() -> None:
    for value in (0.0, 2.1, -1e-9):
        axis = around([value, value])
        assert axis.low < value < axis.high


def test_labels_that_would_touch_are_spread_in_their_order() -> None:
    moved = spread([100, 100, 101, 5, 270], 17, 280)
    assert moved[3] < moved[0] < moved[1] < moved[2] < moved[4]
    assert all(later - earlier >= 17 - 1e-9 for earlier, later in zip(sorted(moved), sorted(moved)[1:], strict=False))
    assert min(moved) >= 8
    assert max(moved) <= 272
    assert spread([3, 2, 1], 17, 280) == [42.5, 25.5, 8.5]


def test_a_store_on_disk_becomes_a_page(store: Store) -> None:
    store.pin(looks=[3, 5, 8, 12], smallest_effect="auto")
    for seed, folder in enumerate(store.baseline(5)):
        write(folder, falling(seed))
    for seed, folder in enumerate(store.shifted("model/norm=rmsnorm", 5, -0.05)):
        write(folder, falling(seed, -0.05))
    store.arm("hooks=hot", [None, 2.1, 2.2])
    store.run("model=wide", 0, status="failed")
    store.shifted("wild", 2, -1.0, exploring=True)
    report = store.report()
    facts = tell(report)
    text = page(facts, read_curves(report.lab, facts))
    read = Read(text)
    assert read.open == []
    for arm in facts.sections[0].arms:
        assert arm.reading in read.text
    assert [each["name"] for each in json.loads(read.within["script"][0])[0]["curves"]] == ["baseline", "model.norm=rmsnorm"]
    assert "diverged at step 40: the loss is not finite" in read.text
    assert "wild: seeds 0, 1" in read.text
    assert str(store.root) not in text
    assert "2001-01-01" not in text
