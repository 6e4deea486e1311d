"""Values of runs: what they become in a prompt, what is fitted, and what does not fit."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from standins import COUNTS
from unit.orchestration.conftest import Run
from unit.orchestration.fake_worker import FakeWorker, node, picture, port
from unit.orchestration.test_running_lists import ADD, INVERT, LOADER

from discomfort import NodeList
from discomfort.context.context import WorkflowContext
from discomfort.core_values.constants import NOT_CONSTANT, constant_of
from discomfort.exceptions import PortError, UnsupportedValueError

ANY = {"1": port("value"), "2": node("StandInAny", value=["1", 0]), "3": port("out", ["2", 0])}
MASK = {"1": port("mask"), "2": node("Mask", mask=["1", 0]), "3": port("out", ["2", 0])}


class Colour(str, Enum):  # noqa: UP042 - whose text is not its value
    """Text of another class."""

    RED = "red"


@pytest.mark.parametrize(
    ("value", "constant"),
    [
        (7, 7), (True, True), (None, None), ("a", "a"), (Colour.RED, "red"), (np.float32(0.5), 0.5), (np.array(3), 3),
        (np.bool_(True), True), (Path("a/b"), "a/b"), ([1, [np.int8(2)]], [1, [2]]), ({"a": Path("b")}, {"a": "b"}),
        (np.str_("x"), "x"), (2**70, 2**70),
    ],
)  # fmt: skip
def test_constants(value: object, constant: object) -> None:
    """Become plain JSON."""
    made = constant_of(value)

    assert made == constant
    assert type(made) is type(constant)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"), float("-inf"), (1, 2), np.zeros(1), np.complex64(1), b"x", {1}, NodeList([1]), "\ud800",
        {"__value__": 1}, {1: 2}, [1 << 20_000], [object()], np.datetime64("2020-01-01"),
    ],
)  # fmt: skip
def test_no_constants(value: object) -> None:
    """What JSON or the server would read in another way."""
    assert constant_of(value) is NOT_CONSTANT


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("abé"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_json_is_constant(value: Any) -> None:
    """All of it, as it is; lists and objects are new ones."""
    made = constant_of(value)

    assert made == value
    assert made is not value or not isinstance(value, list | dict)


@pytest.mark.parametrize(
    "value",
    ["text", 5, 1.5, None, [1, 2], {"a": [1]}, ["1", 0], (1, "a"), float("inf"), {"__value__": 3}, NodeList(["a", "b"]),
     b"bytes", {1: 2}, "\ud800"],
)  # fmt: skip
async def test_any_value_passes_unchanged(run: Run, value: object) -> None:
    """Through an input of any type and back, with its class."""
    results = await run(ANY, {"value": value})

    assert results["out"] == value
    assert type(results["out"]) is type(value)


async def test_pictures_are_fitted(run: Run, context: WorkflowContext) -> None:
    """``[H, W, C]`` and ``[H, W]`` get a batch, pictures of Pillow become arrays; the context keeps what was given."""
    single = picture(0.25, (4, 6, 3))
    assert (await run(INVERT, {"test_input": single}, context=context))["test_output"].shape == (1, 4, 6, 3)
    assert context.load("test_input").shape == (4, 6, 3)

    results = await run(INVERT, {"test_input": Image.new("RGB", (6, 4), (255, 0, 51))})
    assert np.allclose(results["test_output"][0, 0, 0], [0, 1, 0.8])
    assert (await run(MASK, {"mask": picture(0.5, (4, 6))}))["out"].shape == (1, 4, 6)
    assert (await run(MASK, {"mask": Image.new("L", (6, 4), 255)}))["out"].mean() == 1.0


@pytest.mark.parametrize("kind", [np.float16, np.float64])
async def test_precision_of_pictures(run: Run, kind: type) -> None:
    """The server's nodes work with floats of 32 bits: others are made such."""
    results = await run(INVERT, {"test_input": picture(0.25).astype(kind)})
    assert np.array_equal(results["test_output"], picture(0.75))
    assert np.asarray(results["test_output"]).dtype == np.float32
    assert np.asarray((await run(MASK, {"mask": picture(0.5, (4, 4)).astype(kind)}))["out"]).dtype == np.float32


async def test_fitted_values_leave_no_file(run: Run, context: WorkflowContext) -> None:
    """What was made of a value for the server goes with the call."""
    await run(INVERT, {"test_input": picture(0.25, (64, 64, 3))}, iterations=3, context=context)
    folder = context._storage.memory_folder or context._storage.home
    files = {path.name for path in folder.iterdir() if len(path.name) == 32}
    known = {(record.file or "").rpartition("/")[2] for record in context._storage.records().values()}
    assert files == known


@pytest.mark.parametrize(
    ("workflow", "inputs", "problem"),
    [
        (ADD, {"a": "7"}, "port 'a': node 2 'StandInAdd' input 'a' takes a whole number, given the string '7'"),
        (ADD, {"a": 7.5}, "takes a whole number, given the number 7.5"),
        (ADD, {"a": picture()}, "input 'a' takes INT, given a numpy array of shape [1, 4, 4, 3] and type float32"),
        (ADD, {"a": [1, 2]}, "takes INT, given a list of 2 items"),
        (LOADER, {"name": "c.safetensors"}, "the string 'c.safetensors' is not among its 4 values"),
        (INVERT, {"test_input": 3}, "takes IMAGE, an array [batch, height, width, channels] of floats from 0 to 1"),
        (INVERT, {"test_input": np.zeros((1, 2, 2, 3), np.uint8)}, "given a numpy array of shape [1, 2, 2, 3] and"),
        (INVERT, {"test_input": picture(0.5, (3, 8, 8))}, "at most 4 channels, given a numpy array of shape [1, 3,"),
        (INVERT, {"test_input": picture(0.5, (0, 8, 8, 3))}, "given a numpy array of shape [0, 8, 8, 3]"),
        (MASK, {"mask": Image.new("RGBA", (2, 2))}, "takes MASK, an array"),
        (MASK, {"mask": picture(0.5, (0, 8, 8))}, "given a numpy array of shape [0, 8, 8]"),
    ],
)  # fmt: skip
async def test_values_that_do_not_fit(run: Run, worker: FakeWorker, workflow: Any, inputs: Any, problem: str) -> None:
    """Are found before anything is sent or saved."""
    with pytest.raises(PortError) as caught:
        await run(workflow, inputs)
    assert problem in str(caught.value)
    assert worker.sent == []
    assert worker.refreshed == 1


async def test_objects_of_the_server_need_references(run: Run) -> None:
    """A number is not a model."""
    workflow = {"1": port("model"), "2": node("LoraLoader", model=["1", 0]), "3": port("out", ["2", 0])}
    with pytest.raises(PortError, match="takes MODEL, an object of the server: give a reference"):
        await run(workflow, {"model": 3})


async def test_values_that_cannot_be_stored(run: Run, worker: FakeWorker, context: WorkflowContext) -> None:
    """Nothing is saved, not even the others."""
    with pytest.raises(UnsupportedValueError, match=r"^inputs\['b'\]\['c'\]\[0\]: an object of type object"):
        await run(ADD, {"a": 1, "b": {"c": [object()]}}, context=context)
    assert len(context) == 0
    assert worker.sent == []


async def test_inputs_without_a_port(run: Run, context: WorkflowContext) -> None:
    """E17: are stored all the same."""
    await run(ADD, {"a": 1, "denoise": 0.5}, context=context)
    assert context.list_keys() == ["a", "denoise", "sum"]


async def test_equal_values_are_found_in_the_cache(run: Run, context: WorkflowContext) -> None:
    """However often, and to whichever context, they are saved."""
    for _ in range(3):
        await run(INVERT, {"test_input": picture()}, context=context)
    await run(INVERT, {"test_input": picture()})
    assert COUNTS["ImageInvert"] == 1


async def test_folders_of_the_context(run: Run, tmp_path: Path) -> None:
    """D16: its values are found wherever they are; their place travels with the run."""
    config = tmp_path / "own.json"
    config.write_text('{"CONTEXTS_DIR_NAME": "mine"}')
    with WorkflowContext(config_path=config) as context:
        results = await run(INVERT, {"test_input": picture(0.25)}, use_ram=False, context=context)
        path = Path((context.get_storage_info("test_output") or {})["path"])
    assert float(results["test_output"].mean()) == 0.75
    assert path.parent.parent.name == "mine"
