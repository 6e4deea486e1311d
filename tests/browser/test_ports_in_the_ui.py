"""Ports in the real frontend: made, wired, saved and loaded again, drawn by the script of the pack, and converted."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from browser import newer_sample
from browser.stub_server import front_end_root
from contract.engines import private_environment
from playwright.async_api import Page, async_playwright
from port_workflows import Graph
from ports import first_port

from discomfort import ComfyConnector, Discomfort, WorkflowTools
from discomfort.conversion.browser.chromium import existing_chromium

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

NEWER = "1.49.6"
PICTURE = os.environ.get("DISCOMFORT_SCREENSHOT")
SCRIPT = "discomfort_ports.js"
READY = """() => window.app?.graph && window.LiteGraph?.registered_node_types?.DiscomfortPort
                && !window.app.extensionManager?.spinner"""
HELPERS = """() => {
  window.roleOf = (id) => {
    const node = app.graph.getNodeById(id);
    const texts = [];
    const context = new Proxy({}, { get: (_, name) => name === "fillText" ? (text) => texts.push(text) : () => {},
                                    set: () => true });
    node.onDrawForeground?.(context);
    return { title: node.getTitle(), color: node.renderingColor, body: node.renderingBgColor, mark: texts.join() };
  };
  window.made = (type, x, unique_id) => {
    const node = LiteGraph.createNode(type);
    node.pos = [x, 100];
    app.graph.add(node);
    if (unique_id !== undefined) window.renamed(node, unique_id);
    return node;
  };
  window.renamed = (node, unique_id) => {
    const widget = node.widgets.find((each) => each.name === "unique_id");
    widget.value = unique_id;
    widget.callback?.(unique_id, app.canvas, node);
  };
}"""


@dataclass
class Visit:
    """A page of a frontend on a server that has the pack, and the connector that started the server."""

    version: str
    connector: ComfyConnector
    page: Page
    home: Path

    async def load(self, workflow: dict[str, Any]) -> None:
        await self.page.evaluate("async (text) => { await app.loadGraphData(JSON.parse(text)); }", json.dumps(workflow))

    async def prompt(self) -> dict[str, Any]:
        """The prompt of what is loaded, without titles."""
        text = await self.page.evaluate("async () => JSON.stringify((await app.graphToPrompt()).output)")
        return {key: {name: node[name] for name in ("class_type", "inputs")} for key, node in json.loads(text).items()}


def versions() -> list[Any]:
    """The installed frontend, and a newer one where ``make setup`` got it."""
    return [pytest.param("installed", id="installed"), newer_sample.param(NEWER)]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=versions())
async def visit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Visit]:
    """A page of one frontend, which a returning user opened."""
    version: str = request.param
    root = front_end_root() if version == "installed" else newer_sample.root_of(version)
    home = tmp_path_factory.mktemp("home")
    words = [sys.executable, "-m", "discomfort", "serve", "--base-directory", str(home), "--front-end-root", str(root)]
    settings: Any = {
        "engine": "emulator",
        "api_command_line": shlex.join(words),
        "initial_port": first_port(19500),
        "browser": "lazy",
        "prompt_cache": "off",
    }
    with private_environment(tmp_path_factory.mktemp("state")):
        connector = await ComfyConnector._launch(None, settings, loads_nodes=True)
        async with Discomfort(connector), async_playwright() as playwright:
            executable = existing_chromium(None, playwright.chromium.executable_path)
            browser = await playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
            page = await browser.new_page(viewport={"width": 1280, "height": 720})
            page.set_default_timeout(120_000)
            url = str(connector.server_address)
            await page.request.post(
                f"{url}/settings", data={"Comfy.TutorialCompleted": True, "Comfy.Graph.CanvasInfo": False}
            )
            await page.goto(url)
            await page.wait_for_function(READY)
            await page.evaluate(HELPERS)
            yield Visit(version, connector, page, home)
            await browser.close()


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def empty(visit: Visit) -> None:
    """Each test begins with an empty graph."""
    await visit.page.evaluate("() => app.graph.clear()")


async def test_node_in_the_list(visit: Visit) -> None:
    """Under its name and category, with the widgets that a user may fill; a test runner has its twelve."""
    found = await visit.page.evaluate("""() => ["DiscomfortPort", "DiscomfortTestRunner"].map((name) => {
        const kind = LiteGraph.registered_node_types[name], node = LiteGraph.createNode(name);
        return [kind.title, kind.category, node.widgets.map((widget) => [widget.name, widget.value]),
                node.inputs.filter((slot) => !slot.widget).map((slot) => slot.name),
                node.outputs.map((slot) => slot.name)];
    })""")
    five = range(1, 6)

    assert found[0] == [
        "Discomfort Port (Input/Output)", "discomfort/utilities", [["unique_id", "port1"], ["tags", ""]],
        ["input_data"], ["output_data"],
    ]  # fmt: skip
    assert found[1] == [
        "Discomfort Test Runner",
        "discomfort/testing",
        [["workflow_json", "custom_nodes/discomfort/test_workflow.json"], ["max_iterations", 1]]
        + [[f"unique_id_input{slot}", ""] for slot in five] + [[f"unique_id_output{slot}", ""] for slot in five],
        [f"input{slot}" for slot in five],
        [f"output{slot}" for slot in five],
    ]  # fmt: skip


WIRED = """() => {
  const size = made("DiscomfortPort", 0, "width"), image = made("EmptyImage", 300);
  const out = made("DiscomfortPort", 700, "picture"), free = made("DiscomfortPort", 1000, "free");
  const invert = made("ImageInvert", 500), pass = made("DiscomfortPort", 400, "between");
  const width = image.inputs?.findIndex((slot) => slot.name === "width") ?? -1;
  if (width >= 0) size.connect(0, image, width);
  else { image.convertWidgetToInput(image.widgets.find((each) => each.name === "width")); size.connect(0, image, 0); }
  image.connect(0, pass, 0); pass.connect(0, invert, 0); invert.connect(0, out, 0);
  return { size: size.id, pass: pass.id, out: out.id, free: free.id, image: image.id, invert: invert.id };
}"""


async def test_wired_saved_and_loaded(visit: Visit) -> None:
    """In both forms in which the frontend saves; the prompt stays the same, and the ports keep what they had."""
    ids = await visit.page.evaluate(WIRED)
    prompt = await visit.prompt()
    assert prompt[str(ids["size"])]["inputs"] == {"unique_id": "width", "tags": ""}
    assert prompt[str(ids["image"])]["inputs"]["width"] == [str(ids["size"]), 0]
    assert prompt[str(ids["out"])]["inputs"] == {
        "input_data": [str(ids["invert"]), 0], "unique_id": "picture", "tags": "",
    }  # fmt: skip
    for save in ("serialize", "asSerialisable"):
        saved = json.loads(await visit.page.evaluate(f"() => JSON.stringify(app.graph.{save}())"))
        ports = {str(node["id"]): node for node in saved["nodes"] if node["type"] == "DiscomfortPort"}
        assert ports[str(ids["out"])]["widgets_values"] == ["picture", ""]
        assert not any(key in port for port in ports.values() for key in ("color", "bgcolor"))
        await visit.load(saved)
        assert await visit.prompt() == prompt
        found = WorkflowTools().discover_port_nodes(saved)
        assert [*found["inputs"], *found["outputs"], *found["passthrus"]] == [
            "width", "free", "picture", "free", "between",
        ]  # fmt: skip


async def test_roles_are_drawn(visit: Visit) -> None:
    """Each role has a color of its own and the id in the title; what a user chose stays, and nothing is saved."""
    ids = await visit.page.evaluate(WIRED)
    drawn = {
        name: await visit.page.evaluate("(id) => roleOf(id)", ids[name]) for name in ("size", "pass", "out", "free")
    }
    plain = await visit.page.evaluate("(id) => app.graph.getNodeById(id).renderingColor", ids["image"])
    assert [each["title"] for each in drawn.values()] == [
        "Input: width", "Port: between", "Output: picture", "Port: free",
    ]  # fmt: skip
    assert len({each["color"] for each in drawn.values()} | {plain}) == 5
    assert len({each["body"] for each in drawn.values()}) == 4
    assert {each["mark"] for each in drawn.values()} == {""}

    chosen = """(id) => { const node = app.graph.getNodeById(id); node.title = "The width"; node.color = "#123456";
                          return [roleOf(id), node.serialize()]; }"""
    shown, saved = await visit.page.evaluate(chosen, ids["size"])
    assert (shown["title"], saved["title"], saved["color"]) == ("The width: width", "The width", "#123456")
    assert shown["color"] != drawn["size"]["color"]


async def test_names_that_clash(visit: Visit) -> None:
    """Two outputs of one name are marked, and a message says it once; it goes when one is renamed."""
    ids = await visit.page.evaluate(
        """() => { const image = made("EmptyImage", 0);
                   return ["a", "b"].map((name, index) => {
                     const port = made("DiscomfortPort", 300 * (index + 1), name);
                     image.connect(0, port, 0);
                     return port.id;
                   }); }"""
    )
    rename = "([id, name]) => renamed(app.graph.getNodeById(id), name)"
    marks = "(ids) => new Promise((done) => setTimeout(() => done(ids.map((id) => roleOf(id).mark)), 300))"
    assert await visit.page.evaluate(marks, ids) == ["", ""]

    await visit.page.evaluate(rename, [ids[1], "a"])
    await visit.page.get_by_text("2 outputs are called “a”: one value would be lost").first.wait_for()
    assert await visit.page.evaluate(marks, ids) == ["⚠ 2 outputs are called “a”"] * 2
    assert await visit.page.evaluate("() => document.querySelectorAll('.p-dialog').length") == 0

    await visit.page.evaluate(rename, [ids[1], " "])
    assert await visit.page.evaluate(marks, ids) == ["", "⚠ no unique_id"]


async def test_script_changes_no_prompt(visit: Visit) -> None:
    """A page without it, a page with it, and our own converter give the same prompt, titles included."""
    workflow = await _saved(visit)
    browser = visit.page.context.browser
    assert browser is not None
    url = str(visit.connector.server_address)
    texts = {}
    for blocked in (True, False):
        page = await browser.new_page()
        if blocked:
            await page.route(f"**/{SCRIPT}", lambda route: route.abort())
        page.set_default_timeout(120_000)
        await page.goto(url)
        await page.wait_for_function(READY)
        has = "() => app.extensions.some((each) => each.name === 'discomfort.ports')"
        assert await page.evaluate(has) is not blocked
        await page.evaluate("async (text) => { await app.loadGraphData(JSON.parse(text)); }", json.dumps(workflow))
        texts[blocked] = json.loads(
            await page.evaluate("async () => JSON.stringify((await app.graphToPrompt()).output)")
        )
        await page.close()

    assert texts[True] == texts[False] == await visit.connector.get_prompt_from_workflow(workflow)


async def _saved(visit: Visit) -> dict[str, Any]:
    await visit.page.evaluate(WIRED)
    workflow: dict[str, Any] = json.loads(await visit.page.evaluate("() => JSON.stringify(app.graph.serialize())"))
    return workflow


async def test_stitched_workflow(visit: Visit) -> None:
    """The file loads, and its prompt is that of the parts, joined."""
    first, second = Graph(), Graph()
    image = first.add("EmptyImage", "", "IMAGE:IMAGE", [64, 32, 1, 255])
    first.output("image", image)
    invert = second.add("ImageInvert", "image:IMAGE", "IMAGE:IMAGE")
    second.input("image", invert)
    second.output("result", invert)
    stitched = WorkflowTools().stitch_workflows([first.workflow(), second.workflow()])["stitched_workflow"]
    await visit.load(stitched)
    prompt = await visit.prompt()
    by_class = {node["class_type"]: (key, node["inputs"]) for key, node in prompt.items()}
    ports = {
        node["inputs"]["unique_id"]: (key, node["inputs"])
        for key, node in prompt.items()
        if "unique_id" in node["inputs"]
    }

    # The port that both parts have is one chain: image, its OUTPUT, its INPUT, what takes it.
    (joined,) = (key for key, node in prompt.items() if by_class["ImageInvert"][1]["image"] == [key, 0])
    assert prompt[joined]["inputs"]["unique_id"] == "image"
    before = prompt[joined]["inputs"]["input_data"][0]
    assert prompt[before]["inputs"]["input_data"] == [by_class["EmptyImage"][0], 0]
    assert ports["result"][1]["input_data"] == [by_class["ImageInvert"][0], 0]
    assert by_class["EmptyImage"][1] == {"width": 64, "height": 32, "batch_size": 1, "color": 255}
    assert len(prompt) == 5


async def test_port_in_the_plain_ui(visit: Visit) -> None:
    """Queued from the page, an INPUT port that feeds something says what to do."""
    await visit.page.evaluate(WIRED)
    text = await visit.page.evaluate(
        """async () => {
             const image = app.graph.nodes.find((node) => node.type === "EmptyImage");
             const failed = new Promise((done) => app.api.addEventListener("execution_error", (event) =>
               done(event.detail.exception_message), { once: true }));
             await app.queuePrompt(0);
             return await failed;
           }"""
    )
    assert "port 'width' has no value outside of a Discomfort run; connect something to it" in text


async def test_runner_converts(visit: Visit) -> None:
    """The test runner has a workflow of the UI converted on this very server, while its node waits."""
    if visit.version != "installed":
        pytest.skip("one frontend is enough: each conversion starts a browser")
    workflow = await _saved(visit)
    (visit.home / "input" / "ui.json").write_text(json.dumps(workflow))
    inputs = {"workflow_json": "ui.json", "max_iterations": 1, "input1": 16, "unique_id_input1": "width"}
    prompt = {
        "1": {"class_type": "DiscomfortTestRunner", "inputs": {**inputs, "unique_id_output1": "picture"}},
        "2": {"class_type": "DiscomfortPort", "inputs": {"unique_id": "out", "input_data": ["1", 0]}},
    }
    (picture,) = (await Discomfort(visit.connector).run(prompt))["out"]

    assert picture.shape[2] == 16


async def test_picture_for_the_tutorial(visit: Visit) -> None:
    """Ports as people see them. Set ``DISCOMFORT_SCREENSHOT`` to a path to get the picture of the docs."""
    await visit.load(await _saved(visit))
    await visit.page.evaluate("""() => {
        const place = { EmptyImage: [400, 90], ImageInvert: [1080, 90] };
        const ports = { width: [40, 90], between: [730, 90], picture: [1290, 90], free: [730, 270] };
        for (const node of app.graph.nodes) {
          const id = node.widgets?.find((each) => each.name === "unique_id")?.value;
          node.pos = ports[id] ?? place[node.type] ?? node.pos;
        }
        app.canvas.ds.reset(); app.canvas.ds.scale = 0.75; app.canvas.ds.offset = [60, 140];
        app.canvas.setDirty(true, true);
    }""")
    await visit.page.wait_for_function("() => new Promise((done) => requestAnimationFrame(() => done(true)))")
    picture = await visit.page.screenshot(clip={"x": 60, "y": 120, "width": 1210, "height": 250})
    if PICTURE and visit.version == NEWER:
        Path(PICTURE).write_bytes(picture)

    assert len(picture) > 10_000
