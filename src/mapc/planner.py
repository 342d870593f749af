"""Plans for every step of a training loop: groups of ranks for the sequences of a global batch.

A `Planner` is made once, then asked before every step, from the loop or from a thread that loads
data::

    planner = Planner(Cluster(64, 8), "gpt-7b", max_length="384K")
    step = planner.plan([1042, 377, 12801, ...])
    for micro_batch in step.micro_batches:
        group = micro_batch.of_rank(rank)
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock, Thread
from types import MappingProxyType
from typing import Any

import numpy as np

from mapc.deploy import exporter
from mapc.deploy.steps import Group, MicroBatch, every_range, micro_batches, sample_names
from mapc.errors import InstanceError, MapcError, UsageError
from mapc.graph.operators import IntArray
from mapc.kernels import MODULES, load, plain, warm
from mapc.models.sequence.assembly import step_ticks
from mapc.models.sequence.bounds.area import step_bound
from mapc.models.sequence.costs.bandwidths import is_number
from mapc.models.sequence.costs.fitting import FittedCost
from mapc.models.sequence.costs.models import FlexspModel, flexsp_cost
from mapc.models.sequence.packing.hints import Hint
from mapc.models.sequence.packing.search import Found, found
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import GroupCost, SequenceProblem
from mapc.models.sequence.published.baselines import best_homogeneous, megatron_greedy
from mapc.models.sequence.verify import verify

__all__ = ["Cluster", "Group", "MicroBatch", "Planner", "Step"]

RESERVE, RESERVE_EACH = 2e-3, 3e-6
"""Seconds kept for verifying: in all, and for each sequence."""
MOST_SEQUENCES = 1 << 20
"""More micro-batches than this are never asked for."""
ALIKE = 0.05
"""Part by which the longest sequence, and all tokens, of batches that are alike differ at most."""
_KERNELS = tuple(name for name in MODULES if name.startswith("mapc.models.sequence.packing."))
_COST_OPTIONS = (
    "max_length", "memory_limit_gb", "degrees", "heads", "kv_heads", "bandwidth", "kinds",
    "overlap",
)  # fmt: skip
_RUNTIME = MappingProxyType({"sequence-plan": True, "megatron": True, "process-groups": False})
"""Exporters, and whether they take sample ids."""


@dataclass(frozen=True)
class Cluster:
    """Ranks that share sequences, and how many of them share a node; fewer than that are one node.

    With tensor or pipeline parallelism a rank here is one of data times context parallelism.
    """

    ranks: int
    ranks_per_node: int = 8


@dataclass(frozen=True, eq=False)
class Step:
    """A verified plan for one training step.

    Attributes
    ----------
    problem : SequenceProblem
    plan : SequencePlan
    step_ms : float
        Modelled time: the sum over micro-batches of the slowest group.
    bound_ms : float
        No plan takes less, whatever its micro-batches and their number (`bound_scope` ``"step"``).
    source : str
        What found the plan: ``"packing"`` or a baseline.
    seconds : float
        What planning took.
    sample_ids : tuple of int
        The caller's number of each sequence.
    """

    problem: SequenceProblem
    plan: SequencePlan
    step_ms: float
    bound_ms: float
    source: str
    seconds: float
    sample_ids: tuple[int, ...]
    bound_scope: str = "step"

    @property
    def gap(self) -> float:
        """Part of the step that a better plan could save at most."""
        return 1.0 - self.bound_ms / self.step_ms if self.step_ms > 0 else 0.0

    @cached_property
    def micro_batches(self) -> tuple[MicroBatch, ...]:
        """The micro-batches, in the order in which every rank runs them."""
        return micro_batches(self.problem, self.plan)

    def samples(self, group: Group) -> tuple[int, ...]:
        """Return the ids of a group's sequences, in the order in which they are packed."""
        return tuple(self.sample_ids[k] for k in group.members.tolist())

    def export(self, to: str = "sequence-plan", **options: Any) -> str:
        """Return the step as a file: ``"sequence-plan"``, ``"megatron"`` or ``"process-groups"``.

        Raises
        ------
        UsageError
            For another runtime, and for what it cannot do, see `mapc.deploy`.
        """
        if to not in _RUNTIME:
            raise UsageError(f"runtime {to!r}: expected {', '.join(_RUNTIME)}")
        if _RUNTIME[to]:
            options.setdefault("sample_ids", list(self.sample_ids))
        return str(exporter(to)(self.problem, self.plan, **options))


@dataclass(frozen=True)
class _Before:
    """What a step leaves for the next one."""

    hint: Hint
    longest: int
    tokens: int

    @classmethod
    def of(cls, problem: SequenceProblem, hint: Hint) -> _Before:
        return cls(hint, int(problem.padded.max()), int(problem.padded.sum()))

    def hint_for(self, problem: SequenceProblem) -> Hint | None:
        """Return the hint for a batch that is alike, None for another.

        Of 20 shuffled batches of Wikipedia's lengths, plans in 0.04 s were 0.9 % slower with the
        hint of the batch before than without; where each length had changed by 3 % at most, 2.8 %
        faster.
        """
        now = _Before.of(problem, self.hint)
        for then, new in ((self.longest, now.longest), (self.tokens, now.tokens)):
            if abs(new - then) > ALIKE * then:
                return None
        return self.hint.scaled(problem)


class Planner:
    """Plans step after step, each in bounded time, without starting processes.

    It may be called from several threads at once: calls share nothing but the hint that the last
    one left. While kernels search they let other threads run, since they do not hold Python's
    global lock.

    Parameters
    ----------
    cluster : Cluster
    cost_model : str, FlexspModel, FittedCost or GroupCost
        What groups cost: a name in `mapc.models.sequence.costs.models.FLEXSP_MODELS`, figures of
        one's own, what `mapc.models.sequence.costs.fitting.fit_cost` made of timings, or costs.
    padding : int
        Lengths are rounded up to multiples of it; twice the largest degree suits every trainer.
    deadline : float
        Seconds a call may take.
    work : int, optional
        Counted work instead of a deadline: equal lengths then get equal plans on every machine,
        whatever was planned before.
    seed : int
    least, most : int, int or None
        Micro-batches.
    warm_start : bool
        Whether a call begins where the last one ended, if its lengths are alike; not with ``work``.
    **options
        With a name or figures: ``max_length`` (tokens, by default ``"192K"``), ``memory_limit_gb``,
        ``degrees``, ``heads``, ``kv_heads``, ``bandwidth``, ``kinds``,
        ``overlap``, as `mapc.models.sequence.costs.models.flexsp_cost` has them.

    Raises
    ------
    InstanceError
        For a cluster or costs that no problem can have.
    UsageError
        For options that do not apply.

    Notes
    -----
    Making a planner loads the compiled kernels, which takes a second. If they are not compiled
    yet (``mapc warmup`` does that), they are compiled on the side; `plan` answers with the best
    baseline until they are there, and waits for them only with ``work``.
    """

    def __init__(
        self,
        cluster: Cluster,
        cost_model: str | FlexspModel | FittedCost | GroupCost,
        *,
        padding: int = 128,
        deadline: float = 0.2,
        work: int | None = None,
        seed: int = 0,
        least: int = 1,
        most: int | None = None,
        warm_start: bool = True,
        **options: Any,
    ) -> None:
        if not isinstance(cluster, Cluster):
            raise UsageError(f"cluster {cluster!r}: expected Cluster(ranks, ranks_per_node)")
        if not (is_number(deadline) and 0 < deadline < float("inf")):
            raise UsageError(f"deadline {deadline!r}: expected seconds above 0")
        self.cluster = Cluster(_plain(cluster.ranks), _plain(cluster.ranks_per_node))
        self.deadline, self.warm_start = float(deadline), warm_start
        self.work = None if work is None else _counted("work", work, 1)
        self.seed = _counted("seed", seed, 0)
        self.padding, self.least, self.most = _plain(padding), _plain(least), _plain(most)
        self.cost = _cost(self.cluster, cost_model, options)
        self._before: _Before | None = None
        self._smallest()  # refuses now what every call would refuse
        _prepare()
        self._rehearse()

    @property
    def ready(self) -> bool:
        """Whether the kernels are there."""
        return _ready()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the kernels are compiled and loaded; return whether they are."""
        return _prepare(timeout, wait=True)

    def process_groups(self) -> tuple[range, ...]:
        """Return the ranks of every group that any plan may have, at most 2 N - 1."""
        problem = self._smallest()
        return tuple(range(first, first + degree) for first, degree in every_range(problem))

    def plan(self, lengths: Any, sample_ids: Sequence[int] | None = None) -> Step:
        """Return a verified plan for the sequences of one step.

        Parameters
        ----------
        lengths : array of int, K long
            Tokens of each sequence: a list, an array, a tensor on the CPU.
        sample_ids : sequence of int, optional
            The caller's numbers of the sequences; 0, 1, ... by default.

        Raises
        ------
        InstanceError
            For lengths that are none, and for a sequence that fits no group, with what would fit.
        InfeasibleError
            Where memory asks for more micro-batches than allowed.
        MapcError
            Where micro-batches are limited, memory is tight and no plan was found in time.
        """
        started = time.monotonic()
        problem = self._problem(_lengths(lengths))
        ids = tuple(sample_names(problem, sample_ids))
        bound = step_bound(problem)
        end = started + self.deadline - RESERVE - RESERVE_EACH * problem.n_sequences
        best = self._search(problem, bound, _Alarm(end))
        if best is None:
            raise MapcError(
                f"{len(ids)} sequences: no plan found with {self.least} to {self.most} "
                "micro-batches; expected a larger most, or more time"
            )
        plan, source = best
        verdict = verify(problem, plan)
        if verdict.violations or verdict.objective is None:
            raise MapcError(f"a plan of {source} breaks a rule: {'; '.join(verdict.violations)}")
        return Step(
            problem=problem,
            plan=plan,
            step_ms=float(verdict.objective),
            bound_ms=bound * problem.tick,
            source=source,
            seconds=time.monotonic() - started,
            sample_ids=ids,
        )

    def _rehearse(self) -> None:
        """Plan one sequence, so that what is imported on first use, as numpy.ma, is there.

        No call has to wait for it then, and no process is forked while a thread of this one holds
        the lock of an import, which the fork would wait for without end.
        """
        problem = replace(self._smallest(), lengths=np.ones(1, dtype=np.int64), least=1, most=None)
        best = _baseline(problem, lambda: False)
        if _ready():
            for one in found(problem, seed=self.seed, work=1, done=None, hint=None):
                best = one.plan, one.source
        if best is not None:
            verify(problem, best[0])

    def _smallest(self) -> SequenceProblem:
        """Return a problem with as few sequences as may come."""
        least = self.least if isinstance(self.least, int) else 1
        return self._problem(np.ones(min(max(1, least), MOST_SEQUENCES), dtype=np.int64))

    def _problem(self, lengths: IntArray) -> SequenceProblem:
        return SequenceProblem(
            name="step",
            lengths=lengths,
            n_ranks=self.cluster.ranks,
            node_ranks=min(self.cluster.ranks_per_node, self.cluster.ranks),
            cost=self.cost,
            padding=self.padding,
            least=self.least,
            most=self.most,
        )

    def _search(
        self, problem: SequenceProblem, bound: int, done: Callable[[], bool]
    ) -> tuple[SequencePlan, str] | None:
        counted = self.work is not None
        if not _ready() and not _prepare(wait=counted):
            return _baseline(problem, done)
        before = self._before if self.warm_start and not counted else None
        best: Found | None = None
        for better in found(
            problem,
            seed=self.seed,
            work=self.work,
            done=None if counted else done,
            hint=None if before is None else before.hint_for(problem),
        ):
            best = better
            if better.ticks <= bound:
                break
        if best is None:
            return None
        # one reference is set: threads may cross, and either hint will do
        self._before = _Before.of(problem, best.hint)
        return best.plan, best.source


class _Alarm:
    """Says when to stop: when what was done since the last look would not end in time again."""

    def __init__(self, end: float) -> None:
        self.end = end
        self.last = time.monotonic()

    def __call__(self) -> bool:
        now = time.monotonic()
        piece, self.last = now - self.last, now
        return now + piece >= self.end


# -- what costs and lengths may be -----------------------------------------------------------------


def _plain(value: Any) -> Any:
    """Return a whole number of NumPy as an int, all else as it is."""
    return int(value) if isinstance(value, np.integer) else value


def _counted(name: str, value: Any, least: int) -> int:
    number = _plain(value)
    if not isinstance(number, int) or isinstance(number, bool) or number < least:
        raise UsageError(f"{name} {value!r}: expected a whole number from {least} on")
    return number


def _cost(
    cluster: Cluster,
    model: str | FlexspModel | FittedCost | GroupCost,
    options: dict[str, Any],
) -> GroupCost:
    if isinstance(model, GroupCost | FittedCost):
        if options:
            raise UsageError(f"{next(iter(options))}: applies to models, costs are as they come")
        return model if isinstance(model, GroupCost) else model.cost
    for name in options:
        if name not in _COST_OPTIONS:
            raise UsageError(f"unknown option {name!r}; expected {', '.join(_COST_OPTIONS)}")
    from mapc.instances.importers.lengths import parse_bandwidth, parse_tokens

    limit = parse_tokens(options.pop("max_length", "192K"))
    if isinstance(options.get("bandwidth"), list | tuple):
        options["bandwidth"] = parse_bandwidth(options["bandwidth"])
    node = cluster.ranks_per_node
    if isinstance(node, int) and isinstance(cluster.ranks, int):
        node = min(node, cluster.ranks)
    return flexsp_cost(model, cluster.ranks, node, limit, **options)


def _lengths(lengths: Any) -> IntArray:
    try:
        found = np.asarray(lengths)
    except Exception as error:  # an array-like may raise anything
        raise InstanceError(f"{type(lengths).__name__}: {error}", "lengths", "numbers") from None
    if found.ndim == 1 and not len(found):
        raise InstanceError("no sequences", "lengths", "at least one")
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer):
        what = f"{found.dtype} of shape {found.shape}"
        raise InstanceError(what, "lengths", "a row of whole numbers, one for each sequence")
    if found.dtype == np.uint64:  # what int64 has no room for is still too long
        found = np.minimum(found, np.uint64(2**62))
    return found.astype(np.int64)  # a copy: the caller may use its own again


# -- kernels ---------------------------------------------------------------------------------------

_preparing = Lock()
_threads: dict[int, Thread] = {}
"""By process: a forked one has none of its parent's."""
_loaded: list[bool] = []


def _ready() -> bool:
    return bool(_loaded)


def _load() -> None:
    """Compile and import; a failure leaves planners with baselines."""
    with contextlib.suppress(Exception):
        if all(load(name) is not None for name in _KERNELS):
            _loaded.append(True)


def _prepare(timeout: float | None = None, *, wait: bool = False) -> bool:
    """Have the kernels loaded, at once if they are compiled, else on the side unless to wait."""
    if _ready():
        return True
    with _preparing:
        process = os.getpid()
        if process not in _threads:
            _threads[process] = Thread(target=_load, name="mapc-kernels", daemon=True)
            _threads[process].start()
            wait = wait or plain() or all(warm(name) for name in _KERNELS)
        loading = _threads[process]
    if wait:
        loading.join(timeout)
    return _ready()


def _baseline(
    problem: SequenceProblem, done: Callable[[], bool]
) -> tuple[SequencePlan, str] | None:
    """Return the best plan that needs no kernel."""
    best: tuple[int, SequencePlan, str] | None = None
    for source, make in (("megatron greedy", megatron_greedy), ("homogeneous", best_homogeneous)):
        plan = make(problem)
        if plan is not None and (best is None or step_ticks(problem, plan) < best[0]):
            best = step_ticks(problem, plan), plan, source
        if best is not None and done():
            break
    return None if best is None else (best[1], best[2])
