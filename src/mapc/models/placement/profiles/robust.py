"""Placements for profiles that nobody recorded: training on noisy copies, leave-one-out figures.

A placement tuned to given profiles loses balance on others. How much is measured by training
without one of the profiles and testing on it. Noisy copies of the profiles, as profiles of their
own, keep a search from relying on loads to the last percent.

Measured on six profiles of DeepSeek-V3, one left out in turn, every second layer, 7 s of one busy
core for each training; mean and worst balancedness on the profile left out:

* Trained for adaptive splits, 32 ranks of 9 slots: 0.983, 0.955 to 0.959 without copies; 0.988,
  0.966 to 0.969 with two of each profile and noise 0.1; 0.989, 0.977 with four. 64 ranks of 5
  slots: 0.970 to 0.974, 0.923 to 0.943; 0.974 to 0.976, 0.940 to 0.948; 0.980, 0.954.
  Noise of 0.05 or 0.15 gains less. Every copy costs time: in the first seconds a search with
  copies is behind one without.
* Convex mixtures of profiles give nothing: a rank's load in a mixture is the mixture of its loads,
  so its largest load is at most that of its parts. Nor does extrapolation along their differences.
* Trained for even splits, nothing tried improved on 0.954 to 0.958 (0.929 at 64 ranks): noise of
  0.03 changes nothing, of 0.1 loses half a percent and more. More replicas help there, or splits
  that adapt (0.983 for the same placements).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mapc.errors import InstanceError
from mapc.graph.operators import IntArray
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import FloatArray, PlacementProblem
from mapc.models.placement.profiles.flows import best_split
from mapc.models.placement.rows import tables_of

COPIES = 4
"""Noisy copies of every profile."""
NOISE = 0.1
"""Standard deviation of the logarithm of an expert's tokens in a copy."""
WEIGHT = 3.0
"""Weight of all added profiles beside that of the given ones."""


def robust_profiles(
    problem: PlacementProblem,
    *,
    copies: int = COPIES,
    noise: float = NOISE,
    mixtures: int = 0,
    weight: float = WEIGHT,
    seed: int = 0,
) -> PlacementProblem:
    """Return the problem with profiles added that differ from the given ones.

    Any method solves it; its plans have no split for the problem itself (see `tables_of` and
    `mapc.models.placement.profiles.flows.best_split`), their slots fit. Sources and transitions
    change in proportion to the experts they belong to.

    Parameters
    ----------
    problem : PlacementProblem
    copies : int
        Noisy copies of every profile: tokens of each expert and layer times exp(noise * z), z
        standard normal, then scaled to the layer's old total.
    noise : float
        >= 0.
    mixtures : int
        Convex combinations of profiles, weights drawn evenly (Dirichlet). They can only smooth a
        mean over profiles; the worst case is that of the given profiles.
    weight : float
        Of all added profiles together, where the given ones have 1; > 0.
    seed : int

    Raises
    ------
    InstanceError
        For negative numbers, or a weight that is not positive.
    """
    for name, value in (("copies", copies), ("mixtures", mixtures), ("noise", noise)):
        if not 0 <= value < np.inf:
            raise InstanceError(f"{value}", f"{name} of robust profiles", ">= 0")
    if not 0 < weight < np.inf:
        raise InstanceError(f"{weight}", "weight of robust profiles", "> 0")
    n = problem.n_profiles
    rng = np.random.default_rng(seed)
    parts = np.concatenate([np.tile(np.eye(n), (copies, 1)), rng.dirichlet(np.ones(n), mixtures)])
    if not len(parts):
        return problem
    factor = np.ones((len(parts), problem.n_layers, problem.n_experts))
    factor[: copies * n] = np.exp(noise * rng.standard_normal(factor[: copies * n].shape))
    names = [f"{name}~{i + 1}" for i in range(copies) for name in problem.profiles]
    names += [f"mixture~{i + 1}" for i in range(mixtures)]
    added = _blend(problem, parts, factor)
    share = parts @ problem.weight
    return problem.replace(
        profiles=(*problem.profiles, *names),
        weight=np.concatenate([problem.weight, weight * share / share.sum()]),
        scale=np.concatenate([problem.scale, parts @ problem.scale]),
        **{key: np.concatenate([getattr(problem, key), values]) for key, values in added.items()},
    )


def _blend(problem: PlacementProblem, parts: FloatArray, factor: FloatArray) -> dict[str, IntArray]:
    """Return counts, sources and transitions of profiles that mix the given ones.

    Parameters
    ----------
    problem : PlacementProblem
    parts : float64[n, P]
        Of each step, what comes from each profile; rows sum to 1.
    factor : float64[n, L, E]
        What an expert's tokens are multiplied with.
    """
    # a window of the mixture has parts @ scale tokens of a step for each of its own
    share = parts * problem.scale / (parts @ problem.scale)[:, None]
    mixed = np.einsum("np,ple->nle", share, problem.counts)
    factor = factor * (mixed.sum(axis=2) / (mixed * factor).sum(axis=2))[:, :, None]
    found = {"counts": _whole(mixed * factor)}
    if problem.sources is not None:
        sources = np.einsum("np,plqe->nlqe", share, problem.sources) * factor[:, :, None]
        flat = _whole(sources.reshape(*sources.shape[:2], -1))
        found["sources"] = flat.reshape(sources.shape)
        found["counts"] = found["sources"].sum(axis=2)
    if problem.transitions is not None:
        pairs = np.einsum("np,plef->nlef", share, problem.transitions)
        pairs *= factor[:, :-1, :, None] * factor[:, 1:, None, :]
        found["transitions"] = np.rint(pairs).astype(np.int64)
    return found


def _whole(tokens: FloatArray) -> IntArray:
    """Round tokens float64[n, L, k]; where that leaves nothing of a layer, keep one token."""
    whole = np.rint(tokens).astype(np.int64)
    n, layer = np.nonzero(whole.sum(axis=2) == 0)
    whole[n, layer, tokens.argmax(axis=2)[n, layer]] = 1
    return whole


def keep_profiles(problem: PlacementProblem, kept: Sequence[int]) -> PlacementProblem:
    """Return the problem with some of its profiles."""
    index = np.asarray(kept, dtype=np.int64)
    return problem.replace(
        profiles=tuple(problem.profiles[p] for p in kept),
        **{
            key: getattr(problem, key)[index]
            for key in ("counts", "weight", "scale", "transitions", "sources")
            if getattr(problem, key) is not None
        },
    )


@dataclass(frozen=True)
class HeldOut:
    """Balancedness of a placement that was trained without one profile.

    Mean over ranks of tokens / speed, over the largest, averaged over layers; for replicas that
    share evenly, and for the best split.

    Attributes
    ----------
    profile : str
        The one left out.
    train_equal, train_adaptive : float
        Mean over the other profiles.
    test_equal, test_adaptive : float
        On the profile left out.
    """

    profile: str
    train_equal: float
    train_adaptive: float
    test_equal: float
    test_adaptive: float


def leave_one_out(
    problem: PlacementProblem, train: Callable[[PlacementProblem], PlacementPlan]
) -> list[HeldOut]:
    """Leave out every profile in turn, train on the others, test on it.

    Parameters
    ----------
    problem : PlacementProblem
        Two profiles or more.
    train : callable
        From a problem with one profile less to a plan whose slots fit it.

    Raises
    ------
    InstanceError
        For a problem with a single profile.
    """
    n = problem.n_profiles
    if n < 2:
        raise InstanceError(
            f"one, {problem.profiles[0]!r}", "profiles", "two or more to leave one out"
        )
    found = []
    for p in range(n):
        others = [q for q in range(n) if q != p]
        plan = train(keep_profiles(problem, others))
        equal, adaptive = balancedness(problem, tables_of(problem, plan))
        found.append(
            HeldOut(
                problem.profiles[p],
                float(equal[others].mean()),
                float(adaptive[others].mean()),
                float(equal[p]),
                float(adaptive[p]),
            )
        )
    return found


def balancedness(problem: PlacementProblem, tables: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the balancedness of tables int64[L, H, C], evenly and best split; both float64[P]."""
    layers = np.arange(problem.n_layers)
    copies = np.zeros((problem.n_layers, problem.n_experts), dtype=np.int64)
    np.add.at(copies, (layers[:, None, None], tables), 1)
    speed = problem.cluster.speed[problem.live]
    equal = (problem.counts / copies)[:, layers[:, None, None], tables].sum(axis=3) / speed
    adaptive = best_split(problem, tables).tokens.sum(axis=3) / speed
    return _ratio(equal), _ratio(adaptive)


def _ratio(load: FloatArray) -> FloatArray:
    return np.asarray((load.mean(axis=2) / load.max(axis=2)).mean(axis=1))
