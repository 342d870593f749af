r"""Bytes that operators with large working sets leave off-chip for one another.

Let F be an antichain of operators, and let every b in F have, for every other b' in F, a path of
tensors to some operator that both precede, on which every tensor has more than :math:`M - W_{b'}`
bytes and pays a write when it leaves first. ``width(b)`` is the smallest tensor on the path that
makes it largest, at its smallest over b'.

**Claim.** The operators of F that have not run cost :math:`2 \sum width` less the largest
:math:`2\,width`, beyond what the other parts of the bound count.

**Proof.** Let :math:`b_1, \dots, b_k` be these operators as they run. When :math:`b_{i+1}` runs,
the end of the path from :math:`b_i` has not run, for :math:`b_{i+1}` precedes it. So some tensor
:math:`x_i` of the path has been produced and not been read by the path's next operator. It is no
input of :math:`b_{i+1}`, which would then come behind :math:`b_i`, and no output. It does not fit
beside the working set, so it is off: it has been written, and it is loaded again, for
:math:`2|x_i| \ge 2\,width(b_i)`. For i < j the tensors differ: :math:`x_j` is produced after
:math:`b_j` has run, :math:`x_i` before :math:`b_{i+1}` runs, which is :math:`b_j` or earlier. The
last operator, whichever it is, leaves nothing.

All :math:`x_i` are produced after the state, so that no part which charges live tensors counts
them; paths avoid the tensors that the gap part counts. ∎

F is built greedily, heaviest first: an operator joins if the sum of the widths grows.
"""

from __future__ import annotations

import heapq

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.memory.exact.gaps import Gaps
from mapc.models.memory.problem import MemoryProblem

CANDIDATES = 64
"""Operators looked at, those with the largest working sets."""


def antichain_tokens(problem: MemoryProblem, gaps: Gaps) -> IntArray:
    """Return int64[k, 2]: operators of an antichain, and twice their widths."""
    graph, room = problem.graph, problem.room
    heavy = np.argsort(-problem.working_set, kind="stable")[:CANDIDATES].tolist()
    sizes = problem.sizes
    largest = int(sizes[problem.pays_write & ~gaps.counted].max(initial=0))
    heavy = [b for b in heavy if int(problem.working_set[b]) + largest > room]
    reach = {b: widths(problem, gaps, b) for b in heavy}
    width: dict[tuple[int, int], int] = {}
    for b in heavy:
        for other in heavy:
            if b != other and not (graph.precedes[b, other] or graph.precedes[other, b]):
                common = graph.precedes[other] & (reach[b] > 0)
                best = int(reach[b][common].max(initial=0))
                if best + int(problem.working_set[other]) > room:
                    width[b, other] = best
    return _grow(heavy, width)


def _grow(heavy: list[int], width: dict[tuple[int, int], int]) -> IntArray:
    """Choose an antichain with large widths, greedily."""
    family: list[int] = []
    worth: list[int] = []
    for b in heavy:
        tried = [*family, b]
        if not all((x, y) in width for x in tried for y in tried if x != y):
            continue
        widths_now = [min((width[x, y] for y in tried if y != x), default=0) for x in tried]
        if len(tried) == 1 or sum(widths_now) - max(widths_now) > sum(worth) - max(worth):
            family, worth = tried, widths_now
    if len(family) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    return np.array([[b, 2 * w] for b, w in zip(family, worth, strict=True)], dtype=np.int64)


def widths(problem: MemoryProblem, gaps: Gaps, start: int) -> IntArray:
    """int64[n]: the smallest tensor on the widest path from an operator to each other; 0: none.

    Widest paths by Dijkstra's algorithm; tensors that pay no write or that the gap part counts
    are left out.
    """
    graph = problem.graph
    usable = problem.pays_write & ~gaps.counted
    found = np.zeros(graph.n_operators, dtype=np.int64)
    queue = [(-int(problem.sizes.sum()) - 1, start)]
    while queue:
        width, o = heapq.heappop(queue)
        if -width < found[o]:
            continue
        for t in graph.outputs[o].tolist():
            if not usable[t]:
                continue
            through = min(-width, int(problem.sizes[t]))
            for reader in graph.consumers[t].tolist():
                if through > found[reader]:
                    found[reader] = through
                    heapq.heappush(queue, (-through, reader))
    return found
