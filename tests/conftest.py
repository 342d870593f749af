"""Make the helpers under tests/ importable: ``from oracles.memory_bruteforce import ...``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
