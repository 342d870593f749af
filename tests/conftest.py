"""What all tests share."""

import signal
import sys
from pathlib import Path

import pytest

# ``from oracles.memory_bruteforce import ...``
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def python_keeps_ctrl_c() -> None:
    """Put Python's handler back: a solver run in process leaves the system's, which kills."""
    handler = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, handler)
