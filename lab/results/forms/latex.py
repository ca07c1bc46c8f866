"""The report as LaTeX: a table of verdicts and one of costs for each cohort, in a float. Needs \\usepackage{booktabs}, nothing more.

Every character that TeX reads as something else is escaped. What isn't ASCII or a western letter is written by its code, as a plain
document has no sign for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from lab.results.facts import Facts, SectionFacts
from lab.results.forms.cells import Sheet, sheets
from lab.results.forms.prose import title
from lab.results.forms.table import COLUMNS, Row, level, table
from lab.results.wording import size
from lab.store.plain import plain

VERDICTS = ("arm", "n", "difference", "interval", "p", "verdict")
COSTS = ("arm", "parameters", "flops_per_token", "tokens_per_second")
SIGNS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "{''}",
    "`": r"\textasciigrave{}",
    **{mark: f"{{{mark}}}" for mark in "[]*"},  # first in a row they would be the row break's own
    **{mark: f"\\{mark}" for mark in "#$%&_"},
}


def to_latex(facts: Facts) -> str:
    """A float per cohort; ends with a newline."""
    floats = []
    for section in facts.sections:
        floats += [section_float(facts, section)] if table(facts.rules, section) else []
        floats += [sheet_float(facts, section, place, sheet) for place, sheet in enumerate(sheets(section), 1)]
    return "\n\n".join(["% \\usepackage{booktabs}", *floats]) + "\n"


def section_float(facts: Facts, section: SectionFacts) -> str:
    rows = table(facts.rules, section)
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            r"\small",
            f"\\caption{{{caption(facts, section)}}}",
            f"\\label{{tab:report-{escape(section.cohort[:8])}}}",
            *tabular(VERDICTS, rows),
            "",
            r"\medskip",
            *tabular(COSTS, rows),
            r"\end{table}",
        ]
    )


def sheet_float(facts: Facts, section: SectionFacts, place: int, sheet: Sheet) -> str:
    """A table of a study of cells, with its sentences as the caption."""
    where = f" {title(section, facts)}." if title(section, facts) else ""
    rows = [" & ".join((number if right else escape)(text) for text, right in zip(row, sheet.right, strict=True)) for row in sheet.rows]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            r"\small",
            f"\\caption{{{escape(f'{sheet.title}. In {facts.rules.unit}.{where}')}}}",
            f"\\label{{tab:cells-{escape(section.cohort[:8])}-{place}}}",
            f"\\begin{{tabular}}{{{''.join('r' if right else 'l' for right in sheet.right)}}}",
            r"\toprule",
            " & ".join(map(escape, sheet.columns)) + r" \\",
            r"\midrule",
            *(f"{row} \\\\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def caption(facts: Facts, section: SectionFacts) -> str:
    """What was judged and by which rules: baseline, metric, D, alpha, looks."""
    rules = facts.rules
    metric = rules.metric.replace("_", " ")
    mean = section.baseline.mean if section.baseline is not None else None
    looks = f"looks at {', '.join(map(str, rules.looks))} seeds"
    apart = [study for study in section.studies if study.rules != rules or study.smallest_effect != section.smallest_effect]
    parts = [
        f"Arms against baseline {rules.baseline} ({level(mean)} {rules.unit}) by {metric}, {rules.direction} is better.",
        f"Difference: arm minus baseline in {rules.unit}, with its {100 * (1 - rules.alpha):g} % interval;",
        f"p is Holm-adjusted; alpha {rules.alpha:g}, {looks}; smallest effect of interest D = {size(section.smallest_effect)}.",
        *(
            f"Study {study.name}: alpha {study.rules.alpha:g}, looks at {', '.join(map(str, study.rules.looks))} seeds, "
            f"D = {size(study.smallest_effect)}."
            for study in apart
        ),
        "Below: costs, arm over baseline; tokens/s is indicative.",
        f"{title(section, facts)}." if title(section, facts) else "",
    ]
    return escape(" ".join(part for part in parts if part))


def tabular(keys: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """The columns of these keys, as a booktabs table."""
    wanted = [next(index for index, column in enumerate(COLUMNS) if column.key == key) for key in keys]
    yield f"\\begin{{tabular}}{{{''.join('r' if COLUMNS[index].right else 'l' for index in wanted)}}}"
    yield r"\toprule"
    yield " & ".join(escape(COLUMNS[index].name) for index in wanted) + r" \\"
    yield r"\midrule"
    for row in rows:
        yield " & ".join((number if COLUMNS[index].right else escape)(row.texts[index]) for index in wanted) + r" \\"
    yield r"\bottomrule"
    yield r"\end{tabular}"


def number(text: str) -> str:
    """A number's cell with TeX's own signs: a hyphen is no minus."""
    signed = re.sub(r"[-+<](?=[ \d])", r"$\g<0>$", text)
    return re.sub(r"(?<=\d)x$", r"$\\times$", signed)


def escape(text: str) -> str:
    """Text that TeX sets as it is, on one line."""
    coded = "".join(mark if mark.isascii() or "À" <= mark <= "ÿ" else ascii(mark)[1:-1] for mark in plain(text))
    safe = "".join(SIGNS.get(mark, mark) for mark in coded)
    return re.sub(r"-(?=-)", "-{}", safe)  # or two hyphens become a dash
