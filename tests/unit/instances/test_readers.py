"""A further format is a further entry in the table of readers."""

import inspect
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mapc import instances
from mapc.errors import InstanceError, UsageError
from mapc.instances import readers
from mapc.instances.formats import Format
from mapc.models.allocation.problem import AllocationProblem


def parse(source, options):
    sizes = np.array([int(line) for line in source.text.splitlines()[1:]])
    n = len(sizes)
    return AllocationProblem(
        source.stem,
        tuple(f"b{i}" for i in range(n)),
        np.zeros(n, dtype=np.int64),
        np.ones(n, dtype=np.int64),
        sizes,
        provenance=source.provenance("sizes", options),
    )


SIZES = Format(
    name="sizes",
    title="a list of sizes",
    hint="sizes (.txt)",
    sniff=lambda source: source.text.startswith("sizes\n"),
    parse=parse,
    options=frozenset({"dtype"}),
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("sizes\n4\n8\n")
    readers.FORMATS.append(SIZES)
    yield path
    readers.FORMATS.remove(SIZES)


def test_a_new_format_is_recognised_and_read(path):
    problem = instances.read(path, dtype="int8", alignment=8)
    assert problem.size.tolist() == [4, 8]
    assert (problem.name, problem.alignment) == ("list", 8)
    assert problem.provenance == {
        "source": "list.txt",
        "format": "sizes",
        "options": {"dtype": "int8"},
    }


def test_a_new_format_takes_part_in_messages(path):
    with pytest.raises(UsageError, match="option fuse does not apply to a list of sizes"):
        instances.read(path, fuse=True)
    with pytest.raises(InstanceError, match="a list of sizes without a plan"):
        instances.read_plan(path)
    path.write_text("nothing known")
    with pytest.raises(InstanceError, match=r"not recognised; .* or sizes \(\.txt\)$"):
        instances.read(path)


def test_a_stream_has_no_name(path, monkeypatch):
    data = path.open("rb")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=data))
    with data:
        assert instances.read("-").name == "graph"


def test_formats_take_options_that_there_are():
    known = set(inspect.signature(instances.read).parameters)
    for form in readers.FORMATS:
        assert form.options <= known
    assert len({form.name for form in readers.FORMATS}) == len(readers.FORMATS)
