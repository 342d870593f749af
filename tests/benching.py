"""A small library, and functions that worker processes import: one dies at work, once or always."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import mapc
from mapc.quality.index import Source
from mapc.quality.recording import record
from mapc.quality.running import Record, Task, run

DIE_AT = "MAPC_TEST_DIE_AT"
"""Environment variable: name of the instance at which a worker dies."""
MARKER = "MAPC_TEST_MARKER"
"""Environment variable: file that says that one has died; unset, every worker dies there."""


def build_library(folder: Path) -> Path:
    """Write two families: three generated bits problems, one allocation problem in a file."""
    for seed in range(3):
        record(
            folder / "bits",
            f"tiny-{seed}",
            source=Source(generate={"groups": 4, "formats": 3, "seed": seed}),
            kind="bits",
            origin="generated",
            tier=1 if seed == 0 else 2,
            agree=False,
        )
    packing = mapc.generate("allocation", buffers=5, capacity=16, steps=16)
    record(folder / "allocation", "pack", problem=packing, origin="generated", tier=2)
    return folder


def run_or_die(task: Task) -> Record:
    """Run a task, unless it is time to die."""
    if task.name == os.environ.get(DIE_AT):
        die_once(os.environ.get(MARKER))
    return run(task)


def die_once(marker: str | None) -> str:
    """Kill this process, unless the file says that this has been done."""
    if marker is None or not os.path.exists(marker):
        if marker is not None:
            Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def double(value: Any) -> Any:
    """Return twice the value; die for None, raise for text."""
    if value is None:
        os.kill(os.getpid(), signal.SIGKILL)
    if isinstance(value, str):
        raise ValueError(value)
    return 2 * value
