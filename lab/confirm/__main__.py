"""`python -m lab.confirm ASKED.json`: writes the reading down, reads the test range, and leaves what each run's weights cost on it."""

import sys
from pathlib import Path

from lab.confirm.reading import read_range
from lab.errors import LabError
from lab.files import read_json
from lab.signals import leave_on_interrupt

leave_on_interrupt()
asked = read_json(Path(sys.argv[1]))
sys.path.insert(0, asked["root"])  # the project's own modules (trusted_modules)
try:
    read_range(asked)
except LabError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_status)
