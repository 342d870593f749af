"""ONNX models written as text, and a way to read them."""

import pytest

from mapc import instances


@pytest.fixture
def build():
    """Turn the text of an ONNX graph into a model."""
    parser = pytest.importorskip("onnx.parser")

    def build(body, functions="", opset=17, ir=8):
        domains = f'"" : {opset}, "loc" : 1, "com.other" : 1'
        header = f"<ir_version: {ir}, opset_import: [{domains}]>"
        return parser.parse_model(f"{header} net {body} {functions}")

    return build


@pytest.fixture
def read(build, tmp_path):
    """Read a model, given as a proto, as bytes or as text."""

    def read(what, functions="", **options):
        proto = build(what, functions) if isinstance(what, str) else what
        path = tmp_path / "net.onnx"
        path.write_bytes(proto if isinstance(proto, bytes) else proto.SerializeToString())
        return instances.read(path, **options)

    return read
