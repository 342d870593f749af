"""What the reader of exported torch programs has to know about operators.

An operator whose declared result shares its argument's memory is a view: it moves no bytes and its
result is the tensor it looks at. Some declare that and copy all the same where the layout asks for
it (``reshape`` of something transposed); whether they do follows from sizes and strides.
"""

from __future__ import annotations

from typing import Any

MAY_COPY = frozenset(
    {
        "contiguous",
        "expand_as",
        "flatten",
        "ravel",
        "reshape",
        "reshape_as",
        "resolve_conj",
        "resolve_neg",
        "to",
        "type_as",
    }
)
"""Operators that return their argument or a view of it, and a copy where that cannot be."""

COPIES = frozenset({"_to_copy", "clone", "convert_element_type", "lift_fresh_copy"})
"""Operators that copy: nothing is lost by sharing the bytes where nothing writes to them later."""

DROPOUTS = frozenset({"alpha_dropout", "dropout", "feature_alpha_dropout", "feature_dropout"})
"""Operators that return their argument unless in training (third argument)."""

POINTWISE = frozenset(
    {
        "_native_batch_norm_legit_no_training",
        "celu",
        "elu",
        "gelu",
        "hardsigmoid",
        "hardswish",
        "hardtanh",
        "leaky_relu",
        "mish",
        "prelu",
        "relu",
        "relu6",
        "selu",
        "silu",
        "softplus",
    }
)
"""Elementwise operators that may lack torch's own mark for those."""

BATCH_NORMS = frozenset({"batch_norm", "native_batch_norm", "_native_batch_norm_legit"})
"""Elementwise unless in training (sixth argument)."""

SHAPE_ONLY = {
    "empty_like": 0,
    "expand_as": 1,
    "full_like": 0,
    "new_empty": 0,
    "new_empty_strided": 0,
    "new_full": 0,
    "new_ones": 0,
    "new_zeros": 0,
    "ones_like": 0,
    "rand_like": 0,
    "randint_like": 0,
    "randn_like": 0,
    "reshape_as": 1,
    "type_as": 1,
    "view_as": 1,
    "zeros_like": 0,
}
"""Operators that look at shape and format of an argument and not at its data: which argument."""

OVERWRITING = frozenset({"copy_", "fill_", "zero_"})
"""Operators that write to an argument whatever was in it before."""


def kind_of(target: Any) -> str:
    """Return the operator's own name: ``conv2d`` of ``aten.conv2d.default``."""
    schema = getattr(target, "_schema", None)
    if schema is not None:
        return str(schema.name).rpartition("::")[2]
    name = getattr(target, "__name__", None) or getattr(target, "_name", None) or str(target)
    return str(name)


def written_arguments(node: Any) -> list[Any]:
    """Return the nodes whose memory an operator writes, as its schema declares."""
    found = []
    for at, argument in _arguments(node):
        if argument.alias_info is not None and argument.alias_info.is_write:
            values = at if isinstance(at, list | tuple) else [at]
            found += [value for value in values if hasattr(value, "all_input_nodes")]
    return found


def read_arguments(node: Any) -> list[Any]:
    """Return the nodes whose data an operator reads, each once."""
    kind = kind_of(node.target)
    skipped: set[int] = set()
    if kind in SHAPE_ONLY:
        skipped.add(SHAPE_ONLY[kind])
    if kind in OVERWRITING:
        skipped.add(0)
    read = [value for at, value in enumerate(node.args) if at not in skipped]
    read += node.kwargs.values()
    unread = [node.args[at] for at in skipped if at < len(node.args)]
    return [
        one
        for one in node.all_input_nodes
        if not any(one is other for other in unread) or any(one is other for other in read)
    ]


def viewed_argument(node: Any, floats_alike: bool, shared: bool) -> Any:
    """Return the node whose bytes the result of ``node`` is, or None where it has its own.

    Parameters
    ----------
    node : torch.fx.Node
    floats_alike : bool
        All floating-point tensors have one width: a cast between such formats changes nothing.
    shared : bool
        Whether a copy may share the bytes of what it copies: nothing in the program is written to.
    """
    kind = kind_of(node.target)
    stripped = kind.rstrip("_")
    first = node.args[0] if node.args else None
    if stripped in DROPOUTS and len(node.args) > 2 and node.args[2] is False:
        return first
    if kind in COPIES:
        return first if shared and _same_bytes(node, first, floats_alike) else None
    schema = getattr(node.target, "_schema", None)
    if schema is None or not schema.returns:
        return None
    result = schema.returns[0].alias_info
    if result is None or result.is_write:
        return None
    for value, argument in _arguments(node):
        if argument.alias_info is not None:
            if kind in MAY_COPY and not _same_bytes(node, value, floats_alike):
                return None
            return value
    return None


def is_elementwise(node: Any) -> bool:
    """Whether the result can be computed where the argument was, element by element.

    Every element follows from those at the same place; or the elements are the same in another
    order in memory, in which their producer can write them at once.
    """
    import torch

    kind = kind_of(node.target).rstrip("_")
    if kind in MAY_COPY or kind in COPIES:
        return True
    if kind in BATCH_NORMS:
        return len(node.args) > 5 and node.args[5] is False
    return kind in POINTWISE or torch.Tag.pointwise in getattr(node.target, "tags", ())


def is_random(node: Any) -> bool:
    """Whether the result differs from run to run."""
    import torch

    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _arguments(node: Any) -> list[tuple[Any, Any]]:
    """Return every argument given to an operator with its declaration."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return []
    pairs = list(zip(node.args, schema.arguments, strict=False))
    named = {argument.name: argument for argument in schema.arguments}
    return pairs + [(value, named[name]) for name, value in node.kwargs.items() if name in named]


def _same_bytes(node: Any, source: Any, floats_alike: bool) -> bool:
    """Whether result and source can be one region of memory: element format, order of elements."""
    before, after = source.meta.get("val"), node.meta.get("val")
    if not (hasattr(before, "stride") and hasattr(after, "stride")):
        return False
    both_floats = before.dtype.is_floating_point and after.dtype.is_floating_point
    if before.dtype != after.dtype and not (floats_alike and both_floats):
        return False
    return _is_view(before, after)


def _is_view(before: Any, after: Any) -> bool:
    import torch

    if tuple(before.shape) == tuple(after.shape):
        return _strides(before) == _strides(after)
    if before.numel() != after.numel():
        return True  # an expansion: the same bytes read several times
    probe = torch.empty_strided(tuple(before.shape), before.stride(), device="meta")
    try:
        return _strides(probe.view(tuple(after.shape))) == _strides(after)
    except RuntimeError:
        return False


def _strides(tensor: Any) -> list[int]:
    """Return the strides of the dimensions that have any length to step over."""
    return [step for step, size in zip(tensor.stride(), tensor.shape, strict=True) if size != 1]
