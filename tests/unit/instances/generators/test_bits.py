import numpy as np
import pytest

from mapc.errors import UsageError
from mapc.instances.generators.bits import WIDTHS, generate
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.verify import verify


def cheapest(problem):
    """Every group in the format of fewest bits."""
    return BitsPlan(problem.start[:-1].copy())


@pytest.mark.parametrize("sizes", ["llm", "continuous"])
@pytest.mark.parametrize("budgets", [1, 2, 3])
@pytest.mark.parametrize("formats", [1, 2, 5, len(WIDTHS)])
def test_problems_are_feasible_and_no_budget_is_idle(sizes, budgets, formats):
    problem = generate(200, formats, budgets, 4, sizes)
    assert (problem.n_groups, problem.n_options) == (200, 200 * formats)
    assert problem.resources == ("size", "bops", "latency")[:budgets]
    assert verify(problem, cheapest(problem)).violations == ()
    if formats == 5:
        costliest = problem.cost[:, 4::5].sum(axis=1)
        assert (costliest > np.array(problem.budget)).all()


def test_five_formats_are_those_of_the_measurements():
    problem = generate(3)
    assert problem.formats == ("w2.5", "w3.5", "w4.5", "w8.25", "w16")
    assert problem.cost[0].tolist() == [
        -(-int(w) * eighths // 8) for w in problem.weights for eighths in (20, 28, 36, 66, 128)
    ]


def test_equal_seeds_give_equal_problems_and_others_do_not():
    one, two, other = generate(50, seed=1), generate(50, seed=1), generate(50, seed=2)
    assert np.array_equal(one.loss, two.loss)
    assert np.array_equal(one.cost, two.cost)
    assert not np.array_equal(one.loss, other.loss)


def test_sizes_are_few_or_all_different():
    assert len(np.unique(generate(1000, sizes="llm").weights)) < 20
    assert len(np.unique(generate(1000, sizes="continuous").weights)) > 990


def test_resources_are_correlated_and_not_equal():
    cost = generate(2000, budgets=3, sizes="continuous").cost.astype(np.float64)
    off_diagonal = np.corrcoef(np.log(cost))[np.triu_indices(3, 1)]
    assert (off_diagonal > 0.5).all()
    assert (off_diagonal < 0.999).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": 0}, "groups 0: expected 1 to 10000000"),
        ({"groups": 5, "formats": 12}, "formats 12: expected 1 to 11"),
        ({"groups": 5, "budgets": 4}, "budgets 4: expected 1 to 3"),
        ({"groups": 5, "sizes": "round"}, "sizes 'round': expected llm or continuous"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(UsageError, match=message):
        generate(**arguments)
