import io
import os
import sys
from pathlib import Path

import pytest

from mapc import instances
from mapc.errors import InstanceError, UsageError
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.memory.problem import MemoryProblem

GRAPH = (
    '{"inputs": ["x"], "outputs": ["y"], "tensors": {"x": 4, "y": 4},'
    ' "ops": [{"op": "relu", "ins": ["x"], "outs": ["y"]}]}'
)
CSV = "id,lower,upper,size\na,0,3,4\n"


class Stream:
    def __init__(self, data):
        self.buffer = io.BytesIO(data)


@pytest.fixture
def model(build):
    return build("(float[4] x) => (float[4] y) { y = Relu(x) }").SerializeToString()


@pytest.fixture
def files(tmp_path, model):
    """One file of each format, by name."""
    (tmp_path / "net.onnx").write_bytes(model)
    (tmp_path / "graph.json").write_text(GRAPH)
    (tmp_path / "buffers.csv").write_text(CSV)
    instances.write_instance(instances.read(tmp_path / "graph.json"), tmp_path / "instance.json")
    return tmp_path


@pytest.mark.parametrize("name", ["net.onnx", "graph.json", "instance.json", "buffers.csv"])
@pytest.mark.parametrize("suffix", ["same", "none", "stream"])
def test_content_tells_the_format(files, monkeypatch, name, suffix):
    expected = instances.read(files / name)
    path: Path | str = files / name
    if suffix == "none":
        path = path.rename(files / "instance")
    elif suffix == "stream":
        monkeypatch.setattr(sys, "stdin", Stream(path.read_bytes()))
        path = "-"
    problem = instances.read(path)
    assert type(problem) is (AllocationProblem if name == "buffers.csv" else MemoryProblem)
    assert instances.content_hash(problem) == instances.content_hash(expected)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("buffers.csv", {"fuse": True}, "option fuse does not apply to a CSV of buffers"),
        ("buffers.csv", {"dtype": "int8"}, "option dtype does not apply to a CSV"),
        ("graph.json", {"weights": True}, "option weights does not apply to a plain operator"),
        ("graph.json", {"dims": {"N": 1}}, "option dims does not apply to a plain operator"),
        ("instance.json", {"dtype": "int8"}, "option dtype does not apply to an instance file"),
        ("net.onnx", {"dtype": "int7"}, "dtype 'int7': no such format"),
        ("net.onnx", {"alignment": 0}, "alignment 0"),
        ("buffers.csv", {"alignment": 2**40}, "alignment"),
    ],
)
def test_options_that_do_not_apply(files, name, options, message):
    with pytest.raises(UsageError, match=message) as caught:
        instances.read(files / name, **options)
    assert "\n" not in str(caught.value)


def test_options_are_recorded_and_travel_with_the_problem(files):
    problem = instances.read(files / "net.onnx", dtype="int8", fuse=True, alignment=64)
    assert problem.alignment == 64
    assert problem.provenance["options"] == {"dtype": "int8", "fuse": True}
    instances.write_instance(problem, files / "copy.json")
    again = instances.read(files / "copy.json")
    assert again.provenance == problem.provenance
    assert again.alignment == 64


def test_provenance_names_the_file_and_no_folder(files):
    for name in ("net.onnx", "graph.json", "buffers.csv"):
        problem = instances.read(files / name)
        assert problem.provenance["source"] == name
        assert str(files) not in repr(problem.provenance)


MALFORMED = {
    "prose": ("notes.txt", b"dear reader", "format not recognised; expected an ONNX model"),
    "binary": ("blob", b"\x89PNG\r\n\x1a\n", "byte 0 .0x89. is not UTF-8"),
    "utf-16": ("a.json", GRAPH.encode("utf-16"), "byte-order mark"),
    "marked": ("a.json", b"\xef\xbb\xbf" + GRAPH.encode(), "byte-order mark"),
    "empty": ("a.json", b"", "empty file"),
    "blank": ("a.json", b" \n", "malformed JSON"),
    "blank without suffix": ("a", b" \n", "format not recognised"),
    "other schema": ("a.json", b'{"schema": "mapc/result"}', r"\$\.schema: schema 'mapc/result'"),
    "plan of a library": (
        "a.json",
        b'{"schema": "mapc/library-plan"}',
        "a plan without its instance; expected mapc/instance or mapc/plan, of mapc solve -o",
    ),
    "schema of another type": ("a.json", b'{"schema": 1}', r"\$\.schema: .*Expected `str`"),
    "list": ("a", b"[]", r"\$: Expected `object`, got `array`"),
    "JSON as ONNX": ("a.onnx", GRAPH.encode(), "no ONNX model"),
    "CSV as JSON": ("a.json", CSV.encode(), "malformed JSON"),
    "JSON as CSV": ("a.csv", b'{"a": 1}', "malformed JSON|no 'schema'"),
    "almost ONNX": ("a", b"\x08\x07\xff\xff", "truncated, or no ONNX model"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_not_recognised_is_named_in_one_line(tmp_path, case):
    name, data, message = MALFORMED[case]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InstanceError, match=message) as caught:
        instances.read(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == [name]


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path, tmp_path / "none.onnx", "a\0b"):
        with pytest.raises(InstanceError, match="cannot be read"):
            instances.read(path)


def test_large_texts_are_refused_before_they_are_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr("mapc.instances.reading.MAX_TEXT_BYTES", 16)
    (tmp_path / "graph.json").write_text(GRAPH)
    with pytest.raises(InstanceError, match="file too large; expected at most 16 bytes"):
        instances.read(tmp_path / "graph.json")
