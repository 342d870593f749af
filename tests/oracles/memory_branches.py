"""Random small problems in which the order matters: branches that all read one tensor."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory.problem import MemoryProblem

WIDE = [6, 7, 8, 9, 5]
NARROW = [2, 3, 1, 4, 0]


@st.composite
def branches(draw: st.DrawFn, max_slack: int = 3) -> MemoryProblem:
    """Draw a stem, two or three branches of up to three operators, and joins; capacity near M_R.

    Branches widen, hold a weight, fork or end in an output at times. Up to nine operators.
    """
    sizes: list[int] = []
    output: list[bool] = []
    ins: list[list[int]] = []
    outs: list[list[int]] = []

    def tensor(choice: list[int], is_output: bool = False) -> int:
        sizes.append(draw(st.sampled_from(choice)))
        output.append(is_output)
        return len(sizes) - 1

    shared = tensor([4, 5, 3, 6])
    if draw(st.booleans()):  # a tensor that somebody produces, instead of a graph input
        ins.append([shared])
        shared = tensor([4, 5, 3, 6], draw(st.integers(0, 5)) == 5)
        outs.append([shared])
    ends = []
    for _ in range(draw(st.sampled_from([3, 2]))):
        last = shared
        for place in range(draw(st.sampled_from([2, 1, 3] if len(ins) < 5 else [1]))):
            reads = [last]
            kind = draw(st.integers(0, 11))
            if kind == 11:
                reads.append(tensor(NARROW))  # a weight
            elif kind == 10 and place > 0:
                reads.append(shared)
            ins.append(sorted(reads))
            last = tensor(WIDE if draw(st.booleans()) else NARROW, kind == 9)
            outs.append([last])
        ends.append(last)
    if draw(st.booleans()):
        ends.append(shared)
    while len(ends) > 1:
        joined = [ends.pop(0), ends.pop(0)]
        ins.append(sorted({*joined}))
        ends.append(tensor(NARROW, not ends))
        outs.append([ends[-1]])
    number = draw(st.permutations(range(len(ins))))
    graph = OperatorGraph(
        name="branches",
        operator_names=tuple(f"o{i}" for i in number),
        operator_kinds=("any",) * len(ins),
        workspace=np.array([draw(st.sampled_from([0, 0, 0, 2])) for _ in ins], dtype=np.int64),
        inputs=Ragged.of(ins[i] for i in number),
        outputs=Ragged.of(outs[i] for i in number),
        tensor_names=tuple(f"t{i}" for i in range(len(sizes))),
        tensor_bytes=np.array(sizes, dtype=np.int64),
        is_output=np.array(output, dtype=np.bool_),
        is_constant=np.zeros(len(sizes), dtype=np.bool_),
    )
    alignment = draw(st.sampled_from([1, 1, 1, 2]))
    smallest = MemoryProblem(graph, None, alignment).smallest_capacity
    return MemoryProblem(graph, smallest + draw(st.integers(0, max_slack)), alignment)
