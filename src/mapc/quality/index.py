"""The index of a library: which instances there are, and the best that is known of each.

A library is a folder with an ``index.json``, the instances and the plans beside it; a folder of
such folders is one, too. The index holds no value that its own files cannot prove again: a best
objective has a plan that the verifier replays, a hash stands beside every instance.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, field

from mapc.errors import InstanceError
from mapc.files import MAX_TEXT_BYTES, read_bytes, write_whole
from mapc.instances.columns import Strict

NAME: Final = "index.json"
FILES: Final = "files"
PLANS: Final = "plans"
"""Folders beside the index in which ``mapc record`` puts instances and plans."""
SCHEMA: Final = "mapc/library"
VERSION: Final = 1

Number = int | float
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,79}$")]
Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=0)]
Relative = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._+-]+(/[A-Za-z0-9._+-]+)*$")]
"""A path below the folder of the index."""


class Source(Strict, frozen=True, kw_only=True, omit_defaults=True):
    """Where an instance comes from: a file beside the index, or a generator and its options.

    Attributes
    ----------
    file : str or None
        Path below the folder of the index; whatever ``mapc.read`` takes.
    generate : mapping or None
        Options of the generator of the index's kind; ``{"network": "darts", "seed": 0}``.
    scratchpad, budgets, rules
        As ``mapc.read`` takes them, on top of either.
    """

    file: Relative | None = None
    generate: dict[str, Any] | None = None
    scratchpad: str | int | None = None
    budgets: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


class Run(Strict, frozen=True, kw_only=True, omit_defaults=True):
    """How the gate solves an instance, without a clock.

    Attributes
    ----------
    methods : tuple of str or None
        None: the default ones.
    seed : int
    """

    methods: tuple[str, ...] | None = None
    seed: Count = 0


class Best(Strict, frozen=True, kw_only=True):
    """The best that is known; entered by ``mapc record`` alone, which replays the plan.

    Attributes
    ----------
    objective : number or None
        Of the plan, by the verifier; None together with ``plan`` where no plan is known, or where
        none exists.
    bound : number or None
        No plan costs less.
    proven : bool
        The two meet; or, without a plan, it is proven that there is none.
    method, bound_method : str
        Who found the plan, and who proved the bound.
    mapc : str
        Version.
    seed : int
    date : str
        ISO 8601, UTC.
    plan : str or None
        File of the plan, below the folder of the index; `mapc.quality.plans` reads it.
    """

    objective: Number | None
    bound: Number | None
    proven: bool
    method: str
    bound_method: str
    mapc: str
    seed: Count
    date: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    plan: Relative | None


class Size(Strict, frozen=True, kw_only=True):
    """Rows, columns and nonzeros of one formulation."""

    rows: Count
    columns: Count
    nonzeros: Count


class Gate(Strict, frozen=True, kw_only=True, omit_defaults=True):
    """What a run of the gate has to reach.

    Attributes
    ----------
    objective : number or None
        Ceiling: a plan at most this dear. None asks for none.
    bound : number or None
        Floor: a bound at least this high. None asks for none.
    proven : bool
        Whether the run has to end with a proof, of an optimum or that there is no plan.
    models : mapping
        For each formulation named, the size it may have at most.
    agree : mapping
        For each formulation named, the backends that have to agree on it.
    """

    objective: Number | None = None
    bound: Number | None = None
    proven: bool = False
    models: dict[str, Size] = field(default_factory=dict)
    agree: dict[str, tuple[str, ...]] = field(default_factory=dict)


class Entry(Strict, frozen=True, kw_only=True):
    """One instance.

    Attributes
    ----------
    name : str
        Unique in its index.
    sha256 : str
        `mapc.instances.content_hash` of the problem, options on top included.
    source : Source
    origin : str
        Where it is from, and the licence of what it holds; one line.
    tier : int
        1: small, solved to proof with every formulation and backend; 2: counted work; 3: only
        ``mapc bench`` runs it.
    facts : mapping
        Figures of its size, as the family states them.
    run : Run
    best : Best or None
    gate : Gate
    """

    name: Name
    sha256: Hash
    source: Source
    origin: str
    tier: Literal[1, 2, 3] = 2
    facts: dict[str, Any] = field(default_factory=dict)
    run: Run = field(default_factory=Run)
    best: Best | None = None
    gate: Gate = field(default_factory=Gate)


class Index(Strict, frozen=True, kw_only=True):
    """What ``index.json`` holds: the instances of one family."""

    schema: Literal["mapc/library"] = SCHEMA
    version: Literal[1] = VERSION
    kind: str
    instances: tuple[Entry, ...] = ()

    def entry(self, name: str) -> Entry:
        """Return the entry of a name.

        Raises
        ------
        InstanceError
            If there is none.
        """
        for one in self.instances:
            if one.name == name:
                return one
        raise InstanceError(
            f"instance {name!r}: not in the index", right="a name that `mapc bench --list` prints"
        )

    def with_entries(self, entries: Iterable[Entry]) -> Index:
        """Return the index with these entries put in, by name; new ones at the end."""
        known = {one.name: one for one in self.instances}
        known.update((one.name, one) for one in entries)
        return msgspec.structs.replace(self, instances=tuple(known.values()))


def read_index(folder: str | Path) -> Index:
    """Read the index of one folder.

    Raises
    ------
    InstanceError
        If it is missing, or breaks a rule: which one, where, and what would be right.
    """
    path = Path(folder) / NAME
    data = read_bytes(path, MAX_TEXT_BYTES)
    try:
        index = msgspec.json.decode(data, type=Index)
    except msgspec.DecodeError as error:
        raise InstanceError(str(error), str(path)) from None
    check_index(index, str(path))
    return index


def check_index(index: Index, where: str) -> None:
    """Check what types cannot say: kind, unique names, sources and best values that fit together.

    Raises
    ------
    InstanceError
    """
    from mapc.models import KINDS

    if index.kind not in KINDS:
        raise InstanceError(f"kind {index.kind!r}: unknown", where, ", ".join(KINDS))
    seen: set[str] = set()
    for one in index.instances:
        place = f"{where}: instance {one.name!r}"
        if one.name in seen:
            raise InstanceError("named twice", place, "a name for each instance")
        seen.add(one.name)
        if (one.source.file is None) == (one.source.generate is None):
            raise InstanceError("source", place, "either a file or what to generate")
        for path in (one.source.file, one.best.plan if one.best else None):
            if path is not None and {".", ".."} & set(path.split("/")):
                raise InstanceError(f"path {path!r}", place, "a path below the folder")
        if one.best is not None:
            _check_best(one.best, place)


def _check_best(best: Best, place: str) -> None:
    if (best.objective is None) != (best.plan is None):
        raise InstanceError("best", place, "an objective and a plan, or neither")
    if best.objective is not None and best.bound is not None and best.bound > best.objective:
        raise InstanceError(
            f"bound {best.bound} above the objective {best.objective}",
            place,
            "a bound at most that",
        )
    if best.objective is not None and best.proven != (best.bound == best.objective):
        raise InstanceError("proven", place, "true if bound and objective are equal, else false")


def write_index(index: Index, folder: str | Path) -> None:
    """Write the index of a folder, whole or not at all; equal indexes give equal bytes.

    Raises
    ------
    InstanceError
        For an index that could not be read again.
    UsageError
        If it cannot be written.
    """
    path = Path(folder) / NAME
    data = msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n"
    try:
        msgspec.json.decode(data, type=Index)
    except msgspec.DecodeError as error:  # types check what is read, not what is made
        raise InstanceError(str(error), str(path)) from None
    check_index(index, str(path))
    write_whole(path, data)
