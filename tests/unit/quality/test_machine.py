"""What a measurement says of versions and machine."""

from __future__ import annotations

import os
import platform

import mapc
from mapc.quality.machine import cores, machine, versions


def test_versions_of_what_changes_results() -> None:
    found = versions()
    assert found["mapc"] == mapc.__version__
    assert found["python"] == platform.python_version()
    assert {"highspy", "ortools", "numpy"} <= set(found)


def test_the_machine_without_its_name() -> None:
    found = machine()
    assert set(found) == {"system", "machine", "cpu", "cores"}
    assert found["cores"] == cores() == len(os.sched_getaffinity(0))
    assert platform.node() not in found.values()
