"""Drafts of sidecars: the text of a ``workflow.discomfort.yaml`` that people edit, for what a workflow declares."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from discomfort._json import JsonObject
from discomfort.exceptions import InputSelectorError
from discomfort.workflow.interface.declarations import NO_DEFAULT, InputTarget, InterfaceOutput, Parameter
from discomfort.workflow.interface.interface_text import details, one_line_of
from discomfort.workflow.interface.json_schemas import is_json
from discomfort.workflow.interface.naming import free_name, identifier
from discomfort.workflow.interface.parameter_facts import input_facts
from discomfort.workflow.interface.parameters import Interface
from discomfort.workflow.json_values import is_link
from discomfort.workflow.nodes import title_of
from discomfort.workflow.prompt_graph import PromptGraph
from discomfort.workflow.selectors import Index

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_FIELDS = {
    "type": "type", "default": "default", "minimum": "minimum", "maximum": "maximum", "step": "step",
    "choices": "choices", "label": "label", "description": "description", "is_multiline": "multiline",
}  # fmt: skip
_UNSET: Mapping[str, Any] = {"default": NO_DEFAULT, "label": "", "description": "", "is_multiline": False}

_HEAD = """\
# The inputs and outputs of {file} by name: for ComfyConnector.load, and for options of discomfort run.
# An input has a target, or targets: NODE.INPUT, where NODE is a title, a class or #id. It may have
# label, description, default, minimum, maximum, step, choices, required, and hidden.
# discomfort interface {file} shows what comes of it.
"""
_NOTHING = """\
  # The workflow declares no inputs. Remove the # before those that you want to set by name, and rename them.
"""


def sidecar_draft(interface: Interface, prompt: JsonObject, definitions: Mapping[str, Any], file: str) -> str:
    """The YAML of a sidecar that declares what ``interface`` has, for the workflow in ``file``.

    Bounds, choices and defaults are in comments, since they come from the server and from the workflow; an entry has
    those that another source has set. If there are no inputs, each constant of the prompt is there as a comment.
    """
    draft = _Draft(prompt, definitions)
    lines = [*_HEAD.format(file=one_line_of(file)).splitlines(), "inputs:"]
    for parameter in interface.inputs.values():
        lines += draft.input(parameter)
    if not interface.inputs:
        lines += [*_NOTHING.splitlines(), *(f"  # {line}" for line in draft.candidates())]
    lines.append("outputs:")
    for output in interface.outputs.values():
        lines += draft.output(output)
    return "\n".join(lines) + "\n"


def yaml_text(value: Any) -> str:
    """A value of JSON in one line of YAML, in the form that all versions of YAML read alike."""
    if isinstance(value, str):
        return f'"{"".join(map(_character, value))}"'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{yaml_text(str(key))}: {yaml_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(yaml_text, value)) + "]"
    text = json.dumps(value)
    # YAML 1.1 reads 1e+20 as a text.
    return text.replace("e", ".0e") if isinstance(value, float) and "e" in text and "." not in text else text


def _character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _key(name: str) -> str:
    return name if _PLAIN.fullmatch(name) and name.lower() not in _WORDS else yaml_text(name)


class _Draft:
    """Finds the selectors that name the places of one prompt, by title or class where that is clear."""

    def __init__(self, prompt: JsonObject, definitions: Mapping[str, Any]) -> None:
        self._prompt, self._definitions = prompt, definitions
        graph = PromptGraph(prompt, definitions)
        self._index = Index(graph.targets, graph.names)

    def input(self, parameter: Parameter) -> list[str]:
        """The lines of one input."""
        fields: dict[str, Any] = {}
        if parameter.port is not None:
            fields["port"] = parameter.port
        elif len(parameter.targets) == 1:
            fields["target"] = self._selector(parameter.targets[0])
        else:
            fields["targets"] = [self._selector(target) for target in parameter.targets]
        if parameter.port is None:
            fields |= self._set_elsewhere(parameter)
        if parameter.is_hidden:
            fields["hidden"] = True
        return _entry(parameter.name, details(parameter), fields)

    def output(self, output: InterfaceOutput) -> list[str]:
        """The lines of one output."""
        place = {"port": output.port} if output.port is not None else {"node": self._node(output.node_id)}
        told = {key: text for key, text in (("label", output.label), ("description", output.description)) if text}
        return _entry(output.name, output.type, place | told)

    def candidates(self) -> Iterator[str]:
        """One line for each constant of the prompt."""
        taken: set[str] = set()
        for node_id, node in self._prompt.items():
            for input_name, value in node["inputs"].items():
                if is_link(value) and value[0] in self._prompt:
                    continue
                target = InputTarget(node_id, input_name)
                texts = (input_name, f"{title_of(node) or node['class_type']} {input_name}")
                name = free_name([each for each in map(identifier, texts) if each] or ["input"], taken)
                taken.add(name)
                facts = input_facts(self._prompt, target, self._definitions)
                about = details(Parameter(name=name, source="output", **facts))
                yield f"{_key(name)}: {{target: {yaml_text(self._selector(target))}}}  # {one_line_of(about)}"

    def _set_elsewhere(self, parameter: Parameter) -> dict[str, Any]:
        """The fields that differ from what server and workflow say about the first target."""
        facts: dict[str, Any] = {}
        if parameter.targets and parameter.targets[0].node_id in self._prompt:
            facts = input_facts(self._prompt, parameter.targets[0], self._definitions)
        fields: dict[str, Any] = {}
        for field, key in _FIELDS.items():
            value = getattr(parameter, field)
            if value != facts.get(field, _UNSET.get(field)) and value is not NO_DEFAULT and is_json(value):
                fields[key] = value
        if parameter.is_required and "default" in facts:
            fields["required"] = True
        return {key: value for key, value in fields.items() if value is not None}

    def _selector(self, target: InputTarget) -> str:
        """The clearest selector that names just this input."""
        node = self._prompt.get(target.node_id)
        names = [] if node is None else [name for name in (title_of(node), node["class_type"]) if name]
        for name in names:
            selector = f"{name}.{target.input_name}"
            if self._names(selector) == (target.node_id, target.input_name):
                return selector
        return f"#{target.node_id}.{target.input_name}"

    def _names(self, selector: str) -> tuple[str, str] | None:
        try:
            return self._index.resolve(selector)
        except InputSelectorError:
            return None

    def _node(self, node_id: str) -> str:
        node = self._prompt.get(node_id)
        names = [] if node is None else [name for name in (title_of(node), node["class_type"]) if name]
        for name in names:
            same = [key for key, each in self._prompt.items() if name in (title_of(each), each["class_type"])]
            if same == [node_id] and name not in self._prompt and name[:1] not in "#@%":
                return name
        return f"#{node_id}"


def _entry(name: str, about: str, fields: Mapping[str, Any]) -> list[str]:
    comment = f"  # {one_line_of(about)}" if about else ""
    return [f"  {_key(name)}:{comment}", *(f"    {key}: {yaml_text(value)}" for key, value in fields.items())]
