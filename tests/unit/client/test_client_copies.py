"""What is given and handed out is nobody else's: changes to it change nothing here, and nothing of another caller."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from unit.client.fake_comfy import DEFINITIONS, FakeComfy, Job, succeed, tiny_prompt

from discomfort._json import copied
from discomfort.client.comfy import ComfyClient
from discomfort.exceptions import (
    ExecutionError,
    ExecutionInterrupted,
    PayloadError,
    RunError,
    ValidationError,
)
from discomfort.progress import NodeOutput, ProgressEvent


def objects(value: Any) -> Iterator[Any]:
    """Every object and list in a value, itself included."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from objects(each)
    elif isinstance(value, list | tuple):
        if isinstance(value, list):
            yield value
        for each in value:
            yield from objects(each)


def spoil(value: Any) -> None:
    """Empty every object and list in a value."""
    for each in list(objects(value)):
        each.clear()


def shared(*values: Any) -> bool:
    """Whether two of the values have an object or list in common."""
    ids = [id(each) for value in values for each in {id(each): each for each in objects(value)}.values()]
    return len(ids) != len(set(ids))


@pytest.mark.parametrize("path", ["", "/object_info", "/prompt", "/queue", "/history"])
async def test_what_a_run_is_given(server: FakeComfy, client: ComfyClient, path: str) -> None:
    """Changed right after the call, or when the server is asked something: what was given at the call is sent."""
    prompt, extra = tiny_prompt(7), {"extra_pnginfo": {"workflow": {"nodes": [1, 2]}}}
    given = copied([prompt, extra])

    async def change(request: web.Request) -> None:
        if path and request.path.startswith(path):
            spoil([prompt, extra])

    server.fault = change
    run = client.run(prompt, extra_data=extra, on_progress=lambda _: None)
    if not path:
        spoil([prompt, extra])
    history = await run

    (body,) = server.bodies("/prompt")
    assert [body["prompt"], body["extra_data"]] == given
    assert [prompt, extra] == [{}, {}]
    assert next(iter(history.values()))["prompt"][2] == given[0]


async def test_what_a_run_is_given_stays_as_it_was(server: FakeComfy, client: ComfyClient) -> None:
    """Also where the record is spoilt by whoever got it."""
    prompt, extra = tiny_prompt(7), {"extra_pnginfo": {"workflow": {}}, "client_id": "mine"}
    given = copied([prompt, extra])
    spoil(await client.run(prompt, extra_data=extra))

    assert [prompt, extra] == given


async def test_a_prompt_that_contains_itself(client: ComfyClient) -> None:
    """It is refused as what it is; and so is its extra data."""
    prompt: dict[str, Any] = {"1": {"class_type": "EmptyImage", "inputs": {}}}
    prompt["1"]["inputs"]["x"] = prompt
    with pytest.raises(PayloadError, match="contains itself"):
        await client.run(prompt)
    with pytest.raises(PayloadError):
        await client.run(tiny_prompt(), extra_data=prompt)


async def test_results_of_two_runs(server: FakeComfy, client: ComfyClient) -> None:
    """Equal, and apart."""
    server.script = succeed
    first, second = await asyncio.gather(client.run(tiny_prompt()), client.run(tiny_prompt()))
    (one,), (two,) = first.values(), second.values()
    expected = copied(two)
    assert one["outputs"] == two["outputs"] != {}
    assert not shared(one, two)
    spoil(one)

    assert two == expected
    (third,) = (await client.run(tiny_prompt())).values()
    assert third["outputs"] == expected["outputs"]


async def test_definitions_of_two_callers(server: FakeComfy, client: ComfyClient) -> None:
    """Those that share a request, those that come later, and the check of prompts."""
    first, second = await asyncio.gather(client.definitions(), client.definitions())
    assert server.paths().count("/object_info") == 1
    assert not shared(first, second, await client.shared_definitions())
    spoil(first)

    assert second == await client.definitions() == DEFINITIONS
    assert await client.run(tiny_prompt())
    assert server.paths().count("/object_info") == 1


async def errors_of_two(server: FakeComfy, client: ComfyClient, prompt: Any, kind: type[RunError]) -> list[Any]:
    """What two runs of the same prompt raise."""
    errors = await asyncio.gather(*[client.run(copied(prompt)) for _ in range(2)], return_exceptions=True)
    assert [type(error) for error in errors] == [kind, kind]
    return errors


@pytest.mark.parametrize("kind", [ExecutionError, ExecutionInterrupted])
async def test_histories_of_two_errors(server: FakeComfy, client: ComfyClient, kind: type[RunError]) -> None:
    """Each has its own record."""

    async def fail(job: Job) -> None:
        await job.start()
        name = "execution_error" if kind is ExecutionError else "execution_interrupted"
        await job.tell(name, node_id="1", node_type="EmptyImage", current_inputs={"x": [1]}, traceback=["t"])
        job.record({"2": {"text": ["a"]}}, success=False)
        await job.tell("executing", node=None)

    server.script = fail
    first, second = await errors_of_two(server, client, tiny_prompt(), kind)
    assert first.history["outputs"] == second.history["outputs"] != {}
    assert not shared(first.history, second.history)


@pytest.mark.parametrize("partial", [False, True])
async def test_problems_of_two_refusals(server: FakeComfy, client: ComfyClient, *, partial: bool) -> None:
    """What was given and what is allowed are neither each other's, nor those of the definitions or the prompt."""
    options: list[Any] = ["near", ["far"], {"a": 1}]
    server.definitions = copied(DEFINITIONS)
    server.definitions["Scale"]["input"]["required"]["method"] = [options, {}]
    prompt = tiny_prompt()
    prompt["3"] = {"class_type": "Scale", "inputs": {"image": ["1", 0], "method": ["far"]}}
    detail = {"input_name": "method", "received_value": {"b": [2]}}
    entry = {"class_type": "Scale", "errors": [{"type": "value_not_in_list", "message": "m", "extra_info": detail}]}

    async def refuse(job: Job) -> web.Response:
        text = json.dumps({"error": {"type": "t", "message": "m"}, "node_errors": {"3": entry}})
        return web.Response(text=text, status=200 if partial else 400)

    server.post = refuse
    first, second = await errors_of_two(server, client, prompt, ValidationError)
    known = await client.shared_definitions()
    assert first.problems[0].allowed == tuple(options)
    parts = [
        part
        for error in (first, second)
        for part in (error.error, error.node_errors, error.problems[0].received, list(error.problems[0].allowed))
    ]
    assert not shared(*parts, known, prompt)


async def test_values_that_the_check_refuses(server: FakeComfy, client: ComfyClient) -> None:
    """Before anything is sent: the lists of the definitions stay ours."""
    server.definitions = copied(DEFINITIONS)
    server.definitions["PreviewImage"]["input"]["required"]["method"] = [
        "COMBO",
        {"options": ["near", ["far"]]},
    ]
    prompt = tiny_prompt()
    prompt["2"]["inputs"]["method"] = "wrong"
    first, second = await errors_of_two(server, client, prompt, ValidationError)
    known = await client.shared_definitions()

    assert first.problems[0].allowed == ("near", ["far"])
    assert not shared(list(first.problems[0].allowed), list(second.problems[0].allowed), known)


async def test_events_of_two_runs(server: FakeComfy, client: ComfyClient) -> None:
    """What a callback does to the output in an event changes neither the record nor the event of another run."""

    async def tell(job: Job) -> None:
        await job.start()
        outputs = {"2": {"images": [{"filename": "a.png"}], "ui": {"x": [1]}}}
        await job.tell("executed", node="2", output=outputs["2"])
        await job.tell("execution_success")
        job.record(outputs)
        await job.tell("executing", node=None)

    server.script = tell
    events: list[NodeOutput] = []

    def keep(event: ProgressEvent) -> None:
        if isinstance(event, NodeOutput):
            events.append(event)
            if len(events) == 1:
                spoil(event.output)

    first = await client.run(tiny_prompt(), on_progress=keep)
    second = await client.run(tiny_prompt(), on_progress=keep)
    (one,), (two,) = first.values(), second.values()

    assert events[0].output == {}
    assert events[1].output == one["outputs"]["2"] == two["outputs"]["2"] != {}
    assert not shared(events[1].output, one, two)
