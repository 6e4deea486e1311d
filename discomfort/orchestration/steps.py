"""Steps of a run: the workflows of its list as prompts with ports, each file read and each workflow converted once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import IOBase
from pathlib import Path
from typing import Any

import orjson

from discomfort._json import JsonObject
from discomfort.connector.payloads import Payload, load_payload, taken
from discomfort.exceptions import PortError, WorkflowPlace
from discomfort.orchestration.run_places import placed
from discomfort.orchestration.worker import Worker
from discomfort.workflow.compilation import ancestors
from discomfort.workflow.detect import Kind
from discomfort.workflow.prompt_ports import PromptPorts, prompt_ports

_FEW_NODES = 100


@dataclass(frozen=True, slots=True)
class WorkflowStep:
    """One workflow of the list. ``origin`` is the digest of its content; a prompt has no ``workflow``."""

    index: int
    name: str
    origin: str
    prompt: JsonObject = field(repr=False)
    workflow: JsonObject | None = field(repr=False)
    ports: PromptPorts = field(repr=False, default_factory=PromptPorts)

    def place(self, iteration: int = 0) -> WorkflowPlace:
        """Where an error of this step is."""
        return WorkflowPlace(self.index, self.name, iteration)


@dataclass(frozen=True, slots=True)
class OpenRecipe:
    """A workflow or prompt that was stored as a reference: the part that makes the value at the port ``unique_id``."""

    unique_id: str
    origin: str
    prompt: JsonObject = field(repr=False)
    ports: PromptPorts = field(repr=False)

    @property
    def type(self) -> str:
        """The type of the value."""
        return self.ports.outputs()[self.unique_id].type


def is_small(steps: Iterable[WorkflowStep]) -> bool:
    """Whether prompts are so small that work on them takes less time than to hand it to a thread."""
    return sum(len(step.prompt) for step in steps) <= _FEW_NODES


_NO_LISTS = (bytes, bytearray, set, frozenset, IOBase)
"""Can be iterated, but have no order, or are a workflow's text and no list."""


def listed(workflows: object) -> list[Payload]:
    """The workflows of a list, or the one that is given alone, as they are now. Raises ValueError, TypeError."""
    if workflows is None or isinstance(workflows, str | os.PathLike | Mapping):
        items = [] if workflows is None or workflows == "" else [workflows]
    elif isinstance(workflows, Iterable) and not isinstance(workflows, _NO_LISTS):
        items = list(workflows)
    else:
        raise TypeError(f"workflows is a list of paths, JSON texts or objects, not {type(workflows).__name__}")
    if not items:
        raise ValueError("there is no workflow to run: the list is empty")
    for index, item in enumerate(items):
        if not isinstance(item, str | os.PathLike | Mapping):
            raise TypeError(f"workflows[{index}] is a path, JSON text or an object, not {type(item).__name__}")
    return [taken(item) for item in items]


class Conversions:
    """Prompts of workflows, for one run: each distinct workflow is converted once."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._prompts: dict[str, JsonObject] = {}
        self._recipes: dict[tuple[str, str], OpenRecipe] = {}

    async def steps(self, payloads: Iterable[Payload]) -> list[WorkflowStep]:
        """The steps of a list, without ports. Errors name the place in the list."""
        return [await self._step(index, payload) for index, payload in enumerate(payloads)]

    async def _step(self, index: int, payload: Payload) -> WorkflowStep:
        name = _file_name(payload)
        with placed(WorkflowPlace(index, name, 0)):
            kind, graph = await load_payload(payload)
            origin = content_digest(graph)
            prompt = await self._prompt(kind, graph, origin)
            return WorkflowStep(index, name, origin, prompt, graph if kind == "workflow" else None)

    async def recipe(self, unique_id: str, stored: Mapping[str, Any], definitions: Mapping[str, Any]) -> OpenRecipe:
        """The part of a stored workflow or prompt that makes the value of ``unique_id``. Raises PortError."""
        kind, graph = await load_payload(dict(stored))
        origin = content_digest(graph)
        known = self._recipes.get((unique_id, origin))
        if known is not None:
            return known
        prompt = await self._prompt(kind, graph, origin)
        port = prompt_ports(prompt, definitions, graph if kind == "workflow" else None).outputs().get(unique_id)
        if port is None:
            raise PortError(f"the reference {unique_id!r} has no OUTPUT port of this id, or nothing arrives there")
        needed = ancestors(prompt, (port.node_id, 0))
        made = OpenRecipe(unique_id, origin, needed, prompt_ports(needed, definitions))
        self._recipes[unique_id, origin] = made
        return made

    async def _prompt(self, kind: Kind, graph: JsonObject, origin: str) -> JsonObject:
        if kind == "prompt":
            return graph
        if origin not in self._prompts:
            self._prompts[origin] = await self._worker.get_prompt_from_workflow(graph)
        return self._prompts[origin]


def content_digest(graph: JsonObject) -> str:
    """A digest of a workflow or prompt, whatever the order of its keys."""
    try:
        text = orjson.dumps(graph, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, RecursionError):  # such as integers beyond 64 bits
        text = json.dumps(graph, sort_keys=True).encode()
    return hashlib.sha256(text).hexdigest()


def _file_name(payload: Payload) -> str:
    if isinstance(payload, Mapping) or (isinstance(payload, str) and payload.lstrip("\ufeff \t\r\n")[:1] in ("{", "[")):
        return ""
    return Path(payload).name
