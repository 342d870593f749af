"""Plans of memory problems, good and bad, and what they hold, byte by byte."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import mapc
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem


@st.composite
def any_plan(draw: st.DrawFn, problem: MemoryProblem) -> MemoryPlan:
    """Draw a plan that names what exists, and breaks whatever rules it likes.

    Residencies of one tensor stay apart, as only then the verifier's counts mean something.
    """
    graph = problem.graph
    again = [o for o, _ in problem.options.recompute]
    more = draw(st.lists(st.sampled_from(again), max_size=3)) if again else []
    order = draw(st.permutations([*range(graph.n_operators), *more]))
    n, banks = len(order), max(1, len(problem.options.banks))
    rows = []
    for t in range(graph.n_tensors):
        ends = sorted(draw(st.sets(st.integers(0, n), max_size=4)))
        for start, stop in zip(ends[::2], ends[1::2], strict=False):
            place = draw(st.integers(0, 20)), draw(st.booleans()), draw(st.integers(0, banks - 1))
            rows.append((t, start, stop, *place))
    rows.sort(key=lambda row: (row[1], row[0]))
    columns = np.array(rows, dtype=np.int64).reshape(-1, 6).T
    reads = st.tuples(st.integers(0, n - 1), st.integers(0, graph.n_tensors - 1))
    streamed = sorted(draw(st.sets(reads, max_size=4)))
    works = draw(st.lists(st.integers(0, 20), min_size=n, max_size=n))
    return MemoryPlan(
        order=np.array(order, dtype=np.int64),
        tensor=columns[0],
        start=columns[1],
        stop=columns[2],
        address=columns[3],
        written=columns[4].astype(np.bool_),
        workspace_address=np.array(works, dtype=np.int64),
        streamed=np.array(streamed, dtype=np.int64).reshape(-1, 2),
        bank=columns[5],
        workspace_bank=np.array(works, dtype=np.int64) % banks,
    )


def solved(problem: MemoryProblem, seed: int = 0) -> MemoryPlan | None:
    """Return the plan of a run without a clock, or None where there is none."""
    plan: MemoryPlan | None = mapc.solve(problem, time_limit=None, seed=seed).plan
    return plan


def bytes_in_use(problem: MemoryProblem, plan: MemoryPlan) -> list[list[set[int]]]:
    """Return the addresses in use, one set for every step and bank; for small problems."""
    graph, unit = problem.graph, problem.alignment
    found = []
    seen: dict[int, int] = {}
    further = graph.n_operators
    for step, o in enumerate(plan.order.tolist()):
        run = o
        if o in seen:
            run, further = further, further + 1
        seen[o] = run
        banks: list[set[int]] = [set() for _ in problem.options.banks or [0]]
        for r in range(len(plan.tensor)):
            if plan.start[r] <= step < plan.stop[r]:
                size = -(-int(graph.tensor_bytes[plan.tensor[r]]) // unit) * unit
                low = int(plan.address[r])
                banks[int(plan.bank[r])] |= set(range(low, low + size))
        size = -(-int(graph.workspace[o]) // unit) * unit
        low = int(plan.workspace_address[run])
        banks[int(plan.workspace_bank[run])] |= set(range(low, low + size))
        found.append(banks)
    return found
