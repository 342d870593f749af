"""The rules for ranks: links, slots, memory, the placement in force and pins."""

from __future__ import annotations

import numpy as np

from mapc.errors import InstanceError
from mapc.models.placement.checks.naming import check_shape, first, layer_of, rank_of, triple_of
from mapc.models.placement.problem import NONE, PlacementProblem


def check_cluster(problem: PlacementProblem) -> None:
    """Refuse nodes out of range, links that are there twice, or missing where they are paid for."""
    cluster, n = problem.cluster, problem.n_ranks
    names: set[str] = set()
    for name in cluster.names:
        if name in names:
            raise InstanceError("name used twice", f"rank {name!r}", "distinct names")
        names.add(name)
    at = first((cluster.node < 0) | (cluster.node >= 2**31))
    if at:
        raise InstanceError(f"node {cluster.node[at]}", rank_of(problem, at[0]), "0 to 2**31 - 1")
    if not len(problem.live):
        raise InstanceError("all ranks are dead", "dead", "a live one")
    links = np.bincount(cluster.link_source * n + cluster.link_target, minlength=n * n)
    at = first(links.reshape(n, n) > 1)
    if at:
        raise InstanceError("linked twice", _link(problem, at), "one link each way")
    if problem.traffic == NONE or not problem.cost.transfer:
        return
    needed = ~problem.dead[:, None] & ~problem.dead & ~np.eye(n, dtype=np.bool_)
    at = first(needed & (links.reshape(n, n) == 0))
    if at:
        raise InstanceError(
            "no link, but transfers cost something", _link(problem, at), "a bandwidth > 0"
        )


def _link(problem: PlacementProblem, at: tuple[int, ...]) -> str:
    names = problem.cluster.names
    return f"link from rank {names[at[0]]!r} to {names[at[1]]!r}"


def check_slots(problem: PlacementProblem) -> None:
    """Refuse slots that cannot hold all experts, would hold one twice, or exceed the memory."""
    live, n_experts, slots = len(problem.live), problem.n_experts, problem.slots
    if slots * live < n_experts:
        raise InstanceError(
            f"{slots} on each of {live} live ranks, {slots * live} for {n_experts} experts",
            "slots",
            f"at least {-(-n_experts // live)}",
        )
    if slots > n_experts:
        raise InstanceError(
            f"{slots} for {n_experts} experts would hold some twice on a rank",
            "slots",
            f"at most {n_experts}",
        )
    needed = int(problem.expert_bytes) * slots * problem.n_layers
    short = ~problem.dead & (problem.cluster.memory < min(needed, 2**63 - 1))
    at = first(short)
    if at:
        raise InstanceError(
            f"{slots} slots in {problem.n_layers} layers take {needed} bytes, above the "
            f"{problem.cluster.memory[at]} there",
            rank_of(problem, at[0]),
            f"at most {_fitting(problem, at[0])} slots",
        )


def _fitting(problem: PlacementProblem, rank: int) -> int:
    return int(problem.cluster.memory[rank]) // (int(problem.expert_bytes) * problem.n_layers)


def check_current(problem: PlacementProblem) -> None:
    """Refuse a placement in force of another size, or with duplicates on a rank."""
    current = problem.current
    if current is None:
        return
    check_shape("current", current, (problem.n_layers, problem.n_ranks, problem.slots))
    at = first((current < -1) | (current >= problem.n_experts))
    if at:
        raise InstanceError(
            f"expert {current[at]} in slot {at[2]}",
            f"current, {layer_of(problem, at[0])}, {rank_of(problem, at[1])}",
            f"0 to {problem.n_experts - 1}, or -1 for none",
        )
    ordered = np.sort(current, axis=2)
    at = first((ordered[:, :, 1:] == ordered[:, :, :-1]) & (ordered[:, :, 1:] >= 0))
    if at:
        raise InstanceError(
            f"expert {ordered[at]} twice",
            f"current, {layer_of(problem, at[0])}, {rank_of(problem, at[1])}",
            "different experts; -1 for a second copy",
        )


def check_triples(problem: PlacementProblem) -> None:
    """Refuse pins and forbidden pairs that are out of range or contradict each other."""
    sizes = (problem.n_layers, problem.n_experts, problem.n_ranks)
    for name in ("pinned", "forbidden"):
        triples = getattr(problem, name)
        at = first((triples < 0) | (triples >= np.array(sizes)))
        if at:
            row, column = at
            word = ("layer", "expert", "rank")[column]
            raise InstanceError(
                f"{word} {triples[at]}", f"{name}[{row}]", f"0 to {sizes[column] - 1}"
            )
    pins = np.unique(problem.pinned, axis=0)
    layer, expert, rank = pins.T
    for wrong, what, right in (
        (problem.dead[rank], "pinned, but dead", "a live rank"),
        (~problem.allowed[layer, expert, rank], "pinned and forbidden", "one or the other"),
    ):
        at = first(wrong)
        if at:
            raise InstanceError(what, triple_of(problem, pins[at[0]]), right)
    full = np.zeros((sizes[0], sizes[2]), dtype=np.int64)
    np.add.at(full, (layer, rank), 1)
    at = first(full > problem.slots)
    if at:
        raise InstanceError(
            f"{full[at]} experts pinned",
            f"{layer_of(problem, at[0])}, {rank_of(problem, at[1])}",
            f"at most {problem.slots}, its slots",
        )
    at = first(np.asarray(~problem.allowed.any(axis=2)))
    if at:
        where = f"{layer_of(problem, at[0])}, expert {at[1]}"
        raise InstanceError("forbidden on every live rank", where, "a rank that may hold it")
