from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mapc.errors import InstanceError, UsageError
from mapc.instances.importers import import_trace
from mapc.instances.importers.recording import co_activation, routed_counts, transitions_of
from mapc.models.placement.problem import CHAIN, NONE

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[5] / "shared" / "data"))
TRACE = DATA / "placement" / "mixtral_8x7b_humaneval_trace.npz"

ROUTES = st.tuples(st.integers(0, 5), st.integers(1, 3), st.integers(1, 3)).flatmap(
    lambda shape: arrays("int16", shape, elements=st.integers(-1, 3))
)


@settings(max_examples=60)
@given(ROUTES)
def test_counts_by_counting(ids: Any) -> None:
    tokens, layers, _ = ids.shape
    counts = Counter((r, e) for t in range(tokens) for r in range(layers) for e in ids[t, r])
    pairs = Counter(
        (r, a, b)
        for t in range(tokens)
        for r in range(layers - 1)
        for a in ids[t, r]
        for b in ids[t, r + 1]
    )
    both = Counter(
        (r, a, b)
        for t in range(tokens)
        for r in range(layers)
        for a in ids[t, r]
        for b in ids[t, r]
    )
    found = routed_counts(ids, 4)
    assert [[counts[r, e] for e in range(4)] for r in range(layers)] == found.tolist()
    for found, expected in (
        (transitions_of(ids, np.arange(layers), 4), pairs),
        (co_activation(ids, 4), both),
    ):
        for (r, a, b), n in np.ndenumerate(found):
            assert n == expected[r, a, b]
    assert len(transitions_of(ids, np.arange(layers), 4)) == layers - 1


def save(folder: Path, **arrays: Any) -> Path:
    path = folder / "trace.npz"
    np.savez(path, **{name: np.array(array) for name, array in arrays.items()})
    return path


# three tokens, two layers, two experts each; the last token has one expert in its second layer
TOPK = [[[0, 1], [2, 3]], [[0, 2], [2, 0]], [[3, 0], [1, -1]]]


def test_a_trace_becomes_a_chain(tmp_path: Path) -> None:
    problem = import_trace(save(tmp_path, topk=TOPK), ranks=2)
    assert problem.counts.tolist() == [[[3, 1, 1, 1], [1, 1, 2, 1]]]
    assert problem.transitions is not None
    assert problem.transitions[0, 0].tolist() == [
        [1, 1, 2, 1],
        [0, 0, 1, 1],
        [1, 0, 1, 0],
        [0, 1, 0, 0],
    ]
    assert (problem.traffic, problem.top_k, problem.slots) == (CHAIN, 2, 2)
    cost = problem.cost
    assert (cost.token, cost.transfer, cost.unit, problem.scale[0]) == (4, 1, "tokens", 1)
    assert problem.pair.tolist() == [[0, 1], [1, 0]]
    apart = import_trace(save(tmp_path, topk=TOPK), ranks=2, nodes=2)
    assert apart.pair.tolist() == [[0, 4], [4, 0]]


def test_ready_arrays_are_enough_and_have_to_agree(tmp_path: Path) -> None:
    whole = import_trace(save(tmp_path, topk=TOPK), ranks=2)
    counts, transitions = whole.counts[0], whole.transitions
    assert transitions is not None
    ready = import_trace(save(tmp_path, counts=counts, transitions=transitions[0]), ranks=2)
    assert np.array_equal(ready.counts, whole.counts)
    assert np.array_equal(ready.transitions, transitions)
    both = save(tmp_path, topk=TOPK, counts=counts, transitions=transitions[0])
    assert np.array_equal(import_trace(both, ranks=2).transitions, transitions)
    alone = import_trace(save(tmp_path, counts=counts), ranks=2)
    assert (alone.traffic, alone.transitions) == (NONE, None)


def test_layers_without_tokens_are_left_out(tmp_path: Path) -> None:
    none = np.full((3, 1, 2), -1)
    topk = np.concatenate([none, np.array(TOPK), none], axis=1)
    problem = import_trace(save(tmp_path, topk=topk), ranks=2)
    assert (problem.layer_ids.tolist(), problem.model_layers) == ([1, 2], 4)
    straight = import_trace(save(tmp_path, topk=TOPK), ranks=2)
    assert np.array_equal(problem.transitions, straight.transitions)
    between = np.insert(np.array(TOPK), 1, -1, axis=1)
    problem = import_trace(save(tmp_path, topk=between), ranks=2)
    assert problem.layer_ids.tolist() == [0, 2]
    assert np.array_equal(problem.transitions, straight.transitions)


def test_experts_that_had_no_tokens(tmp_path: Path) -> None:
    problem = import_trace(save(tmp_path, topk=TOPK), experts=6, ranks=2)
    assert problem.counts[0, 0].tolist() == [3, 1, 1, 1, 0, 0]


def test_one_layer_has_no_chain(tmp_path: Path) -> None:
    assert import_trace(save(tmp_path, topk=[[[0, 1]]]), ranks=2).traffic == NONE


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"routes": TOPK}, {}, "no topk and no counts; expected one of them at least"),
        ({"topk": [[0, 1]]}, {}, "topk: shape (1, 2); expected [tokens, layers, k]"),
        ({"topk": [[[0, -2]]]}, {}, "topk: expert -2; expected -1 to"),
        ({"topk": [[[0, 99999]]]}, {}, "topk: expert 99999; expected -1 to 16383"),
        ({"topk": [[[0.5]]]}, {}, "topk[0, 0, 0]: 0.5; expected a whole number"),
        ({"topk": TOPK}, {"experts": 3}, "topk: expert 3; expected -1 to 2"),
        ({"topk": [[[-1, -1]]]}, {}, "no tokens in any layer"),
        ({"topk": TOPK, "counts": np.ones((2, 4))}, {}, "counts: not those of topk"),
        ({"counts": np.ones((2, 4))}, {"experts": 5}, "counts: 4 experts; expected 5"),
        ({"counts": np.ones(4)}, {}, "profile 'counts': shape (4,); expected [layers, experts]"),
        (
            {"counts": np.ones((2, 4)), "transitions": np.ones((2, 4, 4))},
            {},
            "transitions: shape (2, 4, 4); expected (1, 4, 4)",
        ),
        (
            {"counts": [[1, 1], [0, 0], [1, 1]], "transitions": np.zeros((2, 2, 2))},
            {},
            "transitions: a layer without tokens between others",
        ),
    ],
)
def test_malformed(tmp_path: Path, arrays: Any, options: Any, message: str) -> None:
    path = save(tmp_path, **arrays)
    with pytest.raises(InstanceError) as caught:
        import_trace(path, ranks=2, **options)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_transitions_that_differ_from_topk(tmp_path: Path) -> None:
    path = save(
        tmp_path, topk=TOPK, counts=[[3, 1, 1, 1], [1, 1, 2, 1]], transitions=[[[1] * 4] * 4]
    )
    with pytest.raises(InstanceError, match="transitions: not those of topk"):
        import_trace(path, ranks=2)


def test_experts_that_do_not_divide(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"4 experts do not fill 3 ranks evenly; expected --slots 2"
    ):
        import_trace(save(tmp_path, topk=TOPK), ranks=3)


@pytest.mark.skipif(not TRACE.exists(), reason="no Mixtral trace; set MAPC_DATA")
def test_the_published_trace_of_mixtral() -> None:
    problem = import_trace(TRACE, ranks=4)
    assert problem.counts.shape == (1, 32, 8)
    assert set(problem.counts.sum(axis=2).ravel()) == {333 * 2}
    assert problem.transitions is not None
    # every token has 2 x 2 pairs; the file holds counts and transitions of its own, which agree
    assert set(problem.transitions.sum(axis=(2, 3)).ravel()) == {333 * 4}
