"""The variables of a list of workflows: which values it takes and gives, and of which types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from discomfort import _json
from discomfort.cli.inputs import Source
from discomfort.exceptions import PayloadError
from discomfort.workflow.port_types import ANY, is_known
from discomfort.workflow.prompt_ports import prompt_ports
from discomfort.workflow.structure import structure_problems
from discomfort.workflow.workflow_ports import PORT, PortRole, workflow_ports


@dataclass(frozen=True, slots=True)
class PortFact:
    """One variable. ``is_needed``: no earlier workflow gives it. ``is_typed``: its type is known, or never will be."""

    type: str = ANY
    node_id: str = ""
    is_needed: bool = True
    is_typed: bool = True


@dataclass(frozen=True, slots=True)
class PortTable:
    """The variables by ``unique_id``: those that INPUT ports take, and those that OUTPUT ports give."""

    inputs: dict[str, PortFact] = field(default_factory=dict)
    outputs: dict[str, PortFact] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.inputs or self.outputs)


def port_table(sources: Sequence[Source], definitions: Mapping[str, Any] | None = None) -> PortTable:
    """The variables of workflows that run in this order.

    A workflow has the types of its links. For prompts they need ``definitions``, the server's ``/object_info``. A
    workflow of a wrong structure has none; its run says what is wrong.
    """
    table = PortTable()
    for source in sources:
        is_typed = source.kind == "workflow" or definitions is not None
        outputs: dict[str, PortFact] = {}
        for role, unique_id, kind, node_id in _ports(source, definitions):
            if role is PortRole.OUTPUT:
                outputs[unique_id] = PortFact(kind, node_id, is_typed=is_typed)
            elif unique_id not in table.inputs:
                table.inputs[unique_id] = PortFact(kind, node_id, unique_id not in table.outputs, is_typed)
            elif not is_known(table.inputs[unique_id].type):
                known = table.inputs[unique_id]
                table.inputs[unique_id] = PortFact(kind, known.node_id, known.is_needed, is_typed)
        table.outputs.update(outputs)
    return table


def _ports(source: Source, definitions: Mapping[str, Any] | None) -> Iterator[tuple[PortRole, str, str, str]]:
    # Most workflows have no ports, and what is wrong with those is not to be found here.
    if source.error is not None or PORT.encode() not in _json.dumps(source.payload):
        return
    if source.kind == "workflow":
        yield from _workflow_ports(source)
        return
    found = prompt_ports(source.payload, definitions)
    for unique_id, ports in found.inputs().items():
        kind = next((each.type for each in ports if is_known(each.type)), ANY)
        yield PortRole.INPUT, unique_id, kind, ports[0].node_id
    for unique_id, output in found.outputs().items():
        yield PortRole.OUTPUT, unique_id, output.type, output.node_id


def _workflow_ports(source: Source) -> Iterator[tuple[PortRole, str, str, str]]:
    if next(structure_problems(source.payload), None) is not None:
        return
    try:
        ports = workflow_ports(source.payload).of(PortRole.INPUT, PortRole.OUTPUT)
    except PayloadError:
        return
    for port in ports:
        yield port.role, port.unique_id, port.type, port.node_id
