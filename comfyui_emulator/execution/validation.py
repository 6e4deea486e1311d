"""Validates prompts, with the same errors, texts and fields as ComfyUI.

Nodes are visited from each output through its links, depth first. There is no recursion, so that the length of a chain
is not limited. A class's own validator may be a coroutine function, which is awaited.
"""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Awaitable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from comfyui_emulator.execution.calls import call_each
from comfyui_emulator.execution.inputs import bare_hidden_values, gather
from comfyui_emulator.registry import JsonObject, NodeType, Registry

log = logging.getLogger("comfyui_emulator")

_UNCHECKED = ("*", "COMFY_MATCHTYPE_V3")

_MAX_LISTED = 20
"""Longer lists of options are not quoted in an error (ComfyUI 0.3.64 to 0.33.0)."""


@dataclass(slots=True)
class Outcome:
    """The result of a validation: ``error`` is ``None`` if at least one output is valid."""

    error: JsonObject | None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, JsonObject] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Checked:
    valid: bool
    errors: list[JsonObject]


_Visit = Generator[str | Awaitable[list[JsonObject]], Any, _Checked]
"""Yields the id of a linked node, or an awaitable, and is sent the node's verdict, or the awaitable's result."""


def error_object(kind: str, message: str, details: str = "", **extra: Any) -> JsonObject:
    """An error object in ComfyUI's shape."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def exception_name(error: BaseException) -> str:
    """The class of ``error``, with its module unless it is built in."""
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


async def validate(prompt: Mapping[str, Any], registry: Registry, targets: Any = None) -> Outcome:
    """Check ``prompt`` and coerce its constants in place.

    ``targets`` limits the outputs (``partial_execution_targets``). Raises ``TypeError`` or ``AttributeError`` if it
    is not a prompt at all; ComfyUI answers 500 to those.
    """
    outputs: list[str] = []
    for node_id in prompt:
        node = prompt[node_id]
        if node.get("class_type") not in registry:
            return Outcome(_missing_class(node_id, node))
        if registry[node["class_type"]].is_output and (targets is None or node_id in targets):
            outputs.append(node_id)
    if not outputs:
        return Outcome(error_object("prompt_no_outputs", "Prompt has no outputs"))
    return await _Validator(prompt, registry).outputs(outputs)


def _missing_class(node_id: str, node: Mapping[str, Any]) -> JsonObject:
    """The error for a node without a class, or with one that is not installed (``invalid_prompt`` before 0.12)."""
    meta, class_type = node.get("_meta"), node.get("class_type")
    title = meta.get("title") if isinstance(meta, dict) else None
    if "class_type" in node:
        title = class_type if title is None else title
        message = f"Node '{title}' not found. The custom node may not be installed."
    else:
        named = title or f"ID #{node_id}"
        message = f"Node '{named}' has no class_type. The workflow may be corrupted or a custom node is missing."
    extra = {"node_id": node_id, "class_type": class_type, "node_title": title}
    return error_object("missing_node_type", message, f"Node ID '#{node_id}'", **extra)


class _Validator:
    def __init__(self, prompt: Mapping[str, Any], registry: Registry) -> None:
        self.prompt, self.registry = prompt, registry
        self.checked: dict[str, _Checked] = {}

    async def outputs(self, outputs: list[str]) -> Outcome:
        """Validate each output; collect the valid ones, and every error with the outputs that depend on it."""
        good: list[str] = []
        own_errors: list[JsonObject] = []
        node_errors: dict[str, JsonObject] = {}
        for output in outputs:
            try:
                result = await self.drive(output)
            except Exception as error:  # noqa: BLE001 - any error of a graph or a validator is the graph's
                extra = {"exception_type": exception_name(error), "traceback": traceback.format_tb(error.__traceback__)}
                reason = error_object(
                    "exception_during_validation", "Exception when validating node", str(error), **extra
                )
                result = self.checked[output] = _Checked(False, [reason])
            if result.valid:
                good.append(output)
                continue
            own_errors += result.errors
            self.charge(output, node_errors)
        if good:
            return Outcome(None, good, node_errors)
        details = "\n".join(f"{error['message']}: {error['details']}" for error in own_errors)
        message = "Prompt outputs failed validation"
        return Outcome(error_object("prompt_outputs_failed_validation", message, details), [], node_errors)

    def charge(self, output: str, node_errors: dict[str, JsonObject]) -> None:
        """Charge every error found so far to ``output``, even those of other outputs, as ComfyUI does."""
        for node_id, result in self.checked.items():
            if result.valid or not result.errors:
                continue
            entry = node_errors.setdefault(
                node_id,
                {
                    "errors": result.errors,
                    "dependent_outputs": [],
                    "class_type": self.prompt[node_id]["class_type"],
                },
            )
            entry["dependent_outputs"].append(output)

    async def drive(self, output: str) -> _Checked:
        """Run the visits of ``output`` and its ancestors on an explicit stack."""
        if output in self.checked:
            return self.checked[output]
        stack: list[tuple[str, _Visit]] = [(output, self.visit(output))]
        active = {output: None}
        answer: _Checked | list[JsonObject] | None = None
        failure: Exception | None = None
        while True:
            node_id, visit = stack[-1]
            try:
                wanted = visit.throw(failure) if failure is not None else visit.send(answer)
                failure = None
            except StopIteration as done:
                answer, failure = self.joined(node_id, done.value), None
            except Exception as error:  # noqa: BLE001 - handed to the visit that asked
                answer, failure = None, error
            else:
                if not isinstance(wanted, str):
                    answer, failure = await _settled(wanted)
                elif wanted in self.checked:
                    answer = self.checked[wanted]
                elif wanted in active:
                    path = list(active)
                    answer = self.cycle([*path[path.index(wanted) :], wanted])
                else:
                    answer = None
                    stack.append((wanted, self.visit(wanted)))
                    active[wanted] = None
                continue
            stack.pop()
            active.pop(node_id)
            if not stack:
                if failure is not None:
                    raise failure
                return self.checked[output]

    def cycle(self, path: list[str]) -> _Checked:
        """Record an error for every node of a cycle (ComfyUI 0.20 and newer); ``path`` ends with its first node."""
        nodes = path[:-1]
        details = " -> ".join(f"{node_id} ({self.prompt[node_id]['class_type']})" for node_id in path)
        for node_id in nodes:
            extra = {"node_id": node_id, "cycle_nodes": nodes}
            error = error_object("dependency_cycle", "Dependency cycle detected", details, **extra)
            self.checked[node_id] = _Checked(False, [error])
        return self.checked[path[0]]

    def joined(self, node_id: str, own: _Checked) -> _Checked:
        """Record a visit's verdict, with the cycles that were found in the meantime."""
        found = self.checked.get(node_id, _Checked(True, []))
        errors = found.errors + [error for error in own.errors if error not in found.errors]
        self.checked[node_id] = _Checked(found.valid and own.valid, errors)
        return self.checked[node_id]

    def visit(self, node_id: str) -> _Visit:
        """Validate one node; yields the ids of linked nodes and receives their results."""
        node = self.prompt[node_id]
        inputs = node["inputs"]
        kind = self.registry[node["class_type"]]
        shape = kind.shape(inputs, kind.input_types())
        declared = shape.declared
        hook_names, takes_any = _hook_parameters(kind)
        errors: list[JsonObject] = []
        received_types: dict[str, Any] = {}
        valid = True
        for section in ("required", "optional"):
            for name in declared.get(section) or {}:
                entry = kind.input_entry(name, declared)
                assert entry is not None  # noqa: S101 - it was just listed
                if name not in inputs:
                    if section == "required":
                        message = "Required input is missing"
                        told = name.rpartition(".")[2] if shape.paths else name
                        errors.append(error_object("required_input_missing", message, told, input_name=name))
                    continue
                config = [entry[1], entry[2]]
                value = inputs[name]
                if isinstance(value, list):
                    ok = yield from self.link(node_id, name, value, config, errors, hook_names, received_types)
                    valid = valid and ok
                    continue
                problem = check_constant(inputs, name, config, skip_checks=takes_any or name in hook_names)
                if problem is not None:
                    errors.append(problem)
        if kind.validate_hook is not None and (hook_names or takes_any):
            errors += yield run_hook(kind, node_id, inputs, hook_names, takes_any, received_types)
        return _Checked(valid and not errors, errors)

    def link(
        self,
        node_id: str,
        name: str,
        value: list[Any],
        config: list[Any],
        errors: list[JsonObject],
        hook_names: frozenset[str],
        received_types: dict[str, Any],
    ) -> Generator[str | Awaitable[list[JsonObject]], Any, bool]:
        """Check a linked input: its form, the type that arrives, and the node that it comes from."""
        if len(value) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            errors.append(
                error_object(
                    "bad_linked_input", message, name, input_name=name, input_config=config, received_value=value
                )
            )
            return False
        source = value[0]
        received = self.registry[self.prompt[source]["class_type"]].return_types[value[1]]
        received_types[name] = received
        if "input_types" not in hook_names and not types_match(received, config[0]):
            details = f"{name}, received_type({received}) mismatch input_type({config[0]})"
            message = "Return type mismatch between linked nodes"
            extra = {"input_name": name, "input_config": config, "received_type": received, "linked_node": value}
            errors.append(error_object("return_type_mismatch", message, details, **extra))
            return False
        try:
            result = yield source
        except Exception as error:  # noqa: BLE001 - of the linked node, reported under its id
            extra = {
                "input_name": name,
                "input_config": config,
                "exception_message": str(error),
                "exception_type": exception_name(error),
                "traceback": traceback.format_tb(error.__traceback__),
                "linked_node": value,
            }
            message = "Exception when validating inner node"
            reason = error_object("exception_during_inner_validation", message, str(error), **extra)
            self.checked[source] = _Checked(False, [reason])
            return False
        return bool(result.valid)


async def _settled(work: Awaitable[list[JsonObject]]) -> tuple[list[JsonObject] | None, Exception | None]:
    """Await, and return the result or the error."""
    try:
        return await work, None
    except Exception as error:  # noqa: BLE001 - handed to the visit that waits
        return None, error


def types_match(received: Any, wanted: Any) -> bool:
    """Whether an output of type ``received`` may go into an input of type ``wanted``.

    Comma lists match if they share a type. Types are compared by ``!=``, as in ComfyUI, so that a pack's own string
    class can match everything. A plain ``*`` does so since ComfyUI 0.8, also in a comma list. The frontend alone checks
    match types (0.4).
    """
    if not received != wanted:  # noqa: SIM202 - such classes define == differently
        return True
    if any(isinstance(kind, str) and kind in _UNCHECKED for kind in (received, wanted)):
        return True
    if isinstance(received, list) and wanted == "COMBO":
        return True
    if not isinstance(received, str) or not isinstance(wanted, str):
        return False
    given = {part.strip() for part in received.split(",")}
    taken = {part.strip() for part in wanted.split(",")}
    return "*" in given | taken or bool(given & taken)


_CONVERTERS: dict[str, Any] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


def check_constant(inputs: JsonObject, name: str, config: list[Any], *, skip_checks: bool) -> JsonObject | None:
    """Coerce a constant in place and check its range or list. Returns an error object or ``None``."""
    kind, options = config
    value = inputs[name]
    try:
        if isinstance(value, dict) and "__value__" in value:
            value = inputs[name] = value["__value__"]
        converter = _CONVERTERS.get(kind) if isinstance(kind, str) else None
        if converter is not None:
            value = inputs[name] = converter(value)
    except Exception as error:  # noqa: BLE001 - int() of any value
        details = f"{name}, {value}, {error}"
        extra = {"input_name": name, "input_config": config, "received_value": value, "exception_message": str(error)}
        message = f"Failed to convert an input value to a {kind} value"
        return error_object("invalid_input_type", message, details, **extra)
    if skip_checks:
        return None
    extra = {"input_name": name, "input_config": config, "received_value": value}
    if "min" in options and value < options["min"]:
        message = f"Value {value} smaller than min of {options['min']}"
        return error_object("value_smaller_than_min", message, name, **extra)
    if "max" in options and value > options["max"]:
        message = f"Value {value} bigger than max of {options['max']}"
        return error_object("value_bigger_than_max", message, name, **extra)
    listed = options.get("options", []) if kind == "COMBO" else kind
    return not_listed(value, listed, options, extra) if isinstance(listed, list) else None


def not_listed(value: Any, listed: list[Any], options: JsonObject, extra: JsonObject) -> JsonObject | None:
    """The error for a value, or for those of a multiple choice, that a choice does not offer.

    ComfyUI checks combos of the newer schema since 0.8, and each of several values since 0.21.
    """
    several = options.get("multiselect", False) and isinstance(value, list)
    wrong = [each for each in (value if several else [value]) if each not in listed]
    if not wrong:
        return None
    shown = str(listed)
    if len(listed) > _MAX_LISTED:
        shown, extra["input_config"] = f"(list of length {len(listed)})", None
    details = f"{extra['input_name']}: {', '.join(map(repr, wrong))} not in {shown}"
    return error_object("value_not_in_list", "Value not in list", details, **extra)


def _hook_parameters(kind: NodeType) -> tuple[frozenset[str], bool]:
    """The parameter names of the class's validator, and whether it accepts any name."""
    if kind.validate_hook is None:
        return frozenset(), False
    parameters = inspect.signature(kind.validate_hook).parameters.values()
    names = frozenset(p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD)
    return names, any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


async def run_hook(
    kind: NodeType,
    node_id: str,
    inputs: JsonObject,
    names: frozenset[str],
    takes_any: bool,
    received_types: dict[str, Any],
) -> list[JsonObject]:
    """Call the class's own validator with the constants that it takes; ``True`` means valid, a string is the reason."""
    assert kind.validate_hook is not None  # noqa: S101 - the caller checked
    given, _ = gather(kind, inputs, lambda _source, _slot: None, bare_hidden_values(node_id))
    arguments = {name: value for name, value in given.items() if takes_any or name in names}
    shown = list(arguments)
    if "input_types" in names:
        arguments["input_types"] = [received_types]
    if kind.hidden_prefix:
        # The newer schema passes hidden values beside the arguments.
        arguments |= {name: value for name, value in given.items() if name.startswith(kind.hidden_prefix)}
        shown = [name for name in shown if not name.startswith(kind.hidden_prefix)]
    results = await call_each(kind.validate_hook, arguments, kind.shape(inputs), input_is_list=kind.input_is_list)
    errors = []
    for name in shown:
        for result in results:
            if result is True:
                continue
            details = name if result is False else f"{name} - {result}"
            message = "Custom validation failed for node"
            errors.append(error_object("custom_validation_failed", message, details, input_name=name))
    return errors
