"""Another value of a dynamic combo, set by the editor and chosen in the page of a real frontend: the prompts are equal.

The frontend of ComfyUI 0.3.64 has no dynamic combos.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from browser import branching, newer_sample
from browser.made_workflows import Json
from browser.stub_server import StubServer
from playwright.async_api import Page, async_playwright

from discomfort.connector.set_values import with_sets
from discomfort.conversion.browser.chromium import existing_chromium
from discomfort.exceptions import InputSelectorError
from discomfort.workflow import Editor

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

PARAMS = [newer_sample.param(version) for version in newer_sample.versions()]
DEFINITIONS: dict[str, Any] = json.loads(newer_sample.DEFINITIONS.read_bytes()) | branching.BRANCHING
READY = """() => window.app?.graph && !window.app.extensionManager?.spinner
  && "Branching" in window.LiteGraph.registered_node_types"""
TYPED = """async ([text, chosen]) => {
  await app.loadGraphData(JSON.parse(text));
  for (const [path, name, value] of chosen) {
    let graph = app.rootGraph ?? app.graph, node = null;
    for (const step of path) { node = graph.getNodeById(Number(step)); graph = node.subgraph; }
    const widget = node.widgets.find((each) => each.name === name);
    widget.value = value;
    widget.callback?.(value, app.canvas, node, [0, 0], {});
    await new Promise((done) => setTimeout(done, 0));
  }
  return JSON.stringify([(app.rootGraph ?? app.graph).serialize(), (await app.graphToPrompt()).output]);
}"""


class Frontend:
    """A page of one frontend."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def typed(self, workflow: Json, values: dict[str, Any]) -> Json:
        """The prompt after these values were chosen, in their order; the keys are ``ID.WIDGET``."""
        chosen = [[key.partition(".")[0].split(":"), key.partition(".")[2], value] for key, value in values.items()]
        made: Json = json.loads(await self._page.evaluate(TYPED, [json.dumps(workflow), chosen]))[1]
        return made

    async def prompt(self, workflow: Json) -> Json:
        """The prompt of a workflow."""
        return await self.typed(workflow, {})

    async def saved(self, workflow: Json) -> Json:
        """The workflow as this frontend saves it."""
        made: Json = json.loads(await self._page.evaluate(TYPED, [json.dumps(workflow), []]))[0]
        return made


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PARAMS)
async def frontend(request: pytest.FixtureRequest) -> AsyncIterator[Frontend]:
    """A frontend with its page loaded."""
    server = await StubServer(static=newer_sample.root_of(request.param), definitions=DEFINITIONS).start()
    async with async_playwright() as playwright:
        executable = existing_chromium(None, playwright.chromium.executable_path)
        browser = await playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = await browser.new_page()
        page.set_default_timeout(120_000)
        await page.goto(server.url)
        await page.wait_for_function(READY)
        yield Frontend(page)
        await browser.close()
    await server.aclose()


async def definitions() -> Any:
    """What the server knows."""
    return DEFINITIONS


CASES: dict[str, tuple[Callable[[], Json], dict[str, Any]]] = {
    "other inputs": (branching.own, {"3.mode": "other"}),
    "other inputs, one set": (branching.own, {"3.mode": "other", "3.mode.text": "typed", "3.mode.size": 33}),
    "fewer inputs": (branching.own, {"3.mode": "bare", "3.count": 4}),
    "an inner combo": (branching.own, {"3.mode": "deep"}),
    "an inner combo, set": (branching.own, {"3.mode": "deep", "3.mode.inner": "q", "3.mode.inner.three": 0.5}),
    "the inner combo alone": (branching.deep, {"3.mode.inner": "q", "3.mode.inner.two": 8}),
    "out of the inner combo": (branching.deep, {"3.mode": "bare"}),
    "colours and boxes": (branching.bare, {"3.mode": "drawn", "3.method": "near"}),
    "links that stay": (branching.linked, {"3.mode": "other"}),
    "the same value": (branching.linked, {"3.mode": "own"}),
    "in a subgraph": (branching.hosted, {"10:3.mode": "other", "10:3.mode.flag": True}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("order", [1, -1], ids=["in order", "in reverse"])
async def test_what_is_chosen_is_as_typed(frontend: Frontend, case: str, order: int) -> None:
    """Inputs of the old value go, those of the new one have their defaults or what was set with it, in any order."""
    make, values = CASES[case]
    workflow = await frontend.saved(make())
    edited = Editor(workflow, DEFINITIONS).set_all(dict(list(values.items())[::order]))

    prompt = await with_sets(edited.payload, frontend.prompt, definitions)

    assert prompt == await frontend.typed(workflow, values)
    assert await frontend.prompt(dict(edited.payload)) == prompt


async def test_links_into_inputs_that_go_are_cut(frontend: Frontend) -> None:
    """Those into inputs before and behind stay, wherever the slots are then."""
    workflow = await frontend.saved(branching.linked())
    before = await frontend.prompt(workflow)
    edited = Editor(workflow, DEFINITIONS).set("3.mode", "bare")

    made = (await frontend.prompt(dict(edited.payload)))["3"]["inputs"]

    assert made == {"mode": "bare", "method": "area", "count": ["2", 0], "first": ["1", 0]}
    assert {name: each for name, each in before["3"]["inputs"].items() if not name.startswith("mode")} == {
        name: each for name, each in made.items() if name != "mode"
    }


@pytest.mark.parametrize(
    ("make", "selector", "value"),
    [
        (branching.own, "3.mode", "seeded"),
        (lambda: branching.hosted([("mode", "COMBO")]), "Host.mode", "bare"),
        (lambda: branching.hosted([("mode.size", "INT")]), "Host/Branching.mode", "bare"),
        (lambda: branching.hosted(proxies=[("3", "mode.size")]), "Host/Branching.mode", "bare"),
    ],
    ids=["with a seed", "through the host", "with an input of the host", "with a widget of the host"],
)
async def test_what_has_no_certain_place_is_set_on_the_prompt(
    frontend: Frontend, make: Callable[[], Json], selector: str, value: str
) -> None:
    """The prompt has the inputs that the value brings, and what was set in the same call."""
    workflow = make()
    (node_id,) = {"Host.mode": "10:3", "Host/Branching.mode": "10:3"}.get(selector, "3").split()
    child = {"seeded": {f"#{node_id}.mode.seed": 77}}.get(value, {f"#{node_id}.count": 5})
    edited = Editor(workflow, DEFINITIONS).set_all({**child, selector: value}, defer=True)

    made = (await with_sets(edited.payload, frontend.prompt, definitions))[node_id]["inputs"]

    brought = {"mode.seed": 77} if value == "seeded" else {}
    kept = {"count": 9 if brought else 5, "method": "area", "first": made["first"]}
    assert made == {"mode": value, **brought, **kept}


async def test_a_value_that_needs_a_link_is_refused(frontend: Frontend) -> None:
    """The error names the input, and what to do; on the prompt the link can be given."""
    workflow = await frontend.saved(branching.bare())
    with pytest.raises(InputSelectorError, match=r"brings 'mode\.picture', which must be linked; convert .* first"):
        Editor(workflow, DEFINITIONS).set("3.mode", "own")
    with pytest.raises(InputSelectorError, match=r"brings 'mode\.images\.image0', which must be linked"):
        Editor(workflow, DEFINITIONS).set("3.mode", "row")

    values = {"3.mode.picture": ["1", 0], "3.mode": "own"}
    made = Editor(await frontend.prompt(workflow), DEFINITIONS).set_all(values).payload

    assert made["3"]["inputs"]["mode.picture"] == ["1", 0]
    assert made["3"]["inputs"]["mode.size"] == 5
