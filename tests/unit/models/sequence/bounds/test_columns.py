"""Columns of micro-batches: below every plan, in every box, with kernels as plain Python too."""

import itertools
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.instances.generators.lengths import generate
from mapc.kernels import load
from mapc.models.sequence.bounds import area, columns, columns_market
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import ULYSSES, SequenceProblem
from oracles.sequence_cases import brute_force, problem_of, small_sequence_problems


@pytest.fixture(scope="module")
def kernels() -> ModuleType:
    module = load(columns.KERNELS)
    assert module is not None
    return module


@settings(max_examples=40, deadline=None)
@given(problem=small_sequence_problems(max_sequences=5))
def test_no_bound_is_above_the_best_step(problem: SequenceProblem) -> None:
    best = brute_force(problem)
    if best is None:
        return
    q = int(best.plan.micro_batch.max()) + 1
    for known in (best.ticks, best.ticks + 1, 2 * best.ticks + 1):
        found = columns.column_bound(problem, q, known=known, work=9)
        floor = int(area.step_bounds(problem, q, q)[0])
        assert min(floor, known) <= found <= best.ticks
        assert columns.step_bound(problem, known=known, work=9) <= best.ticks


@settings(max_examples=60, deadline=None)
@given(problem=small_sequence_problems(max_sequences=5), wide=st.floats(0.0, 0.5))
def test_no_box_around_the_best_makespans_is_above_the_best_step(
    problem: SequenceProblem, wide: float
) -> None:
    best = brute_force(problem)
    if best is None:
        return
    at = _makespans(problem, best.plan)
    box = np.stack([np.floor(at * (1 - wide)), np.ceil(at * (1 + wide))]).astype(np.int64)
    found = columns.column_bound(problem, len(at), known=2 * best.ticks + 1, work=1, box=box)
    assert found <= best.ticks


@settings(max_examples=30, deadline=None)
@given(problem=small_sequence_problems(max_sequences=4))
def test_no_bound_is_above_the_best_step_of_so_many_micro_batches(
    problem: SequenceProblem,
) -> None:
    for q in range(1, problem.n_sequences + 1):
        best = brute_force(_with(problem, least=q, most=q))
        if best is not None:
            known = 2 * best.ticks + 1
            assert columns.column_bound(problem, q, known=known, work=5) <= best.ticks


@settings(max_examples=40, deadline=None)
@given(
    problem=small_sequence_problems(max_sequences=4, max_ranks=12),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_micro_batch_collects_no_more_than_its_cell_says(
    kernels: ModuleType, problem: SequenceProblem, seed: int
) -> None:
    market = columns_market.market_of(problem)
    rng = np.random.default_rng(seed)
    price = rng.choice([0.0, 1.0, rng.random()], len(market.start))
    price *= market.classes[1] * rng.choice([1.0, float(market.times[0].max())])
    least, most = sorted(rng.integers(0, 2 * int(problem.ticks.max()) + 2, 2).tolist())
    box = np.array([[least], [most]])
    edge, excess = _evaluated(kernels, market, box, price)
    sets = _micro_batches(problem)
    value = price[np.searchsorted(market.classes[1], problem.padded)]
    assert edge[:, 0].min() == least
    assert edge[:, 1].max() == most
    for i in range(len(edge)):
        for part in (0.0, 0.4, 1.0):
            ticks = np.floor(edge[i, 0] + part * (edge[i, 1] - edge[i, 0]))
            most_of_all = max(
                (value[list(chosen)].sum() for last, chosen in sets if last <= ticks), default=0.0
            )
            assert excess[i] <= ticks - most_of_all + 1e-9 * (ticks + most_of_all)


def test_ranks_are_priced_as_by_trying_all_prices() -> None:
    module = load("mapc.models.sequence.bounds.columns_batch_kernels")
    assert module is not None
    rng = np.random.default_rng(3)
    modes = np.zeros((3, 4))
    modes[0] = 1, 2, 4, 8
    for _ in range(100):
        n_ranks, n = int(rng.choice([8, 16, 24])), int(rng.integers(0, 6))
        count = rng.integers(1, 4, n).astype(float)
        value, plain = rng.random((n, 4)) * modes[0], 0.5 * rng.random(4) * modes[0]
        items, mode = np.arange(n), np.zeros(n, dtype=np.int64)
        found, rank = module.together(n_ranks, count, plain, value, n, items, modes, mode)
        floor = (plain / modes[0]).max()
        # convex and linear in between: least where a choice changes
        prices = [floor, *(value / modes[0]).ravel()]
        for j, other in itertools.combinations(range(4), 2):
            prices += list((value[:, other] - value[:, j]) / (modes[0, other] - modes[0, j]))
        prices = [w for w in prices if w >= floor]
        tried = [
            n_ranks * w + count @ np.maximum(0.0, (value - modes[0] * w).max(axis=1))
            if n
            else n_ranks * w
            for w in prices
        ]
        assert rank >= floor
        assert found == pytest.approx(min(tried), rel=1e-9)


def test_a_micro_batch_has_no_sequence_again_and_again() -> None:
    problem = generate(sequences=96, ranks=16, max_length=128_000, seed=4)
    floor = area.step_bound(problem)
    found = columns.column_bound(problem, 6, known=int(floor * 1.25), work=1)
    # 1.03 if groups of one micro-batch may all have the same long sequence
    assert found > floor * 1.04


@settings(max_examples=30, deadline=None)
@given(problem=small_sequence_problems(max_sequences=5), seed=st.integers(0, 2**32 - 1))
def test_order_of_sequences_does_not_matter(problem: SequenceProblem, seed: int) -> None:
    best = brute_force(problem)
    if best is None:
        return
    order = np.random.default_rng(seed).permutation(problem.n_sequences)
    fields = {name: getattr(problem, name) for name in ("n_ranks", "node_ranks", "padding")}
    other = SequenceProblem(
        name="other",
        lengths=problem.lengths[order],
        cost=problem.cost,
        least=problem.least,
        most=problem.most,
        **fields,
    )
    known = best.ticks + 1
    one, two = (columns.step_bound(p, known=known, work=5) for p in (problem, other))
    assert one == two


def test_boxes_prove_more_than_the_area() -> None:
    # the long ones keep two of three ranks for 8 ms each, so there is no room for both at a time
    modes = [(1, ULYSSES, 0.0, 1.0, 0.0, 2), (2, ULYSSES, 0.0, 1.0, 0.0, 8)]
    problem = problem_of([8, 8, 1], modes, n_ranks=3, node_ranks=3)
    best = brute_force(problem)
    assert best is not None
    assert best.step_ms == 16.0
    assert area.step_bound(problem) * problem.tick == pytest.approx(11.0)
    found = columns.step_bound(problem, known=best.ticks + 1)
    assert 15.8 < found * problem.tick <= 16.0


def test_a_group_has_two_long_sequences_at_most() -> None:
    # three of 4 tokens in a group of 10 would be 12; by parts 2.5 of them fit
    modes = [(1, ULYSSES, 0.0, 1.0, 0.0, 10)]
    problem = problem_of([4, 4, 4, 4, 4], modes, n_ranks=1)
    best = brute_force(problem)
    assert best is not None
    assert area.least_micro_batches(problem) == 2
    # five sequences in two micro-batches of two each do not go
    assert columns.column_bound(problem, 2, known=2 * best.ticks) == 2 * best.ticks
    assert columns.step_bound(problem, known=best.ticks) == best.ticks


def test_long_tails_are_bounded_better_than_by_area() -> None:
    problem = generate(sequences=96, ranks=16, distribution="pareto", max_length=64_000, seed=4)
    floor = area.step_bound(problem)
    known = int(floor * 1.2)
    some = columns.step_bound(problem, known=known, work=10)
    more = columns.step_bound(problem, known=known, work=40)
    assert floor * 1.03 < some <= more <= known
    assert more > floor * 1.06


def test_pooled_classes_bound_no_more_than_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = generate(sequences=96, ranks=16, distribution="pareto", max_length=64_000, seed=4)
    known = int(area.step_bound(problem) * 1.2)
    exact = columns.step_bound(problem, known=known, work=20)
    monkeypatch.setattr(columns_market, "CLASSES", 12)
    market = columns_market.market_of(problem)
    assert market.first_whole > 0
    assert len(market.start) < len(np.unique(problem.padded))
    assert len(market.start) - market.first_whole >= int(columns_market.WHOLE * 12)
    assert market.classes[0] @ market.classes[1] == pytest.approx(problem.padded.sum())
    pooled = columns.step_bound(problem, known=known, work=20)
    assert area.step_bound(problem) * 1.02 < pooled <= exact * 1.01


def test_cells_cover_the_boxes_without_gaps() -> None:
    market = columns_market.market_of(generate(sequences=64, ranks=8, seed=1, max_length=32_000))
    box = np.array([[900_000, 40_000, 10], [1_000_000, 60_000, 50_000]]) * 1_000_003
    edge = columns_market.cells(market, box)
    assert (edge[:, 0] <= edge[:, 1]).all()
    gaps = np.flatnonzero(edge[1:, 0] != edge[:-1, 1] + 1)
    assert len(gaps) == 1  # between the first micro-batch and the others
    assert edge[gaps[0] + 1, 0] == box[0, 0]
    for low, high in box.T:
        inside = (edge[:, 0] >= low) & (edge[:, 1] <= high)
        outside = (edge[:, 1] < low) | (edge[:, 0] > high)
        assert (inside ^ outside).all()
        assert edge[inside].min() == low
        assert edge[inside].max() == high


def test_a_step_that_is_known_ends_the_search() -> None:
    problem = problem_of([8, 8, 3])
    assert columns.column_bound(problem, 3, known=1) == 1
    assert columns.step_bound(problem, known=1) == 1
    floor = area.step_bound(problem)
    assert columns.step_bound(problem, known=floor) == floor
    assert columns.step_bound(problem, known=1 << 50, done=lambda: True) == floor


class Search:
    """Knows one objective and collects bounds; no clock."""

    seed, deterministic = 0, True

    def __init__(self, objective: float | None) -> None:
        self.objective = objective
        self.proven: list[float] = []

    def done(self) -> bool:
        return False

    def remaining(self) -> float:
        return float("inf")

    def prove(self, bound: float, source: str) -> None:
        assert source == "columns"
        self.proven.append(bound)


@settings(max_examples=15, deadline=None)
@given(problem=small_sequence_problems(max_sequences=4))
def test_the_method_proves_nothing_above_the_best_step(problem: SequenceProblem) -> None:
    best = brute_force(problem)
    if best is None:
        return
    for objective in (best.step_ms, best.step_ms * 1.5):
        search = Search(objective)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(columns, "LOOKS", 15 * columns.EACH)
            columns.run(problem, search)
        assert search.proven
        assert sorted(search.proven) == search.proven
        assert search.proven[-1] <= best.step_ms
    for thing, search in ((problem, Search(None)), (object(), Search(1.0))):
        columns.run(thing, search)
        assert search.proven == []


def test_plain_kernels_agree() -> None:
    problem = problem_of([8, 5, 3, 1])
    known = 2 * area.step_bound(problem)
    code = (
        "from mapc.models.sequence.bounds import columns\n"
        "from oracles.sequence_cases import problem_of\n"
        "problem = problem_of([8, 5, 3, 1])\n"
        f"print([columns.column_bound(problem, q, known={known}, work=1) for q in (1, 2)])\n"
    )
    tests = os.path.abspath(os.path.join(os.path.dirname(__file__), *[".."] * 4))
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": tests}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    compiled = [columns.column_bound(problem, q, known=known, work=1) for q in (1, 2)]
    plain = [int(x) for x in done.stdout.strip()[1:-1].split(",")]
    assert plain == pytest.approx(compiled, rel=1e-6)


def _with(problem: SequenceProblem, **changes: object) -> SequenceProblem:
    names = ("name", "lengths", "n_ranks", "node_ranks", "cost", "padding", "least", "most")
    fields = {name: getattr(problem, name) for name in names}
    return SequenceProblem(**{**fields, **changes})


def _evaluated(
    kernels: ModuleType, market: columns_market.Market, box: np.ndarray, price: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cells after halving, float64[C, 2], and the excess of each, float64[C]."""
    start = columns_market.cells(market, box)
    n_cells, n_modes, room = len(start), market.modes.shape[1], len(start) + 3
    edge, limits = np.zeros((room, 2)), np.zeros((room, 2, n_modes), dtype=np.int64)
    excess, side = np.zeros(room), np.zeros(room, dtype=np.int64)
    rules = (market.times, market.modes, market.bounds, market.first_whole)
    kernels.coarse(start, *rules, edge, limits)
    _, n_cells = kernels.evaluate(
        n_cells,
        market.n_ranks,
        market.classes,
        *rules,
        edge,
        limits,
        box.astype(np.float64),
        price,
        price.copy(),
        kernels.scratch_of(n_modes, len(price)),
        np.zeros(len(price), dtype=np.int64),
        excess,
        side,
    )
    return edge[:n_cells], excess[:n_cells]


def _micro_batches(problem: SequenceProblem) -> list[tuple[int, tuple[int, ...]]]:
    """Every set of sequences that one micro-batch can compute, with the least ticks for it."""
    groups = []
    for size in range(1, problem.n_sequences + 1):
        for chosen in itertools.combinations(range(problem.n_sequences), size):
            for j, degree in enumerate(problem.cost.degree.tolist()):
                if problem.padded[list(chosen)].sum() <= problem.cost.tokens[j]:
                    last = problem.fixed_ticks[j] + problem.ticks[j, list(chosen)].sum()
                    groups.append((int(last), degree, frozenset(chosen)))
    best: dict[tuple[int, frozenset[int]], int] = {(0, frozenset()): 0}
    for _ in range(problem.n_sequences):
        for (ranks, have), last in list(best.items()):
            for ticks, degree, more in groups:
                if not have & more and ranks + degree <= problem.n_ranks:
                    key = (ranks + degree, have | more)
                    best[key] = min(best.get(key, 1 << 62), max(last, ticks))
    return [(last, tuple(sorted(have))) for (_, have), last in best.items()]


def _makespans(problem: SequenceProblem, plan: SequencePlan) -> np.ndarray:
    """float64[q]: ticks of every micro-batch, falling."""
    mode = plan.mode[plan.group]
    load_ = problem.fixed_ticks[plan.mode].copy()
    np.add.at(load_, plan.group, problem.ticks[mode, np.arange(problem.n_sequences)])
    longest = np.zeros(int(plan.micro_batch.max()) + 1, dtype=np.int64)
    np.maximum.at(longest, plan.micro_batch, load_)
    return np.sort(longest)[::-1].astype(np.float64)


class Found:
    """Kernels that find a value and leave prices behind."""

    def __init__(self, value: float, part: float) -> None:
        self.value, self.part = value, part

    def generate(self, *arguments: Any) -> float:
        classes, prices = arguments[1], arguments[10]
        prices[:] = self.part * classes[2]
        return self.value


def test_bounds_are_lowered_in_proportion_to_all_that_prices_may_collect() -> None:
    # one mode with a fixed part far above the step
    modes = [(1, ULYSSES, 0.0, 1.0, 0.0, 8), (2, ULYSSES, 0.0, 1.0, 1e9, 16)]
    market = columns_market.market_of(problem_of([8, 5, 3, 1], modes))
    box = np.array([[1000], [2000]])
    fixed = float(market.modes[1].max())
    whole = float(market.classes[0] @ market.classes[2])
    lost = []
    for part in (0.5, 2.0, 1e6):
        found = columns_market.priced(Found(2.0**51, part), market, box, 1, columns_market.FIRST)
        lost.append(2.0**51 - found.ticks)
        assert lost[-1] >= 2.0**-23 * (max(1.0, part) * (fixed + 2000) + part * whole)
    assert lost == sorted(lost)
    assert lost[0] < 2.0**-22 * (fixed + whole)
    for value in (-np.inf, np.nan, -1.0):
        found = columns_market.priced(Found(value, 1.0), market, box, 1, columns_market.FIRST)
        assert found.ticks == 0


def test_long_sequences_are_whole_however_many_ranks_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # a sequence that is little of a micro-batch may still be all of a group
    problem = generate(sequences=1200, ranks=256, distribution="lognormal", seed=2)
    known = int(area.step_bound(problem) * 1.1)
    found = columns.step_bound(problem, known=known, work=6)
    monkeypatch.setattr(columns_market, "WHOLE", 1 / columns_market.CLASSES)
    assert columns_market.market_of(problem).first_whole > 32
    assert columns.step_bound(problem, known=known, work=6) < 0.999 * found
