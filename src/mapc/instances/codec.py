"""What a family says about its files; `mapc.instances.codecs` holds one codec for each family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Generic, TypeVar

from mapc.instances.columns import Strict

ProblemT = TypeVar("ProblemT")
BodyT = TypeVar("BodyT", bound=Strict)
PlanT = TypeVar("PlanT")
ColumnsT = TypeVar("ColumnsT", bound=Strict)


@dataclass(frozen=True, eq=False)
class Codec(Generic[ProblemT, BodyT, PlanT, ColumnsT]):
    """The problems and plans of one family, and the sections of a file that hold them.

    Sections are msgspec structs; every one derives from `Strict`. What they refuse, the functions
    need not check; what takes the problem to tell (lengths, indices), ``from_body`` and
    ``from_columns`` refuse with an `InstanceError` whose place begins with the JSON path they are
    given.

    Attributes
    ----------
    kind : str
        The family, as in ``mapc.models.KINDS`` and in the header of its files.
    problem_type, plan_type : type
        A problem has a mapping ``provenance``, which the header keeps.
    body_type, columns_type : type
        Sections ``problem`` of an instance and ``plan`` of a plan file.
    to_body : callable
        ``to_body(problem) -> body``.
    from_body : callable
        ``from_body(body, name, provenance, where) -> problem``; ``where`` is the path of the body.
    to_columns : callable
        ``to_columns(plan) -> columns``.
    from_columns : callable
        ``from_columns(columns, problem, where) -> plan``; ``where`` is the path of the columns.
    units : Strict
        The section ``units``: each field a ``Literal`` with its default.
    name_of : callable
        ``name_of(problem) -> str``; by default its ``name``.
    silent : mapping
        Fields of the body that do not count for the content hash, with the value hashed instead.
    """

    kind: str
    problem_type: type[ProblemT]
    plan_type: type[PlanT]
    body_type: type[BodyT]
    columns_type: type[ColumnsT]
    to_body: Callable[[ProblemT], BodyT]
    from_body: Callable[[BodyT, str, Mapping[str, Any], str], ProblemT]
    to_columns: Callable[[PlanT], ColumnsT]
    from_columns: Callable[[ColumnsT, ProblemT, str], PlanT]
    units: Strict
    name_of: Callable[[ProblemT], str] = attrgetter("name")
    silent: Mapping[str, Any] = field(default_factory=dict)


AnyCodec = Codec[Any, Any, Any, Any]
