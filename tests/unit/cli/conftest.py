import json
import os
import random
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

# Between writing and reading "a" the operator "third" needs 12 of 12 bytes: "a" has to leave and
# come back, 4 bytes each way, in every order. At 16 bytes everything stays.
NET = {
    "name": "net",
    "unit": "bytes",
    "inputs": ["x"],
    "outputs": ["y"],
    "tensors": {"x": 4, "a": 4, "b": 8, "c": 4, "y": 4},
    "ops": [
        {"op": "mix", "name": "first", "ins": ["x"], "outs": ["a"]},
        {"op": "mix", "name": "second", "ins": ["a"], "outs": ["b"]},
        {"op": "mix", "name": "third", "ins": ["b"], "outs": ["c"]},
        {"op": "mix", "name": "fourth", "ins": ["a", "c"], "outs": ["y"]},
    ],
}

# All int4 takes 128 bits and loses 18. At 160 bits there is room for one of the first two at int8:
# "up" saves 7, "gate" only 3, so 11 is the least loss; "down" at int8 would take 192.
LAYERS = {
    "schema": "mapc/instance",
    "version": 1,
    "kind": "bits",
    "name": "layers",
    "units": {"loss": "any additive"},
    "provenance": {},
    "problem": {
        "formats": ["int4", "int8"],
        "resources": {
            "name": ["size", "latency"],
            "unit": ["bits", "us"],
            "budget": [160, None],
        },
        "groups": {"name": ["up", "gate", "down"], "weights": [8, 8, 16], "options": [2, 2, 2]},
        "options": {
            "format": [0, 1, 0, 1, 0, 1],
            "loss": [8.0, 1.0, 4.0, 1.0, 6.0, 2.0],
            "cost": [[32, 64, 32, 64, 64, 128], [3, 4, 3, 4, 5, 8]],
        },
    },
}


def wide_net(operators=120, seed=1):
    """Operators that read random earlier tensors: local search goes on for a long time."""
    draw = random.Random(seed)
    tensors, ops, unread = {"x": 64}, [], set()
    for i in range(operators):
        recent = list(tensors)[-25:]
        ins = draw.sample(recent, k=min(len(recent), draw.choice([1, 2, 2, 3])))
        tensors[f"t{i}"] = draw.randint(1, 64)
        ops.append({"op": "mix", "ins": ins, "outs": [f"t{i}"]})
        unread = (unread - set(ins)) | {f"t{i}"}
    head = {"name": "wide", "unit": "KiB", "inputs": ["x"], "outputs": sorted(unread)}
    return {**head, "tensors": tensors, "ops": ops}


@pytest.fixture
def run():
    """``run("solve", path)`` in this process: exit_code, stdout, stderr."""
    from mapc.cli import app

    def invoke(*args, **extra):
        result = CliRunner().invoke(app, [str(a) for a in args], prog_name="mapc", **extra)
        assert "Traceback" not in result.stderr
        return result

    return invoke


@pytest.fixture
def start():
    """Start mapc in a process of its own; it is killed at the end of the test."""
    started = []

    def popen(*args, env=None, **extra):
        process = subprocess.Popen(
            [sys.executable, "-m", "mapc", *(str(a) for a in args)],
            env={**os.environ, **(env or {})},
            text=True,
            # a shell that runs the tests in the background ignores SIGINT for all it starts
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **extra},
        )
        started.append(process)
        return process

    yield popen
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.json"
    path.write_text(json.dumps(NET))
    return path


@pytest.fixture
def wide(tmp_path):
    path = tmp_path / "wide.json"
    path.write_text(json.dumps(wide_net()))
    return path


@pytest.fixture
def layers(tmp_path):
    path = tmp_path / "layers.json"
    path.write_text(json.dumps(LAYERS))
    return path


@pytest.fixture
def buffers(tmp_path):
    path = tmp_path / "buffers.csv"
    path.write_text("id,lower,upper,size\np,0,2,4\nq,1,3,4\nr,2,4,8\n")
    return path
