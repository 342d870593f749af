import numpy as np
import pytest

from mapc.errors import UsageError
from mapc.instances.generators.lengths import generate, lognormal_lengths, pareto_lengths


@pytest.mark.parametrize("draw", [lognormal_lengths, pareto_lengths])
def test_lengths_are_those_of_the_seed_and_within_limits(draw):
    lengths = draw(5000, 50_000, seed=3)
    assert lengths.shape == (5000,)
    assert lengths.dtype == np.int64
    assert lengths.min() >= 1
    assert lengths.max() <= 50_000
    assert np.array_equal(lengths, draw(5000, 50_000, seed=3))
    assert not np.array_equal(lengths, draw(5000, 50_000, seed=4))


def test_lognormal_has_its_median_and_spread():
    logs = np.log(lognormal_lengths(40_000, 2**40, seed=1))
    # four standard errors: 1.75 / 200, and 1.2533 times as much for the median
    assert abs(np.median(logs) - np.log(900)) < 4 * 1.2533 * 1.75 / 200
    assert abs(logs.std() - 1.75) < 4 * 1.75 / np.sqrt(2 * 40_000) + 0.005  # rounding to tokens


def test_pareto_has_its_tail():
    lengths = pareto_lengths(40_000, 2**40, seed=1)
    assert lengths.min() >= 300
    for s in (1000, 10_000, 100_000):
        p = (300 / s) ** 1.2
        assert abs((lengths > s).mean() - p) < 4 * np.sqrt(p * (1 - p) / 40_000) + 1e-3 * p


@pytest.mark.parametrize("distribution", ["lognormal", "pareto"])
def test_problems(distribution):
    problem = generate(200, 16, distribution=distribution, max_length=90_000, seed=7)
    assert problem.n_sequences == 200
    assert (problem.n_ranks, problem.node_ranks) == (16, 8)
    assert problem.fits[-1].all()
    assert problem.provenance["seed"] == 7
    again = generate(200, 16, distribution=distribution, max_length=90_000, seed=7)
    assert np.array_equal(problem.lengths, again.lengths)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: generate(distribution="normal"), "distribution 'normal': expected lognormal"),
        (lambda: lognormal_lengths(0, 1000), "sequences 0: expected 1 to"),
        (lambda: lognormal_lengths(5, 899), "max length 899: expected 900 or more"),
        (lambda: lognormal_lengths(5, 1000, sigma=0 - 1), "sigma -1: expected 0 to 10"),
        (lambda: generate(seed=-1), "seed -1: expected 0 or more"),
        (lambda: pareto_lengths(5, 300), "max length 300: expected 535 or more"),
        (lambda: pareto_lengths(5, 10**6, alpha=0.01), "alpha 0.01: expected 0.1 to 100"),
    ],
)
def test_arguments_out_of_range(call, message):
    with pytest.raises(UsageError) as refused:
        call()
    assert str(refused.value).startswith(message)
