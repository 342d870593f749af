"""What commands print for people, read back."""

from __future__ import annotations

import subprocess


def table(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return labels and values of a printed table, continuation lines joined."""
    rows: dict[str, str] = {}
    label = ""
    for line in done.stdout.splitlines():
        name, _, value = line.partition("  ")
        label = name or label
        rows[label] = f"{rows.get(label, '')} {value.strip()}".strip()
    return rows
