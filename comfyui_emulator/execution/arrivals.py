"""Results on their way from node to node. Pure.

A node that waits for another holds its results as soon as they are there, whatever the cache drops or never kept, as in
ComfyUI 0.33. (0.3.64 reads inputs from the cache.)
"""

from __future__ import annotations

from collections.abc import Callable

from comfyui_emulator.execution.stores import Entry


class Arrivals:
    """The results that the nodes of one run have received; ``cached`` looks results up when a node begins to wait."""

    def __init__(self, cached: Callable[[str], Entry | None]) -> None:
        self._cached = cached
        self._received: dict[str, dict[str, Entry | None]] = {}
        self._receivers: dict[str, set[tuple[str, int]]] = {}

    def expect(self, node_id: str, source: str, slot: int) -> None:
        """``node_id`` wants that result of ``source``. Raises ``IndexError`` if it is cached and has no such slot."""
        entry = self._cached(source)
        self._received.setdefault(node_id, {})[source] = entry
        self._receivers.setdefault(source, set()).add((node_id, slot))
        if entry is not None:
            entry.values[slot]

    def arrived(self, source: str, entry: Entry) -> None:
        """Hand results to every node that expects them.

        Raises ``IndexError`` if ``source`` returned fewer results than that, its own error in ComfyUI 0.30 and newer.
        """
        for node_id, slot in self._receivers.get(source, ()):
            if node_id in self._received:
                self._received[node_id][source] = entry
            entry.values[slot]

    def of(self, source: str, node_id: str) -> Entry | None:
        """The results of ``source`` that ``node_id`` has; ``None`` if it does not expect them (a lazy input)."""
        return self._received.get(node_id, {}).get(source)

    def forget(self, node_id: str) -> None:
        """A node is done: it holds nothing any more, and nobody expects anything of it."""
        self._received.pop(node_id, None)
        self._receivers.pop(node_id, None)
