"""Columns of micro-batches: below every plan, in every box, with kernels as plain Python too."""

import itertools
import os
import subprocess
import sys
from types import ModuleType

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
@given(problem=small_sequence_problems(max_sequences=4), seed=st.integers(0, 2**32 - 1))
def test_groups_collect_no_less_than_any_set_that_fits(
    kernels: ModuleType, problem: SequenceProblem, seed: int
) -> None:
    market = columns_market.market_of(problem)
    rng = np.random.default_rng(seed)
    price = rng.choice([0.0, 1.0, rng.random()], len(market.start))
    price *= market.classes[1] * rng.choice([1.0, float(market.times[0].max())])
    least, most = sorted(rng.integers(0, 2 * int(problem.ticks.max()) + 2, 2).tolist())
    box = np.array([[least], [most]])
    edge = columns_market.cells(market, box)
    amount = _evaluated(kernels, market, edge, box, price)
    for i, j in itertools.product(range(0, len(edge), 3), range(market.modes.shape[1])):
        for part in (0.0, 0.4, 1.0):
            ticks = np.floor(edge[i, 0] + part * (edge[i, 1] - edge[i, 0]))
            share = 0.0 if edge[i, 1] == edge[i, 0] else (ticks - edge[i, 0]) / np.diff(edge[i])[0]
            collected = (1 - share) * amount[i, 0, j] + share * amount[i, 1, j]
            exact = _best_set(market, j, ticks, price)
            assert exact <= collected * (1 + 1e-9)


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
            patch.setattr(columns, "WORK", 15)
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


def _evaluated(
    kernels: ModuleType,
    market: columns_market.Market,
    edge: np.ndarray,
    box: np.ndarray,
    price: np.ndarray,
) -> np.ndarray:
    """What groups collect in every cell at both ends: float64[C, 2, D]."""
    n_cells, n_modes = len(edge), market.modes.shape[1]
    amount = np.zeros((n_cells, 2, n_modes))
    limits = np.zeros((2, n_cells, n_modes), dtype=np.int64)
    for i in range(n_cells):
        kernels.limit(
            i, edge[i], market.times, market.modes, market.bounds, market.first_whole, limits
        )
    kernels.evaluate(
        n_cells,
        market.n_ranks,
        market.classes,
        market.times,
        market.modes,
        edge,
        limits,
        box.astype(np.float64),
        price,
        price.copy(),
        np.zeros(len(price) + 1, dtype=np.int64),
        amount,
        np.zeros((n_cells, 2, n_modes, 2), dtype=np.int64),
        np.zeros(n_cells),
    )
    return amount


def _best_set(market: columns_market.Market, j: int, ticks: float, price: np.ndarray) -> float:
    """The most that a group of mode j collects in so many ticks, by trying all sets."""
    count, length = market.classes[0].astype(int), market.classes[1]
    best = 0.0
    for given_ in itertools.product(*(range(n + 1) for n in count)):
        taken = np.array(given_)
        if taken[market.bounds[0, j] :].any():
            continue
        fits = taken @ length <= market.modes[2, j]
        if fits and taken @ market.times[0, j] <= ticks - market.modes[1, j]:
            best = max(best, float(taken @ price))
    return best


def _makespans(problem: SequenceProblem, plan: SequencePlan) -> np.ndarray:
    """float64[q]: ticks of every micro-batch, falling."""
    mode = plan.mode[plan.group]
    load_ = problem.fixed_ticks[plan.mode].copy()
    np.add.at(load_, plan.group, problem.ticks[mode, np.arange(problem.n_sequences)])
    longest = np.zeros(int(plan.micro_batch.max()) + 1, dtype=np.int64)
    np.maximum.at(longest, plan.micro_batch, load_)
    return np.sort(longest)[::-1].astype(np.float64)
