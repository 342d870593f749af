"""Kernel modules are compiled once, by a child process while others wait."""

import ast
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from mapc import kernels

SOURCE = """
from mapc.kernels import kernel

@kernel("int64(int64)")
def double(x):
    return {factor} * x
"""

DOUBLE = SOURCE.format(factor=2)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """``module("name", text)`` writes a kernel module that this process and its children find."""
    written = []

    def write(name, text=DOUBLE):
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        if name not in written:
            written.append(name)
            monkeypatch.setattr(kernels, "MODULES", (*kernels.MODULES, name))
        return path

    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(kernels, "_children", {})
    monkeypatch.setattr(kernels, "_threads", {})
    yield write
    kernels._end()
    for name in written:
        sys.modules.pop(name, None)


def instead(monkeypatch, *command):
    """Let children run something else; return the list of those that were started."""
    started = []

    def child(name, errors=subprocess.DEVNULL):
        started.append(subprocess.Popen([sys.executable, "-c", *command]))
        return started[-1]

    monkeypatch.setattr(kernels, "child", child)
    return started


def test_a_cold_module_is_compiled_by_a_child_and_then_warm(module, monkeypatch, tmp_path):
    module("cold_one")
    assert not kernels.warm("cold_one")
    asked = []
    loaded = kernels.load("cold_one", lambda: bool(asked.append(1)))
    assert loaded.double(21) == 42
    assert loaded.double.stats.cache_hits, "this process compiled it, not the child"
    assert asked
    assert kernels.warm("cold_one")
    started = instead(monkeypatch, "")
    del sys.modules["cold_one"]
    assert kernels.load("cold_one").double(4) == 8
    assert kernels.load("cold_one") is sys.modules["cold_one"]
    assert started == []


def test_waiting_ends_when_asked_and_the_child_with_the_process(module, monkeypatch):
    module("cold_two")
    started = instead(monkeypatch, "import time; time.sleep(60)")
    answers = iter([False, False, True])
    assert kernels.load("cold_two", lambda: next(answers)) is None
    assert kernels.load("cold_two", lambda: True) is None
    assert "cold_two" not in sys.modules
    assert len(started) == 1, "the second call waits for the child of the first"
    assert started[0].poll() is None
    kernels._end()
    assert started[0].poll() is not None


def test_a_failing_child_costs_nothing_but_time(module, monkeypatch):
    module("cold_three")
    started = instead(monkeypatch, "raise SystemExit(3)")
    assert kernels.load("cold_three").double(3) == 6
    assert [one.returncode for one in started] == [3]
    assert not kernels.warm("cold_three")


def test_without_a_folder_to_keep_code_in_this_process_compiles(module, monkeypatch):
    from numba.core.caching import CacheImpl

    module("kept_nowhere")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    started = instead(monkeypatch, "")
    assert kernels.load("kept_nowhere").double(3) == 6
    assert started == []


def test_waiting_for_this_process_to_compile_ends_when_asked(module, monkeypatch, tmp_path):
    gate = tmp_path / "gate"
    module("slow", f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\n")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert kernels.load("slow", lambda: True) is None
    assert kernels.load("slow", lambda: True) is None
    gate.touch()
    assert kernels.load("slow") is sys.modules["slow"]


def test_a_module_that_cannot_be_compiled_says_why(module, monkeypatch):
    module("broken", "from mapc.kernels import kernel\nraise ValueError('no such kernel')\n")
    with pytest.raises(ValueError, match="no such kernel"):
        kernels.load("broken")
    with pytest.raises(ModuleNotFoundError, match=r"no kernel module mapc\.nothing"):
        kernels.load("mapc.nothing")


def test_plain_python_needs_no_child(module, monkeypatch):
    module("plain_one", "twice = 2\n")
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    started = instead(monkeypatch, "")
    assert kernels.load("plain_one").twice == 2
    assert started == []


def test_changing_a_callee_makes_its_callers_cold(module):
    callee = module("callee")
    text = "from mapc.kernels import kernel\nfrom callee import double\n" + (
        '@kernel("int64(int64)")\ndef twice(x):\n    return double(double(x))\n'
    )
    module("caller", text)
    assert kernels.callees("caller") == ("callee",)
    for name in ("callee", "caller"):
        kernels._write(name, kernels._key(name), "done")
        assert kernels.warm(name)
    callee.write_text(SOURCE.format(factor=3))
    assert not kernels.warm("callee")
    assert not kernels.warm("caller")


def test_what_an_older_callee_left_behind_is_not_used(module, tmp_path):
    """Numba looks at the caller's own file only and would keep the old callee inside it."""
    module("base")
    module(
        "user",
        "from mapc.kernels import kernel\nfrom base import double\n"
        '@kernel("int64(int64)")\ndef again(x):\n    return double(x)\n',
    )
    script = "import user; print(user.again(1))"
    run = [sys.executable, "-c", script]
    # the child that compiles has to know the callers' callees as this process does
    compile_ = (
        "import sys; from mapc import kernels; kernels.MODULES = ('base', 'user');"
        "kernels.compile_module('user')"
    )
    for factor in (2, 5):
        module("base", SOURCE.format(factor=factor))
        subprocess.run([sys.executable, "-c", compile_], check=True)
        assert subprocess.run(run, capture_output=True, check=True).stdout == b"%d\n" % factor


def test_what_was_compiled_before_an_interrupt_is_kept(module, tmp_path):
    path = module("half", "x = 1\n")
    kept = path.parent / "__pycache__" / "half.f-1.py311.nbi"
    kept.parent.mkdir(exist_ok=True)
    kept.touch()
    kernels._write("half", kernels._key("half"), "started")
    kernels.compile_module("half")
    assert kept.exists()
    assert kernels.warm("half")
    path.write_text("x = 2\n")
    kernels.compile_module("half")
    assert not kept.exists()


def test_a_stamp_goes_where_numba_writes(module, tmp_path, monkeypatch):
    module("stamped", "x = 1\n")
    assert kernels._stamp("stamped").parent == tmp_path / "__pycache__"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    assert kernels._stamp("stamped").parent == tmp_path / "cache"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert kernels._stamp("stamped").parent == tmp_path / "home" / "mapc"


def test_a_stamp_that_cannot_be_written_is_no_error(module, tmp_path, monkeypatch):
    module("nowhere", "x = 1\n")
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "below"))
    kernels.compile_module("nowhere")
    assert not kernels.warm("nowhere")


def test_a_kernel_without_signature_is_refused():
    with pytest.raises(TypeError, match="needs its signatures"):
        kernels.kernel()
    with pytest.raises(TypeError, match="needs its signatures"):
        kernels.kernel(lambda x: x)


def test_streams_differ_and_repeat():
    states = {int(kernels.stream(*path)[0]) for path in [(0,), (1,), (0, 1), (0, 2), (0, 1, 2)]}
    assert len(states) == 5
    assert 0 not in states
    assert kernels.stream(3, 4) == kernels.stream(3, 4)


@pytest.mark.parametrize("name", kernels.MODULES)
def test_every_kernel_has_a_signature(name):
    spec = find_spec(name)
    functions = [
        node
        for node in ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    ]
    assert functions
    for function in functions:
        calls = [d for d in function.decorator_list if isinstance(d, ast.Call)]
        assert [d.func.id for d in calls] == ["kernel"], function.name
        assert calls[0].args, function.name


def test_callees_stand_before_callers():
    seen = set()
    for name in kernels.MODULES:
        assert set(kernels.callees(name)) <= seen, name
        seen.add(name)


def test_every_module_imports_as_plain_python():
    script = (
        "from mapc.kernels import MODULES, load\n"
        "for name in MODULES:\n"
        "    functions = [f for f in vars(load(name)).values() if hasattr(f, '__wrapped__') or\n"
        "                 getattr(f, '__module__', '') == name]\n"
        "    assert functions and not any(hasattr(f, 'py_func') for f in functions), name\n"
        "print(len(MODULES))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == len(kernels.MODULES)
