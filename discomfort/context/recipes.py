"""Values that are passed by reference: a reference, or a workflow or prompt that makes the value at an output port."""

from __future__ import annotations

from discomfort.exceptions import PayloadError
from discomfort.workflow.detect import unwrap
from discomfort.workflow.prompt_ports import prompt_ports
from discomfort.workflow.references import Reference, is_reference
from discomfort.workflow.workflow_ports import PortRole, workflow_ports


def check_recipe(value: object, unique_id: str) -> None:
    """Refuse what is neither a reference, nor a workflow or a prompt with an output port of this id.

    Raises ValueError.
    """
    try:
        if is_reference(value):
            Reference.read(value)
            return
        kind, graph = unwrap(value)
        if kind == "prompt":
            found = sorted(prompt_ports(graph).outputs())
        else:
            found = sorted({port.unique_id for port in workflow_ports(graph).of(PortRole.OUTPUT)})
    except PayloadError as error:
        raise ValueError(
            f"{unique_id!r} cannot be saved with pass_by='ref': {error}. Give a workflow or a prompt"
        ) from error
    if unique_id not in found:
        there = f"its output ports are {', '.join(map(repr, found))}" if found else "it has no output port"
        raise ValueError(
            f"{unique_id!r} cannot be saved with pass_by='ref': the {kind} has no output port of this id; {there}"
        )


def needed_blobs(value: object) -> tuple[str, ...]:
    """The stored values that a value loads, if it is a reference."""
    return Reference.read(value).blobs if is_reference(value) else ()


def as_given(value: object) -> object:
    """A stored value as it was given: a reference is one again."""
    return Reference.read(value) if is_reference(value) else value
