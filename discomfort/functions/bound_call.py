"""One call with its values checked: what is set in the prompt, and what must reach the server first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from discomfort._error_text import nearest
from discomfort._json import JsonObject
from discomfort.client.outputs import OutputFields
from discomfort.connector.payloads import own_copy
from discomfort.context.file_values import FILE_3D
from discomfort.core_values.value_fitting import described
from discomfort.exceptions import ArgumentError, ArgumentProblem, CallError, InputSelectorError
from discomfort.functions.call_files import server_has
from discomfort.functions.chosen_branches import with_branches
from discomfort.functions.deliveries import (
    LOADED_TYPES,
    Delivery,
    file_delivery,
    kind_of_value,
    refuse_result,
    takes,
    value_delivery,
)
from discomfort.functions.host import FileLookup
from discomfort.functions.loaded_workflow import PreparedWorkflow
from discomfort.functions.value_checks import CONSTANT_TYPES, ValueTrouble, checked_constant
from discomfort.workflow.input_values import check_value, choices
from discomfort.workflow.interface.declarations import NO_DEFAULT, InputTarget, Parameter
from discomfort.workflow.interface.parameter_facts import input_facts, input_spec
from discomfort.workflow.interface.placing import closed_branch
from discomfort.workflow.json_values import is_link
from discomfort.workflow.port_types import is_known
from discomfort.workflow.running_nodes import running_nodes


@dataclass(slots=True)
class BoundCall:
    """The values of a call by the names of the interface, and those that are set by selector.

    ``unnamed`` are the inputs without a name that get files, by selector; ``given`` is what the caller gave, by name
    where there is one.
    """

    workflow: PreparedWorkflow
    constants: dict[str, Any] = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    selected: dict[str, Any] = field(default_factory=dict)
    unnamed: dict[str, Parameter] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    problems: list[ArgumentProblem] = field(default_factory=list)

    async def check_kept_files(self, host: FileLookup) -> None:
        """Add the problems of files that the workflow names, the call does not replace, and the server lacks.

        The server would name the file, and not the input that takes another one.
        """
        for parameter in self.kept_files():
            if not await server_has(host, parameter.default):
                kept = f"the workflow has {parameter.default[:200]!r}, which is not on the server"
                self.problems.append(ArgumentProblem(parameter.name, f"is missing: {kept}. It {_wanted(parameter)}"))

    def kept_files(self) -> Iterator[Parameter]:
        """The inputs whose file is the workflow's, and that the server does not list: those of ComfyUI's own nodes."""
        workflow = self.workflow
        running = running_nodes(workflow.prompt, workflow.definitions)
        for name, parameter in workflow.interface.inputs.items():
            is_kept = name not in self.given and name not in self.deliveries and parameter.upload is not None
            is_named = isinstance(parameter.default, str) and parameter.default != ""
            runs = any(target.node_id in running for target in parameter.targets)
            if is_kept and is_named and runs and workflow.finds_outputs(parameter) and not self._is_listed(parameter):
                yield parameter

    def _is_listed(self, parameter: Parameter) -> bool:
        workflow = self.workflow
        specs = [input_spec(workflow.prompt, target, workflow.definitions) for target in parameter.targets]
        return all(parameter.default in (choices(spec) or ()) for spec in specs)

    async def check_files(self, host: FileLookup) -> None:
        """Add the problems of files that are not there. Raises ServerError, StateError."""
        for name, delivery in self.deliveries.items():
            for file in delivery.files.values():
                problem = await file.problem(host)
                if problem:
                    self.problems.append(ArgumentProblem(name, problem))
                    break

    def parameter(self, name: str) -> Parameter:
        """The input of this name, or of this selector if it gets a file."""
        return self.workflow.interface.inputs.get(name) or self.unnamed[name]

    def raise_problems(self, function: str) -> None:
        """Raise CallError if there are problems, in the order of the interface."""
        if self.problems:
            order = {name: place for place, name in enumerate(self.workflow.interface.inputs)}
            raise CallError(function, sorted(self.problems, key=lambda each: order.get(each.name, len(order))))


def merged_values(values: Mapping[str, Any] | None, named: Mapping[str, Any]) -> dict[str, Any]:
    """All values of a call. Raises ArgumentError if one is given twice, as Python does."""
    if values is not None and not isinstance(values, Mapping):
        raise ArgumentError(
            "values",
            f"must be one mapping of names or selectors, not {described(values)}: give single values by name, as "
            "function(scale=2)",
        )
    twice = sorted(named.keys() & set(values or ()))
    if twice:
        raise ArgumentError(", ".join(twice), "is given twice, in the mapping and by name")
    # The call waits before it reads them, and lists stay the caller's to change.
    return own_copy({**(values or {}), **named})


def bound(workflow: PreparedWorkflow, values: Mapping[str, Any]) -> BoundCall:
    """The call with these values, and its problems. No I/O. Other keys than the names of inputs are selectors."""
    call = BoundCall(workflow)
    inputs = workflow.interface.inputs
    call.given = _by_name(call, values)
    defaults = {name: each.default for name, each in inputs.items() if _has_own_default(each)}
    call.workflow = with_branches(workflow, {key: _inline(value) for key, value in (defaults | call.given).items()})
    for name, value in call.given.items():
        parameter = inputs.get(name)
        if parameter is None:
            call.problems.extend(_selected(call, name, value))
        elif closed := _closed(call, parameter):
            # A form or a model gives all values, also those that have no place now.
            if not _is_same(value, parameter.default):
                call.problems.append(ArgumentProblem(name, closed))
        else:
            call.problems.extend(_given(call, parameter, value))
    for name, parameter in inputs.items():
        if name in call.given or _closed(call, parameter):
            continue
        if parameter.default is NO_DEFAULT:
            call.problems.append(ArgumentProblem(name, f"is missing: it {_wanted(parameter)}"))
        elif name in defaults and not _is_kept(workflow, parameter):
            call.problems.extend(_given(call, parameter, parameter.default))
    return call


def _is_kept(workflow: PreparedWorkflow, parameter: Parameter) -> bool:
    """Whether the default names the file that the prompt has anyway."""
    inputs = [workflow.prompt[target.node_id]["inputs"].get(target.input_name) for target in parameter.targets]
    return parameter.upload is not None and bool(inputs) and all(each == parameter.default for each in inputs)


def _wanted(parameter: Parameter) -> str:
    kind = _file_type(parameter)
    is_file = parameter.upload is not None or kind in LOADED_TYPES
    return takes(kind) if is_file else f"takes {parameter.type}"


def _has_own_default(parameter: Parameter) -> bool:
    """Whether its default may be another than what the prompt has."""
    return parameter.default is not NO_DEFAULT and (parameter.port is not None or parameter.source == "sidecar")


def _closed(call: BoundCall, parameter: Parameter) -> str:
    """Why no node has the input in this call; empty if one has it."""
    found = [closed_branch(call.workflow.prompt, each, call.workflow.definitions) for each in parameter.targets]
    if not found or found[0] is None or None in found:
        return ""
    combo, value = found[0]
    return f"has no place in this call: {combo} is {value!r}, which does not bring it"


def _is_same(value: object, default: object) -> bool:
    try:
        return bool(value == default)
    except Exception:  # noqa: BLE001 - arrays of other shapes, and objects of others
        return False


def _by_name(call: BoundCall, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, those for selectors of named inputs by name: a default of the interface must not replace them."""
    inputs = call.workflow.interface.inputs
    names: dict[InputTarget | None, str] = {
        parameter.targets[0]: name for name, parameter in inputs.items() if len(parameter.targets) == 1
    }
    given: dict[str, Any] = {}
    for key, value in values.items():
        if not isinstance(key, str):
            call.problems.append(ArgumentProblem(repr(key), "names of inputs and selectors are texts"))
            continue
        name = key if key in inputs else names.get(_target(call, key), key)
        if name in given or (name != key and name in values):
            call.problems.append(ArgumentProblem(key, f"is given twice: it is the input {name!r}"))
        else:
            given[name] = value
    return given


def _target(call: BoundCall, selector: str) -> InputTarget | None:
    try:
        return call.workflow.target(selector) if "." in selector else None
    except InputSelectorError:
        return None


def _given(call: BoundCall, parameter: Parameter, value: Any) -> Iterator[ArgumentProblem]:
    workflow = call.workflow
    try:
        refuse_result(value, _file_type(parameter))
        if parameter.upload is not None:
            # The nodes of 0.3.64 take 3D files from the list of their own folder only.
            may_be_named = workflow.finds_outputs(parameter) and not parameter.type.startswith(FILE_3D)
            call.deliveries[parameter.name] = file_delivery(value, _file_type(parameter), may_be_named=may_be_named)
        elif _takes_constant(parameter, value):
            constant = checked_constant(parameter, _inline(value))
            _check_fed_inputs(workflow, parameter, constant)
            call.constants[parameter.name] = constant
        else:
            kind = parameter.type.upper().split(",")[0].strip()
            kind = kind if is_known(parameter.type) else kind_of_value(value)
            call.deliveries[parameter.name] = value_delivery(value, kind, workflow.definitions)
    except ValueTrouble as trouble:
        yield ArgumentProblem(parameter.name, trouble.problem, trouble.candidates)


def _check_fed_inputs(workflow: PreparedWorkflow, parameter: Parameter, value: Any) -> None:
    """Raise ValueTrouble if an input that gets the value, or that the parameter's port feeds, does not take it."""
    specs = [(str(each), input_spec(workflow.prompt, each, workflow.definitions)) for each in parameter.targets]
    ports = workflow.ports.inputs().get(parameter.port or "", ())
    specs += [(str(target), target.spec) for port in ports for target in port.targets]
    for place, spec in specs:
        try:
            check_value(parameter.name, value, spec)
        except InputSelectorError as error:
            raise ValueTrouble(f"{error.problem} ({place})", error.candidates[:5]) from None


def _file_type(parameter: Parameter) -> str:
    if parameter.upload == "mask":
        return "MASK"
    return parameter.type.upper() if is_known(parameter.type) and parameter.type != "COMBO" else parameter.upload or ""


def _takes_constant(parameter: Parameter, value: object) -> bool:
    if not is_known(parameter.type) and parameter.choices is None:
        return not kind_of_value(value)
    kinds = {each.strip().upper() for each in parameter.type.split(",")}
    if parameter.choices is not None or kinds & CONSTANT_TYPES:
        return True
    # A widget of a type of its own, such as BOUNDING_BOX.
    return parameter.port is None and parameter.default is not NO_DEFAULT and not kinds & LOADED_TYPES


def _inline(value: Any) -> Any:
    """The text or number that an output of another run is."""
    outputs = getattr(value, "outputs", None)
    if isinstance(outputs, tuple) and len(outputs) == 1 and hasattr(value, "value"):
        return value.value
    if isinstance(value, OutputFields) and value.filename is None:
        return value.value
    return value


def _selected(call: BoundCall, selector: str, value: Any) -> Iterator[ArgumentProblem]:
    known = list(call.workflow.interface.inputs)
    if "." not in selector:
        near = tuple(nearest(selector, known)[:3])
        text = "there is no input of this name" + (
            "" if known else ": the workflow declares none. Selectors are NODE.INPUT"
        )
        yield ArgumentProblem(selector, text, near)
        return
    parameter = _file_input(call, selector)
    if parameter is not None and not is_link(value):
        call.unnamed[selector] = parameter
        yield from _given(call, parameter, value)
        return
    try:
        refuse_result(value, "")
        call.workflow.editor().set(selector, _inline(value))
    except InputSelectorError as error:
        yield ArgumentProblem(selector, error.problem, error.candidates[:5])
    except ValueTrouble as trouble:
        yield ArgumentProblem(selector, trouble.problem)
    else:
        call.selected[selector] = _inline(value)


def _file_input(call: BoundCall, selector: str) -> Parameter | None:
    """The input of a selector, if it names a file."""
    target = _target(call, selector)
    if target is None:
        return None
    facts = input_facts(call.workflow.prompt, target, call.workflow.definitions)
    if facts.get("upload") is None:
        return None
    return Parameter(name=selector, source="app", targets=(target,), **facts)


def sent_values(call: BoundCall) -> JsonObject:
    """The constants of a call by the input of the prompt that gets them."""
    inputs, prompt, definitions = call.workflow.interface.inputs, call.workflow.prompt, call.workflow.definitions
    return {
        str(target): value
        for name, value in call.constants.items()
        for target in inputs[name].targets
        if closed_branch(prompt, target, definitions) is None
    } | call.selected
