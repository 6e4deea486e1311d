"""Bad input: each kind has its typed error, and the connector goes on."""

from __future__ import annotations

import json
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
    """An empty file is no payload."""
    path = tmp_path / "empty.json"
    path.write_bytes(content)
    await fails(connector, path)


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
    await fails(connector, path)


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
    await fails(connector, {"1": node("ContractShow", value=1, after=deep)}, False)


@pytest.mark.parametrize("kind", ["one long text", "not json at its end", "too large"])
async def test_huge_file(connector: ComfyConnector, tmp_path: Path, kind: str) -> None:
    """50 MB and more end in bounded time, as an error that says what is wrong."""
    path = tmp_path / "huge.json"
    size = 70_000_000 if kind == "too large" else 50_000_000
    end = "" if kind == "not json at its end" else '"}'
    path.write_text('{"text": "' + "x" * size + end)
    await fails(connector, path)


@pytest.mark.parametrize(
    "payload",
    [
        {}, [], 5, None, True, "{}", "[1, 2]", "null", "7", '{"nodes": 5}', {"nodes": []}, {"nodes": [None]},
        {"nodes": [{"id": 1}]}, {"nodes": [{"type": "EmptyImage"}]}, {"nodes": [{"id": 1, "type": "X"}], "links": 3},
        {"1": {"inputs": {}}}, {"1": "x"}, {"1": {"class_type": 5, "inputs": {}}}, {"prompt": 5}, {"prompt": {}},
        {"1": {"class_type": "EmptyImage", "inputs": {"width": b"bytes"}}},
        {"1": {"class_type": "EmptyImage", "inputs": {"width": {1, 2}}}},
        {1: {"class_type": "EmptyImage", "inputs": {}}},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("as_workflow", [True, False])
async def test_wrong_shape(connector: ComfyConnector, payload: Any, as_workflow: bool) -> None:
    """What is neither a workflow nor a prompt is a ValueError that says what was found; nothing is sent."""
    with pytest.raises((PayloadError, FileNotFoundError)) as caught:
        await connector.run_workflow(payload, as_workflow)
    assert str(caught.value)


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
