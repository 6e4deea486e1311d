"""Random values that a context stores, and their comparison."""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from discomfort.context.trees import NodeList

DTYPES = [
    "?", "u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8", "<c8", "<c16", "<U1", "<U7", "S3",
    "<M8[s]", "<m8[D]",
]  # fmt: skip
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda code: hnp.arrays(code, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)
TURNED = ARRAYS.map(lambda array: array.T[::-1] if array.ndim else array)
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(1 << 300), 1 << 300)
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.text("\ud800\udfffé")
    | st.binary()
    | st.binary(min_size=4090, max_size=4100)
    | st.binary().map(bytearray)
    | st.complex_numbers()
)
SCALARS = ARRAYS.filter(lambda array: array.size > 0).map(lambda array: array.reshape(-1)[0])
KEYS = st.text(max_size=5) | st.sampled_from(["$", "v", "n", "__metadata__"])
VALUES = st.recursive(
    ATOMS | ARRAYS | TURNED | SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.lists(inner, max_size=4).map(NodeList)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(st.integers() | st.tuples(st.booleans(), st.text(max_size=2)) | KEYS, inner, max_size=3)
        | st.sets(st.integers() | st.text(max_size=3), max_size=4)
        | st.frozensets(st.tuples(st.integers()), max_size=4)
    ),
    max_leaves=12,
)


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal in type and content, at every depth; NaN equals NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, np.generic):
        return left.dtype == right.dtype and left.tobytes() == right.tobytes()
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    if isinstance(left, complex):
        return same(left.real, right.real) and same(left.imag, right.imag)
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, PurePath):
        return str(left) == str(right)
    return bool(left == right)
