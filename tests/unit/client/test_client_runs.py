"""Runs that go well, refusals, and what travels with a prompt."""

from __future__ import annotations

import asyncio
import json
import struct
import uuid
from typing import Any

import pytest
from aiohttp import web
from unit.client.fake_comfy import DEFINITIONS, FAST, FakeComfy, Job, stay_pending, succeed, tiny_prompt

from discomfort.client.comfy import ComfyClient
from discomfort.exceptions import (
    ExecutionError,
    ExecutionInterrupted,
    MissingNodesError,
    OutOfMemoryError,
    PayloadError,
    ServerConnectionError,
    ServerResponseError,
    StateError,
    ValidationError,
)
from discomfort.progress import Done, NodeStarted, Preview, ProgressEvent, Queued, Started


async def test_a_run_returns_its_record(server: FakeComfy, client: ComfyClient) -> None:
    """In the shape of the history, under the id that was sent."""
    history = await client.run(tiny_prompt(), prompt_id="mine/1", extra_data={"a": 1, "client_id": ["bad"]})

    (body,) = server.bodies("/prompt")
    assert history["mine/1"]["status"]["completed"] is True
    assert set(history["mine/1"]) == {"prompt", "outputs", "status", "meta"}
    assert (body["prompt_id"], body["extra_data"]) == ("mine/1", {"a": 1})
    assert body["client_id"] == client.client_id


async def test_the_happy_path_costs_two_requests(server: FakeComfy, client: ComfyClient) -> None:
    """Features and definitions are fetched once; then POST and history, and extra_data is never null."""
    await client.run(tiny_prompt(1))
    await client.run(tiny_prompt(2))

    paths = [path.partition("/history/")[0] or "/history" for path in server.paths()]
    at_connect = ["/features", "/system_stats", "/ws"]
    assert sorted(path for path in paths if path in at_connect) == at_connect
    rest = [path for path in paths if path not in at_connect]
    assert rest == ["/object_info", "/prompt", "/history", "/prompt", "/history"]
    assert all("extra_data" not in body for body in server.bodies("/prompt"))


async def test_feature_flags_are_the_first_message(server: FakeComfy, client: ComfyClient) -> None:
    """The server ignores them later."""
    await client.run(tiny_prompt())

    assert json.loads(server.first_messages[0]) == {
        "type": "feature_flags",
        "data": {"supports_preview_metadata": True},
    }


async def test_addresses(server: FakeComfy, client: ComfyClient) -> None:
    """HTTP base, socket with its id, and a representation that shows the state."""
    assert client.ws_url == f"{server.url.replace('http', 'ws')}/ws?clientId={client.client_id}"
    assert (client.connected, client.pending) == (True, 0)
    assert "open connected=True pending=0" in repr(client)
    assert ComfyClient("https://host/base/").url == "https://host/base"


async def test_runs_at_once_get_their_own_results(server: FakeComfy, client: ComfyClient) -> None:
    """Told apart by their ids on one socket, however their messages mix."""
    barrier = asyncio.Barrier(32)

    async def mixed(job: Job) -> None:
        await job.start()
        await barrier.wait()
        for node_id in job.prompt:
            await job.tell("executing", node=node_id)
            await asyncio.sleep(0)
        await job.tell("execution_success")
        job.record({"2": {"color": [job.prompt["1"]["inputs"]["color"]]}})
        await job.tell("executing", node=None)

    server.script = mixed
    results = await asyncio.gather(*[client.run(tiny_prompt(color)) for color in range(32)])

    colors = [next(iter(result.values()))["outputs"]["2"]["color"] for result in results]
    assert colors == [[color] for color in range(32)]
    assert server.paths().count("/object_info") == 1
    assert len(server.first_messages) == 1


async def test_events_that_come_before_the_answer_are_not_lost(server: FakeComfy, client: ComfyClient) -> None:
    """The whole run may be over when POST returns."""

    async def run_first(job: Job) -> web.Response:
        await succeed(job)
        return web.json_response({"prompt_id": job.prompt_id, "number": 0, "node_errors": {}})

    server.post = run_first
    events: list[ProgressEvent] = []
    await client.run(tiny_prompt(), on_progress=events.append)

    assert [type(event).__name__ for event in events] == [
        "Queued",
        "Started",
        "NodeStarted",
        "NodeStarted",
        "Done",
    ]


async def test_progress_has_titles_and_positions(server: FakeComfy, client: ComfyClient) -> None:
    """Queued is first, with the place; node n of those that can run."""
    server.script = stay_pending
    waiting = [asyncio.create_task(client.run(tiny_prompt())) for _ in range(2)]
    await server.until_called("/prompt", 2)
    events: list[ProgressEvent] = []
    placed = asyncio.Event()

    def callback(event: ProgressEvent) -> None:
        events.append(event)
        placed.set()

    prompt = {**tiny_prompt(), "7": {"class_type": "EmptyImage", "inputs": {"width": 8, "color": 0}}}
    task = asyncio.create_task(client.run(prompt, on_progress=callback, prompt_id="last"))
    await placed.wait()
    await asyncio.wait_for(succeed(server.jobs["last"]), 5)
    await task

    assert events[0] == Queued("last", 2)
    assert events[2] == NodeStarted("last", "1", "Canvas", "EmptyImage", 1, 2)
    assert events[-1] == Done("last", success=True)
    for run in waiting:
        run.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_new_place_in_the_queue_is_reported(server: FakeComfy, client: ComfyClient) -> None:
    """Found by the poll."""
    server.script = stay_pending
    first = asyncio.create_task(client.run(tiny_prompt(), prompt_id="first"))
    await server.until_called("/prompt")
    positions: list[int] = []
    moved = asyncio.Event()

    def callback(event: ProgressEvent) -> None:
        if isinstance(event, Queued):
            positions.append(event.position)
            if len(positions) == 2:
                moved.set()
            else:
                first.cancel()

    second = asyncio.create_task(client.run(tiny_prompt(), prompt_id="second", on_progress=callback))
    await asyncio.wait_for(moved.wait(), 10)
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)

    assert positions == [1, 0]


async def test_previews_of_both_kinds_reach_their_run(server: FakeComfy, client: ComfyClient) -> None:
    """The older frame names no prompt and belongs to the one that runs."""

    async def previews(job: Job) -> None:
        await job.start()
        await job.tell("executing", node="1", display_node="1")
        metadata = json.dumps({"prompt_id": job.prompt_id, "node_id": "1", "image_type": "image/jpeg"}).encode()
        await server.send(job.client_id, struct.pack(">II", 4, len(metadata)) + metadata + b"new")
        await server.send(job.client_id, struct.pack(">II", 1, 2) + b"old")
        await job.succeed()

    server.script = previews
    events: list[ProgressEvent] = []
    await client.run(tiny_prompt(), on_progress=events.append, prompt_id="p")

    assert [event for event in events if isinstance(event, Preview)] == [
        Preview("p", "1", "image/jpeg", b"new"),
        Preview("p", "1", "image/png", b"old", is_result=True),
    ]


async def test_an_async_callback_sees_everything_before_run_returns(server: FakeComfy, client: ComfyClient) -> None:
    """Done is its last event."""
    events: list[ProgressEvent] = []

    async def callback(event: ProgressEvent) -> None:
        await asyncio.sleep(0)
        events.append(event)

    await client.run(tiny_prompt(), on_progress=callback, prompt_id="p")

    assert events[:2] == [Queued("p", 0), Started("p")]
    assert events[-1] == Done("p", success=True)


async def test_a_failing_callback_does_not_fail_the_run(server: FakeComfy, client: ComfyClient) -> None:
    """It only gets no more events."""

    def fail(_: ProgressEvent) -> None:
        raise RuntimeError("mine")

    assert await client.run(tiny_prompt(), on_progress=fail)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"exception_type": "ValueError", "exception_message": "boom\n"}, ExecutionError),
        ({"exception_type": "torch.OutOfMemoryError", "exception_message": "x"}, OutOfMemoryError),
    ],
)
async def test_a_node_that_raises(
    server: FakeComfy, client: ComfyClient, message: dict[str, Any], error: type[ExecutionError]
) -> None:
    """Its error carries node, title, and the record with what was finished before."""

    async def fail(job: Job) -> None:
        await job.start()
        await job.tell("execution_error", node_id="1", node_type="EmptyImage", traceback=["tb\n"], **message)
        job.record({"2": {}}, success=False, status_str="success")
        await job.tell("executing", node=None)

    server.script = fail
    events: list[ProgressEvent] = []
    with pytest.raises(error) as caught:
        await client.run(tiny_prompt(), on_progress=events.append, prompt_id="p")

    assert type(caught.value) is error
    assert (caught.value.node_id, caught.value.title, caught.value.prompt_id) == ("1", "Canvas", "p")
    assert caught.value.history["outputs"] == {"2": {}}
    assert events[-1] == Done("p", success=False)


async def test_blocked_outputs_are_no_error(
    server: FakeComfy, client: ComfyClient, caplog: pytest.LogCaptureFixture
) -> None:
    """They are announced as one, and logged as a warning."""

    async def block(job: Job) -> None:
        await job.start()
        await job.server.send(
            job.client_id,
            json.dumps(
                {
                    "type": "execution_error",
                    "data": {"prompt_id": job.prompt_id, "node_id": "2", "exception_type": "ExecutionBlocked"},
                }
            ),
        )
        await job.succeed()

    server.script = block
    assert await client.run(tiny_prompt())
    assert any("was blocked" in record.message for record in caplog.records)


async def test_refused_prompt(server: FakeComfy, client: ComfyClient) -> None:
    """400 becomes a ValidationError with the problems; nothing is left to take off."""
    errors = {
        "1": {
            "class_type": "EmptyImage",
            "errors": [
                {
                    "type": "value_smaller_than_min",
                    "message": "Value 0 smaller than min of 1",
                    "details": "width",
                    "extra_info": {"input_name": "width", "input_config": ["INT", {"min": 1}], "received_value": 0},
                }
            ],
        }
    }

    async def refuse(_: Job) -> web.Response:
        return web.json_response({"error": {"type": "t", "message": "m"}, "node_errors": errors}, status=400)

    server.post = refuse
    with pytest.raises(ValidationError, match="'Canvas'") as caught:
        await client.run(tiny_prompt())

    assert caught.value.problems[0].minimum == 1
    assert server.bodies("/queue") == []


async def test_partly_accepted_prompt_is_taken_off(server: FakeComfy, client: ComfyClient) -> None:
    """200 with node errors is not a success."""
    server.script = stay_pending

    async def accept_some(job: Job) -> web.Response:
        server.queue_job(job)
        errors = {"1": {"class_type": "EmptyImage", "errors": [{"type": "t", "message": "bad"}]}}
        return web.json_response({"prompt_id": job.prompt_id, "number": 0, "node_errors": errors})

    server.post = accept_some
    with pytest.raises(ValidationError, match="bad"):
        await client.run(tiny_prompt())

    assert server.pending == {}


async def test_missing_classes_are_believed_only_of_fresh_definitions(server: FakeComfy, client: ComfyClient) -> None:
    """A pack may have been added since."""
    await client.definitions()
    server.definitions = {**DEFINITIONS, "New": {"input": {}, "output_node": True}}
    assert await client.run({"1": {"class_type": "New", "inputs": {}}})
    with pytest.raises(MissingNodesError, match="2 node type"):
        await client.run({"1": {"class_type": "No", "inputs": {}}, "2": {"class_type": "Nor", "inputs": {}}})

    assert server.paths().count("/object_info") == 3
    assert len(server.bodies("/prompt")) == 1


async def test_a_class_that_only_the_server_misses(server: FakeComfy, client: ComfyClient) -> None:
    """Its answer is a MissingNodesError too, and the definitions are stale."""

    async def refuse(_: Job) -> web.Response:
        message = "Cannot execute because node EmptyImage does not exist."
        return web.json_response({"error": {"type": "invalid_prompt", "message": message}}, status=400)

    server.post = refuse
    with pytest.raises(MissingNodesError, match="EmptyImage"):
        await client.run(tiny_prompt())
    await client.definitions()

    assert server.paths().count("/object_info") == 2


async def test_a_graph_that_the_server_cannot_read(server: FakeComfy, client: ComfyClient) -> None:
    """Newer servers answer some of them with a bare 500: the error says what that means, and it is not sent again."""

    async def fail(_: Job) -> web.Response:
        return web.Response(status=500, text="500 Internal Server Error\n\nServer got itself in trouble")

    server.post = fail
    with pytest.raises(
        ServerResponseError, match="a graph that it cannot read, and its log has the traceback"
    ) as caught:
        await client.run(tiny_prompt())

    assert caught.value.status == 500
    assert len(server.bodies("/prompt")) == 1


async def test_a_prompt_id_that_the_server_does_not_take(server: FakeComfy, client: ComfyClient) -> None:
    """The client sends it as it is; the server's refusal says what it takes, and the definitions are not to blame."""

    async def refuse(_: Job) -> web.Response:
        error = {"type": "invalid_prompt_id", "message": "prompt_id must be a valid UUID", "details": "d"}
        return web.json_response({"error": error, "node_errors": {}}, status=400)

    server.post = refuse
    with pytest.raises(ValidationError, match="uuid4") as caught:
        await client.run(tiny_prompt(), prompt_id="mine/1")
    await client.definitions()

    assert caught.value.prompt_id == "mine/1"
    assert server.paths().count("/object_info") == 1
    assert not server.bodies("/queue"), "there is nothing to take off"


async def test_ids_of_our_own_are_canonical(server: FakeComfy, client: ComfyClient) -> None:
    """The only form that newer servers take."""
    (prompt_id,) = await client.run(tiny_prompt())

    assert str(uuid.UUID(prompt_id)) == prompt_id
    assert server.bodies("/prompt")[0]["prompt_id"] == prompt_id


async def test_definitions_are_shared_and_survive_a_cancelled_caller(server: FakeComfy, client: ComfyClient) -> None:
    """One request for all who ask at once."""
    release = asyncio.Event()

    async def hold(request: web.Request) -> None:
        if request.path == "/object_info":
            await release.wait()

    server.fault = hold
    callers = [asyncio.create_task(client.definitions()) for _ in range(5)]
    await server.until_called("/object_info")
    callers[0].cancel()
    await asyncio.wait([callers[0]])
    release.set()
    results = await asyncio.gather(*callers[1:])

    assert all(result == results[0] for result in results)
    assert server.paths().count("/object_info") == 1


async def test_without_definitions_the_prompt_is_still_sent(server: FakeComfy, client: ComfyClient) -> None:
    """A server that cannot list its nodes can still run them."""

    async def broken(request: web.Request) -> web.Response | None:
        return web.Response(status=500) if request.path == "/object_info" else None

    server.fault = broken
    assert await client.run(tiny_prompt())
    with pytest.raises(ServerResponseError):
        await client.definitions()


async def test_servers_that_choose_the_id_themselves(server: FakeComfy, client: ComfyClient) -> None:
    """The run goes on under the id of the answer."""

    async def rename(job: Job) -> web.Response:
        job.prompt_id = "theirs"
        server.queue_job(job)
        return web.json_response({"prompt_id": "theirs", "number": 0, "node_errors": {}})

    server.post = rename
    history = await client.run(tiny_prompt())

    assert list(history) == ["theirs"]


@pytest.mark.parametrize("bad", ["", 5, ["x"]])
async def test_a_bad_prompt_id_is_refused(client: ComfyClient, bad: Any) -> None:
    """Before anything is sent."""
    with pytest.raises(PayloadError, match="prompt_id"):
        await client.run(tiny_prompt(), prompt_id=bad)


async def test_an_id_that_is_under_way_is_refused(server: FakeComfy, client: ComfyClient) -> None:
    """Two prompts with one id would end each other."""
    server.script = stay_pending
    task = asyncio.create_task(client.run(tiny_prompt(), prompt_id="p"))
    await server.until_called("/prompt")
    with pytest.raises(StateError, match="under way"):
        await client.run(tiny_prompt(), prompt_id="p")
    task.cancel()

    assert (await asyncio.gather(task, return_exceptions=True))[0].__class__ is asyncio.CancelledError


async def test_extra_data_that_is_no_json(client: ComfyClient) -> None:
    """A typed error that names the reason."""
    with pytest.raises(PayloadError, match="JSON"):
        await client.run(tiny_prompt(), extra_data={"x": object()})


async def test_closing_settles_pending_runs_and_clears_the_queue(server: FakeComfy, client: ComfyClient) -> None:
    """In one batch; closing again does nothing, and using it is an error."""
    server.script = stay_pending
    tasks = [asyncio.create_task(client.run(tiny_prompt())) for _ in range(5)]
    await server.until_called("/prompt", 5)
    await asyncio.gather(client.aclose(), client.aclose())
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await client.aclose()

    assert [type(result) for result in results] == [ExecutionInterrupted] * 5
    assert server.pending == {}
    assert server.paths("POST").count("/queue") <= 4
    for use in (client.run(tiny_prompt()), client.open(), client.refresh_socket(), client.definitions()):
        with pytest.raises(StateError, match="closed"):
            await use


async def test_opening_fails_and_can_be_tried_again(server: FakeComfy) -> None:
    """Nothing stays open after the failure."""
    server.accept_sockets = False
    limits = type(FAST)(connect=0.15, withdraw=1)
    client = ComfyClient(server.url, limits=limits)
    with pytest.raises(ServerConnectionError, match="no WebSocket"):
        await client.open()
    with pytest.raises(StateError):
        await client.run(tiny_prompt())
    server.accept_sockets = True
    async with asyncio.timeout(10):
        while not client.connected:
            try:
                await client.open()
            except ServerConnectionError:
                continue

    assert await client.run(tiny_prompt())
    await client.open()
    await client.aclose()


async def test_headers_go_with_the_socket_too(server: FakeComfy) -> None:
    """As with every request."""
    client = ComfyClient(server.url, headers={"X-Key": "k"}, limits=FAST)
    await client.open()
    await client.run(tiny_prompt())
    await client.aclose()

    assert {headers.get("X-Key") for headers in server.headers} == {"k"}
