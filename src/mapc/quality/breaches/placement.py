"""Ways to break placements of experts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import EQUAL, PlacementProblem
from mapc.quality.breaking import Breach

CLEARLY = 1 + 1e-6
"""Factor above a limit of sums of quotients that no rounding makes."""


def breaches(problem: PlacementProblem, plan: PlacementPlan) -> Iterator[Breach]:
    """Yield plans that break one rule of `mapc.models.placement.verify` each."""
    it = _Breaker(problem, plan)
    for found in (
        it.unknown(),
        it.missing(),
        it.twice(),
        it.dead(),
        it.pins(),
        it.moves(),
        it.overload(),
        it.split(),
    ):
        yield from found


class _Breaker:
    """A plan, and which expert is where."""

    def __init__(self, problem: PlacementProblem, plan: PlacementPlan) -> None:
        self.problem, self.plan, self.slots = problem, plan, plan.slots
        self.copies = plan.replicas(problem.n_experts)
        self.held = self.held_by(plan.slots)

    def held_by(self, slots: IntArray) -> BoolArray:
        """bool[L, E, G]: whether an expert is on a rank."""
        held = np.zeros((len(slots), self.problem.n_experts, self.problem.n_ranks), dtype=np.bool_)
        layer, rank, slot = np.nonzero(slots >= 0)
        held[layer, slots[layer, rank, slot], rank] = True
        return held

    def places(self) -> Iterator[tuple[int, int, int, int]]:
        """Layer, rank, slot and expert of the first layer's slots in use."""
        for rank, slot in np.argwhere(self.slots[0] >= 0).tolist():
            yield 0, rank, slot, int(self.slots[0, rank, slot])

    def having(self, place: tuple[int, int, int], expert: int) -> PlacementPlan:
        slots = self.slots.copy()
        slots[place] = expert
        return replace(self.plan, slots=slots)

    # -- slots ---------------------------------------------------------------------------------

    def unknown(self) -> Iterator[Breach]:
        place = (0, int(self.problem.live[0]), 0)
        yield Breach("a slot has an unknown expert", self.having(place, self.problem.n_experts))

    def missing(self) -> Iterator[Breach]:
        """Another expert takes the place of one that has no other."""
        for layer, rank, slot, expert in self.places():
            absent = np.flatnonzero(~self.held[layer, :, rank])
            if self.copies[layer, expert] == 1 and len(absent):
                changed = self.having((layer, rank, slot), int(absent[0]))
                yield Breach("an expert is on no rank", changed)
                return

    def twice(self) -> Iterator[Breach]:
        """An expert that has other copies makes way for a second one of its neighbour."""
        if self.problem.slots < 2:
            return
        places = sorted(self.places(), key=lambda at: -int(self.copies[at[0], at[3]]))
        for layer, rank, slot, _ in places[:1]:
            neighbour = int(self.slots[layer, rank, (slot + 1) % self.problem.slots])
            changed = self.having((layer, rank, slot), neighbour)
            yield Breach("an expert is on one rank twice", changed)

    def dead(self) -> Iterator[Breach]:
        for rank in np.flatnonzero(self.problem.dead)[:1].tolist():
            yield Breach("a dead rank has an expert", self.having((0, rank, 0), 0))

    # -- rules of the problem ------------------------------------------------------------------

    def pins(self) -> Iterator[Breach]:
        for layer, expert, rank in self.problem.pinned.tolist():
            found = self.swapped(layer, expert, rank, away=True)
            if found is not None:
                yield Breach("a pinned expert is elsewhere", found)
                break
        for layer, expert, rank in self.problem.forbidden.tolist():
            found = self.swapped(layer, expert, rank, away=False)
            if found is not None:
                yield Breach("an expert is where it is forbidden", found)
                break

    def swapped(self, layer: int, expert: int, rank: int, away: bool) -> PlacementPlan | None:
        """Exchange an expert with one of another rank, away from a rank or towards it."""
        if self.plan.split is not None:
            return None
        held = self.held[layer]
        ranks = np.flatnonzero(~held[expert] if away else held[expert])
        for other in (int(g) for g in ranks if not self.problem.dead[g] and g != rank):
            source, target = (rank, other) if away else (other, rank)
            for slot in range(self.problem.slots):
                guest = int(self.slots[layer, target, slot])
                if guest >= 0 and not held[guest, source] and held[expert, source]:
                    slots = self.slots.copy()
                    slots[layer, target, slot] = expert
                    slots[layer, source, self.slots[layer, source] == expert] = guest
                    return replace(self.plan, slots=slots)
        return None

    def moves(self) -> Iterator[Breach]:
        """Hand the slots of every rank to the next one, if that moves more than allowed."""
        problem = self.problem
        if problem.current is None or problem.max_moves is None or self.plan.split is not None:
            return
        slots = self.slots.copy()
        slots[:, problem.live] = np.roll(self.slots[:, problem.live], 1, axis=1)
        new = self.held_by(slots) & ~self.held_by(problem.current)
        if int(new.sum()) > problem.max_moves:
            yield Breach("more experts move than may", replace(self.plan, slots=slots))

    def overload(self) -> Iterator[Breach]:
        """Without replicas: the busiest experts of the first layer together on the first rank."""
        problem = self.problem
        plain = problem.dispatch == EQUAL and problem.n_slots == problem.n_experts
        if problem.max_imbalance is None or not plain:
            return
        order = np.argsort(-problem.counts[0, 0], kind="stable")
        slots = self.slots.copy()
        slots[0, problem.live] = order.reshape(len(problem.live), problem.slots)
        speed = np.asarray(problem.cluster.speed, dtype=np.float64)[problem.live]
        load = problem.counts[0, 0][slots[0, problem.live]].sum(axis=1) / speed
        if float(load.max() / load.mean()) > problem.max_imbalance * CLEARLY:
            yield Breach("a rank has more load than the limit", replace(self.plan, slots=slots))

    def split(self) -> Iterator[Breach]:
        given = self.plan.split
        if given is None:
            return
        at = tuple(np.argwhere(given > 0)[0].tolist()) if (given > 0).any() else None
        if at is not None:
            changed = given.copy()
            changed[at] -= 1
            yield Breach("the split loses a token", replace(self.plan, split=changed))
        for expert in np.flatnonzero(self.copies[0] > 1)[:1].tolist():
            one, other = np.argwhere(self.slots[0] == expert)[:2].tolist()
            changed = given.copy()
            tokens = changed[0, 0, 0]
            tokens[tuple(other)] += tokens[tuple(one)] + 1
            tokens[tuple(one)] = -1
            yield Breach("a slot takes fewer tokens than none", replace(self.plan, split=changed))
