"""``discomfort ports``: the ports of workflows, and what is wrong with them. Starts no server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from discomfort._json import JsonObject
from discomfort.cli.exit_codes import FAILED, OK, USAGE
from discomfort.cli.inputs import Source
from discomfort.cli.report import error_as_json
from discomfort.cli.terminal import Terminal, clean
from discomfort.exceptions import PayloadError
from discomfort.workflow.structure import check_cycles, structure_problems
from discomfort.workflow.workflow_ports import WorkflowPort, WorkflowPorts, workflow_ports

_NARROW = 72
_INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class PortRow:
    """One port as it is shown; a problem that belongs to no port has a row without an id."""

    unique_id: str
    role: str
    type: str
    node_id: str
    tags: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def as_json(self) -> JsonObject:
        """The row in the form of ``--json``."""
        return {
            "unique_id": self.unique_id or None,
            "role": self.role,
            "type": self.type,
            "node_id": self.node_id,
            "tags": list(self.tags),
            "problems": list(self.problems),
        }

    def __str__(self) -> str:
        name = self.unique_id or "(without an id)"
        problems = "".join(f"; {problem}" for problem in self.problems)
        return f"{self.role} {name} {self.type} node {self.node_id}{problems}"


def ports_command(sources: Sequence[Source], terminal: Terminal, *, as_json: bool) -> int:
    """List the ports of every workflow; returns the exit code: 1 if a port has a problem, 2 if a file is wrong."""
    code = OK
    documents: list[JsonObject] = []
    for source in sources:
        rows: list[PortRow] = []
        error = source.error
        try:
            rows = list(read_rows(source)) if error is None else []
        except PayloadError as found:
            error = found
        if error is not None:
            terminal.explain(error, about=source.name)
            code = USAGE
        elif any(row.problems for row in rows):
            code = max(code, FAILED)
        ports = [row.as_json() for row in rows]
        documents.append({"workflow": source.name, "ports": ports, "error": error_as_json(error)})
        if not as_json and error is None:
            _show(source, rows, terminal, several=len(sources) > 1)
    if as_json:
        terminal.write_documents(documents)
    return code


def read_rows(source: Source) -> Iterator[PortRow]:
    """The ports of a workflow in the order of its file. Raises PayloadError."""
    if source.kind == "prompt":
        raise PayloadError("is a prompt already; ports are found in a workflow, as the UI saves it")
    problem = next(structure_problems(source.payload), None)
    if problem is not None:
        raise PayloadError(f"invalid structure: {problem}")
    check_cycles(source.payload)
    found = workflow_ports(source.payload)
    yield from _rows(found)
    known = {port.node_id for port in (*found.ports, *found.unnamed, *found.inactive)}
    for each in found.problems:
        if each.node_id not in known:
            yield PortRow("", "unknown", "ANY", each.node_id, problems=(each.problem,))


def _rows(found: WorkflowPorts) -> Iterator[PortRow]:
    problems: dict[str, list[str]] = {}
    for each in found.problems:
        problems.setdefault(each.node_id, []).append(each.problem)

    def row(port: WorkflowPort, role: str) -> PortRow:
        told = tuple(problems.get(port.node_id, ()))
        return PortRow(port.unique_id, role, port.type, port.node_id, port.tags, told)

    yield from (row(port, str(port.role)) for port in (*found.ports, *found.unnamed))
    yield from (row(port, _INACTIVE) for port in found.inactive)


def _show(source: Source, rows: Sequence[PortRow], terminal: Terminal, *, several: bool) -> None:
    if not rows:
        terminal.note(f"{source.name}: no ports (nodes of the class DiscomfortPort)")
    elif not terminal.out_is_terminal:
        prefix = f"{source.name}: " if several else ""
        terminal.write("".join(f"{prefix}{clean(str(row))}\n" for row in rows))
    elif terminal.out.width < _NARROW:
        terminal.show(Text("\n").join(Text(clean(str(row)), overflow="fold") for row in rows))
    else:
        terminal.show(_table(source, rows, several=several))


def _table(source: Source, rows: Sequence[PortRow], *, several: bool) -> Table:
    title = Text(clean(source.name)) if several else None
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False)
    table.add_column("Role", no_wrap=True)
    table.add_column("Id", style="cyan", overflow="fold", max_width=28)
    table.add_column("Type", overflow="fold", max_width=20)
    table.add_column("Node", no_wrap=True)
    table.add_column("Problems", style="bold red", overflow="fold")
    for row in rows:
        cells = (row.role, row.unique_id, row.type, row.node_id, "; ".join(row.problems))
        table.add_row(*(Text(clean(cell)) for cell in cells))
    return table
