import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import InstanceError
from mapc.graph.operators import Ragged
from mapc.models.sequence.costs.fitting import Timings, fit_cost, nonnegative_least_squares
from mapc.models.sequence.costs.models import flexsp_cost


def _timings(cost, rows):
    """Exact times of (mode, lengths) under a cost."""
    time = [
        cost.fixed[j] + sum(cost.quadratic[j] * s * s + cost.linear[j] * s for s in lengths)
        for j, lengths in rows
    ]
    return Timings(
        degree=np.array([cost.degree[j] for j, _ in rows]),
        kind=tuple(cost.kind[j] for j, _ in rows),
        lengths=Ragged.of([lengths for _, lengths in rows]),
        time=np.array(time),
    )


LENGTHS = ([512], [4096], [16384], [1024, 2048, 8192])


def test_exact_timings_give_the_coefficients_back():
    cost = flexsp_cost("gpt-7b", 16, 8, 192_000, kinds=("ulysses", "ring"))
    rows = [(j, lengths) for j in reversed(range(len(cost.degree))) for lengths in LENGTHS]
    fitted = fit_cost(_timings(cost, rows), 6000)
    assert fitted.cost.degree.tolist() == cost.degree.tolist()
    assert fitted.cost.kind == cost.kind
    assert fitted.cost.quadratic == pytest.approx(cost.quadratic, rel=1e-6)
    assert fitted.cost.linear == pytest.approx(cost.linear, rel=1e-6)
    assert fitted.cost.fixed == pytest.approx(cost.fixed, rel=1e-6)
    assert fitted.cost.tokens.tolist() == [6000 * d for d in cost.degree.tolist()]
    assert fitted.rms < 1e-6
    assert fitted.worst < 1e-9


def test_the_residual_is_that_of_the_prediction():
    cost = flexsp_cost("gpt-7b", 64, 8, 4096, degrees=[1])
    exact = _timings(cost, [(0, lengths) for lengths in LENGTHS])
    time = exact.time + np.array([10.0, -10.0, 10.0, -10.0])
    fitted = fit_cost(Timings(exact.degree, exact.kind, exact.lengths, time), 6000)
    s = [np.array(lengths, float) for lengths in LENGTHS]
    c = fitted.cost
    predicted = [(c.quadratic * (x * x).sum() + c.linear * x.sum() + c.fixed)[0] for x in s]
    assert fitted.predicted == pytest.approx(predicted)
    assert fitted.rms == pytest.approx(np.sqrt(np.mean((time - predicted) ** 2)))
    assert fitted.worst == pytest.approx(np.max(np.abs(time - predicted) / time))
    assert fitted.relative == pytest.approx(np.sqrt(np.mean((1 - predicted / time) ** 2)))
    # the true coefficients are among those that were chosen from
    assert 0 < fitted.relative <= np.sqrt(np.mean((10 / time) ** 2))


def test_noise_of_a_tenth_leaves_coefficients_near():
    cost = flexsp_cost("gpt-7b", 64, 8, 192_000)
    rows = [(j, [s] * k) for j in range(7) for s in (1024, 4096, 16384) for k in (1, 4, 16)]
    exact = _timings(cost, rows)
    time = exact.time * np.where(np.arange(len(rows)) % 2, 1.1, 0.9)
    fitted = fit_cost(Timings(exact.degree, exact.kind, exact.lengths, time), 6449)
    assert fitted.relative <= np.sqrt(np.mean((1 - exact.time / time) ** 2))
    assert fitted.predicted == pytest.approx(exact.time, rel=0.15)


def test_no_coefficient_is_negative():
    # concave in the length, which least squares would meet with a negative square
    timings = Timings(
        np.ones(4, np.int64), ("ulysses",) * 4, Ragged.of([[1], [2], [3], [4]]),
        np.array([1.0, 1.8, 2.4, 2.8]),
    )  # fmt: skip
    cost = fit_cost(timings, 10).cost
    assert cost.quadratic[0] == 0.0
    slope, constant = np.polyfit([1, 2, 3, 4], timings.time, 1, w=1 / timings.time)
    assert (cost.linear[0], cost.fixed[0]) == pytest.approx((slope, constant))


def test_rows_that_cannot_tell_coefficients_apart_are_refused():
    timings = Timings(
        np.array([1, 1, 1]), ("ulysses",) * 3, Ragged.of([[8], [8, 8], [8] * 3]), np.ones(3)
    )
    with pytest.raises(InstanceError, match="3 rows tell 2 of 3 coefficients apart"):
        fit_cost(timings, 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"degree": np.array([1, 3, 1])}, "row 1: degree: 3; expected a power of two"),
        ({"kind": ("ulysses", "ulysses", "tree")}, "row 2: kind: 'tree'"),
        ({"time": np.array([1.0, np.nan, 2.0])}, "row 1: ms: nan; expected above 0"),
        ({"lengths": Ragged.of([[1], [], [2]])}, "row 1: lengths: 0; expected one sequence"),
        ({"lengths": Ragged.of([[1], [0], [2]])}, "lengths: 0; expected tokens >= 1"),
        ({"time": np.ones(2)}, "columns of unequal length"),
    ],
)
def test_timings_that_break_a_rule_are_refused(change, message):
    good = {
        "degree": np.ones(3, np.int64),
        "kind": ("ulysses",) * 3,
        "lengths": Ragged.of([[1], [2], [3]]),
        "time": np.ones(3),
    }
    with pytest.raises(InstanceError) as refused:
        fit_cost(Timings(**(good | change)), 10)
    assert message in str(refused.value)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(0, 4))
def test_nonnegative_least_squares_is_the_best_over_all_supports(seed, columns, more):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(columns + more, columns)) * 10.0 ** rng.integers(-3, 4, columns)
    right = rng.normal(size=columns + more)
    found = nonnegative_least_squares(matrix, right)
    best = np.linalg.norm(right)
    for k in range(1, columns + 1):
        for support in itertools.combinations(range(columns), k):
            x = np.linalg.lstsq(matrix[:, support], right, rcond=None)[0]
            if (x >= 0).all():
                best = min(best, np.linalg.norm(matrix[:, support] @ x - right))
    assert (found >= 0).all()
    assert np.linalg.norm(matrix @ found - right) == pytest.approx(best, rel=1e-7, abs=1e-9)
