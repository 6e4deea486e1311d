"""The check of a whole list of workflows before anything is sent: all that is wrong, in one error."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from discomfort.exceptions import GraphProblem, PortError, UnsupportedValueError
from discomfort.orchestration.binding import LoadedValue, plan_problems, planned, variable_type
from discomfort.orchestration.prompt_making import is_list_output
from discomfort.orchestration.reference_values import gone_values
from discomfort.orchestration.steps import OpenRecipe, WorkflowStep
from discomfort.orchestration.transport import Transport, WantedValue
from discomfort.orchestration.variables import Variables
from discomfort.workflow.compilation import Binding, Recipe, ValueNode, compilation_problems
from discomfort.workflow.json_values import is_link
from discomfort.workflow.nodes import title_of
from discomfort.workflow.pass_by import BY_REFERENCE, pass_by
from discomfort.workflow.port_types import ANY, excludes, is_known, slot_type
from discomfort.workflow.prompt_ports import PromptPort, PromptPorts
from discomfort.workflow.workflow_ports import PORT


@dataclass(frozen=True, slots=True)
class ListCheck:
    """What the workflows of a list are checked against. ``variables`` has what the context and the inputs have.

    ``refused`` says of inputs why they cannot be stored.
    """

    variables: Variables
    refused: Mapping[str, UnsupportedValueError]
    rules: Mapping[str, str]
    transport: Transport
    definitions: Mapping[str, Any]
    iterations: int

    def run(self, steps: Sequence[WorkflowStep]) -> None:
        """Raises PortError with all problems of all workflows; UnsupportedValueError if there is only one of these."""
        problems: list[GraphProblem] = []
        produced: dict[str, str] = {}
        for step in steps:
            found = [*self._step(step, produced), *self._returning(step, steps, produced)]
            place = f"{step.place()}: " if len(steps) > 1 else ""
            problems += [replace(each, problem=place + each.problem) for each in dict.fromkeys(found)]
            produced |= {unique_id: port.type for unique_id, port in step.ports.outputs().items()}
        told = [str(error) for error in self.refused.values()]
        if not problems and len(told) == 1:
            raise next(iter(self.refused.values()))
        if problems or told:
            raise PortError("; ".join(["nothing was sent, since the workflows cannot run", *told]), problems)

    def _step(self, step: WorkflowStep, produced: Mapping[str, str]) -> Iterator[GraphProblem]:
        bindings: dict[str, Binding] = {}
        for unique_id, ports in step.ports.inputs().items():
            binding = self._binding(unique_id, ports, produced)
            if binding is None:
                continue
            if isinstance(binding, LoadedValue):
                yield from self._loaded(unique_id, binding, ports)
                binding = ValueNode("")
            elif isinstance(binding, Recipe):
                yield from self._merged(binding, ports[0])
            bindings[unique_id] = binding
        yield from self._links(step)
        yield from compilation_problems(step.prompt, step.ports, bindings)
        yield from self._recipes(step.ports, produced)
        yield from self._outputs(step)

    def _binding(
        self, unique_id: str, ports: Sequence[PromptPort], produced: Mapping[str, str]
    ) -> Binding | LoadedValue | None:
        # What an earlier workflow writes is what is there then, whatever the context has now.
        if unique_id in produced or unique_id in self.refused:
            return ValueNode("", type=produced.get(unique_id, ANY))
        if unique_id in self.variables.recipes:
            return ValueNode("", type=self.variables.recipes[unique_id].type)
        if unique_id in self.variables.values:
            return planned(self.variables.values[unique_id], ports)
        return None

    def _loaded(self, unique_id: str, plan: LoadedValue, ports: Sequence[PromptPort]) -> Iterator[GraphProblem]:
        misfits = list(plan_problems(plan, ports))
        yield from misfits
        if not misfits:
            problem = self.transport.input_problem(WantedValue(unique_id, variable_type(ports), plan))
            if problem:
                yield ports[0].problem(problem)

    def _merged(self, recipe: Recipe, port: PromptPort) -> Iterator[GraphProblem]:
        problem = self.transport.reference_problem(recipe.nodes)
        if problem:
            yield port.problem(problem)
        for unique_id in gone_values(recipe.nodes):
            yield port.problem(
                f"its reference loads the value {unique_id!r}, which is gone: its context has ended. "
                "Keep the context in which a reference was made, or make it again"
            )

    def _recipes(self, ports: PromptPorts, produced: Mapping[str, str]) -> Iterator[GraphProblem]:
        """The problems of the recipes that these ports need, at any depth."""
        inputs = ports.inputs().items()
        waiting: list[tuple[str, tuple[str, ...], PromptPort]] = [(key, (key,), same[0]) for key, same in inputs]
        while waiting:
            unique_id, trail, port = waiting.pop()
            recipe = self.variables.recipes.get(unique_id)
            if recipe is None or unique_id in produced:
                continue
            for each in recipe.ports.inputs():
                if each in trail:
                    yield port.problem(f"its reference needs itself: {' → '.join([*trail, each])}")
                else:
                    waiting.append((each, (*trail, each), port))
            yield from self._recipe(recipe, port, produced)

    def _recipe(self, recipe: OpenRecipe, port: PromptPort, produced: Mapping[str, str]) -> Iterator[GraphProblem]:
        bindings: dict[str, Binding] = {}
        for unique_id, ports in recipe.ports.inputs().items():
            binding = self._binding(unique_id, ports, produced)
            if isinstance(binding, LoadedValue):
                for problem in self._loaded(unique_id, binding, ports):
                    yield port.problem(f"its reference: {problem}")
                binding = ValueNode("")
            if binding is not None:
                bindings[unique_id] = binding
        for problem in compilation_problems(recipe.prompt, recipe.ports, bindings):
            yield port.problem(f"its reference: {problem}")

    def _outputs(self, step: WorkflowStep) -> Iterator[GraphProblem]:
        for port in step.ports.outputs().values():
            rule = pass_by(self.rules, port.type)
            if rule != BY_REFERENCE and self.transport.collects(port, rule):
                problem = self.transport.output_problem(port, rule, is_list=self._is_list(step, port))
                if problem:
                    yield port.problem(problem)
            elif self.transport.reference_sink(port.unique_id) is None:
                yield port.problem("the server has no node that it can end with, neither DiscomfortPort nor PreviewAny")

    def _links(self, step: WorkflowStep) -> Iterator[GraphProblem]:
        """Links to outputs that a node does not have; a server tells them as an error in its own code."""
        for node_id, node in step.prompt.items():
            for name, value in node["inputs"].items():
                text = self._link_problem(step.prompt[value[0]], value) if is_link(value) else ""
                if text:
                    yield GraphProblem(node_id, node["class_type"], title_of(node), name, text)

    def _link_problem(self, source: Mapping[str, Any], link: Sequence[Any]) -> str:
        kind = source["class_type"]
        definition = self.definitions.get(kind)
        outputs = definition.get("output") if isinstance(definition, Mapping) else None
        if kind == PORT or not isinstance(outputs, list) or link[1] < len(outputs):
            return ""
        # Classes with outputs of any type may have more than they declare.
        if not all(is_known(slot_type(each)) for each in outputs):
            return ""
        has = {0: "none", 1: "one: 0"}.get(len(outputs), f"0 to {len(outputs) - 1}")
        return f"is linked to output {link[1]} of node {link[0]} {title_of(source) or kind!r}, which has {has}"

    def _is_list(self, step: WorkflowStep, port: PromptPort) -> bool:
        if port.source is None:
            return False
        return is_list_output(self.definitions, step.prompt[port.source[0]]["class_type"], port.source[1])

    def _returning(
        self, step: WorkflowStep, steps: Sequence[WorkflowStep], produced: Container[str]
    ) -> Iterator[GraphProblem]:
        """Outputs of this or a later workflow that return to an input of this one in the next iteration."""
        for unique_id, ports in step.ports.inputs().items() if self.iterations > 1 else ():
            later = (each for each in reversed(steps[step.index :]) if unique_id in each.ports.outputs())
            last = next(later, None)
            if last is None or unique_id in produced:
                continue
            taken, given = variable_type(ports), last.ports.outputs()[unique_id].type
            if excludes(given, taken):
                yield ports[0].problem(f"takes {taken}, but gets {given} from {last.place()} afterwards")
