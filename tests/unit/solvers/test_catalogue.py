"""What is known about backends without importing a solver."""

import subprocess
import sys

import pytest

from mapc.errors import UsageError
from mapc.solvers import catalogue


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_listed_backends_are_known(name):
    known = catalogue.entry(name)
    assert known.name == name
    assert known.target.startswith("mapc.solvers.")
    assert known.supports


@pytest.mark.parametrize("name", ["", "cplex", ":solve", "module:", "pyomo:"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(UsageError, match="expected one of highs"):
        catalogue.entry(name)


def test_a_backend_of_ones_own():
    assert catalogue.entry("some.module:solve").imports == ("some.module",)
    assert catalogue.entry("some.module:solve").target == "some.module:solve"


@pytest.mark.parametrize(
    ("disabled", "name", "gone"),
    [
        ("highs", "highs", True),
        ("highs", "pyomo:highs", False),
        ("pyomo", "pyomo:highs", True),
        ("pyomo:scip, cpsat", "cpsat", True),
        ("pyomo:scip", "pyomo:highs", False),
        ("", "highs", False),
    ],
)
def test_backends_can_be_disabled(monkeypatch, disabled, name, gone):
    monkeypatch.setattr(catalogue.importlib.util, "find_spec", lambda module: object())
    monkeypatch.setenv(catalogue.DISABLE, disabled)
    assert bool(catalogue.missing(name)) == gone


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(
        catalogue.importlib.util, "find_spec", lambda module: None if module == "highspy" else 1
    )
    assert "'highspy'" in catalogue.missing("highs")
    assert "'highspy'" in catalogue.missing("pyomo:highs")
    assert not catalogue.missing("pyomo:cbc")


def test_version_of_something_without_packages_is_empty():
    assert catalogue.version("some.module:solve") == ""


def test_looking_imports_no_solver():
    code = (
        "import sys; from mapc.solvers import catalogue, registry\n"
        "for name in registry.NAMES: catalogue.missing(name), catalogue.version(name)\n"
        "bad = {'highspy', 'ortools', 'pyomo', 'pyscipopt'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
