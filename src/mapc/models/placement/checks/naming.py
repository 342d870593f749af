"""How what is wrong with a placement problem is named.

Layers are named by their row in the arrays, and by their index in the model where that is another
one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mapc.errors import InstanceError
from mapc.graph.operators import BoolArray, IntArray

if TYPE_CHECKING:
    from mapc.models.placement.problem import PlacementProblem


def first(wrong: BoolArray) -> tuple[int, ...]:
    """Return the place of the first offender, or nothing."""
    if not wrong.any():
        return ()
    return tuple(int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape))


def profile_of(problem: PlacementProblem, profile: int) -> str:
    """Return e.g. ``profile 'decode'``."""
    return f"profile {problem.profiles[profile]!r}"


def layer_of(problem: PlacementProblem, layer: int) -> str:
    """Return e.g. ``layer 0 (layer 3 of the model)``."""
    ids = problem.layer_ids
    own = layer < len(ids) and ids[layer] != layer
    return f"layer {layer} (layer {ids[layer]} of the model)" if own else f"layer {layer}"


def rank_of(problem: PlacementProblem, rank: int) -> str:
    """Return e.g. ``rank 'rank7'``."""
    return f"rank {problem.cluster.names[rank]!r}"


def triple_of(problem: PlacementProblem, triple: IntArray) -> str:
    """Return layer, expert and rank of a pin in words."""
    layer, expert, rank = triple.tolist()
    return f"{layer_of(problem, layer)}, expert {expert}, {rank_of(problem, rank)}"


def check_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Refuse an array of another shape."""
    if array.shape != shape:
        raise InstanceError(f"shape {array.shape}", name, f"{shape}")
