"""What the ONNX reader has to know about operator types.

Operator names and their meaning are those of the ONNX operator specification.
"""

from __future__ import annotations

VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"})
"""Operators whose first output is their first input under another shape."""

RANDOM = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
"""Operators that are no constants however constant their inputs."""

SHAPE_ONLY = frozenset({"Shape", "Size"})
"""Operators that look at the shape of their input and not at its values."""

ELEMENTWISE = frozenset(
    {
        "Abs",
        "Acos",
        "Acosh",
        "Add",
        "And",
        "Asin",
        "Asinh",
        "Atan",
        "Atanh",
        "BatchNormalization",
        "BiasGelu",
        "BitShift",
        "BitwiseAnd",
        "BitwiseNot",
        "BitwiseOr",
        "BitwiseXor",
        "Cast",
        "CastLike",
        "Ceil",
        "Celu",
        "Clip",
        "Cos",
        "Cosh",
        "DequantizeLinear",
        "Div",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "FastGelu",
        "Floor",
        "Gelu",
        "Greater",
        "GreaterOrEqual",
        "HardSigmoid",
        "HardSwish",
        "IsInf",
        "IsNaN",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "Max",
        "Mean",
        "Min",
        "Mish",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "PRelu",
        "Pow",
        "QuantizeLinear",
        "QuickGelu",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Shrink",
        "Sigmoid",
        "Sign",
        "Sin",
        "Sinh",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Sub",
        "Sum",
        "Swish",
        "Tan",
        "Tanh",
        "ThresholdedRelu",
        "Where",
        "Xor",
    }
)
"""Operators that compute each element of their output from the elements at the same place.

With one input that is no constant they can run where their input was produced.
"""

STANDARD_DOMAINS = frozenset({"", "ai.onnx"})

FLOATS = {
    "FLOAT": 32,
    "FLOAT16": 16,
    "DOUBLE": 64,
    "BFLOAT16": 16,
    "FLOAT8E4M3FN": 8,
    "FLOAT8E4M3FNUZ": 8,
    "FLOAT8E5M2": 8,
    "FLOAT8E5M2FNUZ": 8,
    "FLOAT8E8M0": 8,
    "FLOAT6E2M3": 6,
    "FLOAT6E3M2": 6,
    "FLOAT4E2M1": 4,
}
"""Bits of the formats that a dtype override replaces."""

OTHERS = {
    "UINT2": 2,
    "INT2": 2,
    "UINT4": 4,
    "INT4": 4,
    "UINT8": 8,
    "INT8": 8,
    "BOOL": 8,
    "UINT16": 16,
    "INT16": 16,
    "UINT32": 32,
    "INT32": 32,
    "UINT64": 64,
    "INT64": 64,
    "COMPLEX64": 64,
    "COMPLEX128": 128,
}
"""Bits of the formats that keep their width: indices, masks, what is quantized already."""
