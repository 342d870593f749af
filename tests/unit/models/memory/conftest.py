"""Small problems with known answers."""

import pytest

from mapc.models.memory.problem import MemoryProblem
from oracles.memory_cases import chain_with_skip


@pytest.fixture
def chain() -> MemoryProblem:
    """Four operators in a row with a skip around the middle ones, and room for everything."""
    return chain_with_skip(capacity=20)
