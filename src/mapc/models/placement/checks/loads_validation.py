"""The rules for loads: counts, profiles, transitions and sources."""

from __future__ import annotations

import numpy as np

from mapc.errors import InstanceError
from mapc.graph.operators import IntArray
from mapc.models.placement.checks.naming import first, layer_of, profile_of, rank_of
from mapc.models.placement.problem import ADAPTIVE, CHAIN, HOME, PlacementProblem

MAX_TOTAL = 2**52
"""Most tokens, and most token pairs, in all profiles and layers: floats count them exactly."""


def check_counts(problem: PlacementProblem) -> None:
    """Refuse negative counts, layers without tokens, and more tokens than floats count."""
    counts = problem.counts
    _total("counts", counts)
    at = first(counts < 0)
    if at:
        where = f"{profile_of(problem, at[0])}, {layer_of(problem, at[1])}, expert {at[2]}"
        raise InstanceError(f"{counts[at]} tokens", where, "a count >= 0")
    at = first(counts.sum(axis=2) == 0)
    if at:
        raise InstanceError(
            "no tokens for any expert",
            f"{profile_of(problem, at[0])}, {layer_of(problem, at[1])}",
            "some; leave out what is no layer of experts, or record longer",
        )


def check_profiles(problem: PlacementProblem) -> None:
    """Refuse names used twice, weights and scales that are no finite numbers above 0."""
    seen: set[str] = set()
    for name in problem.profiles:
        if name in seen:
            raise InstanceError("name used twice", f"profile {name!r}", "distinct names")
        seen.add(name)
    for name, right in (("weight", "leave the profile out"), ("scale", "tokens of a step")):
        values = getattr(problem, name)
        at = first(~((values > 0) & np.isfinite(values)))
        if at:
            where = profile_of(problem, at[0])
            raise InstanceError(f"{name} {values[at]}", where, f"a finite number > 0; {right}")
        with np.errstate(over="ignore"):
            total = values.sum()
        if not np.isfinite(total):
            raise InstanceError(f"{name}s beyond floats in all", name, "smaller numbers")


def _total(name: str, array: IntArray) -> None:
    # floats cannot wrap around as the sums that follow could
    total = float(np.abs(array, dtype=np.float64).sum())
    if total > MAX_TOTAL:
        raise InstanceError(f"{total:.6g} tokens in all", name, f"at most 2**52 = {MAX_TOTAL}")


def check_transitions(problem: PlacementProblem) -> None:
    """Refuse transitions that are missing for chain traffic, or negative."""
    pairs = problem.transitions
    if pairs is None:
        if problem.traffic == CHAIN:
            raise InstanceError(
                "none", "transitions", "token pairs between neighbouring layers, for chain traffic"
            )
        return
    _total("transitions", pairs)
    at = first(pairs < 0)
    if at:
        profile, layer = profile_of(problem, at[0]), layer_of(problem, at[1])
        where = f"transitions of {profile}, {layer}, expert {at[2]} to {at[3]}"
        raise InstanceError(f"{pairs[at]} token pairs", where, "a count >= 0")


def check_sources(problem: PlacementProblem) -> None:
    """Refuse sources that are missing, do not add up to the counts, or are dead."""
    found = problem.sources
    if found is None:
        if problem.traffic == HOME and problem.dispatch == ADAPTIVE:
            raise InstanceError(
                "none", "sources", "tokens by rank or node: adaptive dispatch splits each of them"
            )
        return
    n_profiles, n_layers, n_experts = problem.counts.shape
    by = {problem.n_ranks: "rank", problem.n_nodes: "node"} | {problem.n_ranks: "rank"}
    word = by.get(found.shape[2], "")
    if not word or found.shape != (n_profiles, n_layers, found.shape[2], n_experts):
        sizes = f"{problem.n_ranks} ranks or {problem.n_nodes} nodes"
        right = f"({n_profiles}, {n_layers}, {sizes}, {n_experts})"
        raise InstanceError(f"shape {found.shape}", "sources", right)
    _total("sources", found)
    at = first(found < 0)
    if at:
        raise InstanceError(f"{found[at]} tokens", _source(problem, at, word), "a count >= 0")
    off = found.sum(axis=2)
    at = first(off != problem.counts)
    if at:
        raise InstanceError(
            f"{off[at]} tokens in all",
            f"sources of {profile_of(problem, at[0])}, {layer_of(problem, at[1])}, expert {at[2]}",
            f"{problem.counts[at]}, as in counts",
        )
    _check_alive(problem, found, word)


def _check_alive(problem: PlacementProblem, sources: IntArray, word: str) -> None:
    gone = problem.dead
    if word == "node":
        gone = np.bincount(problem.node, ~problem.dead, problem.n_nodes) == 0
    at = first((sources > 0) & gone[:, None])
    if at:
        raise InstanceError(
            f"{sources[at]} tokens", _source(problem, at, word), "none: that is dead"
        )


def _source(problem: PlacementProblem, at: tuple[int, ...], word: str) -> str:
    profile, layer = profile_of(problem, at[0]), layer_of(problem, at[1])
    name = rank_of(problem, at[2]) if word == "rank" else f"node {at[2]}"
    return f"sources of {profile}, {layer}, {name}, expert {at[3]}"
