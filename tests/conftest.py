"""What all tests share."""

import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# ``from oracles.memory_bruteforce import ...``
sys.path.insert(0, str(Path(__file__).parent))

# a busy machine makes no test fail
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")


@pytest.fixture(autouse=True)
def python_keeps_ctrl_c() -> None:
    """Put Python's handler back: a solver run in process leaves the system's, which kills."""
    handler = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, handler)
