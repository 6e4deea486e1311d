"""The prompt of one workflow run: the values of its variables in the place of its ports, and what collects the results.

Works on a snapshot of the context and writes what the server has to read. Blocking; for a thread.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from discomfort._json import JsonObject
from discomfort.context.exchange import HANDSHAKE, LOADER, SAVER
from discomfort.context.run_view import RunView
from discomfort.context.trees import NodeList
from discomfort.exceptions import PortError
from discomfort.orchestration.binding import LoadedValue, plan_problems, planned
from discomfort.orchestration.reference_values import blobs_of
from discomfort.orchestration.steps import OpenRecipe, WorkflowStep
from discomfort.orchestration.transient_values import TransientValues
from discomfort.orchestration.transport import Transport
from discomfort.orchestration.variables import Variables
from discomfort.workflow.compilation import Binding, Recipe, Sink, ValueNode, ancestors, compiled
from discomfort.workflow.json_values import is_link
from discomfort.workflow.pass_by import BY_REFERENCE, BY_VALUE, pass_by
from discomfort.workflow.port_types import ANY, is_known
from discomfort.workflow.prompt_ports import NodeOutput, PromptPort, PromptPorts
from discomfort.workflow.references import Reference, with_content_ids
from discomfort.workflow.workflow_ports import PORT


@dataclass(frozen=True, slots=True)
class StepPrompt:
    """A prompt to send. ``references`` are those that its outputs are, or may be; ``merged`` those that it uses.

    ``expected`` are the ids whose values the server saves under ``nonce``.
    """

    prompt: JsonObject = field(repr=False)
    nonce: str
    expected: tuple[str, ...]
    references: Mapping[str, Reference]
    merged: Mapping[str, Reference]


@dataclass(slots=True)
class PromptMaker:
    """Makes the prompts of one run of a list on one snapshot."""

    view: RunView
    variables: Variables
    transient: TransientValues
    definitions: Mapping[str, Any]
    rules: Mapping[str, str]
    transport: Transport
    use_ram: bool
    merged: dict[str, Reference] = field(default_factory=dict)

    def make(self, step: WorkflowStep, kept: list[Mapping[str, Any]]) -> StepPrompt:
        """The prompt of a step. Raises PortError, UnsupportedValueError, DiskFullError, OSError."""
        bindings = self._bindings(step.ports)
        nonce = secrets.token_hex(16)
        sinks = {unique_id: self._sink(port, nonce) for unique_id, port in step.ports.outputs().items()}
        prompt = compiled(step.prompt, step.ports, bindings, sinks, kept=kept)
        open_ports = [each for each in step.ports.outputs().values() if not self._is_value(each)]
        fixed = {node_id for each in bindings.values() if isinstance(each, Recipe) for node_id in each.nodes}
        outputs = {port.unique_id: self._source(prompt, port, sinks) for port in open_ports}
        prompt, names = with_content_ids(prompt, filter(None, outputs.values()), step.origin, fixed)
        _name_origins(prompt, names, step)
        for port in step.ports.outputs().values():
            self._state_list(prompt, port, sinks[port.unique_id])
        references = {
            port.unique_id: self._reference(prompt, (names[found[0]], found[1]), port)
            for port in open_ports
            if (found := outputs[port.unique_id]) is not None
        }
        expected = tuple(port.unique_id for port in step.ports.outputs().values() if self._rule(port) != BY_REFERENCE)
        return StepPrompt(prompt, nonce, expected, references, dict(self.merged))

    # --- inputs ------------------------------------------------------------------------------------------------------

    def _bindings(self, ports: PromptPorts, trail: tuple[str, ...] = ()) -> dict[str, Binding]:
        found: dict[str, Binding] = {}
        for unique_id, same in ports.inputs().items():
            if unique_id in self.variables.recipes:
                found[unique_id] = self._closed(unique_id, trail).recipe
            elif unique_id in self.variables.values:
                found[unique_id] = self._binding(unique_id, same)
        return found

    def _binding(self, unique_id: str, ports: list[PromptPort]) -> Binding:
        value = self.variables.values[unique_id]
        plan = planned(value, ports)
        if isinstance(value, Reference):
            self.merged[unique_id] = value
        if not isinstance(plan, LoadedValue):
            return plan
        problems = list(plan_problems(plan, ports))
        if problems:
            raise PortError("a value does not fit", problems)
        return self._loader(unique_id, plan)

    def _closed(self, unique_id: str, trail: tuple[str, ...]) -> Reference:
        """The reference that a recipe becomes with the values that its variables have now."""
        if unique_id in trail:
            raise PortError(f"the reference {unique_id!r} needs itself: {' → '.join([*trail, unique_id])}")
        recipe = self.variables.recipes[unique_id]
        bindings = self._bindings(recipe.ports, (*trail, unique_id))
        made = self._closed_prompt(recipe, bindings)
        self.merged[unique_id] = made
        return made

    def _closed_prompt(self, recipe: OpenRecipe, bindings: Mapping[str, Binding]) -> Reference:
        port = recipe.ports.outputs()[recipe.unique_id]
        sinks = {recipe.unique_id: Sink(PORT, {"unique_id": recipe.unique_id})}
        prompt = compiled(recipe.prompt, recipe.ports, bindings, sinks)
        output = self._source(prompt, port, sinks)
        if output is None:
            raise PortError(f"the reference {recipe.unique_id!r} is a constant: save the value itself")
        fixed = {node_id for each in bindings.values() if isinstance(each, Recipe) for node_id in each.nodes}
        prompt, names = with_content_ids(prompt, [output], recipe.origin, fixed)
        return self._reference(prompt, (names[output[0]], output[1]), port)

    def _loader(self, unique_id: str, plan: LoadedValue) -> ValueNode:
        record = self.view.records.get(unique_id)
        sees_memory = self.transport.sees_memory
        if plan.is_changed or record is None or (record.storage == "ram" and record.file and not sees_memory):
            record = self.transient.written(record, plan, use_ram=self.use_ram and sees_memory)
        inputs: JsonObject = {"run_id": "", "unique_id": unique_id, "codec": record.codec}
        if isinstance(plan.value, NodeList):
            inputs["is_list"] = True
        if record.text is not None:
            return ValueNode(LOADER, {**inputs, "text": record.text})
        digest = self.view.storage.digest(record)
        name = (record.file or "").rpartition("/")[2].rpartition(":")[2]
        place = {**self._place(), "storage": record.storage, "blob": name}
        return ValueNode(LOADER, {**inputs, "digest": digest}, meta={HANDSHAKE: place})

    def _place(self) -> dict[str, str]:
        storage = self.view.storage
        memory = "" if storage.memory_folder is None else storage.memory_folder.name
        return {"run_id": storage.run_id, "contexts": storage.home.parent.name, "memory": memory}

    # --- outputs -----------------------------------------------------------------------------------------------------

    def _rule(self, port: PromptPort) -> str:
        return pass_by(self.rules, port.type)

    def _is_value(self, port: PromptPort) -> bool:
        return self._rule(port) == BY_VALUE

    def _sink(self, port: PromptPort, nonce: str) -> Sink:
        rule = self._rule(port)
        if rule == BY_REFERENCE:
            sink = self.transport.reference_sink(port.unique_id)
            if sink is None:
                raise PortError(f"the server has no node that can end the reference {port.unique_id!r}")
            return sink
        storage = self.view.storage
        is_in_memory = self.use_ram and self.transport.sees_memory and storage.memory_folder is not None
        room = max(0, storage.room.limit - storage.usage()[0]) if is_in_memory else 0
        options = {"nonce": nonce, "use_ram": is_in_memory, "room": room, "mode": rule}
        return Sink(SAVER, {"unique_id": port.unique_id, **self._place(), **options})

    def _source(self, prompt: JsonObject, port: PromptPort, sinks: Mapping[str, Sink]) -> NodeOutput | None:
        """What feeds the sink of a port in the compiled prompt; ``None`` for a constant."""
        link = prompt[port.node_id]["inputs"].get(sinks[port.unique_id].name)
        return (link[0], int(link[1])) if is_link(link) else None

    def _state_list(self, prompt: JsonObject, port: PromptPort, sink: Sink) -> None:
        """Let a saver know that its source is a list even if that has one item."""
        inputs = prompt[port.node_id]["inputs"]
        link = inputs.get(sink.name)
        if sink.class_type != SAVER or not is_link(link):
            return
        source = prompt[link[0]]
        if source["class_type"] == LOADER:
            is_list = bool(source["inputs"].get("is_list"))
        else:
            declared = (self.definitions.get(source["class_type"]) or {}).get("output_is_list") or []
            is_list = bool(declared[link[1]]) if link[1] < len(declared) else False
        if is_list:
            inputs["is_list"] = True

    def _reference(self, prompt: JsonObject, output: NodeOutput, port: PromptPort) -> Reference:
        nodes = ancestors(prompt, output)
        kind = port.type if is_known(port.type) else self._merged_type(output)
        return Reference(nodes, output, unique_id=port.unique_id, type=kind, blobs=blobs_of(nodes))

    def _merged_type(self, output: NodeOutput) -> str:
        same = (each.type for each in self.merged.values() if tuple(each["output"]) == output)
        return next(same, ANY)


def _name_origins(prompt: JsonObject, names: Mapping[str, str], step: WorkflowStep) -> None:
    for node_id in names.values():
        origin = (prompt[node_id].get("_meta") or {}).get("origin")
        if origin is not None and origin.get("workflow") == step.origin:
            origin["name"] = step.name or f"workflows[{step.index}]"
