"""Small placement problems without replicas, and their optimum by trying every plan."""

from itertools import chain, combinations, product
from typing import Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from mapc.errors import InstanceError
from mapc.graph.devices import DeviceGraph
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import (
    BUSIEST,
    CHAIN,
    EXPECTED,
    HOME,
    NONE,
    SUM,
    WORST,
    PlacementProblem,
    StepTime,
)
from mapc.models.placement.verify import verify


class Recorder:
    """A search that keeps the best plan and bound, and refuses plans that break a rule."""

    seed, deterministic = 0, True

    def __init__(self, problem: PlacementProblem, seed: int = 0, patience: int | None = None):
        self.problem, self.seed, self.patience = problem, seed, patience
        self.plan: PlacementPlan | None = None
        self.objective: float | None = None
        self.bound: float | None = None
        self.offered: list[float] = []
        self.notes: list[str] = []

    def remaining(self) -> float:
        return float("inf")

    def done(self) -> bool:
        """Say so after ``patience`` questions, or when the gap is closed."""
        if self.patience is not None:
            self.patience -= 1
            if self.patience < 0:
                return True
        met = self.objective is not None and self.bound is not None
        return met and self.objective <= self.bound

    def propose(self, plan: PlacementPlan, source: str) -> bool:
        verdict = verify(self.problem, plan)
        assert not verdict.violations, (source, verdict.violations)
        self.offered.append(verdict.objective)
        if self.objective is not None and verdict.objective >= self.objective:
            return False
        self.plan, self.objective = plan, verdict.objective
        return True

    def prove(self, bound: float, source: str) -> None:
        self.bound = bound if self.bound is None else max(self.bound, bound)

    def note(self, text: str) -> None:
        self.notes.append(text)


def brute_force(problem: PlacementProblem) -> float | None:
    """Return the least objective over all plans, None without one."""
    best = None
    for plan in every_plan(problem):
        verdict = verify(problem, plan)
        if not verdict.violations and (best is None or verdict.objective < best):
            best = verdict.objective
    return best


def every_plan(problem: PlacementProblem) -> Any:
    """Yield every plan, rules aside."""
    each = list(combinations(range(problem.n_experts), problem.slots))
    tables = [
        ranks
        for ranks in product(each, repeat=len(problem.live))
        if len(set(chain.from_iterable(ranks))) == problem.n_experts
    ]
    for chosen in product(tables, repeat=problem.n_layers):
        table = np.full((problem.n_layers, problem.n_ranks, problem.slots), -1, dtype=np.int64)
        table[:, problem.live] = np.array(chosen)
        yield PlacementPlan(table)


SIZES = [(4, 2, 3), (4, 2, 2), (3, 3, 3), (2, 2, 4), (6, 3, 1), (6, 2, 2), (4, 4, 2)]
"""Experts, live ranks, layers."""


@st.composite
def small_problems(
    draw: Any,
    traffic: tuple[str, ...] = (NONE, CHAIN, HOME),
    sizes: list[tuple[int, int, int]] = SIZES,
    rules: bool = True,
    **fixed: Any,
) -> PlacementProblem:
    """Draw a problem with S == E; ``fixed`` are attributes of ``StepTime``."""
    experts, ranks, layers = draw(st.sampled_from(sizes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    profiles = draw(st.sampled_from([1, 1, 2]))
    dead = draw(st.sampled_from([0, 0, 1])) if rules else 0
    cost: dict[str, Any] = {
        "token": draw(st.sampled_from([1.0, 4.0, 0.3])),
        "expert": draw(st.sampled_from([0.0, 0.0, 2.5])),
        "transfer": draw(st.sampled_from([0.0, 1.0, 1.0, 3.0])),
        "layer": draw(st.sampled_from([0.0, 0.7])),
        "links": draw(st.sampled_from([SUM, SUM, BUSIEST])),
        "overlap": draw(st.booleans()),
        "profiles": draw(st.sampled_from([EXPECTED, EXPECTED, WORST])),
        **fixed,
    }
    cluster = _cluster(draw, rng, ranks + dead)
    most = draw(st.sampled_from([3, 40]))
    transitions = rng.integers(0, most, (profiles, layers - 1, experts, experts))
    counts = rng.integers(0, most, (profiles, layers, experts))
    counts[:, :, 0] += 1
    kind = draw(st.sampled_from(traffic))
    by_source = rng.integers(0, most, (profiles, layers, ranks + dead, experts))
    sources = None
    if kind == HOME and draw(st.booleans()):
        by_source[:, :, 0, 0] += 1
        by_source[:, :, ranks:] = 0
        sources, counts = by_source, by_source.sum(axis=2)
    gone = np.arange(ranks + dead) >= ranks
    limited = rules and draw(st.sampled_from([False, False, True]))
    values: dict[str, Any] = dict(
        name="small",
        counts=counts,
        profiles=tuple(f"p{i}" for i in range(profiles)),
        weight=rng.integers(1, 4, profiles).astype(np.float64),
        scale=rng.integers(1, 3, profiles).astype(np.float64),
        cluster=cluster,
        slots=experts // ranks,
        cost=StepTime(**cost),
        traffic=kind,
        transitions=transitions if kind == CHAIN else None,
        sources=sources,
        top_k=draw(st.sampled_from([1, 2])),
        dead=gone,
        max_imbalance=1.3 if limited else None,
        **(_rules(draw, rng, layers, experts, ranks) if rules else {}),
    )
    try:
        return PlacementProblem(**values)
    except InstanceError:  # rules that contradict each other are refused
        reject()


def _cluster(draw: Any, rng: np.random.Generator, ranks: int) -> DeviceGraph:
    kind = draw(st.sampled_from(["uniform", "nodes", "any"]))
    if kind == "uniform":
        return DeviceGraph.cluster([ranks], 1 << 40, 1.0, 1.0)
    if kind == "nodes":
        half = ranks // 2
        return DeviceGraph.cluster([half, ranks - half] if half else [ranks], 1 << 40, 4.0, 1.0)
    source, target = np.nonzero(~np.eye(ranks, dtype=bool))
    return DeviceGraph(
        names=tuple(f"r{g}" for g in range(ranks)),
        memory=np.full(ranks, 1 << 40),
        node=np.sort(rng.integers(0, 2, ranks)),
        speed=rng.choice([1.0, 2.0, 0.5], ranks),
        link_source=source,
        link_target=target,
        bandwidth=rng.choice([1.0, 2.0, 4.0, 3.0], len(source)),
        latency=np.zeros(len(source)),
    )


def _rules(
    draw: Any, rng: np.random.Generator, layers: int, experts: int, ranks: int
) -> dict[str, Any]:
    """Draw at most one pin and two forbidden pairs, which may leave no plan."""
    pinned = np.zeros((0, 3), dtype=np.int64)
    forbidden = np.zeros((0, 3), dtype=np.int64)
    triple = [rng.integers(0, [layers, experts, ranks]) for _ in range(3)]
    if draw(st.sampled_from([False, False, True])):
        pinned = np.array(triple[:1])
    if draw(st.sampled_from([False, False, True])):
        forbidden = np.array(triple[1:])
    return {"pinned": pinned, "forbidden": forbidden}
