"""A backend whose import waits for a file, as a big solver's import waits for a slow disk."""

import os
import time
from pathlib import Path

from faulty_backends import whoami as solve

while not Path(os.environ["SLOW_BACKEND_GATE"]).exists():
    time.sleep(0.01)

__all__ = ["solve"]
