"""`python -m lab.replay ASKED.json`: replays a baseline run for lab/edits.py and leaves a finding in its certificates/."""

import sys
from pathlib import Path

from lab.errors import LabError
from lab.files import read_json
from lab.replay.ask import certify
from lab.signals import leave_on_interrupt

leave_on_interrupt()
asked = read_json(Path(sys.argv[1]))
sys.path.insert(0, asked["root"])  # the project's own modules (trusted_modules)
try:
    certify(asked)
except LabError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_status)
