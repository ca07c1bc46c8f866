"""The report as a user meets it: in a terminal, in Markdown, with nothing there yet, with hostile names."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab.errors import PinError
from lab.results.curves import curves
from lab.results.forms import FORMATS
from lab.results.forms.markdown import escape, to_markdown
from lab.results.forms.prose import paragraph
from lab.results.forms.separated import to_csv
from lab.results.forms.table import COLUMNS, signed
from lab.results.forms.terminal import to_terminal
from lab.results.report import build

from .store import Store

HOSTILE = "hooks=[red]x[/red]|`a`<script>\n# head\x1b[2J"


def printed(store: Store, width: int) -> str:
    return to_terminal(store.facts(), width)


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


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_runs_give_the_same_bytes_in_every_form(store: Store, form: str):
    a_full_store(store)
    texts = [FORMATS[form].make(facts, curves(store.report().lab, facts)) for facts in (store.facts(), store.facts())]
    assert texts[0] == texts[1]
    assert str(store.root) not in texts[0]
    assert "2001-01-01" not in texts[0]


@pytest.mark.parametrize("width", [60, 80, 120, 160])
def test_no_line_is_wider_than_the_terminal(store: Store, width: int):
    text = printed(a_full_store(store), width)
    assert max(len(line) for line in text.splitlines() if not line.startswith("  python ")) <= width
    assert "…" not in text


@pytest.mark.parametrize("width", [60, 80, 160])
def test_terminal_and_markdown_say_the_same(store: Store, width: int):
    a_full_store(store)
    text, page = " ".join(printed(store, width).split()), to_markdown(store.facts())
    for arm in store.facts().sections[0].arms:
        assert paragraph(arm) in text
        assert escape(arm.reading) in page
        assert all(escape(remark) in page for remark in arm.remarks)


def test_the_numbers_of_a_row_are_the_same_in_every_form(store: Store):
    a_full_store(store)
    facts = store.facts()
    pages = [FORMATS[form].make(facts, {each.cohort: () for each in facts.sections}) for form in ("terminal", "md", "html", "latex")]
    numbers = [row["difference"] for row in csv.DictReader(io.StringIO(to_csv(facts))) if row["difference"]]
    assert numbers == [repr(arm.difference) for arm in facts.sections[0].arms if arm.difference is not None]
    for arm in facts.sections[0].arms:
        for page in pages:
            assert signed(arm.difference, arm.decimals) in page.replace("$", "").replace("&#43;", "+")


def test_the_table_starts_with_the_baseline(store: Store):
    page = to_markdown(a_full_store(store).facts())
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert table[2].startswith("| baseline | 5 | 2.1074 |")
    assert len(table) == 2 + 1 + 5


def test_what_is_not_judged_is_listed(store: Store):
    page = to_markdown(a_full_store(store).facts())
    assert "## Exploring (never judged)\n\n- wild: seeds 0, 1" in page
    assert "## Diverged\n\n- hooks=hot seed 0: step 40, the loss is not finite" in page
    assert "## Failed (pending until resumed)\n\n- model=wide seed 0: no space left on device" in page


def test_the_head_says_how_it_was_judged(store: Store):
    page = to_markdown(a_full_store(store).facts())
    assert f"Baseline demo (lock {store.lock[:8]}), judged by validation bits per byte, lower is better." in page
    assert "D = 0.005 bits/byte: 2 % of what the second half of the budget brought" in page
    assert "5 arms ever tried under this pin" in page
    assert "23 runs read, 0 left out" in page
    assert "on this validation text" in page


def test_a_damaged_run_is_named_in_the_report(store: Store):
    folder = store.baseline(3)[0]
    (folder / "manifest.json").write_text("{")
    facts = store.facts()
    assert (facts.runs_read, len(facts.lists["Left out"])) == (2, 1)
    assert folder.name in to_markdown(facts)


def test_an_empty_store_says_what_to_type(store: Store):
    page = to_markdown(store.facts())
    assert "    python run.py --multirun baseline=demo hooks=none,grad_clip seed=0,1,2" in page
    assert "python run.py --multirun baseline=demo hooks=none,grad_clip seed=0,1,2" in printed(store, 60)


def test_hostile_names_stay_text(store: Store):
    store.baseline(3)
    store.shifted(HOSTILE, 3, -0.05)
    text, page = printed(store, 120), to_markdown(store.facts())
    assert "[red]x[/red]" in text
    assert "\x1b" not in text + page
    assert "<script>" not in page
    assert "\n# head" not in page
    assert all(line.replace("\\|", "").count("|") == len(COLUMNS) + 1 for line in page.splitlines() if line.startswith("|"))


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
    assert "1.50x" in to_markdown(store.facts())
