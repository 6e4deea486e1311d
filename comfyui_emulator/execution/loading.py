"""Models that the nodes of a run use: those that their inputs name, and those that arrive by their links."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any

from comfyui_emulator.device import Device, DeviceModel
from comfyui_emulator.execution.arrivals import Arrivals
from comfyui_emulator.execution.calls import Inputs, find_blocker, slices
from comfyui_emulator.execution.graph import RunGraph
from comfyui_emulator.registry import JsonObject, NodeType, is_link, node_inputs
from comfyui_emulator.runtime import DeviceMemoryError

Models = tuple[DeviceModel, ...]
PerSlot = tuple[Models, ...]

DATA = frozenset({
    "AUDIO", "BOOLEAN", "COMBO", "CONDITIONING", "FLOAT", "IMAGE", "INT", "LATENT", "MASK", "NOISE", "SAMPLER",
    "SIGMAS", "STRING", "VIDEO",
})  # fmt: skip
"""Types of outputs that are made with a model and are none themselves: they bring no model to the next node."""

_ANY = frozenset({"*", "COMFY_MATCHTYPE_V3"})
_ALL = frozenset({"GUIDER"})
"""Types of outputs that hold every model of their node's inputs, whatever its type."""


class ModelUse:
    """The models of one run's nodes. Does nothing without a device."""

    def __init__(
        self, device: Device | None, graph: RunGraph, registry: Mapping[str, NodeType], arrivals: Arrivals
    ) -> None:
        self._device, self._graph, self._registry, self._arrivals = device, graph, registry, arrivals
        self._brought: dict[str, PerSlot] = {}

    async def load(
        self, node_id: str, inputs: Inputs, in_thread: Callable[[str, Callable[[], None]], Awaitable[Any]]
    ) -> None:
        """Load the models of a node that is about to be called, one after another.

        Raises :class:`~.runtime.Interrupted` or :class:`~.runtime.DeviceMemoryError`.
        """
        if self._device is None:
            return
        kind = self._registry[self._graph.class_type(node_id)]
        calls = slices(inputs, input_is_list=kind.input_is_list)
        # A node that is not called needs no model.
        if not all(find_blocker(call, input_is_list=kind.input_is_list) for call in calls):
            await in_thread(node_id, partial(self._load, self._device, node_id, kind, inputs))

    def brought(self, node_id: str) -> PerSlot:
        """The models that each output of a node brings to the nodes that it is linked to."""
        return self._brought.pop(node_id, ())

    def failed(self, error: BaseException) -> None:
        """A node has failed: as in ComfyUI, a device without memory drops all models."""
        if self._device is not None and isinstance(error, DeviceMemoryError):
            self._device.unload()

    def _load(self, device: Device, node_id: str, kind: NodeType, inputs: Inputs) -> None:
        arriving = list(self._arriving(node_id))
        own = tuple(self._named(device, node_id, kind, inputs))
        for model in dict.fromkeys([*(model for _, models in arriving for model in models), *own]):
            device.use(model)
        self._brought[node_id] = tuple(_brought_by(output, own, arriving) for output in kind.output_types)

    def _arriving(self, node_id: str) -> Iterator[tuple[object, Models]]:
        """The type of each link that brings models, and these."""
        for value in node_inputs(self._graph.node(node_id)).values():
            entry = self._arrivals.of(value[0], node_id) if is_link(value) else None
            slot = int(value[1]) if entry is not None else 0
            if entry is not None and slot < len(entry.models) and entry.models[slot]:
                yield self._registry[self._graph.class_type(value[0])].output_types[slot], entry.models[slot]

    def _named(self, device: Device, node_id: str, kind: NodeType, inputs: Inputs) -> Iterator[DeviceModel]:
        """The models that inputs with a list of options name, by a constant or by a link."""
        given = node_inputs(self._graph.node(node_id))
        declared = kind.shape(given).declared
        for name, values in inputs.items():
            entry = kind.input_entry(name, declared)
            if entry is None or not (isinstance(entry[1], list) or entry[1] == "COMBO"):
                continue
            options = partial(_options, kind, name, given)
            for value in values:
                found = device.find(kind.name, name, value, options) if isinstance(value, str) else None
                if found is not None:
                    yield found


def _options(kind: NodeType, name: str, given: JsonObject) -> list[object]:
    """The options of an input as they are now: files may have come since the class was first asked."""
    entry = kind.input_entry(name, kind.shape(given, kind.input_types()).declared)
    if entry is None:
        return []
    options: list[object] = entry[1] if isinstance(entry[1], list) else entry[2].get("options") or []
    return options


def _brought_by(output: object, own: Models, arriving: list[tuple[object, Models]]) -> Models:
    """The models of one output: those that its node names itself, and those that arrive by a link of its type."""
    if not isinstance(output, str) or output in DATA:
        return ()
    passed = [models for kind, models in arriving if output in _ALL or kind == output or {kind, output} & _ANY]
    return tuple(dict.fromkeys([*own, *(model for models in passed for model in models)]))
