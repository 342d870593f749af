"""One direction of imports, read from the source itself.

graph <- program <- solvers, graph <- models; only the portfolio, the verbs, the quality gate and
the command line see families and backends together. No solver and no optional package is imported
when a module of mapc is.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

SOURCE = Path(__file__).parents[2] / "src" / "mapc"
LAZY = (
    *("numba", "ortools", "highspy", "pyomo", "pyscipopt", "onnx", "networkx", "torch", "pandas"),
    *("dask", "distributed", "matplotlib"),
)
BOTH_SIDES = (
    "mapc",
    "mapc.api",
    "mapc.__main__",
    "mapc.solvers.portfolio",
    "mapc.quality",
    "mapc.cli",
)
FOR_FAMILIES = ("mapc.solvers.base", "mapc.solvers.result")


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


@cache
def modules() -> dict[str, ast.Module]:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = ("mapc", *path.relative_to(SOURCE).with_suffix("").parts)
        name = ".".join(parts).removesuffix(".__init__")
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def statements(tree: ast.AST, top_level_only: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield imports; type-checking blocks never run and do not count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        elif not (top_level_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            yield from statements(node, top_level_only)


def imports(name: str, top_level_only: bool = False) -> set[str]:
    """Modules a module names, as precisely as can be told: ``mapc.graph``, ``mapc.units``."""
    found: set[str] = set()
    for node in statements(modules()[name], top_level_only):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
            continue
        assert node.level == 0, f"{name}: relative import"
        assert node.module is not None
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            found.add(inner if inner in modules() else node.module)
    return found


def offenders(importers: tuple[str, ...], forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{name} imports {target}"
        for name in modules()
        if within(name, *importers)
        for target in sorted(imports(name))
        if within(target, *forbidden)
    ]


def test_the_source_is_found() -> None:
    assert {"mapc", "mapc.graph.operators", "mapc.solvers.portfolio"} <= set(modules())
    assert "mapc.graph.operators" in imports("mapc.program.model") | imports("mapc.graph.devices")


def test_graph_knows_nothing_above_it() -> None:
    allowed = ("mapc.graph", "mapc.errors", "mapc.units")
    seen = {t for m in modules() if within(m, "mapc.graph") for t in imports(m)}
    assert {t for t in seen if within(t, "mapc") and not within(t, *allowed)} == set()


def test_program_knows_no_solver_and_no_family() -> None:
    above = ("mapc.solvers", "mapc.models", "mapc.instances", "mapc.cli", "mapc.api")
    assert offenders(("mapc.program",), above) == []


def test_families_know_no_backend() -> None:
    backends = tuple(
        m for m in modules() if m.startswith("mapc.solvers.") and m not in FOR_FAMILIES
    )
    assert len(backends) >= 3
    assert offenders(("mapc.models",), backends) == []
    assert offenders(("mapc.models",), ("mapc.instances", "mapc.cli", "mapc.api")) == []


def test_backends_know_no_family() -> None:
    backends = [
        m
        for m in modules()
        if m.startswith("mapc.solvers.") and m not in (*BOTH_SIDES, "mapc.solvers.result")
    ]
    assert len(backends) >= 3
    above = ("mapc.models", "mapc.instances", "mapc.cli", "mapc.api")
    assert [(m, t) for m in backends for t in imports(m) if within(t, *above)] == []


def test_one_family_knows_another_only_as_a_part_of_its_problem() -> None:
    """Memory places its residencies by the allocation family; allocation knows no other."""
    assert offenders(("mapc.models.allocation",), ("mapc.models.memory",)) == []


def test_instances_know_no_solver() -> None:
    assert offenders(("mapc.instances",), ("mapc.solvers", "mapc.cli", "mapc.api")) == []


def test_reports_and_words_know_no_terminal() -> None:
    assert offenders(("mapc.visual", "mapc.wording"), ("mapc.cli",)) == []
    assert offenders(("mapc.wording",), ("mapc.visual",)) == []


def test_only_few_see_both_sides() -> None:
    families = tuple(m for m in modules() if m.startswith("mapc.models.") and m.count(".") >= 3)
    backends = tuple(
        m for m in modules() if m.startswith("mapc.solvers.") and m not in FOR_FAMILIES
    )
    for name in modules():
        if within(name, *BOTH_SIDES[1:]) or name == "mapc":
            continue
        seen = imports(name)
        sees_family = any(within(target, *families, "mapc.models") for target in seen)
        sees_backend = any(within(target, *backends) for target in seen)
        inside = within(name, "mapc.models") or within(name, "mapc.solvers")
        assert inside or not (sees_family and sees_backend), name


@pytest.mark.parametrize("family", ["memory", "allocation", "bits", "placement", "sequence"])
def test_a_verifier_shares_nothing_with_the_models(family: str) -> None:
    allowed = {
        f"mapc.models.{family}.problem",
        f"mapc.models.{family}.plan",
        "mapc.models.base",
        "mapc.graph",
        "mapc.graph.operators",
        "mapc.errors",
        "mapc.units",
    }
    simulator = f"mapc.models.{family}.replay"
    own = [m for m in (f"mapc.models.{family}.verify", simulator) if m in modules()]
    assert {t for m in own for t in imports(m) if within(t, "mapc")} <= allowed | {simulator}
    users = [m for m in modules() if simulator in imports(m)]
    assert users == [m for m in own if m != simulator and simulator in own]


def test_no_solver_is_imported_at_module_level() -> None:
    found = [
        f"{name} imports {target}"
        for name in modules()
        for target in imports(name, top_level_only=True)
        if within(target, *LAZY)
    ]
    assert found == []


def kernel_modules() -> set[str]:
    """Modules whose functions are compiled."""
    return {
        name
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(one).startswith("kernel(") for one in node.decorator_list)
    }


def test_kernel_modules_are_all_known() -> None:
    from mapc.kernels import MODULES

    assert kernel_modules() == set(MODULES)


def test_importing_compiles_nothing() -> None:
    """Kernel modules are imported by each other, and inside functions; importing compiles them."""
    kernels = kernel_modules()
    found = [
        f"{name} imports {target}"
        for name in set(modules()) - kernels
        for target in imports(name, top_level_only=True)
        if target in kernels
    ]
    assert found == []


def test_importing_the_package_loads_no_solver() -> None:
    """The same, observed: what the ast cannot see is seen here."""
    script = (
        "import sys, mapc, mapc.api, mapc.instances, mapc.cli, mapc.solvers.portfolio\n"
        "from mapc.models import KINDS, family\n"
        "for kind in KINDS: family(kind)\n"
        f"print([m for m in {LAZY!r} if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.strip() == "[]"


def test_packages_form_no_cycle() -> None:
    """Packages as named in the design; the contracts under solvers/ are counted one by one."""

    def box(module: str) -> str:
        parts = module.split(".")
        if within(module, "mapc.solvers"):
            return module
        return ".".join(parts[:3] if parts[1:2] == ["models"] else parts[:2])

    view: nx.DiGraph[str] = nx.DiGraph()
    for name in modules():
        for target in imports(name, top_level_only=True) - {"mapc"}:
            if within(target, "mapc") and box(target) != box(name):
                view.add_edge(box(name), box(target))
    assert list(nx.simple_cycles(view)) == []
    assert view.number_of_edges() > 5
