"""Bad input: each kind has its typed error, and the connector goes on."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from contract.graphs import node, picture_workflow, show_prompt, texts_of

from discomfort import ComfyConnector
from discomfort.exceptions import ConversionError, PayloadError


async def fails(connector: ComfyConnector, payload: Any, as_workflow: bool = True) -> PayloadError:
    """The PayloadError of a payload; the next run works."""
    with pytest.raises(PayloadError) as caught:
        await connector.run_workflow(payload, as_workflow)
    assert isinstance(caught.value, ValueError)
    assert texts_of(await connector.run_workflow(show_prompt(31), False)) == ["31"]
    return caught.value


async def test_missing_file(connector: ComfyConnector) -> None:
    """A path to nothing is FileNotFoundError, for runs and for conversions."""
    name = f"{uuid.uuid4()}.json"
    with pytest.raises(FileNotFoundError, match=name):
        await connector.run_workflow(name)
    with pytest.raises(FileNotFoundError, match=name):
        await connector.get_prompt_from_workflow(name)


@pytest.mark.parametrize("content", [b"", b" \n", b"\xef\xbb\xbf"])
async def test_empty_file(connector: ComfyConnector, tmp_path: Path, content: bytes) -> None:
    """An empty file is not a payload."""
    path = tmp_path / "empty.json"
    path.write_bytes(content)
    assert "empty" in str(await fails(connector, path))


async def test_truncated_file(connector: ComfyConnector, tmp_path: Path) -> None:
    """A download that was cut short: the error tells the place."""
    path = tmp_path / "cut.json"
    path.write_text(json.dumps(picture_workflow(), indent=1)[:200])
    assert "line" in str(await fails(connector, path))


@pytest.mark.parametrize("content", ["<html></html>", "{'single': 'quotes'}", "{broken", "\x89PNG\r\n"])
async def test_file_that_is_not_json(connector: ComfyConnector, tmp_path: Path, content: str) -> None:
    """Something else than JSON is told as such."""
    path = tmp_path / "other.json"
    path.write_bytes(content.encode("latin-1"))
    assert str(await fails(connector, path)).startswith("not JSON: ")


@pytest.mark.parametrize("depth", [1_000, 1_000_000])
async def test_deeply_nested(connector: ComfyConnector, tmp_path: Path, depth: int) -> None:
    """Nesting without end is refused, not a crash of the parser."""
    path = tmp_path / "deep.json"
    path.write_text('{"nodes": ' + "[" * depth + "]" * depth + "}")
    assert "nest" in str(await fails(connector, path))


async def test_huge_object_in_memory_is_deeply_nested(connector: ComfyConnector) -> None:
    """An object that no text ever was is checked too."""
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    error = await fails(connector, {"1": node("ContractShow", value=1, after=deep)}, False)
    assert "nest" in str(error)


@pytest.mark.parametrize(
    ("size", "end", "told"),
    [
        pytest.param(50_000_000, '"}', "neither a workflow nor a prompt", id="one long text"),
        pytest.param(50_000_000, "", "Unterminated string", id="not json at its end"),
        pytest.param(70_000_000, '"}', "70000012 bytes, more than", id="too large"),
    ],
)
async def test_huge_file(connector: ComfyConnector, tmp_path: Path, size: int, end: str, told: str) -> None:
    """50 MB and more end in bounded time, as an error that says what is wrong."""
    path = tmp_path / "huge.json"
    path.write_text('{"text": "' + "x" * size + end)
    assert told in str(await fails(connector, path))


WRONG_SHAPES: list[tuple[Any, str]] = [
    ({}, "the object is empty"),
    ([], "not list"),
    (5, "not int"),
    (None, "not NoneType"),
    (True, "not bool"),
    ("{}", "the object is empty"),
    ("[1, 2]", "found a list of 2 items"),
    ("null", "neither JSON text nor an existing file: 'null'"),
    ("7", "neither JSON text nor an existing file: '7'"),
    ('{"nodes": 5}', "'nodes' is the number 5"),
    ({"nodes": []}, "has no nodes"),
    ({"nodes": [None]}, "nodes[0] is null"),
    ({"nodes": [{"id": 1}]}, "nodes[0].type is null"),
    ({"nodes": [{"type": "EmptyImage", "id": True}]}, "nodes[0].id is the boolean true"),
    ({"nodes": [{"id": 1, "type": "X"}], "links": 3}, "'links' is the number 3"),
    ({"1": {"inputs": {}}}, "an object with the keys '1'"),
    ({"1": "x"}, "an object with the keys '1'"),
    ({"1": {"class_type": 5, "inputs": {}}}, "node 1: class_type is the number 5"),
    ({"prompt": 5}, "an object with the keys 'prompt'"),
    ({"prompt": {}}, "'prompt' inside the API envelope is empty"),
    ({"1": {"class_type": "EmptyImage", "inputs": {"width": b"bytes"}}}, "node 1 input 'width'"),
    ({"1": {"class_type": "EmptyImage", "inputs": {"width": {1, 2}}}}, "node 1 input 'width'"),
    ({1: {"class_type": "EmptyImage", "inputs": {}}}, "the node id 1"),
]


@pytest.mark.parametrize(("payload", "told"), WRONG_SHAPES, ids=[str(payload) for payload, _ in WRONG_SHAPES])
@pytest.mark.parametrize("as_workflow", [True, False])
async def test_wrong_shape(connector: ComfyConnector, payload: Any, told: str, as_workflow: bool) -> None:
    """What is neither a workflow nor a prompt is a ValueError that says what was found; nothing is sent."""
    with pytest.raises((PayloadError, FileNotFoundError), match=re.escape(told)):
        await connector.run_workflow(payload, as_workflow)


async def test_prompt_without_output_node(connector: ComfyConnector) -> None:
    """A prompt that would give nothing is refused with a hint."""
    error = await fails(connector, {"1": node("EmptyImage", width=8, height=8, batch_size=1, color=0)}, False)
    assert "output node" in str(error)


@pytest.mark.browser
async def test_workflow_without_output_node(connector: ComfyConnector) -> None:
    """The same for a workflow."""
    workflow = picture_workflow()
    workflow["nodes"] = workflow["nodes"][:1]
    workflow["nodes"][0]["outputs"][0]["links"] = []
    workflow["links"] = []
    assert "output node" in str(await fails(connector, workflow))


@pytest.mark.browser
async def test_workflow_with_everything_muted(connector: ComfyConnector) -> None:
    """A workflow of which nothing is left is an error, not an empty success."""
    workflow = picture_workflow()
    for entry in workflow["nodes"]:
        entry["mode"] = 2
    with pytest.raises((PayloadError, ConversionError)):
        await connector.run_workflow(workflow)


@pytest.mark.browser
async def test_conversion_of_a_prompt_is_refused_or_returned(connector: ComfyConnector) -> None:
    """A prompt given to the conversion needs none: it comes back as it is."""
    prompt = show_prompt(3)
    assert await connector.get_prompt_from_workflow(prompt) == prompt
