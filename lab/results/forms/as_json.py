"""The report as JSON: `Facts` field by field, with its schema version. Rounds nothing and leaves nothing out.

docs/the-report.md says what each field holds.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from lab.results.facts import Facts


def to_json(facts: Facts) -> str:
    """ASCII, keys in the order of the schema, null for nothing; a number that isn't finite would be a bug of ours. Ends with a newline."""
    return json.dumps(asdict(facts), indent=1, allow_nan=False) + "\n"
