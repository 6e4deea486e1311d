"""Nodes of references that have run, which later prompts carry along unconnected so that a server keeps their results.

A cache that drops what the present prompt does not have would otherwise load a model again after every prompt of
another kind. Unconnected nodes are not executed.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from discomfort.context.records import Record
from discomfort.context.storage import Storage
from discomfort.workflow.references import Reference

_Known = dict[str, tuple[Record, Reference]]


class WarmNodes:
    """The references of each context that have run on one server, the most recent last; at most ``limit`` nodes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: WeakKeyDictionary[Storage, _Known] = WeakKeyDictionary()

    def note(self, storage: Storage, unique_id: str, record: Record, reference: Reference) -> None:
        """Remember that a reference of a context has run just now."""
        known = self._known.setdefault(storage, {})
        known.pop(unique_id, None)
        known[unique_id] = (record, reference)

    def nodes(
        self, storage: Storage, records: Mapping[str, Record], classes: Container[str]
    ) -> list[Mapping[str, Any]]:
        """The nodes of those references that the context still has, as long as the server knows their classes."""
        known = self._known.get(storage, {})
        for unique_id in [each for each, (record, _) in known.items() if records.get(each) != record]:
            del known[unique_id]
        kept: list[Mapping[str, Any]] = []
        seen: set[str] = set()
        for _, reference in reversed(known.values()):
            nodes = reference["prompt"]
            if all(node["class_type"] in classes for node in nodes.values()):
                seen |= nodes.keys()
                if len(seen) > self._limit:
                    break
                kept.append(nodes)
        return kept
