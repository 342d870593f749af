"""Least total over a forest of groups: losses of options and of pairs across edges, exactly.

Dynamic programming over a tree visits it level by level, and a chain has as many levels as
groups. Here a forest is taken apart from all sides at once, as in parallel tree contraction
(Miller and Reif 1985): every round folds leaves into their neighbours, and groups between exactly
two others into an edge between those, an independent set of them at a time. A number of rounds in
the order of the logarithm of the groups is left, each of them a few array operations, and the
plan of what to fold when is the same for all losses. Run backwards, the plan gives the choice,
or, for every option, the least total with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.bits.problem import FloatArray


@dataclass(frozen=True, eq=False)
class Leaves:
    """Groups folded into their one neighbour.

    ``flipped``: the leaf is the edge's second end.
    """

    group: IntArray
    into: IntArray
    edge: IntArray
    flipped: BoolArray


@dataclass(frozen=True, eq=False)
class Links:
    """Groups between two others, folded into a new edge from ``first`` to ``second``."""

    group: IntArray
    first: IntArray
    second: IntArray
    edge_first: IntArray
    flip_first: BoolArray
    edge_second: IntArray
    flip_second: BoolArray
    new: IntArray


class Forest:
    """The order in which a forest is folded.

    Parameters
    ----------
    n : int
        Groups.
    edges : int64[e, 2]
        Without cycles.
    """

    def __init__(self, n: int, edges: IntArray) -> None:
        self.n, self.n_edges = n, len(edges)
        self.rounds: list[Leaves | Links] = []
        self.roots: IntArray = np.zeros(0, dtype=np.int64)
        # fixed, so that the same forest is folded the same way
        self._rank = np.random.default_rng(0).permutation(n)
        self._fold(edges)

    def _fold(self, edges: IntArray) -> None:
        ends, number = edges.copy(), np.arange(len(edges), dtype=np.int64)
        alive = np.ones(self.n, dtype=np.bool_)
        self.total_edges = len(edges)
        while len(ends):
            ends, number = self._fold_leaves(ends, number, alive)
            ends, number = self._fold_links(ends, number, alive)
        self.roots = np.flatnonzero(alive)

    def _fold_leaves(
        self, ends: IntArray, number: IntArray, alive: BoolArray
    ) -> tuple[IntArray, IntArray]:
        degree = np.bincount(ends.ravel(), minlength=self.n)
        leaf = degree[ends] == 1
        # of two groups that only have each other, the second one goes
        leaf[:, 0] &= ~leaf[:, 1]
        folded = leaf.any(axis=1)
        if folded.any():
            flipped = leaf[folded, 1]
            pair = ends[folded]
            group = np.where(flipped, pair[:, 1], pair[:, 0])
            into = np.where(flipped, pair[:, 0], pair[:, 1])
            self.rounds.append(Leaves(group, into, number[folded], flipped))
            alive[group] = False
        return ends[~folded], number[~folded]

    def _fold_links(
        self, ends: IntArray, number: IntArray, alive: BoolArray
    ) -> tuple[IntArray, IntArray]:
        degree = np.bincount(ends.ravel(), minlength=self.n)
        between = degree == 2
        rank = np.where(between, self._rank, -1)
        # an independent set: the groups whose rank is above that of both neighbours
        top = np.full(self.n, -1)
        np.maximum.at(top, ends[:, 0], rank[ends[:, 1]])
        np.maximum.at(top, ends[:, 1], rank[ends[:, 0]])
        group = np.flatnonzero(between & (rank > top))
        if not len(group):
            return ends, number
        at = np.full(self.n, -1)
        at[group] = np.arange(len(group))
        flat = np.flatnonzero((at[ends] >= 0).ravel())
        side = flat[np.argsort(at[ends.ravel()[flat]], kind="stable")].reshape(-1, 2)
        edge, own = side // 2, side % 2
        other = ends[edge, 1 - own]
        new = self.total_edges + np.arange(len(group), dtype=np.int64)
        self.rounds.append(
            Links(
                group,
                other[:, 0],
                other[:, 1],
                number[edge[:, 0]],
                own[:, 0] == 0,
                number[edge[:, 1]],
                own[:, 1] == 1,
                new,
            )
        )
        alive[group] = False
        self.total_edges += len(group)
        kept = np.ones(len(ends), dtype=np.bool_)
        kept[edge.ravel()] = False
        return (
            np.concatenate([ends[kept], other]),
            np.concatenate([number[kept], new]),
        )

    def solve(self, own: FloatArray, tables: FloatArray) -> Folded:
        """Fold the forest.

        Parameters
        ----------
        own : float64[n, w]
            Of every option; infinite where a group has fewer.
        tables : float64[e, w, w]
            Of every pair of options across an edge, finite.
        """
        return Folded(self, own, tables)


class Folded:
    """A forest folded under some losses.

    Attributes
    ----------
    total : float
        The least total of all trees.
    """

    def __init__(self, forest: Forest, own: FloatArray, tables: FloatArray) -> None:
        self.forest = forest
        self.own = own.copy()
        width = own.shape[1]
        self.tables = np.zeros((forest.total_edges, width, width))
        self.tables[: forest.n_edges] = tables
        for step in forest.rounds:
            if isinstance(step, Leaves):
                np.add.at(self.own, step.into, self._message(step))
            else:
                first, second = self._sides(step)
                through = first + self.own[step.group][:, np.newaxis, :]
                self.tables[step.new] = _least_sum(through, second)
        self.total = float(self.own[forest.roots].min(axis=1).sum())

    def _oriented(self, edge: IntArray, flipped: BoolArray) -> FloatArray:
        table = self.tables[edge]
        return np.where(flipped[:, np.newaxis, np.newaxis], table.transpose(0, 2, 1), table)

    def _sides(self, step: Links) -> tuple[FloatArray, FloatArray]:
        """Tables from the first neighbour to the group, and from the group to the second."""
        return (
            self._oriented(step.edge_first, step.flip_first),
            self._oriented(step.edge_second, step.flip_second),
        )

    def _message(self, step: Leaves) -> FloatArray:
        """float64[f, w]: least of leaf and edge, for every option of the neighbour."""
        table = self._oriented(step.edge, step.flipped)
        return np.asarray((table + self.own[step.group][:, :, np.newaxis]).min(axis=1))

    def choice(self) -> IntArray:
        """int64[n]: rows of a choice of the least total."""
        row = np.zeros(self.forest.n, dtype=np.int64)
        row[self.forest.roots] = self.own[self.forest.roots].argmin(axis=1)
        for step in reversed(self.forest.rounds):
            many = np.arange(len(step.group))
            value = self.own[step.group]
            if isinstance(step, Leaves):
                table = self._oriented(step.edge, step.flipped)
                value = value + table[many, :, row[step.into]]
            else:
                first, second = self._sides(step)
                value = value + first[many, row[step.first]] + second[many, :, row[step.second]]
            row[step.group] = value.argmin(axis=1)
        return row

    def with_each(self) -> FloatArray:
        """float64[n, w]: the least total of its tree with every option, above the least."""
        least = np.full_like(self.own, np.inf)
        roots = self.forest.roots
        least[roots] = self.own[roots]
        outside = np.zeros_like(self.tables)
        for step in reversed(self.forest.rounds):
            own = self.own[step.group]
            if isinstance(step, Leaves):
                rest = least[step.into] - self._message(step)
                around = own[:, :, np.newaxis] + rest[:, np.newaxis, :]
                table = self._oriented(step.edge, step.flipped)
                least[step.group] = (table + around).min(axis=2)
                self._put(outside, step.edge, step.flipped, around)
                continue
            first, second = self._sides(step)
            beyond = outside[step.new]
            left = own[:, np.newaxis, :] + _least_sum(beyond, second.transpose(0, 2, 1))
            right = own[:, :, np.newaxis] + _least_sum(first.transpose(0, 2, 1), beyond)
            least[step.group] = (first + left).min(axis=1)
            self._put(outside, step.edge_first, step.flip_first, left)
            self._put(outside, step.edge_second, step.flip_second, right)
        return np.asarray(least - least.min(axis=1, keepdims=True))

    @staticmethod
    def _put(outside: FloatArray, edge: IntArray, flipped: BoolArray, value: FloatArray) -> None:
        turned = value.transpose(0, 2, 1)
        outside[edge] = np.where(flipped[:, np.newaxis, np.newaxis], turned, value)


def _least_sum(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return ``min_b left[:, a, b] + right[:, b, c]``."""
    best = left[:, :, :1] + right[:, :1, :]
    for at in range(1, left.shape[2]):
        np.minimum(best, left[:, :, at : at + 1] + right[:, at : at + 1, :], out=best)
    return best


def spanning_forest(n: int, edges: IntArray, weight: IntArray) -> IntArray:
    """Return the edges, int64[f], of a spanning forest of the most weight (Kruskal 1956)."""
    parent = list(range(n))

    def find(group: int) -> int:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    kept = []
    for at in np.argsort(-weight, kind="stable").tolist():
        first, second = find(int(edges[at, 0])), find(int(edges[at, 1]))
        if first != second:
            parent[first] = second
            kept.append(at)
    return np.array(sorted(kept), dtype=np.int64)
