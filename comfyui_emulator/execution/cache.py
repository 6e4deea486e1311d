"""Cache keys: a digest of a node's class, change token and constants, and of the same parts of every ancestor.

Keys are computed once per run in linear time. Keys contain no node ids, except for nodes that ask for theirs or are
declared not idempotent, so equal nodes share one result. A NaN anywhere in a key makes it unique, because NaN is not
equal to itself: such a node always runs again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from comfyui_emulator.execution.graph import RunGraph
from comfyui_emulator.execution.stores import Key
from comfyui_emulator.registry import JsonObject, NodeType, Registry, is_link, node_inputs

_unique = itertools.count()


class Keys:
    """Keys of the nodes of one run. ``tokens`` are change tokens by node id, evaluated beforehand.

    With ``flat``, a node's key does not depend on which node's expansion added it.
    """

    def __init__(self, graph: RunGraph, registry: Registry, tokens: Mapping[str, Any], *, flat: bool = False) -> None:
        self._graph, self._registry, self._tokens, self._flat = graph, registry, tokens, flat
        self._keys: dict[str, Key] = {}

    def renew(self, node_ids: Iterable[str]) -> None:
        """Nodes were added, perhaps in place of others, whose keys they then do not take over; flat keys stay."""
        for node_id in () if self._flat else node_ids:
            self._keys.pop(node_id, None)

    def of(self, node_id: str) -> Key:
        """The key of a node; ancestors first, without recursion. Missing nodes and cycles get unique keys."""
        stack, active = [node_id], set[str]()
        while stack:
            current = stack[-1]
            if current in self._keys:
                stack.pop()
                continue
            if current not in self._graph:
                self._keys[current] = _digest(f"missing {current} {next(_unique)}")
                continue
            links = [value[0] for value in node_inputs(self._graph.node(current)).values() if is_link(value)]
            waiting = [source for source in links if source not in self._keys]
            if waiting and current not in active:
                active.add(current)
                stack += [source for source in waiting if source not in active]
                continue
            # Seen for the second time, a node whose sources still have no keys is part of a cycle.
            for source in waiting:
                self._keys.setdefault(source, _digest(f"cycle {source} {next(_unique)}"))
            self._keys[current] = self._make(current)
            stack.pop()
        return self._keys[node_id]

    def _make(self, node_id: str) -> Key:
        node = self._graph.node(node_id)
        kind = self._registry[node["class_type"]]
        inputs: dict[str, Any] = {}
        for name, value in node_inputs(node).items():
            linked = is_link(value)
            inputs[name] = {"\0link": [self._keys[value[0]].hex(), value[1]]} if linked else _comparable(value)
        parent = self._graph.parent(node_id)
        token = self._tokens.get(node_id)
        parts = [
            kind.name,
            inputs,
            None if token is None else _token_text(token),
            node_id if wants_own_id(kind) else None,
            self._graph.path(parent) if parent is not None and not self._flat else None,
        ]
        text = json.dumps(parts, sort_keys=True, default=repr)
        return _digest(text + (f" {next(_unique)}" if "NaN" in text and _has_nan(parts) else ""))


def wants_own_id(kind: NodeType) -> bool:
    """Whether the key of a node of this class contains its id, so that no other node shares its results."""
    return kind.not_idempotent or "UNIQUE_ID" in (kind.structure.get("hidden") or {}).values()


def _digest(text: str) -> Key:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _token_text(token: Any) -> Any:
    return token if isinstance(token, str | int | float | bool | list) else repr(token)


def _comparable(value: Any) -> Any:
    """A form of a constant that has equal text for values equal in Python: ``1``, ``1.0`` and ``True``."""
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    return value


def _has_nan(value: Any) -> bool:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, float) and item != item:
            return True
        if isinstance(item, dict):
            stack += item.values()
        elif isinstance(item, list):
            stack += item
    return False


class Expansions:
    """Nodes added by expansions, kept from run to run for as long as prompts contain the node that expanded.

    Their results stay cached as long, even if the expanding node itself has to run again. They are also listed in
    ``current_outputs`` of an error, which in ComfyUI names the nodes in its caches at the start of the run.
    """

    def __init__(self) -> None:
        self._below: dict[tuple[str, str], tuple[dict[str, Key], Expansions]] = {}

    def begin(self, classes: Mapping[str, str]) -> None:
        """Start a run, or an expansion, with nodes of these classes: forget expansions of all other nodes."""
        self._below = {key: kept for key, kept in self._below.items() if classes.get(key[0]) == key[1]}

    def nodes(self, *, deep: bool = True) -> list[tuple[str, Key]]:
        """Ids and keys of the added nodes: at any depth, or only of those that nodes of the prompt added."""
        found: list[tuple[str, Key]] = []
        for added, deeper in self._below.values():
            found += added.items()
            found += deeper.nodes() if deep else []
        return found

    def add(self, path: Sequence[tuple[str, str]], classes: Mapping[str, str], keys: Mapping[str, Key]) -> None:
        """Record the nodes to which the last node of ``path`` (ids and classes, from the prompt down) expanded."""
        here = self
        for step in path[:-1]:
            here = here._below.setdefault(step, ({}, Expansions()))[1]
        deeper = here._below[path[-1]][1] if path[-1] in here._below else Expansions()
        deeper.begin(classes)
        here._below[path[-1]] = dict(keys), deeper


class ObjectCache:
    """Node objects by node id and class: one object serves a node for as long as prompts contain it."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], Any] = {}

    def begin(self, prompt: Mapping[str, JsonObject]) -> None:
        """Drop the objects of nodes that the new prompt does not contain."""
        self._objects = {
            key: value
            for key, value in self._objects.items()
            if key[0] in prompt and prompt[key[0]]["class_type"] == key[1]
        }

    def get(self, node_id: str, class_type: str, make: Callable[[], Any]) -> Any:
        """The object for a node, created on first use."""
        key = node_id, class_type
        if key not in self._objects:
            self._objects[key] = make()
        return self._objects[key]
