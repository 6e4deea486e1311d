"""Stores for results, with ComfyUI's three cache policies.

A store maps the keys of nodes (see :mod:`comfyui_emulator.execution.cache`) to one kind of value. A server has one for
the values of nodes and one for their UI parts, which evict independently, as in ComfyUI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from comfyui_emulator.registry import JsonObject, is_link, node_inputs
from comfyui_emulator.settings import CacheKind

V = TypeVar("V")
Key = bytes
KeyOf = Callable[[str], Key]


class Store(Generic[V]):
    """``classic``: keeps the results of the newest prompt's nodes, and of nodes that those added in earlier runs."""

    def __init__(self) -> None:
        self._kept: dict[Key, V] = {}
        self._key_of: KeyOf | None = None

    def begin(self, prompt: Mapping[str, JsonObject], key_of: KeyOf, below: Iterable[Key] = ()) -> None:
        """Start a run of ``prompt``: drop what the policy does not keep.

        ``below`` are keys of nodes that this run's nodes added in earlier runs.
        """
        self._key_of = key_of
        named = {key_of(node_id) for node_id in prompt}.union(below)
        self._kept = {key: value for key, value in self._kept.items() if key in named}

    def _key(self, node_id: str) -> Key:
        if self._key_of is None:
            raise RuntimeError("no run has begun, so there are no keys to look up")
        return self._key_of(node_id)

    def get(self, node_id: str) -> V | None:
        """The value kept for a node of the run, or ``None``."""
        return self._kept.get(self._key(node_id))

    def put(self, node_id: str, value: V) -> None:
        """Keep a value for a node of the run."""
        self._kept[self._key(node_id)] = value

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def __len__(self) -> int:
        """The number of kept values."""
        return len(self._kept)


class LatestStore(Store[V]):
    """``lru``: if a run begins with more than ``limit`` values, those of the oldest runs are dropped, run by run.

    A value belongs to the last run that named, looked up or made it. Those of the newest prompt are never dropped,
    however many there are.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._used: dict[Key, int] = {}
        self._run = self._oldest = 0

    def begin(self, prompt: Mapping[str, JsonObject], key_of: KeyOf, below: Iterable[Key] = ()) -> None:
        """Start a run of ``prompt``."""
        del below
        self._key_of = key_of
        self._run += 1
        for node_id in prompt:
            self._used[key_of(node_id)] = self._run
        while len(self._kept) > self._limit and self._oldest < self._run:
            self._oldest += 1
            self._kept = {key: value for key, value in self._kept.items() if self._used[key] >= self._oldest}
        # Keys that were looked up but not found are remembered only during their run.
        self._used = {key: run for key, run in self._used.items() if key in self._kept or run == self._run}

    def get(self, node_id: str) -> V | None:
        """The value kept for a node of the run, or ``None``."""
        self._used[self._key(node_id)] = self._run
        return super().get(node_id)

    def put(self, node_id: str, value: V) -> None:
        """Keep a value for a node of the run."""
        self._used[self._key(node_id)] = self._run
        super().put(node_id, value)

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        self._used.clear()


class FrugalStore(Store[V]):
    """``none``: keeps nothing between runs, and within one only values that an unexecuted node links to.

    A node whose result came from an equal node is never executed, so the values it links to stay, as in ComfyUI.
    """

    def __init__(self) -> None:
        super().__init__()
        self._above: dict[str, set[str]] = {}
        self._below: dict[str, set[str]] = {}
        self._executed: set[str] = set()

    def begin(self, prompt: Mapping[str, JsonObject], key_of: KeyOf, below: Iterable[Key] = ()) -> None:
        """Start a run of ``prompt``."""
        del below
        self._key_of = key_of
        self.clear()
        self._above = {node_id: set() for node_id in prompt}
        self._below = {node_id: set() for node_id in prompt}
        for node_id, node in prompt.items():
            for value in node_inputs(node).values():
                if is_link(value) and value[0] in self._below:
                    self._above[node_id].add(value[0])
                    self._below[value[0]].add(node_id)

    def put(self, node_id: str, value: V) -> None:
        """Keep a value for a node of the run, and drop those that it was the last to use."""
        super().put(node_id, value)
        self._executed.add(node_id)
        for source in self._above.get(node_id, set()) & self._executed:
            if self._below[source] <= self._executed:
                self._kept.pop(self._key(source), None)

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        self._executed.clear()


class Results:
    """The results of nodes: ``values``, a list per output slot, and ``shown``, the UI part with its ``meta``."""

    def __init__(self, kind: CacheKind = "classic", limit: int = 0) -> None:
        self.frugal = kind == "none"
        """Whether nothing is kept between runs."""
        self.flat = kind == "lru"
        """Whether the key of an added node does not depend on which node's expansion added it."""
        self.values: Store[list[list[object]]] = _store(kind, limit)
        self.shown: Store[JsonObject] = _store(kind, limit)

    def begin(self, prompt: Mapping[str, JsonObject], key_of: KeyOf, below: Iterable[Key] = ()) -> None:
        """Start a run; see :meth:`Store.begin`."""
        below = list(below)
        self.values.begin(prompt, key_of, below)
        self.shown.begin(prompt, key_of, below)

    def clear(self) -> None:
        """Forget everything."""
        self.values.clear()
        self.shown.clear()


def _store(kind: CacheKind, limit: int) -> Store[V]:
    return LatestStore(limit) if kind == "lru" else FrugalStore() if kind == "none" else Store()
