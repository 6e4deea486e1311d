"""Inputs and outputs that nodes of other packs declare: comfy-pack (``CPack…``) and ComfyDeploy (``ComfyUIDeploy…``).

A node of comfy-pack has its name in its title, else the input that it feeds gives it; the value is its first input. A
node of ComfyDeploy has its name in ``input_id``, beside which are its value, bounds and texts. (Seen in the sources of
both packs in November 2026.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from discomfort._json import JsonObject
from discomfort.workflow.dynamic_inputs import expanded, input_specs, spec_type
from discomfort.workflow.input_values import WIDGET_TYPES
from discomfort.workflow.interface.declarations import NO_DEFAULT, InputTarget, InterfaceProblem
from discomfort.workflow.interface.source_entries import InputEntry, OutputEntry, SourceEntries
from discomfort.workflow.interface.title_outputs import output_type
from discomfort.workflow.json_values import is_link
from discomfort.workflow.nodes import title_of

_PACK_INPUT, _PACK_OUTPUT = "CPackInput", "CPackOutput"
_DEPLOY_INPUT = "ComfyUIDeployExternal"
_DEPLOY_OUTPUTS = ("ComfyDeployOutput", "ComfyUIDeployOutput", "ComfyDeployStdOutput")
_VALUES = ("default_value", "default_lora_name", "default_checkpoint_name", "audio_file", "default_value_url")
"""Inputs of ComfyDeploy's nodes that hold the value, the likeliest first."""


def node_entries(prompt: JsonObject, definitions: Mapping[str, Any]) -> SourceEntries:
    """What these nodes declare."""
    found = SourceEntries()
    for node_id, node in prompt.items():
        kind = node["class_type"]
        entry = f"node {node_id} ({kind})"
        if kind.startswith(_PACK_INPUT):
            _pack_input(prompt, node_id, entry, found)
        elif kind.startswith(_DEPLOY_INPUT):
            _deploy_input(prompt, node_id, entry, definitions, found)
        elif kind.startswith((_PACK_OUTPUT, *_DEPLOY_OUTPUTS)):
            named = node["inputs"].get("output_id") if not kind.startswith(_PACK_OUTPUT) else None
            given = {"type": output_type(prompt, node_id, definitions)}
            names = (named,) if isinstance(named, str) and named else _pack_names(prompt, node_id, _PACK_OUTPUT)
            found.outputs.append(
                OutputEntry(source="node", entry=entry, names=names, is_exact=True, node_id=node_id, given=given)
            )
    return found


def _pack_input(prompt: JsonObject, node_id: str, entry: str, found: SourceEntries) -> None:
    inputs = prompt[node_id]["inputs"]
    name = next(iter(inputs), None)
    if name is None or is_link(inputs[name]):
        problem = "its value is computed by another node" if name else "it has no value"
        found.problems.append(InterfaceProblem("node", entry, problem, "type a value into the node"))
        return
    given = {field: inputs[key] for key, field in _BOUNDS if _is_number(inputs.get(key))}
    value = inputs[name]
    if "minimum" in given and given["minimum"] == given.get("maximum"):
        given = {}  # both at 0, as the node is made: no bounds
    names = _pack_names(prompt, node_id, _PACK_INPUT)
    if isinstance(value, str) and prompt[node_id]["class_type"].endswith("InputFile"):
        given["upload"] = "file"
    target = InputTarget(node_id, name)
    found.inputs.append(
        InputEntry(source="node", entry=entry, names=names, is_exact=True, targets=(target,), given=given)
    )


_BOUNDS = (("min", "minimum"), ("max", "maximum"))


def _pack_names(prompt: JsonObject, node_id: str, prefix: str) -> tuple[str, ...]:
    """The title if it is an identifier, else the name of the first input that the node feeds, else the class."""
    title = title_of(prompt[node_id]) or ""
    fed = next(
        (
            name
            for node in prompt.values()
            for name, value in node["inputs"].items()
            if is_link(value) and value[0] == node_id and value[1] == 0
        ),
        "",
    )
    short = prompt[node_id]["class_type"].removeprefix(prefix)
    return tuple(text for text in ((title,) if title.isidentifier() else (fed, title, short)) if text)


def _deploy_input(
    prompt: JsonObject, node_id: str, entry: str, definitions: Mapping[str, Any], found: SourceEntries
) -> None:
    node = prompt[node_id]
    inputs = node["inputs"]
    name = inputs.get("input_id", inputs.get("name"))
    if not isinstance(name, str) or not name:
        problem = "its input_id is empty" if not is_link(name) else "its input_id is computed by another node"
        found.problems.append(InterfaceProblem("node", entry, problem, "type a name into it"))
        return
    specs = expanded(input_specs(definitions.get(node["class_type"])), inputs)
    target, given = _deploy_value(node_id, inputs, specs)
    if target is None:
        found.problems.append(InterfaceProblem("node", entry, "it has no input for a value", "update the node's pack"))
        return
    for key, field in (("min_value", "minimum"), ("max_value", "maximum")):
        if _is_number(inputs.get(key)):
            given[field] = inputs[key]
    for key, field in (("display_name", "label"), ("description", "description")):
        if isinstance(inputs.get(key), str) and inputs[key]:
            given[field] = inputs[key]
    options = inputs.get("options")
    if node["class_type"].endswith("Enum") and isinstance(options, str) and (listed := _options(options)):
        given |= {"type": "COMBO", "choices": listed}
    found.inputs.append(
        InputEntry(source="node", entry=entry, names=(name,), is_exact=True, targets=(target,), given=given)
    )


def _deploy_value(
    node_id: str, inputs: Mapping[str, Any], specs: Mapping[str, Any]
) -> tuple[InputTarget | None, dict[str, Any]]:
    """The input that holds the value. One of a type that only links bring (``IMAGE``) has no constant as default."""
    names = [name for name in _VALUES if name in inputs or name in specs]
    for name in names:
        kind = spec_type(specs[name]) if name in specs else ""
        if kind and kind not in WIDGET_TYPES:
            return InputTarget(node_id, name), {"type": kind, "default": None}
        if not is_link(inputs.get(name)):
            extra = {"type": "AUDIO", "upload": "audio"} if name == "audio_file" else {}
            return InputTarget(node_id, name), {"default": inputs.get(name, NO_DEFAULT), **extra}
    return None, {}


def _options(text: str) -> tuple[str, ...]:
    """The values of an Enum node: JSON's list of texts, or one a line or between commas."""
    parts = text.strip().strip("[]").replace("\n", ",").split(",")
    return tuple(option for part in parts if (option := part.strip().strip("\"'").strip()))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
