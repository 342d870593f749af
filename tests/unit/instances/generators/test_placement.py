import numpy as np
import pytest

from mapc.errors import UsageError
from mapc.instances.generators import generator
from mapc.instances.generators.placement import generate


def test_shapes_and_sums():
    problem = generate(3, 16, 4, slots=5, nodes=2, profiles=3, tokens=5000, seed=1)
    assert problem.counts.shape == (3, 3, 16)
    assert (problem.counts.sum(axis=2) == 5000).all()
    assert problem.profiles == ("prefill0", "prefill1", "decode0")
    assert problem.node.tolist() == [0, 0, 1, 1]
    assert (problem.slots, problem.top_k) == (5, 8)
    assert problem.balance_only


def test_slots_default_to_what_holds_all_experts():
    problem = generate(1, 10, 4)
    assert problem.slots == 3


def test_transitions_have_the_margins_of_every_profile():
    problem = generate(3, 16, 4, slots=5, nodes=2, profiles=2, transitions=0.2, tokens=5000)
    assert (problem.traffic, problem.dispatch) == ("chain", "local")
    assert np.array_equal(problem.transitions.sum(axis=3), problem.counts[:, :-1])
    assert np.array_equal(problem.transitions.sum(axis=2), problem.counts[:, 1:])


def test_single_copies_are_dispatched_where_they_are():
    assert generate(2, 8, 4, transitions=0.1).dispatch == "equal"


def test_prefill_is_more_skewed_than_decode():
    counts = generate(20, 256, 8, profiles=2).counts
    peaks = counts.max(axis=2).mean(axis=1)
    assert peaks[0] > peaks[1] * 1.1


def test_equal_seeds_give_equal_problems_and_others_do_not():
    one, two, other = (generate(2, 8, 2, transitions=0.1, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.counts, two.counts)
    assert np.array_equal(one.transitions, two.transitions)
    assert not np.array_equal(one.counts, other.counts)


def test_it_stands_in_the_table_of_generators():
    problem = generator("placement")(layers=2, experts=8, ranks=4, nodes=2, transitions=0.1)
    assert problem.name == "placement-2x8-4x2-0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 8, 2), "layers 0: expected 1 to 10000"),
        ((1, 8, 2, 9), "slots 9: expected 1 to 8"),
        ((1, 8, 2, 3), "3 slots on 2 ranks: expected room for 8 experts, 4 slots or more"),
        ((1, 8, 4, 2, 3), "4 ranks on 3 nodes: expected as many ranks on every node"),
        ((1, 8, 2, 4, 3), "nodes 3: expected 1 to 2"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(UsageError) as caught:
        generate(*arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize("eta", [-0.1, 1.5, float("nan")])
def test_transitions_are_a_part(eta):
    with pytest.raises(UsageError, match=r"transitions \S+: expected 0 to 1"):
        generate(2, 8, 2, transitions=eta)
