from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import InstanceError
from mapc.models.sequence.problem import RING, ULYSSES, SequenceProblem
from mapc.models.sequence.validation import MAX_TOKENS
from oracles.sequence_cases import problem_of

U, R = ULYSSES, RING


def change(problem: SequenceProblem, **fields: Any) -> SequenceProblem:
    return dataclasses.replace(problem, **fields)


def change_cost(**fields: Any) -> SequenceProblem:
    problem = problem_of([1, 2, 3])
    return change(problem, cost=dataclasses.replace(problem.cost, **fields))


def mode(
    degree: int, kind: str = U, *, q: float = 1.0, a: float = 1.0, b: float = 1.0, tokens: int = 9
) -> tuple[int, str, float, float, float, int]:
    return degree, kind, q, a, b, tokens


nan, inf = float("nan"), float("inf")

REFUSED = [
    # lengths
    (lambda: problem_of([]), "case: no sequences; expected at least one"),
    (lambda: problem_of([1, 0, 3]), "sequence 1: length 0; expected 1 to"),
    (lambda: problem_of([1, 0, 3]), "leave empty sequences out"),
    (lambda: problem_of([1, -5]), "sequence 1: length -5"),
    (lambda: problem_of([2**62]), f"sequence 0: length {2**62}"),
    (lambda: problem_of([2**51, 2**51, 2**51]), "lengths: padded tokens of all sequences add up"),
    (lambda: problem_of([1] * 9, padding=2**50), "lengths: padded tokens of all sequences add up"),
    (lambda: change(problem_of([1]), lengths=np.array([1.0])), "lengths: float64 of shape (1,)"),
    (lambda: change(problem_of([1]), lengths=np.ones((1, 1), np.int64)), "shape (1, 1); expected"),
    (lambda: change(problem_of([1]), lengths=[1]), "lengths: list; expected one row of int64"),
    (lambda: problem_of([1], padding=0), "padding: 0; expected an int, 1 to"),
    (lambda: problem_of([1], padding=128.0), "padding: 128.0; expected an int"),
    # cluster
    (lambda: problem_of([1], n_ranks=0, node_ranks=1), "n_ranks: 0; expected an int, 1 to"),
    (
        lambda: problem_of([1], n_ranks=10**9, node_ranks=1),
        "n_ranks: 1000000000; expected an int, 1 to 1048576",
    ),
    (lambda: problem_of([1], n_ranks=True), "n_ranks: True"),
    (lambda: problem_of([1], n_ranks=8, node_ranks=16), "node_ranks: 16; expected an int, 1 to 8"),
    (
        lambda: problem_of([1], n_ranks=12, node_ranks=8),
        "node_ranks: nodes of 8 ranks; expected a power of two that divides 12, or 12",
    ),
    (lambda: problem_of([1], n_ranks=12, node_ranks=6), "node_ranks: nodes of 6 ranks"),
    # modes
    (lambda: problem_of([1], [mode(3)]), "mode 0: degree 3; expected a power of two"),
    (lambda: problem_of([1], [mode(1), mode(0)]), "mode 1: degree 0; expected a power of two"),
    (lambda: problem_of([1], [mode(-2)]), "mode 0: degree -2; expected a power of two"),
    (
        lambda: problem_of([1], [mode(1), mode(8)]),
        "mode 1: degree 8 on a cluster of 4 ranks; expected at most 4",
    ),
    (lambda: problem_of([1], [mode(2), mode(1)]), "mode 1: degree 1 after 2"),
    (
        lambda: problem_of([1], [mode(2), mode(2, R), mode(2)]),
        "mode 2: degree 2 ulysses twice; expected every mode once",
    ),
    (lambda: problem_of([1], [mode(2, "tree")]), "mode 0: kind 'tree'; expected 'ulysses' or"),
    (lambda: change_cost(kind=(U,)), "kind: 1 entries; expected 3, as degree"),
    (lambda: change_cost(linear=np.ones(2)), "linear: shape (2,); expected 3 of float64"),
    (lambda: change_cost(fixed=np.ones(3, np.int64)), "fixed: int64 of shape (3,); expected 3 of"),
    (lambda: change_cost(tokens=np.ones(3)), "tokens: float64 of shape (3,); expected 3 of int64"),
    (lambda: change_cost(degree=np.ones(3)), "degree: float64 of shape (3,)"),
    (lambda: change_cost(degree=np.ones(0, np.int64)), "degree: no degrees"),
    # coefficients
    (
        lambda: problem_of([1], [mode(1, q=nan)]),
        "mode 0 (degree 1 ulysses): quadratic nan; expected a finite number of ms per token sq",
    ),
    (lambda: problem_of([1], [mode(1), mode(2, R, a=-1.0)]), "mode 1 (degree 2 ring): linear -1.0"),
    (lambda: problem_of([1], [mode(1, b=inf)]), "fixed inf; expected a finite number of ms, >= 0"),
    (
        lambda: problem_of([1], [mode(1, tokens=100), mode(2, tokens=127)], padding=100),
        None,
    ),
    (
        lambda: problem_of([1], [mode(1, tokens=99), mode(2, tokens=127)], padding=100),
        "mode 0 (degree 1 ulysses): memory for 99 tokens; expected 100 (the padding) to",
    ),
    (lambda: problem_of([1], [mode(1, tokens=2**53)]), f"memory for {2**53} tokens"),
    # micro-batches
    (lambda: problem_of([1, 2], least=0), "least: 0; expected an int, 1 to 2"),
    (lambda: problem_of([1, 2], least=3), "least: 3; expected an int, 1 to 2, as many as there"),
    (lambda: problem_of([1, 2], least=2, most=1), "most: 1; expected an int, 2 to"),
    (lambda: problem_of([1, 2], most=9), None),
    # times
    (
        lambda: problem_of([9], [mode(1, q=1e299)]),
        "quadratic, linear, fixed: all sequences one by one take 8.1",
    ),
    (lambda: problem_of([9], [mode(1, q=1e308)]), "take inf ms; expected 0, or"),
    (lambda: problem_of([9], [mode(1, q=5e-324, a=0, b=0)]), "expected 0, or 1e-200 to 1e+300 ms"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_says_what_is_wrong_and_what_would_be_right(build: Any, message: str | None) -> None:
    if message is None:
        build()
        return
    with pytest.raises(InstanceError) as caught:
        build()
    assert message in str(caught.value)
    assert "expected" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sequence_that_fits_nowhere() -> None:
    modes = [mode(1, tokens=10), mode(4, tokens=40)]
    with pytest.raises(InstanceError) as caught:
        problem_of([3, 41, 79, 7], modes, n_ranks=16, padding=4)
    assert str(caught.value) == (
        "sequence 2: 80 padded tokens fit no group: the most is 40, at degree 4 (2 sequences are "
        "too long); expected at most 40 tokens, or at equal memory per rank degree 8, or memory "
        "for 20 tokens per rank"
    )


def test_a_sequence_that_the_cluster_cannot_hold() -> None:
    with pytest.raises(InstanceError) as caught:
        problem_of([41], [mode(1, tokens=10), mode(4, tokens=40)])
    assert str(caught.value) == (
        "sequence 0: 41 padded tokens fit no group: the most is 40, at degree 4; expected at most "
        "40 tokens, or at equal memory per rank degree 8, more than the 4 ranks here, or memory "
        "for 11 tokens per rank"
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 50), st.sampled_from([1, 2, 4, 8]), st.integers(1, 2000))
def test_the_remedies_help(per_rank: int, degree: int, length: int) -> None:
    def build(degree: int, tokens: int) -> SequenceProblem:
        ranks = 1 << 14
        return problem_of([length], [mode(degree, tokens=tokens)], n_ranks=ranks)

    if length <= per_rank * degree:
        build(degree, per_rank * degree)
        return
    with pytest.raises(InstanceError) as caught:
        build(degree, per_rank * degree)
    words = caught.value.right.replace(",", "").split()
    needed, tokens = int(words[words.index("degree") + 1]), int(words[-4])
    build(needed, per_rank * needed)
    build(degree, tokens * degree)
    with pytest.raises(InstanceError):
        build(needed // 2, per_rank * (needed // 2))
    with pytest.raises(InstanceError):
        build(degree, tokens * degree - degree)


def test_extremes_pass() -> None:
    problem = problem_of([MAX_TOKENS], [mode(1, q=0.0, a=1e-9, tokens=MAX_TOKENS)], n_ranks=3)
    assert problem.padded.tolist() == [MAX_TOKENS]
    assert problem_of([1], n_ranks=24, node_ranks=8).n_ranks == 24
    assert problem_of([1], n_ranks=6).node_ranks == 6


def test_both_kinds_of_a_degree() -> None:
    assert problem_of([1], [mode(2), mode(2, R), mode(4, R)]).n_modes == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"q": 5.128},
            "mode 1 (degree 4 ulysses): quadratic 1.282 has 65536 tokens take 63.7 days; expected "
            "quadratic in ms per token squared, of the order of 1e-6, linear in ms per token, of "
            "the order of 0.1, fixed in ms",
        ),
        ({"a": 183957.6}, "mode 1 (degree 4 ulysses): linear 45989.4 has 65536 tokens take 34.9 d"),
        ({"b": 629356300.0}, "mode 1 (degree 4 ulysses): fixed 6.29356e+08 has 65536 tokens take"),
    ],
)
def test_coefficients_of_another_unit(fields: dict[str, float], message: str) -> None:
    """FlexSP's figures of the 7B model, one of them a million times too large."""
    right = {"q": 5.128e-6, "a": 0.1839576, "b": 629.3563}
    modes = [published(degree, **right) for degree in (1, 4)]
    assert problem_of([512, 65_536], modes, n_ranks=4).n_modes == 2
    wrong = [published(degree, **right | fields) for degree in (1, 4)]
    with pytest.raises(InstanceError) as caught:
        problem_of([512, 65_536], wrong, n_ranks=4)
    assert str(caught.value).startswith(message)


def published(
    degree: int, q: float, a: float, b: float
) -> tuple[int, str, float, float, float, int]:
    return mode(degree, q=q / degree, a=a / degree, b=b, tokens=65_536)


def test_costs_without_a_unit_may_be_anything() -> None:
    """Megatron's scheduler counts tokens squared."""
    modes = [mode(4, q=0.25, a=0.0, b=0.0, tokens=1 << 20)]
    assert problem_of([1 << 20], modes).n_sequences == 1
