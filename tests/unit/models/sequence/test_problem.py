from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from mapc.models.sequence.problem import ULYSSES, SequenceProblem
from oracles.sequence_cases import problem_of, small_sequence_problems, ticks_of

LONG = [(64, ULYSSES, 8e-8, 0.0287, 629.3563, 410_000)]


def test_padding_rounds_up() -> None:
    problem = problem_of([1, 4, 5, 8], padding=4)
    assert problem.padded.tolist() == [4, 4, 8, 8]
    assert problem_of([1, 4, 5, 8]).padded.tolist() == [1, 4, 5, 8]
    assert (problem.n_sequences, problem.n_modes) == (4, 3)


def test_fits_compares_padded_tokens() -> None:
    problem = problem_of([8, 7, 17], padding=2)
    assert problem.fits.tolist() == [
        [True, True, False],
        [True, True, False],
        [True, True, True],
    ]


def test_lengths_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        problem_of([1, 2]).lengths[0] = 3


def test_ticks_of_a_case_by_hand() -> None:
    problem = problem_of([2, 8])
    # 0.25 * 4 + 2, 0.25 * 64 + 8 and so on: eighths are whole ticks
    assert (problem.ticks * problem.tick).tolist() == [[3.0, 24.0], [2.0, 14.0], [1.25, 8.0]]
    assert (problem.fixed_ticks * problem.tick).tolist() == [4.0, 4.0, 4.0]


def test_steps_that_take_no_time() -> None:
    problem = problem_of([2, 8], [(1, ULYSSES, 0.0, 0.0, 0.0, 8)])
    assert problem.tick == 1.0
    assert not problem.ticks.any()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(small_sequence_problems())
def test_ticks_count_every_step_exactly(problem: SequenceProblem) -> None:
    assert np.frexp(problem.tick)[0] == 0.5  # a power of two
    alone = problem.fixed_ticks[:, None] + problem.ticks
    assert int(alone.max(axis=0).sum()) < 2**52
    for j in range(problem.n_modes):
        for k in range(problem.n_sequences):
            assert alone[j, k] == ticks_of(problem, [(j, (k,))])
            s, cost = int(problem.padded[k]), problem.cost
            exact = Fraction(float(cost.quadratic[j])) * s * s + Fraction(float(cost.linear[j])) * s
            # half a tick, and three roundings to 53 bits of numbers below 2**51 ticks
            error = abs(int(problem.ticks[j, k]) - exact / Fraction(problem.tick))
            assert error <= Fraction(1, 2) + Fraction(3, 8)


def test_ticks_of_a_global_batch_are_fine() -> None:
    lengths = np.full(512, 400_000)
    problem = problem_of(lengths.tolist(), LONG, n_ranks=64, node_ranks=8, padding=128)
    assert problem.tick < 1e-8
    assert int((problem.fixed_ticks[0] + problem.ticks[0]).sum()) < 2**52
