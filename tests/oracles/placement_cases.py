"""Small random placement problems, and the best plan of each by complete enumeration.

Whatever is not fixed by a keyword is drawn from the seed. The enumeration judges tables by
`mapc.models.placement.verify` and shares nothing with the methods.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from mapc.graph.devices import DeviceGraph
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import (
    ADAPTIVE,
    BUSIEST,
    CHAIN,
    EQUAL,
    EXPECTED,
    HOME,
    LOCAL,
    NONE,
    SUM,
    WORST,
    PlacementProblem,
    StepTime,
)
from mapc.models.placement.replay import Replay
from mapc.models.placement.verify import replay, verify

# -- problems --------------------------------------------------------------------------------------

FIXABLE = (
    *("experts", "ranks", "slots", "layers", "profiles", "nodes", "traffic", "dispatch", "links"),
    *("overlap", "goal", "dead", "speeds", "activated", "token", "transfer", "sources", "rules"),
    *("current", "max_moves", "max_imbalance", "whole"),
)


def random_problem(seed: int, **fixed: Any) -> PlacementProblem:
    """Return a small problem; a keyword of None leaves the choice to the seed.

    Keywords
    --------
    experts, ranks (live ones), slots, layers, profiles, nodes, dead : int
        Slots are at least what the experts need. Ranks are dealt to nodes in turn or in blocks.
    traffic, dispatch, links, goal : str
        As the problem and its cost take them.
    overlap, speeds (different ones), activated (pay for experts), transfer (pay for links) : bool
    token : bool
        Whether tokens cost something.
    sources : str
        ``"none"``, ``"ranks"`` or ``"nodes"``.
    rules : bool
        Pins and forbidden pairs; there may then be no plan.
    current : bool
    max_moves : int
        -1: no budget.
    max_imbalance : float
        0: no limit; there may be no plan within one.
    whole : bool
        Costs, scales and speeds of 1, transfers in whole numbers.
    """
    unknown = set(fixed) - set(FIXABLE)
    if unknown:
        raise TypeError(f"{unknown}: expected {FIXABLE}")
    return _Draw(np.random.default_rng(seed), fixed).problem(f"case {seed}")


@st.composite
def problems(draw: st.DrawFn, /, **fixed: Any) -> PlacementProblem:
    """Random problems as `random_problem` makes them; structure shrinks, numbers do not."""
    choice: dict[str, Any] = {
        "experts": st.integers(2, 5),
        "ranks": st.integers(1, 3),
        "layers": st.integers(1, 2),
        "profiles": st.integers(1, 2),
        "traffic": st.sampled_from([NONE, HOME, CHAIN]),
        "dispatch": st.sampled_from([EQUAL, LOCAL, ADAPTIVE]),
        "links": st.sampled_from([SUM, BUSIEST]),
        "goal": st.sampled_from([EXPECTED, WORST]),
        "overlap": st.booleans(),
        "dead": st.integers(0, 1),
    }
    given = {key: draw(strategy) for key, strategy in choice.items() if fixed.get(key) is None}
    if given.get("dispatch") == ADAPTIVE and (given | fixed)["traffic"] == CHAIN:
        given["dispatch"] = EQUAL
    if fixed.get("dispatch") == ADAPTIVE and given.get("traffic") == CHAIN:
        given["traffic"] = NONE
    return random_problem(draw(st.integers(0, 2**20)), **{**fixed, **given})


class _Draw:
    """One draw: `one` returns what is fixed, or a random choice."""

    def __init__(self, rng: np.random.Generator, fixed: dict[str, Any]) -> None:
        self.rng, self.fixed = rng, fixed

    def one(self, name: str, *choices: Any) -> Any:
        drawn = choices[int(self.rng.integers(len(choices)))]
        value = self.fixed.get(name)
        return drawn if value is None else value

    def problem(self, name: str) -> PlacementProblem:
        rng = self.rng
        live, dead = self.one("ranks", 1, 2, 2, 3), self.one("dead", 0, 0, 1)
        experts = self.one("experts", 2, 3, 4)
        least = -(-experts // live)
        slots = min(max(least, self.one("slots", least, least, least + 1)), experts)
        layers, profiles = self.one("layers", 1, 2), self.one("profiles", 1, 2)
        traffic = self.one("traffic", NONE, HOME, CHAIN)
        dispatch = self.one("dispatch", EQUAL, LOCAL, *([] if traffic == CHAIN else [ADAPTIVE]))
        counts = rng.integers(0, 10, (profiles, layers, experts))
        counts[..., 0] += counts.sum(axis=2) == 0  # no layer without tokens
        ranks = live + dead
        whole = self.one("whole", False)
        cluster = self.cluster(ranks, whole)
        down = np.zeros(ranks, dtype=np.bool_)
        down[rng.permutation(ranks)[:dead]] = True
        shape = (profiles, layers - 1, experts, experts)
        problem = PlacementProblem(
            name=name,
            counts=counts,
            profiles=tuple(f"p{p}" for p in range(profiles)),
            weight=np.ones(profiles) if whole else rng.integers(1, 4, profiles).astype(float),
            scale=np.ones(profiles) if whole else rng.choice([0.25, 1.0, 3.0], profiles),
            cluster=cluster,
            slots=slots,
            cost=self.cost(traffic, whole),
            traffic=traffic,
            dispatch=dispatch,
            transitions=rng.integers(0, 6, shape) if traffic == CHAIN else None,
            sources=self.sources(counts, cluster, down, traffic, dispatch),
            top_k=int(rng.integers(1, 3)),
            dead=down,
        )
        return self.ruled(problem)

    def cluster(self, ranks: int, whole: bool) -> DeviceGraph:
        rng, nodes = self.rng, min(self.one("nodes", 1, 2, 2), ranks)
        node = np.arange(ranks) % nodes
        if rng.integers(2):
            node = np.sort(node)
        different = self.one("speeds", False, True) and not whole
        source, target = np.nonzero(~np.eye(ranks, dtype=np.bool_))
        fast = 4.0 if whole else rng.choice([2.0, 5.0])
        bandwidth = np.where(node[source] == node[target], fast, 1.0)
        if not whole and rng.integers(3) == 0:
            bandwidth = rng.uniform(0.5, 5.0, len(source))
        return DeviceGraph(
            names=tuple(f"rank{g}" for g in range(ranks)),
            memory=np.full(ranks, 1 << 40),
            node=node.astype(np.int64),
            speed=rng.choice([0.5, 1.0, 2.0], ranks) if different else np.ones(ranks),
            link_source=source,
            link_target=target,
            bandwidth=bandwidth,
            latency=np.zeros(len(source)),
        )

    def cost(self, traffic: str, whole: bool) -> StepTime:
        token, expert = self.one("token", True), self.one("activated", False, True)
        transfer = self.one("transfer", True, True, False)
        rng = self.rng
        return StepTime(
            token=(4.0 if whole else rng.uniform(0.1, 2.0)) if token else 0.0,
            expert=(2.0 if whole else rng.uniform(0.1, 5.0)) if expert else 0.0,
            layer=float(rng.integers(2)),
            transfer=(4.0 if whole else rng.uniform(0.1, 2.0)) if transfer else 0.0,
            links=self.one("links", SUM, BUSIEST),
            overlap=self.one("overlap", False, True),
            profiles=self.one("goal", EXPECTED, WORST),
        )

    def sources(
        self, counts: Any, cluster: DeviceGraph, dead: Any, traffic: str, dispatch: str
    ) -> Any:
        needed = traffic == HOME and dispatch == ADAPTIVE
        kind = self.one("sources", *(() if needed else ("none",)), "ranks", "nodes")
        if kind == "none":
            return None
        member = np.eye(len(dead), dtype=np.bool_)
        if kind == "nodes":
            # nodes are numbered by first appearance, which here is their own number
            member = cluster.node == np.arange(cluster.node.max() + 1)[:, None]
        chance = (member & ~dead).any(axis=1).astype(float)
        chance *= self.rng.uniform(0.1, 1.0, len(chance))
        drawn = self.rng.multinomial(counts, chance / chance.sum())  # [P, L, E, Q]
        return np.ascontiguousarray(drawn.transpose(0, 1, 3, 2)).astype(np.int64)

    def ruled(self, problem: PlacementProblem) -> PlacementProblem:
        rng = self.rng
        changes: dict[str, Any] = {}
        rules = self.one("rules", False, False, True)
        if self.one("current", False, True):
            changes["current"] = random_plan(problem, int(rng.integers(2**31))).slots
            moves = self.one("max_moves", -1, 0, 1, 3)
            changes["max_moves"] = None if moves < 0 else moves
        limit = self.one("max_imbalance", 0.0, 0.0, 0.0, 1.3, 2.0)
        changes["max_imbalance"] = limit or None
        if rules:
            held = random_plan(problem, int(rng.integers(2**31))).slots
            at = [(layer, rng.choice(problem.live)) for layer in range(problem.n_layers)]
            changes["pinned"] = np.array([[layer, held[layer, g, 0], g] for layer, g in at])
            layer, g = at[0]
            others = np.setdiff1d(np.arange(problem.n_experts), held[layer, g])
            changes["forbidden"] = np.array([[layer, e, g] for e in others[:1]], dtype=np.int64)
            changes["forbidden"] = changes["forbidden"].reshape(-1, 3)
        return problem.replace(**changes)


def random_plan(problem: PlacementProblem, seed: int = 0) -> PlacementPlan:
    """Return a plan that can be replayed; it may break pins, forbidden pairs, budget and limit.

    Under adaptive dispatch with a random split, one time in two.
    """
    rng = np.random.default_rng(seed)
    slots = np.full((problem.n_layers, problem.n_ranks, problem.slots), -1, dtype=np.int64)
    for layer in range(problem.n_layers):
        options = list(tables(problem, layer, rules=False))
        slots[layer, problem.live] = options[int(rng.integers(len(options)))]
        for g in problem.live:
            rng.shuffle(slots[layer, g])
    if problem.dispatch != ADAPTIVE or rng.integers(2):
        return PlacementPlan(slots)
    return PlacementPlan(slots, random_split(problem, slots, rng))


def random_split(problem: PlacementProblem, slots: Any, rng: np.random.Generator) -> Any:
    """int64[P, L, Q, G, C]: every expert's tokens dealt to its slots at random."""
    tokens = problem.counts[:, :, None, :]
    if problem.traffic == HOME and problem.cost.transfer and problem.sources is not None:
        tokens = problem.sources
    split = np.zeros((*tokens.shape[:3], problem.n_ranks, problem.slots), dtype=np.int64)
    for p, layer, q, expert in np.ndindex(*tokens.shape):
        rank, slot = np.nonzero(slots[layer] == expert)
        dealt = rng.multinomial(tokens[p, layer, q, expert], np.full(len(rank), 1 / len(rank)))
        split[p, layer, q, rank, slot] = dealt
    return split


# -- enumeration -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Best:
    """The least objective of any plan, and a plan that has it."""

    objective: float
    plan: PlacementPlan


def tables(problem: PlacementProblem, layer: int, rules: bool = True) -> Iterator[Any]:
    """Yield int64[H, C]: all fillings of a layer's live ranks that hold every expert.

    In order inside a rank, for order means nothing there; pins and forbidden pairs hold.
    """
    must: dict[int, set[int]] = {int(g): set() for g in problem.live}
    never: dict[int, set[int]] = {int(g): set() for g in problem.live}
    for triples, sets in ((problem.pinned, must), (problem.forbidden, never)):
        for at, expert, rank in triples.tolist() if rules else ():
            if at == layer and rank in sets:
                sets[rank].add(expert)
    fillings = [
        [
            filling
            for filling in itertools.combinations(range(problem.n_experts), problem.slots)
            if must[g] <= set(filling) and not never[g] & set(filling)
        ]
        for g in must
    ]
    for chosen in itertools.product(*fillings):
        if len(set(itertools.chain.from_iterable(chosen))) == problem.n_experts:
            yield np.array(chosen, dtype=np.int64)


def brute_force(problem: PlacementProblem, most: int = 40_000) -> Best | None:
    """Return the best plan, or None where there is none.

    Every table of every layer, and under chain traffic every pair of neighbouring ones, is
    replayed; layers are then joined by dynamic programming over moves and times of the profiles.

    Raises
    ------
    ValueError
        Where it would have to look at more than ``most`` tables or pairs of them in one layer, and
        for what it cannot do: three layers of chain traffic under local dispatch (what happens in
        one depends on all before), and adaptive dispatch that pays for traffic or activations.
    """
    if problem.dispatch == ADAPTIVE:
        # a plan without a split shares equally, in fractions of tokens that no split can name
        ways = (_enumerate(problem, most), _enumerate(problem.replace(dispatch=EQUAL), most))
        found = [best for best in ways if best is not None]
        return min(found, key=lambda best: best.objective, default=None)
    return _enumerate(problem, most)


def _enumerate(problem: PlacementProblem, most: int) -> Best | None:
    if problem.traffic == CHAIN and problem.dispatch == LOCAL and problem.n_layers > 2:
        raise ValueError("a chain of more than two layers under local dispatch")
    if problem.dispatch == ADAPTIVE and (problem.cost.expert or not problem.balance_only):
        raise ValueError("adaptive dispatch that pays for more than tokens")
    options = [list(tables(problem, layer)) for layer in range(problem.n_layers)]
    chain = problem.traffic == CHAIN
    ways: dict[tuple[int, int], list[tuple[tuple[int, ...], tuple[Any, ...]]]]
    ways = {(-1, 0): [((0,) * problem.n_profiles, ())]}
    for layer, here in enumerate(options):
        before = options[layer - 1] if chain and layer else [None]
        if len(here) * len(before) > most:
            raise ValueError(f"layer {layer}: {len(here)} tables, {len(before)} before")
        if not here:
            return None
        costs = _costs(problem, layer, before, here)
        moves = [_moves(problem, layer, table) for table in here]
        ways = _step(problem, ways, costs, moves, chain)
    return _best(problem, ways, options)


def _step(problem: Any, ways: Any, costs: Any, moves: list[int], chain: bool) -> Any:
    found: dict[tuple[int, int], list[Any]] = {}
    for (last, used), vectors in ways.items():
        for t, new in enumerate(moves):
            now = used + new
            if problem.max_moves is not None and now > problem.max_moves:
                continue
            cost = costs[max(last, 0) if chain else 0][t]
            if cost is None:
                continue
            ticks, split = cost
            key = (t if chain else -1, now if problem.max_moves is not None else 0)
            for vector, path in vectors:
                total = tuple(a + b for a, b in zip(vector, ticks, strict=True))
                found.setdefault(key, []).append((total, (*path, (t, split))))
    return {key: _undominated(problem, vectors) for key, vectors in found.items()}


def _undominated(problem: PlacementProblem, vectors: list[Any]) -> list[Any]:
    if problem.cost.profiles == EXPECTED:
        return [min(vectors, key=lambda item: sum(item[0]))]
    kept: list[Any] = []
    for item in sorted(vectors, key=lambda item: item[0]):
        if not any(all(a <= b for a, b in zip(k[0], item[0], strict=True)) for k in kept):
            kept.append(item)
    return kept


def _best(problem: PlacementProblem, ways: Any, options: list[list[Any]]) -> Best | None:
    total = sum if problem.cost.profiles == EXPECTED else max
    ends = [(total(vector), path) for vectors in ways.values() for vector, path in vectors]
    if not ends:
        return None
    ticks, path = min(ends, key=lambda end: end[0])
    slots = np.full((problem.n_layers, problem.n_ranks, problem.slots), -1, dtype=np.int64)
    for layer, (t, _) in enumerate(path):
        slots[layer, problem.live] = options[layer][t]
    split = None
    if problem.dispatch == ADAPTIVE:
        split = np.stack([part for _, part in path], axis=1)[:, :, None]
    best = Best(float(ticks) * problem.tick, PlacementPlan(slots, split))
    verdict = verify(problem, best.plan)
    assert not verdict.violations, verdict.violations
    assert verdict.objective == best.objective
    return best


def _moves(problem: PlacementProblem, layer: int, table: Any) -> int:
    if problem.current is None:
        return 0
    old = problem.current[layer, problem.live].tolist()
    return sum(len(set(new) - set(was)) for new, was in zip(table.tolist(), old, strict=True))


def _costs(problem: PlacementProblem, layer: int, before: list[Any], here: list[Any]) -> Any:
    """Ticks of a layer by profile and the split, [table before][table]; None above the limit."""
    if problem.dispatch == ADAPTIVE:
        return [[_adaptive(problem, layer, table) for table in here]]
    pairs = list(itertools.product(before, here))
    seen = _replayed(problem, layer, pairs)
    ticks = _ticks(problem, seen.work.max(axis=2), seen.transfers)
    ratio = (seen.load / seen.load.mean(axis=2, keepdims=True)).max(axis=(0, 2))
    fits = ratio <= (problem.max_imbalance or np.inf) * (1 + 1e-12)
    stride = 1 if before[0] is None else 2
    at = np.arange(len(pairs)) * stride + stride - 1
    flat = [(tuple(map(int, ticks[:, i])), None) if fits[i] else None for i in at]
    return [flat[i : i + len(here)] for i in range(0, len(flat), len(here))]


def _ticks(problem: PlacementProblem, work: Any, transfers: Any) -> Any:
    work, transfers = np.rint(work), np.rint(transfers)
    both = np.maximum(work, transfers) if problem.cost.overlap else work + transfers
    return problem.layer_ticks[:, None] + both


def _replayed(problem: PlacementProblem, layer: int, pairs: list[Any]) -> Replay:
    """Replay tables as the layers of one tall problem, each pair cut off from the next."""
    chained = pairs[0][0] is not None
    rows = [table for pair in pairs for table in pair if table is not None]
    which = np.tile([layer - 1, layer], len(pairs)) if chained else np.full(len(pairs), layer)
    sources = None if problem.sources is None else problem.sources[:, which]
    tall = problem.replace(
        counts=np.ascontiguousarray(problem.counts[:, which]),
        sources=sources,
        transitions=_links(problem, layer, len(which), chained),
        layer_ids=np.arange(len(which)),
        model_layers=len(which),
        current=None,
        max_moves=None,
        max_imbalance=None,
        pinned=problem.pinned[:0],
        forbidden=problem.forbidden[:0],
    )
    for name in ("tick", "token_ticks", "expert_ticks", "pair_ticks", "layer_ticks"):
        # the tall problem is longer, its ticks must not be
        vars(tall)[name] = getattr(problem, name)
    slots = np.full((len(which), problem.n_ranks, problem.slots), -1, dtype=np.int64)
    slots[:, problem.live] = np.stack(rows)
    return replay(tall, PlacementPlan(slots))


def _links(problem: PlacementProblem, layer: int, n_rows: int, chained: bool) -> Any:
    if problem.transitions is None:
        return None
    n_experts = problem.n_experts
    links = np.zeros((problem.n_profiles, n_rows - 1, n_experts, n_experts), dtype=np.int64)
    if chained:
        links[:, ::2] = problem.transitions[:, None, layer - 1]
    return links


def _adaptive(problem: PlacementProblem, layer: int, table: Any) -> Any:
    """Ticks by profile under the best split into whole tokens, and that split [P, G, C]."""
    split = np.zeros((problem.n_profiles, problem.n_ranks, problem.slots), dtype=np.int64)
    speed, ticks = problem.cluster.speed[problem.live], []
    limit = (problem.max_imbalance or np.inf) * (1 + 1e-12)
    for p in range(problem.n_profiles):
        states: dict[tuple[int, ...], Any] = {(0,) * len(table): ()}
        for expert in range(problem.n_experts):
            rank, slot = np.nonzero(table == expert)
            shares = list(_compositions(int(problem.counts[p, layer, expert]), len(rank)))
            reached: dict[tuple[int, ...], Any] = {}
            for tokens, path in states.items():
                for share in shares:
                    now = list(tokens)
                    for h, part in zip(rank, share, strict=True):
                        now[h] += part
                    reached[tuple(now)] = (*path, (rank, slot, share))
            states = reached
        loads = np.array(list(states))
        speeded = loads / speed
        fits = speeded.max(axis=1) <= limit * speeded.mean(axis=1)
        if not fits.any():
            return None
        work = (loads * problem.token_ticks[p, problem.live]).max(axis=1)
        best = int(np.where(fits, work, np.inf).argmin())
        ticks.append(int(_ticks(problem, work[best : best + 1], np.zeros(1))[p, 0]))
        for rank, slot, share in list(states.values())[best]:
            split[p, problem.live[rank], slot] = share
    return tuple(ticks), split


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Yield all ways to write a number as a sum of whole parts."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)
