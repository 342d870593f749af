"""Programs of torch.export against counts by hand; skipped without torch, but for the refusals."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

import mapc
from mapc.errors import InstanceError, UnavailableError, UsageError
from mapc.instances.torch_export import import_torch
from mapc.instances.torch_views import read_arguments

if find_spec("torch") is None:
    torch = None
else:
    import torch
needs_torch = pytest.mark.skipif(torch is None, reason="torch is not installed")


def exported(function, *shapes, module=None, dtype=None, **options):
    """Export a function of tensors, or of a module and tensors, traced without data."""

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            if module is not None:
                self.inner = module()

        def forward(self, *tensors):
            return function(self.inner, *tensors) if module else function(*tensors)

    tensors = tuple(torch.zeros(shape, dtype=dtype) for shape in shapes)
    return torch.export.export(Net().eval(), tensors, **options)


def graph_of(program, **options):
    return mapc.read(program, importer="torch", **options).graph


def sizes(graph) -> dict[str, int]:
    return dict(zip(graph.tensor_names, graph.tensor_bytes.tolist(), strict=True))


def reads(graph, operator: int) -> list[str]:
    return [graph.tensor_names[t] for t in graph.inputs[operator].tolist()]


def outputs(graph) -> list[str]:
    return [name for name, out in zip(graph.tensor_names, graph.is_output, strict=True) if out]


@pytest.fixture
def conv_net():
    def module():
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3, padding=1),
            torch.nn.BatchNorm2d(4),
            torch.nn.ReLU(inplace=True),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            torch.nn.Linear(64, 5),
        )

    return exported(lambda net, x: net(x), (1, 3, 8, 8), module=module)


@needs_torch
def test_operators_tensors_and_names(conv_net) -> None:
    graph = graph_of(conv_net)
    assert graph.operator_kinds == ("conv2d", "batch_norm", "relu_", "max_pool2d", "linear")
    assert graph.operator_names[0] == "inner.0:conv2d"
    assert sizes(graph) == {
        "tensors_0": 4 * 192,
        "conv2d": 4 * 256,
        "batch_norm": 4 * 256,
        "relu_": 4 * 256,
        "max_pool2d": 4 * 64,
        "linear": 4 * 5,
    }
    assert outputs(graph) == ["linear"]


@needs_torch
def test_fuse_dtype_and_weights(conv_net) -> None:
    graph = graph_of(conv_net, fuse=True, dtype="int8", weights=True)
    assert graph.operator_kinds == ("conv2d+batch_norm+relu_", "max_pool2d", "linear")
    found = sizes(graph)
    assert found["inner.0.weight"] == 4 * 3 * 9
    assert found["inner.5.weight"] == 64 * 5
    constants = {n for n, c in zip(graph.tensor_names, graph.is_constant, strict=True) if c}
    # weights and shifts of two layers; four vectors of the normalisation
    assert len(constants) == 8
    assert set(found) - constants == {"tensors_0", "relu_", "max_pool2d", "linear"}
    assert reads(graph, 0) == [
        "tensors_0",
        "inner.0.weight",
        "inner.0.bias",
        "inner.1.weight",
        "inner.1.bias",
        "inner.1.running_mean",
        "inner.1.running_var",
    ]


@needs_torch
def test_views_share_the_bytes_they_look_at() -> None:
    def function(x):
        left, right = x.chunk(2, 1)
        y = left.transpose(1, 2).unsqueeze(0).expand(3, -1, -1, -1)
        return y.sum(0), right[:, 0].neg(), x.permute(1, 0, 2).reshape(4, -1).neg()

    graph = graph_of(exported(function, (1, 4, 6)))
    assert graph.operator_kinds == ("sum", "neg", "neg")
    assert [reads(graph, o) for o in range(3)] == [["tensors_0"]] * 3
    assert sizes(graph)["neg"] == 4 * 6


@needs_torch
def test_a_reshape_that_has_to_copy_is_an_operator() -> None:
    graph = graph_of(exported(lambda x: x.t().reshape(-1).neg(), (2, 3)))
    assert graph.operator_kinds == ("reshape", "neg")
    # the producer can write in that order at once
    program = exported(lambda x: (x @ x).t().reshape(-1).neg(), (3, 3))
    assert graph_of(program).operator_kinds == ("matmul", "reshape", "neg")
    assert graph_of(program, fuse=True).operator_kinds == ("matmul+reshape+neg",)


@needs_torch
def test_writing_in_place_makes_a_new_version_for_all_that_follows() -> None:
    def function(x):
        y = x @ x
        row = y[0]
        before = y.sum()
        row.mul_(2)
        return before, y.sum(), row

    graph = graph_of(exported(function, (3, 3)))
    assert graph.operator_kinds == ("matmul", "sum", "mul_", "sum")
    assert [reads(graph, o) for o in range(1, 4)] == [["matmul"], ["matmul"], ["mul_"]]
    assert sizes(graph)["mul_"] == 4 * 9  # all of the matrix, though one row is written
    assert outputs(graph) == ["sum_1", "mul_", "sum_2"]
    # part of it is not where the product was computed, element by element
    assert len(graph_of(exported(function, (3, 3)), fuse=True).operator_kinds) == 4


@needs_torch
def test_a_buffer_that_is_written_is_an_output() -> None:
    class Cache(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("kept", torch.zeros(4))

        def forward(self, x):
            self.kept.add_(x)
            return x.neg()

    program = torch.export.export(Cache(), (torch.zeros(4),))
    for one in (program, program.run_decompositions({})):
        graph = graph_of(one, weights=True)
        assert len(outputs(graph)) == 2
        assert {"neg", "kept"} <= set(graph.tensor_names)


@needs_torch
def test_what_follows_from_constants_alone_is_constant() -> None:
    def function(net, x):
        return x + net.weight.t().neg().sum() + torch.arange(3)

    program = exported(function, (2, 3), module=lambda: torch.nn.Linear(3, 3))
    graph = graph_of(program)
    assert graph.operator_kinds == ("add", "add")
    assert not graph.is_constant.any()
    graph = graph_of(program, weights=True)
    assert sorted(sizes(graph)[t] for t in reads(graph, 0) + reads(graph, 1)) == [4, 24, 24, 24]


@needs_torch
def test_random_numbers_are_no_constants() -> None:
    graph = graph_of(exported(lambda x: x + torch.rand(3), (3,)))
    assert graph.operator_kinds == ("rand", "add")


@needs_torch
def test_results_that_nobody_reads_are_not_counted() -> None:
    def function(x):
        values, _ = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
        largest, at = values.flatten().topk(3)
        return largest, at

    graph = graph_of(exported(function, (1, 1, 4, 4)), dtype="int8")
    assert [name for name in sizes(graph) if name.startswith("max_pool")] == [
        "max_pool2d_with_indices.0"
    ]
    assert sizes(graph)["topk.0"] == 3
    assert sizes(graph)["topk.1"] == 8 * 3  # indices keep their width


@needs_torch
def test_casts_between_floats_are_views_under_one_width() -> None:
    program = exported(lambda x: (x.neg().to(torch.float16)).neg(), (4,))
    assert graph_of(program).operator_kinds == ("neg", "to", "neg")
    assert graph_of(program, dtype="int8").operator_kinds == ("neg", "neg")
    to_integers = exported(lambda x: (x.neg().to(torch.int32)).neg(), (4,))
    assert graph_of(to_integers, dtype="int8").operator_kinds == ("neg", "to", "neg")


@needs_torch
def test_a_mask_put_together_from_constants_is_constant() -> None:
    def function(x):
        mask = x.new_zeros((4, 4))
        for at in range(4):
            mask[at : at + 1, :at] = 1
        mask = mask.masked_fill(mask != 0, -100.0)
        return x + mask + torch.zeros_like(x)

    program = exported(function, (4, 4))
    graph = graph_of(program)
    assert graph.operator_kinds == ("add", "add")
    assert [reads(graph, o) for o in range(2)] == [["tensors_0"], ["add"]]
    graph = graph_of(program, weights=True, dtype="int8")
    assert [len(reads(graph, o)) for o in range(2)] == [2, 2]
    assert graph.is_constant.sum() == 2


@needs_torch
def test_a_buffer_written_from_constants_is_an_output_all_the_same() -> None:
    class Counter(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("runs", torch.zeros(4))

        def forward(self, x):
            self.runs.add_(1)
            return x.neg()

    graph = graph_of(torch.export.export(Counter(), (torch.zeros(4),)), weights=True)
    assert sorted(graph.operator_kinds) == ["add_", "neg"]
    assert len(outputs(graph)) == 2


@needs_torch
def test_random_numbers_in_place_are_no_constants() -> None:
    graph = graph_of(exported(lambda x: x + torch.empty(3).uniform_(), (3,)))
    assert graph.operator_kinds == ("uniform_", "add")


@needs_torch
def test_what_is_overwritten_is_not_read() -> None:
    def function(x):
        whole, part = torch.empty(6), x.neg()
        whole.copy_(x)
        part[:3] = x[3:]
        return whole.sum(), part

    graph = graph_of(exported(function, (6,)), weights=True)
    assert graph.operator_kinds == ("neg", "copy_", "copy_", "sum")
    assert not graph.is_constant.any()
    # the half that is not written is part of the new version
    assert [reads(graph, o) for o in range(4)] == [
        ["tensors_0"],
        ["tensors_0"],
        ["neg", "tensors_0"],
        ["copy_"],
    ]


@needs_torch
def test_only_the_shape_of_some_arguments_counts() -> None:
    def function(x, y):
        return x.exp().reshape_as(y).neg() + x.new_full((2, 3), 2.0) * torch.rand_like(y)

    graph = graph_of(exported(function, (6,), (2, 3)))
    assert "tensors_1" not in {t for o in range(graph.n_operators) for t in reads(graph, o)}
    assert graph.operator_kinds == ("exp", "neg", "rand_like", "mul", "add")


@needs_torch
def test_parts_that_are_written_from_other_parts_are_not_fused() -> None:
    def crossed(x):
        y = x @ x
        y[0].add_(y[1])
        return y.neg()

    graph = graph_of(exported(crossed, (3, 3)), fuse=True)
    assert graph.operator_kinds == ("matmul", "add_+neg")
    program = exported(lambda x: (x @ x).relu_().neg(), (3, 3))
    assert graph_of(program, fuse=True).operator_kinds == ("matmul+relu_+neg",)


@needs_torch
def test_attention_reads_the_parts_of_one_projection() -> None:
    def function(net, x):
        q, k, v = net(x).view(1, 4, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).reshape(1, 4, 8)

    program = exported(function, (1, 4, 8), module=lambda: torch.nn.Linear(8, 24))
    graph = graph_of(program, dtype="int8", fuse=True)
    assert [kind.split("+")[0] for kind in graph.operator_kinds] == [
        "linear",
        "scaled_dot_product_attention",
    ]
    assert reads(graph, 1) == ["linear"]
    assert sorted(sizes(graph).values()) == [32, 32, 96]


@needs_torch
def test_normalisations_that_return_tuples_are_one_tensor(conv_net) -> None:
    graph = graph_of(conv_net.run_decompositions({}), dtype="int8", fuse=True)
    # without writing in place: torch has replaced what did
    assert graph.n_operators == 3
    assert "_native_batch_norm_legit_no_training" in graph.operator_kinds[0]
    assert sorted(sizes(graph).values()) == [5, 64, 192, 256]


@pytest.mark.parametrize(
    ("kind", "args", "read"),
    [
        ("new_zeros", "x", ""),
        ("type_as", "xy", "x"),
        ("type_as", "xx", "x"),
        ("copy_", "xy", "y"),
        ("copy_", "xx", "x"),
        ("add_", "xy", "xy"),
        ("zero_", "x", ""),
    ],
)
def test_which_arguments_are_read(kind: str, args: str, read: str) -> None:
    nodes = {name: SimpleNamespace(name=name) for name in "xy"}
    node = SimpleNamespace(
        target=SimpleNamespace(_schema=SimpleNamespace(name=f"aten::{kind}")),
        args=tuple(nodes[name] for name in args),
        kwargs={"other": 1},
        all_input_nodes=[nodes[name] for name in dict.fromkeys(args)],
    )
    assert "".join(one.name for one in read_arguments(node)) == read


@needs_torch
def test_an_open_dimension_is_named() -> None:
    batch = torch.export.Dim("batch")
    program = exported(lambda x: x.neg(), (2, 3), dynamic_shapes={"tensors": ({0: batch},)})
    with pytest.raises(InstanceError, match=r"dimension 0 is open .*export without dynamic_shapes"):
        graph_of(program)


@needs_torch
def test_a_saved_program_is_read_by_name_and_by_its_ending(conv_net, tmp_path: Path) -> None:
    file = tmp_path / "net.pt2"
    torch.export.save(conv_net, file)
    by_name = mapc.read(file, importer="torch", dtype="int8")
    by_ending = mapc.read(file, dtype="int8", scratchpad="M_R")
    assert sizes(by_name.graph) == sizes(by_ending.graph) == sizes(graph_of(conv_net, dtype="int8"))
    assert by_name.graph.name == by_ending.graph.name == "net"
    assert by_name.provenance == by_ending.provenance
    assert by_name.provenance["options"] == {"dtype": "int8"}
    assert by_ending.capacity == by_name.smallest_capacity


@needs_torch
def test_what_torch_cannot_load_is_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "net.pt2"
    file.write_bytes(b"PK\x03\x04 nothing more")
    for options in ({}, {"importer": "torch"}):
        with pytest.raises(InstanceError, match=r"net\.pt2: .*torch cannot load it") as caught:
            mapc.read(file, **options)
        assert "\n" not in str(caught.value)
    with pytest.raises(InstanceError, match="cannot be read"):
        import_torch(tmp_path / "absent.pt2")


@needs_torch
def test_what_is_no_program_is_refused() -> None:
    with pytest.raises(InstanceError, match=r"exported program: .*a list; expected a path or a"):
        import_torch([1, 2])
    with pytest.raises(UsageError, match="dtype 'int3'"):
        import_torch(exported(lambda x: x.neg(), (2,)), dtype="int3")


def test_without_torch_the_package_to_install_is_named(monkeypatch, tmp_path: Path) -> None:
    import mapc.instances.torch_export as module

    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    file = tmp_path / "net.pt2"
    file.write_bytes(b"PK\x03\x04")
    for options in ({}, {"importer": "torch"}):
        with pytest.raises(UnavailableError, match=r"pip install 'mapc\[torch\]'"):
            mapc.read(file, **options)
