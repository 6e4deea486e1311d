"""Definitions of subgraphs and group nodes of several workflows in one. Pure.

Equal ones are kept once. If different ones have the same id, the later gets a new id, and its nodes get a new type.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from discomfort import _json
from discomfort._json import JsonObject
from discomfort.exceptions import PayloadError
from discomfort.workflow.nodes import subgraphs
from discomfort.workflow.subgraphs import GROUP_PREFIXES, groups, is_group, objects

_Key = tuple[bool, str]
"""Whether it is a group node, and the id of the subgraph or the name of the group."""


class DefinitionPool:
    """Takes over the definitions of one workflow after another. ``new_id`` makes the id of a subgraph."""

    def __init__(self, new_id: Callable[[], str] = lambda: str(uuid.uuid4())) -> None:
        self.subgraphs: list[JsonObject] = []
        self.groups: JsonObject = {}
        self.others: JsonObject = {}
        self._new_id = new_id
        self._taken: set[_Key] = set()
        self._variants: dict[_Key, list[tuple[bytes, str]]] = defaultdict(list)

    def take(self, workflow: JsonObject) -> None:
        """Take the definitions of a workflow, and retarget its nodes in place. Raises PayloadError for a circle."""
        found: dict[_Key, JsonObject] = {(False, key): graph for key, graph in subgraphs(workflow).items()}
        found |= {(True, name): group for name, group in groups(workflow).items()}
        needs = {key: _used_by(definition, found) - {key} for key, definition in found.items()}
        names: dict[_Key, str] = {}
        # Those that are used by others come first: a definition is another one if something inside it is.
        for key in _in_order(needs):
            _retarget(objects(found[key].get("nodes")), names)
            names[key] = self._place(key, found[key])
        _retarget(objects(workflow.get("nodes")), names)
        definitions = workflow.get("definitions")
        for name, value in (definitions if isinstance(definitions, dict) else {}).items():
            if name != "subgraphs":
                self.others.setdefault(name, value)

    def _place(self, key: _Key, definition: JsonObject) -> str:
        is_group_node, name = key
        content = _json.dumps({each: value for each, value in sorted(definition.items()) if each != "id"})
        known = next((given for each, given in self._variants[key] if each == content), None)
        if known is not None:
            return known
        given = name if key not in self._taken else self._free(name) if is_group_node else self._new_id()
        self._variants[key].append((content, given))
        self._taken.add((is_group_node, given))
        if is_group_node:
            self.groups[given] = definition
        else:
            definition["id"] = given
            self.subgraphs.append(definition)
        return given

    def _free(self, name: str) -> str:
        number = 2
        while (True, f"{name} {number}") in self._taken:
            number += 1
        return f"{name} {number}"


def _in_order(needs: Mapping[_Key, set[_Key]]) -> list[_Key]:
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        names = " → ".join(repr(name) for _, name in error.args[1])
        raise PayloadError(f"subgraphs or group nodes contain each other: {names}") from None


def _used_by(definition: JsonObject, known: Mapping[_Key, Any]) -> set[_Key]:
    return {key for node in objects(definition.get("nodes")) if (key := _key(node)) in known}


def _retarget(nodes: Iterable[JsonObject], names: Mapping[_Key, str]) -> None:
    for node in nodes:
        is_group_node, name = key = _key(node)
        if key in names and names[key] != name:
            prefix = str(node["type"])[: len(GROUP_PREFIXES[0])] if is_group_node else ""
            node["type"] = prefix + names[key]


def _key(node: JsonObject) -> _Key:
    kind = str(node.get("type"))
    return (True, kind[len(GROUP_PREFIXES[0]) :]) if is_group(kind) else (False, kind)
