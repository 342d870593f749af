"""What a check of the gate found: what had to be, and what is."""

from __future__ import annotations

from dataclasses import dataclass

from mapc.quality.index import Number


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with an instance.

    Attributes
    ----------
    check : str
        What was checked: ``"objective"``, ``"bound"``, ``"proof"``, ``"plan"``, ``"best plan"``,
        ``"hash"``, ``"verifier"``, ``"model NAME"``, ``"agreement NAME"``, ``"run"``.
    expected : str
        What had to be; one line.
    found : str
        What is; one line.
    """

    check: str
    expected: str
    found: str

    def lines(self) -> list[str]:
        """Return the finding as a difference, three lines."""
        return [self.check, f"  - {one_line(self.expected)}", f"  + {one_line(self.found)}"]


def one_line(text: str) -> str:
    """Return a text, a solver's perhaps, in one line that cannot steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in _flat(text))


def _flat(text: str) -> str:
    return " ".join(text.split())


def number(value: Number | None) -> str:
    """Return a number such that equal ones have equal texts; ``none`` for None."""
    return "none" if value is None else f"{value!r}"
