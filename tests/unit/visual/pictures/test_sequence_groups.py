"""Classes of groups, and their words."""

from __future__ import annotations

import numpy as np
import pytest

from mapc.models.sequence.problem import RING, ULYSSES
from mapc.visual.pictures.sequence_groups import COLOURS, classes_of, ranks
from oracles.sequence_cases import problem_of


class TestColours:
    @pytest.mark.parametrize(
        ("degrees", "kinds", "names"),
        [
            ((1, 2, 4), (ULYSSES,), ("degree 1", "degree 2", "degree 4")),
            ((1, 2), (ULYSSES, RING), ("degree 1 ulysses", "degree 1 ring", *("",) * 2)),
            (
                tuple(2**i for i in range(9)),
                (ULYSSES,),
                (*(f"degree {2**i}" for i in range(7)), "degree 128 to 256"),
            ),
            (
                tuple(2**i for i in range(16)),
                (RING,),
                tuple(f"degree {4**i} to {2 * 4**i}" for i in range(8)),
            ),
            (
                tuple(2**i for i in range(5)),
                (ULYSSES, RING),
                tuple(f"degree {2**i}" for i in range(5)),
            ),
        ],
    )
    def test_a_class_for_every_mode_degree_or_few_degrees(
        self, degrees: tuple[int, ...], kinds: tuple[str, ...], names: tuple[str, ...]
    ) -> None:
        modes = [(d, kind, 0.0, 1.0, 0.0, 8 * d) for d in degrees for kind in kinds]
        problem = problem_of([3], modes, n_ranks=degrees[-1])
        classes = classes_of(problem)
        assert len(classes.names) == len(names) <= COLOURS
        assert all(a == b for a, b in zip(classes.names, names, strict=True) if b)
        assert (np.diff(classes.of_mode) >= 0).all()
        assert set(classes.of_mode.tolist()) == set(range(len(names)))
        for mode, (degree, *_) in enumerate(modes):
            words = classes.names[classes.of_mode[mode]].split()
            low, high = int(words[1]), int(words[3] if "to" in words else words[1])
            assert low <= degree <= high


def test_words() -> None:
    assert [ranks(3, 1), ranks(1024, 8)] == ["rank 3", "ranks 1,024 to 1,031"]
