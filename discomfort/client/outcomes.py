"""Turns a server's answers into errors. Pure functions.

Sources: the bodies of ``POST /prompt`` and the status messages of a history record, ComfyUI 0.3.64 to 0.38. Errors are
read by their shape: types that came later are kept as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from discomfort._json import JsonObject, copied
from discomfort.client.protocol import title_and_class
from discomfort.exceptions import (
    ExecutionError,
    ExecutionInterrupted,
    InputProblem,
    MissingNode,
    MissingNodesError,
    NodeFailure,
    OutOfMemoryError,
    RunError,
    ValidationError,
)
from discomfort.workflow.model_folders import model_remedy, upload_remedy
from discomfort.workflow.nodes import missing_in_prompt

_UNKNOWN_CLASS = re.compile(r"node (?P<name>.+?) (?:does not exist|not found)")

_UUID_REMEDY = (
    "Leave prompt_id out, or give str(uuid.uuid4()): since 0.25.0 ComfyUI takes only UUIDs in lower case with hyphens"
)

_MEMORY_TYPE = re.compile(r"(^|\.)(MemoryError|_?ArrayMemoryError|OutOfMemoryError|OutOfMemoryException)$")
_MEMORY_TEXT = re.compile(
    r"(CUDA|HIP|MPS|XPU|NPU|MUSA)[\w ]*(error: )?out of memory"
    r"|Allocation on device"
    r"|DefaultCPUAllocator: (can't|not enough memory)"
    r"|CUBLAS_STATUS_ALLOC_FAILED"
    r"|Unable to allocate [\d.]+ \w*B for an array"
    r"|^\s*out of memory\b",
    re.IGNORECASE,
)


def is_out_of_memory(exception_type: str, message: str) -> bool:
    """Whether an exception that a node raised means that device or host memory ran out."""
    return bool(_MEMORY_TYPE.search(exception_type) or _MEMORY_TEXT.search(message[:20_000]))


def refusal(
    prompt: Mapping[str, Any], prompt_id: str, body: Mapping[str, Any], definitions: Mapping[str, Any] | None
) -> ValidationError | MissingNodesError:
    """The error for a ``POST /prompt`` answered with 400."""
    error = body.get("error")
    if not isinstance(error, Mapping):
        error = {"message": str(error)} if error else {}
    unknown = _unknown_class(error)
    if unknown is not None:
        return MissingNodesError(_missing(prompt, definitions, unknown))
    node_errors = body.get("node_errors")
    node_errors = node_errors if isinstance(node_errors, Mapping) else {}
    message = _plain(error.get("message")) or "no reason given"
    details = _plain(error.get("details"))
    # With node errors the details only repeat a part of them; the whole-prompt errors have nothing else.
    if details and details != message and not node_errors:
        message = f"{message} ({details})"
    problems = input_problems(prompt, node_errors, definitions)
    return ValidationError(
        f"the server refused the prompt: {message}",
        problems,
        prompt_id=prompt_id,
        error=error,
        node_errors=node_errors,
        remedy=_UUID_REMEDY if error.get("type") == "invalid_prompt_id" else "",
    )


def partial_refusal(
    prompt: Mapping[str, Any], prompt_id: str, node_errors: Mapping[str, Any], definitions: Mapping[str, Any] | None
) -> ValidationError:
    """The error for a ``POST /prompt`` answered with 200 although some outputs were refused."""
    problems = input_problems(prompt, node_errors, definitions)
    text = "the server would have run only a part of the prompt, so it was withdrawn; the server refused"
    return ValidationError(text, problems, prompt_id=prompt_id, node_errors=node_errors)


def _unknown_class(error: Mapping[str, Any]) -> str | None:
    """The unknown node class that an error is about: MISSING_NODE_TYPE, before that a text of type ``invalid_prompt``.

    ``None`` for a node that has no class at all, which newer servers give the same type.
    """
    extra = error.get("extra_info")
    if error.get("type") == "missing_node_type":
        return _plain(extra.get("class_type")) or None if isinstance(extra, Mapping) else None
    found = _UNKNOWN_CLASS.search(_plain(error.get("message"))) if error.get("type") == "invalid_prompt" else None
    return found["name"].strip("'\"") if found else None


def _missing(prompt: Mapping[str, Any], definitions: Mapping[str, Any] | None, refused: str) -> list[MissingNode]:
    """All classes of a prompt that the definitions lack, and the one that the server refused."""
    nodes = {
        node_id: node
        for node_id, node in prompt.items()
        if isinstance(node, Mapping) and isinstance(node.get("class_type"), str)
    }
    classes = {node["class_type"] for node in nodes.values()}
    known = classes if definitions is None else classes.intersection(definitions)
    found = missing_in_prompt(nodes, known - {refused})
    return found if refused in classes else [*found, MissingNode(refused)]


def input_problems(
    prompt: Mapping[str, Any], node_errors: Mapping[str, Any], definitions: Mapping[str, Any] | None
) -> list[InputProblem]:
    """Every problem in the ``node_errors`` of an answer; shapes that are not ComfyUI's are kept as text."""
    problems: list[InputProblem] = []
    for node_id, entry in node_errors.items():
        errors = entry.get("errors") if isinstance(entry, Mapping) else None
        found = errors if isinstance(errors, list) else [entry]
        problems.extend(_input_problem(prompt, node_id, entry, error, definitions) for error in found)
    return problems


def _input_problem(
    prompt: Mapping[str, Any], node_id: str, entry: object, error: object, definitions: Mapping[str, Any] | None
) -> InputProblem:
    title, class_type = title_and_class(prompt, node_id)
    if isinstance(entry, Mapping):
        class_type = class_type or _plain(entry.get("class_type")) or None
    if not isinstance(error, Mapping):
        return InputProblem(node_id, class_type, title, None, "unknown", str(error))
    extra = error.get("extra_info")
    extra = extra if isinstance(extra, Mapping) else {}
    kind, name = _plain(error.get("type")), extra.get("input_name")
    name = name if isinstance(name, str) else None
    config = extra.get("input_config") or _declared(definitions, class_type, name)
    low, high = _range(config) if kind in {"value_smaller_than_min", "value_bigger_than_max"} else (None, None)
    details = _plain(error.get("details")) or _plain(extra.get("exception_message"))
    received = _received(prompt, node_id, name, extra) if kind != "required_input_missing" else None
    is_listed = kind == "value_not_in_list"
    return InputProblem(
        node_id,
        class_type,
        title,
        name,
        kind,
        _plain(error.get("message")) or kind,
        details=details,
        received=received,
        allowed=_options(config) if is_listed else None,
        minimum=low,
        maximum=high,
        remedy=model_remedy(class_type, name, received) if is_listed else upload_remedy(details),
    )


def _received(prompt: Mapping[str, Any], node_id: str, name: str | None, extra: Mapping[str, Any]) -> Any:
    if "received_value" in extra:
        return copied(extra["received_value"])
    node = prompt.get(node_id)
    inputs = node.get("inputs") if isinstance(node, Mapping) else None
    return copied(inputs.get(name)) if isinstance(inputs, Mapping) and name is not None else None


def _declared(definitions: Mapping[str, Any] | None, class_type: str | None, name: str | None) -> object:
    """The declaration of an input; ComfyUI leaves it out of the error when a list has more than 20 options."""
    definition = (definitions or {}).get(class_type or "")
    inputs = definition.get("input") if isinstance(definition, Mapping) else None
    for group in ("required", "optional"):
        declared = inputs.get(group) if isinstance(inputs, Mapping) else None
        if isinstance(declared, Mapping) and name in declared:
            return declared[name]
    return None


def _settings(config: object) -> Mapping[str, Any]:
    found = config[1] if isinstance(config, Sequence) and len(config) > 1 else None
    return found if isinstance(found, Mapping) else {}


def _options(config: object) -> tuple[Any, ...] | None:
    """The values of a list, in the older dialect ``[[…], {…}]`` and in the newer ``["COMBO", {"options": […]}]``."""
    if not isinstance(config, Sequence) or isinstance(config, str) or not config:
        return None
    options = config[0] if isinstance(config[0], list) else _settings(config).get("options")
    # They may be those of the definitions that are kept.
    return tuple(copied(options)) if isinstance(options, list) else None


def _range(config: object) -> tuple[float | None, float | None]:
    bounds = (_settings(config).get("min"), _settings(config).get("max"))
    low, high = (bound if isinstance(bound, int | float) else None for bound in bounds)
    return low, high


def verdict(prompt_id: str, record: Mapping[str, Any]) -> RunError | None:
    """The error that a history record describes, ``None`` for a success.

    Decided by the last status message: ``status_str`` is ``success`` for some runs that failed (a cycle found at run
    time), and ``error`` for interrupted ones.
    """
    status = record.get("status")
    status = status if isinstance(status, Mapping) else {}
    name, data = _last_message(status.get("messages"))
    if name == "execution_success":
        return None
    if name == "execution_error":
        return _execution_error(prompt_id, record, data)
    if name == "execution_interrupted":
        node_id = _plain(data.get("node_id")) or None
        where = f" at node {node_id}" if node_id else ""
        return ExecutionInterrupted(
            f"prompt {prompt_id} was interrupted{where}",
            prompt_id=prompt_id,
            node_id=node_id,
            class_type=_plain(data.get("node_type")) or None,
            history=record,
        )
    if status.get("status_str") == "error" or status.get("completed") is False:
        return RunError(f"prompt {prompt_id} failed; the server gives no reason", prompt_id=prompt_id, history=record)
    return None


def _last_message(messages: object) -> tuple[str, Mapping[str, Any]]:
    for message in reversed(messages) if isinstance(messages, list) else ():
        if not isinstance(message, list) or not message:
            continue
        data = message[1] if len(message) > 1 and isinstance(message[1], Mapping) else {}
        if data.get("exception_type") != "ExecutionBlocked":
            return str(message[0]), data
    return "", {}


def _execution_error(prompt_id: str, record: Mapping[str, Any], data: Mapping[str, Any]) -> ExecutionError:
    node_id = _plain(data.get("node_id"))
    title, class_type = title_and_class(record_prompt(record), node_id)
    lines = data.get("traceback")
    failure = NodeFailure(
        node_id=node_id,
        class_type=_plain(data.get("node_type")) or class_type or "?",
        title=title,
        exception_type=_plain(data.get("exception_type")) or "Exception",
        exception_message=_plain(data.get("exception_message")),
        traceback=tuple(str(line) for line in lines) if isinstance(lines, list) else (),
    )
    memory = is_out_of_memory(failure.exception_type, failure.exception_message)
    kind = OutOfMemoryError if memory else ExecutionError
    return kind(failure, prompt_id=prompt_id, history=record)


def record_prompt(record: Mapping[str, Any]) -> JsonObject:
    """The prompt in a history record (third of its ``prompt`` list), empty if there is none."""
    entry = record.get("prompt")
    prompt = entry[2] if isinstance(entry, list) and len(entry) > 2 else None
    return prompt if isinstance(prompt, dict) else {}


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable):
        return ", ".join(str(item) for item in value)
    return "" if value is None else str(value)
