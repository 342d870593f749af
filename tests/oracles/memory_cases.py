"""Small memory problems with known answers."""

import numpy as np

from mapc.graph import OperatorGraph, Ragged
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem


def chain_with_skip(capacity: int | None = None) -> MemoryProblem:
    """Four operators in a row; the first one's output (5 bytes) is read again by the last.

    M_R is 6 and the peak 10. Below it that tensor has to leave, which moves 10 bytes; only a solver
    can prove more than the bytes that are short, twice.
    """
    graph = OperatorGraph(
        name="chain",
        operator_names=("o0", "o1", "o2", "o3"),
        operator_kinds=("any",) * 4,
        workspace=np.zeros(4, dtype=np.int64),
        inputs=Ragged.of([[], [0], [1], [2, 0]]),
        outputs=Ragged.of([[0], [1], [2], [3]]),
        tensor_names=("t0", "t1", "t2", "t3"),
        tensor_bytes=np.array([5, 2, 3, 1]),
        is_output=np.array([False, False, False, True]),
        is_constant=np.zeros(4, dtype=np.bool_),
    )
    return MemoryProblem(graph, capacity)


def spilled_chain() -> tuple[MemoryProblem, MemoryPlan]:
    """That chain in 9 bytes: t0 leaves after step 1 and comes back for step 3, 10 bytes in all."""
    plan = MemoryPlan(
        order=np.arange(4),
        tensor=np.array([0, 1, 2, 0, 3]),
        start=np.array([0, 1, 2, 3, 3]),
        stop=np.array([2, 3, 4, 4, 4]),
        address=np.array([0, 5, 0, 3, 8]),
        written=np.array([True, False, False, False, True]),
        workspace_address=np.full(4, -1),
    )
    return chain_with_skip(9), plan
