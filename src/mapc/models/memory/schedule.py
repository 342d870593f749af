"""What a fixed order says about every tensor: its uses, and the links between them.

A *use* is a step at which a tensor must be resident (production included). A *link* joins two
consecutive uses; kept, the tensor stays where it is between them; lost, it leaves the scratchpad
and is loaded again. Links between adjacent steps cover no step: losing one only buys the right to
a new address.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mapc.graph.operators import BoolArray, IntArray, steps_of
from mapc.models.memory.problem import MemoryProblem


@dataclass(frozen=True, eq=False)
class Schedule:
    """An order of the operators with its uses and links.

    Attributes
    ----------
    problem : MemoryProblem
    order : int64[n_operators]
    """

    problem: MemoryProblem
    order: IntArray

    @cached_property
    def position(self) -> IntArray:
        """int64[n_operators]: the step at which each operator runs."""
        return steps_of(self.order)

    @cached_property
    def uses(self) -> tuple[IntArray, IntArray]:
        """Tensor and step of every use, by tensor, then step."""
        touched = self.problem.graph.touched
        step = self.position[touched.row_of]
        by = np.lexsort((step, touched.values))
        return touched.values[by], step[by]

    @cached_property
    def links(self) -> tuple[IntArray, IntArray, IntArray]:
        """Tensor, step before and step after, of every link; by tensor, then step."""
        tensor, step = self.uses
        same = tensor[1:] == tensor[:-1]
        return tensor[1:][same], step[:-1][same], step[1:][same]

    @cached_property
    def covers(self) -> BoolArray:
        """bool[links]: the link covers at least one step strictly between its uses."""
        _, before, after = self.links
        return after > before + 1

    @cached_property
    def needed(self) -> IntArray:
        """int64[steps]: bytes of the working set at each step."""
        return self.problem.working_set[self.order]

    def held(self, keep: BoolArray) -> IntArray:
        """int64[steps]: bytes held by kept links strictly between uses, at each step."""
        tensor, before, after = self.links
        change = np.zeros(len(self.order) + 1, dtype=np.int64)
        sizes = self.problem.sizes[tensor[keep]]
        np.add.at(change, before[keep] + 1, sizes)
        np.add.at(change, after[keep], -sizes)
        return np.cumsum(change)[:-1]

    @property
    def peak(self) -> int:
        """Bytes needed to run the order with nothing lost."""
        keep = np.ones(len(self.links[0]), dtype=np.bool_)
        return int((self.needed + self.held(keep)).max())

    def cost(self, keep: BoolArray) -> int:
        """Extra bytes of a choice of links: a reload for each lost one, one write a tensor."""
        lost = self.links[0][~keep]
        sizes = self.problem.sizes
        spilled = np.unique(lost)
        spilled = spilled[self.problem.pays_write[spilled]]
        return int(sizes[lost].sum() + sizes[spilled].sum())

    def residencies(self, keep: BoolArray) -> tuple[IntArray, IntArray, IntArray, BoolArray]:
        """Tensor, start, stop and written flag of every residency, by tensor, then start.

        A residency is a run of uses joined by kept links. The first one of a tensor writes it out
        where it is an output, or is lost later and has no copy yet.
        """
        graph = self.problem.graph
        tensor, step = self.uses
        first_use = np.ones(len(tensor), dtype=np.bool_)
        first_use[1:] = tensor[1:] != tensor[:-1]
        begins = first_use.copy()
        begins[np.flatnonzero(~first_use)] = ~keep
        ends = np.ones(len(tensor), dtype=np.bool_)
        ends[:-1] = begins[1:]
        of = tensor[begins]
        first = first_use[begins]
        lost = np.zeros(graph.n_tensors, dtype=np.bool_)
        lost[of[~first]] = True
        writes = (lost & self.problem.pays_write) | (graph.is_output & ~graph.is_source)
        return of, step[begins], step[ends] + 1, first & writes[of]


def evict_by_next_use(schedule: Schedule, by_cost: bool = False) -> BoolArray:
    """Keep links greedily: when space runs out, lose the one whose next use is farthest.

    Belady's rule; ``by_cost`` weighs the distance with the bytes a loss pays per byte it frees.
    Returns bool[links], a choice that fits the capacity at every step. Needs no solver.
    """
    problem = schedule.problem
    tensor, before, after = schedule.links
    room = problem.room
    keep = np.ones(len(tensor), dtype=np.bool_)
    starting: list[list[int]] = [[] for _ in range(len(schedule.order) + 1)]
    for link in np.flatnonzero(schedule.covers).tolist():
        starting[before[link] + 1].append(link)
    sizes = problem.sizes[tensor].tolist()
    pays = problem.pays_write.tolist()
    tensors, ends = tensor.tolist(), after.tolist()
    spilled: set[int] = set()
    held: set[int] = set()
    load = 0
    for step, needed in enumerate(schedule.needed.tolist()):
        for link in [link for link in held if ends[link] == step]:
            held.remove(link)
            load -= sizes[link]
        held.update(starting[step])
        load += sum(sizes[link] for link in starting[step])
        while load + needed > room:

            def farness(link: int, step: int = step) -> tuple[float, int, int]:
                factor = 2 if pays[tensors[link]] and tensors[link] not in spilled else 1
                distance = (ends[link] - step) / (factor if by_cost else 1)
                return (distance, sizes[link], link)

            victim = max((link for link in held if sizes[link]), key=farness)
            held.remove(victim)
            load -= sizes[victim]
            keep[victim] = False
            spilled.add(tensors[victim])
    return keep
