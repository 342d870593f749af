r"""What must be live beside one operator, whatever runs before it: a minimum cut.

At the step of operator ``o`` the operators that ran before, :math:`D`, are closed under
predecessors, hold all that precedes ``o``, and neither ``o`` nor anything behind it. A tensor that
``o`` does not touch is *live* there when it has been used (its producer is in :math:`D`; for a
source, some reader) and some reader is not in :math:`D`. In any plan it is then either resident
at this step, or off and loaded again later.

**Least live bytes.** :math:`L_o = \min_D \sum_{t\ \text{live}} s_t`. No order runs without extra
traffic in less than :math:`\max_o (W_o + L_o)` bytes, since in such a plan all that is live is
resident.

**Extra traffic.** A live tensor that is off costs a load, and a write if it pays one
(`MemoryProblem.pays_write`): :math:`c_t \in \{s_t, 2 s_t\}`. Those that are resident fit into
:math:`r = M - W_o` bytes together; so none of them is larger than that. Hence, for any plan, its
:math:`D` and any :math:`\mu \ge 0`,

.. math:: \mathit{extra} \ge \sum_{\text{off}} c_t
   \ge \sum_{\text{off}} c_t + \mu \Bigl(\sum_{\text{resident}} s_t - r\Bigr)
   \ge \min_D \sum_{t\ \text{live}} w_t - \mu r, \qquad
   w_t = \begin{cases} c_t & s_t > r \\ \min(c_t, \mu s_t) & s_t \le r . \end{cases}

Each off tensor is charged for one load after ``o`` and, if it pays, the one write that precedes
that load; different tensors pay separately, so the first step holds. As the costs per byte are 1
and 2, :math:`\mu` is tried at 0, 1 and 2. For a fixed :math:`D` the better of the last two is the
fractional knapsack or more, so that the bound is never below that of forced spans at one operator:
what is forced live is live for every :math:`D`.

**The cut.** Nodes are the operators that neither precede ``o`` nor follow it, a node :math:`y_t`
(used) for each source, the producer for other tensors, and a node :math:`z_t` (no longer needed).
Being on the side of the source of the flow means being in :math:`D`, used, or no longer needed.
Arcs without limit go from an operator to its predecessors, from a reader to :math:`y_t`, and from
:math:`z_t` to the readers: their tails are on that side only if their heads are. The arc from
:math:`y_t` to :math:`z_t` has the tensor's weight and is cut just where the tensor is live: a
minimum cut has :math:`y_t` on that side only where it must be, :math:`z_t` wherever it may be. ∎

Nothing here depends on the known orders; they only say where it is worth looking. The bounds hold
with and without addresses, for problems without options. The minimum also says what should run
before ``o``: orders come with the bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule

MOST_OPERATORS = 24
"""Operators at which cuts are computed, those with the largest need in the known orders."""
SOURCE, SINK = 0, 1


@dataclass(frozen=True, eq=False)
class Narrowest:
    """What one operator says about every order.

    Attributes
    ----------
    bound : int
        Bytes of peak, or of extra traffic.
    order : int64[n_operators] or None
        The file's order, but with as little live beside that operator as can be, or beside the
        one with the largest need where none raised the bound; None where there was none to look at.
    """

    bound: int
    order: IntArray | None


class Network:
    """A flow network with whole capacities; `cut` is the value of a minimum cut.

    Dinic's algorithm: shortest augmenting paths by levels.
    """

    def __init__(self) -> None:
        self.arcs: list[list[int]] = [[], []]
        self.head: list[int] = []
        self.room: list[int] = []

    def node(self) -> int:
        """Add a node; `SOURCE` and `SINK` are there."""
        self.arcs.append([])
        return len(self.arcs) - 1

    def arc(self, tail: int, head: int, room: int) -> None:
        """Add an arc."""
        self.arcs[tail].append(len(self.head))
        self.head.append(head)
        self.room.append(room)
        self.arcs[head].append(len(self.head))
        self.head.append(tail)
        self.room.append(0)

    def cut(self) -> int:
        """Return the capacity of a minimum cut; uses the network up."""
        total = 0
        while (level := self._levels())[SINK] >= 0:
            at = [0] * len(self.arcs)
            while path := self._path(level, at):
                pushed = min(self.room[a] for a in path)
                for a in path:
                    self.room[a] -= pushed
                    self.room[a ^ 1] += pushed
                total += pushed
        return total

    def reached(self) -> list[bool]:
        """Return which nodes lie on the source's side, after `cut`."""
        return [level >= 0 for level in self._levels()]

    def _levels(self) -> list[int]:
        level = [-1] * len(self.arcs)
        level[SOURCE] = 0
        queue = [SOURCE]
        for node in queue:
            for a in self.arcs[node]:
                head = self.head[a]
                if self.room[a] > 0 and level[head] < 0:
                    level[head] = level[node] + 1
                    queue.append(head)
        return level

    def _path(self, level: list[int], at: list[int]) -> list[int]:
        """Return the arcs of an augmenting path through the levels, none where there is none."""
        path: list[int] = []
        node = SOURCE
        while node != SINK:
            arcs = self.arcs[node]
            while at[node] < len(arcs):
                a = arcs[at[node]]
                if self.room[a] > 0 and level[self.head[a]] == level[node] + 1:
                    path.append(a)
                    node = self.head[a]
                    break
                at[node] += 1
            else:
                if not path:
                    return []
                node = self.head[path.pop() ^ 1]
                at[node] += 1
        return path


def least_live(problem: MemoryProblem, operator: int, weight: IntArray) -> tuple[int, BoolArray]:
    """Return the least weight live at the step of an operator, over all orders.

    Parameters
    ----------
    problem : MemoryProblem
    operator : int
    weight : int64[n_tensors]
        Not negative, e.g. bytes.

    Returns
    -------
    int
        The weight.
    bool[n_operators]
        What runs before the operator where no more is live.
    """
    graph = problem.graph
    before, behind = graph.precedes[:, operator], graph.precedes[operator]
    net = Network()
    free = np.flatnonzero(~before & ~behind)
    place = np.full(graph.n_operators, SINK)
    place[before] = SOURCE
    for o in free.tolist():
        place[o] = SINK if o == operator else net.node()
    where: list[int] = place.tolist()
    limit = int(weight.sum()) + 1
    for o in free.tolist():
        for p in graph.predecessors[o].tolist():
            if where[o] > SINK and where[p] > SINK:
                net.arc(where[o], where[p], limit)
    certain = _add_tensors(problem, net, operator, where, weight)
    total = certain + net.cut()
    reached = np.asarray(net.reached(), dtype=np.bool_)
    return total, reached[place]


def _add_tensors(
    problem: MemoryProblem, net: Network, operator: int, where: list[int], weight: IntArray
) -> int:
    """Add an arc for each tensor that may be live; return the weight of what is for certain."""
    graph = problem.graph
    limit = int(weight.sum()) + 1
    touched = set(graph.touched[operator].tolist())
    certain = 0
    for t in np.flatnonzero((weight > 0) & (graph.consumers.lengths > 0)).tolist():
        if t in touched:
            continue
        readers = [where[c] for c in graph.consumers[t].tolist()]
        producer = int(graph.producer[t])
        used = where[producer] if producer >= 0 else _used(net, readers, limit)
        over = _over(net, readers, limit)
        if used == SOURCE and over == SINK:
            certain += int(weight[t])
        elif used != SINK and over != SOURCE and used != over:
            net.arc(used, over, int(weight[t]))
    return certain


def _used(net: Network, readers: Sequence[int], limit: int) -> int:
    """Return the node of a source that says whether a reader has run."""
    if SOURCE in readers:
        return SOURCE
    open_ = [r for r in readers if r > SINK]
    if len(open_) < 2:
        return open_[0] if open_ else SINK
    node = net.node()
    for reader in open_:
        net.arc(reader, node, limit)
    return node


def _over(net: Network, readers: Sequence[int], limit: int) -> int:
    """Return the node that says whether all readers have run."""
    if SINK in readers:
        return SINK
    open_ = [r for r in readers if r > SINK]
    if len(open_) < 2:
        return open_[0] if open_ else SOURCE
    node = net.node()
    for reader in open_:
        net.arc(node, reader, limit)
    return node


def peak_bound(
    problem: MemoryProblem,
    orders: Sequence[IntArray],
    lower: int = 0,
    done: Callable[[], bool] | None = None,
) -> Narrowest:
    """Return bytes in which no order runs without extra traffic: a lower bound on M_P.

    Parameters
    ----------
    problem : MemoryProblem
        Without options; its capacity is of no interest.
    orders : sequence of int64[n_operators]
        Known orders. An operator with no more than ``lower`` in one of them cannot raise it.
    lower : int
        A bound at hand.
    done : callable, optional
        Whether to stop, asked before each cut.
    """
    need = _need(problem, orders)
    order = None
    for o in np.argsort(-need, kind="stable")[:MOST_OPERATORS].tolist():
        if need[o] <= lower or (done is not None and done()):
            break
        live, before = least_live(problem, o, problem.sizes)
        if (found := int(problem.working_set[o]) + live) > lower:
            lower, order = found, _split(problem, before, o)
    return Narrowest(lower, order)


def traffic_bound(
    problem: MemoryProblem,
    orders: Sequence[IntArray],
    done: Callable[[], bool] | None = None,
) -> Narrowest:
    """Return extra bytes that one operator forces in every order.

    Parameters
    ----------
    problem : MemoryProblem
        Without options, with a capacity.
    orders : sequence of int64[n_operators]
        Known orders. An operator that fits with all that is live in one of them forces nothing.
    done : callable, optional
        Whether to stop, asked before each cut.
    """
    need, sizes, cost = _need(problem, orders), problem.sizes, problem.loss_cost
    best = Narrowest(0, None)
    for o in np.argsort(-need, kind="stable")[:MOST_OPERATORS].tolist():
        left = problem.room - int(problem.working_set[o])
        for price in (0, 1, 2):
            if need[o] <= problem.room or (done is not None and done()):
                return best
            weight = np.where(sizes > left, cost, np.minimum(cost, price * sizes))
            live, before = least_live(problem, o, weight)
            raises = live - price * left > best.bound
            if raises or (price == 2 and best.order is None):
                bound = max(best.bound, live - price * left)
                best = Narrowest(bound, _split(problem, before, o))
    return best


def _split(problem: MemoryProblem, before: BoolArray, operator: int) -> IntArray:
    """Return the file's order with some operators first, then this one, then the others.

    ``before`` is closed under predecessors and holds those of ``operator``.
    """
    given = problem.graph.given_order
    rest = ~before[given] & (given != operator)
    return np.concatenate([given[before[given]], [operator], given[rest]])


def _need(problem: MemoryProblem, orders: Sequence[IntArray]) -> IntArray:
    """int64[n_operators]: least bytes of an operator with all that is live, in known orders."""
    found = np.full(problem.graph.n_operators, np.iinfo(np.int64).max)
    for order in orders:
        schedule = Schedule(problem, order)
        held = schedule.held(np.ones(len(schedule.links[0]), dtype=np.bool_))
        found[order] = np.minimum(found[order], schedule.needed + held)
    return found
