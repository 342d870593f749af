"""From a program exported by torch to the operator graph that a scratchpad sees.

``torch.export`` traces a model into a list of operators on tensors of known shapes. Left out, as
for ONNX models: views, which share the bytes they look at; what is computed from parameters and
constants alone; operators that no output depends on; unless asked for, parameters and buffers.

An operator that writes to its argument (``relu_``) makes a new version of that tensor, which is
what everything after it reads, through whatever view. A new version of an input or a buffer is an
output. The body of a higher-order operator (``cond``, ``scan``) is one operator. Results that
nobody reads, such as the indices of a pooling, are not counted.
"""

from __future__ import annotations

import importlib.util
import operator
from collections import Counter
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import IO, Any

from mapc.errors import InstanceError, UnavailableError
from mapc.files import display_name
from mapc.instances.dtypes import bits_of
from mapc.instances.operator_building import GraphBuilder
from mapc.instances.torch_views import (
    is_elementwise,
    is_random,
    kind_of,
    read_arguments,
    viewed_argument,
    written_arguments,
)
from mapc.models.memory.problem import MemoryProblem
from mapc.units import MAX_BYTES


def import_torch(
    program: Any, *, dtype: str | None = None, fuse: bool = False, weights: bool = False
) -> MemoryProblem:
    """Return the memory problem of an exported program, without a capacity.

    Parameters
    ----------
    program : path or torch.export.ExportedProgram
        A file of ``torch.export.save`` (``.pt2``), or what ``torch.export.export`` returned. torch
        may run code of a file that it loads: read only files you trust.
    dtype : str, optional
        Number format of every floating-point tensor, e.g. ``"int8"``; others keep their width.
    fuse : bool
        Merge an elementwise operator into the producer of its only variable input, where nobody
        else reads that, it is no output and the size stays the same.
    weights : bool
        Keep parameters, buffers and what is computed from them alone, as constants.

    Raises
    ------
    InstanceError
        For a file that torch cannot load, and for tensors without a fixed size.
    UsageError
        For a dtype that is none.
    UnavailableError
        Without torch.
    """
    _need_torch()
    if isinstance(program, str | PathLike):
        where = display_name(Path(program))
        name, source = Path(program).stem, Path(program).name
        exported = _open(program, where)
    else:
        where = source = "exported program"
        exported, name = program, _name_of(program)
    options: dict[str, Any] = {"dtype": dtype, "fuse": fuse, "weights": weights}
    given = {key: value for key, value in options.items() if value}
    provenance = {"source": source, "format": "torch", "options": given}
    try:
        return lower_exported(exported, name, provenance, **given)
    except InstanceError as error:
        raise error.inside(where) from None


def load_exported(file: IO[bytes], where: str) -> Any:
    """Return the program that ``torch.export.save`` wrote.

    Raises
    ------
    InstanceError
        If torch cannot load it.
    UnavailableError
        Without torch.
    """
    _need_torch()
    import torch

    try:
        return torch.export.load(file)
    except Exception as error:  # torch raises whatever its parsers do
        text = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        right = "a file of torch.export.save, of a version of torch that is no newer"
        raise InstanceError(f"torch cannot load it: {text}", where, right) from None


def lower_exported(
    program: Any,
    name: str,
    provenance: dict[str, Any],
    dtype: str | None = None,
    fuse: bool = False,
    weights: bool = False,
) -> MemoryProblem:
    """Return the problem of a loaded program; options as those of `import_torch`."""
    if not hasattr(program, "graph_signature") or not hasattr(program, "graph"):
        what = f"a {type(program).__name__}"
        raise InstanceError(what, "program", "a path or a torch.export.ExportedProgram")
    low = _Lowering(program, GraphBuilder(name), None if dtype is None else bits_of(dtype))
    low.run()
    graph, counts = low.builder.graph(fuse=fuse, weights=weights)
    counts.update(low.counts)
    return MemoryProblem(graph, provenance={**provenance, "counts": dict(counts)})


def _need_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        raise UnavailableError("reading torch programs needs torch: pip install 'mapc[torch]'")


def _open(path: str | PathLike[str], where: str) -> Any:
    try:
        with Path(path).open("rb") as file:
            return load_exported(file, where)
    except OSError as error:
        raise InstanceError(f"cannot be read: {error.strerror}", where) from None


def _name_of(program: Any) -> str:
    """Return the class of the model, which the stack of modules of some operator begins with."""
    for node in getattr(getattr(program, "graph", None), "nodes", ()):
        for _, kind in (node.meta.get("nn_module_stack") or {}).values():
            return str(kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]
    return "graph"


class _Lowering:
    """One pass over the nodes of a program.

    A *region* is memory that a tensor and all its views share, called after the tensor that it was
    made for; ``version`` says which tensor holds its bytes now.
    """

    def __init__(self, program: Any, builder: GraphBuilder, bits: int | None) -> None:
        self.program = program
        self.builder = builder
        self.bits = bits
        self.counts: Counter[str] = Counter()
        self.regions: dict[str, str | list[str | None]] = {}
        self.version: dict[str, str] = {}
        self.kept: list[str] = []  # regions whose last version matters after the run
        calls = [node for node in program.graph.nodes if node.op == "call_function"]
        self.counts["nodes"] = len(calls)
        self.in_place = any(written_arguments(node) for node in calls)

    def run(self) -> None:
        """Lower all nodes, in their order."""
        specs = {spec.arg.name: spec for spec in self.program.graph_signature.input_specs}
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                self._input(node, specs.get(node.name))
            elif node.op == "get_attr":
                if _is_tensor(node.meta.get("val")):
                    self._make(node.name, node.meta["val"], constant=True)
            elif node.op == "call_function":
                self._call(node)
            elif node.op == "output":
                self._end(node)

    # -- tensors --------------------------------------------------------------------------------

    def size(self, name: str, value: Any) -> int:
        """Return the bytes of a tensor, `InstanceError` where a dimension is open."""
        size: int = 1
        for at, dim in enumerate(value.shape):
            if not isinstance(dim, int):
                raise InstanceError(
                    f"dimension {at} is open ({dim})",
                    f"tensor {name!r}",
                    "fixed sizes: export without dynamic_shapes",
                )
            size *= dim
        width = int(value.dtype.itemsize) * 8
        if self.bits is not None and value.dtype.is_floating_point:
            width = self.bits
        if (found := -(-size * width // 8)) > MAX_BYTES:
            raise InstanceError(
                f"shape {list(value.shape)}", f"tensor {name!r}", f"at most {MAX_BYTES} bytes"
            )
        return found

    def _make(self, name: str, value: Any, constant: bool = False) -> str:
        """Declare a tensor with a region of its own, unless an operator has written it."""
        if name not in self.builder.sizes:
            declare = self.builder.constant if constant else self.builder.tensor
            declare(name, self.size(name, value))
        self.regions[name] = name
        self.version[name] = name
        return name

    def _regions_of(self, node: Any) -> list[str]:
        found = self.regions.get(node.name, [])
        return [found] if isinstance(found, str) else [one for one in found if one is not None]

    def _read(self, node: Any) -> list[str]:
        """Return the tensors that an operator reads, as they are now."""
        return [
            self.version[region]
            for argument in read_arguments(node)
            for region in self._regions_of(argument)
        ]

    def _is_whole(self, node: Any, region: str) -> bool:
        """Whether a view is all of its region, element by element once."""
        size: int = self.builder.sizes[self.version[region]]
        return self.size(node.name, node.meta["val"]) == size

    # -- nodes ----------------------------------------------------------------------------------

    def _input(self, node: Any, spec: Any) -> None:
        value = node.meta.get("val")
        if not _is_tensor(value):
            return
        constant = spec is not None and spec.kind.name in ("PARAMETER", "BUFFER", "CONSTANT_TENSOR")
        name = spec.target if constant and spec.target else node.name
        if name in self.builder.sizes:
            name = node.name
        self._make(name, value, constant)
        self.regions[node.name] = name
        self.kept.append(name)

    def _call(self, node: Any) -> None:
        if node.target is operator.getitem:
            parts = self.regions.get(node.args[0].name, [])
            found = parts if isinstance(parts, str) else parts[node.args[1]] if parts else None
            self.regions[node.name] = [] if found is None else found
            return
        written = written_arguments(node)
        source = viewed_argument(node, self.bits is not None, not self.in_place)
        if source is not None and source.name in self.regions:
            self.regions[node.name] = self.regions[source.name]
            self.counts["view"] += 1
        elif written:
            self._write(node, written)
        else:
            self._compute(node)

    def _write(self, node: Any, written: list[Any]) -> None:
        """Give every region that is written a new version."""
        regions = list(dict.fromkeys(r for one in written for r in self._regions_of(one)))
        names = [node.name if len(regions) == 1 else f"{node.name}.{r}" for r in regions]
        old = [self.version[region] for region in regions]
        # only what is written as a whole, and not read through another view, is elementwise
        whole = len(regions) == 1 and len(written) == 1 and self._is_whole(written[0], regions[0])
        others = [one for one in node.all_input_nodes if one is not written[0]]
        alone = whole and not any(regions[0] in self._regions_of(one) for one in others)
        reads = self._read(node)
        if not alone:  # what is not overwritten stays, and so is read
            reads = list(dict.fromkeys([*old, *reads]))
        sizes = {name: self.builder.sizes[before] for name, before in zip(names, old, strict=True)}
        # an input or a buffer that is written is a result, whatever it is made of
        own = not set(regions).intersection(self.kept)
        if own and not is_random(node) and all(map(self.builder.is_constant, (*old, *reads))):
            self.counts["constant"] += 1
            for name, size in sizes.items():
                self.builder.constant(name, size)
        else:
            elementwise = alone and is_elementwise(node)
            self.builder.run(_label(node), kind_of(node.target), reads, sizes, elementwise)
        self.version.update(zip(regions, names, strict=True))
        self.regions[node.name] = regions[0] if len(regions) == 1 else list(regions)

    def _compute(self, node: Any) -> None:
        values = list(_tensors(node.meta.get("val")))
        reads = self._read(node)
        constant = not is_random(node) and all(map(self.builder.is_constant, reads))
        if not values:
            return
        several = isinstance(node.meta["val"], list | tuple)
        wanted = _wanted(node) if several else {0}
        writes = {
            f"{node.name}.{at}" if several else node.name: value
            for at, value in values
            if at in wanted
        }
        if constant:
            self.counts["constant"] += 1
        else:
            sizes = {name: self.size(name, value) for name, value in writes.items()}
            self.builder.run(_label(node), kind_of(node.target), reads, sizes, is_elementwise(node))
        for name, value in writes.items():
            self._make(name, value, constant)
        if several:
            parts = [f"{node.name}.{at}" for at in range(len(node.meta["val"]))]
            self.regions[node.name] = [part if part in writes else None for part in parts]

    def _end(self, node: Any) -> None:
        results = [self.version[r] for one in node.all_input_nodes for r in self._regions_of(one)]
        results += [self.version[region] for region in self.kept if self.version[region] != region]
        self.builder.output(*(name for name in results if not self.builder.is_constant(name)))


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _tensors(value: Any) -> Iterator[tuple[int, Any]]:
    """Yield the tensors of a result with their places in it."""
    values = value if isinstance(value, list | tuple) else [value]
    return ((at, one) for at, one in enumerate(values) if _is_tensor(one))


def _wanted(node: Any) -> set[int]:
    """Return the places of a tuple that somebody reads; all, where it is handed on as a whole."""
    if all(user.target is operator.getitem for user in node.users):
        return {user.args[1] for user in node.users if user.users} or {0}
    return set(range(len(node.meta["val"])))


def _label(node: Any) -> str:
    """Name an operator after the module that it stands in: ``features.conv0:conv2d``."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = stack[-1][0] if stack else ""
    return f"{path}:{node.name}" if path else str(node.name)
