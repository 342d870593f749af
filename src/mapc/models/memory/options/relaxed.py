r"""A plain problem that bounds one with options, for searches that know of none.

Every plan of the problem is, with what is not needed left out, a plan of the relaxation:

* *prefetch*: residencies may begin later, at the distance 0;
* *streamed operands*: whoever may stream a tensor does not need it; a tensor of no bytes keeps
  the two operators in order;
* *pinned tensors*: nobody needs them, and the room shrinks by their bytes. That loses nothing:
  they lie at the bottom (see `mapc.models.memory.options.layout`).

In-place pairs have no such counterpart, as they make steps smaller: there is no relaxation then.

**Cost.** Let the plan's extra loads and writes in the relaxation be :math:`R` and :math:`V` bytes,
and :math:`P` the least possible :math:`R + V`. Its extra cost is at least :math:`r R + v V`: a
source that all its readers may stream has no reader and counts 0 there; any other source is loaded
at least once, and that load alone is compulsory; all other transfers are extra in both. A cheapest
plan writes only what it loads again, so :math:`R \ge V`, :math:`R \ge P / 2`, and

.. math:: r R + v V \ge \begin{cases} v P + (r - v) P / 2 & r \ge v \\ r P & r < v . \end{cases}
"""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory.options.model import Options
from mapc.models.memory.problem import MemoryProblem


def relaxation(problem: MemoryProblem) -> MemoryProblem | None:
    """Return the plain problem whose plans include those of ``problem``; None with in-place pairs.

    Operators, their numbers and their order in the file are the same.
    """
    options, graph = problem.options, problem.graph
    if (
        options.recompute
        or problem.matching
        or any(min(problem.sizes[a], problem.sizes[b]) > 0 for _, a, b in options.in_place)
    ):
        return None
    streamable, pinned = set(options.streamable), set(options.pinned)
    inputs = [graph.inputs[o].tolist() for o in range(graph.n_operators)]
    outputs = [graph.outputs[o].tolist() for o in range(graph.n_operators)]
    names = list(graph.tensor_names)
    for o, t in options.streamable:
        if graph.producer[t] >= 0:
            outputs[int(graph.producer[t])].append(len(names))
            inputs[o].append(len(names))
            names.append(_fresh(f"after {graph.tensor_names[t]}", names))
    needed = [
        [t for t in row if (o, t) not in streamable and t not in pinned]
        for o, row in enumerate(inputs)
    ]
    more = len(names) - graph.n_tensors
    plain = OperatorGraph(
        name=graph.name,
        operator_names=graph.operator_names,
        operator_kinds=graph.operator_kinds,
        workspace=graph.workspace.copy(),
        inputs=Ragged.of(needed),
        outputs=Ragged.of(outputs),
        tensor_names=tuple(names),
        tensor_bytes=np.concatenate([graph.tensor_bytes, np.zeros(more, dtype=np.int64)]),
        is_output=np.concatenate([graph.is_output, np.zeros(more, dtype=np.bool_)]),
        is_constant=np.concatenate([graph.is_constant, np.zeros(more, dtype=np.bool_)]),
    )
    room = problem.room - problem.pinned_bytes
    return MemoryProblem(plain, capacity=room, alignment=problem.alignment)


def _fresh(name: str, taken: list[str]) -> str:
    known = set(taken)
    while name in known:
        name += "'"
    return name


def scaled(bytes_moved: int, options: Options) -> int:
    """Return the least extra cost where the relaxation moves at least so many extra bytes."""
    read, write = options.read_cost, options.write_cost
    if read < write:
        return read * bytes_moved
    return -(-(read + write) * bytes_moved // 2)
