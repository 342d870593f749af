import os
import subprocess
import sys

import numpy as np

from mapc.kernels import load, stream


def draws():
    found = load("mapc.random")
    assert found is not None
    return found


def test_uniform_fills_its_interval():
    state = stream(0)
    found = np.array([draws().uniform(state) for _ in range(2000)])
    assert 0 <= found.min() < 0.01
    assert 0.99 < found.max() < 1
    counts, _ = np.histogram(found, 10, (0, 1))
    assert counts.min() > 150


def test_below_hits_every_number_and_none_beyond():
    state = stream(1, 2)
    found = np.bincount([draws().below(state, 7) for _ in range(2000)])
    assert len(found) == 7
    assert found.min() > 200
    assert {draws().below(state, 1) for _ in range(20)} == {0}


def test_a_stream_is_the_same_everywhere():
    script = (
        "from mapc.kernels import load, stream\n"
        "random, state = load('mapc.random'), stream(5, 6)\n"
        "print([int(random.draw(state)) for _ in range(3)], random.uniform(state))"
    )
    output = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "NUMBA_DISABLE_JIT": plain},
            capture_output=True,
            check=True,
        ).stdout
        for plain in ("0", "1")
    }
    assert len(output) == 1
