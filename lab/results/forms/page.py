"""The report as one HTML file that needs nothing else: no network, no other file, no script to be read (only to be played with).

Everything that comes from outside is made printable (lab/store/plain.py) and then escaped by the template engine; data for the script
stands in a block of JSON in which no markup can begin. The page's own policy names its style and script by their digests, so nothing
that slipped through could run. Knows no clock, no place and no chance: the same facts give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.results.curves import Curve
from lab.results.facts import Facts
from lab.results.forms.charts import as_data
from lab.results.forms.table import level, pieces, signed
from lab.results.forms.view import ORDER, view
from lab.store.plain import plain

HERE = Path(__file__).parent
STYLES = ("charts.css", "page.css")  # the page last: what it hides in print stays hidden
SCRIPTS = ("theme.js", "copy.js", "sorting.js", "axis.js", "curves.js")
UNSAFE_IN_JSON = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def page(facts: Facts, curves: Mapping[str, Sequence[Curve]]) -> str:
    """The report as HTML. `curves` holds the learning curves of each cohort that has some."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"signed": signed, "level": level, "pieces": pieces}
    views = [view(index, section, facts.rules, curves.get(section.cohort, ())) for index, section in enumerate(facts.sections, start=1)]
    style, script = ("\n".join((HERE / name).read_text("utf-8") for name in names) for names in (STYLES, SCRIPTS))
    return environment.get_template("page.html.jinja").render(
        facts=facts,
        views=views,
        columns=ORDER,
        style=style,
        script=script,
        style_digest=digest(style),
        script_digest=digest(script),
        data=as_json([{"anchor": each.anchor, "curves": as_data(each.curves)} for each in views]),
    )


def printable(value: Any) -> Any:
    """What the template writes: text from outside by its codes where it can't be printed. Our own markup stays as it is."""
    return plain(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def as_json(value: Any) -> str:
    """JSON that can stand in an HTML page: no sign in it begins a tag, an entity or a line."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(UNSAFE_IN_JSON)


def digest(text: str) -> str:
    """As a content security policy names a style or a script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
