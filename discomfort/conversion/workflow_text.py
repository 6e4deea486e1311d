"""The JSON text of a workflow for the page, and checks of the result. No I/O."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from discomfort._error_text import packs_remedy
from discomfort.exceptions import ConversionError, MissingNode, MissingNodesError, PayloadError
from discomfort.workflow.subgraphs import find_node, is_group, pack_of, subgraph_list

if TYPE_CHECKING:
    from collections.abc import Mapping

    from discomfort._json import JsonObject

MAX_BYTES: Final = 128 << 20
"""Largest workflow that is sent to the browser, in bytes of JSON. The largest official template has 0.13 MB."""

BASE_BUDGET: Final = 3.0
"""Seconds for one attempt on a ready page, as documented for the connector."""

BUDGET_PER_MEGABYTE: Final = 30.0
"""Seconds added for each megabyte of JSON beyond the first tenth of one.

A page of 1.27.10 takes 0.5 to 1 s for 0.13 MB (44 nodes, three subgraphs) on two busy cores; ten times that is slack.
"""

MAX_BUDGET: Final = 120.0
"""Seconds that one attempt may take at most, whatever the size."""

_TAKEN_OUT: Final = re.compile("[&<>\"'`=]")
"""Characters that the frontend removes from the names of unknown types."""

_SUBGRAPH: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""The type of a subgraph's node: the id of its definition."""


def budget(size: int) -> float:
    """Seconds for one attempt at a workflow of ``size`` bytes of JSON: 3 s, and more for one above 0.1 MB."""
    return min(MAX_BUDGET, BASE_BUDGET + BUDGET_PER_MEGABYTE * max(0.0, size / 1e6 - 0.1))


def encode(workflow: object) -> str:
    """The workflow as JSON text for the page.

    NaN and infinities become ``null``, as they do in the frontend. Raises ``PayloadError`` if it is not a workflow (an
    object with a list ``nodes``), cannot be written as JSON, or is larger than ``MAX_BYTES``.
    """
    if not isinstance(workflow, dict):
        raise PayloadError(f"a workflow is a JSON object, this is {type(workflow).__name__}")
    nodes = workflow.get("nodes")
    if not isinstance(nodes, list):
        keys = ", ".join(map(str, list(workflow)[:8])) or "nothing"
        raise PayloadError(f"a workflow has a list 'nodes', this has {keys}")
    bad = next((i for i, node in enumerate(nodes) if not isinstance(node, dict) or "type" not in node), None)
    if bad is not None:
        raise PayloadError(f"entry {bad} of the workflow's nodes is not a node: it needs a 'type'")
    text = _dump(workflow)
    if len(text) > MAX_BYTES:
        raise PayloadError(f"the workflow has {len(text) / 1e6:.0f} MB, more than the {MAX_BYTES / 1e6:.0f} MB allowed")
    return text


def largest_graph(workflow: JsonObject) -> int:
    """The number of nodes in the workflow's largest graph, its own or that of a subgraph."""
    graphs = (graph.get("nodes") for graph in (workflow, *subgraph_list(workflow)))
    return max(len(nodes) if isinstance(nodes, list) else 0 for nodes in graphs)


def _dump(workflow: JsonObject) -> str:
    try:
        return orjson.dumps(workflow).decode()
    except TypeError:
        # Integers beyond 64 bits, lone surrogates: JSON allows them, orjson does not.
        try:
            return json.dumps(_finite(workflow), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise PayloadError(f"the workflow cannot be written as JSON: {error}") from error


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def check_output(workflow: JsonObject, output: JsonObject, unknown: Mapping[str, str | None]) -> None:
    """Refuse a prompt with nodes that no server can run; ``unknown`` are the types that the page reported.

    Raises ``MissingNodesError`` with every type that the page did not know, ``ConversionError`` if the output is not a
    prompt.
    """
    if unknown:
        missing = missing_on_page(workflow, unknown)
        raise MissingNodesError(missing, remedy=_remedy(missing))
    for node_id, node in output.items():
        if not isinstance(node, dict) or not isinstance(node.get("inputs"), dict):
            raise ConversionError(f"the frontend returned no inputs for node {node_id}")


def _remedy(missing: tuple[MissingNode, ...]) -> str:
    """The remedy for missing types, not all of which come from packs."""
    inner = [each.class_type for each in missing if _SUBGRAPH.fullmatch(each.class_type) or is_group(each.class_type)]
    packs = [each.pack for each in missing if each.class_type not in inner]
    remedies = [packs_remedy(packs)] if packs else []
    if inner:
        remedies.append(
            f"The workflow uses {inner[0]!r}, a subgraph or group node, without its definition "
            "(definitions.subgraphs, extra.groupNodes): save it again where it is defined."
        )
    return " ".join(remedies)


def missing_on_page(workflow: JsonObject, unknown: Mapping[str, str | None]) -> tuple[MissingNode, ...]:
    """The types of the prompt's nodes in ``unknown``, each with its nodes and the pack that the workflow names.

    The workflow has the full name of a type, from which the frontend removes characters; but the frontend gives new ids
    to nodes without an id, or with one that is used already.
    """
    found: dict[str, tuple[list[str], str | None]] = {}
    for node_id, told in unknown.items():
        node = find_node(workflow, node_id)
        name = str(node.get("type")) if node else "?"
        if told is not None and _TAKEN_OUT.sub("", name) != told:
            node, name = None, told
        nodes, pack = found.setdefault(name, ([], None))
        nodes.append(node_id)
        found[name] = (nodes, pack or (pack_of(node) if node else None))
    return tuple(MissingNode(name, tuple(nodes), pack) for name, (nodes, pack) in found.items())
