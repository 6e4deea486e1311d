"""The workflows of a pool: each is converted once, and its calls are checked before they wait."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from discomfort._json import JsonObject, dumps
from discomfort._system.concurrency import to_thread
from discomfort.connector.payloads import Payload, load_payload, payload_name, taken
from discomfort.exceptions import MissingNodesError
from discomfort.functions.bound_call import BoundCall, bound
from discomfort.functions.call_filling import extra_data_of
from discomfort.functions.loaded_workflow import LoadedWorkflow, PreparedWorkflow
from discomfort.functions.prompt_filling import filled_prompt
from discomfort.functions.sidecar_files import read_sidecar
from discomfort.pool.definition_groups import DefinitionGroup
from discomfort.pool.group_host import GroupHost
from discomfort.pool.prompt_models import models_by_node, skeleton_of
from discomfort.pool.run_requests import ModelFile
from discomfort.workflow.detect import Kind

_MOST_WORKFLOWS = 64
"""Workflows that stay converted; the longest unused goes first."""

_NO_FILE = "discomfort-file-of-a-call"
"""Stands for the name of a file that is not on a server yet."""


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A call that may wait: checked, and known as far as the scheduler needs. ``groups`` may run its prompt."""

    name: str
    bound: BoundCall = field(repr=False)
    extra_data: Mapping[str, Any] = field(repr=False)
    models: Mapping[str, frozenset[ModelFile]] = field(repr=False)
    """The models that each node names."""
    skeleton: str
    digest: str
    groups: frozenset[str]

    @property
    def all_models(self) -> frozenset[ModelFile]:
        """All models that the prompt names."""
        return frozenset(model for models in self.models.values() for model in models)


class PoolWorkflow:
    """A workflow as the pool has it. ``graph`` is not changed."""

    def __init__(self, kind: Kind, graph: JsonObject, sidecar: Mapping[str, Any] | None, name: str) -> None:
        self.kind, self.graph, self.sidecar, self.name = kind, graph, sidecar, name
        self._loaded: dict[str, LoadedWorkflow] = {}

    async def prepared(self, fingerprint: str, host: GroupHost) -> PreparedWorkflow:
        """The workflow for a group of servers, converted by ``host``."""
        loaded = self._loaded.get(fingerprint)
        if loaded is None:
            loaded = LoadedWorkflow(host, self.kind, self.graph, self.sidecar, self.name)
            self._loaded[fingerprint] = loaded
        return await loaded.prepared()


class PoolWorkflows:
    """Keeps the workflows that were used last."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, PoolWorkflow] = OrderedDict()

    async def load(self, payload: Payload, interface: Any = None) -> PoolWorkflow:
        """A workflow or prompt. Raises as :meth:`ComfyConnector.load`."""
        own = taken(payload)
        kind, graph = await load_payload(own)
        name = payload_name(own)
        sidecar = await to_thread(read_sidecar, own, interface)
        digest = hashlib.blake2b(dumps([kind, graph, sidecar, name]), digest_size=16).hexdigest()
        found = self._known.get(digest)
        if found is None:
            found = self._known[digest] = PoolWorkflow(kind, graph, sidecar, name or "workflow")
            if len(self._known) > _MOST_WORKFLOWS:
                self._known.popitem(last=False)
        self._known.move_to_end(digest)
        return found


async def prepare_call(
    workflow: PoolWorkflow,
    values: Mapping[str, Any],
    extra_data: Mapping[str, Any],
    groups: Mapping[DefinitionGroup, GroupHost],
    *,
    allow_paid: bool | None,
) -> PreparedCall:
    """Convert the workflow if it was not yet, and check a call of it, for the first group that has its nodes.

    Raises CallError, MissingNodesError if no group has them, PaidNodesError, and as ``get_prompt_from_workflow``.
    """
    group, host, prepared = await _first_fitting(workflow, groups)
    call = bound(prepared, values)
    if call.deliveries or any(call.kept_files()):
        await call.check_files(host)
        await call.check_kept_files(host)
    call.raise_problems(workflow.name)
    host.refuse_paid(prepared.prompt, prepared.definitions, allow_paid=allow_paid)
    prompt = _outline(call)
    classes = {str(node.get("class_type")) for node in prompt.values()}
    fitting = [each for each in groups if each is group or group.is_compatible(each, classes)]
    return PreparedCall(
        name=workflow.name,
        bound=call,
        extra_data=extra_data_of(call, extra_data),
        models=models_by_node(prompt, prepared.definitions),
        skeleton=skeleton_of(prompt),
        digest=hashlib.blake2b(dumps(prompt), digest_size=16).hexdigest(),
        groups=frozenset(each.fingerprint for each in fitting),
    )


async def _first_fitting(
    workflow: PoolWorkflow, groups: Mapping[DefinitionGroup, GroupHost]
) -> tuple[DefinitionGroup, GroupHost, PreparedWorkflow]:
    missing: list[MissingNodesError] = []
    for group, host in groups.items():
        try:
            prepared = await workflow.prepared(group.fingerprint, host)
            if workflow.kind != "workflow":
                # A conversion has found out; a prompt is only known to be for some server.
                await host.check(prepared.prompt)
        except MissingNodesError as error:
            missing.append(error)
        else:
            return group, host, prepared
    raise min(missing, key=lambda error: len(error.missing))


def _outline(call: BoundCall) -> JsonObject:
    """The prompt of a call, with a name in the place of each file that will be uploaded."""
    places = {name: dict.fromkeys(delivery.files, _NO_FILE) for name, delivery in call.deliveries.items()}
    return filled_prompt(call, places).prompt
