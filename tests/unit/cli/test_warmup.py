import importlib
import signal
import subprocess
import sys

import pytest

from mapc import kernels

warmup = importlib.import_module("mapc.cli.warmup")


@pytest.fixture
def two(monkeypatch):
    """Two kernel modules, the second of them cold; ``two("code")`` is what compiling runs."""
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    monkeypatch.setattr(kernels, "MODULES", ("one", "other"))
    monkeypatch.setattr(kernels, "warm", lambda name: name == "one")
    monkeypatch.setattr(kernels, "callees", lambda name: ())
    started = []

    def compiling(code):
        def child(name, errors=subprocess.DEVNULL):
            started.append(name)
            return subprocess.Popen([sys.executable, "-c", code], stderr=errors)

        monkeypatch.setattr(kernels, "child", child)
        return started

    return compiling


def test_what_is_cold_is_compiled(run, two):
    started = two("")
    done = run("warmup")
    assert done.exit_code == 0
    assert started == ["other"]
    lines = done.stdout.splitlines()
    assert lines[0].startswith("other: ")
    assert lines[0].endswith(" s")
    assert lines[1:] == ["2 of 2 kernel modules are compiled"]


def test_a_failure_is_said_in_a_line(run, two):
    two("raise ValueError('no such type')")
    done = run("warmup")
    assert done.exit_code == 1
    assert done.stdout == "1 of 2 kernel modules are compiled\n"
    assert done.stderr == "other: ValueError: no such type\nmapc: error: not compiled: other\n"


def test_a_child_that_dies_without_a_word(run, two):
    two("import os; os._exit(9)")
    done = run("warmup")
    assert done.exit_code == 1
    assert "other: killed" in done.stderr


@pytest.mark.parametrize("cores", [1, 2, 8])
def test_modules_wait_for_those_they_call_and_for_a_core(run, two, monkeypatch, cores):
    started = two("")
    calls = {"a": (), "b": ("a",), "c": ("a", "b"), "d": ()}
    monkeypatch.setattr(kernels, "MODULES", tuple(calls))
    monkeypatch.setattr(kernels, "callees", calls.get)
    monkeypatch.setattr(warmup, "_cores", lambda: cores)
    ended, most = [], []
    start, report = warmup._Child.__init__, warmup._Child.report

    def starting(child, name):
        assert set(calls[name]) <= set(ended)
        start(child, name)
        most.append(len(started) - len(ended))

    def reporting(child):
        ended.append(child.name)
        return report(child)

    monkeypatch.setattr(warmup._Child, "__init__", starting)
    monkeypatch.setattr(warmup._Child, "report", reporting)
    assert run("warmup").exit_code == 0
    assert sorted(started) == sorted(ended) == list(calls)
    assert max(most) == min(cores, 2)  # a and d have nothing to wait for


def test_children_end_with_the_command(run, two, monkeypatch):
    two("import time; time.sleep(60)")
    children = []
    start = warmup._Child.__init__

    def starting(child, name):
        start(child, name)
        children.append(child)

    def interrupt(child):
        raise KeyboardInterrupt

    monkeypatch.setattr(warmup._Child, "__init__", starting)
    monkeypatch.setattr(warmup._Child, "ended", interrupt)
    assert run("warmup").exit_code != 0
    assert [child.process.returncode for child in children] == [-signal.SIGKILL]


def test_checking_compiles_nothing(run, two, monkeypatch):
    started = two("")
    done = run("warmup", "--check")
    assert (done.exit_code, started) == (7, [])
    assert done.stderr == "mapc: error: not compiled: other; run mapc warmup\n"
    monkeypatch.setattr(kernels, "warm", lambda name: True)
    done = run("warmup", "--check")
    assert (done.exit_code, done.stdout) == (0, "2 of 2 kernel modules are compiled\n")


def test_plain_python_has_nothing_to_compile(run, two):
    started = two("")
    done = run("warmup", env={"NUMBA_DISABLE_JIT": "1"})
    assert (done.exit_code, started) == (0, [])
    assert "NUMBA_DISABLE_JIT" in done.stdout
