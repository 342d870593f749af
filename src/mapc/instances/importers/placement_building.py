"""From recorded loads to a placement problem: the options all importers of loads share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from mapc.errors import InstanceError, UsageError
from mapc.files import display_name
from mapc.graph.operators import IntArray
from mapc.instances.importers.cluster_toml import Cluster, plain_cluster, read_cluster
from mapc.instances.importers.placement_costs import Wishes, step_time
from mapc.instances.importers.placement_rules import (
    dead_ranks,
    in_force,
    layers_of,
    max_moves_of,
    read_current,
    slots_for,
    triples,
)
from mapc.instances.importers.recording import Profile, Recording
from mapc.models.placement.problem import (
    ADAPTIVE,
    BUSIEST,
    CHAIN,
    EQUAL,
    EXPECTED,
    HOME,
    LOCAL,
    NONE,
    SUM,
    WORST,
    PlacementProblem,
)
from mapc.models.placement.profiles.robust import robust_profiles
from mapc.options import Option
from mapc.units import parse_bytes

ALL = "all"
MOST_COPIES = 1000
"""Noisy copies of a profile; more than a few add time and nothing else."""
"""As ``--profile``: every profile of the file."""


class Building(TypedDict, total=False):
    """Keywords of `build`, which every importer of loads takes; `OPTIONS` says what they mean."""

    profile: Sequence[str]
    profile_weights: Sequence[float]
    noisy_copies: int
    ranks: int
    nodes: int
    slots: int
    cluster: str | Path
    dead: Sequence[int]
    goal: str
    dispatch: str
    traffic: str
    links: str
    overlap: bool
    cost: Sequence[str]
    hidden: int
    ffn: int
    top_k: int
    expert_bytes: str
    batch_tokens: int
    decode: bool
    max_imbalance: float
    current: str | Path
    max_moves: str
    pin: Sequence[str]
    forbid: Sequence[str]
    groups: int
    layers_from: int
    model_layers: int


OPTIONS: tuple[Option, ...] = (
    Option("profile", "Profiles of the file to place for, or all.", many=True),
    Option("profile_weights", "How much each of them counts.", float, many=True),
    Option("noisy_copies", "Copies of each with noise, for loads not seen.", int, default=0),
    Option("ranks", "GPUs that share the experts.", int),
    Option("nodes", "Nodes they are spread over evenly.", int, default=1),
    Option("slots", "Experts that a rank holds in each layer, replicas included.", int),
    Option("cluster", "TOML that describes the ranks, instead of --ranks and --nodes.", Path),
    Option("dead", "Ranks that hold nothing.", int, many=True),
    Option("goal", "Over profiles.", default=EXPECTED, choices=(EXPECTED, WORST)),
    Option(
        "dispatch",
        "How the tokens of an expert are split over its replicas.",
        default=EQUAL,
        choices=(EQUAL, LOCAL, ADAPTIVE),
    ),
    Option(
        "traffic",
        "Moves that are paid for: tokens that stay with their expert, or that return home.",
        choices=(NONE, CHAIN, HOME),
    ),
    Option(
        "links",
        "Whether moves add up or the busiest rank counts.",
        default=SUM,
        choices=(SUM, BUSIEST),
    ),
    Option("overlap", "Whether moves run beside the work.", bool),
    Option("cost", "Costs by hand: token=, expert=, layer=, transfer=.", many=True),
    Option("hidden", "Width of the model: costs in seconds.", int),
    Option("ffn", "Width of an expert.", int),
    Option("top_k", "Experts per token.", int),
    Option("expert_bytes", "Weights of one expert of one layer, e.g. 42MiB."),
    Option("batch_tokens", "Tokens of a step, over all ranks.", int),
    Option("decode", "Count activated experts.", bool),
    Option("max_imbalance", "Most load of a rank, as a multiple of the mean.", float),
    Option("current", "The placement in force: a plan, or a map of SGLang.", Path),
    Option("max_moves", "Experts that may move from there: a number, 1%, or 40GiB."),
    Option("pin", "layer:expert:rank that must be; * stands for every layer.", many=True),
    Option("forbid", "layer:expert:rank that must not be.", many=True),
    Option("groups", "Expert groups, for EPLB's hierarchical rule.", int, default=1),
    Option("layers_from", "Layer of the first row with experts, e.g. 3.", int),
    Option("model_layers", "Layers of the whole model, e.g. 61.", int),
)
"""Declarations of `Building`, in its order."""


def build(recording: Recording, where: str, **options: Any) -> PlacementProblem:
    """Return the problem of placing a recording's experts.

    Parameters
    ----------
    recording : Recording
    where : str
        The file, for messages.
    **options
        See `Building`.

    Raises
    ------
    InstanceError
        For loads that make no sense.
    UsageError
        For options that contradict each other or the file.
    """
    try:
        problem = _build(recording, options)
        return robust_profiles(problem, copies=_copies(options))
    except InstanceError as error:
        raise error.inside(where) from None


def _copies(options: Mapping[str, Any]) -> int:
    copies = int(options.get("noisy_copies", 0))
    if not 0 <= copies <= MOST_COPIES:
        raise UsageError(f"--noisy-copies {copies}: expected 0 to {MOST_COPIES}")
    return copies


def _build(recording: Recording, options: Mapping[str, Any]) -> PlacementProblem:
    profiles, weight = _profiles(recording, options)
    cluster = _cluster(options)
    dead = dead_ranks((*cluster.dead, *options.get("dead", ())), cluster.n_ranks)
    live = np.flatnonzero(~dead)
    n_rows, n_experts = profiles[0].counts.shape
    rows, layer_ids, model_layers = layers_of(
        {profile.name: profile.counts for profile in profiles},
        recording.layer_ids,
        options.get("layers_from"),
        options.get("model_layers"),
    )
    counts = np.stack([profile.counts[rows] for profile in profiles])
    current = _current(recording, options, rows, n_rows, layer_ids, cluster.n_ranks)
    slots = slots_for(n_experts, len(live), options.get("slots"), current)
    if current is not None and current.shape[2] != slots:
        current = _unfit(current, slots, options)
    wishes = _wishes(recording, options, len(rows), profiles)
    cost, scale = step_time(wishes, cluster, live, counts)
    shape = (n_experts, cluster.n_ranks)
    total = len(rows) * len(live) * slots
    return PlacementProblem(
        name=recording.name,
        counts=counts,
        profiles=tuple(profile.name for profile in profiles),
        weight=weight,
        scale=scale,
        cluster=cluster.devices(relative=not wishes.seconds),
        slots=slots,
        cost=cost,
        traffic=wishes.traffic,
        dispatch=wishes.dispatch,
        transitions=_transitions(wishes, profiles, rows),
        sources=_sources(wishes, profiles, rows, cluster.n_ranks),
        top_k=wishes.top_k or 1,
        layer_ids=layer_ids,
        model_layers=model_layers,
        groups=options.get("groups", 1),
        expert_bytes=wishes.expert_bytes,
        current=current,
        max_moves=max_moves_of(
            options.get("max_moves"), total, wishes.expert_bytes, current is not None
        ),
        pinned=triples(options.get("pin", ()), layer_ids, shape, "--pin"),
        forbidden=triples(options.get("forbid", ()), layer_ids, shape, "--forbid"),
        dead=dead,
        max_imbalance=options.get("max_imbalance"),
        provenance={**recording.provenance, "options": _recorded(options)},
    )


# -- profiles --------------------------------------------------------------------------------------


def _profiles(
    recording: Recording, options: Mapping[str, Any]
) -> tuple[list[Profile], np.ndarray[Any, np.dtype[np.float64]]]:
    known = {profile.name: profile for profile in recording.profiles}
    listed = _listed(list(known))
    wanted = list(dict.fromkeys(options.get("profile") or ()))
    if not wanted and len(known) > 1:
        raise UsageError(f"{len(known)} profiles; expected --profile all, or some of {listed}")
    if not wanted or wanted == [ALL]:
        wanted = list(known)
    for name in wanted:
        if name not in known:
            raise UsageError(f"--profile {name!r}: no such profile; expected all, or {listed}")
    weights = options.get("profile_weights") or [1.0] * len(wanted)
    if len(weights) != len(wanted) or not all(0 < weight < np.inf for weight in weights):
        raise UsageError(
            f"--profile-weights {','.join(f'{w:g}' for w in weights)}: expected "
            f"{len(wanted)} numbers > 0"
        )
    chosen = [known[name] for name in wanted]
    for profile in chosen:
        if profile.counts.shape != chosen[0].counts.shape:
            raise InstanceError(
                f"shape {profile.counts.shape}",
                f"profile {profile.name!r}"[:80],
                f"{chosen[0].counts.shape}, as {chosen[0].name!r}"[:120],
            )
    return chosen, np.array(weights, dtype=np.float64)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:12])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 12 else shown


def _transitions(wishes: Wishes, profiles: Sequence[Profile], rows: IntArray) -> IntArray | None:
    if wishes.traffic != CHAIN:
        return None
    found = []
    for profile in profiles:
        if profile.transitions is None:
            raise UsageError(
                f"--traffic chain: profile {profile.name!r} has no transitions; expected a trace "
                "of every token, or none or home"
            )
        found.append(profile.transitions(rows))
    return np.stack(found)


def _sources(
    wishes: Wishes, profiles: Sequence[Profile], rows: IntArray, n_ranks: int
) -> IntArray | None:
    if wishes.traffic != HOME:
        return None
    if any(profile.sources is None for profile in profiles):
        if wishes.dispatch == ADAPTIVE:
            raise UsageError(
                "--dispatch adaptive beside --traffic home: where tokens live is not known; "
                "expected per_token dumps of all ranks, or another dispatch"
            )
        return None
    return np.stack([profile.sources(rows, n_ranks) for profile in profiles if profile.sources])


# -- cluster, costs, the placement in force --------------------------------------------------------


def _cluster(options: Mapping[str, Any]) -> Cluster:
    file = options.get("cluster")
    if file is None:
        if "ranks" not in options:
            raise UsageError("on how many GPUs? expected --ranks N, or --cluster FILE")
        return plain_cluster(options["ranks"], options.get("nodes", 1))
    for name in ("ranks", "nodes"):
        if name in options:
            raise UsageError(f"--{name}: said by --cluster {file} already; expected one of them")
    return read_cluster(file)


def _wishes(
    recording: Recording, options: Mapping[str, Any], n_layers: int, profiles: Sequence[Profile]
) -> Wishes:
    counted = ("hidden", "ffn", "top_k", "batch_tokens", "groups")
    for name in counted:
        if options.get(name, 1) < 1:
            raise UsageError(f"--{name.replace('_', '-')} {options[name]}: expected a number >= 1")
    chain = recording.raw and n_layers > 1 and all(p.transitions for p in profiles)
    default = CHAIN if chain else NONE
    size = options.get("expert_bytes")
    return Wishes(
        raw=recording.raw,
        traffic=options.get("traffic", default),
        dispatch=options.get("dispatch", EQUAL),
        goal=options.get("goal", EXPECTED),
        links=options.get("links", SUM),
        overlap=options.get("overlap", False),
        decode=options.get("decode", False),
        hidden=options.get("hidden"),
        ffn=options.get("ffn"),
        expert_bytes=0 if size is None else parse_bytes(size),
        top_k=options.get("top_k", recording.top_k),
        batch_tokens=options.get("batch_tokens"),
        cost=options.get("cost", ()),
    )


def _current(
    recording: Recording,
    options: Mapping[str, Any],
    rows: IntArray,
    n_rows: int,
    layer_ids: IntArray,
    n_ranks: int,
) -> IntArray | None:
    """Return the placement in force: of a file, or the recorded one where it fits the cluster."""
    file = options.get("current")
    if file is not None:
        return in_force(read_current(file), rows, n_rows, layer_ids, n_ranks, display_name(file))
    table = recording.current
    if table is None or table.shape[1] % n_ranks:
        return None
    current = in_force(table, rows, n_rows, layer_ids, n_ranks, "recorded map")
    slots = options.get("slots")
    return current if slots in (None, current.shape[2]) else None


def _unfit(current: IntArray, slots: int, options: Mapping[str, Any]) -> IntArray:
    """Return a placement in force with more or fewer slots; what is beyond them is lost."""
    held = (current >= 0).sum(axis=2).max()
    if held > slots:
        raise UsageError(
            f"--slots {slots}: {options['current']} has {held} experts on a rank; expected at "
            f"least {held}"
        )
    fitted = np.full((*current.shape[:2], slots), -1, dtype=np.int64)
    order = np.argsort(current < 0, axis=2, kind="stable")[:, :, :slots]
    kept = np.take_along_axis(current, order, axis=2)
    fitted[:, :, : kept.shape[2]] = kept
    return fitted


def _recorded(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as the provenance keeps them: files by name, without their folder."""
    files = ("cluster", "current")
    return {
        name: Path(value).name if name in files else list(value) if _many(value) else value
        for name, value in options.items()
    }


def _many(value: Any) -> bool:
    return isinstance(value, list | tuple)
