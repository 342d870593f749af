"""Ways to break groups of ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import SequenceProblem
from mapc.quality.breaking import Breach


def breaches(problem: SequenceProblem, plan: SequencePlan) -> Iterator[Breach]:
    """Yield plans that break one rule of `mapc.models.sequence.verify` each."""
    it = _Breaker(problem, plan)
    for found in (
        it.unknown(),
        it.numbers(),
        it.too_many(),
        it.empty(),
        it.memory(),
        it.outside(),
        it.misaligned(),
        it.overlapping(),
    ):
        yield from found


class _Breaker:
    """A plan and what its groups hold."""

    def __init__(self, problem: SequenceProblem, plan: SequencePlan) -> None:
        self.problem, self.plan = problem, plan
        self.groups = range(len(plan.mode))
        self.degree: IntArray = problem.cost.degree[plan.mode]
        padded = -(-problem.lengths // problem.padding) * problem.padding
        self.tokens: IntArray = np.zeros(len(plan.mode), dtype=np.int64)
        np.add.at(self.tokens, plan.group, padded)
        self.most = problem.n_sequences if problem.most is None else problem.most
        self.batches = int(plan.micro_batch.max()) + 1

    def changed(self, group: int, **values: int) -> SequencePlan:
        columns = {}
        for name, value in values.items():
            columns[name] = getattr(self.plan, name).copy()
            columns[name][group] = value
        return replace(self.plan, **columns)

    def meets(self, group: int, first: int) -> bool:
        """Whether another group of the micro-batch has a rank of a group that begins elsewhere."""
        plan, stop = self.plan, first + int(self.degree[group])
        hit = (plan.micro_batch == plan.micro_batch[group]) & (plan.first_rank < stop)
        hit &= first < plan.first_rank + self.degree
        hit[group] = False
        return bool(hit.any())

    def unknown(self) -> Iterator[Breach]:
        modes = self.problem.n_modes
        yield Breach("a group has an unknown mode", self.changed(0, mode=modes))
        group = self.plan.group.copy()
        group[0] = len(self.groups)
        yield Breach("a sequence is in no group", replace(self.plan, group=group))

    def numbers(self) -> Iterator[Breach]:
        """The last micro-batch is numbered one too high."""
        last = self.plan.micro_batch == self.batches - 1
        numbers = np.where(last, self.batches, self.plan.micro_batch)
        rule = "the numbers of micro-batches have a gap"
        yield Breach(rule, replace(self.plan, micro_batch=numbers))

    def too_many(self) -> Iterator[Breach]:
        """Every group is a micro-batch of its own."""
        if len(self.groups) > self.most:
            numbers = np.arange(len(self.groups), dtype=np.int64)
            alone = replace(self.plan, micro_batch=numbers)
            yield Breach("there are too many micro-batches", alone)

    def empty(self) -> Iterator[Breach]:
        """One more micro-batch, of a group without sequences."""
        if self.batches + 1 <= self.most:
            plan = self.plan
            more = SequencePlan(
                micro_batch=np.append(plan.micro_batch, self.batches),
                mode=np.append(plan.mode, plan.mode[0]),
                first_rank=np.append(plan.first_rank, 0),
                group=plan.group,
            )
            yield Breach("a group has no sequence", more)

    def memory(self) -> Iterator[Breach]:
        """A group keeps only some of its ranks, and all of its sequences."""
        cost = self.problem.cost
        for group in self.groups:
            small = (cost.degree < self.degree[group]) & (cost.tokens < self.tokens[group])
            small &= self.degree[group] % cost.degree == 0
            for mode in np.flatnonzero(small)[:1].tolist():
                yield Breach("a group has too many tokens", self.changed(group, mode=mode))
                return

    def outside(self) -> Iterator[Breach]:
        beyond = self.changed(0, first_rank=self.problem.n_ranks)
        yield Breach("a group has ranks that are not there", beyond)

    def misaligned(self) -> Iterator[Breach]:
        """A group moves by one rank, into ranks that are free."""
        for group in self.groups:
            first, degree = int(self.plan.first_rank[group]) + 1, int(self.degree[group])
            fits = first + degree <= self.problem.n_ranks and not self.meets(group, first)
            if degree > 1 and fits:
                rule = "a group starts at no multiple of its ranks"
                yield Breach(rule, self.changed(group, first_rank=first))
                return

    def overlapping(self) -> Iterator[Breach]:
        plan = self.plan
        for group in self.groups:
            there = (plan.micro_batch == plan.micro_batch[group]) & (
                plan.first_rank % self.degree[group] == 0
            )
            there &= plan.first_rank + self.degree[group] <= self.problem.n_ranks
            there[group] = False
            for other in np.flatnonzero(there)[:1].tolist():
                onto = self.changed(group, first_rank=int(plan.first_rank[other]))
                yield Breach("two groups share ranks", onto)
                return
