"""The prompt of one call: values in the inputs that take them, nodes that load files, and what brings ports' values.

Pure; the given prompt is not changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from discomfort._json import JsonObject, copied
from discomfort.core_values.core_outputs import Collector, output_classes, output_kind
from discomfort.exceptions import PortError
from discomfort.functions.bound_call import BoundCall
from discomfort.workflow.compilation import Binding, Literal, Recipe, Sink, compiled
from discomfort.workflow.interface.declarations import InterfaceOutput, Parameter
from discomfort.workflow.interface.placing import closed_branch, place_value
from discomfort.workflow.port_types import is_known
from discomfort.workflow.prompt_ports import PromptPort, PromptPorts

VIDEO_FOLDER = "discomfort"
"""Folder in the server's output folder for the videos of ports."""
_MEDIA: Mapping[str, Sink] = {
    "AUDIO": Sink("PreviewAudio", name="audio"),
    "VIDEO": Sink(
        "SaveVideo", {"filename_prefix": f"{VIDEO_FOLDER}/video", "format": "auto", "codec": "auto"}, name="video"
    ),
}


@dataclass(slots=True)
class FilledPrompt:
    """A prompt to send. ``nodes`` are the ids of the nodes whose results each output of the interface has.

    ``collectors`` are those of ports, by the name of the output.
    """

    prompt: JsonObject = field(repr=False)
    nodes: dict[str, str] = field(default_factory=dict)
    collectors: dict[str, Collector] = field(default_factory=dict)


def filled_prompt(call: BoundCall, places: Mapping[str, Mapping[str, str]]) -> FilledPrompt:
    """The prompt of a call; ``places`` has what an input takes for each file of each delivery, by name.

    Raises PortError for ports that get no value, or whose values cannot come back.
    """
    workflow = call.workflow
    prompt = _selected_prompt(call)
    bindings: dict[str, Binding] = {}
    # What a dynamic combo brings (``mode.width``) is set after the combo (``mode``).
    for name, parameter in sorted(workflow.interface.inputs.items(), key=_depth):
        binding = _binding(call, parameter, places.get(name, {}))
        if binding is not None:
            _set(prompt, parameter, binding, workflow.definitions)
            if parameter.port is not None:
                bindings[parameter.port] = binding
    for selector, parameter in call.unnamed.items():
        _set(prompt, parameter, Literal(next(iter(places[selector].values()))), workflow.definitions)
    outputs = workflow.interface.outputs
    filled = FilledPrompt(prompt, {name: output.node_id for name, output in outputs.items() if output.port is None})
    if workflow.ports.ports:
        _compile(filled, call, bindings)
    return filled


def _depth(named: tuple[str, Parameter]) -> int:
    return max((target.input_name.count(".") for target in named[1].targets), default=0)


def _selected_prompt(call: BoundCall) -> JsonObject:
    if not call.selected:
        made: JsonObject = copied(call.workflow.prompt)
        return made
    editor = call.workflow.editor()
    for selector, value in call.selected.items():
        editor.set(selector, value)
    return editor.payload


def _binding(call: BoundCall, parameter: Parameter, places: Mapping[str, str]) -> Binding | None:
    if parameter.name in call.constants:
        return Literal(call.constants[parameter.name])
    delivery = call.deliveries.get(parameter.name)
    if delivery is None:
        return None
    if parameter.upload is not None and parameter.port is None:
        return Literal(next(iter(places.values())))
    return delivery.shipment.recipe(places)


def _set(prompt: JsonObject, parameter: Parameter, binding: Binding, definitions: Mapping[str, Any]) -> None:
    if isinstance(binding, Recipe) and parameter.targets:
        prompt |= copied(binding.nodes)
    for target in parameter.targets:
        node = prompt.get(target.node_id)
        if node is None or closed_branch(prompt, target, definitions) is not None:
            continue
        if isinstance(binding, Literal):
            place_value(prompt, [target], binding.value, definitions)
        elif isinstance(binding, Recipe):
            node["inputs"][target.input_name] = list(binding.output)


def _compile(filled: FilledPrompt, call: BoundCall, bindings: Mapping[str, Binding]) -> None:
    """Replace the ports."""
    workflow = call.workflow
    named = {output.port: output for output in workflow.interface.outputs.values() if output.port is not None}
    ports = workflow.ports.outputs()
    sinks: dict[str, Sink] = {}
    for unique_id, port in ports.items():
        if unique_id in named:
            known = replace(port, source_type=_type_of(port, workflow.ports))
            sinks[unique_id] = _sink(filled, named[unique_id], known, workflow.definitions)
    filled.prompt = compiled(filled.prompt, workflow.ports, bindings, sinks)
    for unique_id, output in named.items():
        collector = filled.collectors.get(output.name)
        if collector is not None:
            collector.complete(filled.prompt, is_list=_is_list(filled.prompt, workflow.definitions, ports[unique_id]))
            filled.nodes[output.name] = collector.nodes[0]
        elif unique_id in ports:
            filled.nodes[output.name] = ports[unique_id].node_id


def _type_of(port: PromptPort, ports: PromptPorts) -> str:
    """The type of what an OUTPUT port takes; that of an INPUT port which is all that feeds it, if it is one."""
    if is_known(port.type) or port.source is None:
        return port.type
    return next((each.type for each in ports.ports if each.node_id == port.source[0]), port.type)


def _sink(filled: FilledPrompt, output: InterfaceOutput, port: PromptPort, definitions: Mapping[str, Any]) -> Sink:
    kind = output_kind(port.type)
    media = _MEDIA.get(port.type.upper())
    classes = output_classes(kind) if media is None else (media.class_type,)
    missing = [name for name in classes if name not in definitions]
    if missing or not classes:
        reason = f"the server has no node {', '.join(missing)}" if missing else "no node of every ComfyUI brings it"
        raise PortError(
            f"the output {output.name!r} of type {port.type} cannot come back: {reason}. Run the workflow by "
            "Discomfort.run, which gives a reference to it"
        )
    if media is not None:
        return media
    collector = filled.collectors[output.name] = Collector(kind, port)
    return collector.sink()


def _is_list(prompt: JsonObject, definitions: Mapping[str, Any], port: PromptPort) -> bool:
    source = port.source
    node = None if source is None else prompt.get(source[0])
    definition = definitions.get(node["class_type"]) if isinstance(node, Mapping) else None
    flags = definition.get("output_is_list") if isinstance(definition, Mapping) else None
    return isinstance(flags, list) and source is not None and source[1] < len(flags) and bool(flags[source[1]])
