"""The best plan and bound of an instance, gathered from what is known, from plans and from runs."""

from __future__ import annotations

from os import PathLike
from typing import Any

from mapc import __version__
from mapc.errors import CheckError, InstanceError, UsageError
from mapc.instances import content_hash
from mapc.quality.index import Best, Number


class Values:
    """The best plan and bound so far: what the index holds, then what plans and runs bring.

    Parameters
    ----------
    problem : problem of any family
    known : Best or None
        What the index holds.
    plan : plan or None
        The plan that goes with it, which is replayed.

    Raises
    ------
    CheckError
        If the plan is not what the index says of it.
    """

    def __init__(self, problem: Any, known: Best | None, plan: Any = None) -> None:
        from mapc.models import family_of

        self.problem, self.known = problem, known
        self.family = family_of(problem)
        self.plan: Any = None
        self.objective: Number | None = known.objective if known else None
        self.bound: Number | None = known.bound if known else None
        self.method = known.method if known else ""
        self.bound_method = known.bound_method if known else ""
        self.seed = known.seed if known else 0
        self.infeasible = known is not None and known.proven and known.objective is None
        if plan is not None and self._cost(plan, "best plan known") != self.objective:
            raise CheckError(
                f"the best plan costs {self._cost(plan, '')}, the index says {self.objective}; "
                "replace the instance to begin anew"
            )
        self._check()

    def take(self, thing: Any) -> None:
        """Take a plan file, a result or a plan; refuse what is no better than what is known."""
        plan, method, where = self._opened(thing)
        cost = self._cost(plan, where)
        if self.objective is not None and cost > self.objective:
            raise CheckError(f"{where}: costs {cost}, and {self.objective} is known; not recorded")
        self._keep(plan, cost, method, 0)

    def search(self, *, time_limit: float | None, methods: Any, seed: int) -> Any:
        """Solve, and keep what is better; return the result."""
        from mapc import api

        result = api.solve(self.problem, time_limit=time_limit, methods=methods, seed=seed)
        if result.interrupted:
            raise KeyboardInterrupt
        if result.plan is not None:
            # the portfolio has asked the verifier as well; here it is asked by the index
            cost = self._cost(result.plan, f"plan of {result.method}")
            self._keep(result.plan, cost, result.method, seed)
        if result.status.value == "infeasible":
            self.infeasible = True
            self.bound_method = result.reason
        elif result.bound is not None and (self.bound is None or result.bound > self.bound):
            self.bound, self.bound_method = result.bound, result.bound_method
        self._check()
        return result

    def best(self, date: str) -> tuple[Best | None, Any]:
        """Return the best values, and the plan if it is a new one."""
        if self.objective is None and self.bound is None and not self.infeasible:
            return None, None
        met = self.objective is not None and self.objective == self.bound
        found = Best(
            objective=self.objective,
            bound=None if self.infeasible else self.bound,
            proven=met or self.infeasible,
            method=self.method,
            bound_method=self.bound_method,
            mapc=__version__,
            seed=self.seed,
            date=date,
            plan=self.known.plan if self.known else None,
        )
        known = self.known
        if known is not None and self.plan is None and _same_values(known, found):
            return known, None  # by whom and when stays as it was
        return found, self.plan

    def _opened(self, thing: Any) -> tuple[Any, str, str]:
        from mapc import instances
        from mapc.solvers.result import Result

        if isinstance(thing, Result):
            if thing.plan is None:
                raise UsageError("a result without a plan; expected one with a plan")
            return thing.plan, thing.method, "plan of a result"
        if not isinstance(thing, str | PathLike):
            return thing, "given", "plan"
        where = str(thing)
        made_for, plan, info = instances.read_plan(where)
        if content_hash(made_for) != content_hash(self.problem):
            raise InstanceError(
                f"a plan for another problem, {content_hash(made_for)}",
                where,
                content_hash(self.problem),
            )
        method = info.result.get("method")
        return plan, method if isinstance(method, str) and method else "given", where

    def _cost(self, plan: Any, where: str) -> Number:
        verdict = self.family.verify(self.problem, plan)
        if verdict.violations:
            more = f" (and {len(verdict.violations) - 1} more)" * (len(verdict.violations) > 1)
            raise CheckError(f"{where}: breaks a rule: {verdict.violations[0]}{more}")
        if verdict.objective is None:
            raise CheckError(f"{where}: the verifier cannot tell what it costs")
        return verdict.objective

    def _keep(self, plan: Any, cost: Number, method: str, seed: int) -> None:
        if self.objective is None or cost < self.objective:
            self.plan, self.objective, self.method, self.seed = plan, cost, method, seed
        self._check()

    def _check(self) -> None:
        if self.infeasible and self.objective is not None:
            raise CheckError(f"proven to have no plan, and one of {self.objective} is known")
        if self.objective is not None and self.bound is not None and self.bound > self.objective:
            raise CheckError(
                f"bound {self.bound} of {self.bound_method} above a plan of {self.objective}: one "
                "of them is wrong; not recorded"
            )


def _same_values(one: Best, other: Best) -> bool:
    return (one.objective, one.bound, one.proven) == (other.objective, other.bound, other.proven)
