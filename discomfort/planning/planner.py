"""Makes the plan of a workflow: asks the server for what it has, and compares."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from discomfort._json import JsonObject, copied
from discomfort.exceptions import (
    BrokenLinksError,
    BrowserError,
    ConversionError,
    MissingNode,
    MissingNodesError,
    PayloadError,
    ServerResponseError,
    UnsafePromptError,
)
from discomfort.planning.constant_inputs import (
    ConstantInput,
    UncertainNodes,
    absent_inputs,
    constant_inputs,
    widget_inputs,
)
from discomfort.planning.declared_models import DeclaredModel, declared_models, manager_models
from discomfort.planning.file_search import NamedFile, is_file_input, named_file
from discomfort.planning.import_errors import ImportFailures, import_failures
from discomfort.planning.model_search import (
    EMBEDDINGS,
    ModelUse,
    folders_of,
    is_model_input,
    model_needs,
    model_uses,
    widget_uses,
)
from discomfort.planning.needs import FileNeed, ModelNeed, PackNeed, PartnerNeed, ValueNeed
from discomfort.planning.pack_search import manager_packs, missing_packs
from discomfort.planning.planned_server import PlannedServer
from discomfort.planning.room import crowded, folder_spaces, memory_need, model_sizes
from discomfort.planning.value_search import absent_need, value_need
from discomfort.planning.workflow_plan import WorkflowPlan
from discomfort.workflow.detect import Kind
from discomfort.workflow.interface.declarations import InputTarget
from discomfort.workflow.interface.placing import place_value
from discomfort.workflow.json_values import is_link
from discomfort.workflow.nodes import missing_nodes
from discomfort.workflow.partner_nodes import partner_nodes
from discomfort.workflow.preflight import check_prompt
from discomfort.workflow.prompt_graph import PromptGraph
from discomfort.workflow.prompt_index import host_targets
from discomfort.workflow.replacements import replaced_classes
from discomfort.workflow.selectors import Index
from discomfort.workflow.subgraphs import find_node
from discomfort.workflow.workflow_ports import PORT

_log = logging.getLogger("discomfort.planning")

_CACHED = "which nodes the server would take from its cache: ComfyUI does not tell what its cache has"


LookUp = Callable[[Sequence[ModelNeed]], Awaitable[tuple[tuple[ModelNeed, ...], list[str]]]]
"""Completes models, and says what could not be found out."""


@dataclass(frozen=True, slots=True)
class PlanOrder:
    """What is to be planned. ``values`` are set in the prompt, by selector (``KSampler.seed``).

    Inputs in ``brought`` (``3.image``) get files with the run, so what they have now does not count. ``wrong`` are
    values that are refused before; ``unknown`` is what was found out to be unknown before.
    """

    kind: Kind
    graph: JsonObject
    name: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    brought: frozenset[str] = frozenset()
    wrong: tuple[ValueNeed, ...] = ()
    unknown: tuple[str, ...] = ()
    has_key: bool = False


class Planner:
    """Makes one plan. Only the server is asked, unless ``look_up`` is given, which completes models by their URLs."""

    def __init__(
        self,
        server: PlannedServer,
        order: PlanOrder,
        look_up: LookUp | None = None,
    ) -> None:
        self._server, self._order, self._look_up = server, order, look_up
        self._problems: list[str] = []
        self._unknown: list[str] = [_CACHED, *order.unknown]

    async def make(self) -> WorkflowPlan:
        """The plan. Raises InputSelectorError for a value that fits no input, ServerConnectionError, StateError."""
        order, server = self._order, self._server
        definitions = _with_ports(await server.definitions())
        replacements = await self._replacements(definitions)
        path, prompt = await self._converted()
        given: set[str] = set()
        if prompt is not None:
            given = self._set_values(prompt, definitions)
        elif order.values:
            self._unknown.append("whether the given values fit, since the workflow cannot be converted")
        missing = self._missing(definitions, replacements)
        uncertain = self._uncertain(prompt, missing)
        inputs = self._inputs(prompt, definitions, uncertain, given)
        models = await self._models(inputs, missing, definitions)
        files = await self._files(each for each in inputs if each.place not in order.brought)
        checked = (each for each in self._plain(inputs) if each.node_id not in uncertain or each.place in given)
        values = [*order.wrong, *(need for each in checked if (need := value_need(each)))]
        if prompt is not None:
            absent = (each for each in absent_inputs(prompt, definitions) if each.node_id not in uncertain)
            values += map(absent_need, absent)
            self._check(prompt, definitions, missing)
        paid = partner_nodes(order.graph if prompt is None else prompt, definitions, replacements)
        sizes, spaces = await model_sizes(server, models), await folder_spaces(server, models)
        if problem := crowded(spaces):
            self._problems.append(problem)
        memory = await memory_need(server, models, sizes)
        if memory is None and any(model.inputs for model in models):
            self._unknown.append("the memory that the models need: no size is known")
        return WorkflowPlan(
            name=order.name,
            server=await server.description(),
            models=models,
            packs=await self._packs(missing),
            files=tuple(files),
            values=tuple(values),
            partners=tuple(
                PartnerNeed(node_id=node.node_id, class_type=node.class_type, has_key=order.has_key) for node in paid
            ),
            problems=tuple(self._problems),
            spaces=spaces,
            memory=memory,
            path=path,
            unknown=tuple(self._unknown),
            prompt=prompt,
        )

    # --- the prompt ------------------------------------------------------------------------------------------------

    async def _converted(self) -> tuple[str | None, JsonObject | None]:
        order = self._order
        if order.kind == "prompt":
            return None, copied(order.graph)
        try:
            explained = await self._server.explain(order.graph)
        except BrokenLinksError as error:
            self._problems.append(str(error))
        except (BrowserError, ConversionError) as error:
            # The workflow may be fine: this machine cannot tell.
            self._problems.append(f"the workflow cannot be converted: {error}")
        else:
            return explained.path, explained.prompt
        self._unknown.append("values behind subgraphs and virtual nodes, since the workflow cannot be converted")
        return None, None

    def _set_values(self, prompt: JsonObject, definitions: JsonObject) -> set[str]:
        """Set the given values in the prompt; the places of their inputs."""
        places: set[str] = set()
        known = {key: node for key, node in prompt.items() if isinstance(node.get("class_type"), str)}
        graph = PromptGraph(known, definitions)
        workflow = self._order.graph if self._order.kind == "workflow" else None
        index = Index(graph.targets, graph.names, hosts=host_targets(known, workflow))
        # What a dynamic combo brings (``mode.width``) is there once the combo (``mode``) is set.
        for selector, value in sorted(self._order.values.items(), key=lambda each: each[0].count(".")):
            node_id, name = index.resolve(selector)
            places.add(f"{node_id}.{name}")
            if is_link(value) and value[0] in known:
                known[node_id]["inputs"][name] = value
            else:
                place_value(known, [InputTarget(node_id, name)], value, definitions)
        return places

    def _uncertain(self, prompt: JsonObject | None, missing: Iterable[MissingNode]) -> UncertainNodes:
        is_converted = prompt is not None and self._order.kind == "workflow"
        found = UncertainNodes(node_id for each in missing for node_id in each.node_ids if is_converted)
        self._unknown += [
            f"which values the nodes in node {host} have, since node types in it are missing"
            for host in sorted(found.hosts)
        ]
        return found

    def _inputs(
        self, prompt: JsonObject | None, definitions: JsonObject, uncertain: UncertainNodes, given: set[str]
    ) -> list[ConstantInput]:
        if prompt is None:
            return list(widget_inputs(self._order.graph, definitions))
        found = constant_inputs(prompt, definitions)
        return list(uncertain.corrected(found, prompt, self._order.graph, definitions, given))

    def _plain(self, inputs: Iterable[ConstantInput]) -> Iterable[ConstantInput]:
        return (each for each in inputs if not is_file_input(each) and not is_model_input(each))

    def _check(self, prompt: JsonObject, definitions: JsonObject, missing: Sequence[MissingNode]) -> None:
        """Add what ComfyUI would not survive, or refuse as a whole; ports are not sent as they are."""
        if missing or any(node.get("class_type") in (None, PORT) for node in prompt.values()):
            return
        try:
            check_prompt(prompt, definitions)
        except (UnsafePromptError, MissingNodesError) as error:
            if isinstance(error, UnsafePromptError):
                self._problems.append(str(error))
        except PayloadError as error:
            self._problems.append(str(error))
        except ValueError as error:
            _log.debug("told by its values already: %s", error)

    # --- nodes -----------------------------------------------------------------------------------------------------

    async def _replacements(self, definitions: JsonObject) -> JsonObject:
        if not any(node.class_type for node in missing_nodes(self._order.graph, definitions)):
            return {}
        answer = await self._server.get("/node_replacements")
        return answer if isinstance(answer, dict) else {}

    def _missing(self, definitions: JsonObject, replacements: JsonObject) -> list[MissingNode]:
        missing = missing_nodes(self._order.graph, definitions)
        replaced = replaced_classes([each.class_type for each in missing], definitions, replacements)
        return [each for each in missing if each.class_type not in replaced and each.class_type != PORT]

    async def _packs(self, missing: Sequence[MissingNode]) -> tuple[PackNeed, ...]:
        if not missing:
            return ()
        failures = import_failures([*self._server.log_lines(), *await self._server_log()])
        if not failures.is_complete:
            self._unknown.append("whether packs failed to load: the server's log no longer has its start")
        listed = await self._listed_packs([each.class_type for each in missing if each.pack is None])
        workflow = self._order.graph if self._order.kind == "workflow" else None
        packs = missing_packs(missing, workflow, failures, listed)
        self._tell_failures(packs, failures)
        return packs

    async def _listed_packs(self, classes: Sequence[str]) -> dict[str, list[str]]:
        if not classes:
            return {}
        for path in ("/v2/customnode/getmappings?mode=local", "/customnode/getmappings?mode=local"):
            if found := manager_packs(await self._server.get(path), classes):
                return found
        return {}

    async def _server_log(self) -> list[str]:
        answer = await self._server.get("/internal/logs/raw")
        entries = answer.get("entries") if isinstance(answer, dict) else None
        texts = [entry.get("m") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        return "".join(text for text in texts if isinstance(text, str)).splitlines()

    def _tell_failures(self, packs: Sequence[PackNeed], failures: ImportFailures) -> None:
        if any(pack.pack_id is None and pack.repository is None for pack in packs):
            self._unknown += [
                f"whether the node types without a pack are from {name}, which did not load: {error}"
                for name, error in failures.packs.items()
            ]

    # --- models and files ------------------------------------------------------------------------------------------

    async def _models(
        self, inputs: Sequence[ConstantInput], missing: Sequence[MissingNode], definitions: JsonObject
    ) -> tuple[ModelNeed, ...]:
        workflow = self._order.graph if self._order.kind == "workflow" else None
        declared = list(declared_models(workflow)) if workflow is not None else []
        uses = [*model_uses(inputs, definitions, declared), *self._unnamed_uses(workflow, missing, declared)]
        if any(use.options is None or use.name not in use.options for use in uses):
            declared += await self._listed_models({use.name for use in uses}, declared)
        folders = folders_of(uses, declared)
        needs = model_needs(uses, declared, await self._listings(folders))
        if self._look_up is None:
            return needs
        needs, unknown = await self._look_up(needs)
        self._unknown += unknown
        return needs

    def _unnamed_uses(
        self, workflow: JsonObject | None, missing: Sequence[MissingNode], declared: Sequence[DeclaredModel]
    ) -> Iterable[ModelUse]:
        for node_id in (node_id for each in missing for node_id in each.node_ids) if workflow is not None else ():
            node = find_node(workflow, node_id) if workflow is not None else None
            if node is not None:
                yield from widget_uses(node_id, node, declared)

    async def _listed_models(self, names: set[str], declared: Sequence[DeclaredModel]) -> list[DeclaredModel]:
        """What the manager knows about models for which the workflow has no address."""
        told = {model.base for model in declared if model.url is not None}
        wanted = names - told
        if not wanted:
            return []
        for path in ("/v2/externalmodel/getlist?mode=local", "/externalmodel/getlist?mode=local"):
            if found := [model for model in manager_models(await self._server.get(path)) if model.name in wanted]:
                return found
        return []

    async def _listings(self, folders: set[str] | None) -> dict[str, tuple[str, ...]]:
        if folders is None:
            answer = await self._server.get("/models")
            names = [name for name in answer if isinstance(name, str)] if isinstance(answer, list) else []
            folders = set(names) - {"configs", "custom_nodes"} | {EMBEDDINGS}
        listings: dict[str, tuple[str, ...]] = {}
        for folder in sorted(folders):
            answer = await self._server.get(f"/models/{folder}")
            if isinstance(answer, list):
                listings[folder] = tuple(name for name in answer if isinstance(name, str))
        return listings

    async def _files(self, inputs: Iterable[ConstantInput]) -> list[FileNeed]:
        named = [file for each in inputs if is_file_input(each) and (file := named_file(each))]
        return [file.need() for file in named if not await self._has(file)]

    async def _has(self, file: NamedFile) -> bool:
        try:
            return await self._server.has_file(file.name, file.subfolder, file.folder)
        except ServerResponseError as error:
            self._unknown.append(f"whether {file.shown} (node {file.place}) is there: {error.problem}")
            return True


def _with_ports(definitions: JsonObject) -> JsonObject:
    """Definitions in which a port counts as an output: a run that gives and takes values ends at ports."""
    return {**definitions, PORT: {**definitions[PORT], "output_node": True}} if PORT in definitions else definitions
