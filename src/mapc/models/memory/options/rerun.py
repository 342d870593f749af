r"""Further runs of operators: where they may help, and which to carry out.

**When a further run cannot help.** Let a run of operator :math:`p` cost :math:`c_p`, and

.. math:: R_p = \sum_{t \in \mathit{out}_p,\ t\ \text{read}} s_t (r + v\, \mathit{pays}_t) .

A plan with a further run of :math:`p` becomes one without by loading instead what that run begins
a residency of: the first residency of each such tensor writes it out (an output of the network,
earlier than it did), and where the residency stays beyond the step, it begins with a load at the
next one. The step goes, and what was there for it alone with it. Nothing new is in the scratchpad
at any step, nothing moves to another address, and the cost changes by :math:`R_p - c_p` at most.
So at a prefetch distance of 0 no plan needs a further run of :math:`p` if :math:`c_p \ge R_p`; and
leaving out all further runs costs at most :math:`\kappa = \max(1, \max_p R_p / c_p)` times as much.

**Where they are tried.** Before a step that reads a tensor which is not kept, or is large and kept
long, its producer may run again: right before that step, or right behind the last use of its own
inputs. What the inputs are not kept for either may be made again before, two levels deep. Which of
these are carried out is decided by `mapc.models.memory.options.rerun_model`, or one after the other
with greedy choices.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.base import Search
from mapc.models.memory.options.greedy import fit
from mapc.models.memory.options.rerun_model import RerunModel
from mapc.models.memory.options.timeline import Choice, Timeline
from mapc.models.memory.problem import MemoryProblem

Found = tuple[Timeline, Choice]
DEPTH = 2
"""Levels of inputs that are made again for a further run."""
OPTIONAL = 160
"""Optional steps of one program."""
TRIALS = 60
"""Links for which greedy choices try a further run, without a clock."""


def replaced(problem: MemoryProblem) -> dict[int, tuple[int, int]]:
    """Return, by operator that may run again, its cost and what loads in its place cost at most.

    The two are :math:`c_p` and :math:`R_p`.
    """
    graph, options = problem.graph, problem.options
    rate = options.read_cost + options.write_cost * problem.pays_write
    cost = problem.sizes * rate * (graph.consumers.lengths > 0)
    return {o: (each, int(cost[graph.outputs[o]].sum())) for o, each in options.recompute}


def of_use(problem: MemoryProblem) -> frozenset[int]:
    """Return the operators whose further runs may save anything by what they write.

    At a prefetch distance above 0 a run of any other that may run again still takes a step, in
    which loads go on, and may pay for that; none is tried. No bound rests on this choice.
    """
    early = problem.options.prefetch > 0
    costs = replaced(problem).items()
    return frozenset(o for o, (each, instead) in costs if each < instead or (early and instead))


def best_runs(timeline: Timeline, room: int, search: Search) -> Found | None:
    """Choose further runs for an order, and what to keep, stream and take over with them.

    Parameters
    ----------
    timeline : Timeline
        May have further runs already; they may be dropped.
    room : int
        Bytes to fit into.
    search : Search

    Returns
    -------
    timeline, choice
        The order with the runs chosen; None where nothing is found that fits.
    """
    greedy = improve_runs(timeline, room, search)
    if greedy is None or timeline.problem.options.prefetch or search.done():
        return greedy
    order, optional, carried = extended(*greedy)
    if not optional.any():
        return greedy
    model = RerunModel(Timeline(timeline.problem, order), optional, room)
    model.start_from(*greedy, carried)
    solution = search.solve(model.program, time=max(1.0, search.remaining() / 3), work=20.0)
    return greedy if solution.values is None else model.chosen(solution.values)


def improve_runs(timeline: Timeline, room: int, search: Search) -> Found | None:
    """Add further runs one after the other, as long as greedy choices become cheaper.

    Returns
    -------
    timeline, choice
        None where no greedy choice fits.
    """
    choice = fit(timeline, room)
    if choice is None:
        return None
    tried: set[tuple[int, int]] = set()
    while not search.done() and not (search.deterministic and len(tried) >= TRIALS):
        link = next(
            (one for one in _links(timeline, choice, True) if _who(timeline, one) not in tried),
            None,
        )
        if link is None:
            break
        tried.add(_who(timeline, link))
        runs = _Runs(timeline)
        runs.add_for(link)
        candidate = Timeline(timeline.problem, runs.order()[0])
        found = fit(candidate, room)
        if found is not None and candidate.cost(found) < timeline.cost(choice):
            timeline, choice = candidate, found
    return timeline, choice


def extended(timeline: Timeline, choice: Choice) -> tuple[IntArray, BoolArray, BoolArray]:
    """Add steps to an order at which further runs may help: those of what is lost first.

    Returns
    -------
    order : int64[n]
    optional : bool[n]
        All further runs, those of the given order as well.
    carried : bool[n]
        Those of the given order.
    """
    runs = _Runs(timeline)
    for lost in (True, False):
        for link in _links(timeline, choice, lost):
            if runs.count >= OPTIONAL:
                break
            runs.add_for(link)
            runs.add_for(link, early=True)
    return runs.order()


def _links(timeline: Timeline, choice: Choice, lost: bool) -> list[int]:
    """Links into reads whose producer may be of use again: lost or kept, largest areas first."""
    problem, before = timeline.problem, timeline.before
    useful = np.zeros(problem.graph.n_operators + 1, dtype=np.bool_)
    useful[list(of_use(problem))] = True  # the last one stays: sources have producer -1
    between = timeline.step[before + 1] - timeline.step[before]
    area = timeline.size[before] * (between if lost else between - 1)  # in place none is between
    some = useful[problem.graph.producer[timeline.tensor[before]]] & timeline.into_read
    some &= (choice.keep != lost) & (area > 0)
    links = np.flatnonzero(some)
    by: list[int] = links[np.argsort(-area[links], kind="stable")].tolist()
    return by


def _who(timeline: Timeline, link: int) -> tuple[int, int]:
    """Tensor and run that reads it at the end of a link: the same when steps are inserted."""
    reader = int(timeline.before[link]) + 1
    return int(timeline.tensor[reader]), int(timeline.operator[reader])


class _Runs:
    """Further runs, by the step of the order before which they stand."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.useful = of_use(timeline.problem)
        self.at: dict[int, set[int]] = defaultdict(set)
        steps = len(timeline.order) + 1
        self.codes = timeline.tensor * steps + timeline.step

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(len(operators) for operators in self.at.values())

    def add_for(self, link: int, early: bool = False) -> None:
        """Add one for the read at the end of a link.

        Right before it, or ``early``, behind the last use of the inputs, if that lies in between.
        """
        timeline, graph = self.timeline, self.timeline.problem.graph
        use = int(timeline.before[link])
        producer, before = int(graph.producer[timeline.tensor[use]]), int(timeline.step[use + 1])
        if early:
            inputs = graph.inputs[producer].tolist()
            behind = max((self.last_use(t, before) for t in inputs), default=-1) + 1
            if not timeline.step[use] + 1 < behind < before:
                return
            before = behind
        self.add(producer, before, DEPTH)

    def add(self, operator: int, step: int, depth: int) -> None:
        """Add a run before a step, and runs before it for inputs that were used long ago."""
        if operator == self.timeline.order[step]:
            return
        self.at[step].add(operator)
        graph = self.timeline.problem.graph
        for t in graph.inputs[operator].tolist() if depth else []:
            producer = int(graph.producer[t])
            if producer in self.useful and self.last_use(t, step) < step - 1:
                self.add(producer, step, depth - 1)

    def last_use(self, tensor: int, step: int) -> int:
        """Return the last step before ``step`` at which a tensor is used; -1 for none."""
        steps = len(self.timeline.order) + 1
        at = int(np.searchsorted(self.codes, tensor * steps + step)) - 1
        same = at >= 0 and self.timeline.tensor[at] == tensor
        return int(self.timeline.step[at]) if same else -1

    def order(self) -> tuple[IntArray, BoolArray, BoolArray]:
        """Return the order with these runs; which may be left out; which of those were there."""
        timeline = self.timeline
        again = timeline.run >= timeline.problem.graph.n_operators
        first = np.zeros(timeline.problem.graph.n_operators, dtype=np.int64)
        first[timeline.order[~again]] = np.flatnonzero(~again)
        order: list[int] = []
        kind: list[int] = []
        for step, operator in enumerate(timeline.order.tolist()):
            new = sorted(self.at.get(step, ()), key=lambda o: int(first[o]))  # producers first
            order += [*new, operator]
            kind += [2] * len(new) + [int(again[step])]
        kinds = np.asarray(kind)
        return np.asarray(order, dtype=np.int64), kinds > 0, kinds == 1
