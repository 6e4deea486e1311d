"""Runs: progress, many at once, timeout, cancellation in the queue and while running."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from contract.graphs import (
    Recorder,
    gate_prompt,
    node,
    picture_prompt,
    picture_workflow,
    record_of,
    show_prompt,
    texts_of,
)
from PIL import Image

from discomfort import ComfyConnector
from discomfort.exceptions import RunTimeout
from discomfort.progress import Cached, Done, NodeOutput, NodeStarted, Preview, Queued, Started, Step


async def in_queue(raw: aiohttp.ClientSession) -> tuple[set[str], set[str]]:
    """The prompt ids that run and those that wait."""
    async with raw.get("/queue") as response:
        queue = await response.json()
    return {item[1] for item in queue["queue_running"]}, {item[1] for item in queue["queue_pending"]}


async def test_progress_tells_the_whole_run_in_order(connector: ComfyConnector) -> None:
    """Queued, started, node n of m with its title, its steps, its output, done."""
    events = Recorder()
    prompt = {
        "7": node("ContractSteps", "Three steps", steps=3, preview="none"),
        "9": node("ContractShow", "The number", value=["7", 0]),
    }
    await connector.run_workflow(prompt, False, on_progress=events)
    kinds = [type(event) for event in events.events]
    assert kinds[0] is Queued
    assert kinds[1] is Started
    assert kinds[-1] is Done
    assert len({event.prompt_id for event in events.events}) == 1
    assert events.of(Queued)[0].position == 0
    nodes = events.of(NodeStarted)
    assert [(n.node_id, n.title, n.class_type, n.index, n.total) for n in nodes] == [
        ("7", "Three steps", "ContractSteps", 1, 2),
        ("9", "The number", "ContractShow", 2, 2),
    ]
    steps = [(s.node_id, s.title, s.value, s.maximum) for s in events.of(Step) if s.value]
    # Newer servers leave out steps that follow fast on one another, but never the first and the last.
    assert [steps[0], steps[-1]] == [("7", "Three steps", float(i), 3.0) for i in (1, 3)]
    assert steps == sorted(set(steps))
    places = {event: index for index, event in enumerate(events.events) if isinstance(event, NodeStarted | Step)}
    assert all(places[nodes[0]] < places[s] < places[nodes[1]] for s in events.of(Step))
    (published,) = [output for output in events.of(NodeOutput) if output.node_id == "9"]
    assert published.output == {"text": ["0"]}
    assert events.of(Done)[0].success is True


@pytest.mark.parametrize(("kind", "media_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png")])
async def test_previews_are_images(connector: ComfyConnector, kind: str, media_type: str) -> None:
    """Every preview arrives as an encoded image of its node."""
    import io

    events = Recorder()
    prompt = {"1": node("ContractSteps", steps=2, preview=kind)}
    await connector.run_workflow(prompt, False, on_progress=events)
    previews = events.of(Preview)
    assert [(p.node_id, p.media_type) for p in previews] == [("1", media_type)] * 2
    image = Image.open(io.BytesIO(previews[0].data))
    assert image.format == kind
    # ComfyUI enlarges PNG and JPEG previews to the limit that the node gave.
    assert image.size[0] == image.size[1]


async def test_cached_nodes_are_told(connector: ComfyConnector) -> None:
    """The second run of a prompt names its cached nodes, starts none, and has the same outputs."""
    prompt = picture_prompt(0x010203)
    first = await connector.run_workflow(prompt, False)
    events = Recorder()
    second = await connector.run_workflow(prompt, False, on_progress=events)
    assert set(events.of(Cached)[0].node_ids) == {"1", "2"}
    assert events.of(NodeStarted) == []
    assert events.of(Done)[0].success is True
    assert record_of(second)["outputs"] == record_of(first)["outputs"]


async def test_partly_cached_run_counts_what_is_left(connector: ComfyConnector) -> None:
    """``total`` counts the nodes that are not cached."""
    prompt = {"1": node("ContractShow", value=11), "2": node("ContractShow", "Second", value=["1", 0], after=1)}
    await connector.run_workflow(prompt, False)
    prompt["2"]["inputs"]["after"] = 2
    events = Recorder()
    await connector.run_workflow(prompt, False, on_progress=events)
    assert events.of(Cached)[0].node_ids == ("1",)
    assert [(n.node_id, n.index, n.total) for n in events.of(NodeStarted)] == [("2", 1, 1)]


async def test_position_in_the_queue(connector: ComfyConnector, gate: Path) -> None:
    """``Queued`` counts the prompts before this one, the running one included."""
    first = Recorder()
    running = asyncio.create_task(connector.run_workflow(gate_prompt(gate), False, on_progress=first))
    await first.running()
    waiting = [Recorder(), Recorder()]
    tasks = []
    for index, recorder in enumerate(waiting):
        run = connector.run_workflow(show_prompt(100 + index), False, on_progress=recorder)
        tasks.append(asyncio.create_task(run))
        await recorder.queued()
    assert [recorder.of(Queued)[0].position for recorder in waiting] == [1, 2]
    gate.touch()
    await asyncio.gather(running, *tasks)


async def test_callback_may_be_plain_and_may_raise(connector: ComfyConnector, caplog: pytest.LogCaptureFixture) -> None:
    """A callback that raises is logged and called no more; the run goes on to its result."""
    seen: list[object] = []

    def callback(event: object) -> None:
        seen.append(event)
        raise ZeroDivisionError("in the callback")

    history = await connector.run_workflow(show_prompt(5), False, on_progress=callback)
    assert texts_of(history) == ["5"]
    assert len(seen) == 1
    assert "in the callback" in caplog.text


async def test_64_runs_at_once_each_get_their_own_result(connector: ComfyConnector) -> None:
    """Concurrent runs share one socket and are told apart."""
    histories = await asyncio.gather(
        *(connector.run_workflow(show_prompt(1000 + number), False) for number in range(64))
    )
    assert [texts_of(history) for history in histories] == [[str(1000 + number)] for number in range(64)]
    assert len({prompt_id for history in histories for prompt_id in history}) == 64


async def test_list_outputs_run_once_per_element(connector: ComfyConnector) -> None:
    """What hangs on a list publishes one value per element, in order."""
    prompt = {"1": node("ContractRange", count=4), "2": node("ContractShow", value=["1", 0])}
    assert texts_of(await connector.run_workflow(prompt, False), "2") == ["0", "1", "2", "3"]


async def test_nan_in_the_history(connector: ComfyConnector) -> None:
    """Bare ``NaN`` and ``Infinity`` in the server's JSON become floats."""
    prompt = {"1": node("ContractBadValue", kind="nan"), "2": node("ContractBadValue", kind="infinity")}
    outputs = record_of(await connector.run_workflow(prompt, False))["outputs"]
    assert outputs["1"]["value"][0] != outputs["1"]["value"][0]
    assert outputs["2"]["value"] == [float("inf")]


async def test_timeout_interrupts_the_run(connector: ComfyConnector, gate: Path, raw: aiohttp.ClientSession) -> None:
    """A passed timeout is a TimeoutError, and the prompt is off the server when it is raised."""
    with pytest.raises(RunTimeout) as caught:
        await connector.run_workflow(gate_prompt(gate), False, timeout=0.5)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.timeout <= 0.5
    assert caught.value.prompt_id
    assert texts_of(await connector.run_workflow(show_prompt(6), False)) == ["6"]
    assert await in_queue(raw) == (set(), set())


async def test_timeout_does_not_wait_for_a_deaf_node(
    connector: ComfyConnector, gate: Path, raw: aiohttp.ClientSession
) -> None:
    """A node that ignores interrupts does not hold the caller; it holds the queue until it ends."""
    with pytest.raises(RunTimeout) as caught:
        await connector.run_workflow(gate_prompt(gate, deaf=True), False, timeout=0.5)
    assert (await in_queue(raw))[0] == {caught.value.prompt_id}
    gate.touch()
    assert texts_of(await connector.run_workflow(show_prompt(7), False)) == ["7"]


async def test_timeout_in_the_queue(connector: ComfyConnector, gate: Path, raw: aiohttp.ClientSession) -> None:
    """A prompt that waits too long is taken off the queue; the one before it runs on."""
    events = Recorder()
    first = asyncio.create_task(connector.run_workflow(gate_prompt(gate), False, on_progress=events))
    await events.running()
    with pytest.raises(RunTimeout):
        await connector.run_workflow(show_prompt(8), False, timeout=0.3)
    running, waiting = await in_queue(raw)
    assert running == {events.events[0].prompt_id}
    assert waiting == set()
    gate.touch()
    assert record_of(await first)["status"]["completed"] is True


async def test_cancelled_while_queued_is_taken_off_the_queue(
    connector: ComfyConnector, gate: Path, raw: aiohttp.ClientSession
) -> None:
    """Cancelling a queued run removes that prompt and leaves the running one alone."""
    running, queued = Recorder(), Recorder()
    first = asyncio.create_task(connector.run_workflow(gate_prompt(gate), False, on_progress=running))
    await running.running()
    second = asyncio.create_task(connector.run_workflow(show_prompt(9), False, on_progress=queued))
    await queued.queued()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert await in_queue(raw) == ({running.events[0].prompt_id}, set())
    assert queued.of(Started) == []
    gate.touch()
    assert record_of(await first)["status"]["completed"] is True


async def test_cancelled_while_running_interrupts_that_prompt_alone(
    connector: ComfyConnector, gate: Path, raw: aiohttp.ClientSession
) -> None:
    """Cancelling a running run interrupts it; the neighbour's prompt behind it still runs."""
    running, queued = Recorder(), Recorder()
    first = asyncio.create_task(connector.run_workflow(gate_prompt(gate), False, on_progress=running))
    await running.running()
    second = asyncio.create_task(connector.run_workflow(show_prompt(10), False, on_progress=queued))
    await queued.queued()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert texts_of(await second) == ["10"]
    prompt_id = running.events[0].prompt_id
    async with raw.get(f"/history/{prompt_id}") as response:
        record = (await response.json())[prompt_id]
    assert record["status"]["messages"][-1][0] == "execution_interrupted"


@pytest.mark.browser
async def test_workflow_travels_into_the_picture(connector: ComfyConnector, tmp_path: Path) -> None:
    """A saved image of a workflow run carries workflow and prompt, as from the UI, and what the caller added."""
    workflow = picture_workflow(0x123456, prefix="metadata/carried")
    history = await connector.run_workflow(workflow, extra_data={"extra_pnginfo": {"note": {"by": "caller"}}})
    (output,) = connector.outputs(history)
    path = await output.save(tmp_path)
    with Image.open(path) as image:
        texts: dict[str, Any] = dict(image.text)  # type: ignore[attr-defined]
        assert image.getpixel((0, 0)) == (0x12, 0x34, 0x56)
    assert json.loads(texts["workflow"]) == workflow
    assert json.loads(texts["prompt"])["1"]["class_type"] == "EmptyImage"
    assert json.loads(texts["note"]) == {"by": "caller"}


async def test_extra_data_of_a_prompt(connector: ComfyConnector) -> None:
    """What is given as extra data stands in the history beside the client id."""
    history = await connector.run_workflow(picture_prompt(), False, extra_data={"colour": "blue"})
    extra = record_of(history)["prompt"][3]
    assert extra["colour"] == "blue"
    assert extra["client_id"] == connector.client_id


async def test_extra_data_of_nothing(connector: ComfyConnector) -> None:
    """No extra data, given as None or empty, is sent in a form that the server survives."""
    for extra in (None, {}):
        history = await connector.run_workflow(show_prompt(12), False, extra_data=extra)
        assert texts_of(history) == ["12"]
