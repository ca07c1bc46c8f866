"""The report as a user meets it: in a terminal, in Markdown, with nothing there yet, with hostile names."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from lab.errors import PinError
from lab.results.report import build, print_report, to_markdown
from lab.results.sections import lists

from .store import Store

HOSTILE = "hooks=[red]x[/red]|`a`<script>\n# head\x1b[2J"


def printed(store: Store, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    print_report(store.report(), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # StringIO
    assert isinstance(text, str)
    return text


def a_full_store(store: Store) -> Store:
    store.pin(looks=[3, 5, 8, 12], smallest_effect="auto")
    store.baseline(5)
    store.shifted("model/norm=rmsnorm", 5, -0.05)
    store.shifted("hooks=z_loss", 4, 0.0, wobble=4)
    store.shifted("hooks=ema", 3, 0.0)
    store.arm("hooks=hot", [None, 2.1, 2.2])
    store.run("model=wide", 0, status="failed")
    store.shifted("wild", 2, -1.0, exploring=True)
    return store


def test_the_same_runs_give_the_same_bytes(store: Store):
    a_full_store(store)
    assert to_markdown(store.report()) == to_markdown(store.report())
    assert printed(store, 80) == printed(store, 80)


def test_the_report_knows_neither_place_nor_day(store: Store):
    a_full_store(store)
    for text in (to_markdown(store.report()), printed(store, 80)):
        assert str(store.root) not in text
        assert "2001-01-01" not in text


@pytest.mark.parametrize("width", [60, 80, 120, 160])
def test_no_line_is_wider_than_the_terminal(store: Store, width: int):
    text = printed(a_full_store(store), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


@pytest.mark.parametrize("width", [60, 80, 160])
def test_terminal_and_markdown_say_the_same(store: Store, width: int):
    a_full_store(store)
    text, page = " ".join(printed(store, width).split()), to_markdown(store.report())
    for verdict in store.report().verdicts:
        assert verdict.reading in text
        assert verdict.reading.replace("<", "&lt;") in page


def test_the_table_starts_with_the_baseline(store: Store):
    page = to_markdown(a_full_store(store).report())
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert table[2].startswith("| baseline | 5 | 2.1074 |")
    assert len(table) == 2 + 1 + 5


def test_what_is_not_judged_is_listed(store: Store):
    page = to_markdown(a_full_store(store).report())
    assert "## Exploring (never judged)\n\n- wild: seeds 0, 1" in page
    assert "## Diverged\n\n- hooks=hot seed 0: step 40, the loss is not finite" in page
    assert "## Failed (pending until resumed)\n\n- model=wide seed 0: no space left on device" in page


def test_the_head_says_how_it_was_judged(store: Store):
    page = to_markdown(a_full_store(store).report())
    assert f"Baseline demo (lock {store.lock[:8]}), judged by validation bits per byte, lower is better." in page
    assert "D = 0.005 bits/byte: 2 % of what the second half of the budget brought" in page
    assert "5 arms ever tried under this pin" in page
    assert "23 runs read, 0 left out" in page
    assert "on this validation text" in page


def test_a_damaged_run_is_named_in_the_report(store: Store):
    folder = store.baseline(3)[0]
    (folder / "manifest.json").write_text("{")
    report = store.report()
    assert (report.runs_read, len(report.left_out)) == (2, 1)
    assert folder.name in to_markdown(report)


def test_an_empty_store_says_what_to_type(store: Store):
    page = to_markdown(store.report())
    assert "    python run.py --multirun baseline=demo hooks=none,grad_clip seed=0,1,2" in page
    assert "python run.py --multirun baseline=demo hooks=none,grad_clip seed=0,1,2" in printed(store, 60)


def test_hostile_names_stay_text(store: Store):
    store.baseline(3)
    store.shifted(HOSTILE, 3, -0.05)
    text, page = printed(store, 120), to_markdown(store.report())
    assert "[red]x[/red]" in text
    assert "\x1b" not in text + page
    assert "<script>" not in page
    assert "\n# head" not in page
    assert all(line.replace("\\|", "").count("|") == 10 for line in page.splitlines() if line.startswith("|"))


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"name": "demo"}', "NaN"])
def test_a_missing_or_damaged_lock_says_how_to_pin(store: Store, content: str | None):
    path = store.root / "conf/baseline/demo.lock.json"
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(PinError, match="python -m lab pin demo"):
        store.report()


def test_an_edited_judgement_is_refused(store: Store):
    path = store.root / "conf/baseline/demo.lock.json"
    path.write_text(path.read_text().replace('"alpha": 0.05', '"alpha": 0.5'))
    with pytest.raises(PinError, match="was edited"):
        store.report()


@pytest.mark.parametrize("name", ["../demo", "", ".hidden", "a/b"])
def test_a_baselines_name_cannot_leave_its_folder(store: Store, name: str):
    with pytest.raises(PinError):
        build(store.root, name)


def test_a_lock_of_another_baseline_is_refused(store: Store):
    path = store.root / "conf/baseline/demo.lock.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "name": "other"}))
    with pytest.raises(PinError, match="was edited"):
        store.report()


def test_the_paper_wing_never_imports_torch(tmp_path: Path):
    code = "import sys, lab.results.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_the_wings_package_alone_imports_neither_pandas_nor_scipy():
    code = "import sys, lab.results; sys.exit(bool({'pandas', 'scipy', 'rich'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_a_larger_model_is_told_by_its_ratio(store: Store):
    store.baseline(3)
    store.shifted("hooks=ema", 3, -0.05, total=1500)
    assert "1.50x" in to_markdown(store.report())


def test_a_sweeps_console_which_wraps_nothing_itself_loses_no_words(store: Store):
    a_full_store(store)
    console = Console(file=io.StringIO(), width=60, force_terminal=False, soft_wrap=True)
    print_report(store.report(), console)
    said = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]  # StringIO
    entries = [entry for group in lists(store.report()).values() for entry in group]
    assert max(map(len, entries)) > 60
    assert all(f"- {entry}" in said for entry in entries)
