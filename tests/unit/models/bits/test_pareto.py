import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.bits.pareto import History, States
from oracles.knapsack_bruteforce import pareto

many = settings(max_examples=120, deadline=None, derandomize=True)
points = st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=1, max_size=40)


def states_of(pairs) -> States:
    cost, quanta = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    return States.undominated(cost, quanta, np.arange(len(pairs), dtype=np.int64))


@many
@given(points)
def test_what_stays_is_the_pareto_set(pairs):
    states = states_of(pairs)
    assert list(zip(states.cost.tolist(), states.quanta.tolist(), strict=True)) == pareto(pairs)
    assert [pairs[node] for node in states.node] == pareto(pairs)


@many
@given(points, st.integers(-25, 25))
def test_the_best_partner_within_a_room(pairs, room):
    states = states_of(pairs)
    place = int(states.within(np.array([room]))[0])
    best = min((q for c, q in pairs if c <= room), default=None)
    assert (None if place < 0 else int(states.quanta[place])) == best


def test_a_history_tells_the_way_back():
    history = History()
    first = history.append(np.array([0, 0]), np.array([5, 7]))
    second = history.append(first[[1]], np.array([11]))
    third = history.append(np.array([second[0], 0]), np.array([13, 17]))
    assert [history.options(int(node)) for node in (*first, *second, *third)] == [
        [5], [7], [11, 7], [13, 11, 7], [17],
    ]  # fmt: skip
    assert history.options(0) == []
