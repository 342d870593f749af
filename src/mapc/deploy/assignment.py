"""What a plan says about every module or tensor that a runtime knows by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapc.deploy.siblings import runtime_ties
from mapc.errors import InstanceError, UsageError
from mapc.graph.formats import CAST, FORMATS, Format, format_named
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem

Names = Callable[[str], str]
Knows = Callable[[Format], bool]


@dataclass(frozen=True)
class Entry:
    """One module or tensor: the group that decided about it, and the format it gets.

    Attributes
    ----------
    name : str
    group : str
    format : Format
    """

    name: str
    group: str
    format: Format

    @property
    def kept(self) -> bool:
        """Whether it stays a plain float: not quantised at all."""
        return self.format.kind == CAST


def assignments(
    problem: BitsProblem,
    plan: BitsPlan,
    runtime: str,
    knows: Knows,
    *,
    rename: Sequence[str] = (),
    separator: str | None = None,
    translate: Names = str,
) -> list[Entry]:
    """Return one entry for each name, in the order of the groups.

    A group stands for the names that ``problem.provenance["modules"]`` lists for it, else for the
    parts of its own name, else for its own name. Names pass the rules of ``rename``, then
    ``translate``. Two groups may share a name if they agree.

    Parameters
    ----------
    problem : BitsProblem
    plan : BitsPlan
    runtime : str
        Whose rules hold, for fused siblings and messages.
    knows : callable
        ``knows(format) -> bool``; whether the runtime takes a format.
    rename : sequence of str
        ``PATTERN=>NAME``.
    separator : str, optional
        Between the modules in the name of a group.
    translate : callable
        ``translate(name) -> name``, the runtime's own rewriting.

    Raises
    ------
    UsageError
        For a format the runtime does not know, siblings it fuses that disagree, or a name with two
        formats.
    InstanceError
        For a plan that does not belong to the problem.
    """
    formats = _formats(problem, plan, runtime, knows)
    rules = _rules(rename)
    found: dict[str, Entry] = {}
    for group, format in zip(problem.groups, formats, strict=True):
        for module in _modules(problem, group, separator):
            name = translate(_renamed(module, rules))
            entry = found.setdefault(name, Entry(name, group, format))
            if entry.format != format:
                raise UsageError(
                    f"{runtime}: {name!r} is {entry.format.name} by group {entry.group!r} and "
                    f"{format.name} by group {group!r}; expected one format for one name"
                )
    entries = list(found.values())
    check_siblings(runtime, entries)
    return entries


def check_siblings(runtime: str, entries: Sequence[Entry]) -> None:
    """Refuse entries that the runtime fuses into one matrix and that differ in format.

    Raises
    ------
    UsageError
        Naming two that differ.
    """
    for row in runtime_ties(runtime, [entry.name for entry in entries]):
        first = entries[row[0]]
        for other in (entries[i] for i in row[1:]):
            if other.format != first.format:
                raise UsageError(
                    f"{runtime} runs {first.name!r} and {other.name!r} as one: {first.format.name} "
                    f"and {other.format.name}; expected one format (tie their groups)"
                )


def known_formats(knows: Knows) -> list[str]:
    """Return the names of all formats a runtime takes; ``_gN`` stands for the group sizes."""
    names = (re.sub(r"_g\d+", "_gN", name) for name, found in FORMATS.items() if knows(found))
    return list(dict.fromkeys(names))


def _formats(problem: BitsProblem, plan: BitsPlan, runtime: str, knows: Knows) -> Iterator[Format]:
    """Return the format of every group, each name looked up once."""
    _check_plan(problem, plan)
    seen: dict[int, Format] = {}
    for group, chosen in enumerate(problem.format_of[plan.option].tolist()):
        if chosen not in seen:
            name = problem.formats[chosen]
            try:
                found = format_named(name)
            except InstanceError:
                found = None
            if found is None or not knows(found):
                raise UsageError(
                    f"group {problem.groups[group]!r}: {runtime} does not know format {name!r}; "
                    f"it takes {', '.join(known_formats(knows))}"
                )
            seen[chosen] = found
        yield seen[chosen]


def _check_plan(problem: BitsProblem, plan: BitsPlan) -> None:
    option = plan.option
    if option.shape != (problem.n_groups,):
        raise InstanceError(f"{option.size} options", "plan", f"{problem.n_groups}, as groups")
    wrong = (option < problem.start[:-1]) | (option >= problem.start[1:])
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        right = f"{problem.start[at]} to {problem.start[at + 1] - 1}"
        raise InstanceError(f"option {option[at]}", f"plan, group {problem.groups[at]!r}", right)


# -- names ---------------------------------------------------------------------------------------


def _modules(problem: BitsProblem, group: str, separator: str | None) -> Iterable[str]:
    listed: Any = problem.provenance.get("modules")
    names = listed.get(group) if isinstance(listed, Mapping) else None
    if names is None:
        return [part for part in group.split(separator) if part] if separator else [group]
    if (
        isinstance(names, str)
        or not isinstance(names, Sequence)
        or not names
        or not all(isinstance(name, str) and name for name in names)
    ):
        raise InstanceError(f"{names!r}"[:60], f"modules of group {group!r}", "a list of names")
    return names


def _rules(rename: Sequence[str]) -> list[tuple[re.Pattern[str], str]]:
    rules = []
    for rule in rename:
        pattern, arrow, name = rule.partition("=>")
        if not arrow or not pattern:
            raise UsageError(f"rename {rule!r}: expected PATTERN=>NAME")
        try:
            compiled = re.compile(pattern)
            # a reference to a group the pattern lacks shows only when it is used
            re.compile(pattern + "|").fullmatch("").expand(name)  # type: ignore[union-attr]
        except (re.error, IndexError) as error:
            raise UsageError(f"rename {rule!r}: {error}; expected a regular expression") from None
        rules.append((compiled, name))
    return rules


def _renamed(name: str, rules: Sequence[tuple[re.Pattern[str], str]]) -> str:
    for pattern, new in rules:
        match = pattern.fullmatch(name)
        if match is not None:
            return match.expand(new)
    return name


def module_name(name: str) -> str:
    """Return the module that holds a parameter: its name without a last ``.weight``."""
    return name.removesuffix(".weight")
