"""Small memory problems with known answers."""

import numpy as np

from mapc.graph import OperatorGraph, Ragged
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
