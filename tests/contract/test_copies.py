"""Nothing that a caller gives or receives is shared with what the connector keeps.

Each object is changed at once, and again while a call waits; what is converted, run and answered does not change, in
this process and in the next one.
"""

from __future__ import annotations

import asyncio
import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contract.engines import EngineUnderTest
from contract.graphs import Recorder, gate_prompt, picture_prompt, picture_workflow, record_of, show_prompt, texts_of
from ports import first_port
from waiting import until

from discomfort import ComfyConnector
from discomfort.exceptions import ValidationError
from discomfort.progress import NodeStarted, ProgressEvent

POISON = 13
NEXT_PROCESS = """
import asyncio, json, sys
from discomfort import ComfyConnector

async def main():
    settings, workflow = json.load(sys.stdin)
    async with await ComfyConnector.create(**settings) as connector:
        prompt = await connector.get_prompt_from_workflow(workflow)
        fates = await connector.explain(workflow)
        history = await connector.run_workflow(workflow)
    print(json.dumps([fates.path, prompt, fates.prompt, next(iter(history.values()))["prompt"][2]]))

asyncio.run(main())
"""


def poison(value: Any) -> None:
    """Change every number, text and list in a value that can be changed."""
    if isinstance(value, dict):
        for key, each in list(value.items()):
            poison(each)
            if isinstance(each, int | str):
                value[key] = POISON
        value["poison"] = POISON
    elif isinstance(value, list):
        for each in value:
            poison(each)
        value.append(POISON)


async def poisoned_at_each_step(value: Any, call: asyncio.Task[Any]) -> Any:
    """The result of ``call``, while ``value`` is changed again whenever the event loop comes round."""
    while not call.done():
        poison(value)
        await asyncio.wait([call], timeout=0.001)
    return await call


async def test_converted_prompt_is_the_callers(connector: ComfyConnector) -> None:
    """The specification's example changes what it received; the next conversion gives the file's values again."""
    workflow = picture_workflow(0x102030, prefix="copies")
    expected = None
    for _ in range(3):
        prompt = await connector.get_prompt_from_workflow(workflow)
        expected = expected or copy.deepcopy(prompt)
        assert prompt == expected
        poison(prompt)
        history = await connector.run_workflow(workflow)
        assert record_of(history)["prompt"][2]["1"]["inputs"]["color"] == 0x102030
        poison(history)
        explained = await connector.explain(workflow)
        assert explained.prompt == expected
        poison(explained.prompt)
    assert expected is not None
    assert expected["1"]["inputs"]["color"] == 0x102030


async def test_values_of_the_file_in_the_next_process(connector: ComfyConnector, engine: EngineUnderTest) -> None:
    """What was changed here is not what the cache has on disk."""
    workflow = picture_workflow(0x405060, prefix="copies")
    # Servers make folders in their input folder when they start, which some nodes list: look at them again.
    await connector._parts.get_converter()._watch.look_again()
    prompt = await connector.get_prompt_from_workflow(workflow)
    expected = copy.deepcopy(prompt)
    poison(prompt)

    async def is_stored() -> bool:
        return (await connector.explain(workflow)).path == "cache"

    await until(is_stored)
    settings = {**{k: str(v) for k, v in engine.settings.items()}, "initial_port": first_port(18788), "browser": "lazy"}

    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", NEXT_PROCESS,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    out, _ = await child.communicate(json.dumps([settings, workflow]).encode())

    assert child.returncode == 0
    assert json.loads(out.splitlines()[-1]) == ["cache", expected, expected, expected]


GivenCall = Callable[[ComfyConnector, dict[str, Any]], Any]
GIVEN: dict[str, tuple[GivenCall, Callable[[Any], Any]]] = {
    "get_prompt_from_workflow": (
        lambda connector, given: connector.get_prompt_from_workflow(given),
        lambda prompt: prompt["1"]["inputs"]["color"],
    ),
    "explain": (
        lambda connector, given: connector.explain(given),
        lambda explained: explained.prompt["1"]["inputs"]["color"],
    ),
    "edit": (
        lambda connector, given: connector.edit(given),
        lambda editor: editor.payload["nodes"][0]["widgets_values"][3],
    ),
    "run_workflow": (
        lambda connector, given: connector.run_workflow(given),
        lambda history: record_of(history)["prompt"][2]["1"]["inputs"]["color"],
    ),
}


@pytest.mark.parametrize("name", GIVEN)
async def test_given_workflow_is_taken_as_it_was(connector: ComfyConnector, name: str) -> None:
    """The caller changes the object at once and at every turn of the loop; the call knows what it was given."""
    call, value_of = GIVEN[name]
    colour = 0x700000 + list(GIVEN).index(name)
    given = picture_workflow(colour, prefix="copies")
    task = asyncio.create_task(call(connector, given))
    await asyncio.sleep(0)
    assert value_of(await poisoned_at_each_step(given, task)) == colour


async def test_given_prompt_and_extra_data_while_the_run_waits(connector: ComfyConnector, tmp_path: Path) -> None:
    """In the queue behind another run, then running."""
    events = Recorder()
    first = asyncio.create_task(connector.run_workflow(gate_prompt(tmp_path / "gate"), False, on_progress=events))
    await events.wait(NodeStarted)
    prompt, extra = show_prompt(41), {"note": {"deep": [1]}}
    second = asyncio.create_task(connector.run_workflow(prompt, False, extra_data=extra))
    await asyncio.sleep(0)
    poison(prompt)
    poison(extra)
    (tmp_path / "gate").touch()

    history = await poisoned_at_each_step(prompt, second)
    assert texts_of(history) == ["41"]
    assert record_of(history)["prompt"][3]["note"] == {"deep": [1]}
    await first


async def test_every_receiver_has_its_own(connector: ComfyConnector) -> None:
    """Two runs of one prompt, their events, their outputs: changing one changes no other."""
    prompt = picture_prompt(0x111213, prefix="copies")
    seen: list[ProgressEvent] = []

    def spoil(event: ProgressEvent) -> None:
        seen.append(event)
        for name in getattr(event, "__dataclass_fields__", ()):
            poison(getattr(event, name))

    plain = await connector.run_workflow(prompt, False)
    spoiled = await connector.run_workflow(prompt, False, on_progress=spoil)
    assert seen
    assert record_of(spoiled)["outputs"] == record_of(plain)["outputs"]
    outputs = connector.outputs(spoiled)
    expected = [(output.filename, output.node_id, output.title) for output in connector.outputs(plain)]
    poison(spoiled)
    assert [(output.filename, output.node_id, output.title) for output in outputs] == expected


async def test_definitions_are_nobodys(connector: ComfyConnector) -> None:
    """An editor whose definitions were changed spoils neither the next editor nor the check of prompts."""
    editor = await connector.edit(picture_prompt(1))
    poison(editor.payload)
    for name, value in vars(editor).items():
        if isinstance(value, dict) and name != "payload":
            poison(value)

    again = await connector.edit(picture_prompt(2))
    assert again.set("EmptyImage.color", 3).payload["1"]["inputs"]["color"] == 3
    assert texts_of(await connector.run_workflow(show_prompt(5), False)) == ["5"]


async def test_errors_are_nobodys(connector: ComfyConnector) -> None:
    """What an error carries is the receiver's; the next one of the same kind is whole."""
    texts = set()
    for _ in range(2):
        with pytest.raises(ValidationError) as caught:
            await connector.run_workflow(picture_prompt(-1, size=0), False)
        texts.add(str(caught.value))
        poison(dict(caught.value.error))
        poison(dict(caught.value.node_errors))
    assert len(texts) == 1
