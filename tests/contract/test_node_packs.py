"""A custom node pack in the newer schema: the same definitions and results from either engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from contract.graphs import node

from discomfort import ComfyConnector
from discomfort.exceptions import ExecutionError, ValidationError

DEFINITIONS = {(0, 3): "schema_pack.json", (0, 33): "schema_pack-0.33.json"}
"""What ComfyUI makes of the pack: the recording that counts from each release on."""


async def release_of(raw: aiohttp.ClientSession) -> tuple[int, ...]:
    """The first two numbers of the server's version, of which the second counts up."""
    async with raw.get("/system_stats") as answer:
        version: str = (await answer.json())["system"]["comfyui_version"]
    return tuple(int(part) for part in version.split(".")[:2])


async def test_definitions_are_comfyuis(raw: aiohttp.ClientSession) -> None:
    """Every kind of input, output and flag is described as the ComfyUI of this version does."""
    async with raw.get("/object_info") as answer:
        infos = await answer.json()
    release = await release_of(raw)
    recorded = DEFINITIONS[max(since for since in DEFINITIONS if since <= release)]

    ours = {name: info for name, info in infos.items() if name.startswith("Schema")}
    assert ours == json.loads(Path(__file__).with_name(recorded).read_text())


async def test_dynamic_inputs_which_came_with_0_8(raw: aiohttp.ClientSession, connector: ComfyConnector) -> None:
    """Inputs with dots reach their node in dicts; errors name the whole key."""
    if await release_of(raw) < (0, 8):
        pytest.skip("dynamic inputs came with ComfyUI 0.8")
    given = {"grow.v0": "1", "named.b": "x", "mode": "two", "mode.sub": "p"}
    (record,) = (await connector.run_workflow({"1": node("SchemaDynamic", **given)}, False)).values()

    assert record["outputs"]["1"]["text"] == [
        "{'grow': {'v0': 1}, 'mode': {'mode': 'two', 'sub': {'f': None, 'sub': 'p'}}, 'named': {'b': 'x'}}"
    ]
    body = {"prompt": {"1": node("SchemaDynamic", **{"mode": "one", "mode.n": 10})}}
    async with raw.post("/prompt", json=body) as answer:
        errors = (await answer.json())["node_errors"]["1"]["errors"]
    assert sorted((error["type"], error["details"], error["extra_info"]["input_name"]) for error in errors) == [
        ("required_input_missing", "v0", "grow.v0"),
        ("value_bigger_than_max", "mode.n", "mode.n"),
    ]


async def test_nodes_that_take_everything_which_came_with_0_11(
    raw: aiohttp.ClientSession, connector: ComfyConnector
) -> None:
    """A node may get inputs that it does not declare."""
    if await release_of(raw) < (0, 11):
        pytest.skip("nodes that take every input came with ComfyUI 0.11")
    prompt = {"1": node("SchemaOpen", a="1", b="two", c={"d": 1})}
    (record,) = (await connector.run_workflow(prompt, False)).values()

    assert record["outputs"]["1"]["text"] == ["{'a': 1, 'b': 'two', 'c': {'d': 1}}"]


async def test_nodes_do_what_they_do_in_comfyui(connector: ComfyConnector) -> None:
    """Hidden values, lazy inputs, expansion, coroutines, blockers, lists, and what is shown."""
    prompt = {
        "1": node("SchemaText", value=5, prompt="hello"),
        "2": node("SchemaShow", value=["1", 0]),
        "3": node("SchemaPicture", side=6),
        "4": node("SchemaSaved", images=["3", 0]),
        "5": node("SchemaLazy", second=True, a=["15", 0], b=["13", 0]),
        "6": node("SchemaShow", value=["5", 0]),
        "7": node("SchemaExpand", value=1),
        "8": node("SchemaShow", value=["7", 0]),
        "9": node("SchemaBlocked", value=2),
        "10": node("SchemaShow", value=["9", 1]),
        "13": node("SchemaList", value=3),
        "14": node("SchemaShow", value=["13", 0]),
        "15": node("SchemaChecked", value=2),
    }
    history = await connector.run_workflow(prompt, False)
    (record,) = history.values()
    outputs: dict[str, Any] = record["outputs"]

    assert outputs["2"] == {"text": [f"5 hello ('1', {sorted(prompt)}, None) True"]}
    assert (outputs["3"]["images"][0]["type"], outputs["3"]["animated"]) == ("temp", [False])
    assert outputs["4"]["images"][0]["subfolder"] == "schema"
    assert outputs["6"]["text"] == ["None 3", "None 3", "None 13"]
    assert outputs["8"]["text"] == ["later 2"]
    assert "10" not in outputs
    assert outputs["14"]["text"] == ["3", "3", "13"]


async def test_fewer_outputs_than_declared_fail_since_0_30(
    connector: ComfyConnector, raw: aiohttp.ClientSession
) -> None:
    """A node that returns less than it declares gives nothing to what is linked there; since ComfyUI 0.30 it fails."""
    prompt = {"11": node("SchemaBlocked", value=0), "12": node("SchemaShow", value=["11", 1])}
    if await release_of(raw) >= (0, 30):
        with pytest.raises(ExecutionError, match="IndexError") as caught:
            await connector.run_workflow(prompt, False)
        assert caught.value.node_id == "11"
        return
    (record,) = (await connector.run_workflow(prompt, False)).values()
    assert record["outputs"]["12"]["text"] == ["None"]


async def test_validators_and_fingerprints(connector: ComfyConnector) -> None:
    """A node runs again while its fingerprint changes, is kept while not, and refuses what it does not like."""

    async def calls(value: int) -> int:
        prompt = {"1": node("SchemaChecked", value=value), "2": node("SchemaShow", value=["1", 0])}
        (record,) = (await connector.run_workflow(prompt, False)).values()
        return int(record["outputs"]["2"]["text"][0])

    first = await calls(1)

    assert await calls(1) == first + 1
    assert await calls(2) == await calls(2)
    with pytest.raises(ValidationError, match="unlucky"):
        await calls(13)


async def test_routes_and_scripts_are_served(raw: aiohttp.ClientSession) -> None:
    """What a pack adds to the server answers under both prefixes; its scripts are listed."""
    answers = []
    for path in ("/schema_pack/folder/output", "/api/schema_pack/folder/none"):
        async with raw.get(path) as answer:
            answers.append(await answer.json())
    async with raw.get("/extensions") as answer:
        scripts = await answer.json()
    async with raw.get("/extensions/schema_pack/hello.js") as answer:
        script = await answer.text()
    async with raw.get("/schema_pack/nothing") as answer:
        missing = answer.status

    assert answers == [{"there": True}, {"there": False}]
    assert "/extensions/schema_pack/hello.js" in scripts
    assert script.startswith("export")
    assert missing == 404
