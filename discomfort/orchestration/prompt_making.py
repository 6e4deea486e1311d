"""The prompt of one workflow run: the values of its variables in the place of its ports, and what collects the results.

Works on a snapshot of the context; how values pass to the server and back is the transport's. Blocking; for a thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from discomfort._json import JsonObject
from discomfort.context.exchange import LOADER
from discomfort.context.records import Record
from discomfort.exceptions import PortError
from discomfort.orchestration.binding import LoadedValue, plan_problems, planned, variable_type
from discomfort.orchestration.reference_values import blobs_of
from discomfort.orchestration.steps import OpenRecipe, WorkflowStep
from discomfort.orchestration.transport import Passage, Transport, WantedValue
from discomfort.orchestration.variables import Variables
from discomfort.workflow.compilation import Binding, Recipe, Sink, ancestors, compiled
from discomfort.workflow.json_values import is_link
from discomfort.workflow.pass_by import BY_REFERENCE, BY_VALUE, pass_by
from discomfort.workflow.port_types import ANY, is_known
from discomfort.workflow.prompt_ports import NodeOutput, PromptPort, PromptPorts
from discomfort.workflow.references import Reference, with_content_ids
from discomfort.workflow.workflow_ports import PORT


@dataclass(frozen=True, slots=True)
class StepPrompt:
    """A prompt to send. ``references`` are those that its outputs are, or may be; ``merged`` those that it uses.

    ``expected`` are the ids whose values come back.
    """

    prompt: JsonObject = field(repr=False)
    expected: tuple[str, ...]
    references: Mapping[str, Reference]
    merged: Mapping[str, Reference]


@dataclass(slots=True)
class PromptMaker:
    """Makes the prompts of one run of a list on one snapshot."""

    records: Mapping[str, Record]
    variables: Variables
    definitions: Mapping[str, Any]
    rules: Mapping[str, str]
    transport: Transport
    passage: Passage
    merged: dict[str, Reference] = field(default_factory=dict)
    wanted: dict[tuple[str, str], WantedValue] = field(default_factory=dict)

    def want(self, step: WorkflowStep) -> list[WantedValue]:
        """The values that the passage has to send before :meth:`make`. Raises PortError."""
        recipes = [recipe.ports for recipe in self.variables.recipes.values()]
        for ports in (step.ports, *recipes):
            for unique_id, same in ports.inputs().items():
                self._want(unique_id, same)
        return list(self.wanted.values())

    def _want(self, unique_id: str, ports: list[PromptPort]) -> None:
        if unique_id in self.variables.recipes or unique_id not in self.variables.values:
            return
        plan = planned(self.variables.values[unique_id], ports)
        if isinstance(plan, LoadedValue):
            problems = list(plan_problems(plan, ports))
            if problems:
                raise PortError("a value does not fit", problems)
            kind = variable_type(ports)
            self.wanted[unique_id, kind] = WantedValue(unique_id, kind, plan, self.records.get(unique_id))

    def make(self, step: WorkflowStep, kept: list[Mapping[str, Any]]) -> StepPrompt:
        """The prompt of a step. Raises PortError, UnsupportedValueError, DiskFullError, OSError."""
        bindings = self._bindings(step.ports)
        sinks = {unique_id: self._sink(port) for unique_id, port in step.ports.outputs().items()}
        prompt = compiled(step.prompt, step.ports, bindings, sinks, kept=kept)
        open_ports = [each for each in step.ports.outputs().values() if not self._is_value(each)]
        fixed = {node_id for each in bindings.values() if isinstance(each, Recipe) for node_id in each.nodes}
        outputs = {port.unique_id: self._source(prompt, port, sinks) for port in open_ports}
        prompt, names = with_content_ids(prompt, filter(None, outputs.values()), step.origin, fixed)
        _name_origins(prompt, names, step)
        collected = [port for port in step.ports.outputs().values() if self._is_collected(port)]
        for port in collected:
            is_list = self._is_list(prompt, port, sinks[port.unique_id])
            self.passage.complete(prompt, port, is_list=is_list)
        references = {
            port.unique_id: self._reference(prompt, (names[found[0]], found[1]), port)
            for port in open_ports
            if (found := outputs[port.unique_id]) is not None
        }
        return StepPrompt(prompt, tuple(port.unique_id for port in collected), references, dict(self.merged))

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
        if isinstance(value, Reference):
            self.merged[unique_id] = value
        plan = planned(value, ports)
        if not isinstance(plan, LoadedValue):
            return plan
        return self.passage.binding(self.wanted[unique_id, variable_type(ports)])

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

    # --- outputs -----------------------------------------------------------------------------------------------------

    def _rule(self, port: PromptPort) -> str:
        return pass_by(self.rules, port.type)

    def _is_value(self, port: PromptPort) -> bool:
        return self._rule(port) == BY_VALUE

    def _is_collected(self, port: PromptPort) -> bool:
        rule = self._rule(port)
        return rule != BY_REFERENCE and self.transport.collects(port, rule)

    def _sink(self, port: PromptPort) -> Sink:
        if self._is_collected(port):
            return self.passage.sink(port, self._rule(port))
        sink = self.transport.reference_sink(port.unique_id)
        if sink is None:
            raise PortError(f"the server has no node that can end the reference {port.unique_id!r}")
        return sink

    def _source(self, prompt: JsonObject, port: PromptPort, sinks: Mapping[str, Sink]) -> NodeOutput | None:
        """What feeds the sink of a port in the compiled prompt; ``None`` for a constant."""
        link = prompt[port.node_id]["inputs"].get(sinks[port.unique_id].name)
        return (link[0], int(link[1])) if is_link(link) else None

    def _is_list(self, prompt: JsonObject, port: PromptPort, sink: Sink) -> bool:
        """Whether the source of a port is a list, which one with a single item does not show."""
        link = prompt[port.node_id]["inputs"].get(sink.name)
        if not is_link(link):
            return False
        source = prompt[link[0]]
        if source["class_type"] == LOADER:
            return bool(source["inputs"].get("is_list"))
        return is_list_output(self.definitions, source["class_type"], link[1])

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


def is_list_output(definitions: Mapping[str, Any], class_type: str, slot: int) -> bool:
    """Whether an output of a class is declared as a list."""
    declared = (definitions.get(class_type) or {}).get("output_is_list") or []
    return bool(declared[slot]) if slot < len(declared) else False
