r"""A plain problem that bounds one with options, for searches that know of none.

Every plan of the problem is, with what is not needed left out, a plan of the relaxation:

* *prefetch*: residencies may begin later, at the distance 0;
* *streamed operands*: whoever may stream a tensor does not need it; a tensor of no bytes keeps
  the two operators in order;
* *pinned tensors*: nobody needs them, and the room shrinks by their bytes. That loses nothing:
  they lie at the bottom (see `mapc.models.memory.options.layout`).

In-place pairs have no such counterpart, as they make steps smaller: there is no relaxation then.

**Recomputation.** Of the operators that may run again, let :math:`Z` be some, and let leaving out
the further runs of the others cost at most :math:`\kappa` times as much
(`mapc.models.memory.options.rerun`; the distance is 0 here). What those of :math:`Z` write gets no
bytes, and takes them as workspace of all who touch it: its producer, and its readers but those that
may stream it. A plan without its further runs is one of this relaxation, in which these tensors
stay once they are made: at the steps that are left they need room just when they are used, and no
other tensor has moved. So the least cost of the relaxation, over :math:`\kappa`, is a bound for
each :math:`Z`.

**Cost.** Let the plan's extra loads and writes in the relaxation be :math:`R` and :math:`V` bytes,
and :math:`P` the least possible :math:`R + V`. Its extra cost is at least :math:`r R + v V`: a
source that all its readers may stream has no reader and counts 0 there; any other source is loaded
at least once, and that load alone is compulsory; all other transfers are extra in both. A cheapest
plan writes only what it loads again, so :math:`R \ge V`, :math:`R \ge P / 2`, and

.. math:: r R + v V \ge \begin{cases} v P + (r - v) P / 2 & r \ge v \\ r P & r < v . \end{cases}
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory.options.model import Options
from mapc.models.memory.options.rerun import replaced
from mapc.models.memory.problem import MemoryProblem

Relaxed = tuple[MemoryProblem, int, int]
"""A plain problem, and the fraction of its least cost that a plan with further runs may have."""


def relaxations(problem: MemoryProblem) -> list[Relaxed]:
    """Return plain problems that bound ``problem``, none with in-place pairs.

    One without recomputation. With it two, where they differ: first :math:`Z` of the operators
    that run again for nothing, then of all of use.
    """
    useful = {o: cost for o, cost in replaced(problem).items() if cost[0] < cost[1]}
    free = frozenset(o for o, (each, _) in useful.items() if each == 0)
    dear = [cost for o, cost in useful.items() if o not in free]
    each, instead = min(dear, key=lambda cost: Fraction(*cost), default=(1, 1))
    found = [(relaxation(problem, free), each, instead)]
    if dear:
        found.append((relaxation(problem, frozenset(useful)), 1, 1))
    return [(relaxed, part, whole) for relaxed, part, whole in found if relaxed is not None]


def relaxation(
    problem: MemoryProblem, remade: frozenset[int] = frozenset()
) -> MemoryProblem | None:
    """Return the plain problem whose plans include those of ``problem``; None with in-place pairs.

    That is, of the problem in which no operators but those in ``remade`` may run again. Operators,
    their numbers and their order in the file are the same.
    """
    options, graph = problem.options, problem.graph
    if problem.matching or any(
        min(problem.sizes[a], problem.sizes[b]) > 0 for _, a, b in options.in_place
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
    loose = np.isin(graph.producer, np.array(sorted(remade), dtype=np.int64))
    workspace = problem.workspaces.copy()
    for o in range(graph.n_operators):
        for t in graph.touched[o].tolist():
            workspace[o] += int(problem.sizes[t]) * (bool(loose[t]) and (o, t) not in streamable)
    plain = OperatorGraph(
        name=graph.name,
        operator_names=graph.operator_names,
        operator_kinds=graph.operator_kinds,
        workspace=workspace,
        inputs=Ragged.of(needed),
        outputs=Ragged.of(outputs),
        tensor_names=tuple(names),
        tensor_bytes=np.concatenate([graph.tensor_bytes * ~loose, np.zeros(more, dtype=np.int64)]),
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
