"""Data types of a run: the server's lasting state, the request, and the outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from comfyui_emulator.device import Device
from comfyui_emulator.execution.cache import Expansions, ObjectCache
from comfyui_emulator.execution.durations import paced
from comfyui_emulator.execution.stores import NoStore, Store
from comfyui_emulator.execution.worker import NodeThread
from comfyui_emulator.faults import Faults
from comfyui_emulator.http.hub import Hub
from comfyui_emulator.registry import JsonObject, NodeType, Registry
from comfyui_emulator.runtime import NodeContext


@dataclass(slots=True)
class Engine:
    """The state that outlives a run: node types, caches, the nodes' thread, and the context that every node gets."""

    registry: Registry
    hub: Hub
    thread: NodeThread
    context: NodeContext
    results: Store
    objects: ObjectCache = field(default_factory=ObjectCache)
    expansions: Expansions = field(default_factory=Expansions)
    faults: Faults = field(default_factory=Faults)
    device: Device | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    current_node: str | None = None

    def instance(self, node_id: str, kind: NodeType) -> Any:
        """The object for a node; a new one each time if nothing is cached. Raises :class:`NeedsComfyUIError`."""
        if isinstance(self.results, NoStore):
            return kind.instantiate()
        return self.objects.get(node_id, kind.name, kind.instantiate)

    def function(self, kind: NodeType, instance: Any) -> Callable[..., Any]:
        """The function of a node's object; with a duration for the class, one that takes that long."""
        return paced(getattr(instance, kind.cls.FUNCTION), self.seconds.get(kind.name, 0.0))  # type: ignore[union-attr]

    def unload(self) -> None:
        """Empty the simulated device."""
        if self.device is not None:
            self.device.unload()

    def reset(self) -> None:
        """Forget all results and node objects."""
        self.results.clear()
        self.objects = ObjectCache()
        self.expansions = Expansions()


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A prompt as it was queued; ``sensitive`` is the part of its extra data that only nodes see."""

    prompt_id: str
    prompt: Mapping[str, JsonObject]
    extra_data: JsonObject
    outputs: Sequence[str]
    sensitive: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """The result of a run, for its history record."""

    success: bool
    messages: list[tuple[str, JsonObject]]
    outputs: JsonObject
    meta: JsonObject
