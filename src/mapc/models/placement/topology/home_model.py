"""Home traffic between nodes as a mixed-integer program.

    minimise    tokens that leave their node
    subject to  z[l, e, n]     whether node n holds expert e in layer l
                y[l, e, s, n]  tokens for e that live on node s and are handled on node n
                y <= w z,  sum_n y = w,  sum_e z <= slots of the node,  sum_n z >= 1,
                sum_{e, s} y <= the node's part of the load limit

Tokens go where the model likes best: with ``LOCAL`` dispatch they have less choice, so that the
optimum is a bound there. Without load rows its relaxation is whole, the flow problem of
`selection`; with them it is nearly so. Source: the project's research notes on placement, 8.4.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mapc.errors import UsageError
from mapc.graph.operators import BoolArray, IntArray
from mapc.models.base import Formulation
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import HOME, PlacementProblem
from mapc.models.placement.topology.node_search import nodes_of
from mapc.models.placement.topology.propagation import merged_residents
from mapc.program.model import Program
from mapc.solvers.base import Solution


def lower(
    problem: PlacementProblem, layers: IntArray | None = None, balanced: bool = True
) -> tuple[Program, Callable[[Solution], PlacementPlan]]:
    """Lower home traffic between nodes.

    Parameters
    ----------
    problem : PlacementProblem
        With home traffic; profiles are added up by what they count for.
    layers : int64[l], optional
        Layers of the program; all by default. Only all of them make a plan.
    balanced : bool
        Whether loads of nodes are limited, where the problem has a limit.

    Returns
    -------
    Program
        The objective counts tokens that leave their node, as parts of a layer's tokens.
    lift : callable
        From a solution to a plan; ranks inside nodes are packed by load.

    Raises
    ------
    UsageError
        For a problem with other traffic.
    """
    if problem.traffic != HOME:
        raise UsageError(f"formulation home: traffic is {problem.traffic}; expected {HOME}")
    nodes = nodes_of(problem)
    lives = merged_residents(problem)
    wanted = np.stack([lives[:, ranks].sum(axis=1) for ranks in nodes.ranks], axis=2)
    picked = np.arange(problem.n_layers) if layers is None else np.asarray(layers)
    n_nodes, n_experts = len(nodes.ranks), problem.n_experts
    program = Program("home")
    shape = (len(picked), n_experts, n_nodes)
    holds = program.variables(shape, name="holds")
    mass = wanted[picked]
    price = np.broadcast_to(1.0 - np.eye(n_nodes), (*shape, n_nodes))
    upper = np.broadcast_to(mass[:, :, :, None], price.shape)
    goes = program.variables(price.shape, upper=upper, integer=False, cost=price, name="handled")
    z, y = holds.columns, goes.columns
    program.rows(
        np.stack([y, np.broadcast_to(z[:, :, None, :], y.shape)], axis=-1).reshape(-1, 2),
        np.stack([np.ones(y.shape), -upper], axis=-1).reshape(-1, 2),
        upper=0.0,
        name="only where held",
    )
    program.rows(y.reshape(-1, n_nodes), 1.0, mass.ravel(), mass.ravel(), name="all handled")
    program.rows(z.reshape(-1, n_nodes), 1.0, 1.0, name="somewhere")
    inside = z.transpose(0, 2, 1).reshape(-1, n_experts)
    program.rows(inside, 1.0, upper=np.tile(nodes.slots, len(picked)), name="slots of a node")
    if balanced and problem.max_imbalance is not None:
        most = np.tile(nodes.capacity * problem.max_imbalance, len(picked))
        onto = y.transpose(0, 3, 1, 2).reshape(len(most), -1)
        program.rows(onto, 1.0, upper=most, name="load of a node")

    def lift(solution: Solution) -> PlacementPlan:
        if len(picked) < problem.n_layers or solution.values is None:
            raise UsageError("formulation home: only a solution of all layers makes a plan")
        return _plan(problem, np.asarray(solution.values[z] > 0.5))

    return program, lift


def _plan(problem: PlacementProblem, on: BoolArray) -> PlacementPlan:
    from mapc.models.placement.topology.home import filled_plan

    return filled_plan(problem, on)


FORMULATIONS_HOME = {
    "home": Formulation("home", lower, "Replicas on nodes where tokens live, with limited loads.")
}
