"""The shape of a workflow: all of it but the values of its widgets. Pure.

Two workflows of one shape differ in nothing but plain values (text, numbers, booleans) at the same places of
``widgets_values``, each of the same kind. Values that are lists, objects or ``null`` belong to the shape.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from discomfort.workflow.javascript import Value
from discomfort.workflow.subgraphs import groups, objects, subgraph_list

if TYPE_CHECKING:
    from discomfort._json import JsonObject

MAX_TEXT: Final = 1 << 20
"""Characters of JSON above which a workflow is not taken apart; the largest official template has 0.13 million."""

_KINDS: Final[dict[type, int]] = {str: 0, int: 1, float: 1, bool: 2}


@dataclass(frozen=True, slots=True)
class ParsedWorkflow:
    """A workflow taken apart: ``key`` stands for its shape and the server's environment, ``values`` are in order."""

    key: str
    values: tuple[Value, ...]


def read(text: str, digest: str) -> ParsedWorkflow | None:
    """Take the workflow ``text`` (JSON) apart; ``digest`` is the environment's.

    ``None`` for what cannot be: more than ``MAX_TEXT`` characters, lone surrogates, no object.
    """
    workflow = parse(text)
    if workflow is None:
        return None
    values: list[Value] = []
    for _, container, key in _places(workflow):
        value = container[key]
        values.append(value)
        container[key] = _KINDS[type(value)]
    extra = workflow.get("extra")
    if isinstance(extra, dict):
        # Where the canvas was scrolled to when the workflow was saved: no node can see it.
        extra.pop("ds", None)
    hashed = hashlib.sha256(f"shape\0{digest}\0".encode() + orjson.dumps(workflow))
    return ParsedWorkflow(hashed.hexdigest(), tuple(values))


def parse(text: str) -> JsonObject | None:
    """The workflow ``text`` as an object of its own, or ``None`` as :func:`read`."""
    if len(text) > MAX_TEXT:
        return None
    try:
        workflow = orjson.loads(text)
    except ValueError:
        return None
    return workflow if isinstance(workflow, dict) else None


def write(text: str, values: Sequence[Value]) -> str:
    """The workflow ``text`` with other values, as JSON. ``text`` was read before, ``values`` are as many."""
    workflow = parse(text)
    if workflow is None:
        raise AssertionError("a workflow that was read once can be read again")
    for (_, container, key), value in zip(list(_places(workflow)), values, strict=True):
        container[key] = value
    return orjson.dumps(workflow).decode()


def owners(workflow: JsonObject) -> list[JsonObject]:
    """For each value of ``workflow``, in order, the node that holds it."""
    return [node for node, _, _ in _places(workflow)]


def _places(workflow: JsonObject) -> Iterator[tuple[JsonObject, Any, Any]]:
    """Node, container and index or key of every plain value."""
    for node in _nodes(workflow):
        values = node.get("widgets_values")
        if isinstance(values, list):
            yield from ((node, values, index) for index, value in enumerate(values) if type(value) in _KINDS)
        elif isinstance(values, dict):
            yield from ((node, values, key) for key, value in values.items() if type(value) in _KINDS)


def _nodes(workflow: JsonObject) -> Iterator[JsonObject]:
    """All nodes: of the workflow, of its subgraphs, of its group nodes."""
    yield from objects(workflow.get("nodes"))
    for graph in (*subgraph_list(workflow), *groups(workflow).values()):
        yield from objects(graph.get("nodes"))
