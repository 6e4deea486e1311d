"""Errors of arrays have torch's texts for the same shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.parity import cases
from comfyui_emulator.nodes import wording
from comfyui_emulator.nodes.base import BUILT_IN


def zeros(*shape: int) -> npt.NDArray[np.float32]:
    """An array of that shape."""
    return np.zeros(shape, dtype=np.float32)


def assign() -> None:
    """Put an array into a part of another shape."""
    zeros(1, 16, 8, 8)[:, :, 0:8] = zeros(1, 4, 8, 8)


@pytest.mark.parametrize(
    ("operation", "kind", "text"),
    [
        (
            lambda: zeros(1, 8, 8, 5) * zeros(1, 8, 8, 3),
            RuntimeError,
            "The size of tensor a (5) must match the size of tensor b (3) at non-singleton dimension 3",
        ),
        (
            lambda: zeros(2, 8) + zeros(1, 4, 8),
            RuntimeError,
            "The size of tensor a (2) must match the size of tensor b (4) at non-singleton dimension 1",
        ),
        (
            assign,
            RuntimeError,
            (
                "The expanded size of the tensor (16) must match the existing size (4) at non-singleton dimension 1.  "
                "Target sizes: [1, 16, 8, 8].  Tensor sizes: [4, 8, 8]"
            ),
        ),
        (lambda: zeros(0, 3)[0], IndexError, "index 0 is out of bounds for dimension 0 with size 0"),
        (lambda: zeros(3, 3)[0, 0, 0], IndexError, "too many indices for tensor of dimension 2"),
        (
            lambda: zeros(3, 3).sum(axis=2),
            IndexError,
            "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
        ),
        (lambda: zeros(6).reshape(4, 2), RuntimeError, "shape '[4, 2]' is invalid for input of size 6"),
        (
            lambda: bool(zeros(2) > 1),
            RuntimeError,
            "Boolean value of Tensor with more than one value is ambiguous",
        ),
        (
            lambda: zeros(0).max(),
            RuntimeError,
            (
                "max(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with "
                "the 'dim' argument."
            ),
        ),
        (lambda: wording.joined([]), ValueError, "torch.cat(): expected a non-empty list of Tensors"),
        (
            lambda: wording.joined([zeros(1, 3), zeros(1, 4)]),
            RuntimeError,
            (
                "Sizes of tensors must match except in dimension 0. Expected size 3 but got size 4 for tensor number 1 "
                "in the list."
            ),
        ),
        (
            lambda: wording.joined([zeros(1, 3), zeros(3)]),
            RuntimeError,
            "Tensors must have same number of dimensions: got 2 and 1",
        ),
        (
            lambda: wording.joined([zeros(1), "x"]),  # type: ignore[list-item]
            TypeError,
            "expected Tensor as element 1 in argument 0, but got str",
        ),
        (
            lambda: wording.check_sides(4, -3, 4, 1),
            RuntimeError,
            "Trying to create tensor with negative dimension -3: [4, -3, 4, 1]",
        ),
        (lambda: wording.stacked([]), RuntimeError, "stack expects a non-empty TensorList"),
        (
            lambda: wording.check_mirror((1, 3, 4, 2), 2),
            RuntimeError,
            (
                "Argument #4: Padding size should be less than the corresponding input dimension, but got: padding "
                "(2, 2) at dimension 3 of input [1, 3, 4, 2]"
            ),
        ),
        (
            lambda: wording.check_plane((37, 53), (0, 1)),
            RuntimeError,
            "Input and output sizes should be greater than 0, but got input (H: 37, W: 53) output (H: 0, W: 1)",
        ),
    ],
)
def test_the_words_are_torchs(operation: Callable[[], Any], kind: type[Exception], text: str) -> None:
    """Type and text are those of torch 2, as recorded by the comparison with ComfyUI."""
    with pytest.raises(kind) as caught:
        wording.in_torch_words(operation)()

    assert type(caught.value) is kind
    assert str(caught.value) == text


def test_an_unknown_error_stays_as_it_is() -> None:
    """A node's own errors are not changed."""

    def fail() -> None:
        raise ValueError("a node's own words")

    with pytest.raises(ValueError, match="own words"):
        wording.in_torch_words(fail)()


@pytest.mark.parametrize(
    ("value", "attribute", "kind", "text"),
    [
        ("x", "movedim", AttributeError, "'str' object has no attribute 'movedim'"),
        (None, "len", TypeError, "object of type 'NoneType' has no len()"),
        (5, "flip()", TypeError, "flip(): argument 'input' (position 1) must be Tensor, not int"),
    ],
)
def test_a_constant_in_an_arrays_place(value: object, attribute: str, kind: type[Exception], text: str) -> None:
    """It fails at the attribute that is read first."""
    with pytest.raises(kind) as caught:
        wording.must_have(value, attribute)

    assert str(caught.value) == text


def test_joining_skips_empty_vectors() -> None:
    """As torch's function does for compatibility."""
    assert wording.joined([zeros(0), zeros(2, 3)]).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("ImageScaleToMaxDimension", "ImageScaleToMaxDimension.execute"),
        ("ComfyNotNode", "NotNode.execute"),
        ("PrimitiveFloat", "Float.execute"),
        ("PrimitiveInt", "Int.execute"),
        ("ImageInvert", "ImageInvert.invert"),
    ],
)
def test_a_missing_argument_is_told_of_comfyuis_function(name: str, called: str) -> None:
    """Python's text names the function, whose name in ComfyUI need not be that of the node's class."""
    cls = BUILT_IN[name][0]
    with pytest.raises(TypeError, match=f"^{called}\\(\\) missing"):
        getattr(cls(), cls.FUNCTION)()  # type: ignore[attr-defined]


def test_a_missing_argument_of_a_validator_is_told_of_comfyuis_function() -> None:
    """Refusals quote Python's text."""
    with pytest.raises(TypeError, match=r"^CustomComboNode\.validate_inputs\(\) missing"):
        BUILT_IN["CustomCombo"][0].VALIDATE_INPUTS()  # type: ignore[attr-defined]


def test_every_node_has_a_case() -> None:
    """Every node that the emulator executes is in the comparison with ComfyUI."""
    assert cases.without_case() == []


async def failure(launch: Any, graph: dict[str, Any]) -> dict[str, Any]:
    """The error of a run that fails."""
    async with launch() as client:
        events, _ = await client.run(graph)
    return next(data for kind, data in events if kind == "execution_error")


async def test_newer_nodes_tell_nothing_of_hidden_inputs(launch: Any, make: Any) -> None:
    """An error of a node in the newer schema quotes its inputs, not the hidden ones that the server added."""
    save = make("SaveVideo", video="x", filename_prefix="v", format="auto", codec="auto")

    found = await failure(launch, {"1": save})

    assert sorted(found["current_inputs"]) == ["codec", "filename_prefix", "format", "video"]
    assert found["exception_message"] == "'str' object has no attribute 'get_dimensions'\n"


async def test_a_longest_side_of_nothing_fails_where_it_does_in_comfyui(launch: Any, make: Any) -> None:
    """Area averaging accepts an empty size, and the next node fails; other methods refuse it."""
    for method, node_id in (("area", "3"), ("bilinear", "2")):
        image = make("EmptyImage", width=8, height=4, batch_size=1, color=0)
        scaled = make("ImageScaleToMaxDimension", image=["1", 0], upscale_method=method, largest_size=0)
        graph = {"1": image, "2": scaled, "3": make("PreviewImage", images=["2", 0])}

        found = await failure(launch, graph)

        assert found["node_id"] == node_id


async def test_a_saver_outside_of_its_folder_fails_in_comfyuis_words(launch: Any, make: Any) -> None:
    """Type and text are ComfyUI's, which clients may match."""
    image = make("EmptyImage", width=8, height=4, batch_size=1, color=0)

    found = await failure(launch, {"1": image, "2": make("SaveImage", images=["1", 0], filename_prefix="../x")})

    assert found["exception_type"] == "Exception"
    first, *rest = found["exception_message"].splitlines()
    assert first == "**** ERROR: Saving image outside the output folder is not allowed."
    assert [line.split(":")[0].strip() for line in rest] == ["full_output_folder", "output_dir"]
