"""Whether the working set of every operator can be split among banks: small bin packings.

What is there at the step of an operator, whatever else a plan does, are *items*: its inputs that it
may not stream, its outputs, its workspace, and what is pinned; a pair taken in place is one item,
as large as the larger of the two, in a bank that takes both. At one step items fit into a bank if
and only if their sizes, rounded up to the alignment, add up to its usable bytes.

**A plan exists only if, for each operator, some choice of pairs splits.** *Proof.* At the step of
the operator the plan takes over pairs that share no tensor. Those with a streamed input are no
pair, and that input no item; leaving items out, or the input of a pair, which leaves the output,
only frees bytes. So the items of the pairs taken whose input may not be streamed lie apart in
their banks. ∎

**Without prefetch the reverse holds too**, given one choice of banks for pinned tensors with which
all operators split: keep nothing between steps, stream all that may be, and stack what is there at
each step. `stack` does that.

The packing is a depth-first search over items, largest first, into banks, tightest first; remaining
bytes that failed are remembered. It gives up, and proves nothing, after `LIMIT` states.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np

from mapc.graph.operators import BoolArray
from mapc.models.memory.options.model import Triple
from mapc.models.memory.problem import MemoryProblem

LIMIT = 20_000
"""States of one packing."""
CHOICES = 256
"""Choices of banks for pinned tensors that are tried."""
WORKSPACE = -1

Rooms = tuple[int, ...]


@dataclass(frozen=True)
class Item:
    """Something that lies in one bank at a step: tensors in place of each other, or a workspace."""

    tensors: tuple[int, ...]
    size: int
    takes: tuple[int, ...]


@dataclass(frozen=True)
class Split:
    """Pairs taken at an operator, and the bank of every tensor of it; workspaces are ``WORKSPACE``.

    ``bank`` is None where there is no such split; ``proven`` says that none exists.
    """

    pairs: tuple[Triple, ...]
    bank: dict[int, int] | None
    proven: bool


def matchings(problem: MemoryProblem, o: int) -> Iterator[tuple[Triple, ...]]:
    """Yield sets of pairs of an operator that share no tensor and whose input is not streamed.

    The one that saves most comes first.
    """
    streamable, sizes = set(problem.options.streamable), problem.sizes
    pairs = [
        pair
        for pair in problem.options.in_place
        if pair[0] == o and (o, pair[1]) not in streamable and min(sizes[list(pair[1:])]) > 0
    ]
    best = tuple(pair for pair in problem.matching if pair[0] == o)
    yield best
    for k in range(len(pairs) + 1):
        for some in combinations(pairs, k):
            tensors = [t for pair in some for t in pair[1:]]
            if len(set(tensors)) == len(tensors) and some != best:
                yield some


def items_of(problem: MemoryProblem, o: int, pairs: tuple[Triple, ...]) -> list[Item]:
    """Return what has to be there while an operator runs, pinned tensors aside."""
    graph, sizes, takes = problem.graph, problem.sizes, problem.takes
    out = {t for p, t in problem.options.streamable if p == o} | set(problem.options.pinned)
    single = [t for t in graph.touched[o].tolist() if t not in out]
    found = []
    for _, a, b in pairs:
        banks: BoolArray = takes[a] & takes[b]
        found.append(Item((a, b), int(max(sizes[a], sizes[b])), _indices(banks)))
    taken = {t for pair in pairs for t in pair[1:]}
    found += [Item((t,), int(sizes[t]), _indices(takes[t])) for t in single if t not in taken]
    every = tuple(range(len(problem.options.banks)))
    if problem.workspaces[o]:
        found.append(Item((WORKSPACE,), int(problem.workspaces[o]), every))
    return found


def pinned_items(problem: MemoryProblem) -> list[Item]:
    """Return the pinned tensors."""
    sizes, takes = problem.sizes, problem.takes
    return [Item((t,), int(sizes[t]), _indices(takes[t])) for t in problem.options.pinned]


def _indices(flags: BoolArray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(flags).tolist())


def pack(items: list[Item], rooms: Rooms) -> tuple[dict[int, int] | None, bool]:
    """Return a bank for every tensor of the items, and whether it is proven that there is none.

    Parameters
    ----------
    items : list of Item
    rooms : tuple of int
        Bytes left in the banks.
    """
    items = sorted(items, key=lambda item: -item.size)
    failed: set[tuple[int, Rooms]] = set()
    chosen: list[int] = []
    path = [(rooms, _ways(items, 0, rooms))]
    while path and len(chosen) < len(items):
        left, ways = path[-1]
        way = next(ways, None)
        if way is None:
            failed.add((len(path) - 1, left))
            if len(failed) >= LIMIT:
                return None, False
            path.pop()
            if chosen:
                chosen.pop()
        elif (len(path), way[1]) not in failed:
            chosen.append(way[0])
            path.append((way[1], _ways(items, len(path), way[1])))
    if not path:
        return None, True
    of = zip(items, chosen, strict=True)
    return {t: bank for item, bank in of for t in item.tensors}, False


def _ways(items: list[Item], at: int, rooms: Rooms) -> Iterator[tuple[int, Rooms]]:
    """Yield banks for an item, tightest first, of equal ones the first, and what is left then."""
    seen = set()
    for bank in sorted(items[at].takes, key=lambda bank: rooms[bank]) if at < len(items) else ():
        left = rooms[bank] - items[at].size
        after = (*rooms[:bank], left, *rooms[bank + 1 :])
        if left >= 0 and after not in seen:
            seen.add(after)
            yield bank, after


def split(problem: MemoryProblem, o: int, rooms: Rooms, more: list[Item] | None = None) -> Split:
    """Split the working set of an operator, and ``more``, among banks."""
    proven = True
    for pairs in matchings(problem, o):
        bank, impossible = pack(items_of(problem, o, pairs) + (more or []), rooms)
        if bank is not None:
            return Split(pairs, bank, False)
        proven &= impossible
    return Split((), None, proven)


def unsplittable(problem: MemoryProblem) -> int | None:
    """Return an operator whose working set, with what is pinned, provably does not split, or None.

    Parameters
    ----------
    problem : MemoryProblem
        With banks.
    """
    if splits(problem) is not None:
        return None
    rooms: Rooms = tuple(problem.bank_rooms.tolist())
    pinned = pinned_items(problem)
    for o in range(problem.graph.n_operators):
        found = split(problem, o, rooms, pinned)
        if found.bank is None and found.proven:
            return o
    return None


@lru_cache(maxsize=4)
def splits(problem: MemoryProblem) -> tuple[dict[int, int], list[Split]] | None:
    """Return banks of pinned tensors with which all operators split, and these splits; or None.

    None proves nothing: only so many choices of banks are tried.
    """
    rooms: Rooms = tuple(problem.bank_rooms.tolist())
    for bank, left in _pinned(pinned_items(problem), rooms):
        found = []
        for o in range(problem.graph.n_operators):
            found.append(split(problem, o, left))
            if found[-1].bank is None:
                break
        else:
            return bank, found
    return None


def _pinned(items: list[Item], rooms: Rooms) -> Iterator[tuple[dict[int, int], Rooms]]:
    """Yield choices of banks for pinned tensors, by different rooms they leave."""
    states: dict[Rooms, Any] = {rooms: None}
    for item in sorted(items, key=lambda item: -item.size):
        after: dict[Rooms, Any] = {}
        for left, chosen in states.items():
            for b in item.takes:
                if left[b] >= item.size:
                    key = (*left[:b], left[b] - item.size, *left[b + 1 :])
                    after.setdefault(key, (item.tensors[0], b, chosen))
        # those that leave the largest bank free first: large items have to go somewhere
        states = dict(sorted(after.items(), key=lambda kept: -max(kept[0]))[:CHOICES])
    for left, chosen in states.items():
        bank = {}
        while chosen is not None:
            t, b, chosen = chosen
            bank[t] = b
        yield bank, left
