"""Array errors with torch's types and texts, so that clients see the same errors as from ComfyUI.

Nodes compute with numpy, whose errors have other types and texts. torch's text depends only on the shapes, which are in
numpy's text or are arguments of the helpers here. The texts are those of torch 2.x. Unknown errors stay unchanged.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

F = TypeVar("F", bound=Callable[..., Any])
Array = npt.NDArray[Any]
Shape = tuple[int, ...]

_BROADCAST = re.compile(r"operands could not be broadcast together with (?:remapped )?shapes (\([\d,]*\)) (\([\d,]*\))")
_ASSIGNED = re.compile(r"could not broadcast input array from shape (\([\d,]*\)) into shape (\([\d,]*\))")
_RESHAPED = re.compile(r"cannot reshape array of size (\d+) into shape (\([-\d, ]*\))")
_INDEX = re.compile(r"index (-?\d+) is out of bounds for axis (\d+) with size (\d+)")
_INDICES = re.compile(r"too many indices for array: array is (\d+)-dimensional")
_AXIS = re.compile(r"axis (-?\d+) is out of bounds for array of dimension (\d+)")
_TRUTH = re.compile(r"The truth value of an array with more than one element is ambiguous")
_EMPTY = re.compile(r"zero-size array to reduction operation (maximum|minimum)")


def _shape(text: str) -> Shape:
    found: Shape = ast.literal_eval(text)
    return found


def unlike(first: Sequence[int], second: Sequence[int]) -> RuntimeError | None:
    """torch's error for two shapes that cannot be broadcast together; ``None`` if they can."""
    count = max(len(first), len(second))
    one, two = ((1,) * (count - len(shape)) + tuple(shape) for shape in (first, second))
    for axis in reversed(range(count)):
        if one[axis] != two[axis] and 1 not in (one[axis], two[axis]):
            return RuntimeError(
                f"The size of tensor a ({one[axis]}) must match the size of tensor b ({two[axis]}) at non-singleton "
                f"dimension {axis}"
            )
    return None


def _unfit(source: Shape, target: Shape) -> RuntimeError | None:
    # torch drops leading dimensions of size one from a value that it assigns to a slice.
    source = source[next((k for k, side in enumerate(source) if side != 1), len(source)) :]
    if len(source) > len(target):
        return RuntimeError(
            f"expand(torch.FloatTensor{{{list(source)}}}, size={list(target)}): the number of sizes provided "
            f"({len(target)}) must be greater or equal to the number of dimensions in the tensor ({len(source)})"
        )
    wide = (1,) * (len(target) - len(source)) + source
    for axis in reversed(range(len(target))):
        if len(wide) == len(target) and wide[axis] not in (1, target[axis]):
            return RuntimeError(
                f"The expanded size of the tensor ({target[axis]}) must match the existing size ({wide[axis]}) at "
                f"non-singleton dimension {axis}.  Target sizes: {list(target)}.  Tensor sizes: {list(source)}"
            )
    return None


def _axis(axis: int, count: int) -> IndexError:
    return IndexError(f"Dimension out of range (expected to be in range of [{-count}, {count - 1}], but got {axis})")


_KNOWN: tuple[tuple[re.Pattern[str], Callable[..., Exception | None]], ...] = (
    (_BROADCAST, lambda a, b: unlike(_shape(a), _shape(b))),
    (_ASSIGNED, lambda a, b: _unfit(_shape(a), _shape(b))),
    (_RESHAPED, lambda n, s: RuntimeError(f"shape '{list(_shape(s))}' is invalid for input of size {n}")),
    (_INDEX, lambda k, axis, n: IndexError(f"index {k} is out of bounds for dimension {axis} with size {n}")),
    (_INDICES, lambda n: IndexError(f"too many indices for tensor of dimension {n}")),
    (_AXIS, lambda axis, n: _axis(int(axis), int(n))),
    (_TRUTH, lambda: RuntimeError("Boolean value of Tensor with more than one value is ambiguous")),
    (
        _EMPTY,
        lambda kind: RuntimeError(
            f"{kind[:3]}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim "
            "with the 'dim' argument."
        ),
    ),
)


def translated(error: Exception) -> Exception | None:
    """torch's error for an error of numpy; ``None`` if it is not known."""
    for pattern, make in _KNOWN:
        found = pattern.search(str(error))
        if found:
            return make(*found.groups())
    return None


def in_torch_words(function: F) -> F:
    """Decorator: make a function raise torch's errors instead of numpy's."""

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except (ValueError, IndexError) as error:
            known = translated(error)
            if known is None:
                raise
            raise known from error

    return cast("F", run)


def joined(arrays: Sequence[Array], axis: int = 0) -> Array:
    """``numpy.concatenate`` with the errors of torch's ``cat``, which ignores empty vectors."""
    if not arrays:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for number, array in enumerate(arrays):
        if not isinstance(array, np.ndarray):
            raise TypeError(f"expected Tensor as element {number} in argument 0, but got {type(array).__name__}")
    parts = [array for array in arrays if array.shape != (0,)] or list(arrays[:1])
    first = parts[0]
    if not -first.ndim <= axis < first.ndim:
        raise _axis(axis, first.ndim)
    axis %= first.ndim
    for number, array in enumerate(parts[1:], 1):
        if array.ndim != first.ndim:
            raise RuntimeError(f"Tensors must have same number of dimensions: got {first.ndim} and {array.ndim}")
        for place, (wanted, found) in enumerate(zip(first.shape, array.shape, strict=True)):
            if place != axis and wanted != found:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {axis}. Expected size {wanted} but got size "
                    f"{found} for tensor number {number} in the list."
                )
    return np.concatenate(parts, axis=axis)


def stacked(arrays: Sequence[Array], axis: int = 0) -> Array:
    """``numpy.stack`` with the errors of torch's ``stack``."""
    if not arrays:
        raise RuntimeError("stack expects a non-empty TensorList")
    return np.stack(arrays, axis=axis)


def check_axis(array: Array, axis: int) -> None:
    """Raise torch's error if an array has no such dimension."""
    if not -array.ndim <= axis < array.ndim:
        raise _axis(axis, array.ndim)


def check_pooled(shape: Sequence[int]) -> None:
    """Raise the error of torch's average over areas for an empty ``[batch, channel, height, width]``."""
    for axis in (1, 2, 3):
        if shape[axis] == 0:
            raise RuntimeError(
                "adaptive_avg_pool2d(): Expected input to have non-zero size for non-batch dimensions, but input has "
                f"sizes {list(shape)} with dimension {axis} being empty"
            )


def with_axis(array: Array, axis: int) -> Array:
    """Append a dimension of size one. If it would not be the last, raise the error of torch's ``unsqueeze``."""
    must_have(array, "unsqueeze")
    if axis != array.ndim:
        raise _axis(axis, array.ndim + 1)
    return array[..., None]


def check_sides(*shape: int) -> None:
    """Raise torch's error for a new array with a negative size."""
    for side in shape:
        if side < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {side}: {list(shape)}")


def regrouped(array: Array, *shape: int) -> Array:
    """``array.reshape(-1, *shape)``, with torch's error for empty arrays."""
    if array.size == 0 and 0 in shape:
        raise RuntimeError(
            f"cannot reshape tensor of 0 elements into shape {[-1, *shape]} because the unspecified dimension size -1 "
            "can be any value and is ambiguous"
        )
    return array.reshape(-1, *shape)


def check_plane(spatial: Sequence[int], size: tuple[int, int]) -> None:
    """Raise the error of torch's ``interpolate`` unless an array has two dimensions besides batch and channels.

    ``spatial`` holds those dimensions, ``size`` the new height and width.
    """
    if len(spatial) != 2:
        raise ValueError(
            "Input and output must have the same number of spatial dimensions, but got input with spatial dimensions "
            f"of {list(spatial)} and output size of {size}. Please provide input tensor in (N, C, d1, d2, ...,dK) "
            "format and output size in (o1, o2, ...,oK) format."
        )
    if 0 in (*spatial, *size) or min(size) < 0:
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input (H: {spatial[0]}, W: {spatial[1]}) output "
            f"(H: {size[0]}, W: {size[1]})"
        )


def check_mirror(shape: Sequence[int], radius: int) -> None:
    """Raise torch's error if ``[batch, channel, height, width]`` is too small for reflection padding of this radius."""
    if 0 in shape[1:]:
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
            f"but got: {list(shape)}"
        )
    for argument, axis in ((4, 3), (6, 2)):
        if radius >= shape[axis]:
            raise RuntimeError(
                f"Argument #{argument}: Padding size should be less than the corresponding input dimension, but got: "
                f"padding ({radius}, {radius}) at dimension {axis} of input {list(shape)}"
            )


def check_order(count: int, wanted: int = 4) -> None:
    """Raise the error of torch's ``permute`` for an array with another number of dimensions."""
    if count != wanted:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {count} is not equal to len(dims) = {wanted}"
        )


def check_alike(first: Sequence[int], second: Sequence[int]) -> None:
    """Raise torch's error for shapes that cannot be broadcast together."""
    error = unlike(first, second)
    if error is not None:
        raise error


def channels_second(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of a picture with channels second, as torch's functions expect it."""
    return (shape[0], shape[-1], *shape[1:-1])


def must_have(value: object, attribute: str) -> None:
    """Raise the error for a constant instead of an array: it has no ``attribute``, or the function rejects it."""
    if not isinstance(value, str | int | float | list | None) or hasattr(value, attribute):
        return
    kind = type(value).__name__
    if attribute.endswith("()"):
        raise TypeError(f"{attribute}: argument 'input' (position 1) must be Tensor, not {kind}")
    if attribute == "len":
        len(value)  # type: ignore[arg-type]
    else:
        raise AttributeError(f"'{kind}' object has no attribute '{attribute}'")


def plane_sides(mask: Array) -> tuple[int, int]:
    """Height and width of a mask. Raises the error of ComfyUI for a constant."""
    must_have(mask, "reshape")
    return mask.shape[-2], mask.shape[-1]


def check_turn(array: Array, axis: int) -> None:
    """Raise the error of torch's ``rot90`` if the array has no such dimension."""
    if axis >= array.ndim:
        raise RuntimeError(f"Rotation dim0 out of range, dim0 = {axis}")
