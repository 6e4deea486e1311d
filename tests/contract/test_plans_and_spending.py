"""Plans of workflows, and nodes that cost money, on either engine."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from contract.engines import EngineUnderTest
from contract.graphs import node, picture_prompt

from discomfort import ComfyConnector, Discomfort
from discomfort.exceptions import InputSelectorError, PaidNodesError

PAID = {"1": node("SchemaFlags", "Paid")}
MARKER = "comfyui-0123456789-planted-marker"
MODEL = {"name": "planned.safetensors", "url": "https://models.example/planned.safetensors", "directory": "checkpoints"}
LOADER = {"id": 1, "type": "GoneLoader", "mode": 0, "widgets_values": ["planned.safetensors"]}


def written_below(*folders: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below the folders with its content."""
    for folder in folders:
        for path in folder.rglob("*"):
            # A real ComfyUI's own tree is linked, and is not ours.
            if path.is_file() and not path.is_symlink():
                yield path, path.read_bytes()


@pytest.fixture
def placed(engine: EngineUnderTest) -> Iterator[Path]:
    """A place in the server's folder of checkpoints; what is put there is removed."""
    path = engine.home / "models" / "checkpoints" / "planned.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    yield path
    path.unlink(missing_ok=True)


async def test_a_model_is_missing_until_it_is_there(connector: ComfyConnector, placed: Path) -> None:
    """A node of an unknown class too, whose pack the workflow names; the server lists what is there now."""
    properties = {"models": [MODEL], "cnr_id": "gone-pack", "ver": "1.2"}
    workflow = {"nodes": [{**LOADER, "properties": properties}], "links": [], "version": 0.4}

    before = await connector.plan(workflow)
    placed.write_bytes(b"")
    after = await connector.plan(workflow)

    [model] = before.missing_models
    assert (model.place, model.url) == ("checkpoints/planned.safetensors", MODEL["url"])
    [space] = before.spaces
    assert Path(space.path) == placed.parent
    assert space.free
    assert [pack.install for pack in before.packs] == ["comfy node install gone-pack"]
    assert after.missing_models == ()
    assert [each.is_there for each in after.models] == [True]
    assert after.lacks == ("1 node pack",)


async def test_files_and_values(connector: ComfyConnector) -> None:
    """What the server would refuse, with the nearest value that it takes; given values are planned."""
    prompt = {**picture_prompt(), "3": node("LoadImage", image="gone.png"), "4": node("PreviewImage", images=["3", 0])}

    plan = await connector.plan(json.dumps(prompt), {"Source.width": 0})

    assert [need.input for need in plan.files] == ["3.image"]
    assert [(need.input, need.nearest) for need in plan.values] == [("1.width", 1)]
    assert (await connector.plan(picture_prompt())).is_ready
    with pytest.raises(InputSelectorError):
        await connector.plan(prompt, {"Source.widht": 5})


async def test_named_values_are_planned(connector: ComfyConnector) -> None:
    """As a call would have them: a file that the call brings is not missing, a value outside of its bounds is told."""
    prompt = {**picture_prompt(), "3": node("LoadImage", image="gone.png"), "4": node("PreviewImage", images=["3", 0])}
    names = {"inputs": {"width": "Source.width", "image": "LoadImage.image"}}
    function = await connector.load(prompt, names)

    lacking = await function.plan(width=0)
    ready = await function.plan(width=8, image=b"content")

    assert [(need.input, need.nearest) for need in lacking.values] == [("width", 1)]
    assert [need.input for need in lacking.files] == ["3.image"]
    assert ready.is_ready, str(ready)


async def test_a_paid_node_is_in_the_plan(connector: ComfyConnector) -> None:
    """With a key nothing is missing."""
    without, with_key = await connector.plan(PAID), await connector.plan(PAID, api_key=MARKER)

    assert (without.lacks, with_key.lacks) == (("1 key for a paid node",), ())
    assert MARKER not in f"{with_key!r} {with_key} {with_key.to_json()}"


async def test_paid_nodes_run_only_if_that_is_allowed(connector: ComfyConnector, raw: aiohttp.ClientSession) -> None:
    """By every way to run them; nothing is sent before, not even an upload."""
    with pytest.raises(PaidNodesError, match="node 1 'Paid'"):
        await connector.run_workflow(PAID, False)
    with pytest.raises(PaidNodesError):
        await connector.submit(PAID, False, api_key=MARKER)
    with pytest.raises(PaidNodesError):
        await Discomfort(connector).run([picture_prompt(), PAID])
    with pytest.raises(PaidNodesError):
        await (await connector.load(PAID))()
    with pytest.raises(PaidNodesError):
        await connector.run({**PAID, "2": node("LoadImage", image="x")}, files={"LoadImage.image": b"no picture"})
    async with raw.get("/history") as answer:
        history = await answer.json()
    assert not any("SchemaFlags" in json.dumps(record["prompt"][2]) for record in history.values())

    allowed = await connector.run_workflow(PAID, False, allow_paid=True)
    assert next(iter(allowed.values()))["status"]["completed"] is True
    await Discomfort(connector).run(PAID, allow_paid=True)
    await (await connector.load(PAID)).with_options(allow_paid=True)()


async def test_a_key_is_kept_nowhere(
    connector: ComfyConnector,
    engine: EngineUnderTest,
    raw: aiohttp.ClientSession,
    caplog: pytest.LogCaptureFixture,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Neither in files, logs, reports and texts of ours, nor in the server's history and queue afterwards."""
    caplog.set_level(logging.DEBUG)
    errors: list[Any] = []

    run = await connector.submit(PAID, False, allow_paid=True, api_key=MARKER)
    await run
    shown = f"{run!r} {run.status!r}"
    for graph, options in ((PAID, {"allow_paid": False}), ({"1": node("SchemaGone")}, {"allow_paid": True})):
        with pytest.raises(ValueError, match="node") as caught:
            await connector.run_workflow(graph, False, api_key=MARKER, **options)
        errors.append(caught.value)
    with pytest.raises(ValueError, match="visible characters") as bad:
        await connector.run_workflow(PAID, False, api_key=f"{MARKER} ")
    plan = await connector.plan(PAID, api_key=MARKER)
    report = json.dumps(await connector.diagnostics())
    async with raw.get("/history") as history, raw.get("/queue") as queue, raw.get("/internal/logs/raw") as logs:
        told = [await answer.text() for answer in (history, queue, logs)]

    texts = [shown, *map(repr, errors), *map(str, errors), str(bad.value), repr(plan), str(plan), report, *told]
    texts += [repr(vars(error)) for error in errors]
    assert not [text for text in texts if MARKER in text]
    assert MARKER not in caplog.text
    folders = [engine.home, tmp_path_factory.getbasetemp()]
    assert not [path for path, content in written_below(*folders) if MARKER.encode() in content]
