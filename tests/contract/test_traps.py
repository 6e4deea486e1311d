"""Prompts that a server accepts and then dies of, or silently cuts: refused before, or reported as what they are.

After each of them the same connector runs the next prompt.
"""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from contract.engines import EngineUnderTest
from contract.graphs import Recorder, gate_prompt, node, picture_prompt, record_of, show_prompt, texts_of
from PIL import Image

from discomfort import ComfyConnector
from discomfort.exceptions import (
    DiscomfortError,
    ExecutionError,
    PayloadError,
    ServerDiedError,
    ServerResponseError,
    StateError,
    UnsafePromptError,
    ValidationError,
)


def server_pid(connector: ComfyConnector) -> int:
    """The process that serves now."""
    supervisor = connector._parts.supervisor
    if supervisor is None:
        raise AssertionError("no server")
    return supervisor.pid


async def still_serves(connector: ComfyConnector) -> bool:
    """Whether the next run works."""
    return texts_of(await connector.run_workflow(show_prompt(21), False)) == ["21"]


def with_node(value: Any) -> dict[str, Any]:
    """A sound prompt with one more entry."""
    return {**picture_prompt(), "9": value}


def with_input(**inputs: Any) -> dict[str, Any]:
    """A sound prompt whose output node has more inputs."""
    prompt = picture_prompt()
    prompt["2"]["inputs"].update(inputs)
    return prompt


LETHAL: dict[str, dict[str, Any]] = {
    "unknown input linked to a missing node": with_input(foo=["99", 0]),
    "wrapped link to a missing node": with_input(foo={"__value__": ["99", 0]}),
    "doubly wrapped link to a missing node": with_input(foo={"__value__": {"__value__": ["99", 0]}}),
    "unreached node with a link to a missing node": with_node(node("ImageInvert", image=["98", 0])),
    "unreached node without inputs": with_node({"class_type": "EmptyImage"}),
    "unreached node whose inputs are null": with_node({"class_type": "EmptyImage", "inputs": None}),
    "unreached node whose inputs are a list": with_node({"class_type": "EmptyImage", "inputs": []}),
    "node that is a text": with_node("EmptyImage"),
    "node that is null": with_node(None),
    "node id as a number in a link": with_input(images=[1, 0]),
    "slot that is not a whole number": with_input(images=["1", 0.5]),
    "slot that counts from the end": with_input(images=["1", -1]),
    "cycle": {"1": node("ImageInvert", image=["2", 0]), "2": node("ImageInvert", image=["1", 0]),
              "3": node("PreviewImage", images=["1", 0])},
    "node that feeds itself": {"1": node("ImageInvert", image=["1", 0]), "2": node("PreviewImage", images=["1", 0])},
    "chain beyond recursion": {
        "0": picture_prompt()["1"],
        **{str(i): node("ImageInvert", image=[str(i - 1), 0]) for i in range(1, 1600)},
        "end": node("PreviewImage", images=["1599", 0]),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", LETHAL)
async def test_lethal_prompt_is_refused(connector: ComfyConnector, raw: aiohttp.ClientSession, name: str) -> None:
    """It is not sent; the error names what is wrong; the same server process runs the next prompt."""
    pid = server_pid(connector)
    with pytest.raises(PayloadError) as caught:
        await connector.run_workflow(LETHAL[name], False)
    if isinstance(caught.value, UnsafePromptError):
        assert caught.value.problems
    async with raw.get("/prompt") as response:
        assert (await response.json())["exec_info"]["queue_remaining"] == 0
    assert await still_serves(connector)
    assert server_pid(connector) == pid


@pytest.mark.parametrize("client_id", [["a"], {"a": 1}, None])
async def test_lethal_client_id_in_extra_data(connector: ComfyConnector, client_id: Any) -> None:
    """A client id of a wrong type, smuggled in, does not reach the server's socket registry."""
    pid = server_pid(connector)
    history = await connector.run_workflow(show_prompt(22), False, extra_data={"client_id": client_id})
    assert texts_of(history) == ["22"]
    assert await still_serves(connector)
    assert server_pid(connector) == pid


async def test_one_prompt_id_twice(connector: ComfyConnector, gate: Path) -> None:
    """A second prompt with the id of one under way would break the queue's order; it is not sent."""
    client = connector._parts.client
    assert client is not None
    # Newer servers accept no other ids than UUIDs.
    events, same = Recorder(), str(uuid.uuid4())
    first = asyncio.create_task(client.run(gate_prompt(gate), on_progress=events, prompt_id=same))
    await events.running()
    with pytest.raises(StateError, match=same):
        await client.run(show_prompt(1), prompt_id=same)
    gate.touch()
    assert list(await first) == [same]


async def test_partly_valid_prompt_is_an_error(connector: ComfyConnector, raw: aiohttp.ClientSession) -> None:
    """One output of two does not validate: the server would drop it without a word; here it is an error."""
    prompt = {
        **picture_prompt(),
        "3": node(
            "ImageScale", "Bad", image=["1", 0], upscale_method="bilinear", width=10**6, height=1, crop="disabled"
        ),
        "4": node("PreviewImage", "Dropped", images=["3", 0]),
    }
    with pytest.raises(ValidationError) as caught:
        await connector.run_workflow(prompt, False)
    assert [(p.node_id, p.title, p.input_name) for p in caught.value.problems] == [("3", "Bad", "width")]
    assert await still_serves(connector)
    async with raw.get("/queue") as response:
        assert await response.json() == {"queue_running": [], "queue_pending": []}


async def test_newer_combo_is_checked(connector: ComfyConnector) -> None:
    """By the server since 0.8, by the client before: the same problem, with the values that are allowed."""
    prompt = {
        **picture_prompt(),
        "3": node("ImageBlend", "Mix", image1=["1", 0], image2=["1", 0], blend_factor=0.5, blend_mode="zzz"),
        "4": node("PreviewImage", images=["3", 0]),
    }
    with pytest.raises(ValidationError) as caught:
        await connector.run_workflow(prompt, False)
    (problem,) = caught.value.problems
    assert (problem.title, problem.input_name, problem.received) == ("Mix", "blend_mode", "zzz")
    assert problem.type == "value_not_in_list"
    assert problem.allowed is not None
    assert "multiply" in problem.allowed


async def test_change_token_in_a_prompt_is_not_trusted(connector: ComfyConnector, tmp_path: Path) -> None:
    """A prompt taken from a picture carries ``is_changed``; changed files are noticed all the same."""
    source = tmp_path / "changing.png"
    prompt = {
        "1": {**node("LoadImage", image="changing.png"), "is_changed": ["frozen"]},
        "2": node("PreviewImage", images=["1", 0]),
    }
    colours = []
    for colour in ((255, 0, 0), (0, 0, 255)):
        Image.new("RGB", (8, 8), colour).save(source)
        connector.upload_data(source, overwrite=True, is_ephemeral=True)
        (output,) = connector.outputs(await connector.run_workflow(prompt, False))
        colours.append((await output.image()).convert("RGB").getpixel((0, 0)))
    assert colours == [(255, 0, 0), (0, 0, 255)]


async def test_extra_data_that_json_can_not_hold(connector: ComfyConnector) -> None:
    """Extra data that cannot be sent is an error of its own, not a hang and not a foreign exception."""
    with pytest.raises(DiscomfortError):
        await connector.run_workflow(show_prompt(1), False, extra_data={"value": object()})
    assert await still_serves(connector)


@pytest.mark.parametrize(
    "prompt",
    [
        {"1": node("ContractFail", "Quitter", kind="SystemExit", message="out")},
        {"1": node("ContractBadValue", "Unreadable", kind="object")},
    ],
    ids=["node that raises SystemExit", "result that is not JSON"],
)
async def test_node_that_kills_the_server(
    connector: ComfyConnector, engine: EngineUnderTest, prompt: dict[str, Any]
) -> None:
    """What no client can see coming ends as an error of that run, and the next run has a server again.

    The emulator survives both; ComfyUI loses its execution thread or its whole process.
    """
    with pytest.raises((ExecutionError, ServerDiedError, ServerResponseError)) as caught:
        await connector.run_workflow(prompt, False)
    if engine.real:
        assert isinstance(caught.value, ServerDiedError)
        assert caught.value.log_tail
    else:
        assert not isinstance(caught.value, ServerDiedError)
    assert await still_serves(connector)
    assert connector.state == "ready"
    assert record_of(await connector.run_workflow(picture_prompt(), False))["status"]["completed"] is True
