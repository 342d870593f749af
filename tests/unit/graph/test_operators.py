"""The operator graph: what it refuses, and what it derives."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import ExitCode, InstanceError
from mapc.graph import OperatorGraph, Ragged
from mapc.units import MAX_BYTES


def columns(**changes: Any) -> dict[str, Any]:
    """``x -> a -> s -> b -> y``, with a weight ``w`` read by both operators."""
    return {
        "name": "net",
        "operator_names": ("a", "b"),
        "operator_kinds": ("conv", "relu"),
        "workspace": np.array([5, 0]),
        "inputs": Ragged.of([[0, 3], [1, 3]]),
        "outputs": Ragged.of([[1], [2]]),
        "tensor_names": ("x", "s", "y", "w"),
        "tensor_bytes": np.array([10, 20, 30, 40]),
        "is_output": np.array([False, False, True, False]),
        "is_constant": np.array([False, False, False, True]),
        **changes,
    }


def graph(**changes: Any) -> OperatorGraph:
    return OperatorGraph(**columns(**changes))


def wired(inputs: list[list[int]], outputs: list[list[int]], n_tensors: int) -> OperatorGraph:
    """A graph of ``len(inputs)`` operators named o0, o1, ... over tensors of 1, 2, ... bytes."""
    n = len(inputs)
    return OperatorGraph(
        name="wired",
        operator_names=tuple(f"o{i}" for i in range(n)),
        operator_kinds=("op",) * n,
        workspace=np.arange(n),
        inputs=Ragged.of(inputs),
        outputs=Ragged.of(outputs),
        tensor_names=tuple(f"t{i}" for i in range(n_tensors)),
        tensor_bytes=np.arange(1, n_tensors + 1),
        is_output=np.zeros(n_tensors, dtype=np.bool_),
        is_constant=np.zeros(n_tensors, dtype=np.bool_),
    )


@st.composite
def graphs(draw: st.DrawFn) -> OperatorGraph:
    """Random DAGs, with operators listed in any order, repeated inputs and several outputs."""
    n = draw(st.integers(1, 9))
    outs = draw(st.lists(st.integers(1, 2), min_size=n, max_size=n))
    sources = draw(st.integers(0, 2))
    written = np.cumsum([sources, *outs])
    inputs = [
        draw(st.lists(st.integers(0, int(written[o]) - 1), max_size=4)) if written[o] else []
        for o in range(n)
    ]
    outputs = [list(range(int(written[o]), int(written[o + 1]))) for o in range(n)]
    listed = draw(st.permutations(range(n)))
    return wired([inputs[o] for o in listed], [outputs[o] for o in listed], int(written[-1]))


# -- what is refused -------------------------------------------------------------------------


REFUSED = {
    "no operators": (
        {
            "operator_names": (),
            "operator_kinds": (),
            "workspace": np.zeros(0, dtype=np.int64),
            "inputs": Ragged.of([]),
            "outputs": Ragged.of([]),
        },
        "graph: no operators; expected at least one operator",
    ),
    "kinds too short": (
        {"operator_kinds": ("conv",)},
        "operator_kinds: 1 entries; expected 2, one per entity",
    ),
    "workspace too long": ({"workspace": np.zeros(3, dtype=np.int64)}, "workspace: 3 entries;"),
    "inputs too short": ({"inputs": Ragged.of([[0]])}, "inputs: 1 entries; expected 2"),
    "outputs too long": ({"outputs": Ragged.of([[1], [2], []])}, "outputs: 3 entries; expected 2"),
    "sizes too short": ({"tensor_bytes": np.array([1, 2])}, "tensor_bytes: 2 entries; expected 4"),
    "flags too long": ({"is_output": np.zeros(5, dtype=np.bool_)}, "is_output: 5 entries;"),
    "constants too short": ({"is_constant": np.zeros(1, dtype=np.bool_)}, "is_constant: 1 entries"),
    "operator named twice": (
        {"operator_names": ("a", "a")},
        "operator 'a': name used twice; expected unique names",
    ),
    "tensor named twice": (
        {"tensor_names": ("x", "s", "s", "w")},
        "tensor 's': name used twice; expected unique names",
    ),
    "input out of range": (
        {"inputs": Ragged.of([[0], [4]])},
        "inputs of operator 'b': tensor index 4; expected 0 to 3",
    ),
    "negative output": (
        {"outputs": Ragged.of([[-1], [2]])},
        "outputs of operator 'a': tensor index -1; expected 0 to 3",
    ),
    "negative size": (
        {"tensor_bytes": np.array([10, -1, 30, 40])},
        f"tensor 's': size -1 bytes; expected 0 to {MAX_BYTES}",
    ),
    "huge size": (
        {"tensor_bytes": np.array([10, 20, MAX_BYTES + 1, 40])},
        f"tensor 'y': size {MAX_BYTES + 1} bytes; expected 0 to {MAX_BYTES}",
    ),
    "negative workspace": (
        {"workspace": np.array([0, -7])},
        "workspace of operator 'b': size -7 bytes",
    ),
    "two producers": (
        {"outputs": Ragged.of([[1], [1]]), "inputs": Ragged.of([[0], [0]])},
        "tensor 's': written by operators 'a' and 'b'; expected one producer",
    ),
    "written constant": (
        {"is_constant": np.array([False, True, False, True])},
        "tensor 's': constant, but written by operator 'a'; expected a constant without a producer",
    ),
    "reads what it writes": (
        {"inputs": Ragged.of([[0], [2]])},
        "graph: cycle 'b' -> 'b'; expected a graph without cycles",
    ),
    "cycle of two": (
        {"inputs": Ragged.of([[2], [1]])},
        "graph: cycle 'a' -> 'b' -> 'a'; expected a graph without cycles",
    ),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InstanceError, match="^" + re.escape(message)) as caught:
        graph(**changes)
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    assert len(str(caught.value).splitlines()) == 1


def test_sizes_that_add_up_to_too_much() -> None:
    n = 9
    big = columns(
        tensor_names=tuple(f"t{i}" for i in range(n)),
        tensor_bytes=np.full(n, MAX_BYTES),
        is_output=np.zeros(n, dtype=np.bool_),
        is_constant=np.zeros(n, dtype=np.bool_),
    )
    with pytest.raises(InstanceError, match="tensor: sizes add up to more than 8 PiB"):
        OperatorGraph(**big)
    big["tensor_bytes"] = np.append(np.full(n - 1, MAX_BYTES), 0)
    assert OperatorGraph(**big).n_tensors == n


def test_a_long_cycle_is_named_in_part() -> None:
    n = 12
    with pytest.raises(InstanceError) as caught:
        wired([[(o - 1) % n] for o in range(n)], [[o] for o in range(n)], n)
    names = re.findall(r"'(o\d+)'", str(caught.value))
    assert "'...'" in str(caught.value)
    assert len(names) == 6
    assert names[0] == names[-1]


@given(graphs(), st.data())
def test_a_cycle_that_is_named_is_one(dag: OperatorGraph, data: st.DataObject) -> None:
    """Feeding an operator what a descendant of it writes closes a cycle through both."""
    pairs = np.argwhere(dag.precedes | np.eye(dag.n_operators, dtype=np.bool_)).tolist()
    earlier, later = data.draw(st.sampled_from(pairs))
    inputs = [dag.inputs[o].tolist() for o in range(dag.n_operators)]
    outputs = [dag.outputs[o].tolist() for o in range(dag.n_operators)]
    inputs[earlier].append(outputs[later][0])
    with pytest.raises(InstanceError) as caught:
        wired(inputs, outputs, dag.n_tensors)
    path = [int(name) for name in re.findall(r"'o(\d+)'", str(caught.value))]
    if "'...'" in str(caught.value):
        path = path[:5]
    else:
        assert path[0] == path[-1]
    for before, after in pairwise(path):
        assert set(outputs[before]) & set(inputs[after])


# -- what is derived -------------------------------------------------------------------------


def test_a_small_graph_by_hand() -> None:
    net = graph()
    assert (net.n_operators, net.n_tensors) == (2, 4)
    assert net.producer.tolist() == [-1, 0, 1, -1]
    assert net.is_source.tolist() == [True, False, False, True]
    assert [row.tolist() for row in map(net.consumers.__getitem__, range(4))] == [
        [0],
        [1],
        [],
        [0, 1],
    ]
    assert net.working_set.tolist() == [10 + 20 + 40 + 5, 20 + 30 + 40]
    assert net.edges.tolist() == [[0, 1]]
    assert net.precedes.tolist() == [[False, True], [False, False]]


def test_columns_cannot_be_changed_afterwards() -> None:
    net = graph()
    with pytest.raises(ValueError, match="read-only"):
        net.tensor_bytes[0] = 1


def test_a_tensor_named_twice_is_read_once() -> None:
    net = graph(inputs=Ragged.of([[0, 3, 0], [1, 1]]))
    assert net.inputs[0].tolist() == [0, 3]
    assert net.consumers[1].tolist() == [1]
    assert net.working_set.tolist() == [75, 50]


@given(graphs())
def test_precedes_is_the_transitive_closure(dag: OperatorGraph) -> None:
    closure = nx.transitive_closure_dag(dag.to_networkx())
    expected = nx.to_numpy_array(closure, nodelist=range(dag.n_operators), dtype=np.bool_)
    assert np.array_equal(dag.precedes, expected)


@pytest.mark.parametrize("n", [63, 64, 65, 130])
def test_precedes_across_the_words_of_a_bitset(n: int) -> None:
    chain = wired([[], *([o] for o in range(n - 1))], [[o] for o in range(n)], n)
    assert np.array_equal(chain.precedes, np.triu(np.ones((n, n), dtype=np.bool_), 1))


@given(graphs())
def test_edges_successors_and_predecessors_say_the_same(dag: OperatorGraph) -> None:
    expected = {
        (p, c)
        for c in range(dag.n_operators)
        for t in dag.inputs[c].tolist()
        for p in range(dag.n_operators)
        if t in dag.outputs[p].tolist()
    }
    assert [tuple(edge) for edge in dag.edges.tolist()] == sorted(expected)
    assert set(dag.to_networkx().edges) == expected
    for o in range(dag.n_operators):
        assert dag.successors[o].tolist() == sorted(c for p, c in expected if p == o)
        assert dag.predecessors[o].tolist() == sorted(p for p, c in expected if c == o)


@given(graphs())
def test_given_order_is_the_closest_topological_order(dag: OperatorGraph) -> None:
    """Closest means: of all topological orders the lexicographically smallest."""
    expected = list(nx.lexicographical_topological_sort(dag.to_networkx()))
    assert dag.given_order.tolist() == expected
    assert dag.is_topological(dag.given_order)
    if dag.is_topological(np.arange(dag.n_operators)):
        assert dag.given_order.tolist() == list(range(dag.n_operators))


@given(graphs(), st.randoms(use_true_random=False))
def test_is_topological_agrees_with_every_edge(dag: OperatorGraph, rng: Any) -> None:
    order = list(range(dag.n_operators))
    rng.shuffle(order)
    expected = all(order.index(p) < order.index(c) for p, c in dag.edges.tolist())
    assert dag.is_topological(np.asarray(order)) is expected


@pytest.mark.parametrize("order", [[0], [0, 0], [0, 2], [0, 1, 1], []])
def test_what_is_no_permutation_is_no_order(order: list[int]) -> None:
    assert not graph().is_topological(np.asarray(order, dtype=np.int64))


@given(graphs())
def test_working_sets_count_every_tensor_once(dag: OperatorGraph) -> None:
    for o in range(dag.n_operators):
        touched = {*dag.inputs[o].tolist(), *dag.outputs[o].tolist()}
        assert dag.touched[o].tolist() == sorted(touched)
        expected = sum(int(dag.tensor_bytes[t]) for t in touched) + int(dag.workspace[o])
        assert dag.working_set[o] == expected


# -- ragged rows -----------------------------------------------------------------------------


rows = st.lists(st.lists(st.integers(0, 7), max_size=5), max_size=6)


@given(rows)
def test_ragged_keeps_its_rows(rows: list[list[int]]) -> None:
    ragged = Ragged.of(rows)
    assert [ragged[i].tolist() for i in range(len(ragged))] == rows
    assert ragged.lengths.tolist() == [len(row) for row in rows]
    assert ragged.row_of.tolist() == [i for i, row in enumerate(rows) for _ in row]
    assert ragged.values.dtype == ragged.start.dtype == np.int64


@given(rows)
def test_transposed_lists_the_rows_of_each_value(rows: list[list[int]]) -> None:
    back = Ragged.of(rows).transposed(8)
    for value in range(8):
        expected = [i for i, row in enumerate(rows) for v in row if v == value]
        assert back[value].tolist() == expected


@settings(max_examples=50)
@given(rows)
def test_transposing_twice_sorts_each_row(rows: list[list[int]]) -> None:
    twice = Ragged.of(rows).transposed(8).transposed(len(rows))
    assert [twice[i].tolist() for i in range(len(rows))] == [sorted(row) for row in rows]
