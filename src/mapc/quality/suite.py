"""Suites: the instances of a library, as problems, with the best plans known of them.

A suite is a folder with an ``index.json``, or a folder of such folders, or one such file. Nothing
in it is believed: a problem that is not the one of the index is refused, and `check_suite` replays
every plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from mapc.errors import InstanceError, MapcError, UsageError
from mapc.quality.index import FILES, NAME, PLANS, Entry, Index, Source, read_index
from mapc.quality.plans import read_stored_plan

MAX_BYTES: Final = 20 * 2**20
"""Bytes on disk above which `check_suite` finds a library too large."""


@dataclass(frozen=True)
class Case:
    """One instance of a suite.

    Attributes
    ----------
    folder : Path
        Where the index is; paths of the entry are below it.
    kind : str
        Family.
    entry : Entry
    """

    folder: Path
    kind: str
    entry: Entry

    @property
    def name(self) -> str:
        """The name in its index."""
        return self.entry.name

    @property
    def label(self) -> str:
        """Family and name, e.g. ``"memory/densenet121-mr"``: unique in a library."""
        return f"{self.kind}/{self.entry.name}"

    @property
    def missing(self) -> bool:
        """Whether the instance is in a file that is not there."""
        return (
            self.entry.source.file is not None and not self._path(self.entry.source.file).exists()
        )

    def problem(self) -> Any:
        """Read or generate the problem, with scratchpad, budgets and rules, and check its hash.

        Raises
        ------
        InstanceError
            If the source cannot be read or generated, or gives another problem than that of the
            index: another hash, another family.
        """
        from mapc.instances import content_hash

        where = f"{self.folder / NAME}: instance {self.name!r}"
        found = self._load(where)
        sha256 = content_hash(found)
        if sha256 != self.entry.sha256:
            raise InstanceError(
                f"its source gives another problem, {sha256}", where, self.entry.sha256
            )
        return found

    def best_plan(self, problem: Any = None) -> Any:
        """Read the best plan known; None where none is. Its rules are the verifier's to check.

        Parameters
        ----------
        problem : problem, optional
            What `problem` returned, where that is at hand.

        Raises
        ------
        InstanceError
            If the plan is missing, or is for another problem.
        """
        best = self.entry.best
        if best is None or best.plan is None:
            return None
        asked = self.problem() if problem is None else problem
        return read_stored_plan(self._path(best.plan), asked)

    def _path(self, relative: str) -> Path:
        return self.folder.joinpath(*relative.split("/"))

    def _load(self, where: str) -> Any:
        from mapc.models import family_of

        try:
            found = load(self.entry.source, self.folder, self.kind)
        except UsageError as error:  # the index is at fault, not the call
            raise InstanceError(str(error), where) from None
        kind = family_of(found).kind
        if kind != self.kind:
            raise InstanceError(f"a problem of the family {kind}", where, self.kind)
        return found


def load(source: Source, folder: str | Path, kind: str) -> Any:
    """Return the problem of a source: read or generated, with what the source sets on top.

    Parameters
    ----------
    source : Source
    folder : path
        What the file of the source is below.
    kind : str
        Family; whose generator to use.

    Raises
    ------
    InstanceError
        For a file that cannot be read.
    UsageError
        For options that do not apply.
    """
    from mapc import api

    on_top: dict[str, Any] = {
        "scratchpad": source.scratchpad,
        "budgets": source.budgets or None,
        "rules": source.rules or None,
    }
    if source.file is not None:
        return api.read(Path(folder).joinpath(*source.file.split("/")), **on_top)
    return with_options(api.generate(kind, **(source.generate or {})), **on_top)


def with_options(
    problem: Any,
    scratchpad: str | int | None = None,
    budgets: Sequence[str] | None = None,
    rules: Sequence[str] | None = None,
) -> Any:
    """Return a problem under what ``mapc.read`` sets on top, in its order.

    Raises
    ------
    UsageError
        For what does not apply to the family.
    """
    from mapc import api
    from mapc.models import family_of

    if rules is not None:
        problem = api.with_rules(problem, rules)
    if scratchpad is not None:
        problem = family_of(problem).with_capacity(problem, scratchpad)
    return problem if budgets is None else api.with_budgets(problem, budgets)


@dataclass(frozen=True)
class Suite:
    """The instances of a library, or some of them.

    Attributes
    ----------
    path : Path
        As given.
    folders : tuple of Path
        All folders with an index, by name.
    cases : tuple of Case
        Those chosen, by folder and then as in the index.
    """

    path: Path
    folders: tuple[Path, ...]
    cases: tuple[Case, ...]

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        names: Sequence[str] | None = None,
        tiers: Sequence[int] | None = None,
        kinds: Sequence[str] | None = None,
    ) -> Suite:
        """Read the indexes of a suite.

        Parameters
        ----------
        path : path
            A folder with an index, a folder of such folders, or an index.
        names : sequence of str, optional
            Only these instances: names, or labels such as ``"bits/llm-44k"``.
        tiers : sequence of int, optional
            Only instances of these.
        kinds : sequence of str, optional
            Only these families.

        Raises
        ------
        InstanceError
            For a folder without an index, or an index that breaks a rule.
        UsageError
            For a name, a tier or a family that is not there.
        """
        path = Path(path)
        folders = _folders(path)
        every = [
            Case(folder, index.kind, entry)
            for folder, index in ((folder, read_index(folder)) for folder in folders)
            for entry in index.instances
        ]
        _check_choice(every, path, names, tiers, kinds)
        chosen = [
            one
            for one in every
            if (names is None or one.name in names or one.label in names)
            and (tiers is None or one.entry.tier in tiers)
            and (kinds is None or one.kind in kinds)
        ]
        return cls(path, folders, tuple(chosen))

    def __iter__(self) -> Iterator[Case]:
        """Iterate over the cases."""
        return iter(self.cases)

    def __len__(self) -> int:
        """Return how many cases there are."""
        return len(self.cases)


def _folders(path: Path) -> tuple[Path, ...]:
    if path.is_file():
        if path.name != NAME:
            raise InstanceError("no index of a library", str(path), f"a folder, or an {NAME}")
        return (path.parent,)
    if (path / NAME).is_file():
        return (path,)
    found = tuple(sorted(one.parent for one in path.glob(f"*/{NAME}")))
    if not found:
        raise InstanceError(
            "no library", str(path), f"a folder with an {NAME}, or a folder of such folders"
        )
    return found


def _check_choice(
    cases: Sequence[Case],
    path: Path,
    names: Sequence[str] | None,
    tiers: Sequence[int] | None,
    kinds: Sequence[str] | None,
) -> None:
    from mapc.models import KINDS

    known = {one.name for one in cases} | {one.label for one in cases}
    for name in names or ():
        if name not in known:
            raise UsageError(f"instance {name!r}: not in {path}; expected a name of its index")
    for tier in tiers or ():
        if tier not in (1, 2, 3):
            raise UsageError(f"tier {tier}: expected 1, 2 or 3")
    for kind in kinds or ():
        if kind not in KINDS:
            raise UsageError(f"kind {kind!r}: no such family; expected {', '.join(KINDS)}")


# -- checking --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Audit:
    """What re-verifying a suite found.

    Attributes
    ----------
    faults : tuple of str
        One line each; empty for a library that is sound.
    missing : tuple of str
        Labels of instances whose file is not there: nothing was checked of them.
    checked : int
        Instances that were read or generated, and found to be those of the index.
    plans : int
        Best plans that were replayed.
    bytes : int
        On disk, all folders of the suite together.
    """

    faults: tuple[str, ...]
    missing: tuple[str, ...]
    checked: int
    plans: int
    bytes: int

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong, and nothing was left unchecked."""
        return not self.faults and not self.missing


def check_suite(suite: Suite, *, max_bytes: int = MAX_BYTES) -> Audit:
    """Re-verify a suite: hashes, figures, plans, objectives, and what is on disk.

    Parameters
    ----------
    suite : Suite
    max_bytes : int
        Most that its folders may hold.

    Raises
    ------
    InstanceError
        For an index that cannot be read; everything else is a fault, and the others are checked.
    """
    faults: list[str] = []
    missing: list[str] = []
    checked = plans = 0
    for case in suite:
        if case.missing:
            missing.append(case.label)
            continue
        try:
            problem = case.problem()
        except MapcError as error:
            faults.append(f"{case.label}: {error}")
            continue
        checked += 1
        faults += [f"{case.label}: {text}" for text in _check_facts(case, problem)]
        found = _check_plan(case, problem)
        plans += case.entry.best is not None and case.entry.best.plan is not None
        faults += [f"{case.label}: {text}" for text in found]
    size, strays = _on_disk(suite.folders)
    faults += [f"{path}: in no index; expected a file of an instance" for path in strays]
    if size > max_bytes:
        faults.append(f"{suite.path}: {size} bytes; expected at most {max_bytes}")
    return Audit(tuple(faults), tuple(missing), checked, plans, size)


def facts_of(problem: Any) -> dict[str, Any]:
    """Return the figures of a problem as JSON holds them."""
    from mapc.models import family_of

    text = msgspec.json.encode(family_of(problem).facts(problem), enc_hook=lambda v: v.tolist())
    found: dict[str, Any] = msgspec.json.decode(text)
    return found


def _check_facts(case: Case, problem: Any) -> list[str]:
    found = facts_of(problem)
    return [
        f"{key} is {found.get(key)!r}, the index says {value!r}"
        for key, value in case.entry.facts.items()
        if found.get(key) != value
    ]


def _check_plan(case: Case, problem: Any) -> list[str]:
    from mapc.models import family_of

    best = case.entry.best
    if best is None or best.plan is None:
        return []
    try:
        verdict = family_of(problem).verify(problem, case.best_plan(problem))
    except MapcError as error:
        return [str(error)]
    if verdict.violations:
        return [f"the best plan breaks a rule: {verdict.violations[0]}"]
    if verdict.objective != best.objective:
        return [f"the best plan costs {verdict.objective}, the index says {best.objective}"]
    return []


def _on_disk(folders: Sequence[Path]) -> tuple[int, list[Path]]:
    """Return the bytes of all files, and the files that no index names."""
    size = 0
    strays: list[Path] = []
    for folder in folders:
        named = _named(folder, read_index(folder))
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        size += sum(path.stat().st_size for path in files)
        # what a user keeps beside them is nobody's business
        own = (folder / FILES, folder / PLANS)
        strays += [path for path in files if path not in named and path.parent in own]
    return size, strays


def _named(folder: Path, index: Index) -> set[Path]:
    named = {folder / NAME}
    for one in index.instances:
        for relative in (one.source.file, one.best.plan if one.best else None):
            if relative is not None:
                named.add(folder.joinpath(*relative.split("/")))
    return named
