"""A connector that is not there, for the command line's tests; run as a script it is the command line with it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from discomfort import progress
from discomfort.cli import connect
from discomfort.conversion.explanation import Explanation, node_fates
from discomfort.exceptions import ArgumentProblem, ExecutionError, NodeFailure
from discomfort.planning.workflow_plan import WorkflowPlan
from discomfort.workflow.edit import Editor
from discomfort.workflow.interface.parameters import Interface
from discomfort.workflow.nodes import iterate

DEFINITIONS: dict[str, Any] = {}


@dataclass
class FakeOutput:
    """One output; files hold ``data``."""

    node_id: str
    title: str
    class_type: str
    kind: str
    key: str
    value: Any
    filename: str | None = None
    subfolder: str = ""
    folder: str = "output"
    data: bytes = b"picture"

    async def save(self, directory: Path, name: str | None = None) -> Path:
        """As the real one: never overwrites."""
        if self.class_type == "Full":
            raise OSError(28, "No space left on device")
        if self.class_type == "Unsavable":
            raise OSError(28, "No space left on device", str(directory))
        os.makedirs(directory, exist_ok=True)  # noqa: PTH103
        wanted = name or str(self.filename)
        path, number = directory / wanted, 1
        while path.exists():
            number += 1
            path = directory / f"{Path(wanted).stem} ({number}){path.suffix}"
        path.write_bytes(self.data)
        return path


@dataclass
class FakeConnector:
    """Runs prompts by their nodes' classes: ``Save``, ``Text``, ``Value``, ``Fail``, ``Crash``, ``Slow``, ``Steps``.

    ``SlowAfter`` hangs once ``slow_after`` runs were done.
    """

    target: connect.ServerTarget = field(default_factory=connect.ServerTarget)
    engine: str = "comfyui"
    server_address: str = "http://127.0.0.1:1"
    output_directory: Path | None = None
    calls: list[tuple[str, Any]] = field(default_factory=list)
    upload_name: str | None = None
    converted: dict[str, Any] = field(default_factory=dict)
    allowed: list[bool | None] = field(default_factory=list)
    plan_made: WorkflowPlan = field(default_factory=WorkflowPlan)
    slow_after: int = 2
    interface: Interface = field(default_factory=Interface)

    def names(self) -> list[str]:
        """What was called, in order."""
        return [name for name, _ in self.calls]

    async def run_workflow(
        self,
        payload: Any,
        use_workflow_json: bool,
        *,
        on_progress: Any,
        timeout: Any,
        extra_data: Any,
        allow_paid: bool | None,
    ) -> dict[str, Any]:
        """Play each node in order."""
        self.calls.append(("run", {"payload": payload, "timeout": timeout, "extra_data": extra_data}))
        self.allowed.append(allow_paid)
        prompt = payload if not use_workflow_json else {str(n["id"]): as_prompt_node(n) for n in payload["nodes"]}
        on_progress(progress.Queued("pid", 1))
        on_progress(progress.Started("pid"))
        for index, (node_id, node) in enumerate(prompt.items(), 1):
            title, kind = node.get("_meta", {}).get("title", node["class_type"]), node["class_type"]
            on_progress(progress.NodeStarted("pid", node_id, title, kind, index, len(prompt)))
            await self._node(kind, node_id, on_progress)
        on_progress(progress.Done("pid", True))
        return {"pid": {"prompt": [0, "pid", prompt, {}, []], "outputs": {}, "status": {}, "meta": {}}}

    async def _node(self, kind: str, node_id: str, on_progress: Any) -> None:
        if kind == "Fail":
            failure = NodeFailure(node_id, kind, None, "ValueError", "boom", ("  File server.py, line 1\n",))
            raise ExecutionError(failure, prompt_id="pid")
        if kind == "Crash":
            raise RuntimeError("a bug of ours")
        if kind == "Slow" or (kind == "SlowAfter" and self.names().count("run") > self.slow_after):
            try:
                await asyncio.Event().wait()
            finally:
                self.calls.append(("cancelled", node_id))
        for step in range(1, 21) if kind == "Steps" else ():
            on_progress(progress.Step("pid", node_id, kind, step, 20))

    def outputs(self, history: dict[str, Any]) -> list[FakeOutput]:
        """An output for each node that has one."""
        found = []
        for record in history.values():
            for node_id, node in record["prompt"][2].items():
                found += make_outputs(node_id, node)
        return found

    def upload_data(self, path: Path, folder: str, *, is_ephemeral: bool) -> str:
        """Remember the upload."""
        self.calls.append(("upload", (str(path), folder, is_ephemeral)))
        return f"/input/{self.upload_name or path.name}"

    async def load(self, workflow: Any, interface: Path | None = None) -> FakeFunction:
        """A function with ``interface``, whatever the workflow is; it has one node ``Save``."""
        self.calls.append(("load", (workflow, interface)))
        return FakeFunction(self)

    async def _node_definitions(self) -> dict[str, Any]:
        return DEFINITIONS

    async def edit(self, payload: Any, *, workflow: Any = None) -> Editor:
        """The real editor."""
        return Editor(payload, DEFINITIONS, workflow=workflow)

    async def get_prompt_from_workflow(self, payload: Any) -> dict[str, Any]:
        """Each node with its inputs, as far as they are widgets."""
        self.calls.append(("convert", payload))
        if any(node["type"] == "Fail" for node in payload["nodes"]):
            raise RuntimeError("no conversion")
        inside = {graph["id"] for graph in payload.get("definitions", {}).get("subgraphs", ())}
        return {found.id: as_prompt_node(found.node) for found in iterate(payload) if found.type not in inside}

    async def explain(self, payload: Any) -> Explanation:
        """The real explanation of a conversion in which nodes of class ``Gone`` are missing."""
        self.calls.append(("explain", payload))
        output = {str(node["id"]): as_prompt_node(node) for node in payload["nodes"] if node.get("mode", 0) == 0}
        for node in output.values():
            if node["class_type"] == "Gone":
                node["class_type"] = None
        return Explanation("browser", node_fates(payload, output), output)

    async def plan(self, payload: Any, values: Any, *, online: bool) -> WorkflowPlan:
        """The plan that the test has given."""
        self.calls.append(("plan", {"payload": payload, "values": values, "online": online}))
        return self.plan_made

    async def kill_api(self) -> None:
        """Remember it."""
        await asyncio.sleep(0)
        self.calls.append(("kill", None))

    def release_now(self) -> None:
        """Say so: the process ends right after it."""
        sys.stderr.write("sync cleanup\n")
        sys.stderr.flush()


@dataclass
class FakeFunction:
    """A workflow as a function; ``problems`` knows the names and that numbers are numbers."""

    connector: FakeConnector
    options: dict[str, Any] = field(default_factory=dict)
    name: str = "upscale"

    @property
    def interface(self) -> Interface:
        """As the connector has it."""
        return self.connector.interface

    @property
    def prompt(self) -> dict[str, Any]:
        """One node, which saves a picture."""
        return {"1": {"class_type": "Save", "inputs": {"scale": 2.0}, "_meta": {"title": "Save"}}}

    def with_options(self, **options: Any) -> FakeFunction:
        """The same with these options."""
        return FakeFunction(self.connector, options)

    def problems(self, values: dict[str, Any]) -> list[ArgumentProblem]:
        """Texts where numbers should be."""
        inputs = self.interface.inputs
        return [
            ArgumentProblem(name, f"takes a number, given {value!r}")
            for name, value in values.items()
            if isinstance(value, str) and name in inputs and inputs[name].type in ("INT", "FLOAT")
        ]

    async def __call__(self, values: dict[str, Any]) -> Any:
        """Run the prompt."""
        self.connector.calls.append(("call", values))
        history = await self.connector.run_workflow(self.prompt, False, extra_data=None, **self.options)
        return SimpleNamespace(history=history)


def as_prompt_node(node: dict[str, Any]) -> dict[str, Any]:
    """A workflow's node as a prompt's."""
    values = node.get("widgets_values") or []
    return {
        "class_type": node["type"],
        "inputs": {"text": values[0]} if values else {},
        "_meta": {"title": node.get("title", node["type"])},
    }


def make_outputs(node_id: str, node: dict[str, Any]) -> list[FakeOutput]:
    """What a node of that class returns."""
    kind, title = node["class_type"], node.get("_meta", {}).get("title", node["class_type"])
    if kind in {"Save", "Unsavable", "Full"}:
        name = str(node["inputs"].get("name", "picture.png"))
        return [FakeOutput(node_id, title, kind, "image", "images", {}, filename=name)]
    if kind == "Text":
        return [FakeOutput(node_id, title, kind, "text", "text", node["inputs"].get("text", "hello"))]
    if kind == "Value":
        return [FakeOutput(node_id, title, kind, "value", "numbers", [1, 2])]
    return []


def prompt(*kinds: str, **inputs: Any) -> dict[str, Any]:
    """A prompt with a node of each class; all have the same inputs."""
    return {str(i): {"class_type": kind, "inputs": dict(inputs)} for i, kind in enumerate(kinds, 1)}


def workflow(*kinds: str) -> dict[str, Any]:
    """A workflow with a node of each class, each with one widget."""
    nodes = [{"id": i, "type": kind, "widgets_values": ["old"]} for i, kind in enumerate(kinds, 1)]
    return {"nodes": nodes, "links": [], "version": 0.4}


def write(path: Path, payload: Any) -> str:
    """Write JSON to a file and return its name."""
    path.write_text(json.dumps(payload))
    return str(path)


def play() -> int:
    """The command line, with a fake connector that says ``started`` once it is there."""
    from discomfort.cli import main

    async def fake(target: connect.ServerTarget) -> Any:
        logging.getLogger("discomfort.connector").warning("engine: %s (%s)", "emulator", "no ComfyUI was found")
        return FakeConnector(target)

    connect.open_connector = fake
    return main()


if __name__ == "__main__":
    sys.exit(play())
