"""The interfaces of workflows made for App Mode, against the real frontend: is each input set as if typed in the UI?

For each template with ``extra.linearData``: its interface, then each input set to another legal value, once in the
prompt through its targets, once in the page of the frontend, which then makes the prompt. Both must be equal. The page
also says which entries App Mode itself finds. The templates come from the package ``comfyui-workflow-templates-json``.

    python -m benchmarks.interfaces (--comfyui PATH | --url URL) --templates FOLDER [--only NAME]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from playwright.async_api import Page, async_playwright

from benchmarks.same_prompts import same
from discomfort import ComfyConnector
from discomfort._json import copied
from discomfort.conversion.browser.chromium import existing_chromium
from discomfort.exceptions import MissingNodesError
from discomfort.workflow.interface.declarations import NO_DEFAULT, Parameter
from discomfort.workflow.interface.placing import place_value
from discomfort.workflow.interface.sources import interface_of
from discomfort.workflow.interface.widget_targets import WidgetTargets

Json = dict[str, Any]

READY = "() => window.app?.graph && !window.app.extensionManager?.spinner"
HELPERS = """() => {
  const store = () =>
    document.querySelector("#vue-app").__vue_app__.config.globalProperties.$pinia._s.get("appMode");
  const root = () => app.rootGraph ?? app.graph;
  // The entry of App Mode as the frontend finds it, null if it drops it.
  window.found = (entry) => {
    store().loadSelections({ inputs: [entry], outputs: [] });
    const [first] = store().selectedInputs;
    return first ? [String(first[0]), first[1]] : null;
  };
  // The widget of a node by the path of ids that leads to it; the outermost one that stands for it.
  window.widgetAt = (path, name) => {
    let graph = root(), node = null;
    for (const step of path) {
      node = graph?.getNodeById(Number.isNaN(Number(step)) ? step : Number(step));
      graph = node?.subgraph;
    }
    return [node, node?.widgets?.find((each) => each.name === name)];
  };
  window.typed = async (text, path, name, value) => {
    await app.loadGraphData(JSON.parse(text));
    const [node, widget] = window.widgetAt(path, name);
    if (!widget) return null;
    widget.value = value;
    widget.callback?.(value, app.canvas, node, [0, 0], {});
    await new Promise((done) => setTimeout(done, 0));
    return JSON.stringify((await app.graphToPrompt()).output);
  };
}"""


@dataclass
class Outcome:
    """What came out for one template."""

    name: str
    entries: int = 0
    inputs: int = 0
    set: int = 0
    arrived: int = 0
    stale: int = 0
    names: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def other_values(parameter: Parameter) -> list[Any]:
    """Legal values that are not the default."""
    if parameter.upload:
        return ["example.png"]
    if parameter.choices is not None:
        return [choice for choice in parameter.choices if choice != parameter.default][:3]
    if parameter.type in ("INT", "FLOAT"):
        return [number for number in _numbers(parameter) if number != parameter.default][:1]
    if parameter.type == "BOOLEAN":
        return [not parameter.default]
    return ["typed by the check"] if isinstance(parameter.default, str) else []


def _numbers(parameter: Parameter) -> Iterator[int | float]:
    step = parameter.step or 1
    default: Any = 0 if parameter.default is NO_DEFAULT else parameter.default
    for number in (default + step, default - step, parameter.minimum, parameter.maximum):
        low, high = parameter.minimum, parameter.maximum
        if number is not None and (low is None or number >= low) and (high is None or number <= high):
            yield int(number) if parameter.type == "INT" else round(float(number), 6)


class Check:
    """A connector, and a page of the frontend of its server."""

    def __init__(self, connector: ComfyConnector, page: Page, definitions: Json, *, is_alone: bool) -> None:
        self._connector, self._page, self._definitions = connector, page, definitions
        self._is_alone = is_alone

    async def outcome(self, name: str, workflow: Json) -> Outcome:
        found = Outcome(name)
        text = json.dumps(workflow)
        await self._page.evaluate("async (text) => { await app.loadGraphData(JSON.parse(text)); }", text)
        base = json.loads(await self._page.evaluate("async () => JSON.stringify((await app.graphToPrompt()).output)"))
        base = {key: each for key, each in base.items() if each.get("class_type")}
        try:
            prompt = base if self._is_alone else await self._connector.get_prompt_from_workflow(workflow)
        except MissingNodesError as error:
            found.notes.append(f"not converted, the page's prompt is taken: {str(error)[:200]}")
            prompt = base
        whole = interface_of(prompt, self._definitions, workflow=workflow)
        found.names = [*whole.inputs, "->", *whole.outputs]
        found.problems = [str(problem) for problem in whole.problems]
        if not same(base, prompt):
            found.differences.append("the page and the connector make different prompts")
        for entry in workflow["extra"]["linearData"].get("inputs", ()):
            await self._entry(entry, workflow, text, base, found)
        return found

    async def _entry(self, entry: list[Any], workflow: Json, text: str, base: Json, found: Outcome) -> None:
        """One entry of App Mode alone: where the frontend finds it, and whether our parameter does the same."""
        found.entries += 1
        alone = copied(workflow)
        alone["extra"]["linearData"] = {"inputs": [entry], "outputs": []}
        inputs = list(interface_of(base, self._definitions, workflow=alone).inputs.values())
        seen = await self._page.evaluate("(entry) => window.found(entry)", entry)
        if not inputs:
            found.stale += 1
            if seen is not None:
                found.notes.append(f"without effect: {entry[0]} {entry[1]}, which the frontend finds")
                await self._has_no_effect(seen[0], text, base, found)
            return
        found.inputs += 1
        if seen is None:
            found.notes.append(f"only ours: {entry[0]} {entry[1]}")
        path, name = place_of(entry, inputs[0], workflow, base) if seen is None else seen_place(seen[0])
        for value in other_values(inputs[0]):
            found.set += 1
            typed = await self._typed(text, path, name, value)
            expected = copied(base)
            place_value(expected, inputs[0].targets, value, self._definitions)
            if typed is None:
                found.differences.append(f"{entry}: the page has no widget {name!r} in node {path}")
            elif same(ordered(typed), ordered(expected)):
                found.arrived += 1
            else:
                found.differences.append(f"{entry} = {value!r}: {difference(expected, typed)}")

    async def _has_no_effect(self, widget: str, text: str, base: Json, found: Outcome) -> None:
        """Nothing that is typed there changes the prompt."""
        path, name = seen_place(widget)
        for value in (5, "typed by the check"):
            typed = await self._typed(text, path, name, value)
            if typed is not None and not same(ordered(typed), ordered(base)):
                found.differences.append(f"{widget} = {value!r}: {difference(base, typed)}")

    async def _typed(self, text: str, path: list[str], name: str, value: Any) -> Json | None:
        """The page's prompt after a value was typed into a widget; ``None`` if it has no such widget."""
        script = "([text, path, name, value]) => window.typed(text, path, name, value)"
        made = await self._page.evaluate(script, [text, path, name, value])
        return None if made is None else {key: each for key, each in json.loads(made).items() if each.get("class_type")}


def seen_place(widget: str) -> tuple[list[str], str]:
    """Node and name in a widget's id of the frontend."""
    _, node_id, name = map(unquote, widget.split(":", 2))
    return [node_id], name


def place_of(entry: list[Any], parameter: Parameter, workflow: Json, prompt: Json) -> tuple[list[str], str]:
    """Where an entry is typed that App Mode drops: a ``PrimitiveNode`` in a subgraph, else the target itself."""
    key = str(entry[0])
    for scope in WidgetTargets(workflow, prompt).root.walk():
        if scope.nodes.get(key, {}).get("type") == "PrimitiveNode":
            return [*scope.prefix.split(":")[:-1], key], str(entry[1])
    return parameter.targets[0].node_id.split(":"), parameter.targets[0].input_name


def ordered(prompt: Json) -> Json:
    """The prompt with its inputs by name: new ones stand elsewhere in the page."""
    return {key: {**node, "inputs": dict(sorted(node["inputs"].items()))} for key, node in sorted(prompt.items())}


def difference(ours: Json, typed: Json) -> str:
    """The inputs that differ, ours first."""
    parts = []
    for key in {**ours, **typed}:
        mine, other = (each.get(key, {}).get("inputs", {}) for each in (ours, typed))
        parts += [
            f"{key}.{name}: {mine.get(name)!r} / {other.get(name)!r}"
            for name in {**mine, **other}
            if mine.get(name) != other.get(name) or (name in mine) != (name in other)
        ]
    return "; ".join(parts)[:600]


@asynccontextmanager
async def connected(
    comfyui: Path | None, url: str | None, front_end_root: Path | None
) -> AsyncIterator[ComfyConnector]:
    """A connector to a server that runs already, or to a ComfyUI of its own without models."""
    if url is not None:
        async with await ComfyConnector.attach(url, browser="lazy") as connector:
            yield connector
        return
    with tempfile.TemporaryDirectory(prefix="interfaces-") as home:
        for name in ("custom_nodes", "input", "models", "output", "user"):
            (Path(home) / name).mkdir()
        command = f"python3 main.py --cpu --base-directory {home}"
        if front_end_root is not None:
            command += f" --front-end-root {front_end_root}"
        settings: Any = {"comfyui_path": str(comfyui), "api_command_line": command, "initial_port": 18990}
        async with await ComfyConnector.create(**settings) as connector:
            yield connector


@asynccontextmanager
async def checking(connector: ComfyConnector, *, is_alone: bool) -> AsyncIterator[Check]:
    """A check on that server. ``is_alone``: the page makes all prompts, without the connector's conversion."""
    async with async_playwright() as playwright:
        executable = existing_chromium(None, playwright.chromium.executable_path)
        browser = await playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(300_000)
        url = str(connector.server_address)
        seen = {"Comfy.TutorialCompleted": True, "Comfy.Graph.CanvasInfo": False}
        await page.request.post(f"{url}/settings", data=seen)
        await page.goto(url)
        await page.wait_for_function(READY)
        await page.evaluate(HELPERS)
        definitions = await (await page.request.get(f"{url}/object_info")).json()
        yield Check(connector, page, definitions, is_alone=is_alone)
        await browser.close()


def templates(folder: Path, only: Sequence[str]) -> Iterator[tuple[str, Json]]:
    """The templates with App Mode's data, by name."""
    for path in sorted(folder.rglob("*.json")):
        workflow = json.loads(path.read_bytes())
        extra = workflow.get("extra") if isinstance(workflow, dict) else None
        if isinstance(extra, dict) and "linearData" in extra and (not only or any(part in path.name for part in only)):
            yield path.name.removesuffix(".json"), workflow


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    server = parser.add_mutually_exclusive_group(required=True)
    server.add_argument("--comfyui", type=Path)
    server.add_argument("--url", help="of a ComfyUI that runs already")
    parser.add_argument("--templates", type=Path, required=True)
    parser.add_argument("--front-end-root", type=Path)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="part of a template's name")
    parser.add_argument("--page-only", action="store_true", help="do not compare with the connector's conversion")
    options = parser.parse_args()
    outcomes = []
    async with (
        connected(options.comfyui, options.url, options.front_end_root) as connector,
        checking(connector, is_alone=options.page_only) as check,
    ):
        for name, workflow in templates(options.templates, options.only):
            found = await check.outcome(name, workflow)
            outcomes.append(found)
            print(f"{name}: {found.entries} entries, {found.inputs} inputs, {found.set} set, {found.arrived} arrived")
            print(f"    {' '.join(found.names)}")
            for line in found.differences:
                print(f"    DIFFERENT {line}")
            for line in found.notes:
                print(f"    {line}")
            for line in found.problems:
                print(f"    {line}", flush=True)
    sums = {
        name: sum(getattr(each, name) for each in outcomes) for name in ("entries", "inputs", "set", "arrived", "stale")
    }
    print(f"{len(outcomes)} templates: " + ", ".join(f"{count} {name}" for name, count in sums.items()))
    raise SystemExit(any(each.differences for each in outcomes))


if __name__ == "__main__":
    asyncio.run(main())
