"""The page in a real browser: it renders, sorts, draws and reads, by mouse, touch and keys, by day and night, on a phone, without
a script, without a network, and without a word in the console."""

from __future__ import annotations

import functools
import json
import math
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoAlertPresentException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.interaction import POINTER_TOUCH
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from lab.results.curves import Curve
from lab.results.facts import Facts
from lab.results.forms.page import page
from lab.results.forms.table import signed
from lab.store.plain import plain

from . import worlds

# a sandbox of its own is refused to a browser in a container or under root, and these pages are ours
FLAGS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking", "--hide-scrollbars")
WORLDS: dict[str, Callable[[], Facts]] = {
    "every_verdict": worlds.every_verdict,
    "two_cohorts": worlds.two_cohorts,
    "hostile": worlds.hostile,
    "empty": worlds.empty,
}


@dataclass
class Reader:
    """Someone with a browser and a folder of reports."""

    driver: webdriver.Chrome
    folder: Path

    def open(self, world: str, width: int = 1200, theme: str = "light", media: str = "", script: bool = True) -> None:
        """A report in a window of this width. What the console said before is forgotten."""
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        features = [{"name": "prefers-color-scheme", "value": theme}, {"name": "prefers-reduced-motion", "value": "reduce"}]
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
        self.driver.get((self.folder / f"{world}.html").as_uri())

    def ask(self, script: str, *given: Any) -> Any:
        return self.driver.execute_script(f"return {script}", *given)

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The whole texts of elements, also of those that are scrolled out of sight."""
        found: list[str] = self.ask("[...document.querySelectorAll(arguments[0])].map((one) => one.textContent.trim())", selector)
        return found

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pages")
    for name, world in WORLDS.items():
        facts = world()
        (made / f"{name}.html").write_text(page(facts, worlds.curves(facts)), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Reader]:
    chromium, driver_path = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver_path is None:
        pytest.skip("not run: no chromium / chromedriver here")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(driver_path))
    yield Reader(driver, folder)
    driver.quit()


@pytest.fixture
def reader(browser: Reader) -> Iterator[Reader]:
    """The browser; whatever a test does, the page must not complain."""
    browser.complaints()
    yield browser
    assert browser.complaints() == []


BEYOND = """[...document.querySelectorAll("main *, header *")]
  .filter((one) => !one.closest(".scroll, pre, svg") && one.getBoundingClientRect().right > innerWidth + 1)
  .map((one) => one.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize(
    ("world", "width"), [("every_verdict", 360), ("hostile", 360), ("two_cohorts", 360), ("empty", 360), ("hostile", 900)]
)
def test_a_page_never_scrolls_sideways(reader: Reader, world: str, width: int) -> None:
    reader.open(world, width)
    reader.ask("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert reader.ask("document.documentElement.scrollWidth") <= width
    assert reader.ask(BEYOND) == []


def names(reader: Reader) -> list[str]:
    return reader.texts("table.verdicts tbody:last-of-type th")


def numbers(reader: Reader, column: str) -> list[float | None]:
    """A column's raw values in the order of the rows."""
    index = [text.strip() for text in reader.texts("table.verdicts thead th")].index(column)
    raw = reader.ask(
        "[...document.querySelectorAll('table.verdicts tbody:last-of-type tr')].map((row) => row.cells[arguments[0]].dataset.raw ?? null)",
        index,
    )
    return [None if value is None else float(value) for value in raw]


def press(reader: Reader, column: str, *keys: str) -> WebElement:
    """The heading of a column, pressed by the mouse, or by keys."""
    (heading,) = [each for each in reader.all("table.verdicts thead th") if each.text.startswith(column)]
    button = heading.find_element(By.TAG_NAME, "button")
    if keys:
        button.send_keys(*keys)
    else:
        button.click()
    return heading


@pytest.mark.parametrize("keys", [(), (Keys.ENTER,), (Keys.SPACE,)])
def test_a_heading_sorts_by_value_and_what_is_missing_stays_last(reader: Reader, keys: tuple[str, ...]) -> None:
    reader.open("every_verdict")
    at_first = names(reader)
    for order, sign in (("ascending", 1), ("descending", -1), ("ascending", 1)):
        heading = press(reader, "difference", *keys)
        assert heading.get_attribute("aria-sort") == order
        values = numbers(reader, "difference")
        known = [sign * value for value in values if value is not None]
        assert known == sorted(known)
        assert values[len(known) :] == [None]  # the refused arm
    assert names(reader) != at_first
    assert sorted(names(reader)) == sorted(at_first)
    assert reader.texts("table.verdicts tbody.fixed th") == ["baseline"]
    assert len(reader.all("th[aria-sort=ascending], th[aria-sort=descending]")) == 1
    assert reader.one(".live").get_attribute("textContent") == "Sorted by difference, ascending"


def test_names_sort_as_text_and_verdicts_by_the_order_of_the_rules(reader: Reader) -> None:
    reader.open("every_verdict")
    press(reader, "arm")
    assert names(reader) == sorted(names(reader))
    press(reader, "verdict")
    assert reader.texts("table.verdicts tbody:last-of-type .badge")[0] == "refused"
    assert reader.texts("table.verdicts tbody:last-of-type .badge")[-1] == "cannot tell"


def test_a_verdict_is_told_by_word_shape_and_colour(reader: Reader) -> None:
    reader.open("every_verdict")
    badges = reader.all("table.verdicts .badge")
    shapes = {badge.find_element(By.TAG_NAME, "use").get_attribute("href") for badge in badges}
    assert len(shapes) == 9  # of ten arms: better stands there twice
    assert all(badge.text for badge in badges)
    drawn = "[...document.querySelectorAll('table.verdicts .badge .shape')].every((one) => one.getBBox().width > 3)"
    assert reader.ask(drawn)


def visible_curves(reader: Reader) -> list[str]:
    return [
        reader.texts(f'tr[data-curve="{index}"] bdi')[0]
        for index in reader.ask(
            "[...document.querySelectorAll('path.curve[data-curve]')].map((one) => one.dataset.curve).sort((a, b) => a - b)"
        )
    ]


def test_a_tick_hides_and_shows_an_arms_curve(reader: Reader) -> None:
    reader.open("every_verdict")
    everyone = visible_curves(reader)
    box = reader.one('tr[data-curve="2"] input')
    box.click()
    assert visible_curves(reader) == [name for index, name in enumerate(everyone) if index != 2]
    assert reader.one('tr[data-curve="2"] .mean').text == "-"
    assert not reader.all('path.seeds[data-curve="2"]')
    box.send_keys(Keys.SPACE)
    assert visible_curves(reader) == everyone
    for each in reader.all("table.readout input"):
        each.click()
    assert visible_curves(reader) == []
    assert "Choose an arm" in reader.one(".reading-plot").text


def choose(reader: Reader, choice: str) -> None:
    reader.one(f'[data-choice="{choice}"]').click()


def drawn_points(reader: Reader, index: int = 0) -> list[tuple[float, float]]:
    path = reader.one(f'path.curve[data-curve="{index}"]').get_attribute("d") or ""
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)]


def on_one_line(places: Sequence[float], values: Sequence[float]) -> bool:
    """Whether places are an affine function of values, to the tenth of a pixel that a path is written in."""
    slope = (places[-1] - places[0]) / (values[-1] - values[0])
    return all(abs(places[0] + slope * (value - values[0]) - place) < 0.2 for place, value in zip(places, values, strict=True))


def baseline_curve() -> Curve:
    facts = worlds.every_verdict()
    return worlds.curves(facts)[facts.sections[0].cohort][0]


def test_the_curves_are_drawn_where_their_values_are_linear_and_log(reader: Reader) -> None:
    reader.open("every_verdict")
    points = baseline_curve().points
    steps, means = [float(point.step) for point in points], [point.mean for point in points]
    xs, ys = zip(*drawn_points(reader), strict=True)
    assert on_one_line(xs, steps)
    assert on_one_line(ys, means)
    assert ys[0] < ys[-1]  # a loss that falls, on a screen that counts downward
    choose(reader, "logY")
    _, ys = zip(*drawn_points(reader), strict=True)
    assert on_one_line(ys, [math.log(mean) for mean in means])
    choose(reader, "logX")  # step 0 has no place there
    xs, _ = zip(*drawn_points(reader), strict=True)
    assert on_one_line(xs, [math.log(step) for step in steps[1:]])
    choose(reader, "late")
    assert len(drawn_points(reader)) == sum(step >= 50 for step in steps)
    choose(reader, "bands")
    assert not reader.all("path.seeds")


@pytest.mark.parametrize(
    ("across", "title"),
    [("tokens", "tokens, 10³"), ("flops", "training FLOPs, 10⁶"), ("seconds", "seconds, indicative"), ("step", "training steps")],
)
def test_steps_tokens_flops_or_time_lie_across(reader: Reader, across: str, title: str) -> None:
    reader.open("every_verdict")
    for option in ("seconds", across):
        reader.one(f'.controls option[value="{option}"]').click()
    assert reader.one("text.across").text == title
    xs, _ = zip(*drawn_points(reader), strict=True)
    assert on_one_line(xs, [float(getattr(point, across)) for point in baseline_curve().points])
    reader.one(".reading-plot").send_keys(Keys.HOME)
    assert reader.one("table.readout caption").text.startswith(("Tokens: 0", "FLOPs: 0", "Seconds: 0", "Steps: 0"))


def reading(reader: Reader) -> tuple[str, list[tuple[str, str]]]:
    """Where the curves are read, and the mean and seeds that the table says of each."""
    where = re.split("[,.] ", reader.one("table.readout caption").text)[0]
    return where, list(zip(reader.texts("table.readout .mean"), reader.texts("table.readout tbody .seeds-range"), strict=True))


def expected(step: int) -> list[tuple[str, str]]:
    facts = worlds.every_verdict()
    at = [next(point for point in curve.points if point.step == step) for curve in worlds.curves(facts)[facts.sections[0].cohort]]
    return [(f"{point.mean:.4f}", f"{point.low:.4f} to {point.high:.4f} ({point.n})") for point in at]


def test_pointing_at_the_curves_reads_the_values_that_are_in_the_data(reader: Reader) -> None:
    reader.open("every_verdict")
    svg = reader.one(".reading-plot")
    assert reading(reader) == ("At the end", expected(100))
    places = dict(zip((point.step for point in baseline_curve().points), drawn_points(reader), strict=True))
    for step in (0, 20, 40, 80):
        x = places[step][0] - svg.size["width"] / 2
        ActionChains(reader.driver, duration=0).move_to_element_with_offset(svg, round(x), 10).perform()
        assert reading(reader) == (f"Steps: {step}", expected(step))
        dots = reader.all("circle.at")
        assert len(dots) == len(expected(step))
        assert {round(float(dot.get_attribute("cx") or ""), 1) for dot in dots} == {places[step][0]}
    ActionChains(reader.driver, duration=0).move_to_element(reader.one("h1")).perform()
    assert reading(reader)[0] == "At the end"


def test_arrow_keys_read_the_curves_too(reader: Reader) -> None:
    reader.open("every_verdict")
    svg = reader.one(".reading-plot")
    for key, step in (
        (Keys.HOME, 0),
        (Keys.ARROW_RIGHT, 10),
        (Keys.ARROW_RIGHT, 20),
        (Keys.END, 100),
        (Keys.ARROW_LEFT, 80),
        (Keys.PAGE_UP, 100),
    ):
        svg.send_keys(key)
        assert reading(reader) == (f"Steps: {step}", expected(step))
    assert "baseline 2.2308" in (svg.get_attribute("aria-valuetext") or "")
    assert svg.get_attribute("role") == "slider"
    svg.send_keys(Keys.ESCAPE)
    assert reading(reader)[0] == "At the end"


def test_a_finger_reads_the_curves_and_what_it_read_stays(reader: Reader) -> None:
    reader.open("every_verdict", width=360)
    svg = reader.one(".reading-plot")
    x = round(
        dict(zip((point.step for point in baseline_curve().points), drawn_points(reader), strict=True))[40][0] - svg.size["width"] / 2
    )
    finger = ActionBuilder(reader.driver, mouse=PointerInput(POINTER_TOUCH, "finger"), duration=0)
    reader.ask("arguments[0].scrollIntoView()", svg)
    finger.pointer_action.move_to(svg, x, 0).pointer_down().pointer_up()
    finger.perform()
    where, values = reading(reader)
    assert (where, values[0][0]) == ("Steps: 40", expected(40)[0][0])


def test_the_difference_to_the_baseline_is_that_of_the_pairs_and_not_of_the_means(reader: Reader) -> None:
    reader.open("every_verdict")
    facts = worlds.every_verdict()
    curves = worlds.curves(facts)[facts.sections[0].cohort]
    told = reader.texts("table.readout tbody .difference")
    assert told == ["-", *(f"{curve.points[-1].difference or 0:+.4f}" for curve in curves[1:])]
    reader.one(".reading-plot").send_keys(Keys.END, Keys.ARROW_LEFT)
    assert reader.texts("table.readout tbody .difference") == ["-", *(f"{curve.points[-2].difference or 0:+.4f}" for curve in curves[1:])]
    reader.one('tr[data-curve="1"] input').click()
    assert reader.texts("table.readout tbody .difference")[:2] == ["-", "-"]


def test_on_a_phone_the_verdict_and_its_number_are_seen_without_scrolling(reader: Reader) -> None:
    reader.open("every_verdict", width=400)
    rows = reader.all("table.verdicts tbody:last-of-type tr")
    assert len(rows) == len(worlds.every_verdict().sections[0].arms)
    for row, arm in zip(rows, worlds.every_verdict().sections[0].arms, strict=True):
        line = row.find_element(By.CSS_SELECTOR, ".narrow")
        assert line.rect["x"] + line.rect["width"] <= 400
        assert line.text.startswith(signed(arm.difference, arm.decimals) if arm.difference is not None else "")
    assert "-0.0500 -0.0560 to -0.0440" in rows[5].text
    assert "n = 5 (3 diverged)" in rows[3].text
    assert not [each for each in reader.all("td.of-difference, td.of-interval") if each.is_displayed()]
    reader.open("every_verdict")
    assert not [each for each in reader.all(".narrow") if each.is_displayed()]
    assert all(each.is_displayed() for each in reader.all("td.of-difference, td.of-interval"))


def test_hostile_names_stay_text(reader: Reader) -> None:
    reader.open("hostile")
    with pytest.raises(NoAlertPresentException):
        _ = reader.driver.switch_to.alert
    assert not reader.all("img")
    assert len(reader.all("script")) == 2
    shown = [plain(name) for name in worlds.HOSTILE]
    assert names(reader) == shown
    assert reader.texts("table.readout bdi")[1:] == shown
    assert reader.texts(".effect .who") == shown


def luminance(colour: str) -> float:
    parts = [float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


COLOURS = """(() => {
  const ground = (one) => {
    const own = getComputedStyle(one).backgroundColor;
    return /rgba\\(.*, 0\\)|transparent/.test(own) && one.parentElement ? ground(one.parentElement) : own;
  };
  return [...document.querySelectorAll("h1, p, a, td, th, code, dt, summary, button, figcaption, .badge, .marks li, del")]
    .map((one) => [getComputedStyle(one).color, ground(one), one.outerHTML.slice(0, 60)]);
})()"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_can_be_read_by_day_and_by_night(reader: Reader, theme: str) -> None:
    reader.open("every_verdict", theme=theme)
    assert (luminance(reader.ask("getComputedStyle(document.body).backgroundColor")) > 0.5) == (theme == "light")
    for colour, ground, where in reader.ask(COLOURS):
        lighter, darker = sorted((luminance(colour), luminance(ground)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (where, colour, ground)


def test_a_button_turns_the_page_dark_and_back(reader: Reader) -> None:
    reader.open("every_verdict")
    button, colour = reader.one("button.theme"), "getComputedStyle(document.body).backgroundColor"
    light = reader.ask(colour)
    assert button.text == "Dark page"
    button.click()
    assert luminance(reader.ask(colour)) < 0.1
    assert button.text == "Light page"
    button.send_keys(Keys.ENTER)
    assert reader.ask(colour) == light


def test_keys_reach_everything_and_show_where_they_are(reader: Reader) -> None:
    reader.open("two_cohorts")
    ActionChains(reader.driver).send_keys(Keys.TAB).perform()
    skip = reader.driver.switch_to.active_element
    assert skip.text == "Skip to the report"
    assert skip.rect["y"] >= 0
    skip.send_keys(Keys.ENTER)
    assert reader.ask("document.activeElement.id") == "report"
    reached = []
    for _ in range(12):
        ActionChains(reader.driver).send_keys(Keys.TAB).perform()
        reached.append(reader.ask("document.activeElement.textContent.trim()"))
        assert reader.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert {"arm", "verdict", "difference"} <= set(reached)


def test_a_command_is_copied(reader: Reader) -> None:
    reader.open("two_cohorts")
    reader.driver.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
    place = reader.one(".advice .command")
    place.find_element(By.TAG_NAME, "button").click()
    text = reader.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0], (error) => arguments[0](String(error)))")
    assert text == "python run.py --multirun baseline=demo seed=3,4"
    assert place.find_element(By.TAG_NAME, "button").text == "Copied"


def test_each_cohort_has_curves_of_its_own(reader: Reader) -> None:
    reader.open("two_cohorts")
    assert len(reader.all(".reading-plot")) == 2
    reader.one('#s2-curves tr[data-curve="1"] input').click()
    assert len(reader.all("#s1-curves path.curve[data-curve]")) == 2
    assert len(reader.all("#s2-curves path.curve[data-curve]")) == 1


def test_without_a_script_all_but_the_playing_is_there(reader: Reader) -> None:
    reader.open("every_verdict", script=False)
    try:
        assert not [each for each in reader.all("button") if each.is_displayed()]
        assert len(reader.all(".still path.curve")) == len(expected(0))
        assert reader.one(".still").is_displayed()
        assert len(reader.all("table.verdicts tbody:last-of-type tr")) == len(worlds.every_verdict().sections[0].arms)
        assert reader.one(".forest-row").size["height"] > 20
    finally:
        reader.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_print_shows_what_is_folded_and_hides_what_is_pressed(reader: Reader) -> None:
    reader.open("every_verdict", media="print", theme="dark")
    assert luminance(reader.ask("getComputedStyle(document.body).backgroundColor")) > 0.5
    assert not reader.one("button.theme").is_displayed()
    assert not reader.one(".controls").is_displayed()
    assert reader.ask("[...document.querySelectorAll('details dd')].every((one) => one.checkVisibility({contentVisibilityAuto: true}))")


def test_the_page_asks_the_network_for_itself_alone(reader: Reader, folder: Path) -> None:
    asked: list[str] = []

    class Server(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        reader.open("empty")
        reader.driver.get_log("performance")
        address = f"http://127.0.0.1:{server.server_port}/hostile.html"
        reader.driver.get(address)
        reader.one(".reading-plot").send_keys(Keys.HOME)
        press(reader, "difference")
    finally:
        server.shutdown()
        server.server_close()
    messages = [json.loads(entry["message"])["message"] for entry in reader.driver.get_log("performance")]
    requested = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    assert [url for url in requested if not url.startswith("data:")] == [address]
    assert asked == ["/hostile.html"]
    assert reader.ask("performance.getEntriesByType('resource').map((one) => one.name).filter((name) => !name.startsWith('data:'))") == []
