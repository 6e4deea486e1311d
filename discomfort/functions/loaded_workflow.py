"""A workflow that was loaded: converted once, and again only if the server's nodes have changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from discomfort._json import JsonObject
from discomfort.functions.host import ConversionHost
from discomfort.workflow.detect import Kind
from discomfort.workflow.edit import Editor
from discomfort.workflow.interface.declarations import InputTarget, InterfaceProblem, Parameter
from discomfort.workflow.interface.interface_text import one_line_of
from discomfort.workflow.interface.parameters import Interface
from discomfort.workflow.interface.sources import interface_of
from discomfort.workflow.prompt_index import prompt_index
from discomfort.workflow.prompt_ports import PromptPorts, prompt_ports

_log = logging.getLogger("discomfort.interface")
_MOST_WARNINGS = 20


@dataclass(frozen=True, slots=True)
class PreparedWorkflow:
    """A workflow as one server has it. ``workflow`` is ``None`` if it was loaded as a prompt."""

    prompt: JsonObject = field(repr=False)
    workflow: JsonObject | None = field(repr=False)
    definitions: Mapping[str, Any] = field(repr=False)
    interface: Interface
    ports: PromptPorts = field(repr=False, default_factory=PromptPorts)

    def editor(self) -> Editor:
        """An editor of a copy of the prompt."""
        return Editor(self.prompt, self.definitions, workflow=self.workflow)

    def target(self, selector: str) -> InputTarget:
        """The input of the prompt that a selector names. Raises InputSelectorError."""
        return InputTarget(*prompt_index(self.prompt, self.definitions, self.workflow).resolve(selector))

    def finds_outputs(self, parameter: Parameter) -> bool:
        """Whether the inputs of a parameter find files in the folders of outputs: those of ComfyUI's own nodes do."""
        return all(self._is_own(target.node_id) for target in parameter.targets)

    def _is_own(self, node_id: str) -> bool:
        node = self.prompt.get(node_id)
        definition = self.definitions.get(node["class_type"]) if isinstance(node, Mapping) else None
        module = definition.get("python_module") if isinstance(definition, Mapping) else None
        return isinstance(module, str) and module.partition(".")[0] in ("nodes", "comfy_extras")


class LoadedWorkflow:
    """What all functions of one ``load`` share. ``graph`` is not changed."""

    def __init__(
        self, host: ConversionHost, kind: Kind, graph: JsonObject, sidecar: Mapping[str, Any] | None, name: str
    ) -> None:
        """``name`` is what the log calls the workflow."""
        self._host, self._kind, self._graph, self._sidecar, self._name = host, kind, graph, sidecar, name
        self._prepared: PreparedWorkflow | None = None
        self._lock = asyncio.Lock()

    @property
    def source(self) -> tuple[Kind, JsonObject]:
        """What was loaded, which is not to be changed."""
        return self._kind, self._graph

    @property
    def known(self) -> PreparedWorkflow:
        """As it was last prepared."""
        if self._prepared is None:
            raise RuntimeError("the workflow was not prepared")
        return self._prepared

    async def prepared(self) -> PreparedWorkflow:
        """As the present server has it. Raises as ``get_prompt_from_workflow`` does."""
        definitions = await self._host.node_definitions()
        if self._is_current(definitions):
            return self.known
        # One conversion for all calls that wait for it.
        async with self._lock:
            if not self._is_current(definitions):
                self._prepared = await self._prepare(definitions)
        return self.known

    async def without_missing_nodes(self) -> PreparedWorkflow:
        """The workflow as far as the server has its node types. Raises as :meth:`ComfyConnector.explain`."""
        explained = await self._host.explain(self._graph)
        known = {key: node for key, node in explained.prompt.items() if isinstance(node.get("class_type"), str)}
        return self._made(known, await self._host.node_definitions())

    def _is_current(self, definitions: Mapping[str, Any]) -> bool:
        # The same object as long as the connection is the same.
        known = self._prepared
        return known is not None and (known.definitions is definitions or known.definitions == definitions)

    async def _prepare(self, definitions: Mapping[str, Any]) -> PreparedWorkflow:
        is_prompt = self._kind != "workflow"
        prompt = self._graph if is_prompt else await self._host.get_prompt_from_workflow(self._graph)
        return self._made(prompt, definitions)

    def _made(self, prompt: JsonObject, definitions: Mapping[str, Any]) -> PreparedWorkflow:
        workflow = self._graph if self._kind == "workflow" else None
        interface = interface_of(prompt, definitions, workflow=workflow, sidecar=self._sidecar)
        self._warn(interface.problems)
        return PreparedWorkflow(prompt, workflow, definitions, interface, prompt_ports(prompt, definitions, workflow))

    def _warn(self, problems: Sequence[InterfaceProblem]) -> None:
        """Log what was not known before: a program that does not look at the interface should see it, too."""
        known = () if self._prepared is None else self._prepared.interface.problems
        new = [problem for problem in problems if problem not in known]
        for problem in new[:_MOST_WARNINGS]:
            _log.warning("%s: %s", self._name, one_line_of(str(problem)))
        if len(new) > _MOST_WARNINGS:
            _log.warning("%s: %d more, see interface.problems", self._name, len(new) - _MOST_WARNINGS)
