"""``mapc check``: replay a plan by the rules alone, against the instance it claims to be for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click

from mapc.cli.output import print_json, say, say_wrapped
from mapc.cli.reading import given_rules, json_option, read_problem, reading_options
from mapc.errors import CheckError, InstanceError, UsageError
from mapc.files import STREAM
from mapc.wording.common import size
from mapc.wording.families import limit_words

_OPEN = (("capacity", None), ("alignment", 1))
"""Attributes a file may leave open, with the value that says so."""


@dataclass(frozen=True)
class Findings:
    """What a check found.

    Attributes
    ----------
    problems : tuple of str
        Broken rules and contradictions, one line each; empty for a valid plan.
    """

    kind: str
    sha256: str
    problems: tuple[str, ...]
    objective: float | None
    words: str
    facts: Mapping[str, Any]
    recorded: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the keys ``--json`` prints."""
        return {
            "kind": self.kind,
            "status": "invalid" if self.problems else "valid",
            "valid": not self.problems,
            "objective": self.objective,
            "violations": list(self.problems),
            "recorded": {k: self.recorded.get(k) for k in ("status", "objective", "bound")},
            **self.facts,
            "instance_sha256": self.sha256,
        }


@click.command(
    epilog="Without INSTANCE the plan is checked against the instance inside its own file. With "
    "it, the file is read with the options recorded in the plan; what it leaves open, such as the "
    "capacity of an ONNX model, is taken from the plan."
)
@click.argument("files", nargs=-1, required=True, metavar="[INSTANCE] PLAN")
@reading_options
@json_option
def check(files: tuple[str, ...], as_json: bool, **reading: Any) -> None:
    """Replay PLAN by the rules alone."""
    if len(files) > 2:
        raise click.UsageError("expected [INSTANCE] PLAN, got more files")
    findings = examine(files[-1], files[0] if len(files) == 2 else None, reading)
    if as_json:
        print_json(findings.to_dict())
    elif findings.problems:
        say("invalid:")
        for text in findings.problems:
            say_wrapped(f"  {text}", indent="    ")
    else:
        say_wrapped(f"valid: {findings.words}")
    if findings.problems:
        more = len(findings.problems) - 1
        extra = f" (and {more} more)" if more else ""
        raise CheckError(f"check failed: {findings.problems[0]}{extra}")


def examine(plan_file: str, instance_file: str | None, options: Mapping[str, Any]) -> Findings:
    """Check a plan file, against an instance file where one is given.

    Parameters
    ----------
    plan_file : str
    instance_file : str or None
    options : mapping
        Reading options; those that are None default to what the plan file recorded.
    """
    from mapc import api, instances
    from mapc.models import family_of
    from mapc.models.base import phrase_of

    embedded, plan, info = instances.read_plan(plan_file)
    target = embedded if instance_file is None else _reread(instance_file, options, info.provenance)
    if instance_file is None:
        _refuse_reading(options)
    family = family_of(target)
    if options["scratchpad"] is not None:
        target = family.with_capacity(target, options["scratchpad"])
    if options["alignment"] is not None:
        target = replace(target, alignment=options["alignment"])
    if options["budgets"] is not None:
        target = api.with_budgets(target, options["budgets"])
    rules = given_rules(options)
    if rules is not None:
        target = api.with_rules(target, rules)
    claimed, target = _settle(embedded, target, options)
    claimed, target = _settle_rules(claimed, target, rules is not None)
    claimed, target = _settle_budgets(claimed, target, options["budgets"] or ())
    sha256 = instances.content_hash(target)
    if type(claimed) is not type(target) or instances.content_hash(claimed) != sha256:
        difference = _difference(claimed, target)
        return Findings(family.kind, sha256, (difference,), None, "", {}, info.result)
    verdict = family.verify(target, plan)
    problems = list(verdict.violations)
    if instances.content_hash(embedded) == sha256 and not problems:
        # a smallest capacity was asked for: that is what the file says, too
        of_peak = info.result.get("minimize") == "peak"
        reached = verdict.facts.get("peak_bytes") if of_peak else verdict.objective
        problems += _contradictions(info.result, reached)
    words = "" if verdict.objective is None else phrase_of(family, target)(verdict.objective)
    facts = dict(verdict.facts)
    if hasattr(target, "capacity"):
        facts = {"capacity_bytes": target.capacity, **facts}
    words += "".join(f", {text}" for text in _limits(target, facts))
    return Findings(
        family.kind, sha256, tuple(problems), verdict.objective, words, facts, info.result
    )


def _limits(problem: Any, facts: Mapping[str, Any]) -> list[str]:
    """Return what the plan had to stay within, in words."""
    capacity = getattr(problem, "capacity", None)
    found = [] if capacity is None else [f"capacity {size(capacity)}"]
    return found + limit_words(problem, facts)


def _refuse_reading(options: Mapping[str, Any]) -> None:
    for name in ("dtype", "fuse", "weights", "dims"):
        if options[name] is not None:
            raise UsageError(f"{name}: says how to read an instance; expected INSTANCE PLAN")


def _reread(file: str, options: Mapping[str, Any], provenance: Mapping[str, Any]) -> Any:
    """Read the instance as the plan file says it was read, options given now going first."""
    given = {
        name: options[name]
        for name in ("dtype", "fuse", "weights", "dims")
        if options[name] is not None
    }
    recorded = _recorded(provenance)
    try:
        return read_problem(file, {**recorded, **given})
    except UsageError:
        if file == STREAM:  # there is no reading it twice
            raise
        # what was recorded for an ONNX model does not apply to an instance made from it
        return read_problem(file, given)


def _recorded(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recorded reading options that are what they should be; files hold anything."""
    options = provenance.get("options")
    if not isinstance(options, Mapping):
        return {}
    kinds = {"dtype": str, "fuse": bool, "weights": bool, "dims": dict}
    return {
        name: options[name] for name, kind in kinds.items() if isinstance(options.get(name), kind)
    }


def _settle(claimed: Any, target: Any, options: Mapping[str, Any]) -> tuple[Any, Any]:
    """Take what one side leaves open from the other; options given now rule both."""
    given = {"capacity": options["scratchpad"], "alignment": options["alignment"]}
    for name, unset in _OPEN:
        if not (hasattr(claimed, name) and hasattr(target, name)):
            continue
        ours, theirs = getattr(target, name), getattr(claimed, name)
        if given[name] is not None or theirs == unset:
            claimed = replace(claimed, **{name: ours})
        elif ours == unset:
            target = replace(target, **{name: theirs})
    return claimed, target


def _settle_rules(claimed: Any, target: Any, given: bool) -> tuple[Any, Any]:
    """Do the same for options of the memory model, all of them or none."""
    if not (hasattr(claimed, "plain") and hasattr(target, "plain")):
        return claimed, target
    try:
        if given or claimed.plain:
            return replace(claimed, options=target.options), target
        return claimed, replace(target, options=claimed.options) if target.plain else target
    except InstanceError:  # they do not fit the other graph: another instance
        return claimed, target


def _settle_budgets(claimed: Any, target: Any, given: Sequence[str]) -> tuple[Any, Any]:
    """Do the same for budgets, which are one to each resource."""
    if not _same_resources(claimed, target):
        return claimed, target
    named = {text.partition("=")[0].strip() for text in given}
    made, asked = list(claimed.budget), list(target.budget)
    for at, name in enumerate(target.resources):
        if name in named or made[at] is None:
            made[at] = asked[at]
        elif asked[at] is None:
            asked[at] = made[at]
    return claimed.with_budget(made), target.with_budget(asked)


def _same_resources(one: Any, other: Any) -> bool:
    resources = getattr(one, "resources", None)
    return resources is not None and resources == getattr(other, "resources", None)


def _difference(claimed: Any, target: Any) -> str:
    """Say in which way a plan was made for another instance."""
    from mapc import instances

    for name, _ in _OPEN:
        made, asked = getattr(claimed, name, None), getattr(target, name, None)
        if made != asked:
            option = "--scratchpad" if name == "capacity" else "--alignment"
            return (
                f"another instance: the plan was made for {name} {made}, the instance has {asked}; "
                f"give {option} {made} to check it as it was made"
            )
    if _same_resources(claimed, target):
        for name, made, asked in zip(target.resources, claimed.budget, target.budget, strict=True):
            if made != asked:
                return (
                    f"another instance: the plan was made for {name}={made}, the instance has "
                    f"{name}={asked}; give --budget {name}={made} to check it as it was made"
                )
    hashes = [instances.content_hash(problem)[:12] for problem in (claimed, target)]
    return f"another instance: the plan was made for {hashes[0]}, this is {hashes[1]} (SHA-256)"


def _contradictions(recorded: Mapping[str, Any], objective: float | None) -> list[str]:
    """Return what a plan file says about its plan that the replay does not bear out."""
    found = []
    said, bound = recorded.get("objective"), recorded.get("bound")
    if said is not None and said != objective:
        found.append(f"recorded objective {said}, recomputed {objective}")
    elif bound is not None and (not _is_number(bound) or bound > objective):
        found.append(f"recorded bound {bound} above the objective {objective}")
    elif recorded.get("status") == "optimal" and bound != objective:
        found.append(f"recorded as optimal with bound {bound} and objective {objective}")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
